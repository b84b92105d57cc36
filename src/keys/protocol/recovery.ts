// What the record of a session calls for. It is asked after each step, and after a restart by the same rule: whatever a crash cut off is
// done again, which personas and stores allow for.

import type { Session } from './session.js';
import { isReady } from './slave-synchronisation.js';
import type { Operation } from './steps.js';
import { type Context, lastMomentMs, readyByMs } from './transition.js';

/** Keys that must stay at the device. It is asked of few of all steps: nothing is made of it before. */
export interface LiveKeys {
  has(keyId: string): boolean;
}

/**
 * The operation that a session waits for by its record alone; undefined for none. Messages that wait for an answer are sent again by
 * themselves, and timers are those of `masterDueMs` and `slaveDueMs`: nothing else is needed to go on.
 *
 * @param live keys that must stay at the device.
 */
export function workOf(session: Session, context: Context, live: LiveKeys): Operation | undefined {
  const untilMs = context.nowMs + context.settings.deviceTimeoutMs;
  switch (session.state) {
    case 'IDLE': {
      const keyIds = session.deleting.filter((keyId) => isDeletable(session, keyId, context, live));
      return keyIds.length === 0 ? undefined : { type: 'deleteKeys', keyIds, untilMs };
    }
    case 'NOTIFIED':
    case 'CONFIRMED':
      return session.role === 'slave' ? preparation(session, context) : undefined;
    case 'ACKNOWLEDGED':
      return session.role === 'master' ? preConfigure(session, context) : undefined;
    case 'ROTATING':
      // The master rotates when the slave has proved that it has (step 12); until then it only waits.
      if (session.role === 'master' && !session.peerProved) return undefined;
      return { type: 'rotate', keyId: rotationTarget(session, context), untilMs };
    case 'CLEANUP_STATUS_CHECKING':
      if (session.awaiting !== null || session.deleting.length === 0) return undefined;
      return { type: 'deleteKeys', keyIds: session.deleting, untilMs };
    case 'ROLLING_BACK':
      return session.role === 'slave' ? { type: 'rotate', keyId: session.oldKeyId, untilMs } : undefined;
    default:
      return undefined;
  }
}

/**
 * The key that the device is to send under next: the new one, until the device has refused so often that the old one is put back; then by
 * turns, since there is no third way: a device that takes neither may be at either.
 */
export function rotationTarget(session: Session, { settings }: Context): string | null {
  // Of a new key that was revoked or has expired there is only the way back.
  if (session.reason !== null) return session.oldKeyId;
  const refusedToo = session.deviceFailures - settings.maxDeviceFailures;
  return refusedToo >= 0 && refusedToo % 2 === 0 ? session.oldKeyId : session.newKeyId;
}

/**
 * What a slave does for a notification, until it has answered it. The original has no second round: there a slave that asked for more time
 * goes on, since the master rotates in any case.
 */
function preparation(session: Session, context: Context): Operation | undefined {
  const isAnswered = session.replies[session.notificationId] !== undefined;
  if (isAnswered && (context.settings.wire === 'hawser' || isReady(session))) return undefined;
  if (isAnswered && session.state === 'NOTIFIED' && context.nowMs >= session.rotationAtMs) return undefined;
  if (session.newKeyId !== null) return preConfigure(session, context);
  const untilMs = Math.max(preparedByMs(session, context), context.nowMs);
  return { type: 'fetchKeys', keyIds: session.keyIds, untilMs };
}

/** How long the work of a slave may take: until it has to answer, then until the confirmation must have come, then until it is given up. */
function preparedByMs(session: Session, context: Context): number {
  if (session.replies[session.notificationId] === undefined) return readyByMs(session, context);
  return session.state === 'NOTIFIED' ? session.rotationAtMs : session.deadlineAtMs;
}

/** Before the slave says ready, and before the master confirms: so that both ends can receive under the new key before either sends under it. */
function preConfigure(session: Session, context: Context): Operation | undefined {
  if (session.newKeyId === null) return undefined;
  const { nowMs, settings } = context;
  const readyMs = session.role === 'slave' ? preparedByMs(session, context) : lastMomentMs(session, context);
  const untilMs = Math.min(nowMs + settings.deviceTimeoutMs, readyMs);
  return { type: 'preConfigure', keyId: session.newKeyId, untilMs: Math.max(untilMs, nowMs) };
}

/** Whether a key that an ended session left is still only its own: a later session may have taken it. */
function isDeletable(session: Session, keyId: string, { keys }: Context, live: LiveKeys): boolean {
  const key = keys.key(keyId);
  if (key === undefined || live.has(keyId)) return false;
  if (key.status === 'available') return key.sessionId === session.sessionId;
  return key.status === 'rolled' || key.status === 'revoked';
}
