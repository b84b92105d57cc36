// What is refused before the system maps it: a file that its own headers say is longer. One that is mapped ends the process.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, test } from 'vitest';
import { checkAddonLength, neededBytes } from '../../src/transport/addon-length.js';
import { machO, pe } from '../prebuild/made-up-files.js';

const built = readFileSync(new URL('../../build/Release/hawser.node', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'hawser-length-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Mach-O for several processors, whose parts begin at multiples of 4,096. */
function fat(...parts: readonly Buffer[]): Buffer {
  const header = Buffer.alloc(8 + parts.length * 20);
  header.writeUInt32BE(0xcafebabe, 0);
  header.writeUInt32BE(parts.length, 4);
  let end = 4096;
  const placed = parts.map((part, index) => {
    header.writeUInt32BE(end, 8 + index * 20 + 8);
    header.writeUInt32BE(part.length, 8 + index * 20 + 12);
    const offset = end;
    end = Math.ceil((end + part.length) / 4096) * 4096;
    return { offset, part };
  });
  const last = placed.at(-1);
  const all = Buffer.alloc(last === undefined ? header.length : last.offset + last.part.length);
  header.copy(all);
  for (const { offset, part } of placed) part.copy(all, offset);
  return all;
}

/** PE with a signature behind its sections. */
function signed(file: Buffer): Buffer {
  const all = Buffer.concat([file, Buffer.alloc(512)]);
  // Directory 4 of PE32+.
  const directory = all.readUInt32LE(0x3c) + 24 + 112 + 4 * 8;
  all.writeUInt32LE(file.length, directory);
  all.writeUInt32LE(512, directory + 4);
  return all;
}

const files: Readonly<Record<string, Buffer>> = {
  'the addon that was built here': built,
  'Mach-O for x64': machO({ arch: 'x64' }),
  'Mach-O for arm64, not signed': machO({ arch: 'arm64', signed: false }),
  'Mach-O for both': fat(machO({ arch: 'x64' }), machO({ arch: 'arm64' })),
  PE: pe({}),
  'PE that is signed': signed(pe({})),
};

function needed(file: Uint8Array): number {
  return neededBytes(file.length, (bytes, offset) => {
    bytes.set(file.subarray(offset, offset + bytes.length));
    return bytes.length;
  });
}

/** Repeatable numbers below 1. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe.each(Object.entries(files))('%s', (_, file) => {
  test('passes as it is, and with bytes behind its end', () => {
    expect(needed(file)).toBeLessThanOrEqual(file.length);
    expect(needed(Buffer.concat([file, Buffer.alloc(100)]))).toBeLessThanOrEqual(file.length);
  });

  test('is refused at every length that is less than its headers say', () => {
    const whole = needed(file);
    const next = random(1);
    const lengths = new Set(Array.from({ length: 2000 }, () => Math.floor(next() * whole)));
    // Every one in the headers, and the last ones.
    for (let length = 0; length < Math.min(whole, 4500); ++length) lengths.add(length);
    for (let length = Math.max(0, whole - 100); length < whole; ++length) lengths.add(length);
    for (const length of lengths) {
      const bytes = needed(file.subarray(0, length));
      if (bytes <= length) expect.fail(`${length} of ${whole} bytes pass`);
    }
  });

  test('with random bytes in its headers is judged, whatever they say', () => {
    for (let seed = 1; seed <= 300; ++seed) {
      const next = random(seed);
      const broken = Buffer.from(file.subarray(0, 8192));
      for (let times = 0; times < 1 + (seed % 8); ++times) {
        broken[Math.floor(next() * 512)] = Math.floor(next() * 256);
      }
      const bytes = needed(broken);
      if (!Number.isFinite(bytes) || bytes < 64) expect.fail(`seed ${seed}: ${bytes} bytes`);
    }
  });
});

test('random bytes are judged, whatever format their first ones name', () => {
  const magics = [
    0x7f454c46, 0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabe, 0xcafebabf, 0x4d5a0000,
  ];
  for (let seed = 1; seed <= 500; ++seed) {
    const next = random(seed);
    const bytes = Buffer.from(
      Array.from({ length: Math.floor(next() * 2000) }, () => Math.floor(next() * 256)),
    );
    if (bytes.length >= 4) bytes.writeUInt32BE(magics[seed % magics.length] ?? 0, 0);
    if (!Number.isFinite(needed(bytes))) expect.fail(`seed ${seed}`);
  }
});

test('what is no library is not judged', () => {
  expect(needed(Buffer.from('not an addon'.repeat(100)))).toBe(64);
});

test('the message says how long the file is and how long it has to be', () => {
  const file = join(folder, 'short.node');
  writeFileSync(file, built.subarray(0, 100_000));
  expect(() => checkAddonLength(file)).toThrow(
    `file too short: it has 100000 bytes, and its headers say ${needed(built.subarray(0, 100_000))}`,
  );
});

test.runIf(process.platform === 'linux')('a process that is given a truncated addon goes on', () => {
  const file = join(folder, 'truncated.node');
  writeFileSync(file, built);
  const script = `
    const { Client } = await import(${JSON.stringify(new URL('../../dist/index.js', import.meta.url).href)});
    await Client.open().catch((error) => console.log(error.code, error.message));
  `;
  for (const part of [0.9, 0.5, 0.1, 0.01]) {
    truncateSync(file, Math.floor(built.length * part));
    const { status, signal, stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      env: { ...process.env, HAWSER_ADDON: file },
      cwd: fileURLToPath(new URL('../..', import.meta.url)),
    });
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    expect(stdout).toMatch(
      /^ERR_HAWSER_ADDON_MISSING .*cannot be loaded .*file too short: it has \d+ bytes, and its headers say \d+; it is damaged/,
    );
  }
});
