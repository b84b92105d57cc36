import { randomFillSync } from 'node:crypto';

/** Fills all of `target` with random bytes. Cannot fail. */
export type RandomSource = (target: Uint8Array) => void;

/** The operating system's generator. */
export const systemRandom: RandomSource = (target) => {
  randomFillSync(target);
};
