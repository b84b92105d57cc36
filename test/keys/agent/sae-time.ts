// Time for several SAEs: one truth, and for each of them a clock of its machine, which may be wrong.

import type { Clock, Timer } from '../../../src/base/clock.js';
import { VirtualClock } from '../../../src/testing/virtual-clock.js';

const startWallMs = 1_700_000_000_000;

/** The clock of one machine. */
export class MachineClock implements Clock {
  readonly #true: VirtualClock;
  readonly #originMs: number;
  /** By how much its wall clock is ahead. */
  aheadMs: number;

  constructor(trueClock: VirtualClock, originMs: number, aheadMs: number) {
    this.#true = trueClock;
    this.#originMs = originMs;
    this.aheadMs = aheadMs;
  }

  now(): number {
    return this.#true.now() + this.#originMs;
  }

  wallNow(): number {
    return this.#true.wallNow() + this.aheadMs;
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    return this.#true.setTimeout(callback, delayMs);
  }
}

export class SaeTime {
  /** Since the beginning. */
  nowMs = 0;
  readonly clock: VirtualClock = new VirtualClock(() => this.nowMs, startWallMs);
  /** Called whenever nothing is left to be done at an instant. */
  onSettled: () => void = () => undefined;
  #machines = 0;

  machine(aheadMs = 0): MachineClock {
    return new MachineClock(this.clock, ++this.#machines * 12_345.25, aheadMs);
  }

  /** Lets time pass, and all that happens meanwhile. */
  async pass(durationMs: number): Promise<void> {
    const untilMs = this.nowMs + durationMs;
    await settle();
    while (this.clock.nextDueMs <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.clock.nextDueMs);
      this.clock.runDue();
      await settle();
      this.onSettled();
    }
    this.nowMs = untilMs;
    await settle();
  }

  /** Lets time pass until a call is over. */
  async finish<T>(call: Promise<T>, limitMs = 10_000_000): Promise<T> {
    const untilMs = this.nowMs + limitMs;
    let over = false;
    const end = (): void => {
      over = true;
    };
    call.then(end, end);
    await settle();
    for (let idle = 0; !over; ) {
      const dueMs = this.clock.nextDueMs;
      if (dueMs <= untilMs) await this.pass(Math.max(0, dueMs - this.nowMs));
      else {
        await settle();
        if (++idle > 100) throw new Error(`the call is not over after ${limitMs} ms, and nothing happens`);
      }
    }
    return call;
  }
}

/** Once everything has run that promises and turns have planned. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; ++turn) {
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
}
