// What a piece of work leads to, before it is kept.

import type { PeerRecord } from '../store/store.js';
import type { KeyNotification, Message, Unstamped } from '../wire/messages.js';
import { admit } from './admission.js';
import { isUsable } from './key-changes.js';
import { masterTransition } from './master.js';
import { beginSession } from './master-synchronisation.js';
import type { LiveKeys } from './recovery.js';
import { revocation } from './revocation.js';
import type { Session } from './session.js';
import type { SessionTable } from './session-table.js';
import { slaveTransition } from './slave.js';
import { notifiedSession } from './slave-synchronisation.js';
import type { ClockDifference, Input, Operation, OperationResult, ProtocolEvent } from './steps.js';
import type { Context, Refusal, SessionInput, Transition } from './transition.js';

/** An operation that runs. */
export interface Running {
  readonly operation: Operation;
  /** Undefined for a session that is to begin. */
  readonly sessionId: string | undefined;
  readonly request: Message | undefined;
  readonly leadMs: number;
}

/** What a step is made of: kept until it was carried out, and worked off again when it could not be. */
export type Work =
  | { readonly type: 'result'; readonly running: Running; readonly result: OperationResult }
  | { readonly type: 'input'; readonly input: Input }
  | { readonly type: 'due'; readonly session: Session }
  | { readonly type: 'forget'; readonly session: Session }
  | { readonly type: 'work'; readonly session: Session; readonly operation: Operation }
  | { readonly type: 'resend'; readonly session: Session; readonly message: Unstamped };

/** A step in the making. */
export interface Draft {
  /** The session before the step; undefined for a new one, and where there is none. */
  readonly before?: Session | undefined;
  readonly transition?: Partial<Transition>;
  /** The message that came, for the event and the answer when it is refused. */
  readonly message?: Message;
  readonly refusedKeyIds?: readonly string[];
  readonly events?: readonly ProtocolEvent[];
  /** An operation that is not the transition's. */
  readonly running?: Running;
  /** Of the peer's record, where they change. */
  readonly epoch?: number;
  readonly notifiedAt?: number;
  readonly forget?: Session | undefined;
  /** The work comes again after this step. */
  readonly isFirst?: boolean;
}

/** All that a draft depends on. */
export interface Desk {
  readonly table: SessionTable;
  readonly peer: PeerRecord;
  readonly context: Context;
  /** Keys that what is left of older sessions must not touch. */
  readonly live: LiveKeys;
}

/** Changes nothing. Undefined when nothing comes of the work. */
export function draftOf(work: Work, desk: Desk): Draft | undefined {
  switch (work.type) {
    case 'result':
      return ofResult(work.running, work.result, desk);
    case 'input':
      return ofInput(work.input, desk);
    case 'due':
      return ofSession(work.session, { type: 'due' }, desk);
    case 'forget':
      return { forget: work.session };
    case 'work': {
      const { operation, session } = work;
      const { sessionId } = session;
      return { before: session, running: { operation, sessionId, request: undefined, leadMs: 0 } };
    }
    case 'resend':
      return { before: work.session, transition: { send: [work.message] } };
  }
}

function ofSession(session: Session, input: SessionInput, { context }: Desk): Draft {
  const transition = session.role === 'master' ? masterTransition : slaveTransition;
  const cause = input.type === 'message' ? input.message.message_type : input.type;
  return { before: session, transition: { cause, ...transition(session, input, context) } };
}

function ofResult(running: Running, result: OperationResult, desk: Desk): Draft | undefined {
  const { operation, request, sessionId, leadMs } = running;
  if (sessionId === undefined) return ofKeys(leadMs, result, desk);
  const session = desk.table.get(sessionId);
  return session && ofSession(session, { type: 'result', operation, result, request }, desk);
}

