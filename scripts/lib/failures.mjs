// What `npm test` says again at its end about the checks that failed: their names, and the beginning of what they said.
import { stripVTControlCharacters } from 'node:util';

const mostFailures = 40;
const mostLines = 30;
const mostColumns = 300;

/**
 * @typedef {object} Failure
 * @property {string} name
 * @property {string} message
 */

/** What tools begin the part with that matters, after lines about what they do. */
const trouble = /\berror\b|\b(?:FAILED|ERROR|WARNING)\b|Sanitizer|TEST CASE:|━{5}/;

/**
 * The part of a program's output that tells why it failed: all of it if it is short, else from the first line that
 * speaks of trouble.
 *
 * @param {string} output
 */
export function essence(output) {
  const lines = stripVTControlCharacters(output).trimEnd().split('\n');
  if (lines.length <= mostLines) return lines.join('\n');
  const first = lines.findIndex((line) => trouble.test(line));
  return (first < 0 ? lines.slice(-mostLines) : lines.slice(first)).join('\n');
}

/**
 * The test cases that failed in the output of a program of doctest, which ctest may have put its numbers before.
 *
 * @param {string} output
 * @returns {Failure[]}
 */
export function doctestFailures(output) {
  /** @type {Map<string, string>} */
  const failures = new Map();
  const plain = stripVTControlCharacters(output).replace(/^\d+: /gm, '');
  // A rule stands before each test case with something to say, and before the summary.
  for (const block of plain.split(/^={20,}$|^\[doctest\] .*$/m)) {
    const name = /^TEST CASE: +(.+)$/m.exec(block)?.[1];
    if (name === undefined || !/\bERROR:/.test(block)) continue;
    const before = failures.get(name);
    failures.set(name, before === undefined ? block.trim() : `${before}\n${block.trim()}`);
  }
  return [...failures].map(([name, message]) => ({ name, message }));
}

/** @param {string} message */
function bounded(message) {
  const lines = stripVTControlCharacters(message).trimEnd().split('\n');
  const shown = lines.slice(0, mostLines);
  if (lines.length > mostLines) shown.push(`... and ${lines.length - mostLines} lines more`);
  return shown.map((line) =>
    `    ${line.length > mostColumns ? `${line.slice(0, mostColumns)} ...` : line}`.trimEnd(),
  );
}

/**
 * @param {Failure[]} failures
 * @returns {string[]} the lines that say them again: no colours, and not more than somebody reads
 */
export function failureLines(failures) {
  const lines = [];
  for (const { name, message } of failures.slice(0, mostFailures)) {
    lines.push(`FAILED  ${stripVTControlCharacters(name)}`, ...(message === '' ? [] : bounded(message)));
  }
  if (failures.length > mostFailures) lines.push(`... and ${failures.length - mostFailures} failures more`);
  return lines;
}
