// Runs rows: each contender in turn, a number of times, and what comes out of it.
import { row as broadcast } from '../rows/broadcast.mjs';
import { row as demo } from '../rows/demo.mjs';
import { row as handshakes } from '../rows/handshakes.mjs';
import { row as memory } from '../rows/memory.mjs';
import { row as memoryChannels } from '../rows/memory-channels.mjs';
import { row as msgs64 } from '../rows/msgs-64.mjs';
import { rows as netcode } from '../rows/netcode.mjs';
import { rows as reliable } from '../rows/reliable.mjs';
import { row as rtt } from '../rows/rtt.mjs';
import { rows as simulated } from '../rows/simulated.mjs';
import { median, ratioToBest, spread } from './statistics.mjs';
import { RivalUnavailable } from './unavailable.mjs';

/** @typedef {import('../rows/row.mjs').Row} Row */
/** @typedef {import('../rows/row.mjs').Sample} Sample */

/** In the order in which they run. @type {readonly Row[]} */
export const rows = [
  msgs64,
  rtt,
  handshakes,
  memory,
  demo,
  ...reliable,
  broadcast,
  memoryChannels,
  ...netcode,
  ...simulated,
];

const ours = 'hawser';

/**
 * @typedef {object} Result medians of all runs
 * @property {string} id
 * @property {string} title
 * @property {string} unit
 * @property {'higher' | 'lower'} better
 * @property {number} runs of each contender
 * @property {number} ours
 * @property {Record<string, number>} rivals those that could be measured
 * @property {Record<string, string>} unavailable the others, and why
 * @property {number | null} ratio how many times better ours is than the best rival; null without one
 * @property {Record<string, {min: number, max: number}>} spread by contender
 * @property {{value: number, is: string, reached: boolean}} [target]
 * @property {Record<string, Record<string, number>>} details medians of the other figures, by contender
 * @property {string[]} missed conditions that runs did not meet, with the contender; a target is then not reached by ours
 * @property {string} note
 */

/**
 * The rows that a word of `--only` stands for: the one with that id, or those of that group.
 *
 * @param {string} word
 * @returns {Row[]} none when it is neither
 */
export function rowsNamed(word) {
  return rows.filter(({ id, group }) => id === word || group === word);
}

/**
 * Measures a row: in every round one run of each contender, so that whatever else the machine does meets all of them alike.
 *
 * @param {Row} row
 * @param {number} runs
 * @param {import('../rows/row.mjs').Size} size
 * @param {(line: string) => void} progress
 * @returns {Promise<Result>} rejects when a run fails; a rival that cannot run here is left out
 */
export async function measureRow(row, runs, size, progress) {
  /** @type {Map<string, Sample[]>} */
  const samples = new Map([ours, ...row.rivals].map((contender) => [contender, []]));
  /** @type {Record<string, string>} */
  const unavailable = {};
  const rounds = row.exact ? 1 : runs;
  for (let round = 1; round <= rounds; ++round) {
    for (const [contender, taken] of samples) {
      try {
        const sample = await row.measure(contender, size);
        taken.push(sample);
        const missed = sample.missed?.length ? ` (MISSED: ${sample.missed.join(', ')})` : '';
        progress(
          `${row.id}  ${contender}  ${round} of ${rounds}: ${formatFigure(sample.value)} ${row.unit}${missed}`,
        );
      } catch (error) {
        if (contender === ours || !(error instanceof RivalUnavailable)) throw error;
        unavailable[contender] = error.message;
        samples.delete(contender);
        progress(`${row.id}  ${contender}  cannot run here: ${error.message}`);
      }
    }
  }
  return summarize(row, samples, unavailable);
}

/**
 * @param {Row} row
 * @param {ReadonlyMap<string, readonly Sample[]>} samples by contender, as many of each
 * @param {Record<string, string>} [unavailable] the rivals that have none, and why
 * @returns {Result}
 */
export function summarize(row, samples, unavailable = {}) {
  const contenders = [...samples.keys()];
  /** @param {string} contender */
  const values = (contender) => (samples.get(contender) ?? []).map(({ value }) => value);
  const own = median(values(ours));
  const measured = contenders.filter((contender) => contender !== ours);
  const rivals = Object.fromEntries(measured.map((rival) => [rival, median(values(rival))]));
  const ratio = ratioToBest(own, Object.values(rivals), row.better);
  const { target } = row;
  /** @param {string} contender */
  const missedBy = (contender) => (samples.get(contender) ?? []).flatMap(({ missed = [] }) => missed);
  const met = missedBy(ours).length === 0;
  return {
    id: row.id,
    title: row.title,
    unit: row.unit,
    better: row.better,
    runs: values(ours).length,
    ours: own,
    rivals,
    unavailable,
    ratio,
    spread: Object.fromEntries(contenders.map((contender) => [contender, spread(values(contender))])),
    ...(target && { target: { ...target, reached: met && isReached(target, own, ratio, rivals) } }),
    details: Object.fromEntries([...samples].map(([contender, all]) => [contender, medians(all)])),
    missed: contenders.flatMap((each) => missedBy(each).map((condition) => `${each}: ${condition}`)),
    note: row.note,
  };
}

/**
 * @param {import('../rows/row.mjs').Target} target
 * @param {number} own
 * @param {number | null} ratio
 * @param {Readonly<Record<string, number>>} rivals
 */
function isReached({ value, is }, own, ratio, rivals) {
  if (is === 'atMostAboveRival') return own - Math.min(...Object.values(rivals)) <= value;
  if (is === 'atLeast') return own >= value;
  if (is === 'atMost') return own <= value;
  return ratio !== null && ratio >= value;
}

/**
 * @param {readonly Sample[]} samples with the same details
 * @returns {Record<string, number>}
 */
function medians(samples) {
  const names = Object.keys(samples[0]?.details ?? {});
  return Object.fromEntries(
    names.map((name) => [name, median(samples.map(({ details }) => details?.[name] ?? Number.NaN))]),
  );
}

/**
 * Three significant figures, thousands apart.
 *
 * @param {number} value
 * @returns {string}
 */
export function formatFigure(value) {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 3 });
}
