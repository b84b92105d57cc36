// A process that writes to a store of sessions is killed at any moment: what it was told is committed is there, and nothing by halves.
// HAWSER_SEED repeats one run.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import { openSessionStore } from '../../../src/sessions/store/lmdb-store.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const rounds = deep ? 60 : 5;
const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 32));
const writer = fileURLToPath(new URL('children/writer.mjs', import.meta.url));
const keysOfEach = 20;
/** Most of it is the start of processes. */
const limitMs = deep ? 30 * 60_000 : 300_000;

let directory: string;
let child: ChildProcess | undefined;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-sessions-crash-'));
});

afterEach(() => {
  child?.kill('SIGKILL');
  rmSync(directory, { recursive: true, force: true });
});

/** Runs the writer, and kills it after so many lines and a moment more. @returns the last transactions that it began, and that it was told are committed. */
async function killed(
  path: string,
  first: number,
  lines: number,
  momentMs: number,
): Promise<{ readonly begun: number; readonly done: number }> {
  const started = spawn(process.execPath, [writer, path, `${first}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  child = started;
  const last = { begun: first - 1, done: first - 1 };
  let left = lines;
  createInterface(started.stdout).on('line', (line) => {
    const [what, n] = line.split(' ');
    if (what === 'begun') last.begun = Math.max(last.begun, Number(n));
    if (what === 'done') last.done = Math.max(last.done, Number(n));
    if (--left === 0) setTimeout(() => started.kill('SIGKILL'), momentMs);
  });
  const [code] = await once(started, 'close');
  child = undefined;
  expect(code, 'the writer is to be killed, not to fail').toBeNull();
  return last;
}

describe('a store of sessions whose process is killed', () => {
  test(`has what was committed, whole, and nobody holds a lease (${rounds} rounds, seed ${seed})`, {
    timeout: limitMs,
  }, async () => {
    const random = seededRandom(seed);
    const path = join(directory, 'store');
    let next = 1;
    let revision = 0;
    for (let round = 0; round < rounds; ++round) {
      const { begun, done } = await killed(path, next, 1 + Math.floor(random() * 200), random() * 5);
      await using store = await openSessionStore(path);
      const [counter] = await store.read(prefixRange('a/'));
      const counted = counter === undefined ? next - 1 : Number(Buffer.from(counter.value).toString());
      expect(counted).toBeGreaterThanOrEqual(done);
      expect(counted).toBeLessThanOrEqual(Math.max(begun, next - 1));
      const kept = new Map<number, number>();
      for (const { key, value, revision: written } of await store.read(prefixRange('r/'))) {
        const n = Number(key.split('/')[1]);
        expect(Buffer.from(value).toString()).toBe(`${n}`);
        expect(written).toBeLessThanOrEqual(counter?.revision ?? 0);
        kept.set(n, (kept.get(n) ?? 0) + 1);
      }
      // Each transaction removes what the third before it put.
      const whole = [counted - 2, counted - 1, counted].filter((n) => n > 0);
      expect([...kept].sort(([a], [b]) => a - b)).toEqual(whole.map((n) => [n, keysOfEach]));
      for (const prefix of ['g/', 'e/']) expect(await store.read(prefixRange(prefix))).toEqual([]);
      expect(counter?.revision ?? 0).toBeGreaterThanOrEqual(revision);
      revision = counter?.revision ?? 0;
      next = counted + 1;
    }
    expect(next).toBeGreaterThan(1);
  });
});
