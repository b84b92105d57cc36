// The plots of the page. Colours are classes: the page's style sheet knows light and dark.
import { axisFigure, exactFigure, formatFigure, formatRatio, shortFigure } from './format.mjs';
import { linearScale, linearTicks, logScale, logTicks, percentScale, spreadLabels } from './scales.mjs';
import { contendersIn, ours } from './summary.mjs';
import { element, label, line, plot } from './svg.mjs';

/** @typedef {import('./summary.mjs').Result} Result */

const width = 600;

/**
 * The class of a contender's marks.
 *
 * @param {Result} result
 * @param {string} contender
 * @returns {'ours' | 'variant' | 'limit' | 'rival'}
 */
function kindOf(result, contender) {
  if (contender === ours) return 'ours';
  if (contender in result.variants) return 'variant';
  return contender === result.limitName ? 'limit' : 'rival';
}

/**
 * What a contender does, in two words.
 *
 * @param {Result} result
 * @param {string} contender
 * @returns {string} empty where nothing is known
 */
export function labelOf(result, contender) {
  const does = result.does[contender];
  if (does === undefined) return '';
  return `${does.encrypted ? 'encrypted' : 'plain'}, ${does.reliable ? 'reliable' : 'unreliable'}`;
}

const bars = { left: 156, right: 92, top: 18, step: 34, height: 14 };

/**
 * A bar from zero for each contender, with the spread of its runs.
 *
 * @param {Result} result
 * @returns {string}
 */
export function barsPlot(result) {
  const contenders = contendersIn(result);
  const { left, right, top, step } = bars;
  const bottom = top + contenders.length * step;
  const aim = targetValue(result);
  const values = contenders.map(({ name, value }) => Math.max(value, result.spread[name]?.max ?? value));
  const end = Math.max(...values, aim ?? 0) || 1;
  const x = linearScale([0, end], [left, width - right]);
  const grid = linearTicks(end).flatMap((tick) => [
    line(x(tick), top, x(tick), bottom, tick === 0 ? 'axis' : 'grid'),
    label(x(tick), bottom + 15, axisFigure(tick, end), { class: 'tick', 'text-anchor': 'middle' }),
  ]);
  const middles = contenders.map((_, index) => top + index * step + step / 2);
  const texts = contenders.map(({ name, value }) => `${name} ${formatFigure(value)}`);
  return plot(
    { width, height: bottom + 36, alternative: `${result.title}, ${result.unit}: ${texts.join(', ')}` },
    [
      ...grid,
      ...contenders.flatMap((contender, index) => bar(result, contender, x, middles[index] ?? 0)),
      ...(aim === null ? [] : targetLine(x(aim), bottom, axisFigure(aim, end))),
      // Above the line of the target, which may pass behind them.
      ...contenders.map(({ name, value }, index) =>
        label(x(values[index] ?? value) + 8, (middles[index] ?? 0) + 4, shortFigure(value), {
          class: `figure ${kindOf(result, name)}`,
        }),
      ),
      label(left, bottom + 31, `${result.unit}, ${result.better} is better`, { class: 'tick' }),
    ],
  );
}

/**
 * @param {Result} result
 * @param {{name: string, value: number}} contender
 * @param {import('./scales.mjs').Scale} x
 * @param {number} y
 * @returns {string[]} its name, what it does, its bar and its whisker
 */
function bar(result, { name, value }, x, y) {
  const { min = value, max = value } = result.spread[name] ?? {};
  const what = labelOf(result, name);
  const kind = kindOf(result, name);
  const { left, height } = bars;
  return [
    label(left - 10, what === '' ? y + 4 : y - 1, name, { class: `name ${kind}`, 'text-anchor': 'end' }),
    what === '' ? '' : label(left - 10, y + 12, what, { class: 'tick', 'text-anchor': 'end' }),
    element('rect', {
      class: `bar ${kind}`,
      x: left,
      y: y - height / 2,
      width: Math.max(0, x(value) - left),
      height,
    }),
    ...(max > min ? whisker(x(min), x(max), y) : []),
  ];
}

/**
 * @param {number} x
 * @param {number} bottom
 * @param {string} figure
 * @returns {string[]}
 */
function targetLine(x, bottom, figure) {
  const anchor = x > width - 140 ? 'end' : 'middle';
  return [
    line(x, bars.top - 4, x, bottom, 'target'),
    label(x, bars.top - 8, `target ${figure}`, { class: 'tick', 'text-anchor': anchor }),
  ];
}

