// Work that begins in an order and whose parts may overlap.

/**
 * Begins one run after the other, in the order of the items, at most `limit` of them at a time. It resolves when all have ended.
 *
 * @param run must not reject: what goes wrong is for it to handle.
 */
export async function inOrder<T>(
  items: Iterable<T>,
  limit: number,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const rest = items[Symbol.iterator]();
  const work = async (): Promise<void> => {
    for (let item = rest.next(); !item.done; item = rest.next()) await run(item.value);
  };
  await Promise.all(Array.from({ length: limit }, work));
}
