// Connections with the channels of every layer, each with a socket of its own: a gateway, or the process that opens and closes
// them. Configuration: see `Configuration`.
import { gatewayChannels } from '../../dist/gateway/index.js';
import { connect } from '../../dist/index.js';
import { createTokenMinter, parseKey, protocolId, Server } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {string} key in its text form
 * @property {number} [maxPeers] of the gateway
 * @property {string} [address] of the gateway, for the other process
 */

/** Collections after which the memory of a process no longer shrinks. */
const collections = 4;
/** Handshakes and farewells under way at a time. */
const atOnce = 64;
const channels = gatewayChannels(['messages', 'interaction', 'sync', 'sessions', 'keys']);
const { key, maxPeers, address } = /** @type {Configuration} */ (configuration());

if (maxPeers !== undefined) {
  const gateway = await Server.listen({
    address: '127.0.0.1:0',
    protocolId,
    keys: [key],
    channels,
    maxPeers,
  });
  serve({ address: () => gateway.address });
} else {
  const minter = await createTokenMinter({
    protocolId,
    key: parseKey(key),
    addresses: [String(address)],
    timeoutMs: 60_000,
  });
  /** @type {Awaited<ReturnType<typeof open>>[]} */
  const connections = [];
  let clientId = 0n;

  const open = () => {
    clientId += 1n;
    return connect(minter.mint({ clientId }), { channels, timeoutMs: 60_000 });
  };

  /** @param {unknown} total @param {() => Promise<unknown>} work so many times, as many at a time as go well together */
  const repeat = async (total, work) => {
    let left = Number(total);
    const worker = async () => {
      while (left > 0) {
        left -= 1;
        await work();
      }
    };
    await Promise.all(Array.from({ length: atOnce }, worker));
  };

  const settled = async () => {
    for (let round = 0; round < collections; ++round) {
      globalThis.gc?.();
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { heapUsed, external } = process.memoryUsage();
    return {
      ...processMark(),
      heapBytes: heapUsed,
      externalBytes: external,
      connected: connections.filter(({ connected }) => connected).length,
    };
  };

  serve({
    open: (total) => repeat(total, async () => connections.push(await open())),
    cycle: (total) => repeat(total, async () => (await open()).close()),
    settled,
  });
}
