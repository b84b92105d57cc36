// Round trips over time, as cells to paint: columns of three seconds, rows of ranges.

import { seriesMs } from '../lib/series.js';

/** @import { Point } from '../lib/series.js' */
/** @import { Distribution } from '../../src/gateway/snapshot.js' */

const columnMs = 3000;
export const columns = seriesMs / columnMs;
/** A column without a sample of its own shows the one before, if that is no older: while nobody looks on there is one each five seconds. */
const maxAgeMs = 6500;
const leastRows = 6;

/**
 * @typedef {object} HeatData
 * @property {number} fromMs where the first column begins
 * @property {readonly number[]} bounds of the rows that are shown, in milliseconds; the last row may have none
 * @property {readonly (Distribution | undefined)[]} columns undefined where nothing is known
 * @property {number} rows
 * @property {number} most in any cell
 */

/** @param {readonly Point[]} points the oldest first @returns {HeatData} */
export function heatData(points) {
  // Columns stay where they are while time goes on, so that they do not flicker.
  const toMs = Math.ceil((points.at(-1)?.timeMs ?? 0) / columnMs) * columnMs;
  const fromMs = toMs - seriesMs;
  /** @type {(Distribution | undefined)[]} */
  const shown = [];
  let next = 0;
  for (let column = 0; column < columns; ++column) {
    const endMs = fromMs + (column + 1) * columnMs;
    while (next < points.length && (points[next]?.timeMs ?? 0) <= endMs) next += 1;
    const point = points[next - 1];
    shown.push(point !== undefined && endMs - point.timeMs < maxAgeMs ? point.rttMs : undefined);
  }
  const known = shown.filter((each) => each !== undefined);
  const used = known.map(({ counts }) => counts.findLastIndex((count) => count > 0));
  const bounds = known.at(-1)?.bounds ?? [];
  const rows = Math.min(bounds.length + 1, Math.max(leastRows, ...used.map((last) => last + 2)));
  const most = Math.max(0, ...known.flatMap(({ counts }) => counts));
  return { fromMs, bounds, columns: shown, rows, most };
}

/** @param {HeatData} data @param {number} column */
export const columnStartMs = ({ fromMs }, column) => fromMs + column * columnMs;

/** `10 ms`, `2 s`. @param {number} bound in milliseconds */
export const boundText = (bound) => (bound < 1000 ? `${bound} ms` : `${bound / 1000} s`);

/** `5–10 ms`. @param {readonly number[]} bounds @param {number} row */
export function rangeText(bounds, row) {
  const upper = bounds[row];
  const lower = bounds[row - 1] ?? 0;
  return upper === undefined ? `above ${boundText(lower)}` : `${lower}–${upper} ms`;
}

/**
 * Up to which bound so great a part of all peers is; undefined without any.
 *
 * @param {Distribution} distribution
 * @param {number} part of 1
 */
export function percentileText({ bounds, counts }, part) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return undefined;
  let below = 0;
  const row = counts.findIndex((count) => {
    below += count;
    return below >= total * part;
  });
  const bound = bounds[row];
  return bound === undefined ? `> ${boundText(bounds.at(-1) ?? 0)}` : `≤ ${boundText(bound)}`;
}
