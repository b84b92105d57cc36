// The last things of a kind that ended.

/** Keeps the newest, and forgets the oldest beyond a number. */
export class EndedList<T> {
  readonly #entries: T[] = [];
  readonly #most: number;

  constructor(most: number) {
    this.#most = most;
  }

  add(entry: T): void {
    this.#entries.push(entry);
    if (this.#entries.length > this.#most) this.#entries.shift();
  }

  /** The newest last. */
  all(): readonly T[] {
    return [...this.#entries];
  }
}
