// What an AbortSignal means in this package: the caller gives up, and a HawserError says so.

import { argumentError, describe } from './check.js';
import { HawserError } from './errors.js';

/** @throws HawserError ERR_HAWSER_ARGUMENT when it is neither undefined nor an AbortSignal. */
export function checkSignal(signal: AbortSignal | undefined): AbortSignal | undefined {
  if (signal === undefined || signal instanceof AbortSignal) return signal;
  throw argumentError('signal', 'an AbortSignal', describe(signal));
}

/** @throws HawserError ERR_HAWSER_ABORTED when it is aborted. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}

/** The error of a caller that gave up: ERR_HAWSER_ABORTED, whose cause is the reason of the signal. */
export function abortedError(signal: AbortSignal): HawserError {
  return new HawserError('ERR_HAWSER_ABORTED', 'the caller aborted', { cause: signal.reason });
}

/**
 * Waits for work of somebody else's, which may never end.
 *
 * @param work goes on when the caller gives up; nobody hears how it ends then.
 * @throws HawserError ERR_HAWSER_ABORTED (rejects) when the signal is aborted first; as `work`.
 */
export async function unlessAborted<T>(work: T | Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work;
  let onAbort = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(abortedError(signal));
    signal.addEventListener('abort', onAbort, { once: true });
    if (signal.aborted) onAbort();
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