function ofInput(input: Input, desk: Desk): Draft | undefined {
  const { active } = desk.table;
  switch (input.type) {
    case 'message':
      return ofMessage(input.message, input.clock, desk);
    case 'begin':
      return ofBegin(input.leadMs, desk);
    case 'peerUses':
      return active && ofSession(active, input, desk);
    case 'revoke': {
      const transition = revocation(active, input.keyId, desk.context);
      return transition && { before: active, transition };
    }
    default:
      return undefined;
  }
}

/** Keys are asked for when a session may begin. */
function ofBegin(leadMs: number, { table, context }: Desk): Draft {
  if (context.settings.role === 'slave') return notBegun('bad_state', 'this SAE is only a slave here');
  if (table.active !== undefined) return notBegun('busy', 'a session is under way');
  const operation = { type: 'requestKeys' } as const;
  return { running: { operation, sessionId: undefined, request: undefined, leadMs } };
}

function ofKeys(leadMs: number, result: OperationResult, desk: Desk): Draft {
  if (!result.ok) return notBegun(result.code, result.reason);
  const { table, context, peer, live } = desk;
  // Some may have expired since they were asked for, and be deleted: while others were waited for, or before a step that could not be kept.
  const keyIds = (result.keyIds ?? []).filter((keyId) => isUsable(context.keys.key(keyId), context.nowMs));
  if (keyIds.length === 0) return notBegun('key_unavailable', 'there are no keys');
  const transition = beginSession(keyIds, leadMs, nextEpoch(desk), context);
  return {
    transition: { ...transition, cause: 'begin' },
    events: [{ type: 'began', session: transition.session }],
    // Where both may begin, one that the other side never heard of must not make the other's next one old.
    epoch: context.settings.role === 'master' ? transition.session.epoch : peer.epoch,
    forget: table.forgettable(true, context, live),
  };
}

/** Greater than all that the other side may know of, also of those that this side does not know: then by the clock, since both may count. */
function nextEpoch({ peer, table, context }: Desk): number {
  const next = Math.max(peer.epoch, table.highestEpoch) + 1;
  return context.settings.role === 'both' ? Math.max(next, Math.floor(context.nowMs / 1000)) : next;
}

function ofMessage(message: Message, clock: ClockDifference | undefined, desk: Desk): Draft {
  const { table, peer, context } = desk;
  const session = table.get(message.session_id);
  if (session === undefined)
    return message.message_type === 'key_notification'
      ? ofNotification(message, clock, desk)
      : refusal(message, 'unknown_session', 'there is no such session');
  const isMaster = message.master_sae_id === context.settings.saeId;
  if (isMaster !== (session.role === 'master'))
    return refusal(message, 'bad_state', 'the roles are not those of the session');
  // Whoever answers has taken the session; one who refuses it may not have.
  const isTaken = message.message_type !== 'error';
  const epoch = isTaken ? Math.max(peer.epoch, session.epoch) : peer.epoch;
  return { ...ofSession(session, { type: 'message', message, clock }, desk), message, epoch };
}

function ofNotification(message: KeyNotification, clock: ClockDifference | undefined, desk: Desk): Draft {
  const { table, peer, context, live } = desk;
  const { active } = table;
  const admission = admit(message, clock, active, peer, context);
  switch (admission.type) {
    case 'refused':
      return {
        transition: { refused: admission.refused },
        message,
        ...(admission.keyIds && { refusedKeyIds: admission.keyIds }),
      };
    case 'first':
      return { before: active, transition: admission.transition, isFirst: true };
    case 'admitted':
      return {
        transition: { ...notifiedSession(message, clock, context), cause: 'key_notification' },
        epoch: Math.max(peer.epoch, message.epoch),
        notifiedAt: message.timestamp,
        forget: table.forgettable(true, context, live),
      };
  }
}

function notBegun(code: Refusal['code'], reason: string): Draft {
  return { events: [{ type: 'notBegun', code, reason }] };
}

function refusal(message: Message, code: Refusal['code'], reason: string): Draft {
  // What is asked again until it is answered must get an answer, also an ERROR.
  const answer = message.message_type !== 'error' || message.details?.roll_back === true;
  return { transition: { refused: { code, reason, answer } }, message };
}
