// A gateway with sessions, or with the transport alone. Configuration: see `Configuration`.
import { configuration, processMark, serve } from '../lib/program.mjs';
import { countRequest, openGateway } from '../lib/sessions.mjs';

/**
 * @typedef {object} Configuration
 * @property {string} address to bind
 * @property {string} key in its text form
 * @property {number} maxPeers
 * @property {import('../lib/sessions.mjs').StoreConfig} store
 * @property {number} [keepAliveIntervalMs]
 * @property {number} [sessionTimeoutMs]
 * @property {boolean} [testRanges]
 */

const {
  keepAliveIntervalMs,
  sessionTimeoutMs,
  testRanges = false,
  ...config
} = /** @type {Configuration} */ (configuration());
const { server, sessions } = await openGateway({
  ...config,
  options: {
    onRequest: countRequest,
    testRanges,
    ...(keepAliveIntervalMs === undefined ? {} : { keepAliveIntervalMs }),
    ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
    // As many clients come at once as there are.
    createsPerSecond: Math.max(1000, config.maxPeers),
  },
});

serve({
  address: () => server.address,
  mark: () => ({
    ...processMark(),
    peers: server.peers.size,
    packets: server.stats.counters.packetsOpened,
    sessions: sessions?.stats,
  }),
  /** Ends all connections; clients are to come again at once. */
  drop: () => {
    for (const peer of server.peers) void peer.disconnect();
    return null;
  },
  unsettled: () => [...server.peers].filter(({ clockSettled }) => !clockSettled).length,
});
