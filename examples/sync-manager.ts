// A manager: it keeps what agents (sync-agent.ts) tell it in a store on the disk, and shows what they have told.
//
//   node examples/sync-manager.ts [store] [address]
//
// [store] is a directory, `manager-store` by default. HAWSER_KEY is its server key, as `npx hawser keygen` prints one; without it the
// example makes one for itself. It prints a token for sync-agent.ts: in production a backend mints those (see token-backend.ts). The
// store needs the package lmdb.

import { Server } from 'hawser';
import { openStore, SyncManager, serveSync, syncChannels } from 'hawser/sync';
import { encodeToken, generateKey, mintToken, parseKey } from 'hawser/token';

const [directory = 'manager-store', address = '127.0.0.1:0'] = process.argv.slice(2);
const store = await openStore(directory);
const manager = new SyncManager({ store });
manager.on('log', (level, code, message, agent) => {
  if (level === 'error' || level === 'warning')
    console.error(`${level}: agent ${agent}: ${message} (${code})`);
});
manager.on('sessionEnd', ({ agent, mode, status, applied }) => {
  console.log(`agent ${agent}, ${mode}: ${status}, ${applied} applied`);
  for (const { index, id, data } of store.documents(agent)) {
    console.log(`  ${index}/${id} ${Buffer.from(data)}`);
  }
});

const protocolId = 1n;
const key = process.env.HAWSER_KEY === undefined ? generateKey() : parseKey(process.env.HAWSER_KEY);
const server = await Server.listen({ address, protocolId, keys: [key], channels: syncChannels });
serveSync(server, manager); // an agent is the client id of its token
const user = { protocolId, key, clientId: 1n, timeoutMs: 3000 };
console.log(`listening on ${server.address}`);
console.log(`token ${encodeToken(await mintToken({ ...user, addresses: server.publicAddresses }))}`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, async () => {
    await manager.drain(); // lets sessions end that are under way
    await manager.close();
    await server.close();
    await store.close();
  });
}
