// Time that moves only when the simulated network runs.

import type { Clock, Timer } from '../base/clock.js';

interface PlannedCall {
  readonly atMs: number;
  /** Calls planned for the same instant run in the order in which they were planned. */
  readonly order: number;
  readonly callback: () => void;
}

/** The clock of a simulated network. Made by it; read it, and plan calls on it. */
export class VirtualClock implements Clock {
  readonly #nowMs: () => number;
  readonly #startWallMs: number;
  /** In the order of time. */
  readonly #planned: PlannedCall[] = [];
  #order = 0;

  /**
   * @param nowMs milliseconds since the start of the network.
   * @param startWallMs Unix milliseconds at the start.
   */
  constructor(nowMs: () => number, startWallMs: number) {
    this.#nowMs = nowMs;
    this.#startWallMs = startWallMs;
  }

  now(): number {
    return this.#nowMs();
  }

  wallNow(): number {
    return this.#startWallMs + this.#nowMs();
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const call = { atMs: this.#nowMs() + Math.max(0, delayMs), order: this.#order++, callback };
    const later = this.#planned.findIndex((each) => each.atMs > call.atMs);
    this.#planned.splice(later < 0 ? this.#planned.length : later, 0, call);
    return {
      clear: () => {
        const index = this.#planned.indexOf(call);
        if (index >= 0) this.#planned.splice(index, 1);
      },
    };
  }

  /** Resolves after a time; the network has to run meanwhile. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.setTimeout(resolve, delayMs);
    });
  }

  /** When the next call is due, in milliseconds of `now`; Infinity when none is planned. */
  get nextDueMs(): number {
    return this.#planned[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** Makes the calls that are due. @returns how many. For the network only. */
  runDue(): number {
    let count = 0;
    // A call that plans another for now does not hold up the network: that one runs in the next round.
    const last = this.#order;
    for (;;) {
      const next = this.#planned[0];
      if (next === undefined || next.atMs > this.#nowMs() || next.order >= last) return count;
      this.#planned.shift();
      ++count;
      next.callback();
    }
  }
}
