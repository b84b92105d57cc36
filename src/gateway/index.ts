// hawser/gateway: a gateway that is composed from a configuration.

export type { Capture, CaptureOptions } from './capture/capture.js';
export type {
  AdminConfig,
  CaptureConfig,
  ChannelConfig,
  DrainConfig,
  GatewayConfig,
  LayerName,
  LimitsConfig,
  ListenerConfig,
  LogConfig,
  MetricsConfig,
  SecretText,
  SessionsConfig,
  SyncConfig,
  TokensConfig,
} from './config.js';
export { type ConfigFile, defineConfig, loadConfig } from './config-file.js';
export type { GatewayDrainMessage, GatewayReloadMessage, GatewayStateMessage } from './diagnostics.js';
export type { Gateway, GatewayEvents, GatewayServer, GatewayUrls } from './gateway.js';
export type { GatewayHandlers, ListenerContext } from './handlers.js';
export { gatewayChannels } from './layers/channels.js';
export { type JsonLogger, type JsonLoggerOptions, jsonLogger } from './log/json-logger.js';
export type { Logger, LogLevel, LogMethod } from './log/logger.js';
export { startOpenTelemetry } from './metrics/open-telemetry.js';
export { type GatewayRegistry, gatewayRegistry, registerGatewayMetrics } from './metrics/registry.js';
export type { ObservedGateway, ReloadReport } from './observed-gateway.js';
export { type OpenGatewayOptions, openGateway } from './open-gateway.js';
export type {
  Distribution,
  GatewaySnapshot,
  GatewayState,
  InteractionSnapshot,
  LayerSnapshots,
  ListenerSnapshot,
  PeerDetail,
  PeerOrder,
  PeerSnapshot,
  PeersPage,
  PeersQuery,
  ProcessSnapshot,
  RotationSnapshot,
  SessionSnapshot,
  SessionsPage,
  SyncOutcomeSnapshot,
  SyncSessionSnapshot,
} from './snapshot.js';
export { type TraceOptions, traceHawser } from './trace/trace.js';
