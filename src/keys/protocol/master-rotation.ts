// The master rotates after the slave (source document, "Key Synchronization Flow", steps 11 to 13), or takes both back.

import type { RotationCompleted } from '../wire/messages.js';
import { intoProduction, isUsable } from './key-changes.js';
import { cleanupStatusRequest, sessionError } from './outgoing.js';
import type { Session } from './session.js';
import type { Operation, OperationResult } from './steps.js';
import { type Context, changed, refuse, type Transition, unchanged } from './transition.js';

/** Step 11 has come: the slave sends under the new key, which is kept before the device is asked to (step 12). */
export function onCompleted(session: Session, message: RotationCompleted, context: Context): Transition {
  if (session.state === 'NOTIFIED' || session.state === 'ACKNOWLEDGED')
    return refuse(session, 'bad_state', 'the rotation was not confirmed');
  if (message.new_key_id !== session.newKeyId)
    return refuse(session, 'bad_state', 'that is not the key of the session');
  const isFirst = (session.state === 'CONFIRMED' || session.state === 'ROTATING') && !session.peerProved;
  return isFirst ? proved(session, context) : unchanged(session);
}

/**
 * The original says once that it has rotated, at the time that was agreed upon whatever else happens: long after it, that it has is the
 * better guess. Only in its envelope (docs/keys.md, "The original's envelope").
 */
export function provedByTime(session: Session, context: Context): Transition {
  const isMeant = context.settings.wire === 'sae-json' && !session.peerProved;
  return isMeant ? { ...proved(session, context), cause: 'timer' } : unchanged(session);
}

/** What came of a call to the device. */
export function onMasterRotated(
  session: Session,
  operation: Extract<Operation, { type: 'rotate' }>,
  result: OperationResult,
  context: Context,
): Transition {
  if (session.state !== 'ROTATING' || session.newKeyId === null) return unchanged(session);
  if (!result.ok)
    return {
      session: changed(session, { deviceFailures: session.deviceFailures + 1 }, context),
      cause: 'device',
    };
  return operation.keyId === session.newKeyId
    ? cleanUp(session, session.newKeyId, context)
    : takeBack(session, context);
}

function proved(session: Session, context: Context): Transition {
  // A new key that may not be used any more: the device goes back for certain, and then the slave.
  const isUnusable =
    session.newKeyId === null || !isUsable(context.keys.key(session.newKeyId), context.nowMs);
  return {
    session: changed(
      session,
      {
        state: 'ROTATING',
        peerProved: true,
        awaiting: null,
        deviceFailures: 0,
        reason: isUnusable ? 'key_unavailable' : null,
      },
      context,
    ),
  };
}

/** Step 13. Both devices send under the new key: with what is kept here there is no way back. */
function cleanUp(session: Session, newKeyId: string, context: Context): Transition {
  const rotated = changed(
    session,
    {
      state: 'CLEANUP_STATUS_CHECKING',
      deadlineAtMs: context.nowMs + context.settings.cleanupTimeoutMs,
      deviceFailures: 0,
      deleteRounds: 0,
    },
    context,
  );
  const request = cleanupStatusRequest(rotated, newKeyId, context);
  return {
    session: { ...rotated, awaiting: request },
    update: intoProduction(session, context),
    send: [request],
    via: 'PENDING_DONE',
    cause: 'device',
  };
}

/**
 * The device sends under the old key for certain: only now may the slave go back to it. Asked of it until it says that it has, since it is
 * the slave that would send under a key that is deleted here otherwise.
 */
function takeBack(session: Session, context: Context): Transition {
  const reason = session.reason ?? 'device_failure';
  const back = changed(session, { state: 'ROLLING_BACK', reason }, context);
  const request = sessionError(
    back,
    'device_failure',
    'the master could not rotate',
    { roll_back: true },
    context,
  );
  return { session: { ...back, awaiting: request }, send: [request], cause: 'device' };
}
