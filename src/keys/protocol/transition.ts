// The shape of the transition functions of both roles: a session and what came to it go in, the session after it and what follows come out.

import type { KeyRecord } from '../store/store.js';
import type { ErrorCode, Message, Unstamped } from '../wire/messages.js';
import type { Session } from './session.js';
import type { SessionState } from './states.js';
import type { ClockDifference, KeysView, Operation, OperationResult, ProtocolSettings } from './steps.js';

/** What a transition may look at beside the session. It changes nothing there. */
export interface Context {
  /** Unix milliseconds of this SAE's clock. */
  readonly nowMs: number;
  readonly settings: ProtocolSettings;
  readonly keys: KeysView;
  /** A new UUID. */
  readonly newId: () => string;
}

/** What comes to one session. */
export type SessionInput =
  | { readonly type: 'message'; readonly message: Message; readonly clock: ClockDifference | undefined }
  | {
      readonly type: 'result';
      readonly operation: Operation;
      readonly result: OperationResult;
      /** The message that the operation was for, when its answer needs the result. */
      readonly request: Message | undefined;
    }
  /** The instant of `dueMs` has come. */
  | { readonly type: 'due' }
  | { readonly type: 'peerUses'; readonly keyId: string };

/** A message that is not acted upon. */
export interface Refusal {
  readonly code: ErrorCode;
  /** For people; nothing that came from outside is in it. */
  readonly reason: string;
  /** Whether its sender is told: what can do no harm and may still become true is only counted. */
  readonly answer: boolean;
}

/** What follows. Kept as one, before anything of it is sent. */
export interface Transition {
  /** The very object that went in: nothing of it changes. */
  readonly session: Session;
  readonly update?: readonly KeyRecord[];
  readonly remove?: readonly string[];
  readonly send?: readonly Unstamped[];
  /** For what is not in the record of the session (see `workOf`): after a crash the other side asks again. */
  readonly operation?: Operation;
  readonly request?: Message;
  readonly refused?: Refusal;
  /** What it passes through on the way, without waiting there. */
  readonly via?: SessionState;
  /** Why, in a word: `device`, `timer`; otherwise the type of what came. */
  readonly cause?: string;
  /**
   * The session is kept with its next change, which spares a commit: for what decides nothing, sends nothing, changes no keys, and comes
   * about by itself again after a restart.
   */
  readonly isKeptLater?: boolean;
}

/** A deadline that never comes. */
export const neverMs: number = Number.MAX_SAFE_INTEGER;

/** No later rotation is proposed or accepted (source: the original's validation). */
export const maxAheadMs = 3_600_000;

/** The session with changes, made now. */
export function changed(session: Session, changes: Partial<Session>, { nowMs }: Context): Session {
  return { ...session, ...changes, updatedAtMs: nowMs };
}

/** Nothing happens. */
export function unchanged(session: Session): Transition {
  return { session };
}

/** A message is refused: ERROR to its sender, and the session stays as it is. */
export function refuse(session: Session, code: ErrorCode, reason: string): Transition {
  return { session, refused: { code, reason, answer: true } };
}

/** A message is counted and dropped. */
export function drop(session: Session, code: ErrorCode, reason: string): Transition {
  return { session, refused: { code, reason, answer: false } };
}

/** How long before the rotation the master confirms at the latest: what it says takes a while to arrive. */
export function marginMs({ retransmitMs, graceMs }: ProtocolSettings): number {
  return Math.min(retransmitMs, graceMs / 2);
}

/** The last instant at which a side may still promise to rotate in time. */
export function lastMomentMs(session: Session, { settings }: Context): number {
  return session.rotationAtMs - marginMs(settings);
}

/** Until when a slave may prepare: so that its answer comes before the master gives up. The original's master waits until the end. */
export function readyByMs(session: Session, { settings }: Context): number {
  const graceMs = settings.wire === 'sae-json' ? 0 : settings.graceMs;
  return session.rotationAtMs - graceMs - marginMs(settings);
}

/** Whether an instant of the messages may be agreed upon: later than now, and not by more than an hour. `offsetMs`: the clock of the messages less ours. */
export function timeProblem(timestamp: number, offsetMs: number, nowMs: number): 'past' | 'far' | undefined {
  const aheadMs = timestamp * 1000 - offsetMs - nowMs;
  if (aheadMs <= 0) return 'past';
  return aheadMs > maxAheadMs ? 'far' : undefined;
}
