// A configuration that has been checked, with every default: what a gateway is opened from.

import type { Wire } from '../base/wire.js';
import type { ClusterMode } from '../sessions/server/options.js';
import type { ChannelMap } from '../transport/channels.js';
import type { ServerOptions } from '../transport/options.js';
import type { CapturePlan } from './capture/captures.js';
import type { LayerName, SecretText } from './config.js';
import type { GatewayHandlers } from './handlers.js';
import type { Logger, LogLevel } from './log/logger.js';
import type { SaeConfig } from './sae/config.js';
import type { StoreAddress } from './session-store.js';

/** Options of the transport that a listener has from its configuration. */
export type ListenerOptions = Omit<
  ServerOptions,
  | 'channels'
  | 'keys'
  | 'protocolId'
  | 'resetKey'
  | 'maxPeers'
  | 'maxPacketsPerSecondPerPeer'
  | 'maxBytesPerSecondPerPeer'
>;

export interface ListenerPlan {
  readonly name: string;
  /** `host:port`, in canonical form. */
  readonly address: string;
  readonly publicAddresses: readonly string[];
  readonly wires: readonly Wire[];
  readonly layers: readonly LayerName[];
  /** Those of the layer `messages`, first; empty without it. */
  readonly messageChannels: ChannelMap;
  /** All of them, in the order of the layers. */
  readonly channels: ChannelMap;
  readonly resetKey: SecretText | undefined;
  readonly options: ListenerOptions;
}

export interface LimitsPlan {
  readonly maxPeers: number;
  readonly maxPacketsPerSecondPerPeer: number;
  readonly maxBytesPerSecondPerPeer: number;
}

export interface SyncPlan {
  /** A directory; undefined for memory. */
  readonly directory: string | undefined;
  readonly options: Readonly<Record<string, unknown>>;
  readonly storeOptions: { readonly maxBytes?: number; readonly maxBytesPerAgent?: number };
}

export interface SessionsPlan {
  readonly store: StoreAddress;
  readonly advertise: string | undefined;
  readonly cluster: ClusterMode;
  readonly times: { readonly keepAliveIntervalMs?: number; readonly sessionTimeoutMs?: number };
}

export interface AdminPlan {
  /** Undefined for the default, which gives way where it is taken. */
  readonly address: string | undefined;
  readonly token: SecretText | undefined;
  readonly hosts: readonly string[];
  readonly dashboard: boolean;
  /** Undefined: where `prom-client` is installed. */
  readonly metrics: boolean | undefined;
}

export interface DrainPlan {
  readonly deadlineMs: number;
  readonly elsewhere: string | undefined;
  readonly reconnectSpreadMs: number;
}

export interface GatewayPlan {
  readonly name: string;
  readonly protocolId: bigint;
  /** Undefined for HAWSER_KEY, or one that is made. */
  readonly keys: readonly SecretText[] | undefined;
  readonly listeners: readonly [ListenerPlan, ...ListenerPlan[]];
  /** The path of a module, or its exports. */
  readonly handlers: string | GatewayHandlers | undefined;
  readonly limits: LimitsPlan;
  /** Where a listener has the layer `sync`; so are the next two. */
  readonly sync: SyncPlan | undefined;
  readonly sessions: SessionsPlan | undefined;
  readonly sae: SaeConfig | undefined;
  /** An address; undefined for none. */
  readonly tokens: string | undefined;
  readonly admin: AdminPlan | undefined;
  /** An address; undefined for none. */
  readonly metrics: string | undefined;
  /** A path; true for that of the default, false for none. */
  readonly control: string | boolean;
  readonly capture: CapturePlan;
  readonly log: { readonly level: LogLevel; readonly events: boolean; readonly logger: Logger | undefined };
  readonly openTelemetry: boolean;
  readonly drain: DrainPlan;
  /** The directory that paths are relative to. */
  readonly base: string;
}

/** Whether any listener serves that layer. */
export function serves({ listeners }: Pick<GatewayPlan, 'listeners'>, layer: LayerName): boolean {
  return listeners.some(({ layers }) => layers.includes(layer));
}
