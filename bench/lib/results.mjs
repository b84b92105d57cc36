// The file with the results of a run: what it holds, where it lies, and how an interrupted run is taken up again.
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

/** @typedef {import('./machine.mjs').Machine} Machine */
/** @typedef {import('./machine.mjs').Versions} Versions */
/** @typedef {import('./summary.mjs').Result & {measuredAt: string, seconds: number, commit: string | null}} MeasuredRow with when it
 * began, how long it took, and of which commit it is */

/**
 * @typedef {object} Document
 * @property {string} measuredAt when the run began: ISO 8601
 * @property {'full' | 'quick'} size
 * @property {number} runs of each contender, but for rows that are exact
 * @property {Machine} machine
 * @property {import('./hawser.mjs').DriverOptions} driver what the environment says about hawser's input and output: of all rows that do
 * not choose themselves
 * @property {Versions} versions
 * @property {MeasuredRow[]} rows
 * @property {Record<string, string>} failures rows that could not be measured, and why
 * @property {Record<string, string>} [skipped] rows that need what the machine does not have, and what
 */

/** The rows that say what hawser is for: they come first, and README.md shows them. */
export const headline = [
  'msgs-64',
  'msgs-1200',
  'pps-10k',
  'cpu-64',
  'rtt',
  'reliable-64',
  'reliable-1200',
  'handshakes',
  'memory',
  'idle-10k',
  'broadcast',
  'growth',
  'stall',
  'flood',
  'million',
];

/** What git keeps of the last full run. */
export const savedFile = fileURLToPath(new URL('../results/latest.json', import.meta.url));
const savedPage = fileURLToPath(new URL('../results/index.html', import.meta.url));

/**
 * @param {string} file with results
 * @returns {string} where its page belongs
 */
export function pageOf(file) {
  return file === savedFile ? savedPage : `${file.replace(/\.json$/, '')}.html`;
}

/**
 * @param {string} file
 * @returns {string} where the rows of a run lie that has not ended, for `--resume`
 */
export function partialOf(file) {
  return `${file}.partial`;
}

/**
 * @param {string} file
 * @returns {Document | null} null when it is not there; throws when it holds something else
 */
export function readResults(file) {
  if (!existsSync(file)) return null;
  const fault = `${file} holds no results of this benchmark`;
  const document = parsed(readFileSync(file, 'utf8'), fault);
  if (!Array.isArray(document?.rows) || typeof document.measuredAt !== 'string' || !document.machine) {
    throw new Error(fault);
  }
  return document;
}

/**
 * @param {string} text
 * @param {string} fault the message of what is thrown when it is no JSON
 */
function parsed(text, fault) {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(fault, { cause });
  }
}

/**
 * Writes a file whole or not at all: a second Ctrl+C may come at any time.
 *
 * @param {string} file
 * @param {string} text
 */
export function writeWhole(file, text) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/**
 * @param {string} file
 * @param {Document} document
 */
export function writeResults(file, document) {
  writeWhole(file, `${JSON.stringify(document, null, 2)}\n`);
}

/** @param {string} file */
export function removeResults(file) {
  rmSync(file, { force: true });
}

/**
 * The rows that a run need not measure again: those of an interrupted one that measured the same code on the same machine.
 *
 * @param {Document} now without rows
 * @param {Document | null} before
 * @returns {MeasuredRow[]}
 */
export function resumable(now, before) {
  if (before === null || runOf(now) !== runOf(before)) return [];
  return before.rows;
}

/**
 * Puts newly measured rows into the place of the old ones.
 *
 * @param {Document} into
 * @param {Document} from of the same machine and size
 * @param {readonly string[]} order ids of all rows; others are dropped
 * @returns {Document} with the head of `into`: the rows say themselves when they were measured
 */
export function mergeResults(into, from, order) {
  const rows = new Map([...into.rows, ...from.rows].map((row) => [row.id, row]));
  const measured = new Set(from.rows.map(({ id }) => id));
  /** @param {Record<string, string>} reasons */
  const stillTrue = (reasons) =>
    Object.fromEntries(Object.entries(reasons).filter(([id]) => !measured.has(id)));
  return {
    ...into,
    rows: order.flatMap((id) => rows.get(id) ?? []),
    failures: stillTrue(into.failures),
    ...(into.skipped && { skipped: stillTrue(into.skipped) }),
  };
}

/**
 * @param {Document} one
 * @param {Document} other
 * @returns {boolean} whether rows of both may stand in one table: they are of one machine, size and driver
 */
export function comparable(one, other) {
  return one.size === other.size && surroundingsOf(one) === surroundingsOf(other);
}

/** @param {Document} document */
function surroundingsOf({ machine: { cpu, cores, kernel, node }, driver }) {
  return JSON.stringify([cpu, cores, kernel, node, driver]);
}

/** @param {Document} document */
function runOf(document) {
  const { size, runs, versions } = document;
  return JSON.stringify([surroundingsOf(document), size, runs, versions]);
}
