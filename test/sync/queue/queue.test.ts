// The rules of the queue of an agent, on both kinds: the table of docs/sync.md case by case, and what surrounds it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { type LmdbQueue, openQueue } from '../../../src/sync/queue/lmdb-queue.js';
import type { Difference, Snapshot, SyncQueue } from '../../../src/sync/queue/queue.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import { limits } from '../../../src/sync/wire/messages.js';
import { startOf } from '../manager/fake-agent.js';
import { difference, itemsOf, queueKinds, seal, submitAll, textOf, waiting, withFolder } from './queues.js';

/** Number, what comes before the sync, what during it, how it ends; what is told by the next one. */
const table: readonly (readonly [number, string, string, 'none' | 'success' | 'failure', string])[] = [
  [60, 'C', '', 'none', 'CREATE'],
  [61, 'C M', '', 'none', 'MODIFY'],
  [62, 'C D', '', 'none', ''],
  [63, 'M D', '', 'none', 'DELETE'],
  [64, 'D', '', 'none', 'DELETE'],
  [65, 'C', 'M', 'success', 'MODIFY'],
  [66, 'C', 'D', 'success', 'DELETE'],
  [67, 'C', 'D', 'failure', ''],
  [68, 'C', 'M', 'failure', 'MODIFY'],
  [69, 'D M', '', 'none', 'MODIFY'],
  [70, 'C', '', 'success', ''],
  [71, 'M M', '', 'none', 'MODIFY'],
  [73, 'M', 'D C D', 'failure', 'DELETE'],
  [74, 'C D C', '', 'none', 'CREATE'],
  [75, 'C', 'M D M', 'success', 'MODIFY'],
  [76, 'C', 'D C', 'failure', 'CREATE'],
];

