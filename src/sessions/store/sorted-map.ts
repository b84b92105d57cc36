// A map in the order of its keys.

/** So many entries lie in one block at most: what is moved when one comes or goes. */
const maxBlock = 128;

interface Block<V> {
  readonly keys: string[];
  readonly values: V[];
}

/**
 * A map whose keys lie in the order of their code units. Sorted blocks in a sorted list: to find a key takes two binary searches, and to add or
 * remove one moves part of a block; a block is added or removed once in dozens of changes.
 */
export class SortedMap<V> {
  readonly #blocks: Block<V>[] = [{ keys: [], values: [] }];

  get(key: string): V | undefined {
    const block = this.#blocks[this.#blockOf(key)];
    const at = block === undefined ? 0 : lowerBound(block.keys, key);
    return block?.keys[at] === key ? block.values[at] : undefined;
  }

  set(key: string, value: V): void {
    const number = this.#blockOf(key);
    const block = this.#blocks[number];
    if (block === undefined) return;
    const at = lowerBound(block.keys, key);
    if (block.keys[at] === key) {
      block.values[at] = value;
      return;
    }
    block.keys.splice(at, 0, key);
    block.values.splice(at, 0, value);
    if (block.keys.length <= maxBlock) return;
    // Keys that come in their order leave full blocks behind them.
    const half = at === maxBlock ? maxBlock : maxBlock / 2;
    this.#blocks.splice(number + 1, 0, { keys: block.keys.splice(half), values: block.values.splice(half) });
  }

  delete(key: string): void {
    const number = this.#blockOf(key);
    const block = this.#blocks[number];
    if (block === undefined) return;
    const at = lowerBound(block.keys, key);
    if (block.keys[at] !== key) return;
    block.keys.splice(at, 1);
    block.values.splice(at, 1);
    if (block.keys.length === 0 && this.#blocks.length > 1) this.#blocks.splice(number, 1);
  }

  /** The values of the keys from `from` to before `to`, at most `limit` of them. */
  range(from: string, to: string, limit: number = Number.POSITIVE_INFINITY): V[] {
    const found: V[] = [];
    for (let number = this.#blockOf(from); number < this.#blocks.length; ++number) {
      const block = this.#blocks[number];
      if (block === undefined) break;
      const first = lowerBound(block.keys, from);
      const end = Math.min(lowerBound(block.keys, to), first + limit - found.length);
      for (const value of block.values.slice(first, end)) found.push(value);
      if (end < block.keys.length) break;
    }
    return found;
  }

  /** The last block that begins at the key or before it; the first one when none does. */
  #blockOf(key: string): number {
    let low = 0;
    let high = this.#blocks.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if ((this.#blocks[middle]?.keys[0] ?? '') <= key) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** The first place whose key is not before `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
