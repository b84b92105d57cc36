// A gateway that sends every message back.
//
//   node examples/echo-server.ts [address]
//
// HAWSER_KEY is its server key, as `npx hawser keygen` prints one; without it the example makes one for itself. It prints a
// token to try it with: in production a backend mints those (see token-backend.ts) and the gateway never does.

import { Server } from 'hawser';
import { encodeToken, generateKey, mintToken, parseKey } from 'hawser/token';

const protocolId = 1n;
const key = process.env.HAWSER_KEY === undefined ? generateKey() : parseKey(process.env.HAWSER_KEY);

const server = await Server.listen({ address: process.argv[2] ?? '127.0.0.1:0', protocolId, keys: [key] });

server.on('connect', (peer) => console.log(`client ${peer.clientId} connected from ${peer.address}`));
server.on('message', (peer, data) => peer.send(data));
server.on('disconnect', (peer, info) => console.log(`client ${peer.clientId} is gone: ${info.result}`));

const token = await mintToken({ protocolId, key, clientId: 1n, addresses: server.publicAddresses });
console.log(`listening on ${server.address}`);
console.log(`token ${encodeToken(token)}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => void server.drain({ deadlineMs: 2000 }));
}
