// One agent with its queue on the disk. Configuration: {target, queue, data, lossRate}.

import { Client, clientDriverOptions, createTokenMinter, parseKey, protocolId } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import {
  differences,
  moduleName,
  openQueue,
  SyncClient,
  socketOptions,
  syncConnector,
} from '../lib/sync.mjs';

/**
 * @typedef {object} Configuration
 * @property {import('../lib/sync.mjs').Target} target
 * @property {string} queue
 * @property {'reliable' | 'unreliable'} data
 * @property {number} [lossRate] of each direction
 */

const batchItems = 1000;
const agentId = 1n;

const { target, queue: folder, data, lossRate } = /** @type {Configuration} */ (configuration());
const queue = await openQueue(folder);
const minter = await createTokenMinter({
  protocolId,
  key: parseKey(target.key),
  addresses: [target.address],
});
const socket = await Client.open({
  ...socketOptions,
  ...clientDriverOptions(),
  ...(lossRate !== undefined && { simulate: { lossRate, seed: 1 } }),
});
const client = new SyncClient({
  connector: syncConnector(() => minter.mint({ clientId: agentId }), { client: socket }),
});
await client.connect();
const agent = client.agent({ module: moduleName, queue, data });

serve({
  fill: async (argument) => {
    const { items, bytes } = /** @type {{items: number, bytes: number}} */ (argument);
    /** @type {Promise<void>[]} */
    const written = [];
    for (let first = 0; first < items; first += batchItems) {
      const batch = differences(first, Math.min(batchItems, items - first), bytes);
      written.push(agent.persistDifferences(batch));
      if (written.length === 16) await Promise.all(written.splice(0));
    }
    await Promise.all(written);
  },
  synchronize: async () => {
    const beganMs = performance.now();
    const before = socket.stats.counters.bytesSent;
    const result = await agent.synchronizeModule('DELTA');
    const payloadBytes = Number(socket.stats.counters.bytesSent - before);
    return { ...result, payloadBytes, ms: performance.now() - beganMs };
  },
  mark: processMark,
  close: async () => {
    await client.close();
    await socket.close();
    await queue.close();
  },
});
