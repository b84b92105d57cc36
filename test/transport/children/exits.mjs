// Ends the process in the middle of traffic, with everything open.
//
// Arguments: JSON {server, client}, more options of each; how: `exit`, `throw`, or `kill`, by itself.

import { connect, Server } from 'hawser';
import { mintToken } from 'hawser/token';

const options = JSON.parse(process.argv[2] ?? '{}');
const key = { id: 1, key: new Uint8Array(32).fill(1) };
const server = await Server.listen({
  address: '127.0.0.1:0',
  protocolId: 1n,
  keys: [key],
  ...options.server,
});
const token = await mintToken({ protocolId: 1n, key, clientId: 1n, addresses: server.publicAddresses });
const connection = await connect(token, options.client);
let echoed = 0;
server.on('message', (peer, data) => peer.send(data));
connection.on('message', (data) => {
  connection.send(data);
  if (++echoed !== 100) return;
  process.stdout.write('busy\n');
  if (process.argv[3] === 'exit') process.exit(7);
  if (process.argv[3] === 'kill') process.kill(process.pid, 'SIGTERM');
  // An exception of a listener would not end the process.
  process.nextTick(() => {
    throw new Error('uncaught');
  });
});
for (let index = 0; index < 50; ++index) connection.send(Uint8Array.of(index));
