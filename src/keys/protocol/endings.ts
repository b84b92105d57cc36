// How sessions end, and what one that is over still says.

import type { KeyRecord } from '../store/store.js';
import type { ErrorCode, ErrorMessage, Unstamped } from '../wire/messages.js';
import { outOfProduction, release, revoke, rolledKeyIds } from './key-changes.js';
import { sessionError } from './outgoing.js';
import type { Session } from './session.js';
import type { SessionOutcome } from './states.js';
import { type Context, changed, neverMs } from './transition.js';

/** A session that is over, and what becomes of its keys. */
export interface Ending {
  readonly session: Session;
  readonly update: readonly KeyRecord[];
}

const over = {
  state: 'IDLE',
  awaiting: null,
  deadlineAtMs: neverMs,
  deviceFailures: 0,
  deleteRounds: 0,
} as const satisfies Partial<Session>;

/**
 * Both sides go on with the old key. What was assigned is available again, but for `revoked`: keys that the other side may have put to use or
 * cannot get. What a device may have been told of is deleted there.
 */
export function abort(
  session: Session,
  reason: ErrorCode,
  context: Context,
  revoked: readonly string[] = [],
): Ending {
  const isKnownToDevice = session.newKeyId !== null || session.round > 1;
  const deleting = [...new Set([...revoked, ...(isKnownToDevice ? session.keyIds : [])])];
  const none = { ...session, newKeyId: null };
  const released = release(none, context.keys).filter((key) => !revoked.includes(key.keyId));
  return {
    session: changed(session, { ...over, outcome: 'aborted', reason, deleting }, context),
    update: [...released, ...revoke(revoked, context.keys)],
  };
}

/** {@link abort} of a session whose new key the other side may take for agreed: it is never used again. */
export function abortForGood(session: Session, reason: ErrorCode, context: Context): Ending {
  return abort(session, reason, context, session.newKeyId === null ? [] : [session.newKeyId]);
}

/** Both sides use the old key again, after the slave had rotated. */
export function endRolledBack(session: Session, context: Context): Ending {
  const deleting = session.newKeyId === null ? [] : [session.newKeyId];
  return {
    session: changed(session, { ...over, outcome: 'rolled_back', deleting }, context),
    update: outOfProduction(session, context),
  };
}

/**
 * Both sides have proved the new key. `unacknowledged`: the rest is done without the other side, which is safe: nobody sends under what was
 * rolled any more, so that those keys are outside of the live set.
 */
export function endRotated(session: Session, outcome: SessionOutcome, context: Context): Session {
  const deleting = outcome === 'kept' ? [] : rolledKeyIds(context.keys);
  return changed(session, { ...over, outcome, peerProved: true, deleting }, context);
}

/**
 * The codes by which a slave says that it has not rotated and never will: all that frees a master that has confirmed. Other codes refuse
 * one message, and decide nothing.
 */
export const slaveDecisions: ReadonlySet<ErrorCode> = new Set([
  'too_late',
  'unknown_session',
  'key_unavailable',
  'device_failure',
]);

/** The ERROR that tells of an abort: to the master in one of the codes that it takes for a decision. */
export function abortStatement(session: Session, text: string, context: Context): Unstamped<ErrorMessage> {
  const reason = session.reason ?? 'too_late';
  const isWorded = session.role === 'master' || slaveDecisions.has(reason) || reason === 'kme_unavailable';
  return sessionError(session, isWorded ? reason : 'too_late', text, null, context);
}

/** What a session that is over says to whom it has not reached: that it was aborted. */
export function lateStatement(session: Session, context: Context): Unstamped<ErrorMessage> {
  const reason = session.reason ?? 'too_late';
  // The master may have confirmed meanwhile, and takes no other code for a decision.
  const code = session.role === 'slave' && !slaveDecisions.has(reason) ? 'too_late' : reason;
  const isLacking = session.role === 'slave' && code === 'key_unavailable';
  const lacking = session.keyIds.filter((keyId) => context.keys.key(keyId)?.status !== 'available');
  const details = isLacking ? { key_ids: lacking } : null;
  return sessionError(session, code, `the session was aborted: ${reason}`, details, context);
}