/**
 * @param {Result} result
 * @returns {number | null} what ours must reach in the row's unit, and null where that is not fixed beforehand or is zero
 */
function targetValue({ target }) {
  const fixed = target?.conditions.find(({ is }) => is === 'atLeast' || is === 'atMost');
  return fixed !== undefined && fixed.value > 0 ? fixed.value : null;
}

/**
 * @param {number} from
 * @param {number} to
 * @param {number} y
 * @returns {string[]}
 */
function whisker(from, to, y) {
  const ends = [from, to].map((x) => line(x, y - 4, x, y + 4, 'whisker'));
  return [line(from, y, to, y, 'whisker'), ...ends];
}

const percentTicks = [1, 10, 50, 90, 99, 99.9];

/**
 * The distribution of each contender's observations: which value that percentage of them does not exceed.
 *
 * @param {Result} result with distributions
 * @returns {string}
 */
export function quantilesPlot(result) {
  const curves = Object.entries(result.distribution).map(([name, quantiles]) => ({
    name,
    quantiles: quantiles.filter(({ percent, value }) => percent > 0 && percent < 100 && value > 0),
  }));
  const all = curves.flatMap(({ quantiles }) => quantiles);
  const [left, right, top, bottom] = [44, 150, 14, 290];
  /** @type {[number, number]} */
  const values = [
    Math.min(...all.map(({ value }) => value)) / 1.1,
    Math.max(...all.map(({ value }) => value)) * 1.1,
  ];
  /** @type {[number, number]} */
  const percents = [
    Math.min(...all.map(({ percent }) => percent)),
    Math.max(...all.map(({ percent }) => percent)),
  ];
  const x = percentScale(percents, [left + 14, width - right]);
  const y = logScale(values, [bottom, top]);
  const grid = [
    ...logTicks(values).flatMap((tick) => [
      line(left, y(tick), width - right, y(tick), 'grid'),
      label(left - 8, y(tick) + 4, exactFigure(tick), { class: 'tick', 'text-anchor': 'end' }),
    ]),
    ...percentTicks
      .filter((tick) => tick >= percents[0] && tick <= percents[1])
      .flatMap((tick) => [
        line(x(tick), top, x(tick), bottom, 'grid'),
        label(x(tick), bottom + 16, `${tick}`, { class: 'tick', 'text-anchor': 'middle' }),
      ]),
  ];
  // Ours is drawn last, above the others.
  const ends = spreadLabels(
    curves.map(({ quantiles }) => y(quantiles.at(-1)?.value ?? values[0])),
    15,
    [top, bottom],
  );
  const drawn = curves.map(({ name, quantiles }, index) => {
    const points = quantiles.map(({ percent, value }) => `${x(percent).toFixed(1)},${y(value).toFixed(1)}`);
    const kind = kindOf(result, name);
    const end = ends[index] ?? bottom;
    const last = quantiles.at(-1);
    return [
      element('polyline', { class: `curve ${kind}`, points: points.join(' ') }),
      last === undefined ? '' : line(x(last.percent) + 2, y(last.value), width - right + 14, end, 'leader'),
      label(width - right + 18, end + 4, name, { class: `name ${kind}` }),
    ].join('');
  });
  const texts = curves.map(({ name, quantiles }) => {
    const parts = quantiles
      .filter(({ percent }) => [50, 99].includes(percent))
      .map(({ percent, value }) => `${percent} % within ${formatFigure(value)}`);
    return `${name} ${parts.join(', ')}`;
  });
  return plot(
    {
      width,
      height: bottom + 38,
      alternative: `${result.title}, quantiles in ${result.unit}: ${texts.join('; ')}`,
    },
    [
      ...grid,
      ...drawn.reverse(),
      label(
        left + 14,
        bottom + 33,
        `% of all observations, the tails stretched; ${result.unit} upwards, logarithmic`,
        {
          class: 'tick',
        },
      ),
    ],
  );
}

/**
 * One small plot for each line of a row's series, side by side: x logarithmic, values from zero.
 *
 * @param {Result} result with series
 * @returns {string[]}
 */
export function seriesPlots(result) {
  const { axes, series } = result;
  if (axes === undefined) return [];
  return Object.entries(axes.lines).map(([name, { title, unit }]) => {
    const curves = Object.entries(series)
      .map(([contender, points]) => ({ contender, points: points.filter((point) => point.name === name) }))
      .filter(({ points }) => points.length > 0);
    return seriesPlot(result, { title, unit, x: axes.x }, curves);
  });
}

