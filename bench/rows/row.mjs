// What a row is, and what the rows share.

/**
 * @typedef {object} Sample one run of one contender
 * @property {number} value in the row's unit
 * @property {number} [least] of the parts that the run itself consists of, where `value` is their median
 * @property {number} [greatest] likewise
 * @property {Readonly<Record<string, number>>} [details] other figures of the same run
 * @property {readonly Quantile[]} [distribution] rising; the same percentages in every run of the row
 * @property {readonly SeriesPoint[]} [series] the same names and places in every run of the row
 * @property {readonly string[]} [missed] conditions of the row that this run did not meet, for people: its figure does not count
 */

/**
 * @typedef {object} Quantile
 * @property {number} percent of all observations are no greater; above 0 and below 100
 * @property {number} value in the row's unit
 */

/**
 * @typedef {object} SeriesPoint
 * @property {string} name a line of the row's `series`
 * @property {number} x above 0
 * @property {number} value in the line's unit
 */

/**
 * @typedef {object} Condition part of a target
 * @property {'atLeast' | 'atMost' | 'timesRival' | 'shareOfLimit' | 'atMostAboveLimit'} is
 * atLeast, atMost: `value` is in the row's unit.
 * timesRival: ours is at least `value` times better, whichever way the unit counts; 1 is no worse.
 * shareOfLimit: ours is at least that part of the limit.
 * atMostAboveLimit: ours is greater than the limit by no more than `value`, in the row's unit.
 * @property {number} value
 * @property {string} [rival] of timesRival: which one; the best of all without
 */

/**
 * @typedef {object} Does what a contender does, so that nobody compares its figures with those of one that does more
 * @property {boolean} encrypted
 * @property {boolean} reliable
 * @property {string} note how it does the row's work, for people
 */

/**
 * @typedef {object} Row
 * @property {string} id fixed: figures of different versions are compared by it
 * @property {string} [group] what `--only` takes for all rows that have it
 * @property {string} title
 * @property {string} unit
 * @property {'higher' | 'lower'} better
 * @property {readonly string[]} rivals what others made
 * @property {string} [limit] the contender that nothing can be much better than: the kernel's work and nothing else. It is no rival
 * @property {readonly string[]} [variants] hawser with other settings: no rivals either
 * @property {readonly Condition[]} [target] all of them must hold
 * @property {Readonly<Record<string, Does>>} [does] by contender; of a row with more than one
 * @property {{x: string, even?: boolean, lines: Readonly<Record<string, {title: string, unit: string}>>}} [series] what the samples'
 * series are: the title of x, whether equal steps of it are equally long (else it is logarithmic), and the title of each line
 * @property {boolean} [exact] one run is enough: every run gives the same figure, or takes the median of several windows itself
 * @property {boolean} [byNameOnly] measured only where `--only` names the row or its group: all rows of the group take hours
 * @property {string} [lacks] what this machine does not have and the row needs; completes "this machine has no". The row is then skipped, and
 * measuring it fails
 * @property {string} note how it is measured, in a sentence
 * @property {(contender: string, size: Size) => Promise<Sample>} measure one run in processes of its own; `hawser` or another contender,
 * whose RivalUnavailable leaves it out of the row
 */

/** @typedef {'full' | 'quick' | 'smoke'} Size smoke: whether the row runs at all; its figures say nothing */

/** The group of the rows about channels. */
export const channelsGroup = 'channels';

/** The group of the rows about netcode. */
export const netcodeGroup = 'netcode';

/** The group of the rows about requests, subscriptions and reconnecting. */
export const interactionGroup = 'interaction';

/** The group of the rows about agents and their manager. */
export const syncGroup = 'sync';

/** The group of the rows about sessions. */
export const sessionsGroup = 'sessions';

/** The group of the rows about keys. */
export const keysGroup = 'keys';

/** The group of the rows about bad networks. */
export const pathsGroup = 'paths';

/** The group of the rows about the composed gateway and the package. */
export const gatewayGroup = 'gateway';

/** The cores of a row with two busy processes, where there are two. */
export const cores = { near: 0, far: 1 };

/** The most that may be lost for a figure of delivered messages to count. */
const maxLoss = 0.001;

/** The most that the number of packets for a message may differ from one: with more in one, or beside them, it is another row. */
const maxBundled = 0.01;

/**
 * @param {number} loss part of all; NaN when there were none, which is no success
 * @param {string} what happened to them, such as "of the messages were lost"
 * @returns {string[]} the condition that was missed, if it was
 */
export function lossFault(loss, what) {
  return loss <= maxLoss ? [] : [`${(loss * 100).toFixed(2)} % ${what}`];
}

/**
 * @param {number} perMessage packets for each message
 * @returns {string[]} the condition that was missed, if it was
 */
export function bundlingFault(perMessage) {
  return Math.abs(perMessage - 1) <= maxBundled ? [] : [`${perMessage.toFixed(3)} packets for a message`];
}

/** More than a process of a loaded machine stands still. */
const patienceMs = 30_000;
const askEveryMs = 20;

/**
 * What a program tells at the end of a measurement, later where nothing has happened by then: a figure needs at least one of what it is of, and
 * in so short a time as that of a smoke run a process may have stood still.
 *
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(mark: T) => boolean} isSome
 * @returns {Promise<T>} the last answer, also where there is nothing after all
 */
export async function onceSome(ask, isSome) {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const mark = await ask();
    if (isSome(mark) || performance.now() > deadline) return mark;
    await wait(askEveryMs);
  }
}

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
