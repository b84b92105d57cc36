// npm run bench [-- options]: measures the rows, prints a table and writes the results. Nothing here passes or fails by its speed; the
// exit code is 1 when a row could not be measured, 2 when the command cannot be done, and 130 after Ctrl+C.
import { resolve } from 'node:path';
import { endChildren } from './lib/children.mjs';
import { driverOptions, driverText } from './lib/hawser.mjs';
import { bufferWarning, describeMachine, describeVersions, machineLine } from './lib/machine.mjs';
import { readOptions } from './lib/options.mjs';
import { writeReadme } from './lib/readme.mjs';
import { reportPage } from './lib/report.mjs';
import {
  comparable,
  mergeResults,
  pageOf,
  partialOf,
  readResults,
  removeResults,
  resumable,
  savedFile,
  writeResults,
  writeWhole,
} from './lib/results.mjs';
import { measureSuite } from './lib/suite.mjs';
import { tableLines } from './lib/table.mjs';
import { rows } from './rows/index.mjs';

/** @typedef {import('./lib/results.mjs').Document} Document */

/**
 * @param {string[]} args the command line
 * @returns {Promise<number>} the exit code
 */
export async function main(args) {
  const options = readOptions(args);
  switch (options.work) {
    case 'refuse':
      console.error(options.why);
      return 2;
    case 'list':
      console.log(rows.map(({ id, title, unit }) => `${id.padEnd(18)} ${title}, ${unit}`).join('\n'));
      return 0;
    case 'report':
      return withResults(resolve(options.file), (results, file) => writePage(file, results));
    case 'readme':
      return withResults(savedFile, writeReadme);
    case 'run':
      return run(options);
  }
}

/**
 * @param {string} file
 * @param {(results: Document, file: string) => string | void} work gives the reason when it refuses
 * @returns {number} the exit code
 */
function withResults(file, work) {
  let results;
  try {
    results = readResults(file);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    return 2;
  }
  if (results === null) {
    console.error(`there is no ${file}`);
    return 2;
  }
  const refusal = work(results, file);
  if (refusal === undefined) return 0;
  console.error(`${file} ${refusal}`);
  return 2;
}

/**
 * @param {import('./lib/options.mjs').RunOptions} options
 * @returns {Promise<number>} the exit code
 */
async function run({ rows: wanted, runs, size, json, save, some, resume }) {
  const machine = describeMachine();
  const driver = driverOptions();
  console.log([machineLine(machine), driverText(driver)].filter((text) => text !== '').join(', '));
  const warning = bufferWarning(machine);
  if (warning !== null) console.error(warning);
  /** @type {Document} */
  const document = {
    measuredAt: new Date().toISOString(),
    size,
    runs,
    machine,
    driver,
    versions: describeVersions(),
    rows: [],
    failures: {},
  };
  const saved = save && some ? readResults(savedFile) : null;
  if (saved !== null && !comparable(saved, document)) {
    console.error(`${savedFile} is of another machine, driver or size: its rows cannot stand beside these`);
    return 2;
  }
  const files = [...(save ? [savedFile] : []), ...(json === undefined ? [] : [resolve(json)])];
  const partial = files[0] && partialOf(files[0]);
  if (resume && partial) takeUp(document, partial);
  const rest = await interruptible((interruption) =>
    measureSuite(wanted, document, {
      say: (line) => console.error(line),
      keep: (measured) => {
        if (partial) writeResults(partial, measured);
      },
      interruption,
    }),
  );
  if (document.rows.length > 0) console.log(['', ...tableLines(document.rows)].join('\n'));
  if (rest.length > 0) {
    console.error(`\nnot measured: ${rest.join(', ')}`);
    if (document.rows.length > 0 && partial)
      console.error('the same command with --resume goes on from here');
    return 130;
  }
  if (document.rows.length > 0) {
    const order = rows.map(({ id }) => id);
    for (const file of files) {
      finish(file, mergeResults(file === savedFile ? (saved ?? document) : document, document, order));
    }
    if (partial) removeResults(partial);
  }
  return Object.keys(document.failures).length > 0 ? 1 : 0;
}

/**
 * @param {Document} document gets the rows of an interrupted run, and its begin
 * @param {string} partial the file of that run, if there is one
 */
function takeUp(document, partial) {
  const before = readResults(partial);
  document.rows = resumable(document, before);
  if (before !== null && document.rows.length > 0) document.measuredAt = before.measuredAt;
  else
    console.error(
      `${partial} has nothing to go on from: it is not there, or of another machine, driver, code or kind of run`,
    );
}

/**
 * @param {string} file
 * @param {Document} results
 */
function finish(file, results) {
  writeResults(file, results);
  console.log(`\n${file}`);
  writePage(file, results);
}

/**
 * @param {string} file of the results
 * @param {Document} results
 */
function writePage(file, results) {
  const page = pageOf(file);
  writeWhole(page, reportPage(results));
  console.log(page);
}

/**
 * The first Ctrl+C ends the processes of the row that is being measured; a second one ends this process, as ever.
 *
 * @template T
 * @param {(interruption: Promise<void>) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function interruptible(work) {
  /** @type {() => void} */
  let interrupt = () => undefined;
  /** @type {Promise<void>} */
  const interruption = new Promise((done) => {
    interrupt = () => {
      endChildren();
      done();
    };
  });
  const signals = /** @type {const} */ (['SIGINT', 'SIGTERM']);
  for (const signal of signals) process.once(signal, interrupt);
  try {
    return await work(interruption);
  } finally {
    for (const signal of signals) process.removeListener(signal, interrupt);
  }
}
