// Long work on the event loop, in pieces.

import type { Clock } from './clock.js';

/** Shares turns of the event loop among those who work long: one of them at a time, and no longer than a slice. */
export class Turns {
  readonly #clock: Clock;
  readonly #sliceMs: number;
  #beganMs: number;
  readonly #waiting: (() => void)[] = [];

  constructor(clock: Clock, sliceMs: number) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
    this.#beganMs = clock.now();
  }

  /** Whether whoever has the turn has had its slice: then it waits for `next`. */
  get over(): boolean {
    return this.#clock.now() - this.#beganMs >= this.#sliceMs;
  }

  /** Resolves in a later turn, in the order of the calls, for one at a time. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) this.#plan();
    });
  }

  #plan(): void {
    setImmediate(() => {
      this.#beganMs = this.#clock.now();
      this.#waiting.shift()?.();
      if (this.#waiting.length > 0) this.#plan();
    });
  }
}
