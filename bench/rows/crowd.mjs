// What the rows share that have many peers: a gateway and its clients, in processes of their own.
import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { cores, wait } from './row.mjs';

/** @typedef {import('../lib/child.mjs').Program} Program */

/**
 * @typedef {import('../lib/program.mjs').ProcessMark & {peers: number, nativeBytes: number, messages: number, stalls: number,
 * delivered: number, counters: Record<string, number>, drops: Record<string, number>, socket: Record<string, number>}} GatewayMark
 */

/**
 * @typedef {import('../lib/program.mjs').ProcessMark & {failed: number, disconnected: number, messages: number,
 * misplaced: number}} ClientsMark
 */

/**
 * @typedef {object} Crowd
 * @property {Program} gateway
 * @property {Program} clients
 * @property {(total: number) => Promise<{seconds: number}>} connectUpTo connects until there are so many; rejects when one cannot
 */

/**
 * @typedef {object} CrowdOptions
 * @property {number} peers the most there will be
 * @property {object} [gateway] its configuration besides
 * @property {object} [clients] theirs
 * @property {import('../lib/child.mjs').ProgramOptions} [gatewayOptions] by default it stays on the far core
 */

/**
 * How long to wait for clocks at most. In 40 s all are measured no more often, settled or not; a quick run waits until none is measured
 * at 10 Hz any more.
 *
 * @type {Record<import('./row.mjs').Size, number>}
 */
const settleMs = { full: 40_000, quick: 1200, smoke: 0 };
/**
 * The same for rows in whose figures pings would be a great part.
 *
 * @type {Record<import('./row.mjs').Size, number>}
 */
export const patientMs = { ...settleMs, quick: 10_000 };
const lookEveryMs = 250;

/**
 * Runs `work` with a gateway and clients that are not connected yet. Both end with their processes: to close them would take a gateway a
 * second, and nothing is measured then.
 *
 * @template T
 * @param {CrowdOptions} options
 * @param {(crowd: Crowd) => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withCrowd({ peers, gatewayOptions = { core: cores.far }, ...config }, work) {
  return withPrograms(async (start) => {
    const key = formatKey(generateKey({ id: 1 }));
    const gateway = await start('gateway', { maxPeers: peers, key, ...config.gateway }, gatewayOptions);
    const address = await gateway.request('address');
    const clientsConfig = { address, key, clients: peers, ...config.clients };
    const clients = await start('clients', clientsConfig, { core: cores.near });
    return work({
      gateway,
      clients,
      async connectUpTo(total) {
        await clients.request('mint', total);
        /** @type {{seconds: number, failed: number}} */
        const { seconds, failed } = await clients.request('connectUpTo', total);
        if (failed > 0) throw new Error(`${failed} of ${total} clients could not connect`);
        return { seconds };
      },
    });
  });
}

/**
 * Waits until all connections keep alive and do nothing else: fresh ones measure their clocks, at 10 Hz at first, then once a second.
 * Either side tells when a clock has settled.
 *
 * @param {Pick<Crowd, 'gateway' | 'clients'>} crowd
 * @param {import('./row.mjs').Size} size
 * @param {number} [mostMs] how long to wait for them
 * @returns {Promise<{settleSeconds: number, unsettled: number}>} how long it took, and how many clocks had not settled
 */
export async function untilSettled({ gateway, clients }, size, mostMs = settleMs[size]) {
  const began = performance.now();
  for (;;) {
    /** @type {[number, number]} */
    const [near, far] = await Promise.all([gateway.request('unsettled'), clients.request('unsettled')]);
    const elapsed = performance.now() - began;
    if (near + far === 0 || elapsed >= mostMs)
      return { settleSeconds: elapsed / 1000, unsettled: near + far };
    await wait(lookEveryMs);
  }
}

/**
 * How much a counter of the gateway has grown.
 *
 * @param {GatewayMark} begin
 * @param {GatewayMark} end
 * @param {string} name
 * @returns {number}
 */
export function counted(begin, end, name) {
  return (end.counters[name] ?? Number.NaN) - (begin.counters[name] ?? Number.NaN);
}
