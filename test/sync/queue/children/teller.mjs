// Opens a persistent queue and does what it reads from its input, line by line and without waiting for what came before.
//
// Arguments: the queue's folder, how durable, and a file for marks. Prints "open" or the code and message of the error, then for each line
// "N": the difference "payload:N;" was submitted, "N ok" or "N CODE", and "ack N" goes to the marks; "seal": "seal NONCE" or "seal CODE";
// "drain": "drain IDS" or "drain CODE". Closes at the end of its input.

import { openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { openQueue } from 'hawser/sync';

const [, , path = '', durability = 'durable', marksPath = ''] = process.argv;
const marks = marksPath === '' ? undefined : openSync(marksPath, 'a');
/** @param {unknown} error */
const codeOf = (error) => (error instanceof Error && 'code' in error ? String(error.code) : String(error));
/** @param {string} line */
const say = (line) => writeSync(1, `${line}\n`);

const queue = await openQueue(path, { durability: durability === 'relaxed' ? 'relaxed' : 'durable' }).catch(
  (error) => {
    say(`${codeOf(error)} ${error.message}`);
    process.exit(0);
  },
);
say('open');

/** @param {string} number */
async function submit(number) {
  const data = Buffer.from(`payload:${number};`);
  await queue.submit([{ id: number, operation: 'CREATE', index: 'index', data }]);
  if (marks !== undefined) writeSync(marks, `ack ${number}`);
  return 'ok';
}

async function drain() {
  const ids = [];
  for (;;) {
    const snapshot = await queue.fetchAndMarkForSync();
    if (snapshot === undefined) return ids.join(',');
    for (const item of snapshot.items()) ids.push('id' in item ? item.id : '');
    await queue.clearSyncedItems(snapshot);
  }
}

/** @param {string} line */
async function work(line) {
  if (line === 'drain') return drain();
  if (line === 'seal') return (await queue.fetchAndMarkForSync())?.nonce;
  return submit(line);
}

for await (const line of createInterface({ input: process.stdin })) {
  work(line).then(
    (result) => say(`${line} ${result}`),
    (error) => say(`${line} ${codeOf(error)}`),
  );
}
await queue.close();
