// hawser/sync: agents that push their state to a manager, and nothing is lost.

export type { BackoffOptions } from '../base/backoff.js';
export type { ConnectionManagerOptions, ManagerState } from '../base/connection-manager.js';
export { errorTable, HawserError, type HawserErrorCode } from '../base/errors.js';
export type { Durability } from '../base/lmdb-store.js';
export type {
  Connector,
  Farewell,
  MessageConnection,
  MessageReceiver,
} from '../base/message-connection.js';
export { type Random, seededRandom, systemRandom } from '../base/random.js';
export { systemWheel, TimingWheel, WheelTimer } from '../base/timing-wheel.js';
export {
  SyncAgent,
  type SyncAgentEvents,
  type SyncAgentOptions,
  type SyncAgentStats,
  type SyncCallOptions,
  type SynchronizeOptions,
} from './agent.js';
export type {
  ChecksumVerdict,
  LogCode,
  LogLevel,
  SyncFailure,
  SyncProgress,
  SyncResult,
  SyncWaiting,
} from './agent-results.js';
export type { AgentState } from './agent-states.js';
export { checksumOf, documentSha1 } from './checksum.js';
export { decodeMessage, encodeMessage, SyncFormatError, type UnknownMessage } from './codec.js';
export { LmdbQueue, openQueue, type QueueOptions } from './lmdb-queue.js';
export { LmdbSyncStore, openStore, type StoreOptions } from './lmdb-store.js';
export { SyncManager, type SyncManagerOptions } from './manager.js';
export type {
  ManagerLogCode,
  SessionEnded,
  SessionProgress,
  SessionStarted,
  SyncManagerEvents,
  SyncManagerStats,
} from './manager-events.js';
export type { ContextItem } from './manager-options.js';
export { MemoryQueue, type MemoryQueueOptions } from './memory-queue.js';
export { MemoryStore, type MemoryStoreOptions } from './memory-store.js';
export {
  type AgentMessage,
  type AgentMetadata,
  type AgentMode,
  type ChecksumModule,
  type DataBatch,
  type DataClean,
  type DataContext,
  type DataItem,
  type DataValue,
  type End,
  type EndAck,
  limits,
  type ManagerMessage,
  type Mode,
  type ModuleMode,
  modes,
  noSession,
  type Operation,
  operations,
  type Pair,
  type Reason,
  type ReqRet,
  reasons,
  type Start,
  type StartAck,
  type StartOption,
  type Status,
  type SyncMessage,
  startOptions,
  statuses,
} from './messages.js';
export {
  type AgentAcceptor,
  type ServeSyncOptions,
  type SyncChannels,
  type SyncConnectorOptions,
  serveSync,
  syncChannels,
  syncConnector,
} from './over-hawser.js';
export {
  type Difference,
  type DifferenceOperation,
  differenceOperations,
  type PendingItem,
  type QueueCounts,
  type QueueMark,
  type Snapshot,
  type SyncQueue,
} from './queue.js';
export type {
  Change,
  CommittedSession,
  StoredDocument,
  StoredSession,
  SyncStore,
} from './store.js';
export { SyncClient, type SyncClientEvents, type SyncClientOptions } from './sync-client.js';
