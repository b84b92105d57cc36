// What a row is, and what the rows share.

/**
 * @typedef {object} Sample one run of one contender
 * @property {number} value in the row's unit
 * @property {Readonly<Record<string, number>>} [details] other figures of the same run
 * @property {readonly string[]} [missed] conditions of the row that this run did not meet, for people: its figure does not count
 */

/**
 * @typedef {object} Target
 * @property {number} value in the row's unit
 * @property {'atLeast' | 'atMost' | 'noWorseThanRival' | 'atMostAboveRival'} is the last one where less is better: by how much more than
 * the best rival
 */

/**
 * @typedef {object} Row
 * @property {string} id fixed: figures of different versions are compared by it
 * @property {string} [group] what `--only` takes for all rows that have it
 * @property {string} title
 * @property {string} unit
 * @property {'higher' | 'lower'} better
 * @property {readonly string[]} rivals
 * @property {Target} [target]
 * @property {boolean} [exact] every run gives the same figure, whatever else the machine does: one is enough
 * @property {string} note how it is measured, in a sentence
 * @property {(contender: string, size: Size) => Promise<Sample>} measure one run in processes of its own; `hawser` or a rival, whose
 * RivalUnavailable leaves it out of the row
 */

/** @typedef {'full' | 'quick' | 'smoke'} Size smoke: whether the row runs at all; its figures say nothing */

/** The group of the rows about channels. */
export const channelsGroup = 'channels';

/** The group of the rows about netcode. */
export const netcodeGroup = 'netcode';

/** The cores of a row with two busy processes, where there are two. */
export const cores = { near: 0, far: 1 };

/** The most that may be lost for a figure of delivered messages to count. */
export const maxLoss = 0.001;

/**
 * @param {number} ms
 * @returns {Promise<void>}
 */
export function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
