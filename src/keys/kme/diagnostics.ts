// What is told of each request to a key management entity, on node:diagnostics_channel. No key is in it.

import { type TypedChannel, typedChannel } from '../../base/diagnostics.js';
import type { HawserErrorCode } from '../../base/errors.js';
import type { KmeMethod } from './methods.js';

/** Message of the channel `hawser:keys.kme`: one request and what became of it. */
export interface KmeMessage {
  /** The origin of the KME, such as `https://kme-a.example:8443`. */
  readonly kme: string;
  /** What was asked for. */
  readonly method: KmeMethod;
  /** The other SAE, which the path of the request names. */
  readonly peerSaeId: string;
  /** 1 for the first request of a call, and so on. */
  readonly attempt: number;
  /** Of HTTP; null when no answer came. */
  readonly status: number | null;
  /** How many keys came. */
  readonly keys: number;
  /** How long the answer took. */
  readonly durationMs: number;
  /** Null when all is well. */
  readonly code: HawserErrorCode | null;
}

export const kmeChannelName = 'hawser:keys.kme';

/** Where {@link KmeMessage}s are published. */
export const kmeChannel: TypedChannel<KmeMessage> = typedChannel(kmeChannelName);
