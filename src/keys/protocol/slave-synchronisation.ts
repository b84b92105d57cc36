// The slave gets ready (source document, "Key Synchronization Flow", steps 1 to 7).

import type { KeyNotification, SyncConfirmation } from '../wire/messages.js';
import { abort, abortForGood, abortStatement } from './endings.js';
import { assign, isUsable, productionKey, release } from './key-changes.js';
import { keyAcknowledgment } from './outgoing.js';
import { withReply } from './replies.js';
import { newSession, type Session } from './session.js';
import type { ClockDifference, OperationResult } from './steps.js';
import {
  type Context,
  changed,
  drop,
  lastMomentMs,
  maxAheadMs,
  readyByMs,
  refuse,
  type Transition,
  timeProblem,
  unchanged,
} from './transition.js';

/**
 * What is wrong with the time of a notification, as an ERROR has it; undefined when nothing is. In no code that a master takes for a decision
 * (`slaveDecisions`): the next copy may be taken, when the clocks have been compared, and this ERROR come after that.
 */
export function notificationTimeProblem(
  message: KeyNotification,
  clock: ClockDifference | undefined,
  nowMs: number,
): { readonly code: 'stale_timestamp' | 'bad_format'; readonly reason: string } | undefined {
  switch (timeProblem(message.rotation_timestamp, clock?.offsetMs ?? 0, nowMs)) {
    case 'past':
      return { code: 'stale_timestamp', reason: 'the rotation would be in the past' };
    case 'far':
      return { code: 'bad_format', reason: 'the rotation would be more than an hour ahead' };
    default:
      return undefined;
  }
}

/** Step 1 of a session that this side does not know yet. Its epoch, keys and time have been looked at. */
export function notifiedSession(
  message: KeyNotification,
  clock: ClockDifference | undefined,
  context: Context,
): Transition {
  const rotationAtMs = localMs(message.rotation_timestamp, clock);
  const { nowMs } = context;
  const session = newSession({
    sessionId: message.session_id,
    role: 'slave',
    epoch: message.epoch,
    notificationId: message.message_id,
    keyIds: message.key_ids,
    oldKeyId: productionKey(context.keys)?.keyId ?? null,
    rotationTimestamp: message.rotation_timestamp,
    rotationAtMs,
    deadlineAtMs: rotationAtMs + context.settings.sessionTimeoutMs,
    startedAtMs: nowMs,
  });
  return judgeTime(session, clock, context);
}

/** Step 1 again: another time for the same session. A confirmed one is not to be changed any more. */
export function onNextNotification(
  session: Session,
  message: KeyNotification,
  clock: ClockDifference | undefined,
  context: Context,
): Transition {
  if (message.message_id === session.notificationId) return unchanged(session);
  if (session.state !== 'NOTIFIED' && session.state !== 'ACKNOWLEDGED')
    return refuse(session, 'bad_state', 'the session is confirmed');
  const isSame =
    message.epoch === session.epoch &&
    message.key_ids.length === session.keyIds.length &&
    message.key_ids.every((keyId, index) => keyId === session.keyIds[index]);
  if (!isSame) return refuse(session, 'bad_state', 'another round announces the same keys');
  const problem = notificationTimeProblem(message, clock, context.nowMs);
  if (problem !== undefined) return refuse(session, problem.code, problem.reason);
  const rotationAtMs = localMs(message.rotation_timestamp, clock);
  const renewed = changed(
    session,
    {
      state: 'NOTIFIED',
      notificationId: message.message_id,
      round: session.round + 1,
      newKeyId: null,
      rotationTimestamp: message.rotation_timestamp,
      rotationAtMs,
      deadlineAtMs: rotationAtMs + context.settings.sessionTimeoutMs,
    },
    context,
  );
  return judgeTime(renewed, clock, context);
}

/** Steps 2 to 4: the keys are stored here, and the first that may be used is selected. */
export function onFetched(session: Session, result: OperationResult, context: Context): Transition {
  if (!isPreparing(session)) return unchanged(session);
  if (!result.ok && (result.timedOut || isKeptOn(session, result.code)))
    return needMoreTime(session, undefined, context);
  if (!result.ok) return give(session, result.code, result.keyIds ?? session.keyIds, context);
  // The original rotates to the first key, whatever was selected.
  const eligible = context.settings.wire === 'sae-json' ? session.keyIds.slice(0, 1) : session.keyIds;
  const selected = eligible.find((keyId) => isUsable(context.keys.key(keyId), session.rotationAtMs));
  if (selected === undefined) return give(session, 'key_unavailable', session.keyIds, context);
  const taken = session.state === 'CONFIRMED' ? [selected] : session.keyIds;
  return {
    session: changed(session, { newKeyId: selected }, context),
    update: assign(taken, session.sessionId, context.keys).filter((key) =>
      isUsable(context.keys.key(key.keyId), session.rotationAtMs),
    ),
    cause: 'keys',
  };
}

/** Step 5. The device can receive under the new key: only now is this side ready. */
export function onPreConfigured(session: Session, result: OperationResult, context: Context): Transition {
  if (!isPreparing(session)) return unchanged(session);
  const { nowMs, settings } = context;
  if (!result.ok && !result.timedOut && !isKeptOn(session, result.code))
    return give(session, result.code, [], context);
  const isTooLate = settings.wire === 'hawser' && nowMs > lastMomentMs(session, context);
  if (!result.ok || isTooLate) return needMoreTime(session, undefined, context);
  const isAnswered = session.replies[session.notificationId] !== undefined;
  const reply = keyAcknowledgment(session, null, context);
  const replies = withReply(session, session.notificationId, reply);
  const state = session.state === 'NOTIFIED' ? 'ACKNOWLEDGED' : session.state;
  return {
    session: changed(session, { state, replies }, context),
    // The original takes one answer only, and has confirmed by the first.
    send: isAnswered ? [] : [reply],
    cause: 'device',
  };
}

