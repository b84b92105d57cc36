// A process that writes to a persistent queue is killed at any moment: what it was told is kept is there, and nothing is there by halves.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { openQueue } from '../../../src/sync/queue/lmdb-queue.js';
import type { Difference, DifferenceOperation } from '../../../src/sync/queue/queue.js';
import { Model } from './model.js';
import { inModelOrder, itemsOf, waiting, withFolder } from './queues.js';

const worker = fileURLToPath(new URL('children/worker.mjs', import.meta.url));
const deep = process.env.HAWSER_TEST_DEEP === '1';

/** As children/worker.mjs takes it. */
interface Told extends Omit<Difference, 'data'> {
  readonly text: string;
  readonly isContext: boolean;
}
type Act = 'seal' | 'sent' | 'clear' | 'reset' | 'park' | 'known' | 'full' | 'full over';
type Order = { readonly do: 'submit'; readonly batches: readonly Told[][] } | { readonly do: Act };

/** What one number of the worker's lines stands for. */
type Deed = { readonly do: 'submit'; readonly batch: readonly Told[] } | { readonly do: Act };

let serial = 0;

function pick<T>(random: Random, from: readonly [T, ...T[]]): T {
  return from[Math.floor(random() * from.length)] ?? from[0];
}

function randomBatch(random: Random): Told[] {
  // Now and then so many that both parts of the queue are joined in several steps.
  const size = random() < 0.02 ? 2500 : 1 + Math.floor(random() * 20);
  return Array.from({ length: size }, () => {
    const operation = pick<DifferenceOperation>(random, ['CREATE', 'MODIFY', 'DELETE']);
    const isDelete = operation === 'DELETE';
    const isLong = !isDelete && random() < 0.002;
    return {
      id: `${Math.floor(random() * (size > 1000 ? 4000 : 40))}`,
      operation,
      index: random() < 0.5 ? 'one' : 'two',
      text: isDelete ? '' : `${++serial}`.padEnd(isLong ? 61_441 : 100),
      isContext: !isDelete && random() < 0.1,
    };
  });
}

function randomOrders(random: Random, count: number): Order[] {
  return Array.from({ length: count }, () => {
    const what = random();
    if (what < 0.5) {
      return {
        do: 'submit',
        batches: Array.from({ length: 1 + Math.floor(random() * 3) }, () => randomBatch(random)),
      };
    }
    if (random() < 0.1) return { do: pick<Act>(random, ['known', 'full', 'full over', 'full over']) };
    return {
      do: pick<Act>(random, [
        'seal',
        'seal',
        'seal',
        'sent',
        'sent',
        'clear',
        'clear',
        'reset',
        'reset',
        'park',
      ]),
    };
  });
}

function deedsOf(orders: readonly Order[]): Deed[] {
  return orders.flatMap((order): Deed[] =>
    order.do === 'submit' ? order.batches.map((batch) => ({ do: 'submit', batch })) : [order],
  );
}

function apply(model: Model, deed: Deed, snapshotItems: number): void {
  if (deed.do === 'submit') {
    for (const { text, ...rest } of deed.batch) model.submit({ ...rest, data: Buffer.from(text) });
  } else if (deed.do === 'seal') model.seal(snapshotItems);
  else if (deed.do === 'known') model.know(true);
  else if (deed.do === 'full' || deed.do === 'full over') model.full(deed.do === 'full');
  else if (model.sealed !== undefined) {
    if (deed.do === 'sent') model.know(false);
    else if (deed.do === 'clear') model.succeed();
    else if (deed.do === 'park') model.park();
    else model.fail();
  }
}

interface Death {
  readonly done: number;
  readonly begun: number;
  /** NONCE GENERATION of the last snapshot that was made. */
  readonly made: string | undefined;
}

