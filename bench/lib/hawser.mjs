// The package under measurement as it is built in this tree, and what all programs agree on.
import { reliable, unreliable } from '../../dist/index.js';

export { Client, reliable, Server, unreliable } from '../../dist/index.js';
export {
  createNetcodeTokenMinter,
  createTokenMinter,
  formatKey,
  generateKey,
  parseKey,
} from '../../dist/token/index.js';

export const protocolId = 0x6265_6e63_68n;

/**
 * Options of `Server.listen` that say who does the input and output. They come from the environment, so that the same rows can be
 * measured with each: HAWSER_BENCH_DRIVER (`loop` or `threads`), HAWSER_BENCH_THREADS (how many) and HAWSER_BENCH_SPIN_MICROS (how
 * long a thread looks for work before it sleeps). What is not set stays at its default.
 *
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {DriverOptions}
 */
export function driverOptions(
  {
    HAWSER_BENCH_DRIVER: driver,
    HAWSER_BENCH_THREADS: threads,
    HAWSER_BENCH_SPIN_MICROS: spinMicros,
  } = process.env,
) {
  return {
    ...(driver === undefined ? {} : { driver: /** @type {'loop' | 'threads'} */ (driver) }),
    ...(threads === undefined ? {} : { threads: Number(threads) }),
    ...(spinMicros === undefined ? {} : { spinMicros: Number(spinMicros) }),
  };
}

/**
 * Likewise those of `Client.open`: a client has one thread.
 *
 * @param {NodeJS.ProcessEnv} [environment]
 * @returns {Omit<DriverOptions, 'threads'>}
 */
export function clientDriverOptions(environment) {
  const { threads: _, ...options } = driverOptions(environment);
  return options;
}

/**
 * @param {DriverOptions} options
 * @returns {string} for people; empty where nothing is set
 */
export function driverText({ driver, threads, spinMicros }) {
  const parts = [
    ...(driver === undefined ? [] : [`driver ${driver}`]),
    ...(threads === undefined ? [] : [`threads ${threads}`]),
    ...(spinMicros === undefined ? [] : [`spin ${spinMicros} µs`]),
  ];
  return parts.join(', ');
}

/**
 * @typedef {object} DriverOptions
 * @property {'loop' | 'threads'} [driver]
 * @property {number} [threads]
 * @property {number} [spinMicros]
 */

/** What both sides of the rows with many peers declare. */
export const channels = { data: reliable(), moves: unreliable() };
