import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { type LmdbStore, openLmdb } from '../../../src/base/lmdb-store.js';
import { type Databases, databaseNames, databasesOf } from '../../../src/sync/store/lmdb-keys.js';
import { LmdbNames } from '../../../src/sync/store/lmdb-names.js';
import { LmdbSessions } from '../../../src/sync/store/lmdb-sessions.js';

let directory: string;
let store: LmdbStore;
let databases: Databases;
let sessions: LmdbSessions;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-sync-sessions-'));
  const format = { name: 'test', version: 1 };
  store = await openLmdb(directory, { maxBytes: 2 ** 30, databases: databaseNames, format });
  databases = databasesOf(store);
  sessions = new LmdbSessions(store, databases, new LmdbNames(databases));
});

afterEach(async () => {
  vi.restoreAllMocks();
  await store.close();
  rmSync(directory, { recursive: true, force: true });
});

const message = Buffer.alloc(100);
/** The indices of one session, a mebibyte of them. */
const longIndices = Array.from({ length: 1024 }, (_, n) => `${n}`.padEnd(1024, 'x'));

function begin(indices: readonly string[] = ['i']) {
  return sessions.begin({
    agent: 'a',
    module: 'm',
    mode: 'DELTA',
    size: 5,
    indices,
    session: 1n,
    nonce: 1n,
    generation: 1n,
  });
}

async function drop(key: number): Promise<void> {
  const staging = sessions.letGo(key);
  if (staging !== undefined) await sessions.drop(staging);
}

/** How many can be begun in one turn. */
function beginMany(count: number, each: (key: number) => void): unknown {
  try {
    for (let n = 0; n < count; ++n) each(begin(longIndices).key);
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('sessions that wait to be written', () => {
  it('are bounded in bytes, and more are begun when they were written', async () => {
    const keys: number[] = [];
    const error = beginMany(1000, (key) => keys.push(key));
    expect(error).toMatchObject({ code: 'ERR_HAWSER_STORE' });
    expect(keys.length).toBeGreaterThan(16);
    expect(keys.length).toBeLessThan(64);
    await sessions.staged(keys[0] ?? 0);
    await sessions.staged(begin(longIndices).key);
    expect(databases.sessions.getKeysCount()).toBe(keys.length + 1);
  });

  it('cost next to nothing once they are dropped, and are written neither then nor later', async () => {
    const transactions = vi.spyOn(store, 'transaction');
    const dropped: Promise<void>[] = [];
    const error = beginMany(1000, (key) => {
      sessions.stage(key, message);
      dropped.push(drop(key));
    });
    expect(error).toBeUndefined();
    const { key } = begin();
    sessions.stage(key, message);
    await sessions.staged(key);
    await Promise.all(dropped);
    expect(transactions.mock.calls.length).toBeLessThan(5);
    expect(databases.sessions.getKeysCount()).toBe(1);
    expect(databases.staging.getKeysCount()).toBe(1);
    expect(sessions.all().map((each) => each.key)).toEqual([key]);
  });

  it('count with the bytes of their messages until these are written, dropped or refused', async () => {
    const { key } = begin();
    sessions.stage(key, message);
    sessions.stage(key, message);
    const other = begin();
    sessions.stage(other.key, message);
    expect(sessions.unwrittenBytes).toBe(300);
    await drop(other.key);
    expect(sessions.unwrittenBytes).toBe(200);
    await sessions.staged(key);
    expect(sessions.unwrittenBytes).toBe(0);
    const full = new HawserError('ERR_HAWSER_STORE_FULL', 'no room');
    vi.spyOn(store, 'transaction').mockRejectedValueOnce(full);
    sessions.stage(key, message);
    await expect(sessions.staged(key)).rejects.toBe(full);
    expect(sessions.unwrittenBytes).toBe(0);
  });

  it('are deleted when they are dropped while they are written', async () => {
    const { key } = begin();
    sessions.stage(key, message);
    await sessions.staged(key);
    const other = begin();
    sessions.stage(other.key, message);
    // The transaction is under way.
    await new Promise((resolve) => setImmediate(resolve));
    await Promise.all([drop(other.key), drop(key)]);
    await sessions.staged(begin().key);
    expect(databases.sessions.getKeysCount()).toBe(1);
    expect(databases.staging.getKeysCount()).toBe(0);
  });

  it('that could not be written are tried again by the next that finds no room', async () => {
    const full = new HawserError('ERR_HAWSER_DISK_FULL', 'no room');
    const transaction = vi.spyOn(store, 'transaction').mockRejectedValue(full);
    expect(beginMany(1000, () => undefined)).toMatchObject({ code: 'ERR_HAWSER_STORE' });
    await new Promise((resolve) => setImmediate(resolve));
    transaction.mockRestore();
    expect(beginMany(1, () => undefined)).toBe(full);
    while (databases.sessions.getKeysCount() === 0) await new Promise((resolve) => setImmediate(resolve));
    expect(await vi.waitUntil(() => beginMany(1, () => undefined) === undefined)).toBe(true);
    await sessions.close();
  });
});
