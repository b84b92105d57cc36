// The sync layer as it is built in this tree, and what the programs of its rows share.
import {
  MemoryQueue,
  openQueue,
  openStore,
  SyncClient,
  SyncManager,
  serveSync,
  syncChannels,
  syncConnector,
} from '../../dist/sync/index.js';
import { driverOptions, formatKey, generateKey, protocolId, Server } from './hawser.mjs';

export { MemoryQueue, openQueue, openStore, SyncClient, syncChannels, syncConnector };

/** The index of all items here, and the module that sends them. */
export const index = 'bench-packages';
export const moduleName = 'bench';

/** Wanted size of socket buffers in bytes, and the longest datagram: as all rows have them. */
export const socketOptions = {
  channels: syncChannels,
  maxDatagramBytes: 1472,
  receiveBufferBytes: 4 * 1024 * 1024,
  sendBufferBytes: 4 * 1024 * 1024,
};

/** @typedef {{address: string, key: string}} Target what agents need to know, as JSON */

/**
 * Opens a gateway whose peers are agents.
 *
 * @param {import('../../dist/sync/index.js').SyncStore} store
 * @param {number} maxPeers
 * @param {Partial<import('../../dist/sync/index.js').SyncManagerOptions>} [options]
 * @returns {Promise<{server: Server<typeof syncChannels>, manager: SyncManager, target: Target}>}
 */
export async function openManager(store, maxPeers, options = {}) {
  const key = generateKey({ id: 1 });
  const server = await Server.listen({
    ...socketOptions,
    ...driverOptions(),
    address: '127.0.0.1:0',
    protocolId,
    keys: [key],
    maxPeers,
  });
  const manager = new SyncManager({ ...options, store });
  serveSync(server, manager);
  return { server, manager, target: { address: server.address, key: formatKey(key) } };
}

/** @param {number} number @returns {string} the id of an item */
export function idOf(number) {
  return `package-${String(number).padStart(9, '0')}`;
}

/**
 * A JSON document of so many bytes, another for each number.
 *
 * @param {number} number
 * @param {number} bytes
 * @returns {Uint8Array}
 */
export function documentOf(number, bytes) {
  const head = `{"name":"${idOf(number)}","version":"${number % 100}.${number % 7}","state":"installed","note":"`;
  return Buffer.from(`${head.padEnd(bytes - 2, 'abcdefghijklmnopqrstuvwxyz')}"}`);
}

/**
 * @param {number} first
 * @param {number} count
 * @param {number} bytes of each document
 * @returns {import('../../dist/sync/index.js').Difference[]}
 */
export function differences(first, count, bytes) {
  return Array.from({ length: count }, (_, offset) => ({
    id: idOf(first + offset),
    operation: /** @type {const} */ ('CREATE'),
    index,
    data: documentOf(first + offset, bytes),
  }));
}
