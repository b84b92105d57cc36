// Makes one result of all samples of a row.
import { median, ratioToBest, spread } from './statistics.mjs';
import { judge } from './targets.mjs';

/** @typedef {import('../rows/row.mjs').Row} Row */
/** @typedef {import('../rows/row.mjs').Sample} Sample */
/** @typedef {import('../rows/row.mjs').Quantile} Quantile */
/** @typedef {import('../rows/row.mjs').SeriesPoint} SeriesPoint */

/** The contender that this is all about. */
export const ours = 'hawser';

/** Stands behind a figure that does not count. */
export const doubtful = '†';

/**
 * @typedef {object} Result medians of all runs
 * @property {string} id
 * @property {string} unit
 * @property {number} ours
 * @property {Record<string, number>} rivals those that could be measured
 * @property {number | null} limit null where the row has none, or it could not be measured
 * @property {number | null} ratio how many times better ours is than the best rival; null without one, and where one of the two is 0
 * @property {Record<string, {min: number, max: number}>} spread by contender
 * @property {string} title
 * @property {string} [group]
 * @property {'higher' | 'lower'} better
 * @property {number} runs of each contender
 * @property {string} [limitName]
 * @property {Record<string, number>} variants of ours that could be measured
 * @property {import('./targets.mjs').Verdict} [target]
 * @property {Record<string, Record<string, number>>} details medians of the other figures, by contender
 * @property {Record<string, Quantile[]>} distribution medians of the quantiles, by contender that has them
 * @property {Record<string, SeriesPoint[]>} series medians of the points, by contender that has them
 * @property {Row['series']} [axes] what the points are
 * @property {Readonly<Record<string, import('../rows/row.mjs').Does>>} does by contender
 * @property {Record<string, string>} unavailable contenders that could not run here, and why
 * @property {string[]} missed conditions that runs did not meet, with the contender: its figure does not count. A target is then not reached
 * by ours, and not judged by a rival or the limit
 * @property {string} note
 */

/**
 * The contenders of a result that could be measured, with their medians.
 *
 * @param {Result} result
 * @returns {{name: string, value: number}[]} ours first, then ours with other settings, the rivals, best first, and the limit
 */
export function contendersIn({ ours: own, variants, rivals, limit, limitName, better }) {
  const sign = better === 'higher' ? 1 : -1;
  const sorted = Object.entries(rivals).sort(([, one], [, other]) => sign * (other - one));
  const all = [[ours, own], ...Object.entries(variants), ...sorted];
  if (limit !== null && limitName !== undefined) all.push([limitName, limit]);
  return /** @type {[string, number][]} */ (all).map(([name, value]) => ({ name, value }));
}

/**
 * @param {Result} result
 * @param {string} contender
 * @returns {string} the mark behind its figures where they do not count
 */
export function countedMark({ missed }, contender) {
  return missed.some((condition) => condition.startsWith(`${contender}: `)) ? doubtful : '';
}

/**
 * @param {Row} row
 * @param {ReadonlyMap<string, readonly Sample[]>} samples by contender, as many of each
 * @param {Record<string, string>} [unavailable] the contenders that have none, and why
 * @returns {Result}
 */
export function summarize(row, samples, unavailable = {}) {
  const contenders = [...samples.keys()];
  /** @param {string} contender */
  const values = (contender) => (samples.get(contender) ?? []).map(({ value }) => value);
  /** @param {readonly string[]} names */
  const mediansOf = (names) =>
    Object.fromEntries(names.filter((name) => samples.has(name)).map((name) => [name, median(values(name))]));
  const own = median(values(ours));
  const rivals = mediansOf(row.rivals);
  const limit = mediansOf(row.limit === undefined ? [] : [row.limit])[row.limit ?? ''] ?? null;
  /** @param {string} contender */
  const missedBy = (contender) => (samples.get(contender) ?? []).flatMap(({ missed = [] }) => missed);
  const { id, unit, title, group, better, target, series, does = {}, note } = row;
  const missed = new Set(contenders.filter((contender) => missedBy(contender).length > 0));
  const counted = missed.has(row.limit ?? '') ? null : limit;
  const figures = { unit, better, ours: own, rivals, limit: counted, missed };
  const ratio = ratioToBest(own, Object.values(rivals), better);
  return {
    id,
    unit,
    ours: own,
    rivals,
    limit,
    ratio: ratio !== null && Number.isFinite(ratio) && ratio > 0 ? ratio : null,
    spread: Object.fromEntries(
      contenders.map((contender) => [contender, spreadOf(samples.get(contender) ?? [])]),
    ),
    title,
    ...(group && { group }),
    better,
    runs: values(ours).length,
    ...(row.limit && { limitName: row.limit }),
    variants: mediansOf(row.variants ?? []),
    ...(target && { target: judge(target, figures, !missed.has(ours)) }),
    details: Object.fromEntries([...samples].map(([contender, all]) => [contender, medians(all)])),
    distribution: byContender(samples, medianQuantiles),
    series: byContender(samples, medianPoints),
    ...(series && { axes: series }),
    does,
    unavailable,
    missed: contenders.flatMap((each) => missedBy(each).map((condition) => `${each}: ${condition}`)),
    note,
  };
}

/** @param {readonly Sample[]} samples at least one */
function spreadOf(samples) {
  return spread(samples.flatMap(({ value, least = value, greatest = value }) => [least, greatest]));
}

/**
 * @template T
 * @param {ReadonlyMap<string, readonly Sample[]>} samples by contender
 * @param {(all: readonly Sample[]) => T[]} combine
 * @returns {Record<string, T[]>} without contenders that have none
 */
function byContender(samples, combine) {
  /** @type {Record<string, T[]>} */
  const combined = {};
  for (const [name, all] of samples) {
    const items = combine(all);
    if (items.length > 0) combined[name] = items;
  }
  return combined;
}

/**
 * @param {readonly Sample[]} samples with the same details
 * @returns {Record<string, number>}
 */
function medians(samples) {
  const names = Object.keys(samples[0]?.details ?? {});
  return Object.fromEntries(
    names.map((name) => [name, median(samples.map(({ details }) => details?.[name] ?? Number.NaN))]),
  );
}

/**
 * @param {readonly Sample[]} samples with the same percentages
 * @returns {Quantile[]}
 */
function medianQuantiles(samples) {
  return (samples[0]?.distribution ?? []).map(({ percent }, index) => ({
    percent,
    value: median(samples.map(({ distribution }) => distribution?.[index]?.value ?? Number.NaN)),
  }));
}

/**
 * @param {readonly Sample[]} samples with the same names and places
 * @returns {SeriesPoint[]}
 */
function medianPoints(samples) {
  return (samples[0]?.series ?? []).map(({ name, x }, index) => ({
    name,
    x,
    value: median(samples.map(({ series }) => series?.[index]?.value ?? Number.NaN)),
  }));
}
