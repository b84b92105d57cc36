// hawser/sessions: sessions that outlive connections, processes and gateways, and requests that count once.

export type { BackoffOptions } from '../base/backoff.js';
export type { ConnectionManagerOptions } from '../base/connection-manager.js';
export { errorTable, HawserError, type HawserErrorCode } from '../base/errors.js';
export type { Farewell, MessageConnection, MessageReceiver } from '../base/message-connection.js';
export type { CollectedMetric, MetricsRegistry } from '../base/prometheus.js';
export { type Random, seededRandom, systemRandom } from '../base/random.js';
export { systemWheel, TimingWheel, WheelTimer } from '../base/timing-wheel.js';
export {
  type AdaptiveIntervals,
  type ClientState,
  clientStates,
  type GatewayTarget,
  type ReceivedServerRequest,
  type SessionCallOptions,
  type SessionClientEvents,
  type SessionClientOptions,
  type SessionClientStats,
  type SessionConnectOptions,
  type SessionConnector,
  type SessionLeaveOptions,
  type SessionSnapshot,
} from './client/options.js';
export { SessionClient } from './client/session-client.js';
export { SessionUserError } from './client/session-errors.js';
export type { ZraftClientMessage, ZraftServerMessage } from './compat/zraft-messages.js';
export { type LossReason, ZraftTransport, type ZraftTransportOptions } from './compat/zraft-transport.js';
export { registerSessionMetrics, type SessionMetricsSource } from './health/metrics.js';
export {
  type ServeSessionsOptions,
  type SessionAcceptor,
  type SessionChannels,
  type SessionConnectorOptions,
  serveSessions,
  sessionChannels,
  sessionConnector,
} from './over-hawser.js';
export type {
  SessionEventName,
  SessionLeaderMessage,
  SessionMessage,
  SessionQueryMessage,
  SessionRejectedMessage,
  SessionRequestMessage,
  SessionServingMessage,
  SessionSkewMessage,
} from './server/diagnostics.js';
export {
  type DropReason,
  dropReasons,
  type HeartbeatDiagnostics,
  type Histogram,
  type SessionServerEvents,
  type SessionServerStats,
} from './server/events.js';
export type {
  Effects,
  ExpireHandler,
  QueryContext,
  QueryHandler,
  RequestContext,
  RequestHandler,
  RequestOutcome,
  ServerRequestDraft,
  SessionEnd,
  SessionInfo,
} from './server/handler.js';
export {
  type ClusterMode,
  clusterModes,
  type Renewal,
  renewals,
  type SessionServerOptions,
  type SkewPolicy,
  skewPolicies,
} from './server/options.js';
export type { SessionPeer } from './server/session.js';
export { SessionServer } from './server/session-server.js';
export { type EtcdStoreOptions, openEtcdStore } from './store/etcd-store.js';
export { type LmdbSessionStore, type LmdbSessionStoreOptions, openSessionStore } from './store/lmdb-store.js';
export { MemorySessionStore, type MemorySessionStoreOptions } from './store/memory-store.js';
export type {
  Compare,
  Range,
  SessionStore,
  StoreChange,
  StoreEntry,
  StoreLease,
  Transaction,
  TransactionResult,
  WatchListener,
  Write,
} from './store/store.js';
export {
  type Capabilities,
  type CloseReason,
  type Delivery,
  deliveries,
  limits,
  type RejectReason,
} from './wire/messages.js';
