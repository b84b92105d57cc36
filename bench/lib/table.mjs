// Results for people.
import { formatFigure } from './rows.mjs';

const headings = ['row', 'unit', 'hawser', 'min..max', 'rivals', 'ratio', 'target'];

/**
 * @param {readonly import('./rows.mjs').Result[]} results
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
    Object.entries(unavailable).map(([rival, reason]) => `  ${id}, ${rival} cannot run here: ${reason}`),
  );
  const below = [...details, ...missed, ...absent];
  return below.length > 0 ? [...lines, '', ...below] : lines;
}

/**
 * @param {import('./rows.mjs').Result} result
 * @returns {string[]}
 */
function cellsOf({ id, unit, ours, spread, rivals, ratio, target }) {
  const { min = Number.NaN, max = Number.NaN } = spread.hawser ?? {};
  const others = Object.entries(rivals).map(([name, value]) => `${name} ${formatFigure(value)}`);
  return [
    id,
    unit,
    formatFigure(ours),
    `${formatFigure(min)}..${formatFigure(max)}`,
    others.join(', ') || '-',
    ratio === null ? '-' : `${ratio.toFixed(2)}x`,
    target === undefined ? '-' : `${targetText(target)}: ${target.reached ? 'reached' : 'MISSED'}`,
  ];
}

/** @param {{value: number, is: string}} target */
function targetText({ value, is }) {
  if (is === 'noWorseThanRival') return 'no worse than the rival';
  if (is === 'atMostAboveRival') return `<= rival + ${value.toLocaleString('en-US')}`;
  return `${is === 'atLeast' ? '>=' : '<='} ${value.toLocaleString('en-US')}`;
}
