// The plots of the page. Colours are classes: the page's style sheet knows light and dark.
import { axisFigure, exactFigure, formatFigure, formatRatio, shortFigure } from './format.mjs';
import { linearScale, linearTicks, logScale, logTicks, percentScale, spreadLabels } from './scales.mjs';
import { contendersIn, countedMark, ours } from './summary.mjs';
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

const bars = { left: 156, right: 92, top: 18, step: 34, height: 14, breakRoom: 44 };

/** A limit that is longer than so many times all else would leave too little of the other bars: its own is broken instead. */
const mostStretch = 2;

/**
 * A bar from zero for each contender, with the spread of its runs.
 *
 * @param {Result} result
 * @returns {string}
 */
export function barsPlot(result) {
  const contenders = contendersIn(result);
  const { left, right, top, step, breakRoom } = bars;
  const bottom = top + contenders.length * step;
  const aim = targetValue(result);
  const { end, broken } = scaleOf(result, aim);
  const x = linearScale([0, end], [left, width - right - (broken === undefined ? 0 : breakRoom)]);
  const grid = linearTicks(end).flatMap((tick) => [
    line(x(tick), top, x(tick), bottom, tick === 0 ? 'axis' : 'grid'),
    label(x(tick), bottom + 15, axisFigure(tick, end), { class: 'tick', 'text-anchor': 'middle' }),
  ]);
  const middles = contenders.map((_, index) => top + index * step + step / 2);
  const texts = contenders.map(
    ({ name, value }) =>
      `${name}${countedMark(result, name)} ${formatFigure(value)}${name === broken ? ', beyond the scale' : ''}`,
  );
  const legend = [
    `${result.unit}, ${result.better} is better`,
    ...(broken === undefined ? [] : ['the bar with // goes on beyond the scale']),
  ];
  return plot(
    {
      width,
      height: bottom + 21 + 15 * legend.length,
      alternative: `${result.title}, ${result.unit}: ${texts.join(', ')}`,
    },
    [
      ...grid,
      ...contenders.flatMap(({ name, value }, index) => {
        const y = middles[index] ?? 0;
        const mark = name === broken ? brokenBar(result, name, y) : bar(result, { name, value }, x, y);
        return [...nameOf(result, name, y), ...mark];
      }),
      ...(aim === null ? [] : targetLine(x(aim), bottom, axisFigure(aim, end))),
      // Above the line of the target, which may pass behind them.
      ...contenders.map(({ name, value }, index) => {
        const edge = name === broken ? width - right : x(reachOf(result, { name, value }));
        return label(edge + 8, (middles[index] ?? 0) + 4, shortFigure(value), {
          class: `figure ${kindOf(result, name)}`,
        });
      }),
      ...legend.map((text, index) => label(left, bottom + 31 + 15 * index, text, { class: 'tick' })),
    ],
  );
}

/**
 * Where the axis ends: with the longest bar, its whisker or the target.
 *
 * @param {Result} result
 * @param {number | null} aim the target, if it is drawn
 * @returns {{end: number, broken?: string}} above 0; the limit when it is so much longer than all else that the axis does without it
 */
function scaleOf(result, aim) {
  const contenders = contendersIn(result);
  const greatest = (/** @type {typeof contenders} */ some) =>
    Math.max(...some.map((contender) => reachOf(result, contender)), aim ?? 0);
  const { limitName } = result;
  const all = greatest(contenders);
  const others = greatest(contenders.filter(({ name }) => name !== limitName));
  if (limitName !== undefined && others > 0 && all > mostStretch * others) {
    return { end: others, broken: limitName };
  }
  return { end: all || 1 };
}

/**
 * @param {Result} result
 * @param {{name: string, value: number}} contender
 * @returns {number} the greatest figure that is drawn of it
 */
function reachOf(result, { name, value }) {
  return Math.max(value, result.spread[name]?.max ?? value);
}

/**
 * @param {Result} result
 * @param {string} contender
 * @param {number} y the middle of its bar
 * @returns {string[]} its name and what it does
 */
function nameOf(result, contender, y) {
  const what = labelOf(result, contender);
  const x = bars.left - 10;
  return [
    label(x, what === '' ? y + 4 : y - 1, contender + countedMark(result, contender), {
      class: `name ${kindOf(result, contender)}`,
      'text-anchor': 'end',
    }),
    what === '' ? '' : label(x, y + 12, what, { class: 'tick', 'text-anchor': 'end' }),
  ];
}

/**
 * @param {Result} result
 * @param {{name: string, value: number}} contender
 * @param {import('./scales.mjs').Scale} x
 * @param {number} y
 * @returns {string[]} its bar and its whisker
 */
function bar(result, { name, value }, x, y) {
  const { min = value, max = value } = result.spread[name] ?? {};
  return [barTo(x(value), y, kindOf(result, name)), ...(max > min ? whisker(x(min), x(max), y) : [])];
}

/**
 * A bar whose length says nothing: it passes the end of the axis, and is cut there. Its whisker would lie beyond.
 *
 * @param {Result} result
 * @param {string} contender
 * @param {number} y
 * @returns {string[]}
 */
function brokenBar(result, contender, y) {
  const { right, height, breakRoom } = bars;
  const [slant, gap, reach] = [3, 6, height / 2 + 3];
  const middle = width - right - breakRoom / 2;
  const cuts = [middle - gap / 2, middle + gap / 2];
  const corners = [
    [middle - gap / 2 - slant, y + reach],
    [middle - gap / 2 + slant, y - reach],
    [middle + gap / 2 + slant, y - reach],
    [middle + gap / 2 - slant, y + reach],
  ];
  return [
    barTo(width - right, y, kindOf(result, contender)),
    element('polygon', { class: 'gap', points: corners.join(' ') }),
    ...cuts.map((x) => line(x - slant, y + reach, x + slant, y - reach, 'cut')),
  ];
}

