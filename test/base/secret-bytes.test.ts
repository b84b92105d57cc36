import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import {
  allocateSecret,
  decodeBase64Secret,
  encodeBase64Secret,
  equalSecrets,
  randomSecret,
  secretFrom,
  secretMemory,
} from '../../src/base/secret-bytes.js';
import { refusal } from './refusal.js';

const dist = fileURLToPath(new URL('../../dist/base/secret-bytes.js', import.meta.url));

/** Runs a module in a process of its own; `secrets` are the functions of secret-bytes.ts. @returns what it printed. */
function inProcess(
  code: string,
  { shell = '', args = [] }: { shell?: string; args?: string[] } = {},
): string {
  const source = `import * as secrets from ${JSON.stringify(dist)};\n${code}`;
  const node = [process.execPath, ...args, '--input-type=module', '-e', source];
  const [command = '', ...rest] = shell === '' ? node : ['sh', '-c', `${shell} exec "$@"`, 'sh', ...node];
  const { status, stdout, stderr } = spawnSync(command, rest, { encoding: 'utf8' });
  if (status !== 0) throw new Error(stderr);
  return stdout.trim();
}

describe('a secret', () => {
  test('is zeros at first, of 1 to 1,024 bytes', () => {
    for (const length of [1, 16, 17, 32, 1000, 1024]) {
      const secret = allocateSecret(length);
      expect(secret.length).toBe(length);
      expect(secret.bytes.every((byte) => byte === 0)).toBe(true);
      expect(secret.bytes.length).toBe(length);
      secret.wipe();
    }
    expect(refusal(() => allocateSecret(0))).toContain('1 to 1024');
    expect(refusal(() => allocateSecret(1025))).toContain('1 to 1024');
    expect(refusal(() => secretFrom(new Uint8Array(0)))).toContain('1 to 1024');
  });

  test('has a memory of its own: no other secret and no byte around it can be reached through its view', () => {
    const one = allocateSecret(20);
    expect(one.bytes.buffer.byteLength).toBe(20);
    expect(one.bytes.byteOffset).toBe(0);
    one.wipe();
  });

  test('is zeros in every view from wipe on, and gives no new one', () => {
    const secret = secretFrom(Uint8Array.of(1, 2, 3));
    const view = secret.bytes;
    expect(secret.wiped).toBe(false);
    secret.wipe();
    secret.wipe();
    expect(secret.wiped).toBe(true);
    expect([...view]).toEqual([0, 0, 0]);
    expect(secret.length).toBe(3);
    expect(() => secret.bytes).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' }));
  });

  test('is never where a wiped one is still seen', () => {
    const views = Array.from({ length: 2000 }, () => {
      const secret = allocateSecret(32);
      secret.bytes.fill(0xaa);
      const { bytes } = secret;
      secret.wipe();
      return bytes;
    });
    const others = Array.from({ length: 2000 }, () => secretFrom(new Uint8Array(32).fill(0xbb)));
    expect(views.every((view) => view.every((byte) => byte === 0))).toBe(true);
    for (const other of others) other.wipe();
  });

  test('shows its length alone, whatever it is printed with', () => {
    const secret = secretFrom(Buffer.from('attack at dawn'));
    const printed = [
      inspect(secret),
      inspect({ deep: { secret } }, { depth: 9, showHidden: true, getters: true }),
      JSON.stringify({ secret }),
      String(secret),
      `${secret}`,
      JSON.stringify(Object.entries(secret)),
    ].join();
    expect(printed).toContain('SecretBytes(14)');
    expect(printed).toContain('{"length":14}');
    expect(printed).not.toMatch(/attack|61, ?74|97/);
    secret.wipe();
  });

  test('is copied from bytes, which are wiped when that is asked for, also when it fails', () => {
    const source = Uint8Array.of(1, 2, 3);
    const copy = secretFrom(source);
    expect([...source]).toEqual([1, 2, 3]);
    const moved = secretFrom(source, { wipeSource: true });
    expect([...source]).toEqual([0, 0, 0]);
    expect([...moved.bytes]).toEqual([1, 2, 3]);
    expect(equalSecrets(copy, moved)).toBe(true);
    const long = new Uint8Array(1025).fill(7);
    expect(() => secretFrom(long, { wipeSource: true })).toThrow();
    expect(long.every((byte) => byte === 0)).toBe(true);
  });

  test('is drawn at random', () => {
    const [a, b] = [randomSecret(32), randomSecret(32)];
    expect(equalSecrets(a, b)).toBe(false);
    expect(equalSecrets(a, allocateSecret(32))).toBe(false);
  });

  test('equals the same bytes of the same length, and no others', () => {
    const a = secretFrom(Uint8Array.of(1, 2, 3));
    expect(equalSecrets(a, Uint8Array.of(1, 2, 3))).toBe(true);
    for (const other of [[1, 2], [1, 2, 3, 0], [1, 2, 2], [0, 2, 3], []]) {
      expect(equalSecrets(a, Uint8Array.from(other))).toBe(false);
    }
  });
});

