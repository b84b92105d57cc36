/** Objects by the handles of the addon: a slot, reused, and a generation that tells its users apart. */
export class SlotTable<T> implements Iterable<T> {
  readonly #objects: (T | undefined)[] = [];
  readonly #generations: number[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  at(slot: number, generation: number): T | undefined {
    return this.#generations[slot] === generation ? this.#objects[slot] : undefined;
  }

  /** @returns what held the slot before and was never deleted. */
  put(slot: number, generation: number, object: T): T | undefined {
    // Holes would make the arrays slow.
    while (this.#objects.length <= slot) {
      this.#objects.push(undefined);
      this.#generations.push(0);
    }
    const before = this.#objects[slot];
    if (before === undefined) ++this.#size;
    this.#objects[slot] = object;
    this.#generations[slot] = generation;
    return before;
  }

  delete(slot: number, generation: number): void {
    if (this.at(slot, generation) === undefined) return;
    this.#objects[slot] = undefined;
    --this.#size;
  }

  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (const object of this.#objects) if (object !== undefined) yield object;
  }
}
