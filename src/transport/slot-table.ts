import { handleKey } from './native.js';

const chunkBits = 6;
const placeMask = (1 << chunkBits) - 1;

/**
 * Slots of a chunk: as many as have been used. The first is always there: an array that grows from nothing takes room for 17 elements, and
 * the client of `connect` has one connection.
 */
class Chunk<T> {
  readonly objects: (T | undefined)[] = [undefined];
  readonly generations: number[] = [0];

  /** Makes the chunk reach to a place. Holes would make the arrays slow. */
  reach(place: number): void {
    while (this.objects.length <= place) {
      this.objects.push(undefined);
      this.generations.push(0);
    }
  }
}

/**
 * Objects by the handles of the addon: a slot, reused, and a generation that tells its users apart. Ranges of slots that nobody uses
 * cost next to nothing.
 *
 * A slot may have another user before the end of the last one has been told: a client that connects takes what the addon has just freed,
 * while the event of the end is still on its way. Both are found until they are deleted.
 */
export class SlotTable<T> implements Iterable<T> {
  /** With room for one at first, as in a chunk. */
  readonly #chunks: (Chunk<T> | undefined)[] = [undefined];
  /** Whose slots have newer users, by `handleKey`; undefined until there is one. */
  #earlier: Map<number, T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  at(slot: number, generation: number): T | undefined {
    const chunk = this.#chunks[slot >>> chunkBits];
    const place = slot & placeMask;
    if (chunk?.generations[place] === generation) return chunk.objects[place];
    return this.#earlier?.get(handleKey(slot, generation));
  }

  put(slot: number, generation: number, object: T): void {
    const chunk = this.#chunkOf(slot >>> chunkBits);
    const place = slot & placeMask;
    chunk.reach(place);
    const before = chunk.objects[place];
    if (before !== undefined) {
      this.#earlier ??= new Map();
      this.#earlier.set(handleKey(slot, chunk.generations[place] ?? 0), before);
    }
    chunk.objects[place] = object;
    chunk.generations[place] = generation;
    ++this.#size;
  }

  delete(slot: number, generation: number): void {
    if (this.at(slot, generation) === undefined) return;
    --this.#size;
    if (this.#earlier?.delete(handleKey(slot, generation))) return;
    this.#chunkOf(slot >>> chunkBits).objects[slot & placeMask] = undefined;
  }

  *[Symbol.iterator](): Generator<T, void, undefined> {
    if (this.#earlier !== undefined) yield* this.#earlier.values();
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
