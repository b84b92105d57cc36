// hawser/keys: quantum keys shared by two SAEs, rotated together and deleted together.

export type { Clock, Timer } from '../base/clock.js';
export type { ConnectionManagerOptions, ManagerState } from '../base/connection-manager.js';
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
export {
  allocateSecret,
  decodeBase64Secret,
  encodeBase64Secret,
  equalSecrets,
  randomSecret,
  type SecretBytes,
  secretFrom,
  secretMemory,
} from '../base/secret-bytes.js';
export { systemWheel, TimingWheel, WheelTimer } from '../base/timing-wheel.js';
export type {
  DeviceCallName,
  KeysDeviceMessage,
  KeysRejectedMessage,
  KeysTransitionMessage,
} from './agent/diagnostics.js';
export type {
  KeyExpiry,
  Rejection,
  RotationFailure,
  RotationOutcome,
  RotationResult,
  SaeEvents,
  SaeFailure,
  SessionChange,
} from './agent/events.js';
export { registerKeysMetrics } from './agent/metrics.js';
export type { SaeOptions } from './agent/options.js';
export type { LinkEnd } from './agent/peer-links.js';
export { type PeerOptions, type PeerRole, peerRoles } from './agent/peer-options.js';
export { type RotateOptions, Sae } from './agent/sae.js';
export type {
  DropCounts,
  DropReason,
  LastSession,
  PeerStatus,
  SaeStatus,
  SessionStatus,
} from './agent/status.js';
export { CertificateAuthority, type Identity } from './kme/certificates.js';
export type { KmeMessage } from './kme/diagnostics.js';
export { type FaultKind, faultKinds, type KmeFault, parseFault } from './kme/faults.js';
export { KeyPool, type KeyPoolOptions } from './kme/key-pool.js';
export type {
  DeliveredKey,
  KeySource,
  KeySourceCallOptions,
  KmeStatus,
} from './kme/key-source.js';
export { KmeClient } from './kme/kme-client.js';
export type { KmeClientOptions } from './kme/kme-client-options.js';
export { KmeServer } from './kme/kme-server.js';
export type { KmeServerOptions, ServedRequest } from './kme/kme-server-options.js';
export type { KmeMethod } from './kme/methods.js';
export type { SaeLink } from './links/link.js';
export {
  type KeysChannels,
  type KeysConnectorOptions,
  keysChannels,
  keysConnector,
  type SaeAcceptor,
  type ServeKeysOptions,
  serveKeys,
} from './links/over-hawser.js';
export {
  SaeConnection,
  type SaeConnectionEvents,
  type SaeConnectionOptions,
} from './links/sae-connection.js';
export type { UdpAddress } from './links/udp-socket.js';
export { ExecPersona, type ExecPersonaOptions } from './personas/exec-persona.js';
export { FilePersona, type FilePersonaOptions } from './personas/file-persona.js';
export type { KeyEncoding } from './personas/key-encoding.js';
export type { DeviceKey, DeviceStatus, Persona, PersonaContext } from './personas/persona.js';
export {
  type Outcome,
  type RecordedCall,
  type RecordedDevice,
  RecordingPersona,
  type Script,
} from './personas/recording-persona.js';
export { TransportPersona, type TransportPersonaOptions } from './personas/transport-persona.js';
export { WireguardPersona, type WireguardPersonaOptions } from './personas/wireguard-persona.js';
export type { Session } from './protocol/session.js';
export { type SessionOutcome, type SessionState, sessionStates } from './protocol/states.js';
export type { ClockDifference } from './protocol/steps.js';
export { type LmdbKeyStore, type LmdbKeyStoreOptions, openKeyStore } from './store/lmdb-store.js';
export { type MasterKeySource, masterKeyFrom } from './store/master-key.js';
export { MemoryKeyStore, type MemoryKeyStoreOptions } from './store/memory-store.js';
export {
  type KeyRecord,
  type KeyStatus,
  type KeyStore,
  keyStatuses,
  type PeerRecord,
  type StoreChange,
} from './store/store.js';
export {
  type ErrorCode,
  type ErrorDetails,
  type ErrorMessage,
  errorCodes,
  type Message,
  type MessageType,
  messageLimits,
  messageTypes,
  type Role,
  type Unstamped,
} from './wire/messages.js';
export type { SaeWire } from './wire/wire-name.js';
