// Few, so that whoever holds one object holds little more.
const chunkBits = 6;
const chunkSlots = 1 << chunkBits;
const placeMask = chunkSlots - 1;

class Chunk<T> {
  readonly objects: (T | undefined)[] = Array.from({ length: chunkSlots }, () => undefined);
  readonly generations: number[] = Array.from({ length: chunkSlots }, () => 0);
}

/**
 * Objects by the handles of the addon: a slot, reused, and a generation that tells its users apart. Ranges of slots that nobody uses
 * cost next to nothing.
 */
export class SlotTable<T> implements Iterable<T> {
  readonly #chunks: (Chunk<T> | undefined)[] = [];
  #size = 0;

  get size(): number {
    return this.#size;
  }

  at(slot: number, generation: number): T | undefined {
    const chunk = this.#chunks[slot >>> chunkBits];
    const place = slot & placeMask;
    return chunk?.generations[place] === generation ? chunk.objects[place] : undefined;
  }

  /** @returns what held the slot before and was never deleted. */
  put(slot: number, generation: number, object: T): T | undefined {
    const chunk = this.#chunkOf(slot >>> chunkBits);
    const place = slot & placeMask;
    const before = chunk.objects[place];
    if (before === undefined) ++this.#size;
    chunk.objects[place] = object;
    chunk.generations[place] = generation;
    return before;
  }

  delete(slot: number, generation: number): void {
    if (this.at(slot, generation) === undefined) return;
    const chunk = this.#chunkOf(slot >>> chunkBits);
    chunk.objects[slot & placeMask] = undefined;
    --this.#size;
  }

  *[Symbol.iterator](): Generator<T, void, undefined> {
    for (const chunk of this.#chunks) {
      if (chunk === undefined) continue;
      for (const object of chunk.objects) if (object !== undefined) yield object;
    }
  }

  #chunkOf(index: number): Chunk<T> {
    // Holes would make the array slow.
    while (this.#chunks.length <= index) this.#chunks.push(undefined);
    this.#chunks[index] ??= new Chunk();
    return this.#chunks[index];
  }
}