describe.each(queueKinds)('$name', ({ name, open }) => {
  let queue: SyncQueue;
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'hawser-queue-'));
    queue = await open(folder);
  });

  afterEach(async () => {
    await queue.close();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(table)(
    'case %i: "%s", during the sync "%s", %s => "%s"',
    async (_, before, during, end, after) => {
      const first = await submitAll(queue, before);
      let last = first;
      if (end !== 'none') {
        const snapshot = await seal(queue);
        const sent = itemsOf(snapshot);
        last = [...first, ...(await submitAll(queue, during))];
        expect(itemsOf(snapshot)).toEqual(sent);
        if (end === 'success') await queue.clearSyncedItems(snapshot);
        else await queue.resetSyncingItems(snapshot);
      }
      expect(waiting(queue)).toEqual(after === '' ? [] : [`pending ${after} index/a`]);
      expect(queue.counts).toEqual({ pending: after === '' ? 0 : 1, syncing: 0, parked: 0 });
      const next = await queue.fetchAndMarkForSync();
      const data = Buffer.from(last.at(-1)?.data ?? []).toString();
      const operation = after === 'DELETE' ? 'Delete' : 'Upsert';
      expect(next && itemsOf(next)).toEqual(after === '' ? undefined : [`${operation} 0 index/a ${data}`]);
    },
  );

  test('case 72: two documents are sent in the order in which they came first', async () => {
    await submitAll(queue, 'C', 'z');
    await submitAll(queue, 'C', 'a');
    await submitAll(queue, 'M', 'z');
    expect(waiting(queue)).toEqual(['pending MODIFY index/z', 'pending CREATE index/a']);
    const snapshot = await seal(queue);
    expect([...snapshot.items()].map((item) => ('id' in item ? item.id : ''))).toEqual(['z', 'a']);
  });

  test('case 77: removing an index removes its items whatever their status, and no other', async () => {
    const other = { index: 'inde' };
    await queue.submit([difference('C', 'sent'), difference('C', 'kept', other), difference('C', 'both')]);
    const snapshot = await seal(queue);
    await queue.submit([
      difference('M', 'both'),
      difference('M', 'waits'),
      difference('M', 'long', { data: Buffer.alloc(70_000) }),
      difference('D', 'kept too', other),
    ]);
    expect(await queue.clearItemsByIndex('unknown')).toBe(0);
    expect(await queue.clearItemsByIndex('index')).toBe(4);
    expect(() => itemsOf(snapshot)).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' }));
    // What is left of the snapshot is another one, which the old one's end does not concern.
    await queue.clearSyncedItems(snapshot);
    await queue.resetSyncingItems(snapshot);
    const next = await seal(queue);
    expect(next.nonce).not.toBe(snapshot.nonce);
    expect(next.generation).toBeGreaterThan(snapshot.generation);
    expect(next.indices).toEqual(['inde']);
    expect(await drained(queue)).toEqual(['kept', 'kept too']);
    expect(await queue.clearItemsByIndex('index')).toBe(0);
  });

  test('case 81: looking at what waits changes nothing; it is by order, up to a limit, of values only if wanted', async () => {
    const many = Array.from({ length: 1000 }, (_, n) =>
      difference('C', `${n * 7919}`, { isContext: n % 10 === 9 }),
    );
    await queue.submit(many);
    const seen = queue.fetchPendingItems();
    expect(seen.map((item) => item.difference.id)).toEqual(many.map(({ id }) => id));
    expect(seen[9]).toEqual({
      status: 'pending',
      difference: { ...many[9], version: 0n, data: expect.anything() },
    });
    expect(Buffer.from(seen[9]?.difference.data ?? []).equals(many[9]?.data ?? Buffer.of())).toBe(true);
    const values = queue.fetchPendingItems({ limit: 10, onlyDataValues: true });
    expect(values.map((item) => item.difference.id)).toEqual(
      many
        .filter((each) => !each.isContext)
        .slice(0, 10)
        .map(({ id }) => id),
    );
    expect(queue.counts).toEqual({ pending: 1000, syncing: 0, parked: 0 });
    await seal(queue);
    await queue.submit([difference('M', '0')]);
    expect(waiting(queue).slice(0, 3).sort()).toEqual([
      'pending MODIFY index/0',
      'syncing CREATE index/0',
      'syncing CREATE index/7919',
    ]);
    expect(() => queue.fetchPendingItems({ limit: 0 })).toThrow('options.limit');
  });

  test.each([
    [
      'before the session has failed',
      async (snapshot: Snapshot) => [() => queue.resetSyncingItems(snapshot)],
    ],
    [
      'after the session has failed',
      async (snapshot: Snapshot) => void (await queue.resetSyncingItems(snapshot)),
    ],
  ])('no ghosts: a DELETE %s is told when Data may have been sent', async (_, end) => {
    await submitAll(queue, 'C');
    const snapshot = await seal(queue);
    await queue.markSent(snapshot);
    const after = await end(snapshot);
    await submitAll(queue, 'D');
    for (const each of after ?? []) await each();
    expect(waiting(queue)).toEqual(['pending DELETE index/a']);
  });

  test('no ghosts: a DELETE is told of what waited when a FULL session was about to leave', async () => {
    await submitAll(queue, 'C', 'known');
    await submitAll(queue, 'C', 'sealed');
    const snapshot = await seal(queue);
    await submitAll(queue, 'C', 'open');
    await queue.markKnown();
    await submitAll(queue, 'C', 'new');
    for (const id of ['known', 'sealed', 'open', 'new']) await submitAll(queue, 'D', id);
    await queue.resetSyncingItems(snapshot);
    expect(await drained(queue)).toEqual(['known', 'sealed', 'open']);
  });

  test('what is too long for any message is parked, blocks nothing, and goes when something shorter takes its place', async () => {
    const long = (letter: string, id: string): Difference =>
      difference(letter, id, { data: Buffer.alloc(61_441) });
    await queue.submit([
      long('C', 'first'),
      difference('C', 'second'),
      long('C', 'gone'),
      long('M', 'deleted'),
    ]);
    expect(queue.counts).toEqual({ pending: 1, syncing: 0, parked: 3 });
    await queue.submit([difference('D', 'gone'), difference('D', 'deleted')]);
    const snapshot = await seal(queue);
    expect([...snapshot.items()].map((item) => ('id' in item ? item.id : ''))).toEqual(['second', 'deleted']);
    await queue.submit([long('M', 'second')]);
    await queue.markSent(snapshot);
    await queue.resetSyncingItems(snapshot);
    expect(waiting(queue)).toEqual([
      'parked CREATE index/first',
      'parked MODIFY index/second',
      'pending DELETE index/deleted',
    ]);
    await queue.submit([difference('M', 'first'), difference('D', 'second')]);
    expect(queue.counts).toEqual({ pending: 3, syncing: 0, parked: 0 });
    expect(await drained(queue)).toEqual(['first', 'second', 'deleted']);
    await queue.submit([long('C', 'alone')]);
    expect(await queue.fetchAndMarkForSync()).toBeUndefined();
  });

  test('contexts are sent after all values; what a document is now is what it is sent as', async () => {
    const context = { isContext: true };
    await queue.submit([
      difference('C', 'a', context),
      difference('C', 'b', { index: 'other', version: 2n ** 64n - 1n }),
      difference('C', 'c'),
      difference('C', 'd', context),
      difference('M', 'e', context),
      difference('M', 'c', context),
      difference('M', 'd'),
      difference('D', 'e'),
    ]);
    const snapshot = await seal(queue);
    expect(itemsOf(snapshot).map((item) => item.replace(/ {.*/, ''))).toEqual([
      `Upsert ${2n ** 64n - 1n} other/b`,
      'Upsert 0 index/d',
      'Delete 0 index/e ',
      'context index/a',
      'context index/c',
    ]);
    expect(snapshot.indices).toEqual(['index', 'other']);
    expect(snapshot.size).toBe(5);
  });

  test('a snapshot is read from any place, also with other work in between, and after much was removed from between', async () => {
    const random = seededRandom(1);
    const all = Array.from({ length: 1500 }, (_, n) => difference('C', `${n}`, { isContext: n % 3 === 0 }));
    await queue.submit(all);
    await queue.submit(all.filter(() => random() < 0.4).map(({ id }) => difference('D', id)));
    const snapshot = await seal(queue);
    const items = itemsOf(snapshot);
    expect(items.length).toBe(snapshot.size);
    for (const from of [0, 1, 255, 256, 257, 511, 600, 767, 768, snapshot.size - 1, snapshot.size]) {
      const again = (await queue.fetchAndMarkForSync()) ?? snapshot;
      expect(itemsOf(again, from)).toEqual(items.slice(from));
    }
    const reading = snapshot.items(200);
    const first = textOf(reading.next().value);
    await queue.submit([difference('M', '1'), difference('C', 'another')]);
    expect([first, ...[...reading].map(textOf)]).toEqual(items.slice(200));
    expect(() => itemsOf(snapshot, snapshot.size + 1)).toThrow('fromSeq');
  });

  test('there is one snapshot until it has ended, and the next has a higher generation', async () => {
    expect(await queue.fetchAndMarkForSync()).toBeUndefined();
    await submitAll(queue, 'C');
    const snapshot = await seal(queue);
    expect(snapshot.resumed).toBe(false);
    await submitAll(queue, 'C', 'b');
    const again = await seal(queue);
    expect({ ...again, resumed: false }).toMatchObject({
      nonce: snapshot.nonce,
      generation: snapshot.generation,
    });
    expect(again.resumed).toBe(true);
    expect(queue.counts).toEqual({ pending: 1, syncing: 1, parked: 0 });
    const between = await queue.nextGeneration();
    expect(between).toBeGreaterThan(snapshot.generation);
    await queue.clearSyncedItems(again);
    expect(() => itemsOf(snapshot)).toThrow('ended');
    const next = await seal(queue);
    expect(next.generation).toBeGreaterThan(between);
    await queue.clearSyncedItems(snapshot);
    await queue.markSent(snapshot);
    expect(queue.counts.syncing).toBe(1);
    await queue.raiseGeneration(2n ** 60n);
    await queue.raiseGeneration(5n);
    expect(await queue.nextGeneration()).toBe(2n ** 60n + 1n);
    await expect(queue.raiseGeneration(2n ** 64n - 1n)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
    });
  });

  test.each<[string, unknown]>([
    ['differences', 'text'],
    ['differences[0]', [undefined]],
    ['differences[1].id', [difference('C'), difference('C', '')]],
    ['differences[0].id', [difference('C', 'é'.repeat(513))]],
    ['differences[0].id', [difference('C', '\ud800')]],
    ['differences[0].index', [difference('C', 'a', { index: 'x'.repeat(257) })]],
    ['differences[0].operation', [{ ...difference('C'), operation: 'NO_OP' }]],
    ['differences[0].data', [{ ...difference('C'), data: 'text' }]],
    ['differences[0].data', [difference('D', 'a', { data: Buffer.of(1) })]],
    ['differences[0].data', [difference('C', 'a', { data: Buffer.alloc(2 ** 24 + 1) })]],
    ['differences[0].version', [difference('C', 'a', { version: -1n })]],
    ['differences[0].isContext', [difference('D', 'a', { isContext: true })]],
  ])('refuses wrong %s, and keeps nothing of the call', async (place, differences) => {
    const good = { ...difference('C', 'good') };
    const given = Array.isArray(differences) ? [...differences, good] : differences;
    await expect(Reflect.apply(queue.submit, queue, [given])).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining(`${place} `),
    });
    expect(waiting(queue)).toEqual([]);
  });

  test('ids and indices that look alike are different documents', async () => {
    const ids = ['a', 'a\0', 'ab', '\u00e9', 'e\u0301', '\ud83d\ude00', 'x'.repeat(1024), 'y'.repeat(1024)];
    for (const id of ids) {
      const [first = '', ...rest] = id;
      await queue.submit([
        difference('C', id),
        difference('C', first, { index: `index${rest.slice(0, 200).join('')}` }),
      ]);
    }
    const snapshot = await seal(queue);
    const keys = [...snapshot.items()].map((item) =>
      'id' in item ? `${item.index.length} ${item.index}${item.id}` : '',
    );
    expect(new Set(keys).size).toBe(keys.length);
    expect(keys.length).toBeGreaterThan(ids.length + 4);
  });

  test('at most 1,024 indices wait at a time; those of which nothing is left do not count', async () => {
    const ofIndex = (n: number): Difference => difference('C', 'a', { index: `index ${n}` });
    await queue.submit(Array.from({ length: 1024 }, (_, n) => ofIndex(n)));
    await expect(queue.submit([ofIndex(1024)])).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(queue.counts.pending).toBe(1024);
    await queue.submit([difference('D', 'a', { index: 'index 7' })]);
    await queue.submit([ofIndex(1024)]);
    expect((await seal(queue)).indices.length).toBe(1024);
  });

  test('the names of all indices that wait are of at most 32,768 bytes in all, so that one Start can name them', async () => {
    const ofIndex = (n: number): Difference => difference('C', 'a', { index: `\u00e9${n}`.padEnd(127, 'x') });
    await queue.submit(Array.from({ length: 256 }, (_, n) => ofIndex(n)));
    const more = difference('C', 'a', { index: 'x' });
    await expect(queue.submit([more])).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining('32768 bytes'),
    });
    expect(queue.counts.pending).toBe(256);
    await queue.submit([{ ...more, isContext: true }, difference('D', 'a', { index: ofIndex(7).index })]);
    await queue.submit([more]);
    // Most bytes beside the names have the most names.
    const indices = Array.from({ length: 1024 }, (_, n) => `${n}`.padEnd(32, 'x'));
    const start = encodeMessage(startOf({ module: 'm'.repeat(256), indices }));
    expect(start.length).toBeLessThan(limits.messageBytes - 16_384);
  });

  describe('with snapshots of at most 3 items', () => {
    let few: SyncQueue;

    beforeEach(async () => {
      few = await open(join(folder, 'few'), { snapshotItems: 3 });
    });

    afterEach(() => few.close());

    const idsOf = (snapshot: Snapshot): string[] =>
      [...snapshot.items()].map((item) => ('id' in item ? item.id : ''));

    test('a snapshot has the first of those that wait, and a context goes only when all values before it have gone', async () => {
      const ids = ['a', 'b context', 'c', 'd', 'e context', 'f', 'g context'];
      const differences = ids.map((id) => difference('C', id, { isContext: id.includes('context') }));
      await few.submit(differences.map((each) => ({ ...each, index: `of ${each.id}` })));
      const sent: string[][] = [];
      for (const left of [4, 1, 0]) {
        const snapshot = await seal(few);
        const values = idsOf(snapshot).filter((id) => !id.includes('context'));
        expect(snapshot.indices).toEqual(values.map((id) => `of ${id}`));
        expect(few.counts).toEqual({ pending: left, syncing: snapshot.size, parked: 0 });
        sent.push(idsOf(snapshot));
        await few.clearSyncedItems(snapshot);
      }
      expect(sent).toEqual([['a', 'c', 'b context'], ['d', 'f', 'e context'], ['g context']]);
      expect(await few.fetchAndMarkForSync()).toBeUndefined();
    });

    test('the first of those that wait are the same again when the session has failed, and what was not in it is new still', async () => {
      for (const id of ['a', 'b', 'c', 'd', 'e']) await submitAll(few, 'C', id);
      const snapshot = await seal(few);
      await few.markSent(snapshot);
      await submitAll(few, 'D', 'b');
      await few.resetSyncingItems(snapshot);
      await submitAll(few, 'D', 'e');
      expect(waiting(few)).toEqual(
        ['a', 'b', 'c', 'd'].map((id) => `pending ${id === 'b' ? 'DELETE' : 'CREATE'} index/${id}`),
      );
      expect(idsOf(await seal(few))).toEqual(['a', 'b', 'c']);
    });

    test('what is parked is not counted', async () => {
      const long = { data: Buffer.alloc(61_441) };
      await few.submit(['a', 'b', 'c'].map((id) => difference('C', id, long)));
      for (const id of ['d', 'e', 'f']) await submitAll(few, 'C', id);
      expect(idsOf(await seal(few))).toEqual(['d', 'e', 'f']);
    });
  });

  describe('a mark', () => {
    const ids = (): string[] => waiting(queue).map((row) => row.replace('pending ', ''));

    test('parts what goes from what was submitted later, which stays', async () => {
      const other = difference('C', 'other', { index: 'other' });
      await queue.submit([
        difference('C', 'before'),
        difference('C', 'both'),
        difference('C', 'sent'),
        other,
      ]);
      const snapshot = await seal(queue);
      await queue.submit([difference('C', 'waits'), difference('M', 'sent')]);
      // Not awaited: what was submitted by a call before counts as before.
      const submitted = queue.submit([difference('C', 'called')]);
      const mark = await queue.mark();
      await submitted;
      await queue.submit([difference('M', 'both'), difference('C', 'after')]);
      expect(await queue.clearItemsByIndex('index', mark)).toBe(4);
      expect(ids()).toEqual(['MODIFY index/both', 'CREATE other/other', 'CREATE index/after']);
      await queue.clearSyncedItems(snapshot);
      expect(queue.counts).toEqual({ pending: 3, syncing: 0, parked: 0 });
      expect(await queue.clearItemsByIndex('index', await queue.mark())).toBe(2);
    });

    test('no ghosts: what stays is not new any more, so that its DELETE is told', async () => {
      const mark = await queue.mark();
      await submitAll(queue, 'C');
      expect(await queue.clearItemsByIndex('index', mark)).toBe(0);
      await submitAll(queue, 'D');
      expect(ids()).toEqual(['DELETE index/a']);
    });

    test('parts also what is parked, and a great many', async () => {
      const count = name === 'LmdbQueue' ? 5000 : 50;
      const many = Array.from({ length: count }, (_, n) => difference('C', `${n}`));
      await queue.submit([...many, difference('C', 'long', { data: Buffer.alloc(61_441) })]);
      const mark = await queue.mark();
      const later = many.filter((_, n) => n % 3 === 0).map(({ id }) => difference('M', id));
      await queue.submit([...later, difference('C', 'long later', { data: Buffer.alloc(61_441) })]);
      expect(await queue.clearItemsByIndex('index', mark)).toBe(count - later.length + 1);
      expect(queue.counts).toEqual({ pending: later.length, syncing: 0, parked: 1 });
      expect(await queue.clearItemsByIndex('index')).toBe(later.length + 1);
    });

    test('is checked', async () => {
      for (const mark of [1, {}, { number: 0 }, { number: 1, more: 1 }, null]) {
        await expect(Reflect.apply(queue.clearItemsByIndex, queue, ['index', mark])).rejects.toMatchObject({
          code: 'ERR_HAWSER_ARGUMENT',
        });
      }
    });
  });

  test('many callers at once: each is told when its own is kept, and the data are those of the time of the call', async () => {
    const data = Buffer.from('1');
    const calls = Array.from({ length: 64 }, async (_, n) => {
      const submitted = queue.submit([difference('C', `${n}`, { data })]);
      data.write('2');
      await submitted;
      data.write('1');
      expect(queue.counts.pending).toBeGreaterThan(0);
    });
    data.write('1');
    await Promise.all(calls);
    expect(queue.counts.pending).toBe(64);
  });

  test('every call after closing is refused, and closing twice is closing once', async () => {
    await submitAll(queue, 'C');
    const snapshot = await seal(queue);
    await Promise.all([queue.close(), queue.close()]);
    const closed = { code: 'ERR_HAWSER_CLOSED' };
    await expect(queue.submit([difference('C')])).rejects.toMatchObject(closed);
    await expect(queue.fetchAndMarkForSync()).rejects.toMatchObject(closed);
    await expect(queue.markSent(snapshot)).rejects.toMatchObject(closed);
    await expect(queue.markKnown()).rejects.toMatchObject(closed);
    await expect(queue.clearSyncedItems(snapshot)).rejects.toMatchObject(closed);
    await expect(queue.resetSyncingItems(snapshot)).rejects.toMatchObject(closed);
    await expect(queue.nextGeneration()).rejects.toMatchObject(closed);
    await expect(queue.raiseGeneration(1n)).rejects.toMatchObject(closed);
    await expect(queue.clearItemsByIndex('index')).rejects.toMatchObject(closed);
    await expect(queue.mark()).rejects.toMatchObject(closed);
    expect(() => queue.fetchPendingItems()).toThrow(expect.objectContaining(closed));
    expect(() => itemsOf(snapshot)).toThrow(expect.objectContaining(closed));
  });

  test('a session of many items that fails while many others came, and come, loses none of them', async () => {
    const count = name === 'LmdbQueue' ? 5000 : 500;
    const some = (letter: string, from: number, to: number): Difference[] =>
      Array.from({ length: to - from }, (_, n) => difference(letter, `${from + n}`));
    for (const [before, meanwhile] of [
      [count, count / 2],
      [count / 2, count],
    ] as const) {
      await queue.submit(some('C', 0, before));
      const snapshot = await seal(queue);
      await queue.submit(some('M', 100, 100 + meanwhile));
      const failing = queue.resetSyncingItems(snapshot);
      await queue.submit(some('D', 0, 50));
      await queue.submit(some('M', before - 50, before));
      await failing;
      const ids = Array.from({ length: Math.max(before, 100 + meanwhile) - 50 }, (_, n) => `${n + 50}`);
      expect(await drained(queue)).toEqual(ids);
    }
  });
});