/**
 * @param {number} end
 * @param {number} y
 * @param {string} kind
 * @returns {string}
 */
function barTo(end, y, kind) {
  const { left, height } = bars;
  const size = { x: left, y: y - height / 2, width: Math.max(0, end - left), height };
  return element('rect', { class: `bar ${kind}`, ...size });
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
      label(width - right + 18, end + 4, name + countedMark(result, name), { class: `name ${kind}` }),
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
 * One small plot for each line of a row's series, side by side: x logarithmic unless the row says otherwise, values from zero.
 *
 * @param {Result} result with series
 * @returns {string[]}
 */
export function seriesPlots(result) {
  const { axes, series } = result;
  if (axes === undefined) return [];
  // One scale for all of them, though not each line has a point at each place.
  const places = [...new Set(Object.values(series).flatMap((points) => points.map(({ x }) => x)))];
  places.sort((one, other) => one - other);
  return Object.entries(axes.lines).map(([name, { title, unit }]) => {
    const curves = Object.entries(series)
      .map(([contender, points]) => ({ contender, points: points.filter((point) => point.name === name) }))
      .filter(({ points }) => points.length > 0);
    return seriesPlot(result, { title, unit, x: axes.x, places, even: axes.even ?? false }, curves);
  });
}

/**
 * @param {Result} result
 * @param {{title: string, unit: string, x: string, places: readonly number[], even: boolean}} axes
 * @param {readonly {contender: string, points: readonly import('./summary.mjs').SeriesPoint[]}[]} curves
 * @returns {string}
 */
function seriesPlot(result, axes, curves) {
  const [size, left, right, top, bottom] = [290, 14, 30, 46, 178];
  const { places, even } = axes;
  const greatest = Math.max(...curves.flatMap(({ points }) => points.map(({ value }) => value)), 0) || 1;
  /** @type {[number, number]} */
  const domain = [places[0] ?? 1, (places.at(-1) ?? 1) * (places.length > 1 ? 1 : 2)];
  const x = (even ? linearScale : logScale)(domain, [left + 16, size - right]);
  const y = linearScale([0, greatest], [bottom, top + 16]);
  const ticks = places.map((place) =>
    label(x(place), bottom + 16, exactFigure(place), { class: 'tick', 'text-anchor': 'middle' }),
  );
  const drawn = curves.flatMap(({ contender, points }) => {
    const kind = kindOf(result, contender);
    const spots = points.map(({ x: place, value }) => ({ x: x(place), y: y(value) }));
    return [
      element('polyline', {
        class: `curve ${kind}`,
        points: spots.map((spot) => `${spot.x.toFixed(1)},${spot.y.toFixed(1)}`).join(' '),
      }),
      ...spots.flatMap((spot, index) => [
        element('circle', { class: `dot ${kind}`, cx: spot.x, cy: spot.y, r: 3 }),
        figureAt(spots, index, shortFigure(points[index]?.value ?? Number.NaN), kind),
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
      ...linesOf(`${axes.title}, ${axes.unit}`, mostTitle).map((text, index) =>
        label(left, 16 + 16 * index, text, { class: 'name' }),
      ),
      line(left, bottom, size - right + 16, bottom, 'axis'),
      ...ticks,
      ...drawn,
      label(left, bottom + 32, `${axes.x}, logarithmic; from zero upwards`, { class: 'tick' }),
    ],
  );
}

/** Characters in a line above a small plot. */
const mostTitle = 36;

/**
 * @param {string} text
 * @param {number} most characters
 * @returns {string[]} lines that are no longer, unless a word is
 */
function linesOf(text, most) {
  /** @type {string[]} */
  const lines = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && `${last} ${word}`.length <= most) lines.splice(-1, 1, `${last} ${word}`);
    else lines.push(word);
  }
  return lines;
}

/**
 * The figure of a point: above it, and aside or below where its curve would pass through that.
 *
 * @param {readonly {x: number, y: number}[]} spots of the curve
 * @param {number} index
 * @param {string} figure
 * @param {string} kind
 * @returns {string}
 */
function figureAt(spots, index, figure, kind) {
  const { x, y } = spots[index] ?? { x: 0, y: 0 };
  const halfWidth = 18;
  const lift = 9;
  /** @param {{x: number, y: number} | undefined} next */
  const isSteep = (next) => next !== undefined && ((y - next.y) / Math.abs(x - next.x)) * halfWidth > lift;
  const [before, after] = [isSteep(spots[index - 1]), isSteep(spots[index + 1])];
  const anchor = before === after ? 'middle' : before ? 'start' : 'end';
  const down = before && after ? lift + 9 : -lift;
  return label(x, y + down, figure, { class: `figure ${kind}`, 'text-anchor': anchor });
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
  const marks = times.map(({ name, times: factor }) => standingMark(kindOf(result, name), factor, middle));
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
 * @param {string} kind
 * @param {number} factor how many times as good as hawser
 * @param {number} y
 * @returns {string} at an end of the axis an arrowhead, where it lies beyond
 */
function standingMark(kind, factor, y) {
  const x = standingScale(Math.min(standing.to, Math.max(standing.from, factor)));
  if (factor < standing.from || factor > standing.to) {
    const tip = factor > standing.to ? 6 : -6;
    const corners = [
      [x, y - 4],
      [x + tip, y],
      [x, y + 4],
    ];
    return element('polygon', { class: `beyond ${kind}`, points: corners.join(' ') });
  }
  if (kind === 'limit') return line(x, y - 6, x, y + 6, 'limit-mark');
  return element('circle', { class: `dot ${kind}`, cx: x, cy: y, r: 3 });
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
