// Numbers as people read them, in English whatever the browser speaks, as all of the page.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const oneDigit = new Intl.NumberFormat('en', { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const twoDigits = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const short = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat('en-GB', { timeStyle: 'medium' });
const dateAndClock = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });

/** @param {number} value */
export const count = (value) => whole.format(value);

/** For narrow places: `1.2M`. @param {number} value */
export const compact = (value) => (value < 100_000 ? whole.format(value) : short.format(value));

/** Three digits or so, whatever the size. @param {number} value */
export function digits(value) {
  if (value >= 100 || value === 0) return whole.format(value);
  return value >= 10 ? oneDigit.format(value) : twoDigits.format(value);
}

/** What happens in a second. @param {number} value */
export const rate = (value) => (value > 0 && value < 10 ? oneDigit.format(value) : compact(value));

/** @param {number} part of 1 */
export const percent = (part) =>
  part === 0
    ? '0 %'
    : `${part > 0 && part < 0.1 ? twoDigits.format(part * 100) : oneDigit.format(part * 100)} %`;

/** @param {number} value in milliseconds */
export const milliseconds = (value) => `${digits(value)} ms`;

/** @param {number} value */
export function bytes(value) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let size = value;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(size) : digits(size)} ${units[unit]}`;
}

/** The two greatest units of a time: `3 h 20 min`. @param {number} value in milliseconds */
export function duration(value) {
  const seconds = Math.max(0, Math.floor(value / 1000));
  const parts = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ];
  const first = parts.findIndex(([amount]) => amount !== 0);
  const shown =
    first < 0
      ? [[0, 's']]
      : parts.slice(first, first + 2).filter(([amount], index) => index === 0 || amount !== 0);
  return shown.map(([amount, unit]) => `${amount} ${unit}`).join(' ');
}

/** As short as a span of milliseconds can be said: `340 ms`, `12.4 s`, `3 min 5 s`. @param {number} value */
export function span(value) {
  if (value < 1000) return `${whole.format(value)} ms`;
  return value < 60_000 ? `${oneDigit.format(value / 1000)} s` : duration(value);
}

/** @param {number} timeMs Unix milliseconds */
export const timeOfDay = (timeMs) => clock.format(timeMs);

/** @param {number} timeMs Unix milliseconds */
export const dateAndTime = (timeMs) => dateAndClock.format(timeMs);

/** `rolled_back` -> `rolled back`. @param {string} name */
export const words = (name) => name.replaceAll('_', ' ').toLowerCase();
