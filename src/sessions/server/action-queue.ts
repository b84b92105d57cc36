// What happens to the sessions of a server happens one action after the other, in the order in which it came: messages, clean-ups, and what
// the store has answered.

import type { Clock } from '../../base/clock.js';
import { Fifo } from '../../base/fifo.js';

/** So long a turn of the event loop may be used. */
export const sliceMs = 5;

/**
 * The serial queue of a server (source document, "Periodic Session Cleanup": "unified action stream"). An action runs after `enqueue` has
 * returned, in the same turn of the event loop unless there is more to do than one turn is for.
 */
export class ActionQueue {
  readonly #clock: Clock;
  readonly #failed: (error: unknown) => void;
  readonly #waiting = new Fifo<() => void>();
  #planned = false;
  #beganMs = 0;

  /** @param failed told what an action throws; the next ones run all the same. */
  constructor(clock: Clock, failed: (error: unknown) => void) {
    this.#clock = clock;
    this.#failed = failed;
  }

  /** The actions that wait. */
  get size(): number {
    return this.#waiting.size;
  }

  /** Whether the action that runs has had the time of a turn: one that can stop then enqueues the rest of its work. */
  get isSliceOver(): boolean {
    return this.#clock.now() - this.#beganMs >= sliceMs;
  }

  enqueue(run: () => void): void {
    this.#waiting.push(run);
    if (this.#planned) return;
    this.#planned = true;
    queueMicrotask(this.#drain);
  }

  readonly #drain = (): void => {
    this.#beganMs = this.#clock.now();
    for (let run = this.#waiting.shift(); run !== undefined; run = this.#waiting.shift()) {
      try {
        run();
      } catch (error) {
        this.#failed(error);
      }
      if (this.size > 0 && this.isSliceOver) {
        setImmediate(this.#drain);
        return;
      }
    }
    this.#planned = false;
  };
}
