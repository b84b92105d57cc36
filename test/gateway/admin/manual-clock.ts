// A clock that a test moves.

import type { Clock, Timer } from '../../../src/base/clock.js';

export class ManualClock implements Clock {
  #nowMs = 1000;
  readonly #planned: { atMs: number; callback: () => void }[] = [];

  now(): number {
    return this.#nowMs;
  }

  wallNow(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const call = { atMs: this.#nowMs + delayMs, callback };
    this.#planned.push(call);
    return { clear: () => void this.#remove(call) };
  }

  /** Lets time pass, and runs what was planned for it. */
  advance(byMs: number): void {
    const endMs = this.#nowMs + byMs;
    for (;;) {
      const next = this.#planned.toSorted((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#remove(next);
      this.#nowMs = next.atMs;
      next.callback();
    }
    this.#nowMs = endMs;
  }

  #remove(call: { atMs: number; callback: () => void }): void {
    const index = this.#planned.indexOf(call);
    if (index >= 0) this.#planned.splice(index, 1);
  }
}
