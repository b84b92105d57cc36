// Whether a row has reached its target: the conditions of its definition, held against its figures.
import { exactFigure } from './format.mjs';
import { ratioToBest } from './statistics.mjs';

/** @typedef {import('../rows/row.mjs').Condition} Condition */

/**
 * @typedef {object} Figures of a row
 * @property {string} unit
 * @property {'higher' | 'lower'} better
 * @property {number} ours
 * @property {Readonly<Record<string, number>>} rivals
 * @property {number | null} limit null where there is none that counts
 * @property {ReadonlySet<string>} missed contenders of which a run did not meet what the row demands: they decide nothing
 */

/** @typedef {Condition & {text: string, reached: boolean | null}} Judged null where the rival or the limit could not be measured, or its
 * figure does not count */

/**
 * @typedef {object} Verdict
 * @property {boolean | null} reached whether all conditions hold; null when none fails and one cannot be judged
 * @property {Judged[]} conditions
 */

/**
 * @param {readonly Condition[]} conditions
 * @param {Figures} figures
 * @param {boolean} counts whether our figure counts at all: all runs of ours met what the row demands of a run
 * @returns {Verdict}
 */
export function judge(conditions, figures, counts) {
  const judged = conditions.map((condition) => ({
    ...condition,
    text: textOf(condition, figures),
    reached: counts && holds(condition, figures),
  }));
  const verdicts = judged.map(({ reached }) => reached);
  return {
    reached: verdicts.includes(false) ? false : verdicts.includes(null) ? null : true,
    conditions: judged,
  };
}

/**
 * @param {Condition} condition
 * @param {Figures} figures
 * @returns {boolean | null}
 */
function holds({ is, value, rival }, figures) {
  const { ours, limit } = figures;
  switch (is) {
    case 'atLeast':
      return ours >= value;
    case 'atMost':
      return ours <= value;
    case 'timesRival':
      return isTimesBetter(value, rival, figures);
    case 'shareOfLimit':
      return limit === null ? null : ours >= value * limit;
    case 'atMostAboveLimit':
      return limit === null ? null : ours - limit <= value;
  }
}

/**
 * @param {number} times
 * @param {string | undefined} rival the best one without
 * @param {Figures} figures
 * @returns {boolean | null} null without a rival that counts, and where the best one does not count and none of the others decides
 */
function isTimesBetter(times, rival, { ours, rivals, missed, better }) {
  const named = Object.entries(rivals).filter(([name]) => rival === undefined || name === rival);
  const ratioTo = (/** @type {[string, number][]} */ some) =>
    ratioToBest(
      ours,
      some.map(([, figure]) => figure),
      better,
    );
  const toAll = ratioTo(named);
  const toCounting = ratioTo(named.filter(([name]) => !missed.has(name)));
  if (toCounting === null) return null;
  if (toCounting < times) return false;
  return toAll === toCounting ? true : null;
}

/**
 * @param {Condition} condition
 * @param {Figures} figures
 * @returns {string} for people
 */
function textOf({ is, value, rival = 'the best rival' }, { unit }) {
  const figure = exactFigure(value);
  switch (is) {
    case 'atLeast':
      return `at least ${figure} ${unit}`;
    case 'atMost':
      return `at most ${figure} ${unit}`;
    case 'timesRival':
      return value === 1 ? `no worse than ${rival}` : `at least ${figure} times ${rival}`;
    case 'shareOfLimit':
      return `at least ${exactFigure(value * 100)} % of the limit`;
    case 'atMostAboveLimit':
      return `at most ${figure} ${unit} above the limit`;
  }
}

/**
 * @param {Condition} condition
 * @returns {string} for tables
 */
export function conditionSign({ is, value, rival = 'best rival' }) {
  switch (is) {
    case 'atLeast':
      return `≥ ${exactFigure(value)}`;
    case 'atMost':
      return `≤ ${exactFigure(value)}`;
    case 'timesRival':
      return `≥ ${exactFigure(value)}× ${rival}`;
    case 'shareOfLimit':
      return `≥ ${exactFigure(value * 100)} % of limit`;
    case 'atMostAboveLimit':
      return `≤ limit + ${exactFigure(value)}`;
  }
}
