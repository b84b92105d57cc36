import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.js';
import { type LmdbStore, openLmdb } from '../../../src/base/lmdb-store.js';
import { nextTurn } from '../../../src/base/next-turn.js';
import { Turns } from '../../../src/base/turns.js';
import { LmdbGarbage } from '../../../src/sync/store/lmdb-garbage.js';
import {
  type Databases,
  databaseNames,
  databasesOf,
  decodeGarbage,
  type GarbageKind,
  garbageKey,
  stagingKey,
} from '../../../src/sync/store/lmdb-keys.js';

const nothing = Buffer.alloc(0);

describe('garbage', () => {
  let directory: string;
  let store: LmdbStore;
  let databases: Databases;
  let garbage: LmdbGarbage;

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'hawser-garbage-'));
    const format = { name: 'test', version: 1 };
    store = await openLmdb(join(directory, 'store'), { maxBytes: 2 ** 30, databases: databaseNames, format });
    databases = databasesOf(store);
    garbage = new LmdbGarbage(store, databases, new Turns(systemClock, 5));
  });

  afterEach(async () => {
    await garbage.close();
    await store.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const note = (kind: GarbageKind, numbers: readonly number[], rows = 0): Promise<void> =>
    store.transaction(() => {
      for (const number of numbers) {
        databases.garbage.putSync(garbageKey(kind, number), nothing);
        for (let n = 0; n < rows; ++n) databases[kind].putSync(stagingKey(number, n), nothing);
      }
    });

  const noted = (): (number | undefined)[] =>
    Array.from(databases.garbage.getKeys({}), (key) => decodeGarbage(key)?.number);

  /** Lets it be collected until so many notes are left. */
  const collected = async (left = 0): Promise<void> => {
    while (noted().length > left) await nextTurn();
  };

  const numbers = (from: number, count: number): number[] =>
    Array.from({ length: count }, (_, n) => from + n);

  test('of many that are empty or small goes in few transactions', async () => {
    await note('documents', numbers(1, 2000));
    await note('staging', numbers(5000, 100), 9);
    const transactions = vi.spyOn(store, 'transaction');
    garbage.collect();
    await collected();
    // 2,000 notes, and 1,000 notes and rows.
    expect(transactions.mock.calls.length).toBeLessThanOrEqual(4);
    expect(databases.staging.getKeysCount()).toBe(0);
  });

  test.each([1022, 1023, 1024, 1025, 2500])(
    'of %i rows goes to the last of them, and nothing else with it',
    async (rows) => {
      await note('checksums', [7, 8], rows);
      await note('checksums', [9], 10);
      await store.transaction(() => {
        for (const number of [6, 10]) databases.checksums.putSync(stagingKey(number, 0), nothing);
      });
      garbage.collect();
      await collected();
      expect(Array.from(databases.checksums.getKeys({}), (key) => Buffer.from(key))).toEqual([
        stagingKey(6, 0),
        stagingKey(10, 0),
      ]);
    },
  );

  test('that is held stays, however much of it there is, until it is released; what comes behind it goes', async () => {
    const held = numbers(1, 3000);
    for (const number of held) garbage.hold(number);
    await note('documents', held);
    await note('documents', [4000], 5);
    await note('checksums', [2, 4000], 5);
    garbage.collect();
    await collected(3001);
    expect(noted()).toEqual([...held, 2]);
    expect(databases.checksums.getKeysCount()).toBe(5);
    for (const number of held) garbage.release(number);
    garbage.collect();
    await collected();
    expect(databases.checksums.getKeysCount()).toBe(0);
  });

  test('that comes while older is collected goes too', async () => {
    // These are passed over, so that what comes is among what was looked at already.
    const held = numbers(2, 1024);
    for (const number of held) garbage.hold(number);
    await note('documents', held);
    await note('staging', [5000], 10_000);
    garbage.collect();
    while (databases.staging.getKeysCount() > 8000) await nextTurn();
    await note('documents', [1], 3);
    garbage.collect();
    await collected(held.length);
    expect(databases.documents.getKeysCount()).toBe(0);
  });

  test('stays for the next time when the store is closed meanwhile', async () => {
    await note('staging', [1], 5000);
    garbage.collect();
    await garbage.close();
    expect(noted()).toEqual([1]);
    garbage.collect();
    await nextTurn();
    expect(noted()).toEqual([1]);
  });
});
