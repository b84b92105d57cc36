// A client of the interaction protocol that keeps one connection: it connects again after each loss (source document, section 6.2).

import { EventEmitter } from 'node:events';
import { abortedError, checkSignal, throwIfAborted } from '../base/abort.js';
import {
  argumentError,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkOptions,
  describe,
  maxU32,
} from '../base/check.js';
import {
  ConnectionManager,
  type ManagedConnectOptions,
  type ManagerState,
  type ReconnectionOptions,
} from '../base/connection-manager.js';
import { Departure } from '../base/departure.js';
import { HawserError } from '../base/errors.js';
import { inOrder } from '../base/in-order.js';
import { guard, isolateRejections, reportListenerError } from '../base/isolate.js';
import type { Connector, Farewell, MessageConnection } from '../base/message-connection.js';
import { type Random, systemRandom } from '../base/random.js';
import { systemWheel, TimingWheel } from '../base/timing-wheel.js';
import {
  type ClientSubscribeOptions,
  ClientSubscription,
  type SubscriptionHost,
} from './client-subscription.js';
import { hawserCodec } from './hawser-codec.js';
import { HeldRequests, type HoldOptions } from './held-requests.js';
import {
  type CloseOptions,
  checkCloseOptions,
  checkConnectionOptions,
  InteractionConnection,
  type InteractionConnectionOptions,
} from './interaction-connection.js';
import type { Request, Response } from './messages.js';
import { connectionLostError, type RequestOptions, StatusError } from './pending-requests.js';
import { checkSubscription, type Requester, type SubscriptionListener } from './requester.js';
import type { SubscriptionTerms } from './subscriptions.js';
import type { AttributeValues, Value } from './values.js';

/** Options of {@link InteractionClient}. */
export interface InteractionClientOptions {
  /** Makes each of its connections: `hawserConnector`, `tlsConnector`, `tcpConnector`, or one of your own. */
  readonly connector: Connector;
  /** How each of its connections is. */
  readonly connection?: Omit<InteractionConnectionOptions, 'wheel'>;
  /** When and how often it connects anew; the defaults are those of the source document, section 5. */
  readonly reconnection?: ReconnectionOptions<InteractionConnection>;
  /**
   * The application's part of connecting, such as to say who it is. The client is connected, and the delays begin anew, only when it has
   * resolved; when it rejects the attempt has failed and the delays go on growing (source document, section 5.6).
   *
   * @param signal aborts when the attempt is given up; the connection is ended then.
   */
  readonly accepted?: (connection: InteractionConnection, signal: AbortSignal) => Promise<void>;
  /**
   * True: with each new connection all subscriptions are made anew, in their order and the critical ones first, and each is primed again.
   * False (default; source document, section 6.3): they end with their connection, but for those that are `sustained`.
   */
  readonly resubscribe?: boolean;
  /**
   * What becomes of requests without a connection. Left out, they are refused with ERR_HAWSER_NOT_CONNECTED, and those that wait for their
   * response when a connection is lost are rejected with ERR_HAWSER_CONNECTION_LOST (source document, section 6.2). Given, requests wait
   * while the client connects, are sent in their order once subscriptions are made anew, and those that were on their way are sent again,
   * but for commands that are not `idempotent`: whether these were carried out is unknown, and they are rejected all the same.
   */
  readonly hold?: HoldOptions;
  /** Where its timers run; one for the whole process by default. */
  readonly wheel?: TimingWheel;
  /** Where jitter and spread are taken from; {@link systemRandom} by default. */
  readonly random?: Random;
}

/** Options of `InteractionClient.invoke`. */
export interface ClientInvokeOptions extends RequestOptions {
  /** True: to run the command twice does no more than to run it once, so that it may be sent again after a loss. False by default. */
  readonly idempotent?: boolean;
}

