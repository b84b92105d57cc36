// An agent in a process of its own, to be killed: it makes its steps, syncs all the while, and says when everything is told.
//
// Argument: JSON {queue, address, key, seed, done, isRepeated, steps, data, full}: steps done before, whether the next one may have been
// made too, how many there are to be, how Data travel, whether a FULL ends it. On standard output a line of JSON for each event.

import { openQueue, SyncClient, syncConnector } from 'hawser/sync';
import { mintToken } from 'hawser/token';
import { Steps } from './crash-steps.mjs';

const options = JSON.parse(process.argv[2] ?? '{}');
/** @param {object} event */
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

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

async function makeSteps() {
  while (steps.done < options.steps) {
    say({ begins: steps.done });
    await agent.persistDifferences(steps.next(isRepeated));
    isRepeated = false;
    steps.finish();
    say({ done: steps.done });
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** Syncs until nothing waits, again and again while steps are made. */
async function sync() {
  for (;;) {
    const isLast = steps.done === options.steps;
    const { success, failureReason } = await agent.synchronizeModule('DELTA');
    if (!success) say({ failed: failureReason });
    const { pending, syncing } = queue.counts;
    if (isLast && success && pending + syncing === 0) return;
    await new Promise((resolve) => setTimeout(resolve, success ? 20 : 100));
  }
}

async function full() {
  for (const { index, id, data } of steps.documents.values()) {
    agent.persistDifferenceInMemory(id, 'CREATE', index, Buffer.from(data));
  }
  for (;;) {
    const { success, failureReason } = await agent.synchronizeModule('FULL');
    if (success) return;
    say({ failed: failureReason });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

await Promise.all([makeSteps(), sync()]);
if (options.full) await full();
say({ told: steps.done });
// To be killed.
setInterval(() => undefined, 1000);
