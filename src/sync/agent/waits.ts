// What an agent's session does when it has nothing to do: it waits for a time, or until something happens.

import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';

/** The waits of one flow of control, which is in one of them at a time. */
export class Waits {
  readonly #wheel: TimingWheel;
  readonly #timer = new WheelTimer(() => this.wake());
  #resume: (() => void) | undefined;

  constructor(wheel: TimingWheel) {
    this.#wheel = wheel;
  }

  /** Milliseconds of the clock. */
  get nowMs(): number {
    return this.#wheel.clock.now();
  }

  /** Milliseconds since 1970, as the clock has it. */
  get wallNowMs(): number {
    return this.#wheel.clock.wallNow();
  }

  /** Something has happened: whoever waits looks again. Harmless when nobody does. */
  wake(): void {
    const resume = this.#resume;
    this.#resume = undefined;
    this.#wheel.cancel(this.#timer);
    resume?.();
  }

  /**
   * Resolves when `done` says so after a `wake`, or at that time, whichever is first.
   *
   * @param atMs asked anew after each wake; Infinity for a wait without end.
   */
  async until(done: () => boolean, atMs: () => number): Promise<void> {
    while (!done() && this.nowMs < atMs()) {
      await new Promise<void>((resolve) => {
        this.#resume = resolve;
        const dueMs = atMs();
        if (dueMs !== Number.POSITIVE_INFINITY) this.#wheel.schedule(this.#timer, dueMs);
      });
    }
  }
}
