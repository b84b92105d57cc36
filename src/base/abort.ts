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
