// What the store could not be asked now is asked again.

import { Backoff } from '../../base/backoff.js';
import { HawserError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';

export interface RetryHost {
  readonly wheel: TimingWheel;
  readonly random: Random;
}

/** Delays between attempts at what the store could not be reached for. */
export const storeBackoff = { initialMs: 100, maxMs: 1000 } as const;

/** The store cannot be used now: what is thrown to be tried again. */
export function unavailable(why: string): HawserError {
  return new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', why);
}

export function isUnavailable(error: unknown): boolean {
  return error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_UNAVAILABLE';
}

/**
 * Runs an operation until it comes to something.
 *
 * @param signal ends the trying: an operation that is under way is still waited for, and its result counts.
 * @returns a promise of its result; rejects with what it throws, ERR_HAWSER_STORE_UNAVAILABLE only when the signal is aborted.
 */
export async function retryWhileUnavailable<T>(
  { wheel, random }: RetryHost,
  signal: AbortSignal,
  operation: () => Promise<T>,
): Promise<T> {
  const backoff = new Backoff(storeBackoff, random);
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      if (signal.aborted || !isUnavailable(error)) throw error;
    }
    await pause(wheel, backoff.next(), signal);
    if (signal.aborted) throw unavailable('it was given up');
  }
}

/**
 * As {@link retryWhileUnavailable}, also after errors that trying again may not mend: for what must not be given up.
 *
 * @param failed told of those errors.
 */
export function retryAlways(
  host: RetryHost,
  signal: AbortSignal,
  failed: (error: unknown) => void,
  operation: () => Promise<void>,
): Promise<void> {
  return retryWhileUnavailable(host, signal, async () => {
    try {
      await operation();
    } catch (error) {
      if (!isUnavailable(error) && !signal.aborted) failed(error);
      throw unavailable('it failed');
    }
  });
}

/** Resolves after a time, or when the signal aborts. */
export function pause(wheel: TimingWheel, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const over = (): void => {
      wheel.cancel(timer);
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = new WheelTimer(over);
    wheel.schedule(timer, wheel.clock.now() + ms);
    signal.addEventListener('abort', over);
  });
}
