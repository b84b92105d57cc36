// The sessions layer as it is built in this tree, and what the programs of its rows share.
import {
  MemorySessionStore,
  openEtcdStore,
  openSessionStore,
  SessionClient,
  SessionServer,
  serveSessions,
  sessionChannels,
  sessionConnector,
} from '../../dist/sessions/index.js';
import { driverOptions, protocolId, Server } from './hawser.mjs';

export { MemorySessionStore, SessionClient, SessionServer, sessionChannels, sessionConnector };

/** Wanted size of socket buffers in bytes, and the longest datagram: as all rows have them. */
export const socketOptions = {
  channels: sessionChannels,
  maxDatagramBytes: 1472,
  receiveBufferBytes: 4 * 1024 * 1024,
  sendBufferBytes: 4 * 1024 * 1024,
};

/**
 * @typedef {{kind: 'none'} | {kind: 'memory'} | {kind: 'lmdb', path: string} | {kind: 'etcd', hosts: string[]}} StoreConfig
 * `none`: the transport alone
 */

/**
 * @param {Exclude<StoreConfig, {kind: 'none'}>} config
 * @returns {Promise<import('../../dist/sessions/index.js').SessionStore>}
 */
export async function openStoreOf(config) {
  switch (config.kind) {
    case 'memory':
      return new MemorySessionStore();
    case 'lmdb':
      return openSessionStore(config.path);
    case 'etcd':
      return openEtcdStore({ hosts: config.hosts });
  }
}

/**
 * A gateway whose peers have sessions, unless its store is `none`.
 *
 * @param {object} config
 * @param {string} config.address to bind
 * @param {string} config.key in its text form
 * @param {number} config.maxPeers
 * @param {StoreConfig} config.store
 * @param {Partial<import('../../dist/sessions/index.js').SessionServerOptions>} [config.options]
 * @returns {Promise<{server: Server<typeof sessionChannels>, sessions: SessionServer | undefined}>}
 */
export async function openGateway({ address, key, maxPeers, store, options = {} }) {
  const server = await Server.listen({
    ...socketOptions,
    ...driverOptions(),
    address,
    protocolId,
    keys: [key],
    maxPeers,
  });
  if (store.kind === 'none') return { server, sessions: undefined };
  const advertise = server.address;
  const sessions = new SessionServer({ advertise, ...options, store: await openStoreOf(store) });
  await sessions.start();
  serveSessions(server, sessions);
  return { server, sessions };
}

/** The key under which a handler counts the requests of an identity. @param {string} identity */
export function countKey(identity) {
  return `count/${identity}`;
}

/**
 * A handler that adds one to the count of whoever asks, and answers with it.
 *
 * @param {import('../../dist/sessions/index.js').RequestContext} request
 * @returns {Promise<import('../../dist/sessions/index.js').RequestOutcome>}
 */
export async function countRequest(request) {
  const key = countKey(request.identity);
  const before = await request.get(key);
  const count = Buffer.from(String(Number(Buffer.from(before ?? []).toString()) + 1));
  return { result: count, writes: new Map([[key, count]]) };
}
