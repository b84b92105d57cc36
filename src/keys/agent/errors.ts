// Errors of an SAE, and what is said of those of others.

import { HawserError } from '../../base/errors.js';
import type { RotationFailure } from './events.js';

/** So much of an error's text is repeated. */
const maxReasonLength = 200;

/** The error of a rotation that did not come about. Its cause is a {@link RotationFailure}. */
export function rotationError(failure: RotationFailure): HawserError {
  const what = failure.sessionId === undefined ? 'was not begun' : `was ${failure.outcome.replace('_', ' ')}`;
  const text = `the rotation with ${failure.peerSaeId} ${what} (${failure.code}): ${failure.reason}`;
  return new HawserError('ERR_HAWSER_ROTATION', text, { cause: failure });
}

export function closedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the SAE is closed, or the peer was removed');
}

/** An error in a few printable words: for messages to the peer, and for diagnostics. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  // Control characters and halves of surrogate pairs are for no message.
  const printable = text
    .toWellFormed()
    .replace(/\p{Cc}+/gu, ' ')
    .trim();
  const cut = printable.slice(0, maxReasonLength).toWellFormed();
  return cut === '' ? 'no reason given' : cut;
}
