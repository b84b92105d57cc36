// The time of a simulated process: it can stand still and go on, and it ends when the process is killed.

import type { Clock, Timer } from '../../src/base/clock.js';
import type { VirtualClock } from '../../src/testing/virtual-clock.js';

const startWallMs = 1_700_000_000_000;
/** From one thing that waited to the next, when the process goes on: what each one plans for its own turn runs between them. */
const turnMs = 0.001;

export class Process implements Clock {
  readonly clock: VirtualClock;
  /** Whose process it is: of one gateway or client there may be several, one after another. */
  readonly name: string;
  readonly #wallOffsetMs: number;
  readonly #timers = new Set<Timer>();
  /** What was due, and what came, while it stands still. */
  #held: { readonly due: (() => void)[]; readonly come: (() => void)[] } | undefined;
  #isAlive = true;
  #stoppedSinceMs: number = Number.POSITIVE_INFINITY;

  /** @param wallOffsetMs by how much its wall clock is wrong. */
  constructor(clock: VirtualClock, name: string, wallOffsetMs: number) {
    this.clock = clock;
    this.name = name;
    this.#wallOffsetMs = wallOffsetMs;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isRunning(): boolean {
    return this.#isAlive && this.#held === undefined;
  }

  /** Since when it does nothing; Infinity while it runs. */
  get stoppedSinceMs(): number {
    return this.#stoppedSinceMs;
  }

  now(): number {
    return this.clock.now();
  }

  wallNow(): number {
    return startWallMs + this.#wallOffsetMs + this.clock.now();
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    let isOver = false;
    const run = (): void => {
      this.#timers.delete(timer);
      if (isOver || !this.#isAlive) return;
      if (this.#held === undefined) callback();
      else this.#held.due.push(run);
    };
    const planned = this.clock.setTimeout(run, delayMs);
    const timer = {
      clear: (): void => {
        isOver = true;
        planned.clear();
        this.#timers.delete(timer);
      },
    };
    this.#timers.add(timer);
    return timer;
  }

  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.setTimeout(resolve, delayMs);
    });
  }

  /** Something comes from outside: now, or when the process goes on; never when it is dead. */
  receive(callback: () => void): void {
    if (this.#held !== undefined) this.#held.come.push(callback);
    else if (this.#isAlive) callback();
  }

  pause(): void {
    if (!this.isRunning) return;
    this.#held = { due: [], come: [] };
    this.#stoppedSinceMs = this.now();
  }

  /** @param dueFirst whether timers run before what has come: a real event loop does either. */
  resume(dueFirst: boolean): void {
    if (this.#held === undefined) return;
    const { due, come } = this.#held;
    this.#held = undefined;
    if (!this.#isAlive) return;
    this.#stoppedSinceMs = Number.POSITIVE_INFINITY;
    const all = dueFirst ? [...due, ...come] : [...come, ...due];
    for (const [index, callback] of all.entries()) {
      // It may stand still again by then.
      this.setTimeout(() => this.receive(callback), index * turnMs);
    }
  }

  kill(): void {
    if (!this.#isAlive) return;
    this.#isAlive = false;
    this.#held = undefined;
    this.#stoppedSinceMs = Math.min(this.#stoppedSinceMs, this.now());
    for (const timer of Array.from(this.#timers)) timer.clear();
  }
}
