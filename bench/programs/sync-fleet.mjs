// Many agents with their queues in memory. Configuration: {target, agents, items, bytes}.
import { Client, clientDriverOptions, createTokenMinter, parseKey, protocolId } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { hasSourceAddresses, sourceAddress } from '../lib/source-address.mjs';
import { quantiles } from '../lib/statistics.mjs';
import {
  differences,
  MemoryQueue,
  moduleName,
  SyncClient,
  socketOptions,
  syncConnector,
} from '../lib/sync.mjs';

/** @typedef {{target: import('../lib/sync.mjs').Target, agents: number, items: number, bytes: number}} Configuration */

const socketCount = 4;
const handshakesAtOnce = 256;
const percents = [50, 90, 99, 99.9];

const { target, agents: count, items, bytes } = /** @type {Configuration} */ (configuration());
const sockets = await Promise.all(
  Array.from({ length: socketCount }, () =>
    Client.open({
      ...socketOptions,
      ...clientDriverOptions(),
      maxConnections: Math.ceil(count / socketCount),
      address: hasSourceAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
    }),
  ),
);
const minter = await createTokenMinter({
  protocolId,
  key: parseKey(target.key),
  addresses: [target.address],
});

/** @type {import('../../dist/sync/index.js').SyncAgent[]} */
const agents = [];
let next = 0;
async function worker() {
  for (let number = next++; number < count; number = next++) {
    const socket = sockets[number % sockets.length];
    const client = new SyncClient({
      connector: syncConnector(() => minter.mint({ clientId: BigInt(number + 1) }), {
        ...(socket !== undefined && { client: socket }),
        ...(hasSourceAddresses && { localAddress: sourceAddress(number) }),
      }),
    });
    await client.connect();
    const queue = new MemoryQueue();
    const agent = client.agent({ module: moduleName, queue });
    await agent.persistDifferences(differences(0, items, bytes));
    agents.push(agent);
  }
}
await Promise.all(Array.from({ length: Math.min(count, handshakesAtOnce) }, worker));

serve({
  /** All begin within a second. */
  synchronize: async () => {
    let failed = 0;
    /** @type {string | undefined} */
    let reason;
    const durations = await Promise.all(
      agents.map(async (agent, number) => {
        await new Promise((resolve) => setTimeout(resolve, (number * 1000) / agents.length));
        const beganMs = performance.now();
        const result = await agent.synchronizeModule('DELTA');
        if (!result.success) {
          ++failed;
          reason ??= result.failureReason;
        }
        return performance.now() - beganMs;
      }),
    );
    const distribution = quantiles(durations, percents);
    return { failed, reason, distribution, greatestMs: Math.max(...durations) };
  },
  mark: processMark,
});
