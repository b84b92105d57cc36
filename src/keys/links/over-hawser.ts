// Messages of SAEs over our own transport: one channel between a gateway and each peer, beside any others.

import { argumentError, checkFunction, describe } from '../../base/check.js';
import { answerOf } from '../../base/isolate.js';
import type { Connector, MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import { type Channel, type ChannelMap, reliable } from '../../transport/channels.js';
import { bytes } from '../../transport/codecs.js';
import type { Connection } from '../../transport/connection.js';
import {
  type ChannelConnectorOptions,
  channelConnector,
  type ProtocolChannels,
  serveChannels,
} from '../../transport/message-channels.js';
import type { Peer } from '../../transport/peer.js';
import type { Server } from '../../transport/server.js';
import type { TokenSource } from '../../transport/token-source.js';
import { messageLimits } from '../wire/messages.js';

/** What servers and clients declare between which SAEs speak, perhaps among others. */
export type KeysChannels = {
  /** All messages of SAEs, each in its signed envelope. */
  readonly keys: Channel<Uint8Array, 'reliable'>;
};

/**
 * What to give as the option `channels` of `Server.listen`, `Client.open` and `connect`; with channels of your own as
 * `{ chat: reliable(text()), ...keysChannels }`.
 */
export const keysChannels: KeysChannels = {
  keys: reliable(bytes(), { maxMessageBytes: messageLimits.bytes, priority: 'high' }),
};

/** Channels of which one is that of SAEs. */
type WithKeys = ChannelMap & KeysChannels;

const channels: ProtocolChannels = { reliable: 'keys' };

/** What speaks with SAEs: a `Sae`. */
export interface SaeAcceptor {
  /** Takes a connection over. @param peerSaeId whose connection it is. */
  accept(connection: MessageConnection, peerSaeId: string): MessageReceiver;
}

/** Options of {@link serveKeys}. */
export interface ServeKeysOptions<C extends WithKeys> {
  /**
   * The id of the SAE behind a peer, as its token says who that is. When it throws, or gives none that the SAE knows, the peer is
   * disconnected (`not accepted`), and the event `listenerError` of the server has the error. Messages are signed in any case: a peer that is
   * taken for another can say nothing, but it keeps the other from saying anything.
   */
  readonly saeOf: (peer: Peer<C>) => string;
}

/**
 * Has an SAE speak with every peer of a server, which may have further channels: their messages are left to its own listeners. Peers
 * that speak netcode, which has no reliable channels, are left alone; with the option `onBatch` nothing is heard at all.
 * Call it in the turn in which `Server.listen` resolves: messages of peers that connect before are lost.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function serveKeys<C extends WithKeys>(
  server: Server<C>,
  sae: SaeAcceptor,
  options: ServeKeysOptions<C>,
): void {
  if (typeof sae?.accept !== 'function') throw argumentError('sae', 'a Sae', describe(sae));
  const saeOf = checkFunction('saeOf', options?.saeOf);
  serveChannels(server, channels, (connection, peer) => sae.accept(connection, answerOf(saeOf(peer))));
}

/** Options of {@link keysConnector}: those of `connect`, but for what a connector decides. */
export type KeysConnectorOptions<C extends WithKeys = KeysChannels> = ChannelConnectorOptions<C>;

/**
 * Makes an SAE's connections to another, for `SaeConnection`.
 *
 * @param token as of `connect`. A function is asked for each connection; one token that is not single-use serves until it expires.
 * @param options as of `connect`. `channels` are {@link keysChannels} by default; those of `client`, where that is given, must have them.
 * @param connected told of each connection before it is used: for further channels, and for a persona that updates its keys.
 * @returns what rejects as `connect` does, and with ERR_HAWSER_WIRE for a netcode token.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ARGUMENT for a token that cannot be one.
 */
export function keysConnector<C extends WithKeys = KeysChannels>(
  token: TokenSource,
  options: KeysConnectorOptions<C> = {},
  connected?: (connection: Connection<C>) => void,
): Connector {
  // Where no channels are declared, C is its default.
  return channelConnector(channels, keysChannels as C, token, options, connected);
}

export { SaeConnection, type SaeConnectionEvents, type SaeConnectionOptions } from './sae-connection.js';
