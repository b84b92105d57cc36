// The slave's transition function. By state; the work is in the files of the same beginning.

import type { Message } from '../wire/messages.js';
import { afterwork } from './deletions.js';
import { abort, abortForGood, abortStatement, endRotated, lateStatement } from './endings.js';
import type { Session } from './session.js';
import {
  isMasterBound,
  onCleanupEnd,
  onDeleted,
  onDeleteRequest,
  onDeviceStatus,
  onStatusRequest,
} from './slave-cleanup.js';
import { onSlaveError } from './slave-errors.js';
import { onSlaveRotated, rotateNow } from './slave-rotation.js';
import {
  giveForGood,
  isReady,
  onConfirmation,
  onFetched,
  onNextNotification,
  onPreConfigured,
} from './slave-synchronisation.js';
import type { ClockDifference } from './steps.js';
import {
  type Context,
  changed,
  neverMs,
  refuse,
  type SessionInput,
  type Transition,
  unchanged,
} from './transition.js';

/**
 * The slave's invariants, which each transition keeps:
 * - it has the new key live before it says that it is ready;
 * - it rotates only when the master has confirmed, and says so only when that is kept;
 * - once it has rotated it keeps the old key live until the master has proved the new one, however long that takes;
 * - it aborts only while its device sends under the old key for certain, and keeps that before it says so.
 */
export function slaveTransition(session: Session, input: SessionInput, context: Context): Transition {
  switch (input.type) {
    case 'message':
      return onMessage(session, input.message, input.clock, context);
    case 'result':
      return onResult(session, input, context);
    case 'due':
      return onDue(session, context);
    case 'peerUses':
      return onPeerUses(session, input.keyId, context);
  }
}

/** When `due` is to come to it, in Unix milliseconds; `neverMs` for never. */
export function slaveDueMs(session: Session): number {
  switch (session.state) {
    case 'NOTIFIED':
    case 'ACKNOWLEDGED':
    case 'PENDING_DONE':
      return session.deadlineAtMs;
    case 'CONFIRMED':
      return isReady(session) ? session.rotationAtMs : session.deadlineAtMs;
    default:
      return neverMs;
  }
}

function onMessage(
  session: Session,
  message: Message,
  clock: ClockDifference | undefined,
  context: Context,
): Transition {
  if (message.message_type === 'error') return onSlaveError(session, message, context);
  const reply = session.replies[message.message_id];
  if (session.state === 'IDLE') return afterTheEnd(session, message, context);
  // The same message again gets the same answer, and nothing is done twice.
  if (reply !== undefined) return { session, send: [reply] };
  switch (message.message_type) {
    case 'key_notification':
      return onNextNotification(session, message, clock, context);
    case 'sync_confirmation':
      return onConfirmation(session, message, clock, context);
    case 'cleanup_status_request':
      return onStatusRequest(session, message, context);
    case 'cleanup_delete_request':
      return onDeleteRequest(session, message, context);
    case 'cleanup_acknowledgment':
      return onCleanupEnd(session, message, context);
    default:
      return refuse(session, 'bad_state', 'that message is for a master');
  }
}

function onResult(
  session: Session,
  { operation, result, request }: Extract<SessionInput, { type: 'result' }>,
  context: Context,
): Transition {
  if (session.state === 'IDLE') return afterwork(session, operation, result, context);
  switch (operation.type) {
    case 'fetchKeys':
      return onFetched(session, result, context);
    case 'preConfigure':
      return onPreConfigured(session, result, context);
    case 'rotate':
      return onSlaveRotated(session, operation, result, context);
    case 'deviceStatus':
      return onDeviceStatus(session, result, request, context);
    case 'deleteKeys':
      return onDeleted(session, operation, result, request, context);
    default:
      return unchanged(session);
  }
}

function onDue(session: Session, context: Context): Transition {
  switch (session.state) {
    case 'NOTIFIED':
      // It has never said that it is ready in this round: no confirmation can be under way.
      return { ...abort(session, 'too_late', context), cause: 'timer' };
    case 'ACKNOWLEDGED': {
      // A confirmation may be under way; it gets the answer that its session is over.
      const ending = abortForGood(session, 'too_late', context);
      const statement = abortStatement(ending.session, 'no confirmation came in time', context);
      return { ...ending, send: [statement], cause: 'timer' };
    }
    case 'CONFIRMED':
      return isReady(session)
        ? { ...rotateNow(session, context), cause: 'timer' }
        : {
            ...giveForGood(session, 'too_late', 'the slave did not get ready', context),
            cause: 'timer',
          };
    case 'PENDING_DONE':
      return { session: endRotated(session, 'unacknowledged', context), cause: 'timer' };
    default:
      return unchanged(session);
  }
}

/**
 * A packet under the new key proves that the master's device uses it: no more than that. The master may not have kept it yet, and then a
 * crash or its device takes it back to the old key; so that nothing is deleted on a packet's word, not even when all deadlines have passed.
 */
function onPeerUses(session: Session, keyId: string, context: Context): Transition {
  if (session.state !== 'PENDING_DONE' || isMasterBound(session)) return unchanged(session);
  const peerProved = keyId === session.newKeyId;
  return peerProved === session.peerProved
    ? unchanged(session)
    : { session: changed(session, { peerProved }, context), cause: 'packet' };
}

function afterTheEnd(session: Session, message: Message, context: Context): Transition {
  const isAborted = session.outcome === 'aborted' || session.outcome === 'rolled_back';
  if (isAborted)
    return message.message_type === 'cleanup_acknowledgment'
      ? unchanged(session)
      : { session, send: [lateStatement(session, context)] };
  switch (message.message_type) {
    case 'cleanup_status_request':
    case 'cleanup_delete_request': {
      const reply = session.replies[message.message_id];
      // Its keys are gone by its deadline: the master has nothing to wait for.
      return reply === undefined
        ? refuse(session, 'unknown_session', 'the session is over')
        : { session, send: [reply] };
    }
    // Late copies.
    default:
      return unchanged(session);
  }
}
