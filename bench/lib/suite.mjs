// Measures one row after the other and keeps what it has.
import { formatDuration } from './format.mjs';
import { measureRow } from './rows.mjs';

/** @typedef {import('../rows/row.mjs').Row} Row */
/** @typedef {import('./results.mjs').Document} Document */

/**
 * @typedef {object} Surroundings
 * @property {(line: string) => void} say progress, for people
 * @property {(document: Document) => void} keep called after each row
 * @property {Promise<void>} interruption resolves when the rest is not wanted any more
 */

/**
 * @param {readonly Row[]} rows
 * @param {Document} document gets the rows that it has not yet, the failures, and what was skipped
 * @param {Surroundings} surroundings
 * @returns {Promise<string[]>} ids of the rows that were not measured because of the interruption
 */
export async function measureSuite(rows, document, { say, keep, interruption }) {
  const begin = Date.now();
  const cut = interruption.then(() => null);
  for (const [index, row] of rows.entries()) {
    const place = `[${index + 1}/${rows.length}  ${formatDuration((Date.now() - begin) / 1000)}]`;
    if (document.rows.some(({ id }) => id === row.id)) {
      say(`${place} ${row.id}: measured before the interruption`);
      continue;
    }
    if (row.lacks !== undefined) {
      document.skipped = { ...document.skipped, [row.id]: `this machine has no ${row.lacks}` };
      say(`${place} ${row.id}: skipped, as this machine has no ${row.lacks}`);
      keep(document);
      continue;
    }
    say(`${place} ${row.id}: ${row.title}`);
    const started = Date.now();
    const outcome = await Promise.race([attempt(row, document, (line) => say(`  ${line}`)), cut]);
    if (outcome === null) return unmeasured(rows.slice(index), document);
    if ('failure' in outcome) {
      document.failures[row.id] = outcome.failure;
      say(`  ${row.id}: ${outcome.failure}`);
    } else {
      document.rows.push({
        ...outcome.result,
        measuredAt: new Date(started).toISOString(),
        seconds: (Date.now() - started) / 1000,
        commit: document.versions.commit,
      });
    }
    keep(document);
  }
  return [];
}

/**
 * @param {Row} row
 * @param {Document} document
 * @param {(line: string) => void} say
 * @returns {Promise<{result: import('./summary.mjs').Result} | {failure: string}>}
 */
async function attempt(row, { runs, size }, say) {
  try {
    return { result: await measureRow(row, runs, size, say) };
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) };
  }
}

/**
 * @param {readonly Row[]} rows
 * @param {Document} document
 */
function unmeasured(rows, document) {
  return rows
    .filter(({ lacks }) => lacks === undefined)
    .map(({ id }) => id)
    .filter((id) => !document.rows.some((row) => row.id === id));
}
