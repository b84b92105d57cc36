// A gateway on I/O threads whose JavaScript stands still when it is told to, in a process of its own, forked: `stall` makes it block for
// `stallMs` and then tell {peers, ended, heard}, once what had come meanwhile has been delivered.
//
// Argument: JSON {key: hex, stallMs, sockets}.

import { Server } from 'hawser';

const { key, stallMs, sockets } = JSON.parse(process.argv[2] ?? '{}');
const server = await Server.listen({
  address: '127.0.0.1:0',
  protocolId: 1n,
  keys: [{ id: 1, key: Buffer.from(key, 'hex') }],
  ...sockets,
});
let ended = 0;
let heard = 0;
server.on('message', () => ++heard);
server.on('disconnect', () => ++ended);
process.on('message', () => {
  process.send?.({ begun: true }, () => {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, stallMs);
    setTimeout(() => process.send?.({ peers: server.peers.size, ended, heard }), 500);
  });
});
process.send?.({ address: server.address });
