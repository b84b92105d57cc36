// A composed gateway that watches its own event loop. Configuration: see `Configuration`.
import { openGateway } from '../../dist/gateway/index.js';
import { protocolId } from '../lib/hawser.mjs';
import { configuration, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {string} key in its text form
 * @property {number} peers
 * @property {import('../lib/hawser.mjs').DriverOptions} driver
 * @property {string} control the path of the control socket
 */

const loopback = '127.0.0.1:0';
const { key, peers, driver, control } = /** @type {Configuration} */ (configuration());
const gateway = await openGateway({
  protocolId,
  keys: [key],
  listeners: [{ name: 'clients', address: loopback, layers: ['messages'], ...driver }],
  limits: { maxPeers: peers },
  admin: { address: loopback },
  metrics: { address: loopback },
  control,
  log: { level: 'warn' },
});
const [listener] = gateway.servers;
if (listener === undefined) throw new Error('the listener is not there');
const { server } = listener;

let watching = false;
let lastMs = 0;
let longestMs = 0;

function beat() {
  if (!watching) return;
  const nowMs = performance.now();
  longestMs = Math.max(longestMs, nowMs - lastMs);
  lastMs = nowMs;
  setImmediate(beat);
}

function watch() {
  watching = true;
  longestMs = 0;
  lastMs = performance.now();
  setImmediate(beat);
}

function longestBlockMs() {
  watching = false;
  return longestMs;
}

serve({
  places: () => ({ clients: server.address, ...gateway.urls }),
  mark: () => ({ connected: server.peers.size }),
  watch,
  longestBlockMs,
});
