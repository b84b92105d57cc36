// What a gateway can be told in its configuration: `hawser.config.js`, `.json` or `.ts`, or an object given to `openGateway`.

import type { Wire } from '../base/wire.js';
import type { ChannelMap, ChannelMode, ChannelPriority, ChannelRedundancy } from '../transport/channels.js';
import type { ServerOptions } from '../transport/options.js';
import type { GatewayHandlers } from './handlers.js';
import type { Logger, LogLevel } from './log/logger.js';

/**
 * A text that is not for everybody's eyes: as it stands (for a try only), the content of a file without white space at its ends, or an
 * environment variable. Paths are relative to the configuration file.
 */
export type SecretText = string | { readonly file: string } | { readonly env: string };

/** What a listener can serve. Their order in `layers` is that of their channels. */
export type LayerName = 'messages' | 'interaction' | 'sync' | 'sessions' | 'keys';

/** A channel of the layer `messages` as JSON can say it; in JavaScript a `ChannelMap` can be given instead. */
export interface ChannelConfig {
  /** What it does with its messages. */
  readonly mode: ChannelMode;
  /** `bytes` by default. */
  readonly codec?: 'bytes' | 'text' | 'json';
  /** Not of unreliable channels. 65,536 by default. */
  readonly maxMessageBytes?: number;
  /** Which of the messages that wait for a peer go first; `normal` by default. */
  readonly priority?: ChannelPriority;
  /** Of unreliable channels. */
  readonly congestionControlled?: boolean;
  /** Not of unreliable channels. `auto` by default. */
  readonly redundancy?: ChannelRedundancy;
}

/** Options of the transport that a listener takes as they are. */
type PassedServerOptions = Pick<
  ServerOptions,
  | 'maxHalfOpen'
  | 'serverIndex'
  | 'sameClient'
  | 'clockSkewMs'
  | 'restartGuardMs'
  | 'freshKeys'
  | 'maxTokenLifetimeMs'
  | 'netcode'
  | 'driver'
  | 'threads'
  | 'spinMicros'
  | 'congestion'
  | 'creditBytes'
  | 'channelCreditBytes'
  | 'maxCreditBytes'
  | 'maxGrownCreditBytes'
  | 'maxReassemblyBytes'
  | 'highWaterBytes'
  | 'maxQueuedBytes'
  | 'onQueueFull'
  | 'maxSendMemoryBytes'
  | 'dscp'
  | 'receiveBufferBytes'
  | 'sendBufferBytes'
  | 'ipv6Only'
  | 'connectionIdLength'
  | 'maxDatagramBytes'
  | 'reusePort'
  | 'simulate'
>;

/** One UDP address. Clients declare the same channels as its layers have: `gatewayChannels(layers)`. */
export interface ListenerConfig extends PassedServerOptions {
  /** Its name in logs, metrics and views: 1 to 64 letters, digits, `-`, `_`; `udp` for the first by default, then `udp2`, `udp3`. */
  readonly name?: string;
  /** The address to bind, `host:port`; `127.0.0.1:4433` by default for the first listener, needed for all others. */
  readonly address?: string;
  /** The addresses under which clients reach it, as tokens list them; by default those that are bound. */
  readonly publicAddresses?: readonly string[];
  /** `['hawser']` by default. Layers other than `messages` need reliable channels, which netcode has not: with it there is no other. */
  readonly wires?: readonly Wire[];
  /**
   * At least one. By default `sync`, `sessions` and `keys` where `sync`, `sessions` and `sae` are configured, in this order; `messages` where
   * none is, and before them where `channels` are given. `interaction` is to be named.
   */
  readonly layers?: readonly LayerName[];
  /** Of the layer `messages`; one unreliable channel `default` of bytes by default. */
  readonly channels?: ChannelMap | Readonly<Record<string, ChannelConfig>>;
  /** 32 bytes, base64url: `resetKey` of the transport, so that clients learn at once of a restart. */
  readonly resetKey?: SecretText;
}

/** The limits of every listener. They can be changed while the gateway runs: SIGHUP. */
export interface LimitsConfig {
  /** Peers at a time at each listener, 1 to 1,000,000; 10,000 by default. A reload cannot go beyond the number of the start; lower ones let nobody in until enough have left. */
  readonly maxPeers?: number;
  /** 0 for no limit, the default. */
  readonly maxPacketsPerSecondPerPeer?: number;
  /** 0 for no limit, the default. */
  readonly maxBytesPerSecondPerPeer?: number;
}

