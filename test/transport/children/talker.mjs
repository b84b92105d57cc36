// A worker thread. Connects, lets the frequent PINGs of the beginning pass, sends one message, and a little later 50 more, one every 10 ms.
// When it has heard nothing for so long that its connection is over, and some more time has passed, it wakes whoever sleeps at `sent`, which
// then says how many it sent.
//
// Worker data: {token: its text form, sent: a shared Int32Array of one 0, restMs: how much more time}.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { workerData } from 'node:worker_threads';
import { connect } from 'hawser';

const { token, sent, restMs } = workerData;
const connection = await connect(token, { timeoutMs: 60_000 });
const ended = once(connection, 'disconnect');
let count = 0;
const say = () => {
  if (!connection.connected) return;
  connection.send(new Uint8Array(8));
  ++count;
};
await sleep(1500);
say();
await sleep(300);
for (let time = 0; time < 50; ++time) {
  say();
  await sleep(10);
}
await ended;
await sleep(restMs);
Atomics.store(sent, 0, count);
Atomics.notify(sent, 0);
