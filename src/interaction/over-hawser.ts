// The interaction protocol over our own transport: two channels between a gateway and each of its peers, beside any others.

import type { Connector, MessageConnection, MessageReceiver } from '../base/message-connection.js';
import { type Channel, type ChannelMap, reliable, unreliable } from '../transport/channels.js';
import { bytes } from '../transport/codecs.js';
import type { Connection } from '../transport/connection.js';
import {
  type ChannelConnectorOptions,
  channelConnector,
  overChannels,
  type ProtocolChannels,
  serveChannels,
} from '../transport/message-channels.js';
import type { Peer } from '../transport/peer.js';
import type { Server } from '../transport/server.js';
import type { TokenSource } from '../transport/token-source.js';
import { limits } from './codec.js';

/** What servers and clients declare that speak the interaction protocol, perhaps among others. */
export type InteractionChannels = {
  /** What must arrive, in order. */
  readonly interaction: Channel<Uint8Array, 'reliable'>;
  /** What the next message makes up for: notifications that say everything. */
  readonly interactionState: Channel<Uint8Array, 'unreliable'>;
};

/**
 * What to give as the option `channels` of `Server.listen`, `Client.open` and `connect`; with channels of your own as
 * `{ chat: reliable(text()), ...interactionChannels }`.
 */
export const interactionChannels: InteractionChannels = {
  interaction: reliable(bytes(), { maxMessageBytes: limits.messageBytes }),
  interactionState: unreliable(bytes()),
};

/** Channels of which two are those of the interaction protocol. */
type WithInteraction = ChannelMap & InteractionChannels;

const channels: ProtocolChannels = { reliable: 'interaction', unreliable: 'interactionState' };

/**
 * Speaks the interaction protocol with every peer of a server, which may have further channels: their messages are left to its own
 * listeners. Peers that speak netcode, which has no reliable channels, are left alone; with the option `onBatch` nothing is heard at all.
 * Call it in the turn in which `Server.listen` resolves: messages of peers that connect before are lost.
 *
 * @param accept called for each peer that is connected, and for each that connects later: makes what its messages go to. When it throws, the peer is disconnected.
 */
export function serveInteraction<C extends WithInteraction>(
  server: Server<C>,
  accept: (connection: MessageConnection, peer: Peer<C>) => MessageReceiver,
): void {
  serveChannels(server, channels, accept);
}

/**
 * Speaks the interaction protocol over a client's connection, which may have further channels: their messages are left to its own
 * listeners.
 *
 * Requests and subscriptions do not outlive a session: when the gateway has lost the connection (`reset`) the receiver is told `closed`,
 * also where the transport connects anew, and hears nothing of the new session. Call this again on `reconnected` for a receiver of that.
 *
 * @param connection one that is connected: messages that come before this is called are lost. Those that come with the connection itself
 *   wait for whoever awaits `connect`.
 * @param make called once, at once: makes what the messages of the connection go to.
 * @returns that.
 * @throws HawserError ERR_HAWSER_NOT_CONNECTED; ERR_HAWSER_WIRE for netcode, which has no reliable channels; what `make` throws.
 */
export function overConnection<C extends WithInteraction, R extends MessageReceiver>(
  connection: Connection<C>,
  make: (connection: MessageConnection) => R,
): R {
  return overChannels(connection, channels, make);
}

/** Options of {@link hawserConnector}: those of `connect`, but for what a connector decides. */
export type HawserConnectorOptions<C extends WithInteraction = InteractionChannels> =
  ChannelConnectorOptions<C>;

/**
 * Makes connections to gateways with our own transport. A connection that the gateway has lost is over, as any other loss: whoever uses the
 * connector connects anew.
 *
 * @param token as of `connect`. A function is asked for each connection; one token that is not single-use serves until it expires.
 * @param options as of `connect`. `channels` are {@link interactionChannels} by default; those of `client`, where that is given, must have
 *   them.
 * @param connected told of each connection before it is used: for further channels.
 * @returns what rejects as `connect` does, and with ERR_HAWSER_WIRE for a netcode token.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ARGUMENT for a token that cannot be one.
 */
export function hawserConnector<C extends WithInteraction = InteractionChannels>(
  token: TokenSource,
  options: HawserConnectorOptions<C> = {},
  connected?: (connection: Connection<C>) => void,
): Connector {
  // Where no channels are declared, C is its default.
  return channelConnector(channels, interactionChannels as C, token, options, connected);
}
