// Messages that wait for whoever iterates over them.

type Waiting<T> = (result: IteratorResult<T, undefined>) => void;

const over: IteratorReturnResult<undefined> = { done: true, value: undefined };

/** Each item goes to one iteration, in order. Iterations end when it is closed and empty. */
export class Inbox<T extends object> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  readonly #waiting: Waiting<T>[] = [];
  #closed = false;

  /** How many items wait. */
  get size(): number {
    return this.#items.length;
  }

  /** No effect once it is closed. */
  put(item: T): void {
    if (this.#closed) return;
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#items.push(item);
    else waiting({ done: false, value: item });
  }

  close(): void {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting(over);
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined> {
    return { next: () => this.#next() };
  }

  #next(): Promise<IteratorResult<T, undefined>> {
    const value = this.#items.shift();
    if (value !== undefined) return Promise.resolve({ done: false, value });
    if (this.#closed) return Promise.resolve(over);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
