// The rules of the queue of an agent, on both kinds: the table of docs/sync.md case by case, and what surrounds it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import type { Difference, Snapshot, SyncQueue } from '../../../src/sync/queue/queue.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import { DataWriter } from '../../../src/sync/wire/data-writer.js';
import { limits } from '../../../src/sync/wire/messages.js';
import { startOf } from '../manager/fake-agent.js';
import { difference, drained, itemsOf, queueKinds, seal, submitAll, textOf, waiting } from './queues.js';

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

  test('what is submitted after the call that removes an index stays, though that is not done yet', async () => {
    await submitAll(queue, 'C', 'before');
    const made = seal(queue);
    const removed = queue.clearItemsByIndex('index');
    const submitted = queue.submit([difference('C', 'after')]);
    expect(await removed).toBe(1);
    await Promise.all([made, submitted]);
    expect(waiting(queue)).toEqual(['pending CREATE index/after']);
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

  test('no ghosts: a DELETE is told of what came while a FULL session was under way, of nothing that came after it', async () => {
    await submitAll(queue, 'C', 'sealed');
    const snapshot = await seal(queue);
    await queue.beginFull();
    for (const id of ['open', 'sent']) await submitAll(queue, 'C', id);
    // A FULL that was interrupted is gone on with by another; a DELETE is made known of by itself. Neither ends it.
    await queue.beginFull();
    await queue.markKnown();
    await submitAll(queue, 'C', 'during');
    await queue.clearSyncedItems(snapshot);
    const next = await seal(queue);
    await submitAll(queue, 'C', 'later');
    await queue.resetSyncingItems(next);
    await submitAll(queue, 'C', 'last');
    for (const id of ['open', 'during', 'later']) await submitAll(queue, 'D', id);
    await queue.endFull();
    await submitAll(queue, 'C', 'new');
    for (const id of ['sent', 'last', 'new']) await submitAll(queue, 'D', id);
    expect(await drained(queue)).toEqual(['open', 'sent', 'during', 'later', 'last']);
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
      'pending DELETE index/deleted',
      'parked CREATE index/first',
      'parked MODIFY index/second',
    ]);
    await queue.submit([difference('M', 'first'), difference('D', 'second')]);
    expect(queue.counts).toEqual({ pending: 3, syncing: 0, parked: 0 });
    expect(await drained(queue)).toEqual(['deleted', 'first', 'second']);
    await queue.submit([long('C', 'alone')]);
    expect(await queue.fetchAndMarkForSync()).toBeUndefined();
  });

  test('what was sent alone can be parked, unless something else came in its place; then it goes by what comes next', async () => {
    for (const id of ['a', 'b', 'c']) await submitAll(queue, 'C', id);
    const park = async (meanwhile: string): Promise<void> => {
      const snapshot = await seal(queue, { items: 1 });
      await queue.markSent(snapshot);
      await submitAll(queue, meanwhile, 'a');
      await queue.park(snapshot);
      await queue.park(snapshot);
      await queue.clearSyncedItems(snapshot);
    };
    await park('M');
    expect(queue.counts).toEqual({ pending: 3, syncing: 0, parked: 0 });
    await park('');
    expect(waiting(queue)).toEqual([
      'pending CREATE index/b',
      'pending CREATE index/c',
      'parked MODIFY index/a',
    ]);
    // It may have been told: no ghosts.
    await submitAll(queue, 'C', 'd');
    await queue.clearSyncedItems(await seal(queue, { items: 2 }));
    await park('');
    expect(waiting(queue)).toEqual(['parked MODIFY index/a', 'parked CREATE index/d']);
    await submitAll(queue, 'D', 'd');
    expect(waiting(queue)).toEqual(['pending DELETE index/d', 'parked MODIFY index/a']);
    for (const id of ['b', 'c']) await submitAll(queue, 'C', id);
    // Not of several.
    const snapshot = await seal(queue);
    expect(snapshot.size).toBe(3);
    await queue.park(snapshot);
    expect(queue.counts).toEqual({ pending: 3, syncing: 0, parked: 1 });
    await submitAll(queue, 'D', 'a');
    expect(await drained(queue)).toEqual(['d', 'b', 'c', 'a']);
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
    const inYears = (years: number): bigint => BigInt(Date.now() + years * 365 * 86_400_000) * 1000n;
    const raised = inYears(9);
    await queue.raiseGeneration(raised);
    await queue.raiseGeneration(5n);
    expect(await queue.nextGeneration()).toBe(raised + 1n);
    await expect(queue.raiseGeneration(inYears(11))).rejects.toMatchObject({
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
        // It may name others of which nothing is left.
        expect(snapshot.indices).toEqual(expect.arrayContaining(values.map((id) => `of ${id}`)));
        if (left === 4) expect(snapshot.indices).toEqual(['of a', 'of c']);
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

    test('no ghosts: what was sent by a session that failed is not new, also after one that sent less', async () => {
      for (const id of ['a', 'b', 'c', 'd']) await submitAll(few, 'C', id);
      for (const items of [3, 1, 2]) {
        const snapshot = await seal(few, { items });
        if (items !== 2) await few.markSent(snapshot);
        await few.resetSyncingItems(snapshot);
      }
      for (const id of ['a', 'b', 'c', 'd']) await submitAll(few, 'D', id);
      expect(await drained(few)).toEqual(['a', 'b', 'c']);
    });

    test('a call can have less, never more', async () => {
      for (const id of ['a', 'b', 'c', 'd', 'e']) await submitAll(few, 'C', id);
      const first = await seal(few, { items: 1 });
      expect(idsOf(first)).toEqual(['a']);
      // There is one, whatever is asked for.
      expect(idsOf(await seal(few, { items: 2 }))).toEqual(['a']);
      await few.clearSyncedItems(first);
      const second = await seal(few, { items: 100 });
      expect(idsOf(second)).toEqual(['b', 'c', 'd']);
      await few.resetSyncingItems(second);
      expect(idsOf(await seal(few, { bytes: 1 }))).toEqual(['b']);
      for (const limits of [
        { items: 0 },
        { bytes: 0 },
        { items: 2 ** 33 },
        { bytes: 2 ** 41 },
        { item: 1 },
        1,
      ]) {
        await expect(Reflect.apply(few.fetchAndMarkForSync, few, [limits])).rejects.toMatchObject({
          code: 'ERR_HAWSER_ARGUMENT',
        });
      }
    });

    test('what comes to a row behind the snapshot is merged with it at its place, what comes to one of the snapshot goes before it next time', async () => {
      for (const id of ['a', 'b', 'c', 'd', 'e', 'f']) await submitAll(few, 'C', id);
      const snapshot = await seal(few);
      for (const [letter, id] of ['D d', 'M e', 'D f', 'C f', 'M c', 'M a', 'C g'].map((each) =>
        each.split(' '),
      )) {
        await few.submit([difference(letter ?? '', id)]);
      }
      expect(few.counts).toEqual({ pending: 5, syncing: 3, parked: 0 });
      expect(idsOf(snapshot)).toEqual(['a', 'b', 'c']);
      await few.clearSyncedItems(snapshot);
      expect(waiting(few)).toEqual([
        'pending MODIFY index/a',
        'pending MODIFY index/c',
        'pending MODIFY index/e',
        'pending CREATE index/f',
        'pending CREATE index/g',
      ]);
      expect(await drained(few)).toEqual(['a', 'c', 'e', 'f', 'g']);
    });

    test('removing an index ends a snapshot that has documents of it, and no other', async () => {
      const submit = (id: string, index: string, isContext = false): Promise<void> =>
        few.submit([difference('C', id, { index, isContext })]);
      await submit('a', 'one');
      await submit('b', 'two', true);
      for (const id of ['c', 'd', 'e']) await submit(id, id === 'd' ? 'two' : 'one');
      let snapshot = await seal(few, { items: 1 });
      expect(await few.clearItemsByIndex('two')).toBe(2);
      expect(idsOf(snapshot)).toEqual(['a']);
      await few.clearSyncedItems(snapshot);
      await submit('f', 'two', true);
      snapshot = await seal(few);
      expect(idsOf(snapshot)).toEqual(['c', 'e', 'f']);
      await submit('g', 'one');
      expect(await few.clearItemsByIndex('two')).toBe(1);
      expect(() => idsOf(snapshot)).toThrow('ended');
      expect(await drained(few)).toEqual(['c', 'e', 'g']);
    });

    test('what is parked is not counted', async () => {
      const long = { data: Buffer.alloc(61_441) };
      await few.submit(['a', 'b', 'c'].map((id) => difference('C', id, long)));
      for (const id of ['d', 'e', 'f']) await submitAll(few, 'C', id);
      expect(idsOf(await seal(few))).toEqual(['d', 'e', 'f']);
    });
  });

  test('a snapshot has no more bytes than it may, as messages have them, but for a single item', async () => {
    const random = seededRandom(3);
    const length = (most: number): number => Math.floor(random() ** 4 * most);
    await using small = await open(join(folder, 'small'), { snapshotBytes: 20_000 });
    const all = Array.from({ length: 400 }, (_, n): Difference => {
      const operation = random() < 0.3 ? 'D' : 'C';
      return difference(operation, `${n}`.padEnd(1 + length(1020), '\u00e9').slice(0, 500), {
        index: `${n % 7}`.padEnd(1 + length(255)),
        isContext: operation === 'C' && random() < 0.2,
        version: random() < 0.5 ? 0n : 2n ** 64n - 1n,
        data: Buffer.alloc(operation === 'D' ? 0 : length(30_000)),
      });
    });
    await small.submit(all);
    let single = 0;
    let count = 0;
    for (;;) {
      const snapshot = await small.fetchAndMarkForSync();
      if (snapshot === undefined) break;
      const bytes = messageBytesOf(snapshot);
      expect(snapshot.bytes).toBeGreaterThanOrEqual(bytes);
      if (snapshot.size === 1) ++single;
      else expect(snapshot.bytes).toBeLessThanOrEqual(20_000);
      count += snapshot.size;
      await small.clearSyncedItems(snapshot);
    }
    expect(count).toBe(400);
    expect(single).toBeGreaterThan(0);
    expect(single).toBeLessThan(100);
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
    await expect(queue.park(snapshot)).rejects.toMatchObject(closed);
    await expect(queue.beginFull()).rejects.toMatchObject(closed);
    await expect(queue.endFull()).rejects.toMatchObject(closed);
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

/** What a snapshot takes in messages, if each has as much as it can, or as little. */
function messageBytesOf(snapshot: Snapshot): number {
  return Math.max(...[limits.messageBytes, 1].map((maxBytes) => packed(snapshot, maxBytes)));
}

function packed(snapshot: Snapshot, maxBytes: number): number {
  const writer = new DataWriter(2n ** 64n - 1n, maxBytes, limits.messageBytes);
  let bytes = 0;
  let seq = 0;
  for (const item of snapshot.items()) {
    if (!writer.add(seq, item)) {
      bytes += writer.finish().length;
      writer.add(seq, item);
    }
    ++seq;
  }
  return bytes + writer.finish().length;
}