/**
 * @param {Result} result
 * @param {{title: string, unit: string, x: string}} axes
 * @param {readonly {contender: string, points: readonly import('./summary.mjs').SeriesPoint[]}[]} curves
 * @returns {string}
 */
function seriesPlot(result, axes, curves) {
  const [size, left, right, top, bottom] = [290, 14, 30, 44, 176];
  const places = [...new Set(curves.flatMap(({ points }) => points.map(({ x }) => x)))].sort((a, b) => a - b);
  const greatest = Math.max(...curves.flatMap(({ points }) => points.map(({ value }) => value)), 0) || 1;
  /** @type {[number, number]} */
  const domain = [places[0] ?? 1, (places.at(-1) ?? 1) * (places.length > 1 ? 1 : 2)];
  const x = logScale(domain, [left + 16, size - right]);
  const y = linearScale([0, greatest], [bottom, top + 16]);
  const ticks = places.map((place) =>
    label(x(place), bottom + 16, exactFigure(place), { class: 'tick', 'text-anchor': 'middle' }),
  );
  const drawn = curves.flatMap(({ contender, points }) => {
    const kind = kindOf(result, contender);
    return [
      element('polyline', {
        class: `curve ${kind}`,
        points: points.map((point) => `${x(point.x).toFixed(1)},${y(point.value).toFixed(1)}`).join(' '),
      }),
      ...points.flatMap((point) => [
        element('circle', { class: `dot ${kind}`, cx: x(point.x), cy: y(point.value), r: 3 }),
        label(x(point.x), y(point.value) - 9, shortFigure(point.value), {
          class: `figure ${kind}`,
          'text-anchor': 'middle',
        }),
      ]),
    ];
  });
  const texts = curves.map(
    ({ contender, points }) =>
      `${contender} ${points.map((point) => `${formatFigure(point.value)} at ${exactFigure(point.x)}`).join(', ')}`,
  );
  return plot(
    {
      width: size,
      height: bottom + 36,
      alternative: `${axes.title}, ${axes.unit}, by ${axes.x}: ${texts.join('; ')}`,
    },
    [
      label(left, 16, `${axes.title}, ${axes.unit}`, { class: 'name' }),
      line(left, bottom, size - right + 16, bottom, 'axis'),
      ...ticks,
      ...drawn,
      label(left, bottom + 32, `${axes.x}, logarithmic; from zero upwards`, { class: 'tick' }),
    ],
  );
}

const standing = { width: 150, height: 20, from: 0.01, to: 10 };
const standingScale = logScale([standing.from, standing.to], [8, standing.width - 8]);

/**
 * How the other contenders of a row stand to hawser, at 1: those to the left are so many times worse. A line of the page's first table.
 *
 * @param {Result} result
 * @returns {string} empty without others
 */
export function standingPlot(result) {
  const others = contendersIn(result).filter(({ name, value }) => name !== ours && value > 0);
  if (others.length === 0 || !(result.ours > 0)) return '';
  const middle = standing.height / 2;
  const times = others.map(({ name, value }) => ({
    name,
    times: result.better === 'higher' ? value / result.ours : result.ours / value,
  }));
  const marks = times.map(({ name, times: factor }) => {
    const x = standingScale(Math.min(standing.to, Math.max(standing.from, factor)));
    const kind = kindOf(result, name);
    return kind === 'limit'
      ? line(x, middle - 6, x, middle + 6, 'limit-mark')
      : element('circle', { class: `dot ${kind}`, cx: x, cy: middle, r: 3 });
  });
  const one = standingScale(1);
  return plot(
    {
      width: standing.width,
      height: standing.height,
      style: 'standing',
      alternative: `as many times better than hawser: ${times.map((each) => `${each.name} ${formatRatio(each.times)}`).join(', ')}`,
    },
    [
      line(standingScale(standing.from), middle, standingScale(standing.to), middle, 'grid'),
      ...marks,
      element('circle', { class: 'dot ours', cx: one, cy: middle, r: 3.5 }),
    ],
  );
}

/**
 * The axis of `standingPlot`, for the head of its column.
 *
 * @returns {string}
 */
export function standingAxis() {
  const ticks = [0.01, 0.1, 1, 10].map((tick) =>
    label(standingScale(tick), 12, `${tick}×`, { class: 'tick', 'text-anchor': 'middle' }),
  );
  return plot(
    {
      width: standing.width,
      height: 16,
      style: 'standing',
      alternative: 'axis from 0.01 to 10 times hawser',
    },
    ticks,
  );
}
