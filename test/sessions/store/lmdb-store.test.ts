// The store of sessions on a disk.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLmdb } from '../../../src/base/lmdb-store.js';
import { encodeOwner, newOwner } from '../../../src/base/store-owner.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import { type LmdbSessionStoreOptions, openSessionStore } from '../../../src/sessions/store/lmdb-store.js';
import type { Write } from '../../../src/sessions/store/store.js';
import { testSessionStore } from './contract.js';
import { bytes, put } from './tested-store.js';
import { Watcher } from './watcher.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-sessions-'));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const path = (): string => join(directory, 'store');

testSessionStore('a store on the disk', {
  open: () => openSessionStore(path()),
  reopen: async (store) => {
    await store.close();
    return openSessionStore(path());
  },
});

describe('a store of sessions on the disk', () => {
  test('is not shared: nobody else can open it meanwhile', async () => {
    await using store = await openSessionStore(path());
    expect(store.shared).toBe(false);
    expect((await store.lease('one', () => bytes(''))).validUntilMs).toBe(Number.POSITIVE_INFINITY);
    await expect(openSessionStore(path())).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
  });

  test('is not opened where another kind of store is', async () => {
    const format = { name: 'hawser-sync-store', version: 1 };
    const other = await openLmdb(path(), { maxBytes: 2 ** 20, databases: ['one'], format });
    await other.close();
    await expect(openSessionStore(path())).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_FORMAT' });
  });

  test('refuses wrong options', async () => {
    const odd: unknown[] = [{ maxBytes: 2 ** 20 - 1 }, { maxBytes: 2 ** 46 + 1 }, { maxSize: 2 ** 20 }, null];
    for (const options of odd) {
      await expect(openSessionStore(path(), options as LmdbSessionStoreOptions)).rejects.toMatchObject({
        code: 'ERR_HAWSER_ARGUMENT',
      });
    }
    await expect(openSessionStore('')).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  });

  test('one transaction that is refused does not concern those that share its commit', async () => {
    await using store = await openSessionStore(path());
    const lease = await store.lease('one', () => bytes(''));
    await lease.release();
    const watcher = new Watcher();
    using _ = store.watch('a/', watcher);
    await watcher.until(() => watcher.told.length > 0);
    const numbers = Array.from({ length: 10 }, (_, n) => n);
    const outcomes = await Promise.allSettled(
      numbers.map((n) =>
        store.txn({
          compare: [{ key: `a/${n}`, revision: 0 }],
          writes: [put(`a/${n}`, 'x', n === 4 ? lease : undefined)],
        }),
      ),
    );
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual(numbers.map((n) => n !== 4));
    const entries = await store.read(prefixRange('a/'));
    expect(entries.map(({ key }) => key)).toEqual(numbers.filter((n) => n !== 4).map((n) => `a/${n}`));
    const revisions = entries.map(({ revision }) => revision);
    expect(new Set(revisions).size).toBe(9);
    expect(watcher.changes.map(({ key, revision }) => ({ key, revision }))).toEqual(
      entries.map(({ key, revision }) => ({ key, revision })),
    );
    const results = outcomes.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    expect(results).toEqual(revisions.map((revision) => ({ committed: true, revision })));
  });

  test('a full one says so, takes deletions, and goes on when there is room', async () => {
    const maxBytes = 2 ** 20;
    const block = Buffer.alloc(100_000, 'x');
    await using store = await openSessionStore(path(), { maxBytes });
    const write = (n: number) =>
      store.txn({ compare: [], writes: [{ type: 'put', key: `a/${n}`, value: block }] });
    let count = 0;
    const failure = await (async () => {
      for (; count < 100; ++count) await write(count);
    })().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 'ERR_HAWSER_STORE_FULL' });
    expect(count).toBeGreaterThan(5);
    expect(await store.read(prefixRange('a/'))).toHaveLength(count);
    expect(store.usage.bytes).toBeLessThanOrEqual(maxBytes);
    expect(store.usage.maxBytes).toBe(maxBytes);
    const lease = await store.lease('one', () => bytes(''));
    await lease.release();
    const removal: Write = { type: 'deleteRange', ...prefixRange('a/') };
    expect(await store.txn({ compare: [], writes: [removal] })).toMatchObject({ committed: true });
    await write(1);
    expect(await store.read(prefixRange('a/'))).toHaveLength(1);
  });

  test('a long read gives way to others, and is of one state', async () => {
    await using store = await openSessionStore(path());
    const count = 20_000;
    for (let n = 0; n < count; n += 100) {
      const writes = Array.from({ length: 100 }, (_, k) => put(`a/${100_000 + n + k}`, 'old'));
      await store.txn({ compare: [], writes });
    }
    let turns = 0;
    let isOver = false;
    const turn = (): void => {
      ++turns;
      if (!isOver) setImmediate(turn);
    };
    setImmediate(turn);
    const reading = store.read(prefixRange('a/')).finally(() => {
      isOver = true;
    });
    const writes: Write[] = [{ type: 'deleteRange', from: 'a/110000', to: 'a/2' }, put('a/100001', 'new')];
    await store.txn({ compare: [], writes });
    const entries = await reading;
    expect(turns).toBeGreaterThan(1);
    expect(entries).toHaveLength(count);
    expect(entries.every(({ value }) => Buffer.from(value).toString() === 'old')).toBe(true);
    expect(await store.read(prefixRange('a/'))).toHaveLength(count / 2);
  });

  test('closing ends what is being read', async () => {
    const store = await openSessionStore(path());
    for (let n = 0; n < 100; ++n) {
      const writes = Array.from({ length: 100 }, (_, k) => put(`a/${n}-${k}`, ''));
      await store.txn({ compare: [], writes });
    }
    const reading = store.read(prefixRange('a/'));
    const closed = store.close();
    await expect(reading).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await closed;
  });

  test('nothing is left of a lease that has ended', async () => {
    const store = await openSessionStore(path());
    const lease = await store.lease('one', () => bytes(''));
    await store.txn({ compare: [], writes: ['e/1', 'e/2', 'e/3'].map((key) => put(key, '', lease)) });
    await store.txn({ compare: [], writes: [{ type: 'delete', key: 'e/1' }, put('e/2', '')] });
    await lease.release();
    await store.lease('two', () => bytes(''));
    await store.close();
    const databases = ['entries', 'leased', 'leases'];
    const format = { name: 'hawser-session-store', version: 1 };
    const raw = await openLmdb(path(), { maxBytes: 2 ** 20, databases, format });
    const counts = databases.map((name) => Array.from(raw.database(name).getKeys()).length);
    await raw.close();
    expect(counts).toEqual([1, 0, 0]);
  });

  test('leases end when another process has taken the store', async () => {
    const store = await openSessionStore(path());
    const lease = await store.lease('one', () => bytes(''));
    // As a process does that cannot see this one: in another name space of process ids.
    const { open } = await import('lmdb');
    const root = open({ path: path(), noSubdir: false, encoding: 'binary', keyEncoding: 'binary' });
    const own = root.openDB({ name: 'hawser', encoding: 'binary', keyEncoding: 'binary' });
    own.putSync(Buffer.from('owner'), encodeOwner(newOwner(join(path(), 'data.mdb'))));
    await expect(store.txn({ compare: [lease.fence], writes: [put('a/1', '')] })).rejects.toMatchObject({
      code: 'ERR_HAWSER_STORE_LOCKED',
    });
    expect(lease.ended.aborted).toBe(true);
    expect(lease.validUntilMs).toBe(Number.NEGATIVE_INFINITY);
    await root.close();
    await store.close();
  });
});
