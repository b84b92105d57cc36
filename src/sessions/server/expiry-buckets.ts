// What is to be looked at when its time has come, in buckets of a second: a clean-up costs as much as is due, however much there is.

import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { cleanupIntervalMs } from './options.js';

/**
 * Items by the second after which they are to be looked at. A deadline that moves back may be told at once, so that a sweep is about nothing but
 * what is due, or by whoever looks at the item too early (lazy re-insertion).
 */
export class ExpiryBuckets<T> {
  readonly #wheel: TimingWheel;
  readonly #timer: WheelTimer;
  /** By the number of the second at whose beginning they are due, on the clock of the wheel. */
  readonly #buckets = new Map<number, Set<T>>();
  readonly #places = new Map<T, number>();
  /** The time of a bucket has come, and what is due has not been swept to its end: the timer rests. */
  #isDue = false;

  /**
   * @param due called when the time of a bucket has come, so many milliseconds late: `sweep` is to be called then, at once or later. Not called
   *   again before a sweep has come to the end of what is due.
   */
  constructor(wheel: TimingWheel, due: (lateMs: number) => void) {
    this.#wheel = wheel;
    this.#timer = new WheelTimer(() => {
      const lateMs = wheel.clock.now() - this.#firstMs();
      // What it was set for has moved back since.
      if (lateMs < 0) this.#arm();
      else {
        this.#isDue = true;
        due(lateMs);
      }
    });
  }

  /** How many items there are. */
  get size(): number {
    return this.#places.size;
  }

  /**
   * Adds an item, or moves it: it is due at the first second of the clock that is later than its deadline (never at the deadline itself).
   *
   * @param deadlineMs milliseconds of the clock of the wheel.
   */
  schedule(item: T, deadlineMs: number): void {
    const second = secondAfter(deadlineMs);
    if (this.#places.get(item) === second) return;
    this.delete(item);
    this.#insert(item, second);
    const atMs = second * cleanupIntervalMs;
    if (!this.#isDue && atMs < this.#timer.deadlineMs) this.#wheel.schedule(this.#timer, atMs);
  }

  /** @returns whether it was there. */
  delete(item: T): boolean {
    const second = this.#places.get(item);
    if (second === undefined) return false;
    this.#places.delete(item);
    const bucket = this.#buckets.get(second);
    bucket?.delete(item);
    if (bucket?.size === 0) this.#buckets.delete(second);
    return true;
  }

  clear(): void {
    this.#buckets.clear();
    this.#places.clear();
    this.#wheel.cancel(this.#timer);
    this.#isDue = false;
  }

  /**
   * Looks at what is due.
   *
   * @param isOver asked after each item: whether enough has been done for now.
   * @param look @returns the deadline after which to look at the item again, in a later second; undefined: never.
   * @returns whether something due is left: then it is to be called again.
   */
  sweep(isOver: () => boolean, look: (item: T) => number | undefined): boolean {
    this.#isDue = true;
    for (;;) {
      const now = Math.floor(this.#wheel.clock.now() / cleanupIntervalMs);
      const second = this.#firstSecond();
      if (second > now) break;
      for (const item of this.#buckets.get(second) ?? []) {
        this.delete(item);
        const deadlineMs = look(item);
        // What is looked at twice in a sweep would hold it up for ever.
        if (deadlineMs !== undefined) this.#insert(item, Math.max(secondAfter(deadlineMs), now + 1));
        if (isOver() && this.#firstSecond() <= now) return true;
      }
    }
    this.#isDue = false;
    this.#arm();
    return false;
  }

  #arm(): void {
    const firstMs = this.#firstMs();
    if (Number.isFinite(firstMs)) this.#wheel.schedule(this.#timer, firstMs);
  }

  #insert(item: T, second: number): void {
    const bucket = this.#buckets.get(second) ?? new Set();
    this.#buckets.set(second, bucket.add(item));
    this.#places.set(item, second);
  }

  /** When the first bucket is due; Infinity without any. */
  #firstMs(): number {
    return this.#firstSecond() * cleanupIntervalMs;
  }

  /** Of the bucket that is due first; Infinity without any. They are as many as a timeout has seconds. */
  #firstSecond(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const second of this.#buckets.keys()) if (second < first) first = second;
    return first;
  }
}

/** The number of the first second that begins after an instant. */
function secondAfter(atMs: number): number {
  return Math.floor(atMs / cleanupIntervalMs) + 1;
}
