// A gateway on I/O threads whose JavaScript stands still when it is told to, in a process of its own, forked with a pipe as standard input:
// `stall` makes it say so and then wait for the end of that pipe, doing nothing else. Then it tells {peers, ended, heard}, once each peer's
// message that had come meanwhile was delivered.
//
// Argument: JSON {key: hex, sockets}.

import { readSync } from 'node:fs';
import { Server } from 'hawser';

const { key, sockets } = JSON.parse(process.argv[2] ?? '{}');
const server = await Server.listen({
  address: '127.0.0.1:0',
  protocolId: 1n,
  keys: [{ id: 1, key: Buffer.from(key, 'hex') }],
  ...sockets,
});
let ended = 0;
let heard = 0;
server.on('message', () => {
  if (++heard === server.peers.size) tell();
});
server.on('disconnect', () => {
  ++ended;
  tell();
});
const tell = () => process.send?.({ peers: server.peers.size, ended, heard });
process.on('message', () => {
  process.send?.({ begun: true }, () => readSync(0, new Uint8Array(1)));
});
process.send?.({ address: server.address });
