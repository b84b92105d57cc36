// The sync protocol over our own transport: two channels between a manager's gateway and each agent, beside any others.

import { checkFunction } from '../base/check.js';
import { answerOf } from '../base/isolate.js';
import type { Connector, MessageConnection, MessageReceiver } from '../base/message-connection.js';
import { type Channel, type ChannelMap, reliable, unreliable } from '../transport/channels.js';
import { bytes } from '../transport/codecs.js';
import type { Connection } from '../transport/connection.js';
import {
  type ChannelConnectorOptions,
  channelConnector,
  type ProtocolChannels,
  serveChannels,
} from '../transport/message-channels.js';
import type { Peer } from '../transport/peer.js';
import type { Server } from '../transport/server.js';
import type { TokenSource } from '../transport/token-source.js';
import { limits } from './wire/messages.js';

/** What servers and clients declare that speak the sync protocol, perhaps among others. */
export type SyncChannels = {
  /** Everything but Data, and Data unless it is sent the other way. */
  readonly sync: Channel<Uint8Array, 'reliable'>;
  /** Data of agents with the option `data: 'unreliable'`, under congestion control: what is lost is asked for by ReqRet. */
  readonly syncData: Channel<Uint8Array, 'unreliable'>;
};

/**
 * What to give as the option `channels` of `Server.listen`, `Client.open` and `connect`; with channels of your own as
 * `{ chat: reliable(text()), ...syncChannels }`.
 */
export const syncChannels: SyncChannels = {
  sync: reliable(bytes(), { maxMessageBytes: limits.messageBytes, priority: 'low' }),
  syncData: unreliable(bytes(), { congestionControlled: true, priority: 'low' }),
};

/** Channels of which two are those of the sync protocol. */
type WithSync = ChannelMap & SyncChannels;

const channels: ProtocolChannels = { reliable: 'sync', unreliable: 'syncData' };

/** What speaks with agents: a `SyncManager`. */
export interface AgentAcceptor {
  /** Takes a connection over. @param agent whose it is: what the gateway knows, never what the other side says of itself. */
  accept(connection: MessageConnection, agent: string): MessageReceiver;
}

/** Options of {@link serveSync}. */
export interface ServeSyncOptions<C extends WithSync> {
  /**
   * The name of the agent behind a peer: 1 to 256 bytes of UTF-8. Everything that an agent syncs is kept under it. By default the client id
   * of its token, in decimal digits. When it throws, or gives what is no name, the peer is disconnected (`not accepted`), and the event
   * `listenerError` of the server has the error.
   */
  readonly agentOf?: (peer: Peer<C>) => string;
}

/**
 * Speaks the sync protocol with every peer of a server, which may have further channels: their messages are left to its own listeners. Peers
 * that speak netcode, which has no reliable channels, are left alone; with the option `onBatch` nothing is heard at all.
 * Call it in the turn in which `Server.listen` resolves: messages of peers that connect before are lost.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function serveSync<C extends WithSync>(
  server: Server<C>,
  manager: AgentAcceptor,
  options: ServeSyncOptions<C> = {},
): void {
  const agentOf = checkFunction('agentOf', options.agentOf ?? ((peer: Peer<C>) => String(peer.clientId)));
  serveChannels(server, channels, (connection, peer) => manager.accept(connection, answerOf(agentOf(peer))));
}

/** Options of {@link syncConnector}: those of `connect`, but for what a connector decides. */
export type SyncConnectorOptions<C extends WithSync = SyncChannels> = ChannelConnectorOptions<C>;

/**
 * Makes an agent's connections to managers. A connection that the gateway has lost is over, as any other loss: whoever uses the connector
 * connects anew.
 *
 * @param token as of `connect`. A function is asked for each connection; one token that is not single-use serves until it expires.
 * @param options as of `connect`. `channels` are {@link syncChannels} by default; those of `client`, where that is given, must have them.
 * @param connected told of each connection before it is used: for further channels.
 * @returns what rejects as `connect` does, and with ERR_HAWSER_WIRE for a netcode token.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ARGUMENT for a token that cannot be one.
 */
export function syncConnector<C extends WithSync = SyncChannels>(
  token: TokenSource,
  options: SyncConnectorOptions<C> = {},
  connected?: (connection: Connection<C>) => void,
): Connector {
  // Where no channels are declared, C is its default.
  return channelConnector(channels, syncChannels as C, token, options, connected);
}
