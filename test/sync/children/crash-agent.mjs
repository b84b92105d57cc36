// An agent in a process of its own, to be killed: it makes its steps, syncs all the while, and says when everything is told.
//
// Argument: JSON {queue, address, key, seed, done, isRepeated, steps, data, full}: steps done before, whether the next one may have been
// made too, how many there are to be, how Data travel, when there are FULLs: `never`, `meanwhile`, `at the end`. On standard
// output a line of JSON for each event.

import { writeSync } from 'node:fs';
import { openQueue, SyncClient, syncConnector } from 'hawser/sync';
import { mintToken } from 'hawser/token';
import { Steps } from './crash-steps.mjs';

const options = JSON.parse(process.argv[2] ?? '{}');
/** Written at once: what was said is not lost when the process is killed. @param {object} event */
const say = (event) => writeSync(1, `${JSON.stringify(event)}\n`);

const key = { id: 1, key: Buffer.from(options.key, 'hex') };
const client = new SyncClient({
  connector: syncConnector(() =>
    mintToken({ protocolId: 1n, key, clientId: 1n, addresses: [options.address], timeoutMs: 2000 }),
  ),
  reconnection: { backoff: { initialMs: 50, maxMs: 200 } },
});
const queue = await openQueue(options.queue);
const agent = client.agent({ module: 'crash', queue, data: options.data, responseTimeoutMs: 1000 });
agent.on('stateChange', (_, to) => say({ mark: to }));
await client.connect();

const steps = new Steps(options.seed, options.done);
let isRepeated = options.isRepeated;
/** A FULL waits for its turn, or is under way. */
let isFullDue = false;
let isSyncing = false;
let lastFull = Promise.resolve();
/** @param {number} delayMs */
const sleep = (delayMs) => new Promise((resolve) => setTimeout(resolve, delayMs));

async function makeSteps() {
  while (steps.done < options.steps) {
    say({ begins: steps.done });
    if (options.full === 'meanwhile' && steps.isDuringFull) await stepDuringFull();
    else await agent.persistDifferences(steps.next(isRepeated));
    isRepeated = false;
    steps.finish();
    say({ done: steps.done });
    await sleep(5);
  }
}

/** The manager hears of the step by a FULL, and the queue only then: it must not take what was created for something new. */
async function stepDuringFull() {
  await lastFull;
  isFullDue = true;
  while (isSyncing) await sleep(1);
  remember(steps.after());
  let isTold = false;
  lastFull = agent.synchronizeModule('FULL').then(({ success, failureReason }) => {
    isTold = success;
    if (!success) say({ failed: failureReason });
    agent.clearInMemoryData();
    isFullDue = false;
  });
  if (Math.random() < 0.3) await sleep(30 * Math.random());
  else while (isFullDue && agent.state !== 'WaitingEndAck') await sleep(1);
  // What a FULL has told for certain is there: whoever said later that it is new would be wrong.
  await agent.persistDifferences(steps.next(isRepeated || isTold));
  if (!isTold) say({ mark: 'persisted' });
}

/** Syncs until nothing waits, again and again while steps are made. */
async function sync() {
  for (;;) {
    if (isFullDue) {
      await sleep(5);
      continue;
    }
    const isLast = steps.done === options.steps;
    isSyncing = true;
    const { success, failureReason } = await agent.synchronizeModule('DELTA');
    isSyncing = false;
    if (!success) say({ failed: failureReason });
    const { pending, syncing } = queue.counts;
    if (isLast && success && pending + syncing === 0) return;
    await sleep(success ? 20 : 100);
  }
}

/** @param {Steps['documents']} documents */
function remember(documents) {
  for (const { index, id, data } of documents.values()) {
    agent.persistDifferenceInMemory(id, 'CREATE', index, Buffer.from(data));
  }
}

async function full() {
  remember(steps.documents);
  for (;;) {
    const { success, failureReason } = await agent.synchronizeModule('FULL');
    if (success) return;
    say({ failed: failureReason });
    await sleep(100);
  }
}

await Promise.all([makeSteps(), sync()]);
if (options.full === 'at the end') await full();
say({ told: steps.done });
// To be killed.
setInterval(() => undefined, 1000);