describe('base64', () => {
  test('is decoded into a secret, and encoded again', () => {
    for (let length = 1; length <= 70; ++length) {
      const secret = randomSecret(length);
      const text = Buffer.from(secret.bytes).toString('base64');
      const decoded = decodeBase64Secret(Buffer.from(text));
      expect(decoded !== undefined && equalSecrets(decoded, secret)).toBe(true);
      expect(Buffer.from(encodeBase64Secret(secret).bytes).toString()).toBe(text);
    }
  });

  test('is refused in any other form than the one that is written, and beyond 1,024 bytes', () => {
    const texts = [
      '',
      'AA',
      'AA=',
      'AAA',
      'AB==',
      'AAB=',
      'AA==\n',
      ' AA==',
      'A-_A',
      'AA==AA==',
      '====',
      'AAé=',
    ];
    for (const text of texts) expect(decodeBase64Secret(Buffer.from(text, 'latin1')), text).toBeUndefined();
    expect(decodeBase64Secret(Buffer.alloc(1368, 'A'))).toBeUndefined();
    expect(decodeBase64Secret(Buffer.alloc(2 ** 20, 'A'))).toBeUndefined();
  });
});

describe('the memory of secrets', () => {
  test('is given back once nothing sees a secret, wiped or not, so that it does not grow', () => {
    const code = `
      const taken = () => { for (let i = 0; i < 5000; ++i) secrets.randomSecret(32); };
      const rest = () => new Promise((resolve) => setTimeout(resolve, 20));
      for (let i = 0; i < 5; ++i) { taken(); gc(); await rest(); gc(); await rest(); }
      console.log(JSON.stringify(secrets.secretMemory()));`;
    const memory = JSON.parse(inProcess(code, { args: ['--expose-gc'] }));
    expect(memory.usedBytes).toBeLessThan(5000 * 32);
    expect(memory.lockedBytes + memory.unlockedBytes).toBeLessThan(3 * 5000 * 32);
  });

  test.runIf(process.platform === 'linux')('is locked where it says so', () => {
    const code = `
      import { readFileSync } from 'node:fs';
      secrets.randomSecret(32);
      const [, kibibytes] = /VmLck:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
      console.log(secrets.secretMemory().lockedBytes, kibibytes * 1024);`;
    const [told = '', found] = inProcess(code).split(' ');
    expect(told).toBe(found);
  });

  test('that cannot be locked is told of, or refused where it must be locked', () => {
    // Root may lock without bounds: the right to do so is taken away first.
    const shell = `ulimit -l 0; command -v setpriv >/dev/null && set -- setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock "$@";`;
    const code = `
      const code = (run) => { try { run(); return 'none'; } catch (error) { return error.code; } };
      const first = code(() => secrets.requireLockedMemory());
      secrets.randomSecret(32);
      const { lockedBytes, unlockedBytes } = secrets.secretMemory();
      console.log(JSON.stringify([first, lockedBytes > 0, unlockedBytes > 0, code(() => secrets.requireLockedMemory())]));`;
    const refused = 'ERR_HAWSER_SECRET_MEMORY';
    expect([
      [refused, false, true, refused],
      ['none', true, false, 'none'],
    ]).toContainEqual(JSON.parse(inProcess(code, { shell })));
  });

  test('is of each thread; one that ends, or is ended, takes nothing with it', async () => {
    const before = secretMemory();
    const code = `
      const { parentPort } = require('node:worker_threads');
      import(${JSON.stringify(dist)}).then(({ randomSecret, secretMemory }) => {
        globalThis.held = Array.from({ length: 100 }, () => randomSecret(32));
        parentPort.postMessage(secretMemory().usedBytes);
        setInterval(() => undefined, 1000);
      });`;
    for (let round = 0; round < 3; ++round) {
      const worker = new Worker(code, { eval: true });
      const used = await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject));
      expect(used).toBe(3200);
      await worker.terminate();
    }
    expect(secretMemory().lockedBytes).toBe(before.lockedBytes);
  });
});
