// What the rows make of their samples.

/**
 * The value in the middle; the mean of the two in the middle of an even number of values.
 *
 * @param {readonly number[]} values at least one, in any order
 * @returns {number}
 */
export function median(values) {
  const sorted = sortedCopy(values);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * The least value that is no less than `percent` percent of all (nearest rank).
 *
 * @param {readonly number[] | Float64Array} values at least one, in any order
 * @param {number} percent above 0, up to 100
 * @returns {number}
 */
export function percentile(values, percent) {
  return nearestRank(sortedCopy(values), percent);
}

/**
 * @param {Float64Array} sorted
 * @param {number} percent
 * @returns {number}
 */
function nearestRank(sorted, percent) {
  if (!(percent > 0 && percent <= 100))
    throw new RangeError(`percent is above 0 and up to 100; got ${percent}`);
  return sorted[Math.ceil((percent * sorted.length) / 100) - 1] ?? Number.NaN;
}

/**
 * @param {readonly number[] | Float64Array} values at least one, in any order
 * @param {readonly number[]} percents as of `percentile`, rising
 * @returns {{percent: number, value: number}[]}
 */
export function quantiles(values, percents) {
  const sorted = sortedCopy(values);
  return percents.map((percent) => ({ percent, value: nearestRank(sorted, percent) }));
}

/**
 * @param {readonly number[]} values at least one
 * @returns {{min: number, max: number}}
 */
export function spread(values) {
  const sorted = sortedCopy(values);
  return { min: sorted[0] ?? Number.NaN, max: sorted[sorted.length - 1] ?? Number.NaN };
}

/**
 * Fairness index of Jain: the square of the sum over the sum of the squares and the number of values.
 *
 * @param {readonly number[]} values at least one, none below 0
 * @returns {number} 1 when all are equal, 1 / n when one of n has everything
 */
export function jainIndex(values) {
  const sum = values.reduce((total, value) => total + value, 0);
  const squares = values.reduce((total, value) => total + value * value, 0);
  return (sum * sum) / (values.length * squares);
}

/**
 * How many times better a figure is than the best of its rivals: above 1 is better, whichever way the unit counts.
 *
 * @param {number} ours
 * @param {readonly number[]} rivals
 * @param {'higher' | 'lower'} better which way the unit counts
 * @returns {number | null} null without a rival
 */
export function ratioToBest(ours, rivals, better) {
  if (rivals.length === 0) return null;
  return better === 'higher' ? ours / Math.max(...rivals) : Math.min(...rivals) / ours;
}

/**
 * The least-squares slope of y over x.
 *
 * @param {readonly {readonly x: number, readonly y: number}[]} points two or more with different x
 * @returns {number}
 */
export function slope(points) {
  const meanX = points.reduce((sum, { x }) => sum + x, 0) / points.length;
  const meanY = points.reduce((sum, { y }) => sum + y, 0) / points.length;
  const covariance = points.reduce((sum, { x, y }) => sum + (x - meanX) * (y - meanY), 0);
  const variance = points.reduce((sum, { x }) => sum + (x - meanX) ** 2, 0);
  if (!(variance > 0)) throw new RangeError('a slope needs points with different x');
  return covariance / variance;
}

/**
 * @param {readonly number[] | Float64Array} values
 * @returns {Float64Array}
 */
function sortedCopy(values) {
  if (values.length === 0) throw new RangeError('there are no values');
  return Float64Array.from(values).sort();
}
