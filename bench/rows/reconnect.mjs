// Clients that lose their gateway all at once: when they try again, and when all are back. Virtual time.
import { withPrograms } from '../lib/child.mjs';
import { spread } from '../lib/statistics.mjs';
import { interactionGroup } from './row.mjs';

/** @typedef {import('../programs/interaction-reconnect.mjs').Return} Return */

/** @type {Record<import('./row.mjs').Size, number>} */
const clients = { full: 10_000, quick: 2000, smoke: 40 };
/** Less than a core of this machine takes (`handshakes`). A run with fewer clients has a slower gateway in proportion. */
const handshakesPerSecond = 10_000;
/** The seed of all runs. */
const seed = 6;

/** What the jitter of the source document makes of the first delay, in milliseconds (sections 5.1 and 5.2). */
const firstDelayMs = { least: 1000, most: 1250 };
/** A call can come a tick of the clock later than it is due. */
const toleranceMs = 1;

/**
 * @param {import('./row.mjs').Size} size
 * @param {number} firstAttemptSpreadMs
 * @returns {Promise<Return>}
 */
async function loseGateway(size, firstAttemptSpreadMs) {
  const count = clients[size];
  const rate = (handshakesPerSecond * count) / clients.full;
  return withPrograms(async (start) => {
    const config = { clients: count, firstAttemptSpreadMs, handshakesPerSecond: rate, seed };
    const program = await start('interaction-reconnect', config);
    return program.request('run');
  });
}

/**
 * @param {readonly number[]} times
 * @param {number} width of a class
 * @returns {Map<number, number>} how many lie in each class, by its lower end, without gaps between the first and the last
 */
export function histogram(times, width) {
  const { min, max } = spread(times);
  const first = Math.floor(min / width);
  const last = Math.floor(max / width);
  /** @type {Map<number, number>} */
  const counts = new Map();
  for (let index = first; index <= last; ++index) counts.set(index * width, 0);
  for (const time of times) {
    const from = Math.floor(time / width) * width;
    counts.set(from, (counts.get(from) ?? 0) + 1);
  }
  return counts;
}

/**
 * @param {readonly number[]} times
 * @param {number} length of the window
 * @returns {number} the greatest part of them that lies in a window of that length, wherever it begins
 */
export function densest(times, length) {
  const sorted = Float64Array.from(times).sort();
  let most = 0;
  let from = 0;
  sorted.forEach((time, index) => {
    while ((sorted[from] ?? 0) <= time - length) ++from;
    most = Math.max(most, index + 1 - from);
  });
  return most / times.length;
}

/**
 * @param {Return} result
 * @param {number} mostMs the latest first attempt
 * @returns {string[]} the conditions that were missed
 */
export function firstAttemptFaults({ firstAttemptMs }, mostMs) {
  const { min, max } = spread(firstAttemptMs);
  const outside = [min, max].filter((time) => !(time >= firstDelayMs.least && time <= mostMs + toleranceMs));
  return outside.map((time) => `a first attempt after ${time.toFixed(1)} ms`);
}

/**
 * @param {Return} result
 * @returns {Record<string, number>}
 */
function detailsOf({ firstAttemptMs, backMs, attempts }) {
  const { min, max } = spread(firstAttemptMs);
  return {
    firstAttemptLeastMs: min,
    firstAttemptGreatestMs: max,
    allBackSeconds: spread(backMs).max / 1000,
    attemptsOfEach: attempts / backMs.length,
  };
}

/**
 * @param {readonly number[]} times in milliseconds
 * @param {number} width of a class
 * @param {number} unit of x, in milliseconds
 * @returns {import('./row.mjs').SeriesPoint[]} each class by its middle
 */
function classesOf(times, width, unit) {
  return [...histogram(times, width)].map(([from, value]) => ({
    name: 'attempts',
    x: (from + width / 2) / unit,
    value,
  }));
}

const common =
  'virtual time, exact: 10,000 `InteractionClient`s over the real engine on a simulated network with 20 ms of round trip lose their gateway at once, which is there again at once and takes 10,000 handshakes a second; what its socket cannot hold meanwhile is lost. A quick run has 2,000 clients and a fifth of that gateway.';

/** @type {import('./row.mjs').Row} */
const jitter = {
  id: 'interaction-reconnect',
  group: interactionGroup,
  title:
    'until the last of 10,000 clients is back whose gateway went away, with the jitter of the source document',
  unit: 's',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 10 }],
  exact: true,
  series: {
    x: 'ms since the loss, each class of 50 ms by its middle',
    even: true,
    lines: { attempts: { title: 'first attempts', unit: 'clients' } },
  },
  note: `${common} All first attempts must lie between 1.0 and 1.25 s after the loss.`,

  async measure(_, size) {
    const result = await loseGateway(size, 0);
    return {
      value: spread(result.backMs).max / 1000,
      details: detailsOf(result),
      series: classesOf(result.firstAttemptMs, 50, 1),
      missed: firstAttemptFaults(result, firstDelayMs.most),
    };
  },
};

const spreadMs = 10_000;

/** @type {import('./row.mjs').Row} */
const spreadOut = {
  id: 'interaction-reconnect-spread',
  group: interactionGroup,
  title: 'first attempts of 10,000 clients in the busiest second, with `firstAttemptSpreadMs: 10_000`',
  unit: '%',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 15 }],
  exact: true,
  series: {
    x: 'seconds since the loss, each class of 2 s by its middle',
    even: true,
    lines: { attempts: { title: 'first attempts', unit: 'clients' } },
  },
  note: `${common} The busiest second is any second, wherever it begins.`,

  async measure(_, size) {
    const result = await loseGateway(size, spreadMs);
    return {
      value: densest(result.firstAttemptMs, 1000) * 100,
      details: detailsOf(result),
      series: classesOf(result.firstAttemptMs, 2000, 1000),
      missed: firstAttemptFaults(result, firstDelayMs.most + spreadMs),
    };
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [jitter, spreadOut];
