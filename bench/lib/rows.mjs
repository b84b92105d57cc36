// Runs rows: each contender in turn, a number of times, and what comes out of it.
import { row as demo } from '../rows/demo.mjs';
import { row as handshakes } from '../rows/handshakes.mjs';
import { row as memory } from '../rows/memory.mjs';
import { row as msgs64 } from '../rows/msgs-64.mjs';
import { row as rtt } from '../rows/rtt.mjs';
import { median, ratioToBest, spread } from './statistics.mjs';

/** @typedef {import('../rows/row.mjs').Row} Row */
/** @typedef {import('../rows/row.mjs').Sample} Sample */

/** In the order in which they run. @type {readonly Row[]} */
export const rows = [msgs64, rtt, handshakes, memory, demo];

const ours = 'hawser';

/**
 * @typedef {object} Result medians of all runs
 * @property {string} id
 * @property {string} title
 * @property {string} unit
 * @property {'higher' | 'lower'} better
 * @property {number} runs of each contender
 * @property {number} ours
 * @property {Record<string, number>} rivals
 * @property {number | null} ratio how many times better ours is than the best rival; null without one
 * @property {Record<string, {min: number, max: number}>} spread by contender
 * @property {{value: number, is: string, reached: boolean}} [target]
 * @property {Record<string, Record<string, number>>} details medians of the other figures, by contender
 * @property {string[]} missed conditions that runs did not meet, with the contender; a target is then not reached by ours
 * @property {string} note
 */

/**
 * Measures a row: in every round one run of each contender, so that whatever else the machine does meets all of them alike.
 *
 * @param {Row} row
 * @param {number} runs
 * @param {import('../rows/row.mjs').Size} size
 * @param {(line: string) => void} progress
 * @returns {Promise<Result>} rejects when a run fails
 */
export async function measureRow(row, runs, size, progress) {
  const contenders = [ours, ...row.rivals];
  /** @type {Map<string, Sample[]>} */
  const samples = new Map(contenders.map((contender) => [contender, []]));
  for (let round = 1; round <= runs; ++round) {
    for (const contender of contenders) {
      const sample = await row.measure(contender, size);
      samples.get(contender)?.push(sample);
      const missed = sample.missed?.length ? ` (MISSED: ${sample.missed.join(', ')})` : '';
      progress(
        `${row.id}  ${contender}  ${round} of ${runs}: ${formatFigure(sample.value)} ${row.unit}${missed}`,
      );
    }
  }
  return summarize(row, samples);
}

/**
 * @param {Row} row
 * @param {ReadonlyMap<string, readonly Sample[]>} samples by contender, as many of each
 * @returns {Result}
 */
export function summarize(row, samples) {
  /** @param {string} contender */
  const values = (contender) => (samples.get(contender) ?? []).map(({ value }) => value);
  const own = median(values(ours));
  const rivals = Object.fromEntries(row.rivals.map((rival) => [rival, median(values(rival))]));
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
    ratio,
    spread: Object.fromEntries(
      [...samples.keys()].map((contender) => [contender, spread(values(contender))]),
    ),
    ...(target && { target: { ...target, reached: met && isReached(target, own, ratio) } }),
    details: Object.fromEntries([...samples].map(([contender, all]) => [contender, medians(all)])),
    missed: [...samples.keys()].flatMap((each) => missedBy(each).map((condition) => `${each}: ${condition}`)),
    note: row.note,
  };
}

/**
 * @param {import('../rows/row.mjs').Target} target
 * @param {number} own
 * @param {number | null} ratio
 */
function isReached({ value, is }, own, ratio) {
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
