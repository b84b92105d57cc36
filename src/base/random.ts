// Chance as an argument: whatever draws takes a Random, so that tests and simulations repeat exactly.

import { checkInteger } from './check.js';

/** Draws a number of at least 0 and less than 1, all equally likely. */
export type Random = () => number;

/**
 * The generator of JavaScript itself: V8 seeds it anew in each process, so that no two draw the same, and a draw costs
 * no system call. Who sees enough of its numbers can compute the next ones: it is for jitter, never for keys, tokens
 * or ids.
 */
export const systemRandom: Random = () => Math.random();

/**
 * For tests and simulations: one seed gives one sequence, in every version of this package and of Node.js (sfc32, the
 * small fast counting generator of PractRand).
 *
 * @param seed an integer from 0 to 2^53 - 1. Neighbouring seeds give unrelated sequences.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function seededRandom(seed: number): Random {
  checkInteger('seed', seed, 0, Number.MAX_SAFE_INTEGER);
  let a = 0;
  let b = seed | 0;
  let c = Math.floor(seed / 2 ** 32) | 0;
  let counter = 1;
  const draw = (): number => {
    const drawn = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + drawn) | 0;
    return (drawn >>> 0) / 2 ** 32;
  };
  // So many rounds until every bit of the seed has reached every bit of the state.
  for (let round = 0; round < 12; ++round) draw();
  return draw;
}
