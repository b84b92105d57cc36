// Whether a slave takes a notification of a session that it does not know, and what comes before.

import type { PeerRecord } from '../store/store.js';
import type { KeyNotification } from '../wire/messages.js';
import { abort } from './endings.js';
import { productionKey } from './key-changes.js';
import type { Session } from './session.js';
import { endedByNext } from './slave-cleanup.js';
import { notificationTimeProblem } from './slave-synchronisation.js';
import type { ClockDifference } from './steps.js';
import type { Context, Refusal, Transition } from './transition.js';

/** `first`: what the session that is under way does before the notification is looked at again. */
export type Admission =
  | { readonly type: 'admitted' }
  | { readonly type: 'refused'; readonly refused: Refusal; readonly keyIds?: readonly string[] }
  | { readonly type: 'first'; readonly transition: Transition };

/**
 * A pair has one session at a time, so that rotations cannot overtake each other, and their epochs grow, so that an old one cannot come
 * again.
 */
export function admit(
  message: KeyNotification,
  clock: ClockDifference | undefined,
  active: Session | undefined,
  peer: PeerRecord,
  context: Context,
): Admission {
  const { settings, keys, nowMs } = context;
  const isOriginal = settings.wire === 'sae-json';
  if (settings.role === 'master') return refused('bad_state', 'this SAE is only a master here');
  const isOld = isOriginal ? message.timestamp < peer.notifiedAt : message.epoch <= peer.epoch;
  if (isOld) return refused('replay', 'a later session was begun already');
  if (active !== undefined) return beforehand(message, active, context);
  const current = productionKey(keys)?.keyId ?? null;
  if (!isOriginal && message.current_key_id !== current)
    return refused('bad_state', 'the two sides have different keys in production');
  const problem = notificationTimeProblem(message, clock, nowMs);
  if (problem !== undefined) return refused(problem.code, problem.reason);
  const unusable = message.key_ids.filter((keyId) => !isFree(keyId, context));
  return unusable.length === 0
    ? { type: 'admitted' }
    : { ...refused('key_unavailable', 'a key is announced that was used already'), keyIds: unusable };
}

function isFree(keyId: string, { keys }: Context): boolean {
  const status = keys.key(keyId)?.status;
  return status === undefined || status === 'available';
}

/** What a new session of the other side says of the one under way. */
function beforehand(message: KeyNotification, active: Session, context: Context): Admission {
  const { settings } = context;
  if (active.role === 'master') {
    // Glare: both began. The SAE with the smaller id goes on, and nothing has been decided in the other's session.
    const isLoser = Buffer.compare(Buffer.from(settings.saeId), Buffer.from(settings.peerSaeId)) > 0;
    return isLoser && active.state === 'NOTIFIED'
      ? { type: 'first', transition: { ...abort(active, 'busy', context), cause: 'key_notification' } }
      : refused('busy', 'a session of the other direction is under way');
  }
  switch (active.state) {
    // A master begins a session when it has none: it gave up the one before, and had not confirmed it.
    case 'NOTIFIED':
    case 'ACKNOWLEDGED':
      return { type: 'first', transition: { ...abort(active, 'busy', context), cause: 'key_notification' } };
    case 'PENDING_DONE': {
      const isProved = settings.wire === 'sae-json' || message.current_key_id === active.newKeyId;
      return isProved
        ? { type: 'first', transition: endedByNext(active, context) }
        : refused('busy', 'the rotation before has not been completed');
    }
    default:
      return refused('busy', 'a session is under way');
  }
}

function refused(code: Refusal['code'], reason: string): Extract<Admission, { type: 'refused' }> {
  return { type: 'refused', refused: { code, reason, answer: true } };
}
