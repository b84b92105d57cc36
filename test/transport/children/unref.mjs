// Ends by itself, although a gateway is open.
//
// Argument: JSON of more options of the gateway; none if left out.

import { Server } from 'hawser';

const key = { id: 1, key: new Uint8Array(32).fill(1) };
const options = JSON.parse(process.argv[2] ?? '{}');
const server = await Server.listen({ address: '127.0.0.1:0', protocolId: 1n, keys: [key], ...options });
server.unref().ref().unref();
process.stdout.write('open');
