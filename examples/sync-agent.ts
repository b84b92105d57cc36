// An agent: it reads meters and tells sync-manager.ts of each change. What it could not tell waits in a queue on the disk. Kill it, or
// the manager, whenever you like: nothing is lost.
//
//   node examples/sync-agent.ts <token> [queue] [readings]
//
// <token> is what sync-manager.ts prints. [queue] is a directory, `agent-queue` by default. It ends after so many readings, or on Ctrl-C.
// The queue needs the package lmdb.

import { setTimeout as sleep } from 'node:timers/promises';
import { checksumOf, documentSha1, openQueue, SyncClient, syncConnector } from 'hawser/sync';

const [token, directory = 'agent-queue', readings = 'Infinity'] = process.argv.slice(2);
if (token === undefined) throw new Error('give it the token that sync-manager.ts prints');

const stop = new AbortController();
const { signal } = stop;
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort());

const queue = await openQueue(directory);
const client = new SyncClient({ connector: syncConnector(token) });
const agent = client.agent({ module: 'meters', queue });
client.on('connected', () => console.log('connected'));
client.on('reconnecting', (_, delayMs) => console.log(`no manager: again in ${Math.round(delayMs)} ms`));
// It goes on trying by itself; meanwhile readings wait in the queue.
client.connect({ signal }).catch((error: Error) => {
  if (!signal.aborted) console.error(error.message);
});

console.log(`${waiting()} items wait from before`);
const documents = new Map<string, Uint8Array>();
for (let n = 1; n <= Number(readings) && !signal.aborted; ++n) {
  for (const [room, watts] of Object.entries({ kitchen: 1200, cellar: 60 })) {
    const document = Buffer.from(JSON.stringify({ kWh: (n * watts) / 1000 }));
    documents.set(room, document);
    await agent.persistDifference(room, 'MODIFY', 'meters', document); // on the disk now
  }
  await tell();
}
// What an earlier run had begun to tell went first, alone: what came since may wait yet.
while (waiting() > 0 && !signal.aborted) await tell();

const checksum = checksumOf(Array.from(documents.values(), documentSha1));
const verdict = await agent.requiresFullSync('meters', checksum, { signal });
console.log(`the manager's documents: ${verdict}`);
await client.close();
await queue.close();

function waiting(): number {
  return queue.counts.pending + queue.counts.syncing;
}

async function tell(): Promise<void> {
  const result = await agent.synchronizeModule('DELTA', { signal });
  if (result.success) console.log(`the manager has ${result.items} items on its disk`);
  else if (!result.stopped) console.log(`${waiting()} items wait: ${result.failureReason}`);
  await sleep(200, undefined, { signal }).catch(() => undefined);
}
