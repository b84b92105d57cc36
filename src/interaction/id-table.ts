// What waits under ids that ascend: a place for each in an array, by the last digits of its id.
//
// A Map would do. But ids come and go, so that it makes itself anew again and again, and V8 links each of its old tables to the next: one
// that has grown old keeps all later ones alive until a full collection. That took half of the time that a request takes here.

/** What a table holds. */
export interface Numbered {
  /** 1 to 4,294,967,295, and never changed. */
  readonly messageId: number;
}

const leastPlaces = 16;

/** Values by their ids. Two whose ids are equal in their last digits have one place: of these it holds one, or grows. */
export class IdTable<T extends Numbered> {
  /** How many places it may have. */
  readonly #mostPlaces: number;
  /** None before the first id: of many connections only one side ever asks. */
  #places: (T | undefined)[] = [];
  #size = 0;

  /** @param mostValues how many it is to hold, 1 to 1,048,576. */
  constructor(mostValues: number) {
    // Twice as many places, so that a free one is never far.
    this.#mostPlaces = Math.max(leastPlaces, 2 ** Math.ceil(Math.log2(2 * mostValues)));
  }

  get size(): number {
    return this.#size;
  }

  get(messageId: number): T | undefined {
    const found = this.#places[this.#placeOf(messageId)];
    return found?.messageId === messageId ? found : undefined;
  }

  /** Whether there is a place for a value with that id. When there is none the next id may have one. */
  makePlace(messageId: number): boolean {
    if (this.#places.length === 0) this.#places = emptyPlaces(leastPlaces);
    while (this.#places[this.#placeOf(messageId)] !== undefined) {
      if (this.#places.length === this.#mostPlaces || this.get(messageId) !== undefined) return false;
      this.#grow();
    }
    return true;
  }

  /** @param value one for whose id there is a place. */
  add(value: T): void {
    this.#places[this.#placeOf(value.messageId)] = value;
    ++this.#size;
  }

  /** @returns false when it is not there. */
  delete(value: T): boolean {
    const place = this.#placeOf(value.messageId);
    if (this.#places[place] !== value) return false;
    this.#places[place] = undefined;
    --this.#size;
    return true;
  }

  /** All that are there, in no order. */
  values(): T[] {
    return this.#places.filter((value) => value !== undefined);
  }

  #placeOf(messageId: number): number {
    return messageId & (this.#places.length - 1);
  }

  #grow(): void {
    const values = this.values();
    // Ids with different last digits have them in a longer table, too.
    this.#places = emptyPlaces(2 * this.#places.length);
    for (const value of values) this.#places[this.#placeOf(value.messageId)] = value;
  }
}

/** No holes: they would make it slow. */
function emptyPlaces<T>(count: number): (T | undefined)[] {
  return Array.from({ length: count }, () => undefined);
}
