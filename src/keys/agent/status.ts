// What can be asked of an SAE at any time. No key is in it, only ids.

import type { SessionOutcome, SessionState } from '../protocol/states.js';
import type { ClockDifference } from '../protocol/steps.js';
import type { KeyStatus } from '../store/store.js';
import type { ErrorCode, Role } from '../wire/messages.js';
import type { SaeWire } from '../wire/wire-name.js';
import type { PeerRole } from './peer-options.js';

/**
 * Why a message of a peer was dropped without an effect: a code of the protocol; `too_long`; `too_many`: more came than is looked at;
 * `foreign`: it is signed by another peer than the connection is of.
 */
export type DropReason = ErrorCode | 'too_long' | 'too_many' | 'foreign';

/** How many messages were dropped, by the reason. */
export type DropCounts = Readonly<Partial<Record<DropReason, number>>>;

/** A session that is under way. */
export interface SessionStatus {
  /** The session. */
  readonly sessionId: string;
  /** The role of this SAE in the session. */
  readonly role: Role;
  /** Where it stands. */
  readonly state: SessionState;
  /** Counts the sessions of the pair, from 1. */
  readonly epoch: number;
  /** The key to rotate to; null before there is one. */
  readonly newKeyId: string | null;
  /** What was in production when it began; null for none. */
  readonly oldKeyId: string | null;
  /** By the clock of this SAE, in Unix milliseconds. */
  readonly rotationAtMs: number;
}

/** The last session that ended. */
export interface LastSession {
  /** The session. */
  readonly sessionId: string;
  /** The role of this SAE in the session. */
  readonly role: Role;
  /** How it ended. */
  readonly outcome: SessionOutcome;
  /** Why it did not come about; null when it did. */
  readonly code: ErrorCode | null;
  /** In Unix milliseconds. */
  readonly endedAtMs: number;
}

/** How an SAE stands with one peer. */
export interface PeerStatus {
  /** The peer. */
  readonly peerSaeId: string;
  /** Of this SAE towards the peer. */
  readonly role: PeerRole;
  /** The envelope that the two speak. */
  readonly wire: SaeWire;
  /** The name of the persona that has its device. */
  readonly persona: string;
  /** Whether there is a way to it: a connection, or an address. */
  readonly linked: boolean;
  /** Whether its device was set up since this SAE was opened; until then nothing is done with the peer. */
  readonly ready: boolean;
  /** The key that the device sends under, as far as the store knows; null for none. */
  readonly productionKeyId: string | null;
  /** When that key expires, in Unix milliseconds; null for never. */
  readonly productionExpiresAtMs: number | null;
  /** Whether its traffic is stopped for want of a key. */
  readonly failedClosed: boolean;
  /** How many keys there are, by their status. */
  readonly keys: Readonly<Record<KeyStatus, number>>;
  /** The one that is under way; undefined for none. */
  readonly session: SessionStatus | undefined;
  /** Since this SAE was opened. */
  readonly lastSession: LastSession | undefined;
  /** Rotations that came about, since this SAE was opened. */
  readonly rotations: number;
  /** Rotations that did not, since this SAE was opened. */
  readonly failures: number;
  /** When the next rotation begins by itself, in Unix milliseconds; null when none will. */
  readonly nextBeginAtMs: number | null;
  /** What the clocks differ by, as measured in this session or the last. */
  readonly clock: ClockDifference | undefined;
  /** Messages that were sent. */
  readonly sent: number;
  /** Messages that came and had an effect. */
  readonly received: number;
  /** Messages for which there was no way, which the way did not take, or that were too long, for ids of the greatest length. */
  readonly unsent: number;
  /** Messages that came and had none, by the reason. */
  readonly dropped: DropCounts;
}

/** How an SAE stands. */
export interface SaeStatus {
  /** Its id. */
  readonly saeId: string;
  /** Each of its peers. */
  readonly peers: readonly PeerStatus[];
  /** Datagrams of nobody that is known. */
  readonly dropped: DropCounts;
}
