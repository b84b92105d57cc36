// Counts observations in ranges.

import type { Distribution } from '../snapshot.js';

/** @param bounds ascending. @returns how many are at most each of them and above the one before, and above all. */
export function distributionOf(bounds: readonly number[], values: Iterable<number>): Distribution {
  const counts = new Array<number>(bounds.length + 1).fill(0);
  for (const value of values) {
    let at = 0;
    while (at < bounds.length && value > (bounds[at] ?? 0)) ++at;
    counts[at] = (counts[at] ?? 0) + 1;
  }
  return { bounds, counts };
}
