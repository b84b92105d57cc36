// Does what it is told to a persistent queue, and says when each thing is begun and when it is acknowledged. It is killed meanwhile.
//
// Arguments: the queue's folder, a file with the orders as JSON, and the most items of a snapshot. Prints "begin N" and "done N", and after a snapshot was
// made "done N NONCE GENERATION".

import { readFileSync, writeSync } from 'node:fs';
import { openQueue } from 'hawser/sync';

/** @typedef {{id: string, operation: 'CREATE' | 'MODIFY' | 'DELETE', index: string, text: string, isContext: boolean}} Told */
/** @typedef {{do: 'submit', batches: Told[][]} | {do: 'seal' | 'sent' | 'clear' | 'reset' | 'park' | 'known' | 'full' | 'full over'}} Order */

const [, , path = '', file = '', snapshotItems = ''] = process.argv;
/** @type {Order[]} */
const orders = JSON.parse(readFileSync(file, 'utf8'));
const queue = await openQueue(path, { snapshotItems: Number(snapshotItems) });
let snapshot = queue.counts.syncing > 0 ? await queue.fetchAndMarkForSync() : undefined;

/** Written at once: what was printed is not lost when the process is killed. @param {string} line */
const say = (line) => writeSync(1, `${line}\n`);

/** @param {Told[]} batch */
const submit = (batch) =>
  queue.submit(batch.map(({ text, ...rest }) => ({ ...rest, data: Buffer.from(text) })));

let number = 0;
for (const order of orders) {
  if (order.do === 'submit') {
    // At the same time: they share a commit.
    await Promise.all(
      order.batches.map(async (batch) => {
        const own = number++;
        say(`begin ${own}`);
        await submit(batch);
        say(`done ${own}`);
      }),
    );
    continue;
  }
  const own = number++;
  say(`begin ${own}`);
  if (order.do === 'seal') snapshot = await queue.fetchAndMarkForSync();
  else if (order.do === 'known') await queue.markKnown();
  else if (order.do === 'full') await queue.beginFull();
  else if (order.do === 'full over') await queue.endFull();
  else if (snapshot !== undefined) {
    if (order.do === 'sent') await queue.markSent(snapshot);
    else if (order.do === 'clear') await queue.clearSyncedItems(snapshot);
    else if (order.do === 'park') await queue.park(snapshot);
    else await queue.resetSyncingItems(snapshot);
    if (order.do !== 'sent') snapshot = undefined;
  }
  const made =
    order.do === 'seal' && snapshot !== undefined ? ` ${snapshot.nonce} ${snapshot.generation}` : '';
  say(`done ${own}${made}`);
}
await queue.close();
