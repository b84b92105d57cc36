// A queue that may become long.

/** Compacted at so many items that have gone, if they are as many as those that are left. */
const compactAt = 1024;

/** First in, first out. To take an item costs the same however many wait: `Array.prototype.shift` moves all of a long array. */
export class Fifo<T extends object> {
  #items: T[] = [];
  /** What is before this has gone. */
  #head = 0;

  get size(): number {
    return this.#items.length - this.#head;
  }

  /** The one that came first; undefined when there is none. */
  get first(): T | undefined {
    return this.#items[this.#head];
  }

  push(item: T): void {
    this.#items.push(item);
  }

  /** Takes the one that came first. */
  shift(): T | undefined {
    const { first } = this;
    if (first === undefined) return undefined;
    ++this.#head;
    const isEmpty = this.size === 0;
    if (isEmpty || (this.#head >= compactAt && this.#head >= this.size)) {
      this.#items = isEmpty ? [] : this.#items.slice(this.#head);
      this.#head = 0;
    }
    return first;
  }
}
