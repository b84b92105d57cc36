import { expect, test } from 'vitest';
import { greatest } from '../../../src/gateway/view/greatest.js';

/** A generator of numbers from 0 to 1, the same for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

test('a page is what a stable sort of the whole list has there, ties included', () => {
  for (let seed = 1; seed <= 300; ++seed) {
    const random = randomOf(seed);
    const length = Math.floor(random() * 40);
    const different = 1 + Math.floor(random() * 10);
    const values = Float64Array.from({ length }, () => Math.floor(random() * different) - 2);
    const sorted = [...values.keys()].sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0));
    for (const [offset, limit] of [
      [0, 1],
      [0, 50],
      [Math.floor(random() * 45), 1 + Math.floor(random() * 10)],
    ] as const) {
      expect(greatest(values, offset, limit), `seed ${seed}`).toEqual(sorted.slice(offset, offset + limit));
    }
  }
});
