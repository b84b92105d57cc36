// What an ERROR of the master means to the slave.

import type { ErrorCode, ErrorMessage } from '../wire/messages.js';
import { abort, endRotated } from './endings.js';
import type { Session } from './session.js';
import { isMasterBound } from './slave-cleanup.js';
import { rolledBackStatement } from './slave-rotation.js';
import { type Context, changed, drop, refuse, type Transition, unchanged } from './transition.js';

/** Before it has confirmed a master may give up, and says why; other codes refuse one message. */
const masterDecisions: ReadonlySet<ErrorCode> = new Set([
  'too_late',
  'unknown_session',
  'key_unavailable',
  'kme_unavailable',
  'device_failure',
  'stale_timestamp',
  'busy',
]);

export function onSlaveError(session: Session, message: ErrorMessage, context: Context): Transition {
  if (message.details?.roll_back === true) return onRollBack(session, context);
  // A master that has confirmed keeps its session until it has rotated: one that knows none has proved the new key, and ended.
  if (session.state === 'PENDING_DONE' && message.error_code === 'unknown_session')
    return { session: endRotated(session, 'unacknowledged', context) };
  const isOpen = session.state === 'NOTIFIED' || session.state === 'ACKNOWLEDGED';
  // A decision names the session's notification; a refusal names what it refuses. A master that does not know the session has ended it.
  const isDecision =
    masterDecisions.has(message.error_code) &&
    (message.original_message_id === session.notificationId || message.error_code === 'unknown_session');
  if (!isOpen || !isDecision) return drop(session, message.error_code, 'an ERROR that decides nothing');
  return abort(session, message.error_code, context);
}

/**
 * The master could not rotate, and sends under the old key for certain. This side goes back, which it decides before it does; not once a message
 * has proved that the master rotated after all, nor when the old key is gone.
 */
function onRollBack(session: Session, context: Context): Transition {
  const isOver = session.state === 'IDLE';
  if (isOver && (session.outcome === 'rolled_back' || session.outcome === 'aborted'))
    return { session, send: [rolledBackStatement(session, context)] };
  if (session.state === 'ROLLING_BACK') return unchanged(session);
  if (session.state !== 'PENDING_DONE' || isMasterBound(session))
    return refuse(session, 'bad_state', 'there is no way back any more');
  return {
    session: changed(
      session,
      {
        state: 'ROLLING_BACK',
        awaiting: null,
        peerProved: false,
        reason: 'device_failure',
        deviceFailures: 0,
      },
      context,
    ),
  };
}
