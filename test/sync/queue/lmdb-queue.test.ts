// The rules of the persistent queue alone: what it does in steps, and what is there when it is opened again.

import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { systemClock } from '../../../src/base/clock.js';
import { QueueChanges } from '../../../src/sync/queue/lmdb-changes.js';
import { type LmdbQueue, openQueue } from '../../../src/sync/queue/lmdb-queue.js';
import type { Difference, Snapshot, SyncQueue } from '../../../src/sync/queue/queue.js';
import { difference, drained, itemsOf, seal, submitAll, waiting, withFolder } from './queues.js';

/** What a manager has after everything that is sent. */
async function told(queue: SyncQueue, most: number): Promise<Map<string, string>> {
  const documents = new Map<string, string>();
  for (;;) {
    const snapshot = await queue.fetchAndMarkForSync();
    if (snapshot === undefined) return documents;
    expect(snapshot.size).toBeLessThanOrEqual(most);
    for (const item of snapshot.items()) {
      if (item.kind !== 'value') continue;
      if (item.operation === 'Delete') documents.delete(item.id);
      else documents.set(item.id, Buffer.from(item.data).toString());
    }
    await queue.clearSyncedItems(snapshot);
  }
}

describe('LmdbQueue, with more than what is looked at in one step for a snapshot', () => {
  const count = 10_000;
  const most = 9000;
  const some = (letter: string, from: number, to: number): Difference[] =>
    Array.from({ length: to - from }, (_, n) => from + n).map((n) =>
      difference(letter, `${n}`, { index: `${n % 3}` }),
    );
  const withQueue = (run: (queue: LmdbQueue, path: string) => Promise<void>): Promise<void> =>
    withFolder(async (folder) => {
      const queue = await openQueue(join(folder, 'queue'), { snapshotItems: most });
      await run(queue, join(folder, 'queue')).finally(() => queue.close());
    });

  test('a snapshot has the first of them all, and loses nothing of what comes while it is made', () =>
    withQueue(async (queue) => {
      const all = some('C', 0, count);
      await queue.submit(all);
      const documents = new Map(all.map(({ id, data }) => [id, Buffer.from(data).toString()]));
      let snapshot: Snapshot | undefined;
      const making = seal(queue).then((made) => {
        snapshot = made;
      });
      let rounds = 0;
      for (; snapshot === undefined; ++rounds) {
        const from = rounds * 300;
        const changed = some('M', from, from + 100);
        const deleted = some('D', from + 150, from + 200);
        await queue.submit([...changed, ...deleted, difference('C', `more ${rounds}`, { index: '0' })]);
        for (const { id, data } of changed) documents.set(id, Buffer.from(data).toString());
        for (const { id } of deleted) documents.delete(id);
        documents.set(`more ${rounds}`, '');
      }
      await making;
      expect(rounds).toBeGreaterThan(2);
      const sent = (await seal(queue)).size;
      expect(sent).toBe(most);
      const places = itemsOf(await seal(queue)).map((item) => Number(/\/(\d+) /.exec(item)?.[1]));
      expect(places).toEqual(places.toSorted((a, b) => a - b));
      expect(queue.counts.syncing).toBe(most);
      const found = await told(queue, most);
      for (const id of found.keys()) if (id.startsWith('more')) found.set(id, '');
      expect(found).toEqual(documents);
    }));

  test('no snapshot is there when its making was cut off, and everything waits as before', () =>
    withQueue(async (queue, path) => {
      const scan = vi.spyOn(QueueChanges.prototype, 'scan');
      onTestFinished(() => scan.mockRestore());
      await queue.submit(some('C', 0, count));
      const making = expect(queue.fetchAndMarkForSync()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
      while (scan.mock.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
      // Of what has been looked at.
      await queue.submit([...some('M', 0, 10), ...some('D', 10, 20)]);
      expect(queue.counts.syncing).toBe(0);
      await queue.close();
      await making;
      await using again = await openQueue(path, { snapshotItems: most });
      await again.submit(some('M', 5, 10));
      // Whatever comes first joins what is in two parts.
      expect(await again.clearItemsByIndex('none')).toBe(0);
      expect(again.counts).toEqual({ pending: count - 10, syncing: 0, parked: 0 });
      const ids = Array.from({ length: count - 10 }, (_, n) => `${n < 10 ? n : n + 10}`);
      expect(await drained(again)).toEqual(ids);
    }));

  test.each([
    ['a shorter document', 'MODIFY'],
    ['a DELETE', 'DELETE'],
  ] as const)(
    'what was parked while a snapshot was made that was cut off is not told in place of %s that came later',
    (_, operation) =>
      withQueue(async (queue, path) => {
        const scan = vi.spyOn(QueueChanges.prototype, 'scan');
        onTestFinished(() => scan.mockRestore());
        await queue.submit(some('M', 0, count));
        const making = expect(queue.fetchAndMarkForSync()).rejects.toMatchObject({
          code: 'ERR_HAWSER_CLOSED',
        });
        while (scan.mock.calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
        const data = Buffer.alloc(61_441);
        await queue.submit(['0', '3'].map((id) => difference('M', id, { index: '0', data })));
        await queue.close();
        await making;
        await using again = await openQueue(path, { snapshotItems: most });
        const last = difference(operation[0] ?? '', '0', { index: '0' });
        await again.submit([last]);
        expect(await again.clearItemsByIndex('none')).toBe(0);
        expect(again.counts).toEqual({ pending: count - 1, syncing: 0, parked: 1 });
        await again.resetSyncingItems(await seal(again));
        expect(again.counts).toEqual({ pending: count - 1, syncing: 0, parked: 1 });
        const rows = again.fetchPendingItems({ limit: 100_000 }).map(({ difference: each }) => each);
        expect(rows.filter(({ id }) => id === '3').map(({ data: { length } }) => length)).toEqual([61_441]);
        const [row, ...others] = rows.filter(({ id }) => id === '0');
        expect(others).toEqual([]);
        expect(row?.operation).toBe(operation);
        expect(Buffer.from(row?.data ?? []).equals(last.data)).toBe(true);
      }),
  );

  test('a snapshot has what it says also when calls are refused that were written together with its making', () =>
    withQueue(async (queue) => {
      await queue.submit(some('C', 0, count));
      const ofManyIndices = Array.from({ length: 1025 }, (_, n) =>
        difference('C', 'a', { index: `index ${n}` }),
      );
      const refused = (): Promise<void> =>
        expect(queue.submit(ofManyIndices)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
      const left = new Set(some('C', 0, count).map(({ id }) => id));
      const calls: Promise<void>[] = [];
      const { scan, seal: sealNow } = QueueChanges.prototype;
      const scanning = vi.spyOn(QueueChanges.prototype, 'scan').mockImplementation(function (
        this: QueueChanges,
        ...args
      ) {
        // They are written with the next step, before it.
        queueMicrotask(() => {
          const deleted = some('D', 2 * calls.length, 2 * calls.length + 2);
          for (const { id } of deleted) left.delete(id);
          calls.push(queue.submit(deleted));
        });
        return scan.apply(this, args);
      });
      const sealing = vi.spyOn(QueueChanges.prototype, 'seal').mockImplementation(function (
        this: QueueChanges,
        ...args
      ) {
        // It is written with this one, after it: all is undone, and done again without what is refused.
        calls.push(refused());
        sealNow.apply(this, args);
      });
      onTestFinished(() => void [scanning, sealing].map((spy) => spy.mockRestore()));
      const snapshot = await seal(queue);
      await Promise.all(calls);
      expect(scanning.mock.calls.length).toBeGreaterThan(4);
      expect(sealing).toHaveBeenCalled();
      scanning.mockRestore();
      sealing.mockRestore();
      expect(itemsOf(snapshot).length).toBe(snapshot.size);
      expect(queue.counts.syncing).toBe(snapshot.size);
      const documents = await told(queue, most);
      expect([...documents.keys()].sort()).toEqual([...left].sort());
    }));

  test('what is parked behind a snapshot, when a step of its making has to be done again, is in one place', async () => {
    // Whether two writes come into one transaction, so that the second fails with the first and both are done again, is up to the thread
    // that writes; and to the time that the transaction takes already, which therefore does not pass.
    const now = vi.spyOn(systemClock, 'now').mockReturnValue(systemClock.now());
    onTestFinished(() => now.mockRestore());
    let isDoneAgain = false;
    for (let attempt = 0; attempt < 20 && !isDoneAgain; ++attempt) {
      await withQueue(async (queue) => {
        isDoneAgain = await parkWhileSnapshotIsMade(queue);
      });
    }
    expect(isDoneAgain).toBe(true);
  });

  /** @returns whether a step was done again. */
  async function parkWhileSnapshotIsMade(queue: LmdbQueue): Promise<boolean> {
    await queue.submit(some('M', 0, count));
    const long = (letter: string, from: number, to: number): Difference[] =>
      some(letter, from, to).map((each) => ({ ...each, data: Buffer.alloc(61_441) }));
    const { scan } = QueueChanges.prototype;
    const calls: Promise<void>[] = [];
    const scanning = vi.spyOn(QueueChanges.prototype, 'scan').mockImplementation(function (
      this: QueueChanges,
      ...args
    ) {
      // Written with the last step: these before it, and what is refused after it, so that both are done again.
      if (scanning.mock.calls.length === 4) {
        queueMicrotask(() => {
          calls.push(queue.submit([...long('M', 8500, 8510), ...long('M', 9005, 9006)]));
        });
      } else if (scanning.mock.calls.length === 5) {
        const ofManyIndices = Array.from({ length: 1025 }, (_, n) =>
          difference('C', 'a', { index: `index ${n}` }),
        );
        const refused = { code: 'ERR_HAWSER_ARGUMENT' };
        calls.push(expect(queue.submit(ofManyIndices)).rejects.toMatchObject(refused));
      }
      return scan.apply(this, args);
    });
    try {
      await queue.clearSyncedItems(await seal(queue));
      await Promise.all(calls);
      expect(calls.length).toBe(2);
      const rows = queue.fetchPendingItems({ limit: 100_000 }).map(({ difference: { id } }) => id);
      expect(rows.filter((id) => id === '9005')).toEqual(['9005']);
      expect(queue.counts.parked).toBe(11);
      await queue.submit(some('D', 9005, 9006));
      expect(queue.counts.parked).toBe(10);
      return scanning.mock.calls.length === 6;
    } finally {
      scanning.mockRestore();
    }
  }

  test('a snapshot comes about although everything that it is of changes again and again', () =>
    withQueue(async (queue) => {
      await queue.submit(some('C', 0, count));
      let isMade = false;
      const making = seal(queue).finally(() => {
        isMade = true;
      });
      while (!isMade) await queue.submit(some('M', 0, most));
      const snapshot = await making;
      expect(snapshot.size).toBeGreaterThan(0);
      const ids = [...snapshot.items()].map((item) => ('id' in item ? item.id : ''));
      expect(ids).toEqual(Array.from(ids, (_, n) => `${n}`));
    }));

  test('what changed of a snapshot, and what waits behind it, is told in order, also by the next process', () =>
    withQueue(async (queue, path) => {
      await queue.submit(some('C', 0, count));
      const snapshot = await seal(queue);
      // So many that they are joined in several steps.
      await queue.submit(some('M', 1000, 6000));
      await queue.submit(some('C', count, count + 100));
      const clearing = queue.clearSyncedItems(snapshot);
      await queue.submit(some('D', 2000, 2010));
      await clearing;
      await queue.submit(some('M', 2010, 2020));
      expect(queue.counts).toEqual({ pending: 6100, syncing: 0, parked: 0 });
      await queue.close();
      await using again = await openQueue(path, { snapshotItems: 2500 });
      expect(again.counts).toEqual({ pending: 6100, syncing: 0, parked: 0 });
      expect(again.fetchPendingItems({ limit: 1 })[0]?.difference.id).toBe('1000');
      const ids = [...some('M', 1000, 6000), ...some('M', most, count + 100)].map(({ id }) => id);
      expect(await drained(again)).toEqual(ids);
      expect(again.counts).toEqual({ pending: 0, syncing: 0, parked: 0 });
    }));

  test('what was told is removed by and by, also by the next process, and nothing else', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'queue');
      const open = (): Promise<LmdbQueue> => openQueue(path, { snapshotItems: 20_000 });
      const queue = await open();
      await queue.submit(some('C', 0, 24_000));
      const { bytes } = queue.usage;
      await queue.clearSyncedItems(await seal(queue));
      expect(queue.usage.bytes).toBeGreaterThan(bytes / 2);
      // The same documents, while rows of them are there yet.
      await queue.submit(some('M', 19_900, 20_000));
      await queue.close();
      await using again = await open();
      expect(again.counts).toEqual({ pending: 4100, syncing: 0, parked: 0 });
      for (let n = 0; again.usage.bytes > bytes / 3 && n < 1000; ++n) await again.markKnown();
      expect(again.usage.bytes).toBeLessThanOrEqual(bytes / 3);
      await again.submit(some('M', 19_900, 19_950));
      const ids = [...some('M', 20_000, 24_000), ...some('M', 19_900, 20_000)].map(({ id }) => id);
      expect(await drained(again)).toEqual(ids);
    }));

  test('what is no more than a snapshot may have is not looked through', () =>
    withFolder(async (folder) => {
      const scan = vi.spyOn(QueueChanges.prototype, 'scan');
      onTestFinished(() => scan.mockRestore());
      await using queue = await openQueue(join(folder, 'queue'), { snapshotItems: count });
      await queue.submit(some('C', 0, count));
      expect((await seal(queue)).size).toBe(count);
      expect(scan).not.toHaveBeenCalled();
      await queue.resetSyncingItems(await seal(queue));
      expect((await seal(queue, { items: count - 1 })).size).toBe(count - 1);
      expect(scan).toHaveBeenCalled();
    }));
});

describe('LmdbQueue, opened again', () => {
  const reopened = async (run: (open: () => Promise<LmdbQueue>) => Promise<void>): Promise<void> =>
    withFolder(async (folder) => {
      const queues: LmdbQueue[] = [];
      await run(async () => {
        await queues.at(-1)?.close();
        const queue = await openQueue(join(folder, 'queue.d'), { module: 'files' });
        queues.push(queue);
        return queue;
      }).finally(() => queues.at(-1)?.close());
    });

  test('cases 78 and 82: a snapshot that has not ended is the same, and so is what waits', () =>
    reopened(async (open) => {
      let queue = await open();
      await queue.submit([
        difference('C', 'a'),
        difference('C', 'c', { isContext: true }),
        difference('C', 'b'),
      ]);
      const snapshot = await seal(queue);
      const items = itemsOf(snapshot);
      await submitAll(queue, 'M', 'later');
      await queue.submit([difference('C', 'long', { data: Buffer.alloc(61_441) })]);
      const { counts } = queue;
      queue = await open();
      expect(queue.counts).toEqual(counts);
      const again = await seal(queue);
      expect([again.nonce, again.generation, again.resumed]).toEqual([
        snapshot.nonce,
        snapshot.generation,
        true,
      ]);
      expect(itemsOf(again)).toEqual(items);
      // Not sent, so that its CREATE and a DELETE are nothing.
      await queue.resetSyncingItems(again);
      await submitAll(queue, 'D', 'a');
      queue = await open();
      expect(waiting(queue)).toEqual([
        'pending CREATE index/c',
        'pending CREATE index/b',
        'pending MODIFY index/later',
        'parked CREATE index/long',
      ]);
    }));

  test('no ghosts: that Data were sent is known after a restart', () =>
    reopened(async (open) => {
      let queue = await open();
      await submitAll(queue, 'C');
      await queue.markSent(await seal(queue));
      queue = await open();
      await submitAll(queue, 'D');
      await queue.resetSyncingItems(await seal(queue));
      queue = await open();
      expect(waiting(queue)).toEqual(['pending DELETE index/a']);
    }));

  test('no ghosts: that a FULL session is under way is known after a restart, until it is over', () =>
    reopened(async (open) => {
      let queue = await open();
      await queue.beginFull();
      queue = await open();
      await submitAll(queue, 'C', 'during');
      queue = await open();
      await submitAll(queue, 'D', 'during');
      await queue.endFull();
      queue = await open();
      await submitAll(queue, 'C D', 'new');
      expect(waiting(queue)).toEqual(['pending DELETE index/during']);
    }));

  test('generations grow across restarts, and begin above those of a queue that was lost', () =>
    reopened(async (open) => {
      const first = await (await open()).nextGeneration();
      expect(first).toBeGreaterThan(BigInt(Date.now() - 60_000) * 1000n);
      expect(await (await open()).nextGeneration()).toBe(first + 1n);
    }));

  test('cases 79 and 80: nothing is acknowledged that is not kept: closing has nothing left to write', () =>
    reopened(async (open) => {
      const queue = await open();
      const submitted = queue.submit([difference('C', 'a')]);
      const closed = queue.close();
      await submitted;
      await closed;
      expect(waiting(await open())).toEqual(['pending CREATE index/a']);
    }));

  test('case 83: a queue whose folder was removed is a new one', () =>
    withFolder(async (folder) => {
      const path = join(folder, 'queue');
      const queue = await openQueue(path);
      await submitAll(queue, 'C');
      await queue.close();
      rmSync(path, { recursive: true });
      const made = await openQueue(path);
      expect(made.counts).toEqual({ pending: 0, syncing: 0, parked: 0 });
      await made.close();
    }));

  test('a queue of another module, or one that is open, is not opened', () =>
    reopened(async (open) => {
      const { path } = await open();
      await expect(openQueue(path)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
      await (await open()).close();
      await expect(openQueue(path, { module: 'packages' })).rejects.toMatchObject({
        code: 'ERR_HAWSER_STORE_FORMAT',
      });
      await (await openQueue(path)).close();
    }));

  test('case 79: a full queue refuses differences with a typed error, keeps all it has, can be sent, and then takes more', () =>
    withFolder(async (folder) => {
      const queue = await openQueue(join(folder, 'queue'), { maxBytes: 2 ** 20 });
      const kept: string[] = [];
      const fill = async (): Promise<unknown> => {
        for (let n = 0; ; ++n) {
          const id = `${kept.length} ${n}`;
          try {
            await queue.submit([difference('C', id, { data: Buffer.alloc(20_000) })]);
            kept.push(id);
          } catch (error) {
            return error;
          }
        }
      };
      expect(await fill()).toMatchObject({ code: 'ERR_HAWSER_STORE_FULL' });
      expect(queue.counts.pending).toBe(kept.length);
      const snapshot = await seal(queue);
      await queue.markSent(snapshot);
      expect(snapshot.size).toBe(kept.length);
      await queue.resetSyncingItems(snapshot);
      expect(await drained(queue)).toEqual(kept);
      kept.length = 0;
      expect(await fill()).toMatchObject({ code: 'ERR_HAWSER_STORE_FULL' });
      expect(await drained(queue)).toEqual(kept);
      await queue.close();
    }));

  test.each([
    [{ maxBytes: 1000 }, 'options.maxBytes'],
    [{ module: '' }, 'options.module'],
    [{ snapshotItems: 0 }, 'options.snapshotItems'],
    [{ snapshotItems: 2 ** 32 + 1 }, 'options.snapshotItems'],
    [{ snapshotBytes: 0 }, 'options.snapshotBytes'],
    [{ snapshotBytes: 2 ** 40 + 1 }, 'options.snapshotBytes'],
    [{ durability: 'never' }, 'options.durability'],
    [{ durabilty: 'durable' }, 'durabilty'],
  ])('refuses the options %o', async (options, name) => {
    await expect(Reflect.apply(openQueue, undefined, ['/nowhere', options])).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining(name),
    });
  });
});
