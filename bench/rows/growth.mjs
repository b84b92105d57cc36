import { patientMs, untilSettled, withCrowd } from './crowd.mjs';
import { measureEcho } from './echo.mjs';
import { bundlingFault, cores, lossFault } from './row.mjs';

/** Of all clients together, however many they are. */
const messagesPerSecond = 20_000;

/**
 * @typedef {object} GrowthSize
 * @property {readonly number[]} steps numbers of peers, rising
 * @property {number} reference the step that the last one is compared with
 * @property {number} warmUpMs
 * @property {number} measureMs
 */

/** @type {Record<import('./row.mjs').Size, GrowthSize>} */
const sizes = {
  full: { steps: [100, 1000, 10_000, 50_000], reference: 1000, warmUpMs: 1000, measureMs: 2000 },
  quick: { steps: [1000, 10_000], reference: 1000, warmUpMs: 300, measureMs: 700 },
  smoke: { steps: [10, 20], reference: 10, warmUpMs: 50, measureMs: 100 },
};
/** With fewer, the pages of a process say nothing about a peer. */
const leastForPages = 1000;

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'growth',
  title: 'gateway CPU for a message with 50,000 peers, against that with 1,000',
  unit: 'x',
  better: 'lower',
  rivals: [],
  series: {
    x: 'connected peers',
    lines: {
      cpu: { title: 'gateway CPU for each message in and out', unit: 'µs' },
      native: { title: 'what the addon took for each peer', unit: 'bytes' },
      memory: { title: 'resident set of the gateway for each peer that came', unit: 'bytes' },
    },
  },
  note: `one gateway, to which more and more clients connect: 100, 1,000, 10,000, 50,000. At each step all of them together send ${messagesPerSecond.toLocaleString('en-US')} messages of 64 bytes a second, a datagram for each, and get them back. The resident set, after garbage collection, is that of the peers that came since the step before, from 10,000 on: with fewer, its pages say nothing about a peer. It must send a packet for each, more or less 1 %: pings, and messages that share a packet, would be another figure. A quick run has 1,000 and 10,000 only.`,

  async measure(_, size) {
    const { steps, reference, warmUpMs, measureMs } = sizes[size];
    const peers = steps.at(-1) ?? 0;
    const options = {
      peers,
      gateway: { echo: true },
      gatewayOptions: { core: cores.far, nodeOptions: ['--expose-gc'] },
    };
    return withCrowd(options, async (crowd) => {
      /** @type {import('./row.mjs').SeriesPoint[]} */
      const series = [];
      const missed = [];
      let settleSeconds = 0;
      /** @type {import('./crowd.mjs').GatewayMark} */
      const empty = await crowd.gateway.request('mark');
      let last = empty;
      for (const step of steps) {
        await crowd.connectUpTo(step);
        settleSeconds += (await untilSettled(crowd, size, patientMs[size])).settleSeconds;
        const { cpuMicros, loss, packetsPerMessage } = await measureEcho(
          crowd,
          messagesPerSecond,
          warmUpMs,
          measureMs,
        );
        series.push({ name: 'cpu', x: step, value: cpuMicros });
        missed.push(...lossFault(loss, `of the messages of ${step} peers did not come back`));
        missed.push(...bundlingFault(packetsPerMessage).map((fault) => `${fault} of ${step} peers`));
        /** @type {import('./crowd.mjs').GatewayMark} */
        const mark = await crowd.gateway.request('settled');
        if (last.peers >= leastForPages)
          series.push({
            name: 'memory',
            x: step,
            value: (mark.rssBytes - last.rssBytes) / (step - last.peers),
          });
        series.push({ name: 'native', x: step, value: (mark.nativeBytes - empty.nativeBytes) / step });
        last = mark;
      }
      return {
        value: cpuAt(series, peers) / cpuAt(series, reference),
        details: { nativeBytes: last.nativeBytes / peers, settleSeconds },
        series,
        missed,
      };
    });
  },
};

/**
 * @param {readonly import('./row.mjs').SeriesPoint[]} series
 * @param {number} step
 * @returns {number}
 */
function cpuAt(series, step) {
  return series.find(({ name, x }) => name === 'cpu' && x === step)?.value ?? Number.NaN;
}
