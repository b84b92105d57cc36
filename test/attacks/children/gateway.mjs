// Gateway under attack, forked by attack.ts. Sends back messages of `chat` and `state`. A message on `feed` asks it to send messages on
// `feed` to that peer for as long as send() allows.
//
// Argument: JSON {key: hex, options: options of Server.listen that can be JSON}. Answers the request `report`.

import { Server } from 'hawser';
import { channels } from './channels.mjs';

const { key, options } = JSON.parse(process.argv[2] ?? '{}');
/** @type {import('hawser').Server<typeof channels>} */
const server = await Server.listen({
  address: '127.0.0.1:0',
  protocolId: 1n,
  keys: [{ id: 1, key: Buffer.from(key, 'hex') }],
  ...options,
  channels,
});
const chunk = new Uint8Array(1000);
/** Peers that asked for `feed`. @type {Set<import('hawser').Peer<typeof channels>>} */
const fed = new Set();
/** How each connection ended. @type {{clientId: string, result: string, code: number}[]} */
const endings = [];

/** Messages that one turn may send to one peer. */
const burst = 256;

/** @param {import('hawser').Peer<typeof channels>} peer */
function feed(peer) {
  for (let count = 0; count < burst; ++count) if (!peer.send('feed', chunk)) return;
}

server.on('message', (peer, data, channel) => {
  if (channel === 'feed') fed.add(peer);
  else peer.send(channel, data);
});
server.on('disconnect', (peer, { result, code }) => {
  fed.delete(peer);
  endings.push({ clientId: String(peer.clientId), result, code });
});
setInterval(() => {
  for (const peer of fed) feed(peer);
}, 5);

process.on('message', () => {
  globalThis.gc?.();
  const { counters, drops } = server.stats;
  process.send?.({
    rssBytes: process.memoryUsage.rss(),
    nativeBytes: server.memoryBytes,
    connected: [...server.peers].map((peer) => String(peer.clientId)),
    endings,
    counters,
    drops,
  });
});
process.on('disconnect', () => process.exit());
process.send?.({ address: server.address });
