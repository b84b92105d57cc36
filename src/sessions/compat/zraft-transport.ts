// The transport that the original TypeScript client is given, over connections of this package: its state machine runs unchanged.
//
// That client was written for a socket which connects by itself, keeps what is sent until it has, and connects anew after a loss. So this
// does the same; and since the client changes its mind about the gateway without telling the transport, this goes where gateways send it.

import {
  argumentError,
  checkFunction,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  maxU32,
} from '../../base/check.js';
import { ConnectionManager, type ConnectionManagerOptions } from '../../base/connection-manager.js';
import { HawserError } from '../../base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import type { SessionConnector } from '../client/options.js';
import { decodeServerMessage, encodeClientMessage } from '../wire/codec.js';
import type { ServerMessage } from '../wire/messages.js';
import { Inbox } from './inbox.js';
import {
  fromMessage,
  toMessage,
  type ZraftClientMessage,
  type ZraftServerMessage,
} from './zraft-messages.js';

/** What the client is told when a connection is lost. */
export const lossReasons = ['NotLeaderAnymore', 'ConnectionClosed'] as const;
/** One of `lossReasons`. */
export type LossReason = (typeof lossReasons)[number];

/** Options of {@link ZraftTransport}. */
export interface ZraftTransportOptions {
  /**
   * The gateway, `host:port`, that the client means by an address of its configuration, which are `tcp://` or `ipc://` ones; undefined for
   * none in particular. By default what is behind `tcp://`. A gateway that the connector does not know is passed over.
   */
  readonly gatewayOf?: (address: string) => string | undefined;
  /**
   * As what the client sees the loss of a connection: `SessionClosed` with this reason. With `NotLeaderAnymore`, the default, the original
   * TypeScript client continues its session; with `ConnectionClosed`, which the protocol has for it, that client gives its session up.
   */
  readonly lossReason?: LossReason;
  /** Bytes that may wait until there is a connection, each message counting 64 more, 0 to 2^32 - 1; 16 MiB by default. Messages beyond are dropped. */
  readonly maxQueuedBytes?: number;
  /** When and how often it connects anew: at once after a loss, then after 0.1 s to 5 s, by default. */
  readonly reconnection?: Omit<ConnectionManagerOptions<MessageConnection>, 'connect' | 'release'>;
}

const optionNames = ['gatewayOf', 'lossReason', 'maxQueuedBytes', 'reconnection'] as const;
const defaultQueuedBytes = 16 * 1024 * 1024;
const messageCost = 64;
/** The client takes messages as fast as they come; one that has stopped must not fill the memory. */
const mostUntaken = 10_000;

/** Why a connection is given up that is not lost. */
const moved = new HawserError('ERR_HAWSER_ABORTED', 'a gateway said to go elsewhere');

interface Queued {
  readonly frame: Uint8Array;
  /** It may be lost, and is of no use later. */
  readonly isHeartbeat: boolean;
}

/**
 * What the original TypeScript client calls `ClientTransport`, to be given to its constructor. The ids of that client have types of their
 * own, which only a cast gives: `new RaftClient(config, transport as ClientTransport)`.
 *
 * Members of the client's configuration are best named as gateways advertise themselves, `host:port`, with `tcp://host:port` as address: so
 * it finds the leader that a gateway names. All that comes and goes is of the original protocol; refusals that this package adds are
 * never sent to such a client.
 */
export class ZraftTransport implements AsyncDisposable {
  readonly #connector: SessionConnector;
  readonly #gatewayOf: (address: string) => string | undefined;
  readonly #lossReason: LossReason;
  readonly #maxQueuedBytes: number;
  readonly #manager: ConnectionManager<MessageConnection>;
  readonly #inbox = new Inbox<ZraftServerMessage>();
  #queue: Queued[] = [];
  #queuedBytes = 0;
  /** Which gateway to try first, and last. */
  #first: string | undefined;
  #last: string | undefined;
  #connectedTo: string | undefined;
  /** Whose messages are taken: the connection that was made last, until it is over. */
  #attached: MessageConnection | undefined;
  /** Where its gateway has said to go. */
  #elsewhere: string | undefined;
  #dropped = 0;
  #undecodable = 0;

