// Opens a gateway, a client and a connection in a worker thread, keeps them busy and never closes them.
//
// Worker data: {server, client}, more options of each; none if left out.

import { parentPort, workerData } from 'node:worker_threads';
import { connect, Server } from 'hawser';
import { mintToken } from 'hawser/token';

const key = { id: 1, key: new Uint8Array(32).fill(1) };
const server = await Server.listen({
  address: '127.0.0.1:0',
  protocolId: 1n,
  keys: [key],
  ...workerData?.server,
});
const token = await mintToken({ protocolId: 1n, key, clientId: 1n, addresses: server.publicAddresses });
const connection = await connect(token, workerData?.client);
server.on('message', (peer, data) => peer.send(data));
let echoed = 0;
connection.on('message', (data) => {
  connection.send(data);
  if (++echoed === 100) parentPort?.postMessage('busy');
});
for (let index = 0; index < 50; ++index) connection.send(Uint8Array.of(index));
