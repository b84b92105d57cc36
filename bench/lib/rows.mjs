// Runs the contenders of a row.
import { rows } from '../rows/index.mjs';
import { formatFigure } from './format.mjs';
import { ours, summarize } from './summary.mjs';
import { RivalUnavailable } from './unavailable.mjs';

/** @typedef {import('../rows/row.mjs').Row} Row */
/** @typedef {import('../rows/row.mjs').Sample} Sample */

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
 * @param {Row} row
 * @returns {string[]} ours first
 */
export function contendersOf({ rivals, limit, variants = [] }) {
  return [ours, ...variants, ...rivals, ...(limit === undefined ? [] : [limit])];
}

/**
 * Measures a row: in every round one run of each contender, so that whatever else the machine does meets all of them alike.
 *
 * @param {Row} row
 * @param {number} runs
 * @param {import('../rows/row.mjs').Size} size
 * @param {(line: string) => void} progress
 * @returns {Promise<import('./summary.mjs').Result>} rejects when a run fails; a contender that cannot run here is left out
 */
export async function measureRow(row, runs, size, progress) {
  /** @type {Map<string, Sample[]>} */
  const samples = new Map(contendersOf(row).map((contender) => [contender, []]));
  /** @type {Record<string, string>} */
  const unavailable = {};
  const rounds = row.exact ? 1 : runs;
  for (let round = 1; round <= rounds; ++round) {
    for (const [contender, taken] of samples) {
      try {
        const sample = await row.measure(contender, size);
        if (!Number.isFinite(sample.value)) throw new Error(`${contender} gave no figure: ${sample.value}`);
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