  /**
   * @param connector makes each connection: `sessionConnector`, or one of your own.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  constructor(connector: SessionConnector, options: ZraftTransportOptions = {}) {
    checkOptions('options', options, optionNames);
    this.#connector = checkFunction('connector', connector);
    this.#gatewayOf = checkFunction('gatewayOf', options.gatewayOf ?? behindScheme);
    this.#lossReason = checkOneOf('lossReason', options.lossReason ?? 'NotLeaderAnymore', lossReasons);
    const queuedBytes = options.maxQueuedBytes ?? defaultQueuedBytes;
    this.#maxQueuedBytes = checkInteger('maxQueuedBytes', queuedBytes, 0, maxU32);
    this.#manager = new ConnectionManager<MessageConnection>({
      backoff: { initialMs: 100, maxMs: 5000 },
      firstAttemptAtOnce: true,
      stableMs: 5000,
      ...options.reconnection,
      connect: (signal) => this.#attempt(signal),
      release: (connection) => connection.close(''),
    });
    this.#manager.on('connected', (connection) => this.#flush(connection));
    this.#manager.on('disconnected', (reason) => this.#disconnected(reason));
  }

  /** Messages that were dropped because too much waited, and frames of gateways that are no message for the original client. */
  get stats(): { readonly dropped: number; readonly undecodable: number } {
    return { dropped: this.#dropped, undecodable: this.#undecodable };
  }

  /**
   * Begins to connect, and does so again after each loss until `disconnect`. Another address may be given at any time.
   *
   * @param address of a member, as in the client's configuration.
   * @returns a promise that resolves at once: what is sent meanwhile waits.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED; whatever `gatewayOf` throws.
   */
  async connect(address: string): Promise<void> {
    const first = this.#gatewayOf(checkString('address', address, 1));
    if (this.#manager.state === 'CLOSED')
      throw new HawserError('ERR_HAWSER_CLOSED', 'the transport is closed');
    this.#stop();
    this.#first = first;
    this.#manager.connect().catch(() => {
      // Given up by `disconnect`, or by another `connect`: whoever called that knows.
    });
  }

  /** Ends the connection. What waits is dropped. No effect when there is none. */
  async disconnect(): Promise<void> {
    this.#stop();
  }

