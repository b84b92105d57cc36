// How much may be under way at a time.

import { Fifo } from './fifo.js';

/** Lets work begin, in the order of the calls, as long as not too much of it is under way. */
export class Allowance {
  readonly #most: number;
  #left: number;
  readonly #waiting = new Fifo<{ readonly amount: number; readonly begin: () => void }>();

  /** @param most more than 0. */
  constructor(most: number) {
    this.#most = most;
    this.#left = most;
  }

  /**
   * @param amount how much the work is; what is more than all that is allowed runs alone.
   * @returns what `work` returns.
   */
  async spend<T>(amount: number, work: () => Promise<T>): Promise<T> {
    const taken = Math.min(amount, this.#most);
    await new Promise<void>((begin) => {
      this.#waiting.push({ amount: taken, begin });
      this.#beginNext();
    });
    try {
      return await work();
    } finally {
      this.#left += taken;
      this.#beginNext();
    }
  }

  #beginNext(): void {
    for (
      let next = this.#waiting.first;
      next !== undefined && next.amount <= this.#left;
      next = this.#waiting.first
    ) {
      this.#waiting.shift();
      this.#left -= next.amount;
      next.begin();
    }
  }
}
