// When a master rotates by itself.

import { Backoff } from '../../base/backoff.js';
import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';

/** By this part of the interval a rotation may begin earlier, so that those of many peers do not begin together. */
const jitter = 0.1;

/** How long after the first failure it is tried again; arnika's figures, as is half an interval for the longest. */
const firstRetryMs = 100;

export class RotationSchedule {
  readonly #intervalMs: number;
  readonly #wheel: TimingWheel;
  readonly #random: Random;
  readonly #timer: WheelTimer;
  readonly #backoff: Backoff;

  /** @param begin begins a rotation, whose end `succeeded` or `failed` tells. */
  constructor(intervalMs: number, wheel: TimingWheel, random: Random, begin: () => void) {
    this.#intervalMs = intervalMs;
    this.#wheel = wheel;
    this.#random = random;
    this.#timer = new WheelTimer(begin);
    const initialMs = Math.min(firstRetryMs, intervalMs);
    this.#backoff = new Backoff({ initialMs, maxMs: Math.max(initialMs, intervalMs / 2) }, random);
  }

  /** In how many milliseconds the next rotation begins; undefined when none is planned. */
  get delayMs(): number | undefined {
    if (!this.#timer.armed) return undefined;
    return Math.max(0, this.#timer.deadlineMs - this.#wheel.clock.now());
  }

  /** @param ageMs of the key in production; undefined when there is none: then it is high time. */
  start(ageMs: number | undefined): void {
    const usualMs = this.#nextMs();
    // Neighbours that are started together, as after a power failure, do not all begin at once.
    const spreadMs = this.#random() * Math.min(1000, this.#intervalMs * jitter);
    this.#plan(ageMs === undefined ? spreadMs : Math.max(spreadMs, usualMs - Math.max(0, ageMs)));
  }

  /** A rotation is through, whoever asked for it. */
  succeeded(): void {
    this.#backoff.reset();
    this.#plan(this.#nextMs());
  }

  failed(): void {
    this.#plan(this.#backoff.next());
  }

  close(): void {
    this.#wheel.cancel(this.#timer);
  }

  #nextMs(): number {
    return this.#intervalMs * (1 - this.#random() * jitter);
  }

  #plan(delayMs: number): void {
    this.#wheel.schedule(this.#timer, this.#wheel.clock.now() + delayMs);
  }
}
