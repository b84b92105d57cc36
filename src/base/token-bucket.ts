// A rate with bursts: tokens come at an even pace, are kept up to a limit, and are taken by whoever does something.

import { checkNumber } from './check.js';

const maxRate = 1e9;
const maxBurst = 1e9;

/** Two instants that differ by no more than this in tokens are one: sums of fractions are not exact. */
const tolerance = 1e-6;

/** Counts tokens by a clock that its user reads. It is full at first. */
export class TokenBucket {
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #atMs: number;

  /**
   * @param ratePerSecond tokens that come in a second, more than 0, at most 1,000,000,000.
   * @param burst how many it holds at most, 1 to 1,000,000,000.
   * @param nowMs milliseconds of a monotonic clock, which those given to the methods go on from.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  constructor(ratePerSecond: number, burst: number, nowMs: number) {
    this.#perMs = checkNumber('ratePerSecond', ratePerSecond, Number.MIN_VALUE, maxRate) / 1000;
    this.#burst = checkNumber('burst', burst, 1, maxBurst);
    this.#tokens = burst;
    this.#atMs = nowMs;
  }

  /** How many whole tokens there are. */
  available(nowMs: number): number {
    this.#fill(nowMs);
    return Math.floor(this.#tokens + tolerance);
  }

  /** @returns whether there were so many; if not, none is taken. */
  take(count: number, nowMs: number): boolean {
    if (count > this.available(nowMs)) return false;
    this.#tokens -= count;
    return true;
  }

  /** In how many milliseconds there will be so many: 0 when there are; never more than `burst` are waited for. */
  delayMs(count: number, nowMs: number): number {
    const lacking = Math.min(count, this.#burst) - this.available(nowMs);
    if (lacking <= 0) return 0;
    return (Math.min(count, this.#burst) - this.#tokens) / this.#perMs;
  }

  /** How many tokens come in a time, rounded down, but at least one and never more than `burst`. */
  portion(timeMs: number): number {
    return Math.min(this.#burst, Math.max(1, Math.floor(timeMs * this.#perMs)));
  }

  #fill(nowMs: number): void {
    // A clock that steps back takes nothing away.
    if (nowMs <= this.#atMs) return;
    this.#tokens = Math.min(this.#burst, this.#tokens + (nowMs - this.#atMs) * this.#perMs);
    this.#atMs = nowMs;
  }
}
