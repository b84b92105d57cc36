// Results for people, in a terminal.
import { formatFigure, formatRatio } from './format.mjs';
import { countedMark, ours } from './summary.mjs';

const headings = ['row', 'unit', ours, 'min..max', 'rivals', 'ratio', 'limit', 'target'];

/**
 * @param {readonly import('./summary.mjs').Result[]} results
 * @returns {string[]} lines
 */
export function tableLines(results) {
  const cells = [headings, ...results.map(cellsOf)];
  const widths = headings.map((_, column) => Math.max(...cells.map((line) => line[column]?.length ?? 0)));
  const lines = cells.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  const details = results.flatMap(({ id, details: all }) =>
    Object.entries(all)
      .filter(([, figures]) => Object.keys(figures).length > 0)
      .map(([contender, figures]) => {
        const texts = Object.entries(figures).map(([name, value]) => `${name} ${formatFigure(value)}`);
        return `  ${id}, ${contender}: ${texts.join(', ')}`;
      }),
  );
  const missed = results.flatMap(({ id, missed: all }) =>
    all.map((condition) => `  ${id}, MISSED by ${condition}`),
  );
  const absent = results.flatMap(({ id, unavailable }) =>
    Object.entries(unavailable).map(
      ([contender, reason]) => `  ${id}, ${contender} cannot run here: ${reason}`,
    ),
  );
  const below = [...details, ...missed, ...absent];
  return below.length > 0 ? [...lines, '', ...below] : lines;
}

/**
 * @param {import('./summary.mjs').Result} result
 * @returns {string[]}
 */
function cellsOf(result) {
  const { id, unit, ours: own, spread, rivals, variants, ratio, limit, limitName = '', target } = result;
  const { min = Number.NaN, max = Number.NaN } = spread[ours] ?? {};
  const others = Object.entries({ ...variants, ...rivals }).map(
    ([name, value]) => `${name} ${formatFigure(value)}${countedMark(result, name)}`,
  );
  return [
    id,
    unit,
    formatFigure(own) + countedMark(result, ours),
    `${formatFigure(min)}..${formatFigure(max)}`,
    others.join(', ') || '-',
    ratio === null ? '-' : formatRatio(ratio),
    limit === null ? '-' : `${limitName} ${formatFigure(limit)}${countedMark(result, limitName)}`,
    target === undefined ? '-' : targetText(target),
  ];
}

/**
 * @param {import('./targets.mjs').Verdict} target
 * @returns {string} each condition; what was not reached is loud
 */
function targetText({ conditions }) {
  return conditions
    .map(({ text, reached }) => `${text}: ${reached === null ? 'unknown' : reached ? 'reached' : 'MISSED'}`)
    .join('; ');
}
