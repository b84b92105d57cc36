// Protocols of messages over our own transport: each has one or two channels between a gateway and each of its peers, beside any others.

import { throwIfAborted } from '../base/abort.js';
import { argumentError, checkFunction, describe } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { guard, isolatePromise, reportListenerError } from '../base/isolate.js';
import {
  type Connector,
  checkReceiver,
  type Farewell,
  type MessageConnection,
  type MessageReceiver,
} from '../base/message-connection.js';
import type { Channel, ChannelMap } from './channels.js';
import { type ConnectOptions, connect } from './client.js';
import type { Connection } from './connection.js';
import type { Link } from './link.js';
import type { Peer } from './peer.js';
import { type DisconnectInfo, disconnectCodes, type GoawayInfo } from './results.js';
import { Server } from './server.js';
import { checkToken, type TokenSource } from './token-source.js';

/** The names of the channels of a protocol; both carry bytes. */
export interface ProtocolChannels {
  /** What must arrive, in order. */
  readonly reliable: string;
  /** What may be lost; none by default. */
  readonly unreliable?: string;
}

/** Whatever channels there are beside: types cannot follow those of a protocol into the events of an endpoint that has more. */
type BytesChannels = Readonly<Record<string, Channel<Uint8Array, 'reliable' | 'unreliable'>>>;

const mostReason = 80;

/** So many messages of one connection are delivered before others have their turn. */
const messagesPerTurn = 1024;

/** Ends the connection of a protocol. */
type Disconnect<L> = (link: L, reason: string) => void;

/**
 * A peer or a connection as the session protocols see it. There are as many as peers, and of several protocols: what it can do is in its
 * class, not in functions of its own.
 */
class ChannelConnection<L extends Link<BytesChannels>> implements MessageConnection {
  readonly detectsLoss = true;
  readonly #link: L;
  readonly #channels: ProtocolChannels;
  readonly #disconnect: Disconnect<L>;
  #receiver: MessageReceiver | undefined = undefined;
  /** Messages in this turn, or since the last that there were so many. */
  #delivered = 0;
  #end: { readonly error: HawserError | undefined } | undefined = undefined;

  constructor(link: L, channels: ProtocolChannels, disconnect: Disconnect<L>) {
    this.#link = link;
    this.#channels = channels;
    this.#disconnect = disconnect;
  }

  protected get link(): L {
    return this.#link;
  }

