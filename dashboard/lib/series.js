// The last five minutes as points to draw: rates from the totals of samples.

/** @import { Sample } from '../../src/gateway/admin/samples.js' */
/** @import { Distribution } from '../../src/gateway/snapshot.js' */

/**
 * What went on until `timeMs`, since the point before.
 *
 * @typedef {object} Point
 * @property {number} timeMs
 * @property {number} peers
 * @property {number} messagesIn a second, as all rates
 * @property {number} messagesOut
 * @property {number} mbitIn
 * @property {number} mbitOut
 * @property {number} loss packets that were declared lost, as a share of the packets sent, 0 to 1
 * @property {number} spuriousLoss packets that were declared lost and acknowledged later, as a share of the packets sent, 0 to 1
 * @property {number} drops
 * @property {number} cpu of one core, of 1
 * @property {number} rssBytes
 * @property {number} loopDelayMs
 * @property {Distribution} rttMs
 */

export const seriesMs = 300_000;
/** Nearer samples than that are of two timers, and say little. */
const minStepMs = 200;
const lineStepMs = 5000;

export class Series {
  /** @type {Sample[]} */
  #samples = [];
  /** @type {Point[]} */
  #points = [];
  /** @type {Point[]} */
  #line = [];

  /** The oldest first, at most five minutes of them. */
  get points() {
    return this.#points;
  }

  /** As {@link points}, each over five seconds or so: where somebody looked on the lines are no rougher than where nobody did. */
  get line() {
    return this.#line;
  }

  /** @returns {Point | undefined} */
  get last() {
    return this.#points.at(-1);
  }

  /** @param {readonly Sample[]} samples some of which may be known already */
  add(samples) {
    const all = new Map([...this.#samples, ...samples].map((sample) => [sample.timeMs, sample]));
    const sorted = [...all.values()].sort((a, b) => a.timeMs - b.timeMs);
    const from = (sorted.at(-1)?.timeMs ?? 0) - seriesMs;
    this.#samples = sorted.filter(({ timeMs }) => timeMs >= from);
    this.#points = pointsOf(this.#samples);
    // By the clock, so that points stay where they are while older ones leave.
    const newest = new Map(this.#samples.map((sample) => [Math.floor(sample.timeMs / lineStepMs), sample]));
    this.#line = pointsOf([...newest.values()]);
  }

  /** Of a gateway that has started anew nothing goes on. */
  clear() {
    this.#samples = [];
    this.#points = [];
    this.#line = [];
  }
}

/** @param {readonly Sample[]} samples */
function pointsOf(samples) {
  /** @type {Point[]} */
  const points = [];
  let before = samples[0];
  for (const sample of samples.slice(1)) {
    if (before === undefined || sample.timeMs - before.timeMs < minStepMs) continue;
    points.push(pointOf(before, sample));
    before = sample;
  }
  return points;
}

/** @param {Sample} before @param {Sample} sample @returns {Point} */
function pointOf(before, sample) {
  const seconds = (sample.timeMs - before.timeMs) / 1000;
  /** @param {keyof Sample & `${string}Total`} name */
  const grown = (name) => Math.max(0, sample[name] - before[name]);
  const sent = grown('packetsSentTotal');
  /** @param {keyof Sample & `${string}Total`} name */
  const shareOfSent = (name) => (sent === 0 ? 0 : Math.min(1, grown(name) / sent));
  const { timeMs, peers, rssBytes, loopDelayMs, rttMs } = sample;
  return {
    timeMs,
    peers,
    rssBytes,
    loopDelayMs,
    rttMs,
    messagesIn: grown('messagesReceivedTotal') / seconds,
    messagesOut: grown('messagesSentTotal') / seconds,
    mbitIn: (grown('bytesReceivedTotal') * 8) / 1e6 / seconds,
    mbitOut: (grown('bytesSentTotal') * 8) / 1e6 / seconds,
    loss: shareOfSent('packetsLostTotal'),
    spuriousLoss: shareOfSent('spuriousLossesTotal'),
    drops: grown('dropsTotal') / seconds,
    cpu: grown('cpuMicrosTotal') / 1e6 / seconds,
  };
}
