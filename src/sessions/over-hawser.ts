// The session protocol over our own transport: two channels between a gateway and each of its peers, beside any others.

import { parseAddress } from '../base/address.js';
import { checkFunction, checkText } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { answerOf } from '../base/isolate.js';
import type { MessageConnection, MessageReceiver } from '../base/message-connection.js';
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
import { checkToken, type TokenSource } from '../transport/token-source.js';
import type { SessionConnector } from './client/options.js';
import type { SessionPeer } from './server/session.js';
import { maxFrameBytes } from './wire/codec.js';

/** What servers and clients declare that speak the session protocol, perhaps among others. */
export type SessionChannels = {
  /** Everything but KeepAlive and its response. */
  readonly session: Channel<Uint8Array, 'reliable'>;
  /** KeepAlive and KeepAliveResponse: the next one makes up for one that is lost, and none waits behind a long message. */
  readonly sessionHeartbeat: Channel<Uint8Array, 'unreliable'>;
};

/**
 * What to give as the option `channels` of `Server.listen`, `Client.open` and `connect`; with channels of your own as
 * `{ chat: reliable(text()), ...sessionChannels }`.
 */
export const sessionChannels: SessionChannels = {
  session: reliable(bytes(), { maxMessageBytes: maxFrameBytes }),
  sessionHeartbeat: unreliable(bytes()),
};

/** Channels of which two are those of the session protocol. */
type WithSessions = ChannelMap & SessionChannels;

const channels: ProtocolChannels = { reliable: 'session', unreliable: 'sessionHeartbeat' };

const maxIdentityBytes = 256;

/** What speaks with clients: a `SessionServer`. */
export interface SessionAcceptor {
  /** Takes a connection over. @param peer what the gateway knows of whoever the connection is with. */
  accept(connection: MessageConnection, peer: SessionPeer): MessageReceiver;
}

/** Options of {@link serveSessions}. */
export interface ServeSessionsOptions<C extends WithSessions> {
  /**
   * Who is behind a peer: 1 to 256 bytes of UTF-8. A session belongs to whoever created it, and nobody else can continue it. By default the
   * client id of its token, in decimal digits. When it throws, or gives what is no name, the peer is disconnected (`not accepted`), and the
   * event `listenerError` of the server has the error.
   */
  readonly identityOf?: (peer: Peer<C>) => string;
}

/**
 * Speaks the session protocol with every peer of a server, which may have further channels: their messages are left to its own listeners.
 * Peers that speak netcode, which has no reliable channels, are left alone; with the option `onBatch` nothing is heard at all.
 * Call it in the turn in which `Server.listen` resolves: messages of peers that connect before are lost.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function serveSessions<C extends WithSessions>(
  server: Server<C>,
  acceptor: SessionAcceptor,
  options: ServeSessionsOptions<C> = {},
): void {
  const identityOf = checkFunction(
    'identityOf',
    options.identityOf ?? ((peer: Peer<C>) => String(peer.clientId)),
  );
  serveChannels(server, channels, (connection, peer) => {
    const identity = checkText('identityOf(peer)', answerOf(identityOf(peer)), maxIdentityBytes);
    const remoteTimeMs = (): number | undefined => (peer.clockSettled ? peer.remoteTimeMs() : undefined);
    return acceptor.accept(connection, { identity, remoteTimeMs });
  });
}

/** Options of {@link sessionConnector}: those of `connect`, but for what a connector decides. */
export type SessionConnectorOptions<C extends WithSessions = SessionChannels> = Omit<
  ChannelConnectorOptions<C>,
  'firstAddress' | 'lastAddress'
>;

/**
 * Makes a client's connections to gateways: to the one that it names, if the token lists it, and to those of the token. A connection that the
 * gateway has lost is over, as any other loss: whoever uses the connector connects anew.
 *
 * @param token as of `connect`. A function is asked for each connection; one token that is not single-use serves until it expires.
 * @param options as of `connect`. `channels` are {@link sessionChannels} by default; those of `client`, where that is given, must have them.
 * @param connected told of each connection before it is used: for further channels.
 * @returns what rejects as `connect` does, and with ERR_HAWSER_WIRE for a netcode token.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ARGUMENT for a token that cannot be one.
 */
export function sessionConnector<C extends WithSessions = SessionChannels>(
  token: TokenSource,
  options: SessionConnectorOptions<C> = {},
  connected?: (connection: Connection<C>) => void,
): SessionConnector {
  checkToken(token);
  return (attach, signal, target, connectedTo) => {
    const firstAddress = addressOf(target.first);
    const lastAddress = addressOf(target.last);
    const own: ChannelConnectorOptions<C> = {
      ...options,
      ...(firstAddress === undefined ? {} : { firstAddress }),
      ...(lastAddress === undefined ? {} : { lastAddress }),
    };
    // Where no channels are declared, C is its default.
    const connect = channelConnector(channels, sessionChannels as C, token, own, (connection) => {
      connectedTo(connection.address);
      connected?.(connection);
    });
    return connect(attach, signal);
  };
}

/** What another side says may be anything: what is no address is nothing to begin with. */
function addressOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    parseAddress(text);
    return text;
  } catch (error) {
    if (error instanceof HawserError) return undefined;
    throw error;
  }
}
