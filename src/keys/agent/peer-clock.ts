// The time of the sessions with one peer: Unix milliseconds that never jump while a session is under way.

import type { Clock } from '../../base/clock.js';

/** Less is no step of the clock. */
const stepMs = 2;

/**
 * Follows the wall clock as long as nothing is scheduled, and the monotonic clock from there on: whoever sets the clock of the machine moves
 * no rotation that was agreed upon.
 */
export class PeerClock {
  readonly #clock: Clock;
  /** The wall clock less the monotonic one. */
  #differenceMs: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#differenceMs = clock.wallNow() - clock.now();
  }

  /** Unix milliseconds, whole. */
  nowMs(): number {
    return this.unixOf(this.#clock.now());
  }

  /** When that will be, in milliseconds of the monotonic clock. */
  monotonicOf(unixMs: number): number {
    return Math.ceil(unixMs) - this.#differenceMs;
  }

  /** The reverse, whole. */
  unixOf(monotonicMs: number): number {
    return Math.floor(monotonicMs + this.#differenceMs);
  }

  /** Sets it by the wall clock. For times without a session. @returns whether that was a step. */
  anchor(): boolean {
    const differenceMs = this.#clock.wallNow() - this.#clock.now();
    if (Math.abs(differenceMs - this.#differenceMs) < stepMs) return false;
    this.#differenceMs = differenceMs;
    return true;
  }
}
