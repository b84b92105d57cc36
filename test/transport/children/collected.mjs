// Run with --expose-gc: nobody holds the server, its peers or the connection, and they work all the same.
//
// Argument: JSON {server, client}, more options of each; none if left out.

import { connect, Server } from 'hawser';
import { mintToken } from 'hawser/token';

const options = JSON.parse(process.argv[2] ?? '{}');
const key = { id: 1, key: new Uint8Array(32).fill(1) };

async function open() {
  const server = await Server.listen({
    address: '127.0.0.1:0',
    protocolId: 1n,
    keys: [key],
    ...options.server,
  });
  server.on('message', (peer, data) => peer.send(data));
  const token = await mintToken({ protocolId: 1n, key, clientId: 1n, addresses: server.publicAddresses });
  const connection = await connect(token, options.client);
  let rounds = 0;
  connection.on('message', (data) => {
    globalThis.gc?.();
    if (++rounds < 20) {
      connection.send(data);
      return;
    }
    process.stdout.write('alive\n');
    void connection.close();
    void server.close();
  });
  connection.send(new Uint8Array(8));
}

await open();
globalThis.gc?.();