/** The events of an {@link InteractionClient} with the arguments of their listeners. */
export interface InteractionClientEvents {
  /** The state is another (source document, section 5.7). */
  stateChange: [from: ManagerState, to: ManagerState];
  /** There is a connection, which the application has accepted. */
  connected: [connection: InteractionConnection];
  /** The connection of the last `connected` is over, for that reason; undefined when either side closed it. */
  disconnected: [reason: unknown];
  /** An attempt to connect anew follows in so many milliseconds: the first (1), second ... since the delays began anew. */
  reconnecting: [attempt: number, delayMs: number];
  /** An attempt failed. `attempt` is that of `reconnecting`, and 0 for the first one of `connect`. */
  attemptFailed: [error: unknown, attempt: number];
  /** The other side ends the connection, or will: then the client closes it before, and connects anew. */
  farewell: [farewell: Farewell];
  /** A subscription was made anew; its listener has been primed. */
  resubscribed: [subscription: ClientSubscription];
  /** A subscription could not be made anew, or one that is sustained could not be made yet. */
  resubscribeFailed: [subscription: ClientSubscription, error: unknown];
  /** A response that nobody waits for. */
  unexpectedReply: [response: Response];
  /** The time between a ping and its pong, in milliseconds. */
  latency: [latencyMs: number];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

const optionNames = [
  'connector',
  'connection',
  'reconnection',
  'accepted',
  'resubscribe',
  'hold',
  'wheel',
  'random',
] as const;

/** So many subscriptions are made anew at a time: a device of the source document serves 10 requests at once. */
const maxResubscribing = 8;

type RequestBody<R extends Request = Request> = R extends Request ? Omit<R, 'type' | 'messageId'> : never;

/** One request of the application. */
interface Asked<T> {
  /** What its message says; for its size. */
  readonly body: RequestBody;
  /** Whether it may be sent again when the connection is lost before the response. */
  readonly repeatable: boolean;
  readonly signal: AbortSignal | undefined;
  readonly send: (connection: InteractionConnection) => Promise<T>;
}

/**
 * Keeps one connection to the other side, and asks it. It connects again after a loss, with the growing delays of the source document, tells
 * the listeners of subscriptions when their values may be out of date and, where that is wanted, makes them anew and sends again what was
 * lost on the way.
 */
export class InteractionClient
  extends EventEmitter<InteractionClientEvents>
  implements Requester, AsyncDisposable
{
  readonly #connector: Connector;
  readonly #connectionOptions: InteractionConnectionOptions;
  readonly #accepted: InteractionClientOptions['accepted'];
  readonly #wheel: TimingWheel;
  readonly #manager: ConnectionManager<InteractionConnection>;
  readonly #departure: Departure;
  readonly #resubscribes: boolean;
  readonly #held: HeldRequests | undefined;
  readonly #host: SubscriptionHost;
  /** In the order in which they were made. */
  readonly #subscriptions = new Set<ClientSubscription>();
  /** What the held requests go to: the connection, once the subscriptions are made anew. */
  #ready: InteractionConnection | undefined;
  #order = 0;
  /** To connect again would end the connection that took the place of the last one, and so on for ever. */
  #isReplaced = false;
  /** The connection that this side ends. */
  #leaving: InteractionConnection | undefined;
  /** One to a gateway that will go, which ends when it has the answers that it owes; another follows. */
  #departing: InteractionConnection | undefined;

  static {
    isolateRejections(InteractionClient.prototype);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: InteractionClientOptions) {
    super({ captureRejections: true });
    checkOptions('options', options, optionNames);
    const { wheel = systemWheel(), random = systemRandom, accepted, hold } = options;
    if (!(wheel instanceof TimingWheel)) throw argumentError('wheel', 'a TimingWheel', describe(wheel));
    this.#connector = checkFunction('connector', options.connector);
    this.#accepted = accepted && checkFunction('accepted', accepted);
    this.#wheel = wheel;
    this.#connectionOptions = { ...options.connection, wheel };
    checkConnectionOptions(this.#connectionOptions);
    this.#resubscribes = checkBoolean('resubscribe', options.resubscribe ?? false);
    this.#held = hold && new HeldRequests(wheel, hold);
    const { reconnectAfter = () => true, ...reconnection } = options.reconnection ?? {};
    checkFunction('reconnectAfter', reconnectAfter);
    this.#manager = new ConnectionManager({
      ...reconnection,
      reconnectAfter: (reason) => !this.#isReplaced && !isArgumentError(reason) && reconnectAfter(reason),
      connect: (signal) => this.#open(signal),
      release: (connection) => connection.destroy(),
      clock: wheel.clock,
      random,
    });
    this.#departure = new Departure(wheel, random, {
      spread: (spreadMs) => this.#manager.spreadNextAttempt(spreadMs),
      leave: () => {
        this.#departing = this.#manager.handle;
        this.#departing?.depart();
      },
      // It closes when what is under way is answered.
      mustStay: () => false,
    });
    this.#host = {
      wheel,
      random,
      requester: () => this.#usable,
      resubscribes: this.#resubscribes,
      resubscribed: (subscription) =>
        guard(this, 'resubscribed', () => this.emit('resubscribed', subscription)),
      failed: (subscription, error) =>
        guard(this, 'resubscribeFailed', () => this.emit('resubscribeFailed', subscription, error)),
      ended: (subscription) => this.#subscriptions.delete(subscription),
    };
    this.#hearManager();
  }

  /** Where the connection is (source document, section 5.4). */
  get state(): ManagerState {
    return this.#manager.state;
  }

  /** The connection, while CONNECTED. It is another after each loss. */
  get connection(): InteractionConnection | undefined {
    return this.#manager.handle;
  }

  /** The subscriptions that have not ended, in the order in which they were made. */
  get subscriptions(): readonly ClientSubscription[] {
    return [...this.#subscriptions];
  }

  /** Requests that wait for a connection. */
  get held(): number {
    return this.#held?.size ?? 0;
  }

  /**
   * Connects: tries at once and, unless `reconnection` says otherwise, again and again until an attempt succeeds.
   *
   * @throws (rejects) as `ConnectionManager.connect`.
   */
  async connect(options?: ManagedConnectOptions): Promise<void> {
    this.#isReplaced = false;
    await this.#manager.connect(options);
  }

  /**
   * Ends the connection, as `InteractionConnection.close` does, and stops connecting. `connect` may be called again: subscriptions that
   * outlive a loss outlive this too. Requests that are held are rejected with ERR_HAWSER_NOT_CONNECTED.
   */
  disconnect(options?: CloseOptions): Promise<void> {
    return this.#leave(options, () => this.#manager.disconnect());
  }

  /** As `disconnect`, and for good: all subscriptions end, and requests are refused with ERR_HAWSER_CLOSED. */
  close(options?: CloseOptions): Promise<void> {
    return this.#leave(options, () => this.#manager.close());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- Requests ----------------------------------------------------------------------------------------------------

  /** See `Requester.read`. @throws (rejects) as there. */
  read(
    endpoint: number,
    feature: number,
    attributes: readonly number[] = [],
    options?: RequestOptions,
  ): Promise<AttributeValues> {
    return this.#ask({
      body: { operation: 'read', endpoint, feature, attributes },
      repeatable: true,
      signal: options?.signal,
      send: (connection) => connection.read(endpoint, feature, attributes, options),
    });
  }

  /** See `Requester.write`. @throws (rejects) as there. */
  write(endpoint: number, feature: number, values: AttributeValues, options?: RequestOptions): Promise<void> {
    return this.#ask({
      body: { operation: 'write', endpoint, feature, values },
      // It sets values, so that a second time changes nothing.
      repeatable: true,
      signal: options?.signal,
      send: (connection) => connection.write(endpoint, feature, values, options),
    });
  }

  /** See `Requester.invoke`. @throws (rejects) as there. */
  async invoke(
    endpoint: number,
    feature: number,
    command: number,
    parameters?: Value,
    options: ClientInvokeOptions = {},
  ): Promise<Value | undefined> {
    checkOptions('options', options, invokeOptionNames);
    const { idempotent = false, ...rest } = options;
    return this.#ask({
      body: {
        operation: 'invoke',
        endpoint,
        feature,
        command,
        ...(parameters !== undefined && { parameters }),
      },
      repeatable: checkBoolean('idempotent', idempotent),
      signal: options.signal,
      send: (connection) => connection.invoke(endpoint, feature, command, parameters, rest),
    });
  }

  /**
   * Subscribes to attributes. The listener is the same for as long as the subscription lasts, over however many connections: it hears
   * `stale` when one is lost, and the values anew when the subscription is.
   *
   * @returns the subscription; with `sustained`, once it could be made, however long that takes.
   * @throws (rejects) as `Requester.subscribe`.
   */
  async subscribe(
    terms: SubscriptionTerms,
    listener: SubscriptionListener,
    options: ClientSubscribeOptions = {},
  ): Promise<ClientSubscription> {
    checkOptions('options', options, subscribeOptionNames);
    const { sustained = false, critical = false, ...rest } = options;
    checkBoolean('sustained', sustained);
    checkBoolean('critical', critical);
    checkSubscription(terms, listener);
    const { timeoutMs } = rest;
    if (timeoutMs !== undefined) checkInteger('timeoutMs', timeoutMs, 1, maxU32);
    const how = { sustained, critical, timeoutMs };
    const subscription = new ClientSubscription(this.#host, terms, listener, how);
    if (this.state === 'CLOSED') throw new HawserError('ERR_HAWSER_CLOSED', 'the client is closed');
    throwIfAborted(checkSignal(rest.signal));
    this.#subscriptions.add(subscription);
    try {
      await (sustained ? this.#establish(subscription, rest.signal) : this.#make(subscription, rest));
    } catch (error) {
      subscription.end();
      throw error;
    }
    return subscription;
  }

  #make(subscription: ClientSubscription, options: RequestOptions): Promise<void> {
    return this.#ask({
      body: { operation: 'subscribe', ...subscription.terms },
      repeatable: true,
      signal: options.signal,
      send: (connection) => subscription.make(connection, options.signal),
    });
  }

  async #establish(subscription: ClientSubscription, signal: AbortSignal | undefined): Promise<void> {
    const giveUp = (): void => {
      if (signal !== undefined) subscription.end(abortedError(signal));
    };
    signal?.addEventListener('abort', giveUp, { once: true });
    try {
      void subscription.resume();
      await subscription.established;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  // ---- What waits --------------------------------------------------------------------------------------------------

  #ask<T>(asked: Asked<T>): Promise<T> {
    const held = this.#held;
    // What is thrown in here rejects the promise.
    return new Promise((resolve, reject) => {
      const order = ++this.#order;
      const madeMs = this.#wheel.clock.now();
      const hold = (): void => {
        const bytes = this.#sizeOf(asked.body);
        held?.add({ order, madeMs, bytes, signal: asked.signal, send, reject });
      };
      const send = async (): Promise<void> => {
        try {
          resolve(await asked.send(this.#connectionOrThrow()));
        } catch (error) {
          if (!this.#mayAgain(error, asked.repeatable) || !tried(hold)) reject(error);
        }
      };
      // Whatever was made before goes first.
      if (held === undefined || (this.#ready !== undefined && held.size === 0)) void send();
      else {
        this.#checkConnecting();
        hold();
      }
    });
  }

  /** Whether a request is to wait for the next connection: it was not carried out, or to do that twice is no harm. */
  #mayAgain(error: unknown, repeatable: boolean): boolean {
    if (this.#held === undefined || !(error instanceof HawserError)) return false;
    const connection = this.#manager.handle;
    const isOver = connection === undefined ? this.#isConnecting : !connection.open && !this.#isLeaving;
    if (!isOver) return false;
    // A side that closes takes no further requests; but BUSY is also what a handler is answered for with that threw half-way.
    if (error instanceof StatusError) return repeatable && error.status === 'BUSY';
    if (error.code === 'ERR_HAWSER_CONNECTION_LOST') return repeatable;
    return error.code === 'ERR_HAWSER_NOT_CONNECTED';
  }

  /** Whether this side ends the connection. */
  get #isLeaving(): boolean {
    return this.#leaving !== undefined && this.#leaving === this.#manager.handle;
  }

  get #isConnecting(): boolean {
    return this.state === 'CONNECTING' || this.state === 'RECONNECTING';
  }

  #sizeOf(body: RequestBody): number {
    const codec = this.#connectionOptions.codec ?? hawserCodec();
    return codec.encode({ type: 'request', messageId: 1, ...body }).length;
  }

  /** The connection, unless it takes no further requests because another will follow. */
  get #usable(): InteractionConnection | undefined {
    const { handle } = this.#manager;
    return handle === this.#departing ? undefined : handle;
  }

  #connectionOrThrow(): InteractionConnection {
    const connection = this.#usable;
    if (connection !== undefined) return connection;
    throw this.#notConnected();
  }

  /** @throws HawserError when no connection is on its way. */
  #checkConnecting(): void {
    if (this.state === 'CLOSED' || this.state === 'DISCONNECTED') throw this.#notConnected();
  }

  #notConnected(): HawserError {
    if (this.state === 'CLOSED') return new HawserError('ERR_HAWSER_CLOSED', 'the client is closed');
    if (this.state === 'CONNECTED') {
      return new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the client is about to connect to another gateway');
    }
    const advice = this.state === 'DISCONNECTED' ? ': connect it first' : '';
    return new HawserError('ERR_HAWSER_NOT_CONNECTED', `the client is ${this.state}${advice}`);
  }

  // ---- The connection ----------------------------------------------------------------------------------------------

  async #open(signal: AbortSignal): Promise<InteractionConnection> {
    let connection: InteractionConnection | undefined;
    try {
      await this.#connector((link) => {
        connection = this.#attach(link);
        return connection;
      }, signal);
      if (connection !== undefined) await this.#accept(connection, signal);
    } catch (error) {
      connection?.destroy('not accepted');
      throw error;
    }
    if (connection !== undefined) return connection;
    throw argumentError('connector', 'a function that calls attach', 'one that does not');
  }

  #attach(link: MessageConnection): InteractionConnection {
    const connection = new InteractionConnection(link, this.#connectionOptions);
    connection.on('close', (error) => {
      if (connection === this.#leaving) return;
      this.#isReplaced ||= isReplaced(error);
      this.#manager.notifyConnectionLost(error, connection);
    });
    connection.on('closing', () => {
      if (this.#ready === connection) this.#ready = undefined;
    });
    connection.on('farewell', (farewell) => {
      if (connection === this.#manager.handle) this.#departure.plan(farewell);
      guard(this, 'farewell', () => this.emit('farewell', farewell));
    });
    connection.on('unexpectedReply', (response) =>
      guard(this, 'unexpectedReply', () => this.emit('unexpectedReply', response)),
    );
    connection.on('latency', (latencyMs) => guard(this, 'latency', () => this.emit('latency', latencyMs)));
    connection.on('listenerError', (error, source) => reportListenerError(this, error, source));
    return connection;
  }

  async #accept(connection: InteractionConnection, signal: AbortSignal): Promise<void> {
    if (this.#accepted === undefined) return;
    const lost = new Promise<never>((_, reject) => {
      connection.once('close', (error) => reject(error ?? connectionLostError()));
    });
    // It may be settled before anybody waits for it.
    lost.catch(() => undefined);
    const giveUp = (): void => connection.destroy('the attempt to connect was given up');
    signal.addEventListener('abort', giveUp, { once: true });
    try {
      throwIfAborted(signal);
      if (!connection.open) throw connectionLostError();
      await Promise.race([this.#accepted(connection, signal), lost]);
    } finally {
      signal.removeEventListener('abort', giveUp);
    }
  }

  async #leave(options: CloseOptions | undefined, stop: () => void): Promise<void> {
    checkCloseOptions(options ?? {});
    const connection = this.#manager.handle;
    if (connection !== undefined) {
      // Its end is no loss.
      this.#leaving = connection;
      await connection.close(options);
    }
    stop();
  }

  #hearManager(): void {
    const manager = this.#manager;
    manager.on('stateChange', (from, to) => {
      if (from === 'CONNECTED') this.#departure.cancel();
      if (to === 'DISCONNECTED' || to === 'CLOSED') this.#held?.rejectAll(this.#notConnected());
      if (to === 'CLOSED') for (const each of this.subscriptions) each.end(this.#notConnected());
      guard(this, 'stateChange', () => this.emit('stateChange', from, to));
    });
    manager.on('connected', (connection) => {
      void this.#restore(connection);
      guard(this, 'connected', () => this.emit('connected', connection));
    });
    manager.on('disconnected', (reason) => {
      this.#ready = undefined;
      for (const each of this.subscriptions) guard(this, 'stale', () => each.lose());
      guard(this, 'disconnected', () => this.emit('disconnected', reason));
    });
    manager.on('reconnecting', (attempt, delayMs) =>
      guard(this, 'reconnecting', () => this.emit('reconnecting', attempt, delayMs)),
    );
    manager.on('attemptFailed', (error, attempt) =>
      guard(this, 'attemptFailed', () => this.emit('attemptFailed', error, attempt)),
    );
    manager.on('listenerError', (error, source) => reportListenerError(this, error, source));
  }

  /** What was lost with the last connection: subscriptions first, so that no held write is missed by them. */
  async #restore(connection: InteractionConnection): Promise<void> {
    const isCurrent = (): boolean => this.#manager.handle === connection;
    const lost = this.subscriptions.filter((each) => each.awaitsConnection);
    const inTurn = [...lost.filter(({ critical }) => critical), ...lost.filter(({ critical }) => !critical)];
    await inOrder(inTurn, maxResubscribing, (each) => each.resume());
    if (!isCurrent() || !connection.open) return;
    this.#ready = connection;
    await this.#held?.release(() => this.#ready === connection);
  }
}

const invokeOptionNames: readonly string[] = ['timeoutMs', 'signal', 'idempotent'];
const subscribeOptionNames: readonly string[] = ['timeoutMs', 'signal', 'sustained', 'critical'];

/** Another attempt would meet the same. */
function isArgumentError(reason: unknown): boolean {
  return reason instanceof HawserError && reason.code === 'ERR_HAWSER_ARGUMENT';
}

function isReplaced(reason: unknown): boolean {
  return reason instanceof HawserError && reason.code === 'ERR_HAWSER_REPLACED';
}

/** @returns whether it did not throw. */
function tried(run: () => void): boolean {
  try {
    run();
    return true;
  } catch {
    return false;
  }
}
