// What is kept of one synchronisation: by itself it says what to do after a restart.

import type { ErrorCode, Message, Role, Unstamped } from '../wire/messages.js';
import type { SessionOutcome, SessionState } from './states.js';

/** A session. Immutable: each transition makes another. Times are Unix milliseconds of this SAE's clock. */
export interface Session {
  /** The session. */
  readonly sessionId: string;
  /** The role of this SAE in the session. */
  readonly role: Role;
  /** Where it stands. */
  readonly state: SessionState;
  /** Counts the sessions of the pair, from 1. */
  readonly epoch: number;
  /** Of the last notification: that of the first round is the session's id. */
  readonly notificationId: string;
  /** 1 for the first notification. */
  readonly round: number;
  /** The keys that the notification named. */
  readonly keyIds: readonly string[];
  /** The key to rotate to: the master's, and the other's, selection. Null before there is one. */
  readonly newKeyId: string | null;
  /** What was in production when the session began; null for none. */
  readonly oldKeyId: string | null;
  /** The agreed instant as the messages have it: Unix seconds of the master's clock. */
  readonly rotationTimestamp: number;
  /** The same by this SAE's clock. */
  readonly rotationAtMs: number;
  /** When the other side is given up, or old keys are deleted without it. */
  readonly deadlineAtMs: number;
  /** Whether the other side has proved, by message or packet, that it sends under the new key. */
  readonly peerProved: boolean;
  /** The message that waits for its answer and is sent again until that comes. */
  readonly awaiting: Unstamped | null;
  /** What was answered, by the id of the message that it answers: the same message gets the same answer. */
  readonly replies: Readonly<Record<string, Unstamped<Message>>>;
  /** Old keys that are still to be deleted here, and those that the other side could not delete. */
  readonly deleting: readonly string[];
  /** Old keys that the other side could not delete. */
  readonly failedKeyIds: readonly string[];
  /** How often cleanup was asked for, and how often a device refused to rotate. */
  readonly deleteRounds: number;
  /** How often a device refused to rotate. */
  readonly deviceFailures: number;
  /** How it ended; null while it goes on. */
  readonly outcome: SessionOutcome | null;
  /** Why it was aborted or rolled back. */
  readonly reason: ErrorCode | null;
  /** When it began. */
  readonly startedAtMs: number;
  /** When it last changed. */
  readonly updatedAtMs: number;
}

/** One that begins: its notification is about to be sent, or has just come. */
export function newSession(
  given: Pick<
    Session,
    | 'sessionId'
    | 'role'
    | 'epoch'
    | 'notificationId'
    | 'keyIds'
    | 'oldKeyId'
    | 'rotationTimestamp'
    | 'rotationAtMs'
    | 'deadlineAtMs'
    | 'startedAtMs'
  >,
): Session {
  return {
    ...given,
    state: 'NOTIFIED',
    round: 1,
    newKeyId: null,
    peerProved: false,
    awaiting: null,
    replies: {},
    deleting: [],
    failedKeyIds: [],
    deleteRounds: 0,
    deviceFailures: 0,
    outcome: null,
    reason: null,
    updatedAtMs: given.startedAtMs,
  };
}
