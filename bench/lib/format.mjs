// Figures as text.

/**
 * Three significant figures, thousands apart.
 *
 * @param {number} value
 * @returns {string}
 */
export function formatFigure(value) {
  return value.toLocaleString('en-US', { maximumSignificantDigits: 3 });
}

/**
 * Three significant figures, millions and more as such: for where there is little room.
 *
 * @param {number} value
 * @returns {string}
 */
export function shortFigure(value) {
  const { divisor, sign } = magnitudeOf(value);
  if (divisor === 1) return formatFigure(value);
  const digits = { minimumSignificantDigits: 3, maximumSignificantDigits: 3 };
  return (value / divisor).toLocaleString('en-US', digits) + sign;
}

/**
 * A round figure at an axis.
 *
 * @param {number} value
 * @param {number} end of the axis: it decides on the magnitude of all its figures
 * @returns {string}
 */
export function axisFigure(value, end) {
  const { divisor, sign } = magnitudeOf(end);
  return value === 0 ? '0' : (value / divisor).toLocaleString('en-US', { maximumFractionDigits: 3 }) + sign;
}

/**
 * @param {number} value
 * @returns {{divisor: number, sign: string}}
 */
function magnitudeOf(value) {
  const size = Math.abs(value);
  if (size >= 1e9) return { divisor: 1e9, sign: ' G' };
  return size >= 1e6 ? { divisor: 1e6, sign: ' M' } : { divisor: 1, sign: '' };
}

/**
 * A figure that somebody has chosen: all its digits.
 *
 * @param {number} value
 * @returns {string}
 */
export function exactFigure(value) {
  return value.toLocaleString('en-US', { maximumFractionDigits: 6 });
}

/**
 * @param {number} runs
 * @returns {string}
 */
export function runsText(runs) {
  return runs === 1 ? '1 run' : `${runs} runs`;
}

/**
 * @param {number} ratio
 * @returns {string} two decimals below ten
 */
export function formatRatio(ratio) {
  return `${ratio.toLocaleString('en-US', ratio < 10 ? { minimumFractionDigits: 2, maximumFractionDigits: 2 } : { maximumSignificantDigits: 3 })}×`;
}

/**
 * Figures of one column with three significant figures, padded at their ends with spaces as wide as a point and as digits, so that
 * their points stand below each other where the text is aligned to the right and digits are equally wide.
 *
 * @param {readonly number[]} values
 * @returns {string[]}
 */
export function alignedFigures(values) {
  const digits = {
    maximumSignificantDigits: 3,
    minimumSignificantDigits: values.every(Number.isInteger) ? 1 : 3,
  };
  const texts = values.map((value) => (value === 0 ? '0' : value.toLocaleString('en-US', digits)));
  const decimals = texts.map((text) => text.split('.')[1]?.length ?? 0);
  const most = Math.max(0, ...decimals);
  return texts.map((text, index) => {
    const own = decimals[index] ?? 0;
    const point = own === 0 && most > 0 ? '\u2008' : '';
    return text + point + '\u2007'.repeat(most - own);
  });
}

/**
 * @param {number} seconds
 * @returns {string} minutes and seconds, as 3:07
 */
export function formatDuration(seconds) {
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`;
}
