// What goes into the protocol and what comes out of it. It does no I/O and reads no clock: it is given the time, what has come and what an
// operation brought, and gives steps for its driver to carry out, one after another.

import type { KeyRecord, StoreChange } from '../store/store.js';
import type { ErrorCode, Message, Unstamped } from '../wire/messages.js';
import type { Session } from './session.js';
import type { SessionOutcome, SessionState } from './states.js';

/** What the clocks of both sides are known to differ by. */
export interface ClockDifference {
  /** The other side's clock less ours, in milliseconds. */
  readonly offsetMs: number;
  /** By how much that may be wrong at most: half of the round trip. */
  readonly uncertaintyMs: number;
}

/** What comes to the sessions with one peer. */
export type Input =
  | {
      /** A message whose signature, sequence and ids are good. */
      readonly type: 'message';
      readonly message: Message;
      /** Undefined while nothing was measured, and for the original's envelope. */
      readonly clock: ClockDifference | undefined;
    }
  | {
      /** As the master: begin a session. Ends with `began` or `notBegun` in a step's events. */
      readonly type: 'begin';
      /** How long from now to rotate, in milliseconds. */
      readonly leadMs: number;
    }
  /** A deadline has come: `PeerSessions.dueMs`. */
  | { readonly type: 'due' }
  /** The first packet of the other side under a key was seen. */
  | { readonly type: 'peerUses'; readonly keyId: string }
  /** A new way to the peer has taken the place of another: what waits for an answer is sent again. */
  | { readonly type: 'linked' }
  /** A key was revoked by hand. */
  | { readonly type: 'revoke'; readonly keyId: string };

/** Something that takes its time. A step has at most one, and the next step comes when it is done. */
export type Operation =
  /** Keys for a new session: those that are `available` first, then from the KME. Brings `keyIds`; the keys are stored as `available`. */
  | { readonly type: 'requestKeys' }
  /** As the slave: those of these keys that are not in the store, from the KME. Brings `keyIds`, all of them; stored as `available`. */
  | { readonly type: 'fetchKeys'; readonly keyIds: readonly string[]; readonly untilMs: number }
  /** The persona's calls. `untilMs`: when their signal aborts, and they have failed. */
  | { readonly type: 'preConfigure'; readonly keyId: string; readonly untilMs: number }
  | { readonly type: 'rotate'; readonly keyId: string | null; readonly untilMs: number }
  | { readonly type: 'deleteKeys'; readonly keyIds: readonly string[]; readonly untilMs: number }
  /** Brings `service`. */
  | { readonly type: 'deviceStatus'; readonly untilMs: number };

/** What an operation brought. */
export type OperationResult =
  | {
      readonly ok: true;
      readonly keyIds?: readonly string[];
      readonly service?: string;
      readonly failedKeyIds?: readonly string[];
    }
  | {
      readonly ok: false;
      readonly code: Extract<ErrorCode, 'key_unavailable' | 'kme_unavailable' | 'device_failure'>;
      /** For people and for `error_message`; no key material in it. */
      readonly reason: string;
      /** It was cut off at `untilMs`: it may still succeed, and the same operation may be asked for again. */
      readonly timedOut: boolean;
      /** With `key_unavailable`. */
      readonly keyIds?: readonly string[];
    };

/** What a driver tells of: diagnostics_channel, events, waiting callers. */
export type ProtocolEvent =
  | {
      readonly type: 'transition';
      readonly session: Session;
      readonly from: SessionState;
      readonly cause: string;
    }
  | {
      readonly type: 'rejected';
      readonly code: ErrorCode;
      readonly messageType: string;
      readonly sessionId: string | undefined;
      readonly reason: string;
    }
  | { readonly type: 'ended'; readonly session: Session; readonly outcome: SessionOutcome }
  | { readonly type: 'began'; readonly session: Session }
  | { readonly type: 'notBegun'; readonly code: ErrorCode; readonly reason: string };

/** One step, to be carried out in this order: keep `change`, send `send`, tell `events`, run `operation`. */
export interface Step {
  /** Undefined when nothing is to be kept. When it cannot be kept, nothing of the step happens: `PeerSessions.failed`. */
  readonly change: StoreChange | undefined;
  readonly send: readonly Unstamped[];
  readonly events: readonly ProtocolEvent[];
  readonly operation: Operation | undefined;
}

/** What the protocol reads of the store: what is kept, with the steps that were carried out. */
export interface KeysView {
  keys(): readonly KeyRecord[];
  key(keyId: string): KeyRecord | undefined;
}

/** Settings of one peer. All in milliseconds but where the name says otherwise; docs/keys.md has the defaults. */
export interface ProtocolSettings {
  readonly saeId: string;
  readonly peerSaeId: string;
  /** What this SAE may be towards the peer. */
  readonly role: 'master' | 'slave' | 'both';
  /** Which rules: those of HAWSER, or of the original code. */
  readonly wire: 'hawser' | 'sae-json';
  /** How much time a side needs before the rotation to have everything ready. */
  readonly graceMs: number;
  /** How often the time may be changed for a slave that needs more. */
  readonly maxRounds: number;
  /** Clocks that differ by more are no ground for a rotation. */
  readonly clockToleranceMs: number;
  /** A confirmation that comes later than this after its time is too late. */
  readonly lateMs: number;
  /** When a session that is not confirmed is given up after its rotation time, and how long what was answered is remembered. */
  readonly sessionTimeoutMs: number;
  /** When old keys are deleted without the other side, once both have proved the new one. */
  readonly cleanupTimeoutMs: number;
  /** How long a persona may take for one call. */
  readonly deviceTimeoutMs: number;
  /** How often a device may refuse to rotate before the session is rolled back, and how often failed deletions are asked for. */
  readonly maxDeviceFailures: number;
  readonly maxDeleteRounds: number;
  /** Between copies of a message that waits for its answer: 500 at first, twice as long each time, up to 10,000, with jitter. */
  readonly retransmitMs: number;
  readonly maxRetransmitMs: number;
  /** ERROR messages of a second, at most. */
  readonly errorsPerSecond: number;
}