/** The layer `sync`: a manager. */
export interface SyncConfig {
  /** The directory of its store (LMDB); `memory` keeps nothing over a restart. */
  readonly store: string;
  /** The greatest size of the store in bytes, 1,048,576 to 2^46; 64 GiB by default. */
  readonly maxStoreBytes?: number;
  /** How much of it the documents of one agent may take, at most all of it; a quarter by default. */
  readonly maxStoreBytesPerAgent?: number;
  /** Further options of `SyncManager`, as documented there, but for functions and the store. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** The layer `sessions`. */
export interface SessionsConfig {
  /** `memory` (the default), `lmdb:DIR`, or `etcd://HOST:PORT,...[/NAMESPACE]`, `etcds://` for TLS. */
  readonly store?: string;
  /** Where clients are sent to reach this gateway, and its name in the store; the first public address of the listener by default. */
  readonly advertise?: string;
  /** `active` by default. */
  readonly cluster?: 'active' | 'leader';
  /** 10,000 to 120,000; 30,000 by default. */
  readonly keepAliveIntervalMs?: number;
  /** At least twice that, at most 3,600,000; three times by default. */
  readonly sessionTimeoutMs?: number;
}

/** The HTTP endpoint that gives tokens to whoever asks: for development, in place of a backend that knows its users. */
export interface TokensConfig {
  /** `127.0.0.1:4480` by default. */
  readonly address?: string;
}

/** The HTTP side for operators: dashboard, its API, metrics, health. */
export interface AdminConfig {
  /** `127.0.0.1:4490` by default. */
  readonly address?: string;
  /** Needed where the address is not one of loopback; there and with it everything but health asks for it. 16 to 512 characters. */
  readonly token?: SecretText;
  /** Names other than IP addresses and `localhost` under which it is reached: those of a TLS proxy, or of a Service of Kubernetes. At most 64. */
  readonly hosts?: readonly string[];
  /** Whether the dashboard is served; true by default. */
  readonly dashboard?: boolean;
  /** Whether /metrics is served: needs `prom-client`. By default true where that is installed. */
  readonly metrics?: boolean;
}

/** What a gateway writes of itself, and where. */
export interface LogConfig {
  /** `info` by default. With `logger` it says nothing: that has a level of its own. */
  readonly level?: LogLevel;
  /** Whether what happens is told, too: peers, sessions, rotations, syncs, drops; true by default. False leaves what needs somebody's care. */
  readonly events?: boolean;
  /** A logger of the shape of pino's instead of lines of JSON on standard error; from JavaScript only. */
  readonly logger?: Logger;
}

/** A further HTTP address that answers `GET /metrics` and nothing else, without a token: for a Prometheus that is let through to it. */
export interface MetricsConfig {
  /** `host:port`. */
  readonly address: string;
}

/** What `hawser capture`, and whoever else reaches the control socket, may record. It can be changed while the gateway runs: SIGHUP. */
export interface CaptureConfig {
  /**
   * Whether a capture may ask for the decrypted packets, with all that peers say; false by default. Where it becomes false, captures that
   * have them end.
   */
  readonly plaintext?: boolean;
}

/** How a gateway ends when it is told to: SIGTERM. */
export interface DrainConfig {
  /** How long peers have to leave, 0 to 86,400,000; 10,000 by default. */
  readonly deadlineMs?: number;
  /** The gateway that peers are asked to go to, with a port other than 0 and not an unspecified address; none by default. */
  readonly elsewhere?: string;
  /** Over how many milliseconds those who leave are to spread their first attempt elsewhere, 0 to 3,600,000; 0 by default. */
  readonly reconnectSpreadMs?: number;
}

/** The whole configuration. Everything may be left out. */
export interface GatewayConfig {
  /** Its name in logs, metrics and traces: 1 to 64 characters; `gateway` by default. */
  readonly name?: string;
  /** Which application it serves: an unsigned 64-bit number, in JSON as a string beyond 2^53; 1 by default. */
  readonly protocolId?: bigint | number | string;
  /** 1 to 64 server keys in their text form; the variable HAWSER_KEY by default, else one made for this run. Read again at SIGHUP. */
  readonly keys?: readonly SecretText[];
  /** At least one; one on `127.0.0.1:4433` by default. */
  readonly listeners?: readonly ListenerConfig[];
  /** The user's module, relative to the configuration file, or its exports. By default messages and requests are answered with what they say. */
  readonly handlers?: string | GatewayHandlers;
  /** Of every listener. */
  readonly limits?: LimitsConfig;
  /** The layer `sync`. */
  readonly sync?: SyncConfig;
  /** The layer `sessions`. */
  readonly sessions?: SessionsConfig;
  /** The layer `keys`: the configuration of `hawser sae` (docs/keys.md), a file or its content. Its `transport` is that of the listener. */
  readonly sae?: string | Readonly<Record<string, unknown>>;
  /** Off by default. */
  readonly tokens?: TokensConfig | boolean;
  /** On loopback by default, at another port where that of the default is taken; false for none. */
  readonly admin?: AdminConfig | boolean;
  /** Off by default; needs `prom-client`. */
  readonly metrics?: MetricsConfig;
  /**
   * The Unix socket (named pipe on Windows) by which `hawser top`, `capture`, `reload` and `drain` find it; by default one named after
   * the gateway in the directory of the user's runtime files; false for none.
   */
  readonly control?: string | boolean;
  /** What may be captured of it. */
  readonly capture?: CaptureConfig;
  /** What it writes of itself. */
  readonly log?: LogConfig;
  /** Metrics and traces through the global providers of `@opentelemetry/api`; false by default. */
  readonly openTelemetry?: boolean;
  /** How it ends. */
  readonly drain?: DrainConfig;
}
