// Time as an argument: whatever waits or measures takes a Clock, so that tests run it in virtual time.

import { performance } from 'node:perf_hooks';

/** A call that is planned for later. */
export interface Timer {
  /** Plans it no more. Harmless once it has run. */
  clear(): void;
}

/** Where a layer takes its time from. */
export interface Clock {
  /** Milliseconds, monotonic, with an arbitrary origin and a fraction. */
  now(): number;
  /** Unix milliseconds; may jump when somebody sets the clock of the machine. */
  wallNow(): number;
  /**
   * Plans one call.
   *
   * @param callback called once, never before this function has returned.
   * @param delayMs 0 or more.
   */
  setTimeout(callback: () => void, delayMs: number): Timer;
}

/** The clocks and timers of this machine. Its timers do not keep the process alive on their own. */
export const systemClock: Clock = {
  now: () => performance.now(),
  wallNow: () => Date.now(),
  setTimeout: (callback, delayMs) => {
    const timeout = setTimeout(callback, delayMs);
    timeout.unref();
    return { clear: () => clearTimeout(timeout) };
  },
};
