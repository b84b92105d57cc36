// The table of README.md: made of the saved results, so that the two cannot differ.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatFigure, formatRatio, runsText } from './format.mjs';
import { driverText } from './hawser.mjs';
import { headline, writeWhole } from './results.mjs';
import { contendersIn, countedMark, doubtful } from './summary.mjs';

/** @typedef {import('./results.mjs').Document} Document */
/** @typedef {import('./results.mjs').MeasuredRow} MeasuredRow */

export const readmeFile = fileURLToPath(new URL('../../README.md', import.meta.url));
const begin = '<!-- figures: begin; `npm run bench -- --readme` writes what is between these two -->';
const end = '<!-- figures: end -->';

/**
 * @param {Document} results
 * @returns {string} Markdown, with an empty line at both ends
 */
export function readmeSection(results) {
  const { measuredAt, machine, driver, runs, versions } = results;
  const gib = (machine.memoryBytes / 2 ** 30).toFixed(0);
  const kind = machine.virtualised ? ' of a virtual machine' : '';
  const system = machine.kernel.split(' ').slice(0, 2).join(' ');
  const lines = results.rows.filter(({ id }) => headline.includes(id)).map((row) => lineOf(row, runs));
  const set = driverText(driver);
  const other = results.rows.some(({ commit }) => commit !== versions.commit);
  return [
    '',
    '## How fast it is',
    '',
    `Measured on ${measuredAt.slice(0, 10)} with \`npm run bench\` on ${machine.cores} cores${kind} (${machine.cpu}, ${gib} GiB, ${system}, Node.js ${machine.node}${set === '' ? '' : `; ${set}`}): medians of ${runs} runs, least and greatest in brackets.` +
      (other ? ' Some rows were measured again later.' : ''),
    '',
    '| row | what | hawser | best rival | | limit | target |',
    '|---|---|--:|--:|--:|--:|---|',
    ...lines,
    '',
    ...(lines.some((line) => line.includes(doubtful))
      ? [`${doubtful}: a run of it missed a condition of the row, so that the figure does not count.`, '']
      : []),
    'The best rival is seldom one that does as much: what each of them encrypts and delivers is in [all figures](bench/results/index.html), with plots and spreads. The limit is a C program that moves as many bytes and does nothing else. [performance.md](docs/performance.md) says how each row is measured.',
    '',
  ].join('\n');
}

/**
 * @param {MeasuredRow} row
 * @param {number} usual runs of the other rows
 */
function lineOf(row, usual) {
  const { id, title, unit, ours, rivals, ratio, limit, limitName, spread, target, runs } = row;
  const { min = ours, max = ours } = spread.hawser ?? {};
  const best = contendersIn(row).find(({ name }) => name in rivals);
  return `| ${[
    `\`${id}\``,
    `${title}, ${unit}`,
    `**${formatFigure(ours)}**${countedMark(row, 'hawser')} (${formatFigure(min)} to ${formatFigure(max)}${runs === usual ? '' : `, ${runsText(runs)}`})`,
    best === undefined ? '' : `${formatFigure(best.value)}${countedMark(row, best.name)} ${best.name}`,
    ratio === null ? '' : formatRatio(ratio),
    limit === null || limitName === undefined
      ? ''
      : `${formatFigure(limit)}${countedMark(row, limitName)} ${limitName}`,
    target === undefined
      ? ''
      : target.conditions
          .map(({ text, reached }) =>
            reached ? text : `${text}: **${reached === null ? 'unknown' : 'missed'}**`,
          )
          .join('; '),
  ].join(' | ')} |`;
}

/**
 * @param {string} readme
 * @param {string} section
 * @returns {string} the text with the section between its marks; throws when these are missing
 */
export function withSection(readme, section) {
  const { before, after } = split(readme);
  return `${before}${begin}\n${section}\n${end}${after}`;
}

/**
 * @param {string} readme
 * @returns {string} what is between the marks
 */
export function sectionOf(readme) {
  return split(readme).section;
}

/**
 * @param {Document} results
 * @returns {string | undefined} why they are not for README.md, which then stays as it is
 */
export function writeReadme(results) {
  if (results.size === 'quick') return 'is of a quick run, whose figures are not for README.md';
  writeWhole(readmeFile, withSection(readFileSync(readmeFile, 'utf8'), readmeSection(results)));
  return undefined;
}

/** @param {string} readme */
function split(readme) {
  const from = readme.indexOf(begin);
  const to = readme.indexOf(end);
  if (from < 0 || to < from) throw new Error(`README.md lacks its marks ${begin} and ${end}`);
  return {
    before: readme.slice(0, from),
    section: readme.slice(from + begin.length, to).replace(/^\n|\n$/g, ''),
    after: readme.slice(to + end.length),
  };
}
