// What an SAE tells of itself on node:diagnostics_channel. No message has key material in it.

import { type TypedChannel, typedChannel } from '../../base/diagnostics.js';
import type { SessionOutcome, SessionState } from '../protocol/states.js';
import type { ErrorCode, Role } from '../wire/messages.js';

/** Message of the channel `hawser:keys.transition`. */
export interface KeysTransitionMessage {
  /** The SAE that tells it. */
  readonly saeId: string;
  /** The other SAE. */
  readonly peerSaeId: string;
  /** The session. */
  readonly sessionId: string;
  /** The role of this SAE in the session. */
  readonly role: Role;
  /** Counts the sessions of the pair, from 1. */
  readonly epoch: number;
  /** The state before. */
  readonly from: SessionState;
  /** The state now. */
  readonly to: SessionState;
  /** What came about: a type of message, or what happened here. */
  readonly cause: string;
  /** The key to rotate to; null before there is one. */
  readonly newKeyId: string | null;
  /** How the session ended; null while it goes on. */
  readonly outcome: SessionOutcome | null;
}

/** Message of the channel `hawser:keys.rejected`. */
export interface KeysRejectedMessage {
  /** The SAE that tells it. */
  readonly saeId: string;
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

/** The calls of a persona. */
export type DeviceCallName = 'preConfigure' | 'rotate' | 'deleteKey' | 'status' | 'failClosed';

/** Message of the channel `hawser:keys.device`: one call of a persona is over, or was given up. */
export interface KeysDeviceMessage {
  /** The SAE that tells it. */
  readonly saeId: string;
  /** The other SAE. */
  readonly peerSaeId: string;
  /** The name of the persona. */
  readonly persona: string;
  /** What was asked of the device. */
  readonly call: DeviceCallName;
  /** Undefined where the call is about none. */
  readonly keyId: string | undefined;
  /** How long it took. */
  readonly durationMs: number;
  /** Why it failed; undefined when it did not. */
  readonly error: string | undefined;
}

/** The names of the channels of an SAE; that of its KMEs is in ../kme/diagnostics.ts. */
export const channelNames = {
  transition: 'hawser:keys.transition',
  rejected: 'hawser:keys.rejected',
  device: 'hawser:keys.device',
} as const;

export const diagnostics: {
  readonly transition: TypedChannel<KeysTransitionMessage>;
  readonly rejected: TypedChannel<KeysRejectedMessage>;
  readonly device: TypedChannel<KeysDeviceMessage>;
} = {
  transition: typedChannel(channelNames.transition),
  rejected: typedChannel(channelNames.rejected),
  device: typedChannel(channelNames.device),
};
