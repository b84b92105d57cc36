// A gateway in a process of its own: told what to do by its options, it says where it listens and what happens.
//
// Argument: JSON {address, key, resetKey, sockets}, both keys as hex, `sockets` options of the server that may be left out; on standard
// output a line of JSON for each event.

import { Server } from 'hawser';

const { address, key, resetKey, sockets } = JSON.parse(process.argv[2] ?? '{}');
/** @param {object} event */
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

const server = await Server.listen({
  ...sockets,
  address,
  protocolId: 1n,
  keys: [{ id: 1, key: Buffer.from(key, 'hex') }],
  resetKey: Buffer.from(resetKey, 'hex'),
});
server.on('connect', (peer) => say({ connect: String(peer.clientId) }));
server.on('message', (peer, data) => peer.send(data));
say({ address: server.address });
