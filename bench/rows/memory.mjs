import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { slope } from '../lib/statistics.mjs';
import { wait } from './row.mjs';

/** @typedef {import('./handshakes.mjs').GatewayMark} GatewayMark */

/** @type {Record<import('./row.mjs').Size, {steps: readonly number[], quietMs: number}>} */
export const sizes = {
  full: { steps: [2000, 4000, 6000, 8000, 10_000], quietMs: 3000 },
  quick: { steps: [2000, 10_000], quietMs: 3000 },
  smoke: { steps: [20, 60], quietMs: 100 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'memory',
  title: 'memory of the gateway for each idle peer',
  unit: 'bytes',
  better: 'lower',
  rivals: [],
  target: { value: 4096, is: 'atMost' },
  note: 'least-squares slope of the resident set between 2,000 and 10,000 connected peers, after garbage collection, native memory and JavaScript together; `fromNothingBytes` is the whole growth since before the gateway was opened, for each peer.',
  measure: (_, size) => measureMemory(sizes[size]),
};

/**
 * @param {{steps: readonly number[], quietMs: number}} size numbers of peers, rising
 * @param {boolean} [channels] whether every peer uses a reliable channel, once each way
 * @returns {Promise<{value: number, details: {fromNothingBytes: number, nativeBytes: number, rssBytes: number}}>}
 */
export async function measureMemory({ steps, quietMs }, channels = false) {
  return withPrograms(async (start) => {
    const maxPeers = steps.at(-1) ?? 0;
    const key = formatKey(generateKey({ id: 1 }));
    const gateway = await start('gateway', { maxPeers, key, channels }, { nodeOptions: ['--expose-gc'] });
    const address = await gateway.request('address');
    const clients = await start('clients', { address, key, clients: maxPeers, channels, exchange: channels });
    /** @type {GatewayMark} */
    const before = await gateway.request('before');
    /** @type {{x: number, y: number}[]} */
    const points = [];
    let nativeBytes = 0;
    for (const step of steps) {
      await clients.request('mint', step);
      await clients.request('connectUpTo', step);
      await wait(quietMs);
      /** @type {GatewayMark} */
      const mark = await gateway.request('settled');
      if (mark.peers !== step) throw new Error(`${mark.peers} of ${step} clients are connected`);
      points.push({ x: step, y: mark.rssBytes });
      nativeBytes = mark.nativeBytes;
    }
    const all = points.at(-1)?.y ?? Number.NaN;
    await clients.request('close');
    await gateway.request('close');
    return {
      value: slope(points),
      details: {
        fromNothingBytes: (all - before.rssBytes) / maxPeers,
        nativeBytes: nativeBytes / maxPeers,
        rssBytes: all,
      },
    };
  });
}
