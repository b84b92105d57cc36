// The master agrees with the slave on a key and an instant (source document, "Key Synchronization Flow", steps 1 to 6).

import type { KeyAcknowledgment } from '../wire/messages.js';
import { abort, abortStatement } from './endings.js';
import { assign, isUsable, productionKey, release } from './key-changes.js';
import { keyNotification, syncConfirmation } from './outgoing.js';
import { newSession, type Session } from './session.js';
import type { ClockDifference, OperationResult } from './steps.js';
import {
  type Context,
  changed,
  drop,
  lastMomentMs,
  maxAheadMs,
  neverMs,
  refuse,
  type Transition,
  timeProblem,
  unchanged,
} from './transition.js';

/** Step 1: a session with keys that are in the store. The notification is sent again until it is answered. */
export function beginSession(
  keyIds: readonly string[],
  leadMs: number,
  epoch: number,
  context: Context,
): Transition {
  const { nowMs, keys, newId } = context;
  const sessionId = newId();
  const rotationTimestamp = Math.min(
    Math.ceil((nowMs + leadMs) / 1000),
    Math.floor((nowMs + maxAheadMs) / 1000),
  );
  const rotationAtMs = rotationTimestamp * 1000;
  const session = newSession({
    sessionId,
    role: 'master',
    epoch,
    notificationId: sessionId,
    keyIds,
    oldKeyId: productionKey(keys)?.keyId ?? null,
    rotationTimestamp,
    rotationAtMs,
    deadlineAtMs: answerByMs(rotationAtMs, context),
    startedAtMs: nowMs,
  });
  const notification = keyNotification(session, context);
  return {
    session: { ...session, awaiting: notification },
    update: assign(keyIds, sessionId, keys),
    send: [notification],
  };
}

/** When the acknowledgment is given up: a grace before the rotation, and not before half of the time is over. */
function answerByMs(rotationAtMs: number, { settings, nowMs }: Context): number {
  return rotationAtMs - Math.min(settings.graceMs, (rotationAtMs - nowMs) / 2);
}

/** Step 5 has come. */
export function onAcknowledgment(
  session: Session,
  message: KeyAcknowledgment,
  clock: ClockDifference | undefined,
  context: Context,
): Transition {
  if (session.state !== 'NOTIFIED') return onLaterAcknowledgment(session, message);
  // A late copy of the answer to an earlier round.
  if (message.original_message_id !== session.notificationId) return unchanged(session);
  const unclear = clockProblem(session, clock, context);
  if (unclear !== undefined) return unclear;
  if (message.status === 'need_more_time' && context.settings.wire === 'hawser') {
    return nextRound(session, message.suggested_rotation_timestamp ?? undefined, context);
  }
  // The original confirms its own time whatever the slave suggests, and takes the first key where none was selected.
  const selected = message.selected_key_id ?? session.keyIds[0];
  if (selected === undefined || !session.keyIds.includes(selected))
    return refuse(session, 'bad_format', 'a key was selected that was not announced');
  if (!isUsable(context.keys.key(selected), session.rotationAtMs))
    return give(session, 'key_unavailable', 'the selected key expired or was revoked', context, [selected]);
  const acknowledged = changed(
    session,
    { state: 'ACKNOWLEDGED', newKeyId: selected, awaiting: null, deadlineAtMs: neverMs },
    context,
  );
  return context.nowMs > lastMomentMs(session, context)
    ? nextRound(acknowledged, undefined, context)
    : { session: acknowledged };
}

/**
 * The device can receive under the new key. `CONFIRMED` is the decision: it is kept before the confirmation is sent, and only what the slave
 * then says can undo it.
 */
export function onMasterPreConfigured(
  session: Session,
  result: OperationResult,
  context: Context,
): Transition {
  if (session.state !== 'ACKNOWLEDGED' || session.newKeyId === null) return unchanged(session);
  if (!result.ok && !result.timedOut)
    return give(session, result.code, 'the device did not take the new key', context);
  if (!result.ok || context.nowMs > lastMomentMs(session, context))
    return nextRound(session, undefined, context);
  if (!isUsable(context.keys.key(session.newKeyId), session.rotationAtMs))
    return give(session, 'key_unavailable', 'the selected key expired or was revoked', context, [
      session.newKeyId,
    ]);
  const confirmed = changed(session, { state: 'CONFIRMED', deviceFailures: 0 }, context);
  const confirmation = syncConfirmation(confirmed, context);
  return {
    session: { ...confirmed, awaiting: confirmation },
    update: release(confirmed, context.keys),
    send: [confirmation],
    cause: 'device',
  };
}

/**
 * Another time is proposed: the slave asked for one, or what was to be done here took too long.
 *
 * @param suggested Unix seconds; undefined when the slave suggested none.
 */
export function nextRound(session: Session, suggested: number | undefined, context: Context): Transition {
  const { nowMs, settings, newId } = context;
  if (session.round >= settings.maxRounds || settings.wire === 'sae-json')
    return give(session, 'too_late', 'there was not enough time, in any round', context);
  const neededMs = nowMs + 3 * settings.graceMs + settings.retransmitMs;
  const timestamp = Math.max(
    suggested ?? Math.ceil(neededMs / 1000),
    session.rotationTimestamp,
    Math.floor(nowMs / 1000) + 1,
  );
  if (timeProblem(timestamp, 0, nowMs) !== undefined)
    return give(session, 'too_late', 'the time that was asked for is too far ahead', context);
  const renewed = changed(
    session,
    {
      state: 'NOTIFIED',
      notificationId: newId(),
      round: session.round + 1,
      newKeyId: null,
      rotationTimestamp: timestamp,
      rotationAtMs: timestamp * 1000,
      deadlineAtMs: answerByMs(timestamp * 1000, context),
    },
    context,
  );
  const notification = keyNotification(renewed, context);
  return { session: { ...renewed, awaiting: notification }, send: [notification] };
}

/** The slave did not answer in time, and there is none left for another round. */
export function unanswered(session: Session, context: Context): Transition {
  return { ...give(session, 'too_late', 'no acknowledgment came in time', context), cause: 'timer' };
}

/** The master gives up, which it may until it has confirmed; the slave is told once, and finds out by its deadline otherwise. */
export function give(
  session: Session,
  code: Parameters<typeof abort>[1],
  text: string,
  context: Context,
  revoked: readonly string[] = [],
): Transition {
  const ending = abort(session, code, context, revoked);
  return { ...ending, send: [abortStatement(ending.session, text, context)] };
}

function onLaterAcknowledgment(session: Session, message: KeyAcknowledgment): Transition {
  const isCopy =
    message.original_message_id !== session.notificationId ||
    message.status === 'need_more_time' ||
    message.selected_key_id === session.newKeyId;
  return isCopy ? unchanged(session) : refuse(session, 'bad_state', 'another key was selected already');
}

/** Without knowing how far apart the clocks are, no instant can be agreed upon. The original never knows. */
function clockProblem(
  session: Session,
  clock: ClockDifference | undefined,
  context: Context,
): Transition | undefined {
  if (context.settings.wire === 'sae-json') return undefined;
  if (clock === undefined) return drop(session, 'stale_timestamp', 'the clocks have not been compared yet');
  if (Math.abs(clock.offsetMs) <= context.settings.clockToleranceMs) return undefined;
  return give(session, 'stale_timestamp', 'the clocks differ by too much', context);
}
