// What an ERROR of the slave means to the master. Most of them refuse one message and decide nothing.

import type { ErrorCode, ErrorMessage } from '../wire/messages.js';
import { abort, abortForGood, endRolledBack, slaveDecisions } from './endings.js';
import { cleanupEnded } from './master-cleanup.js';
import type { Session } from './session.js';
import { type Context, drop, type Transition } from './transition.js';

/** Before the confirmation any of these ends the session; the others pass by themselves, or are about a copy. */
const passing: ReadonlySet<ErrorCode> = new Set(['busy', 'replay', 'bad_signature']);

export function onMasterError(session: Session, message: ErrorMessage, context: Context): Transition {
  const code = message.error_code;
  switch (session.state) {
    case 'NOTIFIED':
    case 'ACKNOWLEDGED':
      return passing.has(code) ? ignored(session, code) : refused(session, message, context);
    case 'CONFIRMED':
    case 'ROTATING':
      // A slave that has proved the new key has nothing more to decide.
      if (session.peerProved || !slaveDecisions.has(code)) return ignored(session, code);
      return abortForGood(session, code, context);
    case 'CLEANUP_STATUS_CHECKING':
      return code === 'unknown_session' ? cleanupEnded(session, context) : ignored(session, code);
    case 'ROLLING_BACK':
      // A slave that rotated keeps its session until the master has proved the new key: one that has none is back.
      return message.details?.rolled_back === true || code === 'unknown_session'
        ? endRolledBack(session, context)
        : ignored(session, code);
    default:
      return ignored(session, code);
  }
}

/** Nothing has been decided: the session ends, and with it what the slave cannot get. */
function refused(session: Session, message: ErrorMessage, context: Context): Transition {
  const isAboutRound =
    message.original_message_id === null || message.original_message_id === session.notificationId;
  if (!isAboutRound) return ignored(session, message.error_code);
  const named = message.error_code === 'key_unavailable' ? (message.details?.key_ids ?? []) : [];
  const lost = session.keyIds.filter((keyId) => named.includes(keyId));
  return abort(session, message.error_code, context, lost);
}

function ignored(session: Session, code: ErrorCode): Transition {
  return drop(session, code, 'an ERROR that decides nothing');
}
