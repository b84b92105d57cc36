// The generations of an agent's sessions that send no snapshot: those of its queue, and without one those of the time of day.

import type { SyncQueue } from '../queue/queue.js';
import { firstGeneration } from '../queue/rows.js';

export class Generations {
  readonly #queue: SyncQueue | undefined;
  readonly #wallNow: () => number;
  /** Without a queue. */
  #last = 0n;

  /** @param wallNow the time of day, in milliseconds since 1970. */
  constructor(queue: SyncQueue | undefined, wallNow: () => number) {
    this.#queue = queue;
    this.#wallNow = wallNow;
  }

  /** One that is greater than all before. */
  async next(): Promise<bigint> {
    if (this.#queue !== undefined) return this.#queue.nextGeneration();
    const first = firstGeneration(this.#wallNow());
    this.#last = first > this.#last ? first : this.#last + 1n;
    return this.#last;
  }

  /** The manager has seen that one: all later ones are greater. */
  async raise(least: bigint): Promise<void> {
    if (this.#queue !== undefined) await this.#queue.raiseGeneration(least);
    else if (least > this.#last) this.#last = least;
  }
}
