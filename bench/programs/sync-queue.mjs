// A persistent queue that is written to. Configuration: {folder, durability}.

import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { configuration, serve } from '../lib/program.mjs';
import { differences, openQueue } from '../lib/sync.mjs';

const { folder, durability } = /** @type {{folder: string, durability: 'durable' | 'relaxed'}} */ (
  configuration()
);
const queue = await openQueue(join(folder, 'queue'), { durability });
let next = 0;

/** @param {number} count @param {number} bytes */
function some(count, bytes) {
  const made = differences(next, count, bytes);
  next += count;
  return made;
}

/**
 * Callers of which each waits for what it has submitted.
 *
 * @param {{callers: number, batch: number, bytes: number, items: number}} load
 * @returns {Promise<{perSecond: number}>}
 */
async function submit({ callers, batch, bytes, items }) {
  const batches = Array.from({ length: Math.ceil(items / batch) }, () => some(batch, bytes));
  const beganMs = performance.now();
  const call = async () => {
    for (let own = batches.pop(); own !== undefined; own = batches.pop()) await queue.submit(own);
  };
  const total = batches.length * batch;
  await Promise.all(Array.from({ length: callers }, call));
  return { perSecond: (total * 1000) / (performance.now() - beganMs) };
}

/**
 * What the disk can do: one write of a page and one fdatasync after the other.
 *
 * @param {{syncs: number}} load
 * @returns {{perSecond: number}}
 */
function rawSyncs({ syncs }) {
  const file = openSync(join(folder, 'raw'), 'w');
  const page = Buffer.alloc(4096, 1);
  const beganMs = performance.now();
  for (let n = 0; n < syncs; ++n) {
    writeSync(file, page, 0, page.length, 0);
    fdatasyncSync(file);
  }
  const perSecond = (syncs * 1000) / (performance.now() - beganMs);
  closeSync(file);
  return { perSecond };
}

/** Makes a snapshot of all, reads it once and clears it. */
async function send() {
  const beganMs = performance.now();
  const snapshot = await queue.fetchAndMarkForSync();
  if (snapshot === undefined) return { perSecond: 0 };
  let bytes = 0;
  for (const item of snapshot.items()) if (item.kind === 'value') bytes += item.data.length;
  await queue.clearSyncedItems(snapshot);
  return { perSecond: (snapshot.size * 1000) / (performance.now() - beganMs), bytes };
}

serve({
  submit: (load) =>
    submit(/** @type {{callers: number, batch: number, bytes: number, items: number}} */ (load)),
  rawSyncs: (load) => rawSyncs(/** @type {{syncs: number}} */ (load)),
  send,
  close: () => queue.close(),
});
