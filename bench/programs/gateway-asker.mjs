// Asks a gateway for what those who look at it ask for. Configuration: the URLs of its admin server and metrics, the path of its control
// socket.
import { askGateway } from '../../dist/gateway/control/ask-gateway.js';
import { configuration, serve } from '../lib/program.mjs';

const { admin, metrics, control } = /** @type {{admin: string, metrics: string, control: string}} */ (
  configuration()
);
const patienceMs = 30_000;

/** @param {string} url */
async function get(url) {
  const response = await fetch(url, { signal: AbortSignal.timeout(patienceMs) });
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return (await response.text()).length;
}

async function top() {
  const signal = AbortSignal.timeout(patienceMs);
  await askGateway(control, { command: 'snapshot' }, signal);
  await askGateway(control, { command: 'peers', query: { order: 'rtt', limit: 50 } }, signal);
}

/** @type {Readonly<Record<string, () => Promise<unknown>>>} */
const asks = {
  snapshot: () => get(`${admin}/api/snapshot`),
  metrics: () => get(metrics.endsWith('/metrics') ? metrics : `${metrics}/metrics`),
  peers: () => get(`${admin}/api/peers?order=rtt&limit=50`),
  top,
  // Nearly all peers match: the addresses of all have to be read.
  search: () => get(`${admin}/api/peers?search=127.`),
};

serve({
  ask: async (argument) => {
    const chosen = argument === 'all' ? Object.values(asks) : [asks[String(argument)]];
    for (const ask of chosen) await ask?.();
    return null;
  },
});