/** Runs the worker and kills it after so many acknowledgements and a moment more. */
async function killed(
  path: string,
  file: string,
  snapshotItems: number,
  after: number,
  momentMs: number,
): Promise<Death> {
  const child = spawn(process.execPath, [worker, path, file, `${snapshotItems}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  let isPlanned = false;
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
    if (isPlanned || output.split('done').length <= after) return;
    isPlanned = true;
    setTimeout(() => child.kill('SIGKILL'), momentMs);
  });
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  if (code !== null && code !== 0) throw new Error(`the worker ended with ${code}`);
  const lines = output.split('\n').slice(0, -1);
  const snapshots = lines.filter((line) => line.split(' ').length === 4);
  return {
    begun: lines.filter((line) => line.startsWith('begin')).length,
    done: lines.filter((line) => line.startsWith('done')).length,
    made: snapshots.at(-1)?.split(' ').slice(2).join(' '),
  };
}

/** What there is, whatever was cut off: looking at it ends what was left in the middle. */
async function contentOf(
  path: string,
): Promise<{ readonly content: unknown; readonly made: string | undefined }> {
  await using queue = await openQueue(path);
  await queue.clearItemsByIndex('none');
  const pending = inModelOrder(waiting(queue)).filter((row) => !row.startsWith('syncing'));
  const snapshot = queue.counts.syncing > 0 ? await queue.fetchAndMarkForSync() : undefined;
  return {
    content: { pending, sealed: snapshot && itemsOf(snapshot), counts: queue.counts },
    made: snapshot && `${snapshot.nonce} ${snapshot.generation}`,
  };
}

function expectedOf(model: Model): unknown {
  const pending = model.waiting();
  const parked = pending.filter((row) => row.startsWith('parked')).length;
  return {
    pending,
    sealed: model.sealed?.items,
    counts: { pending: pending.length - parked, syncing: model.sealed?.size ?? 0, parked },
  };
}

/** What was begun and not acknowledged may be there; in its order, for it is written in its order. */
function statesOf(model: Model, deeds: readonly Deed[], snapshotItems: number): Model[] {
  const states = [model];
  for (const deed of deeds) {
    const next = (states.at(-1) ?? model).copy();
    apply(next, deed, snapshotItems);
    states.push(next);
  }
  return states;
}

/** Some look alike from outside, and are not: they are told apart by what comes later. */
function different(models: readonly Model[]): Model[] {
  return [...new Map(models.map((model) => [JSON.stringify(model), model])).values()];
}

describe('a process that is killed', () => {
  const rounds = deep ? 80 : 8;
  // The moments of death are others in each run anyway.
  const seed = Number(process.env.HAWSER_TEST_SEED ?? (deep ? Math.floor(Math.random() * 2 ** 32) : 1));
  test(`leaves what it acknowledged, and of the rest all or nothing (${rounds} rounds, seed ${seed})`, () =>
    withFolder(async (folder) => {
      const random = seededRandom(seed);
      const path = join(folder, 'queue');
      const file = join(folder, 'orders');
      let models = [new Model()];
      let made: string | undefined;
      for (let round = 0; round < rounds; ++round) {
        const orders = randomOrders(random, 40);
        const deeds = deedsOf(orders);
        writeFileSync(file, JSON.stringify(orders));
        const snapshotItems = pick(random, [1, 30, 2100, 500_000]);
        const after = Math.floor(random() * deeds.length);
        const death = await killed(path, file, snapshotItems, after, random() * 12);
        made = death.made ?? made;
        for (const model of models) {
          for (const deed of deeds.slice(0, death.done)) apply(model, deed, snapshotItems);
        }
        const found = await contentOf(path);
        const unheard = deeds.slice(death.done, death.begun);
        const possible = models.flatMap((model) => statesOf(model, unheard, snapshotItems));
        const wanted = JSON.stringify(found.content);
        models = different(possible.filter((each) => JSON.stringify(expectedOf(each)) === wanted));
        if (models.length === 0) {
          expect(found.content, `seed ${seed}, round ${round}`).toEqual(possible.map(expectedOf)[0]);
        }
        const isMadeUnheard = unheard.some((deed) => deed.do === 'seal');
        if (found.made !== undefined && !isMadeUnheard) expect(found.made).toBe(made);
        made = found.made;
      }
    }));
});
