// The slave rotates at the agreed instant (source document, "Key Synchronization Flow", steps 8 to 11), or goes back.

import { endRolledBack } from './endings.js';
import { intoProduction, isUsable } from './key-changes.js';
import { rotationCompleted, sessionError } from './outgoing.js';
import type { Session } from './session.js';
import { giveForGood } from './slave-synchronisation.js';
import type { Operation, OperationResult } from './steps.js';
import { type Context, changed, neverMs, type Transition, unchanged } from './transition.js';

/** Step 8. Overdue after a restart it is done at once: both sides have confirmed. */
export function rotateNow(session: Session, context: Context): Transition {
  const key = session.newKeyId === null ? undefined : context.keys.key(session.newKeyId);
  return isUsable(key, context.nowMs)
    ? { session: changed(session, { state: 'ROTATING', deviceFailures: 0 }, context) }
    : giveForGood(session, 'key_unavailable', 'the new key expired or was revoked', context);
}

/** What came of a call to the device. */
export function onSlaveRotated(
  session: Session,
  operation: Extract<Operation, { type: 'rotate' }>,
  result: OperationResult,
  context: Context,
): Transition {
  if (session.newKeyId === null) return unchanged(session);
  if (session.state !== 'ROTATING' && session.state !== 'ROLLING_BACK') return unchanged(session);
  // Neither key for certain: nothing is decided, both stay live, and the device is asked again.
  if (!result.ok)
    return {
      session: changed(session, { deviceFailures: session.deviceFailures + 1 }, context),
      cause: 'device',
    };
  if (session.state === 'ROLLING_BACK') return rolledBack(session, context);
  return operation.keyId === session.newKeyId
    ? rotated(session, session.newKeyId, context)
    : {
        ...giveForGood(
          session,
          session.reason ?? 'device_failure',
          'the slave could not rotate, and uses the old key',
          context,
        ),
        cause: 'device',
      };
}

/** The ERROR by which a slave says that it sends under the old key again. */
export function rolledBackStatement(session: Session, context: Context): ReturnType<typeof sessionError> {
  return sessionError(
    session,
    'device_failure',
    'the slave uses the old key again',
    { rolled_back: true },
    context,
  );
}

/** Steps 9 to 11, with the old key still live: the master sends under it until it has heard of this. */
function rotated(session: Session, newKeyId: string, context: Context): Transition {
  const completed = rotationCompleted(session, newKeyId, context);
  // The original's master rotates at its own time, and its cleanup never begins: there the time is all the proof that there will be.
  const deadlineAtMs =
    context.settings.wire === 'sae-json' ? session.rotationAtMs + context.settings.cleanupTimeoutMs : neverMs;
  return {
    session: changed(
      session,
      { state: 'PENDING_DONE', awaiting: completed, deviceFailures: 0, deadlineAtMs },
      context,
    ),
    update: intoProduction(session, context),
    send: [completed],
    cause: 'device',
  };
}

function rolledBack(session: Session, context: Context): Transition {
  const ending = endRolledBack(session, context);
  return { ...ending, send: [rolledBackStatement(ending.session, context)], cause: 'device' };
}
