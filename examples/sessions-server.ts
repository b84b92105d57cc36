// Counts for each of its clients, exactly once for each request: sessions and counts are on the disk. Kill it whenever you like, and start it
// again: sessions-client.ts goes on counting.
//
//   node examples/sessions-server.ts [store] [address]
//
// [store] is a directory, `sessions-store` by default. HAWSER_KEY is its server key, as `npx hawser keygen` prints one; without it the
// example makes one for itself. It prints a token for sessions-client.ts: in production a backend mints those (see token-backend.ts). The
// store needs the package lmdb. For several servers with one store, put `openEtcdStore({ hosts })` in its place: see docs/cluster.md.

import { Server } from 'hawser';
import { openSessionStore, SessionServer, serveSessions, sessionChannels } from 'hawser/sessions';
import { encodeToken, generateKey, mintToken, parseKey } from 'hawser/token';

const [directory = 'sessions-store', address = '127.0.0.1:0'] = process.argv.slice(2);
const store = await openSessionStore(directory);
const sessions = new SessionServer({
  store,
  onRequest: async (request) => {
    const key = `count/${request.identity}`;
    const before = await request.get(key);
    const count = Number(new TextDecoder().decode(before) || 0) + 1;
    const result = new TextEncoder().encode(String(count));
    return {
      result,
      writes: new Map([[key, result]]),
      // The client hears of each tenth, also when it was not connected at the time.
      serverRequests: count % 10 === 0 ? [{ payload: result }] : [],
    };
  },
});
sessions.on('sessionCreated', ({ identity }) => console.log(`client ${identity} has a session`));
sessions.on('sessionContinued', ({ identity }) => console.log(`client ${identity} goes on with its session`));
sessions.on('sessionEnded', ({ identity }, end) => console.log(`the session of client ${identity} ${end}`));
sessions.on('listenerError', (error) => console.error(error));
await sessions.start();

const protocolId = 1n;
const key = process.env.HAWSER_KEY === undefined ? generateKey() : parseKey(process.env.HAWSER_KEY);
const server = await Server.listen({ address, protocolId, keys: [key], channels: sessionChannels });
serveSessions(server, sessions); // whose session it is: the client id of the token
const user = { protocolId, key, clientId: 1n, timeoutMs: 3000 };
console.log(`listening on ${server.address}`);
console.log(`token ${encodeToken(await mintToken({ ...user, addresses: server.publicAddresses }))}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await sessions.close(); // tells the clients
    await server.close();
    await store.close();
  });
}
