// A lock among processes. That sockets are replaced under one by several processes is in control-socket.test.ts.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { withFileLock } from '../../src/base/file-lock.js';
import { encodeOwner, newOwner } from '../../src/base/store-owner.js';

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hawser-lock-'));
  path = join(folder, 'x.lock');
});

afterEach(() => rmSync(folder, { recursive: true }));

/** More than any of these needs. */
const longMs = 30_000;

/** Holds the lock once, as many times at once as are asked for. @returns how many held it at a time at most, and how many in all. */
async function contend(count: number): Promise<{ most: number; held: number }> {
  let now = 0;
  let most = 0;
  let held = 0;
  const hold = async (): Promise<void> => {
    most = Math.max(most, ++now);
    await new Promise((resolve) => setImmediate(resolve));
    --now;
    ++held;
  };
  await Promise.all(Array.from({ length: count }, () => withFileLock(path, longMs, hold)));
  return { most, held };
}

/** The id of a process that has ended. */
const endedPid = spawnSync(process.execPath, ['--eval', '']).pid;

function leaveLock(change: Partial<ReturnType<typeof newOwner>>, name: string = path): void {
  writeFileSync(name, encodeOwner({ ...newOwner(folder), ...change }));
}

test('one holds it at a time, and nothing is left behind', async () => {
  expect(await contend(8)).toEqual({ most: 1, held: 8 });
  expect(readdirSync(folder)).toEqual([]);
});

test('what the work returns and throws is handed on, and the lock is free afterwards', async () => {
  expect(await withFileLock(path, longMs, async () => 7)).toBe(7);
  const failing = withFileLock(path, longMs, async () => {
    throw new Error('no');
  });
  await expect(failing).rejects.toThrow('no');
  expect(await withFileLock(path, 0, async () => 8)).toBe(8);
});

test('the lock of a process that has ended holds up nobody, and still one holds it at a time', async () => {
  for (let round = 0; round < 10; ++round) {
    leaveLock({ pid: endedPid });
    expect(await contend(6)).toEqual({ most: 1, held: 6 });
    expect(readdirSync(folder)).toEqual([]);
  }
});

test('nor does that of one that ended while it removed such a lock', async () => {
  const dead = { pid: endedPid, opening: '0123456789abcdef' };
  leaveLock(dead);
  leaveLock({ ...dead, opening: 'fedcba9876543210' }, `${path}.${dead.opening}`);
  expect(await contend(4)).toEqual({ most: 1, held: 4 });
  expect(readdirSync(folder)).toEqual([]);
});

test('who waits for a process that holds it for too long is told so', async () => {
  leaveLock({});
  await expect(withFileLock(path, 20, async () => 1)).rejects.toMatchObject({
    code: 'ERR_HAWSER_TIMED_OUT',
    message: `another process holds ${path}`,
  });
  expect(readdirSync(folder)).toEqual(['x.lock']);
});

test.each([
  ['of a process of another container', () => leaveLock({ pidSpace: 'another' })],
  ['with nobody’s name in it', () => writeFileSync(path, '')],
  ['that is too long for one', () => writeFileSync(path, `${encodeOwner(newOwner(folder))}`.padEnd(5000))],
  ['whose text would lead elsewhere', () => leaveLock({ pid: endedPid, opening: '/../../x' })],
])('a lock %s counts for ten seconds', async (_, leave) => {
  leave();
  // However long it takes from here to there.
  const soon = Date.now() / 1000 + 60;
  utimesSync(path, soon, soon);
  await expect(withFileLock(path, 20, async () => 1)).rejects.toMatchObject({ code: 'ERR_HAWSER_TIMED_OUT' });
  const before = Date.now() / 1000 - 11;
  utimesSync(path, before, before);
  expect(await contend(2)).toEqual({ most: 1, held: 2 });
  expect(readdirSync(folder)).toEqual([]);
});

test('without its directory there is no lock, and the system says why', async () => {
  const missing = withFileLock(join(folder, 'none', 'x.lock'), longMs, async () => 1);
  await expect(missing).rejects.toMatchObject({ code: 'ENOENT' });
});

test.skipIf(process.platform === 'win32').each<[string, (path: string) => void]>([
  ['a link that leads nowhere', (at) => symlinkSync('/nowhere/at/all', at)],
  ['a link to itself', (at) => symlinkSync(at, at)],
  ['a pipe', (at) => void spawnSync('mkfifo', [at])],
  ['a directory', (at) => mkdirSync(at)],
])('%s in the place of the lock is refused, and neither tried for ever nor waited for', async (_, make) => {
  make(path);
  await expect(withFileLock(path, longMs, async () => 'held')).rejects.toMatchObject({
    code: 'ERR_HAWSER_PERMISSION',
    message: `${path}, a lock, is something else`,
  });
});
