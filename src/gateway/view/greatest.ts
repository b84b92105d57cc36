// A page of a list in descending order of a number, without sorting the whole list.

/**
 * Returns the indices of the values that a page shows: the greatest first, equal ones in the order in which they are. Sorts the numbers
 * alone, which takes a fraction of the time of a sort with a comparison function, and then the indices between the bounds of the page.
 *
 * @param values any numbers but NaN. @param offset how many to leave out at the beginning. @param limit how many to return at most.
 */
export function greatest(values: Float64Array, offset: number, limit: number): number[] {
  const ascending = values.slice().sort();
  const last = ascending.length - 1 - offset;
  if (last < 0) return [];
  const most = ascending[last] ?? 0;
  const least = ascending[Math.max(0, last - limit + 1)] ?? 0;
  const near: number[] = [];
  let above = 0;
  values.forEach((value, index) => {
    if (value > most) ++above;
    else if (value >= least) near.push(index);
  });
  near.sort((a, b) => (values[b] ?? 0) - (values[a] ?? 0));
  return near.slice(offset - above, offset - above + limit);
}