  /**
   * Sends a message, or lets it wait for a connection. A KeepAlive does not wait: it is of its time.
   *
   * @returns a promise that resolves at once, also when the message was dropped since too much waits.
   * @throws HawserError (rejects) ERR_HAWSER_NOT_CONNECTED without `connect`; ERR_HAWSER_ARGUMENT for what is no message.
   */
  async sendMessage(message: ZraftClientMessage): Promise<void> {
    const { state } = this.#manager;
    if (state === 'DISCONNECTED' || state === 'CLOSED') {
      throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'connect was not called');
    }
    const queued = {
      frame: encodeClientMessage(toMessage(message)),
      isHeartbeat: message.type === 'KeepAlive',
    };
    const connection = this.#manager.handle;
    if (connection === undefined) this.#enqueue(queued);
    else this.#send(connection, queued);
  }

  /** What gateways send, in order, whichever connection it comes by; it ends when the transport is closed. */
  get incomingMessages(): AsyncIterable<ZraftServerMessage> {
    return this.#inbox;
  }

  /** Disconnects for good. */
  async close(): Promise<void> {
    this.#stop();
    this.#manager.close();
    this.#inbox.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- Connections -------------------------------------------------------------------------------------------------

  #stop(): void {
    this.#manager.disconnect();
    this.#attached = undefined;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#first = undefined;
    this.#last = undefined;
  }

  async #attempt(signal: AbortSignal): Promise<MessageConnection> {
    let connection: MessageConnection | undefined;
    const attach = (made: MessageConnection): MessageReceiver => {
      connection = made;
      this.#attached = made;
      this.#elsewhere = undefined;
      return this.#receiver(made);
    };
    const target = { first: this.#first, last: this.#last };
    await this.#connector(attach, signal, target, (address) => {
      this.#connectedTo = address;
    });
    if (connection !== undefined) return connection;
    throw argumentError('connector', 'one that calls attach', 'one that did not');
  }

  #receiver(connection: MessageConnection): MessageReceiver {
    return {
      message: (frame) => this.#received(frame, connection),
      unreliableMessage: (frame) => this.#received(frame, connection),
      // Nobody waits for room: what finds none is dropped.
      drained: () => undefined,
      farewell: ({ elsewhere }) => {
        this.#elsewhere = elsewhere;
      },
      closed: (error) => this.#manager.notifyConnectionLost(error ?? endedError(), connection),
    };
  }

  #disconnected(reason: unknown): void {
    this.#attached = undefined;
    // Ended from here, or followed by what the client does about what it was told.
    if (reason === undefined || reason === moved || this.#inbox.size >= mostUntaken) return;
    const leader = this.#elsewhere === undefined ? {} : { leaderId: this.#elsewhere };
    this.#inbox.put({ type: 'SessionClosed', reason: this.#lossReason, ...leader });
  }

  #received(frame: Uint8Array, connection: MessageConnection): void {
    // It may have been given up, and not know it yet.
    if (connection !== this.#attached) return;
    if (this.#inbox.size >= mostUntaken) {
      this.#manager.notifyConnectionLost(
        new HawserError('ERR_HAWSER_QUEUE_FULL', 'nobody takes messages'),
        connection,
      );
      return;
    }
    const decoded = decodeOrUndefined(frame);
    const message = decoded === undefined ? undefined : fromMessage(decoded);
    if (message === undefined) {
      ++this.#undecodable;
      return;
    }
    this.#inbox.put(message);
    if (isRedirect(message)) this.#move(message.leaderId, connection);
  }

  /** The client tries another member over the same transport. */
  #move(leader: string | undefined, connection: MessageConnection): void {
    this.#first = leader;
    this.#last = this.#connectedTo;
    this.#manager.notifyConnectionLost(moved, connection);
  }

  // ---- Sending -----------------------------------------------------------------------------------------------------

  #enqueue(queued: Queued): void {
    const bytes = queued.frame.length + messageCost;
    if (queued.isHeartbeat || this.#queuedBytes + bytes > this.#maxQueuedBytes) {
      ++this.#dropped;
      return;
    }
    this.#queue.push(queued);
    this.#queuedBytes += bytes;
  }

  #flush(connection: MessageConnection): void {
    const queue = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const queued of queue) this.#send(connection, queued);
  }

  #send(connection: MessageConnection, queued: Queued): void {
    const { frame, isHeartbeat } = queued;
    try {
      if (isHeartbeat && connection.sendUnreliable !== undefined) connection.sendUnreliable(frame);
      else connection.send(frame);
    } catch (error) {
      if (!(error instanceof HawserError)) throw error;
      // That it is lost has not been told yet.
      if (error.code === 'ERR_HAWSER_NOT_CONNECTED') this.#enqueue(queued);
      else ++this.#dropped;
    }
  }
}

function behindScheme(address: string): string | undefined {
  return address.startsWith('tcp://') ? address.slice('tcp://'.length) : undefined;
}

function decodeOrUndefined(frame: Uint8Array): ServerMessage | undefined {
  try {
    return decodeServerMessage(frame);
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_PROTOCOL') return undefined;
    throw error;
  }
}

function isRedirect(
  message: ZraftServerMessage,
): message is Extract<ZraftServerMessage, { readonly type: 'SessionRejected' | 'SessionClosed' }> {
  if (message.type === 'SessionRejected') return message.reason === 'NotLeader';
  return message.type === 'SessionClosed' && message.reason === 'NotLeaderAnymore';
}

function endedError(): HawserError {
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', 'the other side ended it');
}
