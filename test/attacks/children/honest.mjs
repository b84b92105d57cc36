// Honest peers of a gateway under attack, forked by attack.ts: each sends messages on `chat` (reliable) and `state` (unreliable) at a steady
// rate, and measures when they come back.
//
// Argument: JSON {tokens: [base64], perSecond, chatBytes}. Requests: {start} and {stop, patienceMs}, answered with a report.

import { Client } from 'hawser';
import { channels } from './channels.mjs';

const { tokens, perSecond, chatBytes } = JSON.parse(process.argv[2] ?? '{}');
const stateBytes = 32;
const client = await Client.open({ address: '127.0.0.1:0', channels });
let disconnected = 0;
/** Time of sending by number, of reliable messages that did not come back yet. @type {Map<number, number>} */
const waiting = new Map();
/** @type {number[]} */
let roundTrips = [];
let sent = 0;
let stateSent = 0;
let stateReturned = 0;
/** @type {NodeJS.Timeout | undefined} */
let timer;

const connections = await Promise.all(
  tokens.map(async (/** @type {string} */ token) => {
    const connection = await client.connect(Buffer.from(token, 'base64'), { timeoutMs: 60_000 });
    connection.on('disconnect', () => ++disconnected);
    connection.on('message', (data, channel) => {
      if (channel === 'state') {
        ++stateReturned;
        return;
      }
      const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
      const sentAt = waiting.get(number);
      if (sentAt === undefined) return;
      waiting.delete(number);
      roundTrips.push(performance.now() - sentAt);
    });
    return connection;
  }),
);

let next = 0;
function talk() {
  const connection = connections[next++ % connections.length];
  if (!connection?.connected) return;
  const message = new Uint8Array(chatBytes);
  new DataView(message.buffer).setUint32(0, ++sent);
  waiting.set(sent, performance.now());
  connection.send('chat', message);
  connection.send('state', new Uint8Array(stateBytes));
  ++stateSent;
}

/** @param {readonly number[]} sorted @param {number} part */
const at = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;

process.on('message', async ({ start, stop, patienceMs }) => {
  if (start) {
    roundTrips = [];
    sent = stateSent = stateReturned = 0;
    waiting.clear();
    const began = performance.now();
    timer = setInterval(() => {
      const due = ((performance.now() - began) / 1000) * perSecond;
      while (sent < due) talk();
    }, 5);
    process.send?.({});
  }
  if (stop) {
    clearInterval(timer);
    const end = performance.now() + patienceMs;
    while (waiting.size > 0 && performance.now() < end)
      await new Promise((resolve) => setTimeout(resolve, 20));
    const sorted = roundTrips.toSorted((a, b) => a - b);
    process.send?.({
      sent,
      lost: waiting.size,
      stateSent,
      stateLost: stateSent - stateReturned,
      disconnected,
      p50Ms: at(sorted, 0.5),
      p99Ms: at(sorted, 0.99),
      longestMs: sorted.at(-1) ?? 0,
    });
  }
});
process.on('disconnect', () => process.exit());
process.send?.({ connected: connections.length });
