import { slope } from '../lib/statistics.mjs';
import { withCrowd } from './crowd.mjs';
import { wait } from './row.mjs';

/** @typedef {{steps: readonly number[], quietMs: number}} MemorySize numbers of peers, rising */

/** @type {Record<import('./row.mjs').Size, MemorySize>} */
const sizes = {
  full: { steps: [10_000, 30_000, 50_000], quietMs: 2000 },
  quick: { steps: [2000, 10_000], quietMs: 1000 },
  smoke: { steps: [20, 60], quietMs: 100 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'memory',
  title: 'memory of the gateway for each idle peer',
  unit: 'bytes',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 2048 }],
  note: 'least-squares slope of the resident set between 10,000 and 50,000 connected peers, after garbage collection, native memory and JavaScript together; `fromNothingBytes` is the whole growth since before the gateway was opened, for each peer. A quick run has the slope between 2,000 and 10,000.',
  measure: (_, size) => measureMemory(sizes[size]),
};

/**
 * @param {MemorySize} size
 * @param {boolean} [channels] whether every peer uses a reliable channel, once each way
 * @returns {Promise<{value: number, details: {fromNothingBytes: number, nativeBytes: number, rssBytes: number}}>}
 */
export async function measureMemory({ steps, quietMs }, channels = false) {
  const peers = steps.at(-1) ?? 0;
  const options = {
    peers,
    gateway: { channels },
    clients: { channels, exchange: channels },
    gatewayOptions: { nodeOptions: ['--expose-gc'] },
  };
  return withCrowd(options, async ({ gateway, connectUpTo }) => {
    /** @type {import('./crowd.mjs').GatewayMark} */
    const before = await gateway.request('before');
    /** @type {{x: number, y: number}[]} */
    const points = [];
    let nativeBytes = 0;
    for (const step of steps) {
      await connectUpTo(step);
      await wait(quietMs);
      /** @type {import('./crowd.mjs').GatewayMark} */
      const mark = await gateway.request('settled');
      if (mark.peers !== step) throw new Error(`${mark.peers} of ${step} clients are connected`);
      points.push({ x: step, y: mark.rssBytes });
      nativeBytes = mark.nativeBytes;
    }
    const all = points.at(-1)?.y ?? Number.NaN;
    return {
      value: slope(points),
      details: {
        fromNothingBytes: (all - before.rssBytes) / peers,
        nativeBytes: nativeBytes / peers,
        rssBytes: all,
      },
    };
  });
}
