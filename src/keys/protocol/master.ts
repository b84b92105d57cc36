// The master's transition function. By state; the work is in the files of the same beginning.

import type { Message } from '../wire/messages.js';
import { afterwork } from './deletions.js';
import { endRotated, lateStatement } from './endings.js';
import { localDeletion, onDeleteResponse, onStatusResponse } from './master-cleanup.js';
import { onMasterError } from './master-errors.js';
import { onCompleted, onMasterRotated, provedByTime } from './master-rotation.js';
import { nextRound, onAcknowledgment, onMasterPreConfigured, unanswered } from './master-synchronisation.js';
import { cleanupAcknowledgment } from './outgoing.js';
import type { Session } from './session.js';
import type { ClockDifference, ProtocolSettings } from './steps.js';
import {
  type Context,
  changed,
  lastMomentMs,
  marginMs,
  neverMs,
  refuse,
  type SessionInput,
  type Transition,
  unchanged,
} from './transition.js';

/**
 * The master's invariants, which each transition keeps:
 * - it has the new key live before it confirms (`ACKNOWLEDGED`), and the slave said that it has;
 * - `CONFIRMED` is its decision: from then on only the slave's word that it has not rotated brings it back (`onMasterError`);
 * - it sends under the new key only after the slave has proved that it does (`peerProved`), so that (new, old) never exists;
 * - it deletes the old key only after that, and when its own device sends under the new one.
 */
export function masterTransition(session: Session, input: SessionInput, context: Context): Transition {
  switch (input.type) {
    case 'message':
      return onMessage(session, input.message, input.clock, context);
    case 'result': {
      const { operation, result } = input;
      if (session.state === 'IDLE') return afterwork(session, operation, result, context);
      if (operation.type === 'preConfigure') return onMasterPreConfigured(session, result, context);
      if (operation.type === 'rotate') return onMasterRotated(session, operation, result, context);
      if (operation.type === 'deleteKeys') return localDeletion(session, operation, result, context);
      return unchanged(session);
    }
    case 'due':
      return onDue(session, context);
    case 'peerUses':
      return onPeerUses(session, input.keyId, context);
  }
}

/** When `due` is to come to it, in Unix milliseconds; `neverMs` for never. */
export function masterDueMs(session: Session, settings: ProtocolSettings): number {
  switch (session.state) {
    case 'NOTIFIED':
    case 'CLEANUP_STATUS_CHECKING':
      return session.deadlineAtMs;
    case 'ACKNOWLEDGED':
      return session.rotationAtMs - marginMs(settings) + 1;
    case 'CONFIRMED':
      return session.rotationAtMs;
    case 'ROTATING':
      return settings.wire === 'sae-json' && !session.peerProved ? session.deadlineAtMs : neverMs;
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
  if (message.message_type === 'error') return onMasterError(session, message, context);
  if (session.state === 'IDLE') return afterTheEnd(session, message, context);
  switch (message.message_type) {
    case 'key_acknowledgment':
      return onAcknowledgment(session, message, clock, context);
    case 'rotation_completed':
      return onCompleted(session, message, context);
    case 'cleanup_status_response':
      return onStatusResponse(session, message, context);
    case 'cleanup_delete_response':
      return onDeleteResponse(session, message, context);
    default:
      return refuse(session, 'bad_state', 'that message is for a slave');
  }
}

function onDue(session: Session, context: Context): Transition {
  switch (session.state) {
    case 'NOTIFIED':
      return unanswered(session, context);
    case 'ACKNOWLEDGED':
      return context.nowMs > lastMomentMs(session, context)
        ? nextRound(session, undefined, context)
        : unchanged(session);
    case 'CONFIRMED':
      // It still sends the confirmation until the slave has completed, so that the slave learns of it whenever it can.
      return {
        session: changed(
          session,
          { state: 'ROTATING', deadlineAtMs: session.rotationAtMs + context.settings.sessionTimeoutMs },
          context,
        ),
        cause: 'timer',
        // A restart in `CONFIRMED` comes here at once: the time is over.
        isKeptLater: true,
      };
    case 'ROTATING':
      return provedByTime(session, context);
    case 'CLEANUP_STATUS_CHECKING':
      return { session: endRotated(session, 'unacknowledged', context), cause: 'timer' };
    default:
      return unchanged(session);
  }
}

/**
 * A packet under the new key is no ground to rotate: a device whose call was cut off may send one, and the slave then put it back and abort,
 * which would make (new, old). Only the slave's decision counts. The original never repeats that, so that in its envelope packets do.
 */
function onPeerUses(session: Session, keyId: string, context: Context): Transition {
  const isMeant = context.settings.wire === 'sae-json' && keyId === session.newKeyId;
  if (!isMeant || session.state !== 'ROTATING' || session.peerProved) return unchanged(session);
  return { session: changed(session, { peerProved: true, awaiting: null }, context), cause: 'packet' };
}

function afterTheEnd(session: Session, message: Message, context: Context): Transition {
  if (session.outcome === 'aborted') return { session, send: [lateStatement(session, context)] };
  if (session.outcome === 'rolled_back' || message.message_type === 'key_acknowledgment')
    return unchanged(session);
  return { session, send: [cleanupAcknowledgment(session, context)] };
}