/** Step 6 has come, and step 7: from here on it rotates by itself. */
export function onConfirmation(
  session: Session,
  message: SyncConfirmation,
  clock: ClockDifference | undefined,
  context: Context,
): Transition {
  // The original confirms its own time also to a slave that asked for more: that gets ready as soon as it can.
  const isEarly = context.settings.wire === 'sae-json' && session.state === 'NOTIFIED';
  const isAnswered = session.replies[session.notificationId] !== undefined;
  if (session.state !== 'ACKNOWLEDGED' && !(isEarly && isAnswered))
    return onLaterConfirmation(session, message);
  if (message.original_message_id !== session.notificationId)
    return refuse(session, 'bad_state', 'that is the confirmation of another round');
  if (context.settings.wire === 'hawser') {
    if (clock === undefined) return drop(session, 'stale_timestamp', 'the clocks have not been compared yet');
    if (Math.abs(clock.offsetMs) > context.settings.clockToleranceMs)
      return giveForGood(session, 'stale_timestamp', 'the clocks differ by too much', context);
  }
  const rotationAtMs = localMs(message.final_rotation_timestamp, clock);
  if (rotationAtMs > context.nowMs + maxAheadMs)
    return refuse(session, 'bad_format', 'the rotation would be more than an hour ahead');
  if (context.nowMs > rotationAtMs + context.settings.lateMs)
    return giveForGood(session, 'too_late', 'the confirmation came after its time', context);
  const confirmed = changed(
    session,
    { state: 'CONFIRMED', rotationTimestamp: message.final_rotation_timestamp, rotationAtMs },
    context,
  );
  return { session: confirmed, update: release(confirmed, context.keys) };
}

/** Whether this side has said in this round that it is ready, or is so without having said it (the original's envelope). */
export function isReady(session: Session): boolean {
  const reply = session.replies[session.notificationId];
  return reply?.message_type === 'key_acknowledgment' && reply.status === 'ready';
}

/** The slave does not rotate, and says so in a code that the master takes for a decision, whatever it has decided meanwhile. */
export function giveForGood(
  session: Session,
  code: Parameters<typeof abort>[1],
  text: string,
  context: Context,
): Transition {
  const ending = abortForGood(session, code, context);
  return { ...ending, send: [abortStatement(ending.session, text, context)] };
}

/** `CONFIRMED` too in the original's envelope, where the confirmation comes to a slave that is not ready. */
function isPreparing(session: Session): boolean {
  return session.state === 'NOTIFIED' || (session.state === 'CONFIRMED' && !isReady(session));
}

/** Once the master has confirmed, only a key that cannot be had at all ends the session before its deadline. */
function isKeptOn(session: Session, code: 'key_unavailable' | 'kme_unavailable' | 'device_failure'): boolean {
  return session.state === 'CONFIRMED' && code !== 'key_unavailable';
}

/** The original fetches keys whatever time there is, since its master does not change the time. */
function judgeTime(session: Session, clock: ClockDifference | undefined, context: Context): Transition {
  const isEnough = context.nowMs < readyByMs(session, context);
  return isEnough || context.settings.wire === 'sae-json'
    ? { session }
    : needMoreTime(session, clock, context);
}

/** Step 5, with a later time. What was fetched stays, so that the next round finds it. Said once in a round. */
function needMoreTime(session: Session, clock: ClockDifference | undefined, context: Context): Transition {
  if (session.replies[session.notificationId] !== undefined) return unchanged(session);
  // Where the clocks have not been compared, the master's time is taken from its own proposal.
  const offsetMs = clock?.offsetMs ?? session.rotationTimestamp * 1000 - session.rotationAtMs;
  const neededMs = context.nowMs + 2 * context.settings.graceMs + context.settings.retransmitMs;
  const suggested = Math.max(Math.ceil((neededMs + offsetMs) / 1000), session.rotationTimestamp + 1);
  const reply = keyAcknowledgment(session, suggested, context);
  const replies = withReply(session, session.notificationId, reply);
  return { session: changed(session, { replies }, context), send: [reply] };
}

/** The slave gives up before it has said that it is ready. */
function give(
  session: Session,
  code: 'key_unavailable' | 'kme_unavailable' | 'device_failure',
  keyIds: readonly string[],
  context: Context,
): Transition {
  if (session.state === 'CONFIRMED') return giveForGood(session, code, 'the new key cannot be had', context);
  // What cannot be had on both sides is of no use to either.
  const ending = abort(session, code, context, code === 'key_unavailable' ? keyIds : []);
  const statement = abortStatement(ending.session, `the slave is not ready: ${code}`, context);
  const details = code === 'key_unavailable' ? { key_ids: keyIds } : null;
  return { ...ending, send: [{ ...statement, details }] };
}

function onLaterConfirmation(session: Session, message: SyncConfirmation): Transition {
  const isCopy =
    session.state !== 'NOTIFIED' &&
    message.original_message_id === session.notificationId &&
    message.final_rotation_timestamp === session.rotationTimestamp;
  if (!isCopy) return refuse(session, 'bad_state', 'that confirmation is not waited for');
  // The master has not heard of the rotation yet.
  const { awaiting } = session;
  return awaiting?.message_type === 'rotation_completed' ? { session, send: [awaiting] } : unchanged(session);
}

/** An instant of the master's clock by this one. */
function localMs(timestamp: number, clock: ClockDifference | undefined): number {
  return Math.round(timestamp * 1000 - (clock?.offsetMs ?? 0));
}
