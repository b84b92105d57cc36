// A manager on a store, that is told what agents send and tells what it answers.
//
// Arguments: the store, and a file for marks. Prints "open"; then each line "AGENT BASE64" of its input is a message from that agent, and
// each message to an agent is a mark and a line "AGENT BASE64". Closes at the end of its input.

import { openSync, writeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { openStore, SyncManager } from 'hawser/sync';

const [, , path = '', marksPath = ''] = process.argv;
const marks = openSync(marksPath, 'a');
const store = await openStore(path);
const manager = new SyncManager({ store });

/** @param {string} agent */
const accept = (agent) =>
  manager.accept(
    {
      detectsLoss: true,
      close: () => undefined,
      send: (message) => {
        const line = `${agent} ${Buffer.from(message).toString('base64')}`;
        writeSync(marks, line);
        writeSync(1, `${line}\n`);
        return true;
      },
    },
    agent,
  );

/** @type {Map<string, ReturnType<typeof accept>>} */
const receivers = new Map();
writeSync(1, 'open\n');
for await (const line of createInterface({ input: process.stdin })) {
  const [agent = '', text = ''] = line.split(' ');
  const receiver = receivers.get(agent) ?? accept(agent);
  receivers.set(agent, receiver);
  receiver.message(Buffer.from(text, 'base64'));
}
await manager.close();
await store.close();
