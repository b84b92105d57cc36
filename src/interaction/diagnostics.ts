// What connections of the interaction protocol tell of themselves on node:diagnostics_channel.

import { type TypedChannel, typedChannel } from '../base/diagnostics.js';
import type { Request } from './messages.js';
import type { Status } from './status.js';

/** Message of the channel `hawser:interaction.request`: a request of the other side was answered, or nobody is there any more. */
export interface InteractionRequestMessage {
  /** What was asked for. */
  readonly operation: Request['operation'];
  /** What it was answered with; `BUSY` also when it was not handed to anybody. */
  readonly status: Status;
  /** How long `serve` took, in milliseconds. */
  readonly durationMs: number;
}

/** Message of the channel `hawser:interaction.open`: a device serves another connection. */
export interface InteractionOpenMessage {
  /** How many it serves now. */
  readonly connections: number;
}

/** Message of the channel `hawser:interaction.close`: a connection of a device is over. */
export interface InteractionCloseMessage {
  /** The code of the error, or its name; null when one of the sides closed. */
  readonly error: string | null;
}

/** The names of the channels of the interaction layer. */
export const channelNames = {
  open: 'hawser:interaction.open',
  request: 'hawser:interaction.request',
  close: 'hawser:interaction.close',
} as const;

export const diagnostics: {
  readonly open: TypedChannel<InteractionOpenMessage>;
  readonly request: TypedChannel<InteractionRequestMessage>;
  readonly close: TypedChannel<InteractionCloseMessage>;
} = {
  open: typedChannel(channelNames.open),
  request: typedChannel(channelNames.request),
  close: typedChannel(channelNames.close),
};
