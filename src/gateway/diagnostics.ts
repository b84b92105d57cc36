// What a gateway tells of itself on node:diagnostics_channel, beside what its layers tell.

import { type TypedChannel, typedChannel } from '../base/diagnostics.js';
import type { ReloadReport } from './observed-gateway.js';
import type { GatewayState } from './snapshot.js';

/** Message of the channel `hawser:gateway.state`. */
export interface GatewayStateMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** The state now. */
  readonly state: GatewayState;
}

/** Message of the channel `hawser:gateway.reload`: a reload is through. */
export interface GatewayReloadMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** Null when the configuration was wrong: nothing has changed. */
  readonly report: ReloadReport | null;
  /** What is wrong with it; null when nothing is. */
  readonly error: string | null;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** Message of the channel `hawser:gateway.drain`: the gateway has drained, and is about to stop. */
export interface GatewayDrainMessage {
  /** The name of the gateway. */
  readonly gateway: string;
  /** How many were connected at its beginning, and at its end: these were disconnected. */
  readonly peersBefore: number;
  /** How many were connected at its end. */
  readonly peersLeft: number;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** The names of the channels of a gateway. */
export const channelNames = {
  state: 'hawser:gateway.state',
  reload: 'hawser:gateway.reload',
  drain: 'hawser:gateway.drain',
} as const;

export const diagnostics: {
  readonly state: TypedChannel<GatewayStateMessage>;
  readonly reload: TypedChannel<GatewayReloadMessage>;
  readonly drain: TypedChannel<GatewayDrainMessage>;
} = {
  state: typedChannel(channelNames.state),
  reload: typedChannel(channelNames.reload),
  drain: typedChannel(channelNames.drain),
};