  send(message: Uint8Array): boolean {
    return this.sendOn(this.#channels.reliable, message);
  }

  /** A protocol has to know of each message that was discarded, whatever `onQueueFull` says. */
  protected sendOn(channel: string, message: Uint8Array): boolean {
    this.checkConnected();
    const { carrier, slot, generation } = this.#link;
    const entry = carrier.channels.get(channel);
    return carrier.sendOrRefuse(slot, generation, entry, entry.codec.encode(message));
  }

  roundTripMs(): number {
    return this.#link.rttMs;
  }

  close(reason: string): void {
    // So many characters are never more bytes than the transport carries.
    if (this.#end === undefined) this.#disconnect(this.#link, reason.slice(0, mostReason));
  }

  /** The transport drops and counts what is sent to a side that is gone; a protocol is to know of it. */
  protected checkConnected(): void {
    if (this.#end === undefined && this.#link.connected) return;
    throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is not connected');
  }

  // ---- What the receiver is told -----------------------------------------------------------------------------------

  attach(receiver: MessageReceiver): void {
    this.#receiver = receiver;
    if (this.#end !== undefined) receiver.closed(this.#end.error);
  }

  /** @param channel any: messages of others are not for the receiver. */
  message(message: Uint8Array, channel: string): void {
    if (this.#end !== undefined) return;
    if (channel === this.#channels.reliable) {
      this.#receiver?.message(message);
      if (++this.#delivered === messagesPerTurn) this.#yieldTurn();
    } else if (channel === this.#channels.unreliable) this.#receiver?.unreliableMessage?.(message);
  }

  /** What the addon has not handed over yet comes in a later turn, so that others have theirs. */
  #yieldTurn(): void {
    if (!this.#link.connected) return;
    this.#link.pause(this.#channels.reliable);
    setImmediate(() => {
      this.#delivered = 0;
      if (this.#end === undefined && this.#link.connected) this.#link.resume(this.#channels.reliable);
    });
  }

  drained(): void {
    if (this.#end === undefined) this.#receiver?.drained();
  }

  farewell(farewell: Farewell): void {
    if (this.#end === undefined) this.#receiver?.farewell?.(farewell);
  }

  ended(error: HawserError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#receiver?.closed(error);
  }
}

/** One that has an unreliable channel, too. */
class TwoChannelConnection<L extends Link<BytesChannels>> extends ChannelConnection<L> {
  readonly #unreliable: string;

  constructor(link: L, channels: ProtocolChannels, unreliable: string, disconnect: Disconnect<L>) {
    super(link, channels, disconnect);
    this.#unreliable = unreliable;
  }

  sendUnreliable(message: Uint8Array): boolean {
    return this.sendOn(this.#unreliable, message);
  }

  maxUnreliableBytes(): number {
    return this.link.maxUnreliableBytes;
  }
}

function connectionOver<L extends Link<BytesChannels>>(
  link: L,
  channels: ProtocolChannels,
  disconnect: Disconnect<L>,
): ChannelConnection<L> {
  const { unreliable } = channels;
  return unreliable === undefined
    ? new ChannelConnection(link, channels, disconnect)
    : new TwoChannelConnection(link, channels, unreliable, disconnect);
}

function disconnectPeer(peer: Peer<BytesChannels>, reason: string): void {
  void peer.disconnect(disconnectCodes.NONE, reason);
}

function closeConnection(connection: Connection<BytesChannels>, reason: string): void {
  void connection.close(disconnectCodes.NONE, reason);
}

/**
 * Speaks a protocol with every peer of a server, which may have further channels: their messages are left to its own listeners. Peers
 * that speak netcode, which has no reliable channels, are left alone; with the option `onBatch` nothing is heard at all.
 *
 * @param accept called for each peer that is connected, and for each that connects later: makes what its messages go to. When it throws, the
 *   peer is disconnected.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function serveChannels<C extends ChannelMap>(
  server: Server<C>,
  channels: ProtocolChannels,
  accept: (connection: MessageConnection, peer: Peer<C>) => MessageReceiver,
): void {
  if (!(server instanceof Server)) throw argumentError('server', 'a Server', describe(server));
  checkFunction('accept', accept);
  const own = server as unknown as Server<BytesChannels>;
  const acceptOwn = accept as unknown as (
    connection: MessageConnection,
    peer: Peer<BytesChannels>,
  ) => MessageReceiver;
  const connections = new Map<Peer<BytesChannels>, ChannelConnection<Peer<BytesChannels>>>();
  const onConnect = (peer: Peer<BytesChannels>): void => {
    if (peer.wire === 'netcode') return;
    const connection = connectionOver(peer, channels, disconnectPeer);
    try {
      connection.attach(checkReceiver('accept', acceptOwn(connection, peer)));
      connections.set(peer, connection);
    } catch (error) {
      // Nobody would ever answer it.
      connection.close('not accepted');
      throw error;
    }
  };
  for (const peer of own.peers) guard(own, 'connect', () => onConnect(peer));
  own.on('connect', onConnect);
  own.on('message', (peer, message, channel) => connections.get(peer)?.message(message, channel));
  own.on('drain', (peer) => connections.get(peer)?.drained());
  own.on('disconnect', (peer, info) => {
    const connection = connections.get(peer);
    connections.delete(peer);
    connection?.ended(lossOf(info));
  });
}

/**
 * Speaks a protocol over a client's connection, which may have further channels: their messages are left to its own listeners.
 *
 * What a protocol knows does not outlive a session: when the gateway has lost the connection (`reset`) the receiver is told `closed`, also
 * where the transport connects anew, and hears nothing of the new session. Call this again on `reconnected` for a receiver of that.
 *
 * @param connection one that is connected: messages that come before this is called are lost. Those that come with the connection itself
 *   wait for whoever awaits `connect`.
 * @param make called once, at once: makes what the messages of the connection go to.
 * @returns that.
 * @throws HawserError ERR_HAWSER_NOT_CONNECTED; ERR_HAWSER_WIRE for netcode, which has no reliable channels; what `make` throws.
 */
export function overChannels<C extends ChannelMap, R extends MessageReceiver>(
  connection: Connection<C>,
  channels: ProtocolChannels,
  make: (connection: MessageConnection) => R,
): R {
  const link = connection as unknown as Connection<BytesChannels>;
  if (link.wire === 'netcode') {
    throw new HawserError('ERR_HAWSER_WIRE', 'netcode has no reliable channels, which this protocol needs');
  }
  if (!link.connected) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is not connected');
  const own = connectionOver(link, channels, closeConnection);
  const detach = listen(link, own);
  try {
    const receiver = make(own);
    own.attach(checkReceiver('make', receiver));
    return receiver;
  } catch (error) {
    detach();
    throw error;
  }
}

/** Tells what comes by a connection until its session ends. @returns what stops that before. */
function listen(
  link: Connection<BytesChannels>,
  own: ChannelConnection<Connection<BytesChannels>>,
): () => void {
  const message = (value: Uint8Array, channel: string): void => own.message(value, channel);
  const drain = (): void => own.drained();
  const goaway = (info: GoawayInfo): void => {
    const { deadlineMs, elsewhere, reconnectSpreadMs } = info;
    own.farewell({ deadlineMs, elsewhere, reconnectSpreadMs });
  };
  const reset = (): void => end({ result: 'reset' });
  const disconnect = (info: DisconnectInfo): void => {
    if (info.result === 'disconnected') {
      own.farewell({ deadlineMs: 0, elsewhere: undefined, reconnectSpreadMs: info.reconnectSpreadMs });
    }
    end(info);
  };
  const detach = (): void => {
    link.off('message', message).off('drain', drain).off('goaway', goaway);
    link.off('reset', reset).off('disconnect', disconnect);
  };
  const end = (info: LossInfo): void => {
    detach();
    own.ended(lossOf(info));
  };
  link.on('message', message).on('drain', drain).on('goaway', goaway);
  link.on('reset', reset).on('disconnect', disconnect);
  return detach;
}

/** Options of a connector: those of `connect`, but for what a connector decides. */
export type ChannelConnectorOptions<C extends ChannelMap> = Omit<
  ConnectOptions<C>,
  'signal' | 'reconnectOnReset'
>;

/**
 * Makes connections to gateways that speak a protocol. A connection that the gateway has lost is over, as any other loss: whoever uses the
 * connector connects anew.
 *
 * @param declared the channels of a client that declares none.
 * @param token as of `connect`. A function is asked for each connection; one token that is not single-use serves until it expires.
 * @param connected told of each connection before it is used: for further channels.
 * @returns what rejects as `connect` does, and with ERR_HAWSER_WIRE for a netcode token.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ARGUMENT for a token that cannot be one.
 */
export function channelConnector<C extends ChannelMap>(
  channels: ProtocolChannels,
  declared: C,
  token: TokenSource,
  options: ChannelConnectorOptions<C>,
  connected: ((connection: Connection<C>) => void) | undefined,
): Connector {
  checkToken(token);
  const isDeclared = options.client !== undefined || options.channels !== undefined;
  const all: ConnectOptions<C> = isDeclared ? options : { ...options, channels: declared };
  return async (attach, signal) => {
    const connection = await connect<C>(token, { ...all, reconnectOnReset: false, signal });
    try {
      throwIfAborted(signal);
      isolatePromise(connected?.(connection), (error) => reportListenerError(connection, error, 'connected'));
      overChannels(connection, channels, attach);
    } catch (error) {
      void connection.close();
      throw error;
    }
  };
}

type LossInfo = Pick<DisconnectInfo, 'result'> & { readonly reason?: string };

function lossOf({ result, reason = '' }: LossInfo): HawserError | undefined {
  switch (result) {
    case 'closed':
      return undefined;
    case 'disconnected':
      // Without a reason it is simply over.
      return reason === '' ? undefined : lostError(`the other side ended it: ${describe(reason)}`);
    case 'replaced':
      return new HawserError('ERR_HAWSER_REPLACED', 'the same client connected anew elsewhere');
    default:
      return lostError(`the connection ended: ${result}`);
  }
}

function lostError(text: string): HawserError {
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', text);
}
