// What a user's module can give a gateway.

import type { MessageConnection, MessageReceiver } from '../base/message-connection.js';
import type { Sae } from '../keys/agent/sae.js';
import type { SessionServerOptions } from '../sessions/server/options.js';
import type { SessionServer } from '../sessions/server/session-server.js';
import type { SyncManager } from '../sync/manager/manager.js';
import type { SyncManagerOptions } from '../sync/manager/options.js';
import type { ChannelMap } from '../transport/channels.js';
import type { Peer } from '../transport/peer.js';
import type { Server } from '../transport/server.js';
import type { Logger } from './log/logger.js';

/** What `setup` is told of where it is. */
export interface ListenerContext {
  /** The name of the listener. */
  readonly listener: string;
  /** The logger of the gateway. */
  readonly log: Logger;
  /** Aborted when the gateway begins to drain: end what you began. */
  readonly signal: AbortSignal;
  /** Of the layer `sessions`, where the gateway has it: to `push` to clients, and for its events. So are the next two. */
  readonly sessions?: SessionServer;
  /** Of the layer `sync`; undefined without it. */
  readonly sync?: SyncManager;
  /** Of the layer `keys`; undefined without it. */
  readonly sae?: Sae;
}

/** The exports of a handler module, all of them optional. `export default` is `setup`. */
export interface GatewayHandlers {
  /** Called for each listener before anybody connects: `server.on('message', ...)`. Its channels are those of the configuration. */
  readonly setup?: (server: Server<ChannelMap>, context: ListenerContext) => void | Promise<void>;
  /** Called for each peer of a listener with the layer `interaction`: `(connection) => device.accept(connection)`. Needed by that layer. */
  readonly interaction?: (connection: MessageConnection, peer: Peer<ChannelMap>) => MessageReceiver;
  /** Who the agent, client or SAE behind a peer is; the client id of its token in decimal digits by default. */
  readonly agentOf?: (peer: Peer<ChannelMap>) => string;
  /** Who the client behind a peer is, of the layer `sessions`. */
  readonly identityOf?: (peer: Peer<ChannelMap>) => string;
  /** Which SAE is behind a peer, of the layer `keys`. */
  readonly saeOf?: (peer: Peer<ChannelMap>) => string;
  /** Of the layer `sessions`; by default requests and queries are answered with what they say. */
  readonly onRequest?: SessionServerOptions['onRequest'];
  /** See `SessionServerOptions`. */
  readonly onQuery?: SessionServerOptions['onQuery'];
  /** See `SessionServerOptions`. */
  readonly onExpire?: SessionServerOptions['onExpire'];
  /** Of the layer `sync`. */
  readonly allowIndex?: SyncManagerOptions['allowIndex'];
  /** See `SyncManagerOptions`. */
  readonly onMetadata?: SyncManagerOptions['onMetadata'];
  /** See `SyncManagerOptions`. */
  readonly onContext?: SyncManagerOptions['onContext'];
}
