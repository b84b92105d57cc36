// Both kinds of queues against the table as it is written down, row by row, over random operations.

import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { QueueChanges } from '../../../src/sync/queue/lmdb-changes.js';
import type { Difference, QueueMark, Snapshot, SyncQueue } from '../../../src/sync/queue/queue.js';
import { Model } from './model.js';
import {
  difference,
  inModelOrder,
  itemsOf,
  type QueueKind,
  queueKinds,
  waiting,
  withFolder,
} from './queues.js';

const ids = Array.from({ length: 6 }, (_, n) => `${n}`);
const indices = ['one', 'two', 'thr'];

function randomDifference(random: Random): Difference {
  const pick = <T>(from: readonly T[]): T => from[Math.floor(random() * from.length)] as T;
  const letter = pick(['C', 'M', 'D']);
  const more = { index: pick(indices), isContext: letter !== 'D' && random() < 0.1 };
  const made = difference(letter, pick(ids), more);
  return letter !== 'D' && random() < 0.05 ? { ...made, data: Buffer.alloc(61_441, made.data[5]) } : made;
}

interface Run {
  readonly random: Random;
  readonly model: Model;
  readonly reopen: () => Promise<SyncQueue>;
  queue: SyncQueue;
  snapshot: Snapshot | undefined;
  /** A mark, and what the model calls it. */
  marked: readonly [QueueMark, number] | undefined;
  readonly snapshotItems: number;
}

/** Something that is done to a snapshot. */
async function end(run: Run, snapshot: Snapshot, what: number): Promise<void> {
  const { model, queue } = run;
  if (what < 0.82) {
    await queue.markSent(snapshot);
    model.know(false);
    return;
  }
  run.snapshot = undefined;
  if (what < 0.88) {
    await queue.clearSyncedItems(snapshot);
    model.succeed();
  } else if (what < 0.91) {
    await queue.resetSyncingItems(snapshot);
    model.fail();
  } else {
    await queue.park(snapshot);
    model.park();
  }
}

async function clear(run: Run, [mark, number]: Run['marked'] | readonly [] = []): Promise<void> {
  const { random, model, queue } = run;
  const index = indices[Math.floor(random() * 3)] ?? '';
  expect(await queue.clearItemsByIndex(index, mark)).toBe(model.removeIndex(index, number));
  run.snapshot = await queue.fetchAndMarkForSync();
  model.seal(run.snapshotItems);
}

/** Of as much as the queue gives, or of less. */
async function seal(run: Run): Promise<void> {
  const { random, model, queue, snapshotItems } = run;
  const what = random();
  if (what < 0.6) {
    run.snapshot = await queue.fetchAndMarkForSync();
    model.seal(snapshotItems);
  } else if (what < 0.8) {
    const items = 1 + Math.floor(random() * 8);
    run.snapshot = await queue.fetchAndMarkForSync({ items });
    model.seal(Math.min(items, snapshotItems));
  } else {
    const bytes = 1 + Math.floor(random() * 1000);
    run.snapshot = await queue.fetchAndMarkForSync({ bytes });
    model.seal(snapshotItems, bytes);
  }
}

async function full({ random, model, queue }: Run): Promise<void> {
  const isFull = random() < 0.4;
  await (isFull ? queue.beginFull() : queue.endFull());
  model.full(isFull);
}

async function step(run: Run): Promise<void> {
  const { random, model, queue, snapshot } = run;
  const what = random();
  if (what < 0.6) {
    const some = Array.from({ length: 1 + Math.floor(random() * 6) }, () => randomDifference(random));
    await queue.submit(some);
    for (const each of some) model.submit(each);
  } else if (what < 0.74) {
    await seal(run);
  } else if (what < 0.76) {
    await full(run);
  } else if (what < 0.94) {
    if (snapshot !== undefined) await end(run, snapshot, what);
  } else if (what < 0.95) {
    await queue.markKnown();
    model.know(true);
  } else if (what < 0.96) {
    await clear(run);
  } else if (what < 0.97) {
    run.marked = [await queue.mark(), ++model.marks];
  } else if (what < 0.98) {
    await clear(run, run.marked);
  } else {
    run.marked = undefined;
    run.queue = await run.reopen();
    if (run.snapshot !== undefined) run.snapshot = await run.queue.fetchAndMarkForSync();
  }
}

async function runModel(
  seed: number,
  steps: number,
  openWith: (options: { readonly snapshotItems: number }) => Promise<SyncQueue>,
  kind: QueueKind['name'],
): Promise<void> {
  // All that there is, in every second run.
  const snapshotItems = seed % 2 === 0 ? 18 : 1 + (seed % 5);
  const open = (): Promise<SyncQueue> => openWith({ snapshotItems });
  const queue = await open();
  const run: Run = {
    random: seededRandom(seed),
    model: new Model(),
    queue,
    snapshot: undefined,
    marked: undefined,
    snapshotItems,
    reopen: async () => {
      if (kind === 'MemoryQueue') return run.queue;
      await run.queue.close();
      return open();
    },
  };
  for (let n = 0; n < steps; ++n) {
    await step(run);
    const { model, snapshot } = run;
    const seen = inModelOrder(waiting(run.queue));
    const what = `seed ${seed}, step ${n}`;
    expect(
      seen.filter((row) => !row.startsWith('syncing')),
      what,
    ).toEqual(model.waiting());
    const isParked = (row: string): boolean => row.startsWith('parked');
    expect(run.queue.counts, what).toEqual({
      pending: model.waiting().filter((row) => !isParked(row)).length,
      syncing: model.sealed?.size ?? 0,
      parked: model.waiting().filter(isParked).length,
    });
    expect(snapshot && itemsOf(snapshot), what).toEqual(model.sealed?.items);
  }
  await run.queue.close();
}

const deep = process.env.HAWSER_TEST_DEEP === '1';

describe.each(queueKinds)('$name', ({ name, open }) => {
  const count = (name === 'LmdbQueue' ? 8 : 20) * (deep ? 20 : 1);
  const seeds = Array.from({ length: count }, (_, n) => n + 1);
  // Each with a timeout of its own: it waits for the disk some hundred times.
  test.each(seeds)('does over random operations what the table says (seed %i)', async (seed) => {
    // What is over is there yet for a while.
    const random = seededRandom(count + seed);
    const { removeOver } = QueueChanges.prototype;
    const removing = vi.spyOn(QueueChanges.prototype, 'removeOver').mockImplementation(function (
      this: QueueChanges,
    ) {
      if (random() < 0.8) throw new Error('not now');
      return removeOver.call(this);
    });
    onTestFinished(() => removing.mockRestore());
    await withFolder((folder) =>
      runModel(seed, 120, (options) => open(join(folder, 'queue'), options), name),
    );
  });
});