/** The ids of all that is sent until nothing is left. */
async function drained(queue: SyncQueue): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const snapshot = await queue.fetchAndMarkForSync();
    if (snapshot === undefined) return ids;
    ids.push(...[...snapshot.items()].map((item) => ('id' in item ? item.id : '')));
    await queue.clearSyncedItems(snapshot);
  }
}

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

describe('LmdbQueue, with more than what is moved in one step for a snapshot', () => {
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
      await queue.submit(some('C', 0, count));
      const making = expect(queue.fetchAndMarkForSync()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
      for (let n = 0; n < 2; ++n) await queue.submit(some('M', 0, 10));
      await queue.close();
      await making;
      await using again = await openQueue(path, { snapshotItems: most });
      expect(again.counts).toEqual({ pending: count, syncing: 0, parked: 0 });
      await again.submit([...some('M', 0, 10), ...some('D', 10, 20)]);
      expect(again.counts).toEqual({ pending: count - 10, syncing: 0, parked: 0 });
      const ids = Array.from({ length: count - 10 }, (_, n) => `${n < 10 ? n : n + 10}`);
      expect(await drained(again)).toEqual(ids);
    }));

  test('a snapshot comes about although everything that it moves is taken back again and again', () =>
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
    [{ durability: 'never' }, 'options.durability'],
    [{ durabilty: 'durable' }, 'durabilty'],
  ])('refuses the options %o', async (options, name) => {
    await expect(Reflect.apply(openQueue, undefined, ['/nowhere', options])).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining(name),
    });
  });
});
