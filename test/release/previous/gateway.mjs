// A gateway of one release with all layers and their stores, for clients of another.
import { join } from 'node:path';
import { inProduction, master, openSae, slave } from './keys-of-two.mjs';
import { channelsOf, listenWithFreshKeys, protocolId, serverKey, updateSecret } from './package.mjs';

/** @typedef {import('./package.mjs').Package} Package */
/** @typedef {{messages: string, sessions: string, sync: string, keys: string}} Addresses of its listeners, `host:port` */

const listener = { address: '127.0.0.1:0', protocolId, keys: [serverKey] };

/**
 * Sends every message back where it came from, and begins a key update when it is asked to.
 *
 * @param {Package} pkg
 */
async function serveMessages(pkg) {
  const channels = channelsOf(pkg);
  const server = await listenWithFreshKeys(pkg, {
    ...listener,
    channels,
    wires: ['hawser', 'netcode'],
    secretOf: () => updateSecret,
  });
  server.on('message', (peer, data, channel) => {
    if (channel !== 'control') peer.send(channel, data);
    // One update may have to wait for the end of the one before it: then it is asked for again.
    else void peer.updateKeys().catch((error) => peer.send('control', { error: error.code }));
  });
  return server;
}

/**
 * Counts the requests of each client, and tells it of each third.
 *
 * @param {Package} pkg
 * @param {string} folder
 */
async function serveSessions({ hawser, sessions }, folder) {
  const store = await sessions.openSessionStore(join(folder, 'sessions'));
  const sessionServer = new sessions.SessionServer({
    store,
    onRequest: async (request) => {
      const key = `count/${request.identity}`;
      const before = await request.get(key);
      const count = Number(Buffer.from(before ?? []).toString()) + 1;
      const result = Buffer.from(String(count));
      const serverRequests = count % 3 === 0 ? [{ payload: result }] : [];
      return { result, writes: new Map([[key, result]]), serverRequests };
    },
  });
  await sessionServer.start();
  const server = await hawser.Server.listen({ ...listener, channels: sessions.sessionChannels });
  sessions.serveSessions(server, sessionServer);
  const close = async () => {
    await sessionServer.close();
    await server.close();
    await store.close();
  };
  return { address: server.address, close };
}

/** @param {Package} pkg @param {string} folder */
async function serveSync({ hawser, sync }, folder) {
  const store = await sync.openStore(join(folder, 'sync'));
  const manager = new sync.SyncManager({ store });
  const server = await hawser.Server.listen({ ...listener, channels: sync.syncChannels });
  sync.serveSync(server, manager);
  const documents = () =>
    Array.from(store.agents(), (agent) =>
      Array.from(
        store.documents(agent),
        ({ index, id, data }) => `${agent} ${index}/${id} ${Buffer.from(data)}`,
      ),
    ).flat();
  const close = async () => {
    await manager.close();
    await server.close();
    await store.close();
  };
  return { address: server.address, documents, close };
}

/** @param {Package} pkg @param {string} folder */
async function serveKeys(pkg, folder) {
  const opened = await openSae(pkg, slave, folder);
  const server = await pkg.hawser.Server.listen({ ...listener, channels: pkg.keys.keysChannels });
  pkg.keys.serveKeys(server, opened.sae, { saeOf: () => master });
  const close = async () => {
    await opened.sae.close();
    await server.close();
  };
  return { address: server.address, production: () => inProduction(opened), close };
}

/**
 * @param {Package} pkg
 * @param {string} folder where its stores are
 */
export async function openGateway(pkg, folder) {
  const messages = await serveMessages(pkg);
  const sessions = await serveSessions(pkg, folder);
  const sync = await serveSync(pkg, folder);
  const keys = await serveKeys(pkg, folder);
  return {
    /** @type {Addresses} */
    addresses: {
      messages: messages.address,
      sessions: sessions.address,
      sync: sync.address,
      keys: keys.address,
    },
    /** Closes everything. @returns what its stores had at the end */
    async close() {
      const report = { documents: sync.documents(), production: await keys.production() };
      await messages.close();
      for (const each of [sessions, sync, keys]) await each.close();
      return report;
    },
  };
}
