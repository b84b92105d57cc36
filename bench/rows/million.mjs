import { runNative } from '../lib/native.mjs';

/**
 * What native/bench/million.cpp prints, of which the row takes these. Memory is that of the endpoint and the state of its gateway.
 *
 * @typedef {object} Figures
 * @property {number} peers
 * @property {number} cpuMsPerSecond CPU time in the endpoint for each simulated second, the median of the windows
 * @property {number} cpuMsPerSecondLeast
 * @property {number} cpuMsPerSecondMost
 * @property {number} cpuMicrosPerKeepAlive
 * @property {number} packetsInPerSecond
 * @property {number} packetsOutPerSecond
 * @property {number} heapBytes what malloc has given out, its own headers included
 * @property {number} residentPeakBytes the most that was resident, tables while they grow included
 * @property {number} connectCpuSeconds
 */

/** Peers, and the windows of simulated seconds. @type {Record<import('./row.mjs').Size, readonly [number, number, number]>} */
const sizes = {
  full: [1_000_000, 40, 3],
  // A sixteenth, so that tables are as full as in a full run.
  quick: [62_500, 40, 1],
  smoke: [1000, 1, 1],
};
const million = 1_000_000;
const mostGibibytes = 1.2;
const gibibyte = 2 ** 30;

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'million',
  title: 'CPU of a server endpoint alone with 1,000,000 idle peers',
  unit: '% of a core',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 15 }],
  exact: true,
  note: `virtual time; each peer connects by the handshake, then sends a keep-alive every 20 s and answers the server's; its side costs neither time nor memory here. Only time inside the endpoint counts, and its memory, with that of its gateway, has to be at most ${mostGibibytes} GiB (\`heapGibibytes\`). Short runs have fewer peers and are scaled, and with them what does not grow with peers: their memory is not judged. Least and greatest are of the windows of the run.`,
  async measure(_, size) {
    const figures = /** @type {Figures} */ (await runNative('million', sizes[size]));
    const scale = million / figures.peers;
    const percent = (/** @type {number} */ msPerSecond) => (msPerSecond / 10) * scale;
    const heapGibibytes = (figures.heapBytes * scale) / gibibyte;
    return {
      value: percent(figures.cpuMsPerSecond),
      least: percent(figures.cpuMsPerSecondLeast),
      greatest: percent(figures.cpuMsPerSecondMost),
      details: {
        heapGibibytes,
        heapBytesPerPeer: figures.heapBytes / figures.peers,
        residentPeakGibibytes: (figures.residentPeakBytes * scale) / gibibyte,
        cpuMicrosPerKeepAlive: figures.cpuMicrosPerKeepAlive,
        packetsInPerSecond: figures.packetsInPerSecond,
        packetsOutPerSecond: figures.packetsOutPerSecond,
        connectCpuSeconds: figures.connectCpuSeconds,
      },
      missed: scale > 1 || heapGibibytes <= mostGibibytes ? [] : [`more than ${mostGibibytes} GiB of memory`],
    };
  },
};
