// Repeated runs of the test suite and the file of their results: the parts of scripts/test-repeat.mjs that need no real suite.
import { appendFileSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { parseArgs, stripVTControlCharacters } from 'node:util';

const mostRuns = 1000;
const mostLoad = 64;

/**
 * One run of the suite, a line of JSON in the file of results.
 *
 * @typedef {object} RunRecord
 * @property {string} date when it began, ISO 8601
 * @property {string} commit with `-dirty` behind it if the work tree had changes
 * @property {number} load number of busy processes next to it
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {number} seconds
 * @property {import('./failures.mjs').Failure[]} failures `message` is the first line only
 */

/**
 * @typedef {object} SuiteResult what a stage of `npm test` returns
 * @property {number} passed
 * @property {number} failed
 * @property {number} skipped
 * @property {import('./failures.mjs').Failure[]} failures
 */

/**
 * @param {string[]} args of the command line
 * @returns {{help: true} | {help: false, runs: number, load: number}}
 * @throws Error that says what is wrong with them.
 */
export function parseRepeat(args) {
  const { values, positionals } = parseArgs({
    args,
    options: { load: { type: 'string', default: '0' }, help: { type: 'boolean', default: false } },
    allowPositionals: true,
  });
  if (values.help) return { help: true };
  const [runs, ...more] = positionals;
  if (runs === undefined || more.length > 0) {
    throw new Error(
      `one number of runs is needed; got ${positionals.length === 0 ? 'none' : positionals.join(' ')}`,
    );
  }
  const load = integerOf('--load', values.load, 0, mostLoad);
  return { help: false, runs: integerOf('the number of runs', runs, 1, mostRuns), load };
}

/** @param {string} what @param {string} text @param {number} least @param {number} most */
function integerOf(what, text, least, most) {
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new Error(`${what} must be an integer from ${least} to ${most}; got ${text}`);
}

/**
 * @param {string} file
 * @returns {RunRecord[]} none if there is no file
 * @throws Error with the number of a line that is no record.
 */
export function readRecords(file) {
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n');
  return lines.flatMap((line, index) => {
    if (line === '') return [];
    try {
      const record = JSON.parse(line);
      if (typeof record.commit === 'string' && Number.isInteger(record.failed)) return [record];
    } catch {
      // As one of another shape.
    }
    throw new Error(`${file}, line ${index + 1} is no result of a run: correct it or delete the line`);
  });
}

/**
 * @param {SuiteResult} result
 * @param {Pick<RunRecord, 'date' | 'commit' | 'load' | 'seconds'>} run
 * @returns {RunRecord}
 */
export function recordOf({ passed, failed, skipped, failures }, { date, commit, load, seconds }) {
  const ran = passed + failed > 0;
  const told = failures.map(({ name, message }) => ({ name: plain(name), message: firstLine(message) }));
  return {
    date,
    commit,
    load,
    passed,
    failed: ran ? failed : 1,
    skipped,
    seconds: Math.round(seconds),
    failures: ran ? told : [{ name: 'vitest', message: 'nothing ran' }],
  };
}

/** @param {string} text */
function plain(text) {
  return stripVTControlCharacters(text).trim();
}

/** @param {string} message */
function firstLine(message) {
  return plain(message).split('\n', 1)[0] ?? '';
}

/** @param {RunRecord} record */
export function lineOf({ date, passed, failed, skipped, seconds }) {
  return `${failed === 0 ? 'ok    ' : 'FAILED'}  ${date}  ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds} s`;
}

/**
 * Runs a suite until the file has so many results of the current commit with this load.
 *
 * @param {object} options
 * @param {number} options.runs
 * @param {number} options.load only recorded here
 * @param {string} options.file
 * @param {() => Promise<string>} options.commit asked before and after each run
 * @param {() => Promise<SuiteResult>} options.suite
 * @param {AbortSignal} options.signal after it, no run begins, and the one that goes on is not recorded
 * @param {(line: string) => void} options.log
 * @returns {Promise<boolean>} whether all recorded runs of the commit passed, with any load
 * @throws Error if the checkout changed during a run, or the file cannot be read.
 */
export async function repeat({ runs, load, file, commit: commitNow, suite, signal, log }) {
  const commit = await commitNow();
  const recorded = () => readRecords(file).filter((record) => record.commit === commit);
  const done = () => recorded().filter((record) => record.load === load);
  const before = done().length;
  log(`commit ${commit}, load ${load}: ${before} of ${runs} runs are recorded in ${file}`);
  for (let count = before; count < runs && !signal.aborted; ++count) {
    log(`\n== run ${count + 1} of ${runs}`);
    const date = new Date().toISOString();
    const started = performance.now();
    const result = await suite();
    if (signal.aborted) break;
    const seconds = (performance.now() - started) / 1000;
    const after = await commitNow();
    if (after !== commit) {
      throw new Error(
        `the checkout was ${commit} before the run and is ${after} now: the run is not recorded`,
      );
    }
    const record = recordOf(result, { date, commit, load, seconds });
    mkdirSync(dirname(file), { recursive: true });
    appendFileSync(file, `${JSON.stringify(record)}\n`);
    log(lineOf(record));
  }
  const records = done();
  log(`\ncommit ${commit}, load ${load}: ${records.length} of ${runs} runs`);
  for (const record of records) log(lineOf(record));
  const failed = recorded().filter((record) => record.failed > 0);
  for (const record of failed) {
    for (const { name, message } of record.failures)
      log(`FAILED  ${record.date}, load ${record.load}: ${name}: ${message}`);
  }
  log(`${failed.length} failed of ${recorded().length} runs of this commit with any load`);
  return failed.length === 0;
}
