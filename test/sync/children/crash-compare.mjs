// Compares both sides once the processes that had them are gone.
//
// Argument: JSON {store, queue, seed, done}; on standard output {documents, problems} as a line of JSON.

import { checksumOf, documentSha1, openQueue, openStore } from 'hawser/sync';
import { indices, Steps } from './crash-steps.mjs';

const options = JSON.parse(process.argv[2] ?? '{}');
const store = await openStore(options.store);
const queue = await openQueue(options.queue);
const { documents } = new Steps(options.seed, options.done);
/** @type {string[]} */
const problems = [];

const stored = new Map();
for (const { index, id, data } of store.documents('1')) {
  stored.set(`${index}/${id}`, Buffer.from(data).toString());
}
for (const [key, { data }] of documents) {
  if (!stored.has(key)) problems.push(`${key} is missing`);
  else if (stored.get(key) !== data)
    problems.push(`${key} is ${stored.get(key)} and not ${data}`.slice(0, 100));
}
for (const key of stored.keys()) if (!documents.has(key)) problems.push(`${key} is a ghost`);

for (const index of indices) {
  const own = [...documents.values()].filter((each) => each.index === index);
  const checksum = checksumOf(own.map(({ data }) => documentSha1(Buffer.from(data))));
  if ((await store.checksum('1', index)) !== checksum) problems.push(`the checksum of ${index} is another`);
}
const { pending, syncing, parked } = queue.counts;
if (pending + syncing + parked > 0) problems.push(`the queue has ${JSON.stringify(queue.counts)}`);
if (store.sessions().length > 0) problems.push(`the store has ${store.sessions().length} sessions`);

await queue.close();
await store.close();
process.stdout.write(`${JSON.stringify({ documents: stored.size, problems: problems.slice(0, 10) })}\n`);
