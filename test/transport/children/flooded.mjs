// A gateway that echoes, in a process of its own, forked: `stats` is answered with its memory, its peers and its drops.
//
// Argument: JSON {key: hex, publicAddresses}.

import { Server } from 'hawser';

const { key, publicAddresses } = JSON.parse(process.argv[2] ?? '{}');
const server = await Server.listen({
  address: '127.0.0.1:0',
  publicAddresses: ['127.0.0.1:0', ...publicAddresses],
  protocolId: 1n,
  keys: [{ id: 1, key: Buffer.from(key, 'hex') }],
});
let ended = 0;
server.on('message', (peer, data) => peer.send(data));
server.on('disconnect', () => ++ended);
process.on('message', () => {
  globalThis.gc?.();
  const { counters, drops } = server.stats;
  process.send?.({ rssBytes: process.memoryUsage.rss(), peers: server.peers.size, ended, counters, drops });
});
process.send?.({ address: server.address });
