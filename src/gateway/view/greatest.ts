// A page of a list in descending order of a number, without sorting the whole list.

/**
 * Returns the indices of the values that a page shows: the greatest first, equal ones in the order in which they are. Takes time in
 * proportion to the number of values: it finds the bounds of the page, and sorts only what lies between them.
 *
 * @param values any numbers but NaN. @param offset how many to leave out at the beginning. @param limit how many to return at most.
 */
export function greatest(values: Float64Array, offset: number, limit: number): number[] {
  if (offset >= values.length) return [];
  const parted = values.slice();
  const most = ofRank(parted, offset);
  const least = ofRank(parted, Math.min(offset + limit, values.length) - 1);
  const near: number[] = [];
  let above = 0;
  values.forEach((value, index) => {
    if (value > most) ++above;
    else if (value >= least) near.push(index);
  });
  near.sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0));
  return near.slice(offset - above, offset - above + limit);
}

/**
 * Finds the value of a rank: 0 is the greatest. Quickselect; the pivots are random, so that no figures that peers choose make it slow.
 *
 * @param values are put into another order. @param rank below their number.
 */
function ofRank(values: Float64Array, rank: number): number {
  let first = 0;
  let last = values.length - 1;
  while (first < last) {
    const pivot = values[first + Math.floor(Math.random() * (last - first + 1))] ?? 0;
    let left = first;
    let right = last;
    while (left <= right) {
      while ((values[left] ?? 0) > pivot) ++left;
      while ((values[right] ?? 0) < pivot) --right;
      if (left > right) break;
      const value = values[left] ?? 0;
      values[left++] = values[right] ?? 0;
      values[right--] = value;
    }
    if (rank <= right) last = right;
    else if (rank >= left) first = left;
    else break;
  }
  return values[rank] ?? 0;
}
