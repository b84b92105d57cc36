// hawser: encrypted, connection-oriented UDP for Node.js. A Server holds many peers; connect() opens a connection to one.

export type { Address } from './base/address.js';
export type { Clock, Timer } from './base/clock.js';
export { errorTable, HawserError, type HawserErrorCode } from './base/errors.js';
export { unhandledListenerErrors } from './base/isolate.js';
export type { CollectedMetric, MetricsRegistry } from './base/prometheus.js';
export type { Wire } from './base/wire.js';
export type { ServerKey } from './token/server-key.js';
export {
  type Channel,
  type ChannelMap,
  type ChannelMode,
  type ChannelName,
  type ChannelOptions,
  type ChannelPriority,
  type ChannelRedundancy,
  type ChannelValue,
  type DefaultChannels,
  type FirstChannelValue,
  type ReliableChannelName,
  type ReliableMode,
  reliable,
  reliableUnordered,
  sequenced,
  type UnreliableChannelOptions,
  unreliable,
} from './transport/channels.js';
export {
  Client,
  type ClientEvents,
  type ConnectionOptions,
  type ConnectOptions,
  connect,
} from './transport/client.js';
export { bytes, type Codec, json, text } from './transport/codecs.js';
export { ConnectError, type ConnectErrorDetails } from './transport/connect-error.js';
export { Connection, type ConnectionEvents } from './transport/connection.js';
export type {
  ConnectionStateMessage,
  DropMessage,
  PeerConnectMessage,
  PeerDisconnectMessage,
  SocketStateMessage,
} from './transport/diagnostics.js';
export type { ImpairmentOptions } from './transport/impairment.js';
export type {
  KeyUpdateInfo,
  KeyUpdateOptions,
  PeerSecretUser,
  SecretSource,
  SecretUser,
} from './transport/key-update.js';
export type { ConfirmedSendOptions, Link, SendOptions } from './transport/link.js';
export { registerTransportMetrics, type TransportMetricsSource } from './transport/metrics.js';
export type { Network } from './transport/network.js';
export type {
  ClientOptions,
  NetcodeOptions,
  QueueFullPolicy,
  ServerLimits,
  ServerOptions,
  SocketOptions,
  TokenHistory,
} from './transport/options.js';
export { type DisconnectOptions, type GoawayOptions, Peer } from './transport/peer.js';
export {
  type ConnectionState,
  type ConnectResult,
  type DeniedReason,
  type DisconnectInfo,
  type DisconnectResult,
  disconnectCodes,
  type GoawayInfo,
  netcodeStates,
  type SocketMode,
  type SocketState,
} from './transport/results.js';
export {
  type BroadcastOptions,
  type CloseOptions,
  type DrainOptions,
  Server,
  type ServerEvents,
} from './transport/server.js';
export type { PeerSet } from './transport/shards.js';
export type { BatchListener } from './transport/socket.js';
export type { CounterName, DropReason, TransportStats } from './transport/stats.js';
export type { TokenSource } from './transport/token-source.js';
