// hawser/sync: agents that push their state to a manager, and nothing is lost.

export type { BackoffOptions } from '../base/backoff.js';
export type {
  ConnectionManagerOptions,
  ManagedConnectOptions,
  ManagerState,
} from '../base/connection-manager.js';
export type { Durability } from '../base/durability.js';
export { errorTable, HawserError, type HawserErrorCode } from '../base/errors.js';
export type {
  Connector,
  Farewell,
  MessageConnection,
  MessageReceiver,
} from '../base/message-connection.js';
export type { CollectedMetric, MetricsRegistry } from '../base/prometheus.js';
export { type Random, seededRandom, systemRandom } from '../base/random.js';
export { systemWheel, TimingWheel, WheelTimer } from '../base/timing-wheel.js';
export {
  SyncAgent,
  type SyncAgentEvents,
  type SyncAgentOptions,
  type SyncAgentStats,
  type SyncCallOptions,
  type SynchronizeOptions,
} from './agent/agent.js';
export type { DifferenceOptions } from './agent/memory.js';
export type {
  ChecksumVerdict,
  LogCode,
  LogLevel,
  SyncFailure,
  SyncProgress,
  SyncResult,
  SyncWaiting,
} from './agent/results.js';
export type { RouterStats } from './agent/router.js';
export type { AgentState } from './agent/states.js';
export { SyncClient, type SyncClientEvents, type SyncClientOptions } from './agent/sync-client.js';
export type {
  Counts,
  ManagerLogCode,
  SessionEnded,
  SessionProgress,
  SessionStarted,
  SyncManagerEvents,
  SyncManagerStats,
} from './manager/events.js';
export { SyncManager, type SyncManagerOptions } from './manager/manager.js';
export { registerSyncMetrics } from './manager/metrics.js';
export type { ContextItem } from './manager/options.js';
export {
  type AgentAcceptor,
  type ServeSyncOptions,
  type SyncChannels,
  type SyncConnectorOptions,
  serveSync,
  syncChannels,
  syncConnector,
} from './over-hawser.js';
export { type LmdbQueue, openQueue, type QueueOptions } from './queue/lmdb-queue.js';
export { MemoryQueue, type MemoryQueueOptions } from './queue/memory-queue.js';
export {
  type Difference,
  type DifferenceOperation,
  differenceOperations,
  type PendingItem,
  type QueueCounts,
  type QueueMark,
  type Snapshot,
  type SnapshotLimits,
  type SyncQueue,
} from './queue/queue.js';
export type { AgentUsage } from './store/agent-share.js';
export { checksumOf, documentSha1 } from './store/checksum.js';
export { type LmdbSyncStore, openStore, type StoreOptions } from './store/lmdb-store.js';
export { MemoryStore, type MemoryStoreOptions } from './store/memory-store.js';
export type {
  Change,
  CommittedSession,
  StoredDocument,
  StoredSession,
  SyncStore,
} from './store/store.js';
export {
  type AgentMetadata,
  type AgentMode,
  type DataItem,
  limits,
  type Mode,
  type ModuleMode,
  modes,
  type Operation,
  operations,
  type Reason,
  reasons,
  type Start,
  type StartOption,
  type Status,
  startOptions,
  statuses,
} from './wire/messages.js';
