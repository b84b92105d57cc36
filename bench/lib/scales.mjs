// From figures to places in a plot.

/** @typedef {(value: number) => number} Scale */

/**
 * @param {readonly [number, number]} domain
 * @param {readonly [number, number]} range
 * @returns {Scale}
 */
export function linearScale([from, to], [start, end]) {
  return (value) => start + ((value - from) / (to - from)) * (end - start);
}

/**
 * @param {readonly [number, number]} domain above 0
 * @param {readonly [number, number]} range
 * @returns {Scale}
 */
export function logScale([from, to], range) {
  const scale = linearScale([Math.log(from), Math.log(to)], range);
  return (value) => scale(Math.log(value));
}

/**
 * Percentages so that both tails have room: 1 and 10 are as far apart as 90 and 99, nearly.
 *
 * @param {readonly [number, number]} domain above 0 and below 100
 * @param {readonly [number, number]} range
 * @returns {Scale}
 */
export function percentScale([from, to], range) {
  /** @param {number} percent */
  const logit = (percent) => Math.log(percent / (100 - percent));
  const scale = linearScale([logit(from), logit(to)], range);
  return (percent) => scale(logit(percent));
}

/**
 * Round numbers from 0 on: 1, 2 or 5 times a power of ten apart.
 *
 * @param {number} greatest above 0
 * @param {number} [most] of them, without 0
 * @returns {number[]} the last one is no greater than `greatest`
 */
export function linearTicks(greatest, most = 5) {
  const least = greatest / most;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * ([1, 2, 5].find((factor) => factor * power >= least * (1 - 1e-9)) ?? 10);
  const count = Math.floor(greatest / step + 1e-9);
  return Array.from({ length: count + 1 }, (_, index) => roundTo(index * step, step));
}

/**
 * Powers of ten; with 2 and 5 times them where there are few.
 *
 * @param {readonly [number, number]} domain above 0
 * @returns {number[]} within the domain
 */
export function logTicks([from, to]) {
  const factors = Math.log10(to / from) < 2.5 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let exponent = Math.floor(Math.log10(from)); 10 ** exponent <= to; ++exponent) {
    for (const factor of factors) ticks.push(roundTo(factor * 10 ** exponent, 10 ** exponent));
  }
  return ticks.filter((tick) => tick >= from && tick <= to);
}

/**
 * Moves labels apart that would lie upon each other.
 *
 * @param {readonly number[]} wanted places, in any order
 * @param {number} distance the least between two
 * @param {readonly [number, number]} range that all stay in, where they fit
 * @returns {number[]} places in the order of `wanted`
 */
export function spreadLabels(wanted, distance, [start, end]) {
  const order = wanted
    .map((place, index) => ({ place, index }))
    .sort((one, other) => one.place - other.place);
  let lowest = start;
  for (const label of order) {
    label.place = Math.max(label.place, lowest);
    lowest = label.place + distance;
  }
  let highest = end;
  for (const label of order.reverse()) {
    label.place = Math.min(label.place, highest);
    highest = label.place - distance;
  }
  const places = new Array(wanted.length).fill(0);
  for (const { place, index } of order) places[index] = place;
  return places;
}

/**
 * Without the last digits that sums of fractions get.
 *
 * @param {number} value
 * @param {number} step
 */
function roundTo(value, step) {
  const decimals = Math.max(0, Math.ceil(-Math.log10(step)) + 1);
  return Number(value.toFixed(Math.min(decimals, 20)));
}
