// What an SAE tells of its work. Nothing of it has a key in it, only the ids of keys.

import type { Session } from '../protocol/session.js';
import type { SessionOutcome, SessionState } from '../protocol/states.js';
import type { ErrorCode, Role } from '../wire/messages.js';

/** Outcomes of sessions after which both sides use the new key. */
export type RotationOutcome = Extract<SessionOutcome, 'completed' | 'kept' | 'unacknowledged'>;

/** A rotation that came about. */
export interface RotationResult {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** The session. */
  readonly sessionId: string;
  /** Of this SAE. */
  readonly role: Role;
  /** How the session ended. */
  readonly outcome: RotationOutcome;
  /** The key that both sides use now. */
  readonly newKeyId: string;
  /** Null when it was the first key. */
  readonly oldKeyId: string | null;
  /** When the device of this SAE began to send under the new key, in Unix milliseconds. */
  readonly rotatedAtMs: number;
  /** Old keys that remain where they could not be deleted. */
  readonly failedKeyIds: readonly string[];
}

/** A rotation that did not come about: both sides use the old key. */
export interface RotationFailure {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** Undefined when no session was begun. */
  readonly sessionId: string | undefined;
  /** Of this SAE. */
  readonly role: Role;
  /** How the session ended. */
  readonly outcome: Extract<SessionOutcome, 'aborted' | 'rolled_back'>;
  /** Why. */
  readonly code: ErrorCode;
  /** For people. */
  readonly reason: string;
}

/** A session is in another state. */
export interface SessionChange {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** As it is now. */
  readonly session: Session;
  /** The state before. */
  readonly from: SessionState;
  /** What came about: a type of message, or what happened here. */
  readonly cause: string;
}

/** A message that was refused. */
export interface Rejection {
  /** Undefined for a datagram of nobody known. */
  readonly peerSaeId: string | undefined;
  /** Why. */
  readonly code: ErrorCode;
  /** Its type, where it could be read. */
  readonly messageType: string | undefined;
  /** Its session, where it could be read. */
  readonly sessionId: string | undefined;
  /** For people. */
  readonly reason: string;
}

/** Something that is tried again failed. */
export interface SaeFailure {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** What failed. */
  readonly source: 'store' | 'device' | 'kme';
  /** As it was thrown. */
  readonly error: unknown;
}

/** A key that may not be used any more, and is in production. */
export interface KeyExpiry {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** The key. */
  readonly keyId: string;
}

/** The events of an {@link Sae} with the arguments of their listeners. */
export interface SaeEvents {
  /** A rotation is through: its session is over at this side. */
  rotation: [result: RotationResult];
  /** A rotation did not come about: its session is over at this side. */
  rotationFailed: [failure: RotationFailure];
  /** A session is in another state. */
  state: [change: SessionChange];
  /** A message was refused. */
  rejected: [rejection: Rejection];
  /** The key in production has expired; with `failClosed`, `failedClosed` follows. */
  keyExpired: [expiry: KeyExpiry];
  /** Traffic with the peer was stopped: there is no key that may be used. The next rotation lets it flow again. */
  failedClosed: [peer: { readonly peerSaeId: string }];
  /** The store, a device or a KME failed. What is under way goes on as docs/keys.md says. */
  failure: [failure: SaeFailure];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}
