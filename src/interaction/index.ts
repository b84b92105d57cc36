// hawser/interaction: devices with attributes and commands, and those who read, write, subscribe and invoke them.

export { Backoff, type BackoffOptions } from '../base/backoff.js';
export {
  ConnectionManager,
  type ConnectionManagerEvents,
  type ConnectionManagerOptions,
  type ManagedConnectOptions,
  type ManagerState,
} from '../base/connection-manager.js';
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
  type Access,
  type AccessedFeature,
  type AttributeChange,
  AttributeStore,
  type AttributeStoreEvents,
  type ChangeOrigin,
  type CommandHandler,
  type CommandHandlers,
  type InitialValues,
  RefusedError,
  type StoreHandlersOptions,
} from './attribute-store.js';
export {
  type ClientSubscribeOptions,
  ClientSubscription,
  type ClientSubscriptionState,
} from './client-subscription.js';
export { limits, type MessageCodec, ProtocolError } from './codec.js';
export {
  Device,
  type DeviceHandlers,
  type DeviceOptions,
  type WriteOutcome,
} from './device.js';
export type {
  InteractionCloseMessage,
  InteractionOpenMessage,
  InteractionRequestMessage,
} from './diagnostics.js';
export { equalValues } from './equality.js';
export { type HawserCodecOptions, hawserCodec } from './hawser-codec.js';
export type { HoldOptions } from './held-requests.js';
export {
  type ClientInvokeOptions,
  InteractionClient,
  type InteractionClientEvents,
  type InteractionClientOptions,
} from './interaction-client.js';
export {
  type Answer,
  type CloseOptions,
  InteractionConnection,
  type InteractionConnectionEvents,
  type InteractionConnectionOptions,
  type Refusal,
  type RequestHandler,
} from './interaction-connection.js';
export { KeepAlive, type KeepAliveOptions, type KeepAliveState, type KeepAliveStats } from './keep-alive.js';
export { mashCodec } from './mash-codec.js';
export type {
  Control,
  InvokeRequest,
  Message,
  Notification,
  NotificationKind,
  Operation,
  ReadRequest,
  Request,
  Response,
  SubscribeRequest,
  UnsubscribeRequest,
  WriteRequest,
} from './messages.js';
export { registerInteractionMetrics } from './metrics.js';
export {
  type AttributeDefinition,
  type AttributeInputs,
  type AttributeName,
  type AttributeOutputs,
  type CommandDefinition,
  type CommandName,
  type CommandTypes,
  defineModel,
  type EndpointDefinition,
  type EndpointName,
  type FeatureDefinition,
  type FeatureName,
  type Members,
  Model,
  type ModelAttribute,
  type ModelCommand,
  type ModelDefinition,
  type ModelEndpoint,
  type ModelFeature,
  type ReadableName,
  type WritableName,
} from './model.js';
export {
  type HawserConnectorOptions,
  hawserConnector,
  type InteractionChannels,
  interactionChannels,
  overConnection,
  serveInteraction,
} from './over-hawser.js';
export { overStream, type StreamErrorSource, type StreamOptions } from './over-stream.js';
export { type RequestOptions, StatusError } from './pending-requests.js';
export { fromWire, toWire } from './plain-values.js';
export type { Requester, StaleReason, Subscription, SubscriptionListener } from './requester.js';
export type { InteractionCounts, InteractionStats } from './stats.js';
export { type ErrorStatus, type Status, statusCodes } from './status.js';
export {
  type TcpConnectorOptions,
  type TlsConnectorOptions,
  tcpConnector,
  tlsConnector,
} from './stream-connectors.js';
export { type StreamServer, type StreamServerOptions, serveStreams } from './stream-server.js';
export {
  type CancelReason,
  type Subscribed,
  SubscriptionManager,
  type SubscriptionManagerOptions,
  type SubscriptionTerms,
} from './subscriptions.js';
export {
  type NotifiedValues,
  type OptionsOf,
  type ReadValues,
  type SubscriptionOf,
  type TypedListener,
  TypedRequester,
  type TypedTerms,
  typed,
} from './typed-requester.js';
export type { AttributeValues, Value } from './values.js';
