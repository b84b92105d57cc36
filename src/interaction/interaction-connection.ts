// One side of an interaction: requests to the other side and their responses, its requests and ours, notifications, keep-alive.

import { EventEmitter } from 'node:events';
import {
  argumentError,
  checkFunction,
  checkInteger,
  checkOptions,
  checkString,
  describe,
  maxU32,
} from '../base/check.js';
import { HawserError, type HawserErrorCode } from '../base/errors.js';
import { guard, isolateRejections, reportListenerError } from '../base/isolate.js';
import type { Farewell, MessageConnection, MessageReceiver } from '../base/message-connection.js';
import { systemWheel, TimingWheel, WheelTimer } from '../base/timing-wheel.js';
import { type MessageCodec, ProtocolError } from './codec.js';
import { diagnostics } from './diagnostics.js';
import { type ClosePlan, defaultClosePlan, GracefulClose, proofSequence } from './graceful-close.js';
import { hawserCodec } from './hawser-codec.js';
import { KeepAlive, type KeepAliveOptions } from './keep-alive.js';
import type { Control, Message, Notification, Request, Response } from './messages.js';
import { OwnSubscriptions, Subscriber } from './own-subscriptions.js';
import { errorPayload, parseReadResult, parseSubscribeResult, type SubscribeResult } from './payloads.js';
import { connectionLostError, PendingRequests, type RequestOptions } from './pending-requests.js';
import {
  checkSubscription,
  type Requester,
  type StaleReason,
  type Subscription,
  type SubscriptionListener,
} from './requester.js';
import type { InteractionCounts } from './stats.js';
import type { ErrorStatus, Status } from './status.js';
import type { SubscriptionTerms } from './subscriptions.js';
import type { AttributeValues, Value } from './values.js';

/** Why a request is not carried out. */
export interface Refusal {
  /** The status to answer with. */
  readonly error: ErrorStatus;
  /** For people. */
  readonly detail?: string;
}

/** What a request is answered with: a payload (undefined for none), or why there is none. */
export type Answer =
  | {
      /** The result; undefined for none. */
      readonly payload: Value | undefined;
      /** Called when the other side gets an error instead, because the payload is too long or cannot be encoded. */
      readonly undo?: () => void;
    }
  | Refusal;

/**
 * Answers the other side's requests, each of which gets an answer: BUSY where this throws, rejects or returns what cannot be
 * encoded, RESOURCE_EXHAUSTED where the answer is too long, TIMEOUT where it takes longer than `serveTimeoutMs`.
 */
export type RequestHandler = (
  request: Request,
  connection: InteractionConnection,
) => Answer | Promise<Answer>;

/** Options of {@link InteractionConnection}. */
export interface InteractionConnectionOptions {
  /** Where its timers run; one for the whole process by default, over the machine's clock. */
  readonly wheel?: TimingWheel;
  /** The format of the messages; our own by default. */
  readonly codec?: MessageCodec;
  /** How long a request waits for its response, in milliseconds; 30,000 by default (source document, section 2.4). */
  readonly requestTimeoutMs?: number;
  /** Requests to the other side that wait at the same time; 1,024 by default. */
  readonly maxInFlight?: number;
  /** Requests of the other side that are being answered at the same time, 1 to 65,536; further ones get BUSY. 64 by default. */
  readonly maxServed?: number;
  /**
   * How long the promise of `serve` is waited for, in milliseconds, 1 to 4,294,967,295; 25,000 by default, so that the other
   * side hears of it before its own timeout.
   */
  readonly serveTimeoutMs?: number;
  /** Fed by the transport where that detects losses by itself, with pings of its own elsewhere. */
  readonly keepAlive?: KeepAliveOptions;
  /**
   * For how long after its maximum interval a subscription of this side may be silent until it is `stale`, in milliseconds, 0 to
   * 86,400,000; 10,000 by default. The interval is what the other side reported, or else, with a codec that does not say, what was asked
   * for, or 60,000. False: silence is not noticed.
   */
  readonly livenessGraceMs?: number | false;
  /** Answers the other side's requests; without it they get UNSUPPORTED. */
  readonly serve?: RequestHandler;
}

/** Options of `InteractionConnection.close`. */
export interface CloseOptions {
  /** For people, where the transport carries it: at most 256 bytes of UTF-8, of which it may leave out the end. */
  readonly reason?: string;
  /** How long the other side's Close is waited for, in milliseconds, 0 to 86,400,000; 5,000 by default. */
  readonly ackTimeoutMs?: number;
  /** How long answers are waited for that either side owes, in milliseconds, 0 to 86,400,000; 10,000 by default. */
  readonly drainTimeoutMs?: number;
}

/** The events of an {@link InteractionConnection} with the arguments of their listeners. */
export interface InteractionConnectionEvents {
  /**
   * The connection is over: lost, broken by a rule, or ended by the other side for a reason (an error); or closed by either side (undefined).
   * No event follows.
   */
  close: [error: Error | undefined];
  /**
   * One side closes: what waits for its answer goes on, nothing else begins. `close` follows, within 15 s unless this side chose otherwise.
   */
  closing: [];
  /** The other side will end the connection, or is about to. */
  farewell: [farewell: Farewell];
  /** A response that nobody waits for: to an unknown request, a second one, or after the timeout. */
  unexpectedReply: [response: Response];
  /** The time between a ping and its pong, in milliseconds. */
  latency: [latencyMs: number];
  /** There is room after a notification that found none. */
  drained: [];
  /** A listener or `serve` threw, its promise rejected, or its answer could not be sent as it was. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

const optionNames = [
  'wheel',
  'codec',
  'requestTimeoutMs',
  'maxInFlight',
  'maxServed',
  'serveTimeoutMs',
  'keepAlive',
  'livenessGraceMs',
  'serve',
] as const;

const closeOptionNames = ['reason', 'ackTimeoutMs', 'drainTimeoutMs'] as const;

const serveNothing: RequestHandler = () => ({ error: 'UNSUPPORTED' });
/** It keeps nothing of a connection. */
const usualCodec = hawserCodec();

const dayMs = 86_400_000;

/** The interaction protocol over one connection, which it is the receiver of. Either side may ask, and answer. */
export class InteractionConnection
  extends EventEmitter<InteractionConnectionEvents>
  implements Requester, MessageReceiver, AsyncDisposable
{
  readonly #connection: MessageConnection;
  readonly #wheel: TimingWheel;
  readonly #codec: MessageCodec;
  readonly #requests: PendingRequests;
  readonly #keepAlive: KeepAlive;
  readonly #serve: RequestHandler;
  readonly #maxServed: number;
  readonly #serveTimeoutMs: number;
  /** Made when this side subscribes, or is notified, for the first time: most sides of most connections never do. */
  #ownSubscriptions: OwnSubscriptions | undefined = undefined;
  readonly #livenessGraceMs: number | undefined;
  #writable = true;
  /** The sequence of a ping that could not be answered yet. */
  #owedPong: number | undefined = undefined;
  #served = 0;
  /** Of requests whose answer is awaited. */
  #serveTimers: Set<WheelTimer> | undefined = undefined;
  #misplacedMessages = 0;
  readonly #counts = { requests: 0, errors: 0, notifications: 0 };
  /** False once it is over. */
  #open = true;
  /** Since one of the sides began to close. */
  #closing: GracefulClose | undefined = undefined;
  #closedHere = false;
  #closeReason = '';
  /** The transport has ended, too. */
  #gone = false;
  /** When that is. */
  #whenGone: Promise<void> | undefined = undefined;
  #resolveGone: (() => void) | undefined = undefined;

  static {
    isolateRejections(InteractionConnection.prototype);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(connection: MessageConnection, options: InteractionConnectionOptions = {}) {
    super({ captureRejections: true });
    checkOptions('options', options, optionNames);
    const { wheel = systemWheel(), codec = usualCodec, keepAlive, serve = serveNothing } = options;
    if (!(wheel instanceof TimingWheel)) throw argumentError('wheel', 'a TimingWheel', describe(wheel));
    this.#connection = connection;
    this.#wheel = wheel;
    this.#codec = codec;
    this.#serve = checkFunction('serve', serve);
    this.#maxServed = checkInteger('maxServed', options.maxServed ?? 64, 1, 65_536);
    this.#serveTimeoutMs = checkInteger('serveTimeoutMs', options.serveTimeoutMs ?? 25_000, 1, maxU32);
    const { livenessGraceMs: graceMs = 10_000 } = options;
    this.#livenessGraceMs =
      graceMs === false ? undefined : checkInteger('livenessGraceMs', graceMs, 0, dayMs);
    this.#requests = new PendingRequests({
      wheel,
      ...(options.requestTimeoutMs !== undefined && { timeoutMs: options.requestTimeoutMs }),
      ...(options.maxInFlight !== undefined && { maxInFlight: options.maxInFlight }),
      // mash takes a response to these for a ping, a pong or a close.
      leastMessageId: codec.name === 'mash' ? 4 : 1,
      unexpectedReply: (response) =>
        guard(this, 'unexpectedReply', () => this.emit('unexpectedReply', response)),
      // Once those who waited have their turn.
      emptied: () => {
        if (this.#closing !== undefined) queueMicrotask(() => this.#closing?.advance());
      },
    });
    this.#keepAlive = new KeepAlive(
      wheel,
      {
        sendPing: (sequence) => this.#sendControl('ping', sequence),
        sendPong: (sequence) => this.#sendPong(sequence),
        latency: (latencyMs) => guard(this, 'latency', () => this.emit('latency', latencyMs)),
        roundTripMs: connection.roundTripMs && (() => connection.roundTripMs?.()),
        timeout: () =>
          this.#break(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'the other side answers no ping')),
      },
      { source: connection.detectsLoss ? 'transport' : 'ping', ...keepAlive },
    );
    this.#keepAlive.start();
  }

  /** Whether requests can be made: false as soon as either side closes. */
  get open(): boolean {
    return this.#open && this.#closing === undefined;
  }

  /** The name of the format of its messages. */
  get codec(): MessageCodec['name'] {
    return this.#codec.name;
  }

  /** Requests that wait for their response. */
  get pending(): number {
    return this.#requests.size;
  }

  /** Notifications of subscriptions that this side does not have: the other side is asked to end them. */
  get unknownNotifications(): number {
    return this.#ownSubscriptions?.unknown ?? 0;
  }

  /** Notifications that came after a later one of the same subscription, or twice; dropped. */
  get outdatedNotifications(): number {
    return this.#ownSubscriptions?.outdated ?? 0;
  }

  /** Messages that came unreliably and are no notifications with a sequence; dropped. */
  get misplacedMessages(): number {
    return this.#misplacedMessages;
  }

  /** What it did since it was made. */
  get counts(): InteractionCounts {
    return this.#counts;
  }

  // ---- Requests ----------------------------------------------------------------------------------------------------

  /** See `Requester.read`. @throws (rejects) as there, and ERR_HAWSER_CLOSED after `close`. */
  async read(
    endpoint: number,
    feature: number,
    attributes: readonly number[] = [],
    options?: RequestOptions,
  ): Promise<AttributeValues> {
    const response = await this.#request(
      (messageId) => ({ type: 'request', messageId, operation: 'read', endpoint, feature, attributes }),
      options,
    );
    return parseReadResult(response.payload);
  }

  /** See `Requester.write`. @throws (rejects) as `read`. */
  async write(
    endpoint: number,
    feature: number,
    values: AttributeValues,
    options?: RequestOptions,
  ): Promise<void> {
    await this.#request(
      (messageId) => ({ type: 'request', messageId, operation: 'write', endpoint, feature, values }),
      options,
    );
  }

  /** See `Requester.invoke`. @throws (rejects) as `read`. */
  async invoke(
    endpoint: number,
    feature: number,
    command: number,
    parameters?: Value,
    options?: RequestOptions,
  ): Promise<Value | undefined> {
    const operation = 'invoke';
    const response = await this.#request(
      (messageId) =>
        parameters === undefined
          ? { type: 'request', messageId, operation, endpoint, feature, command }
          : { type: 'request', messageId, operation, endpoint, feature, command, parameters },
      options,
    );
    return response.payload;
  }

  /** See `Requester.subscribe`. @throws (rejects) as `read`. */
  async subscribe(
    terms: SubscriptionTerms,
    listener: SubscriptionListener,
    options?: RequestOptions,
  ): Promise<Subscription> {
    checkSubscription(terms, listener);
    const subscriber = new Subscriber(terms, listener);
    const { subscriptionId, minIntervalMs, maxIntervalMs } = await this.#requestSubscription(
      subscriber,
      options,
    );
    return {
      id: subscriptionId,
      minIntervalMs,
      maxIntervalMs,
      unsubscribe: async (how) => {
        if (!this.#subscriptions.remove(subscriptionId, subscriber)) return;
        // All subscriptions have ended when either side has begun to close.
        if (this.open) await this.#askToEnd(subscriptionId, how);
      },
    };
  }

  #askToEnd(subscriptionId: number, options?: RequestOptions): Promise<void> {
    return this.#subscriptions.leaving(subscriptionId, () =>
      this.#request(
        (messageId) => ({ type: 'request', messageId, operation: 'unsubscribe', subscriptionId }),
        options,
      ),
    );
  }

  async #requestSubscription(
    subscriber: Subscriber,
    options: RequestOptions | undefined,
  ): Promise<SubscribeResult> {
    let sentId = 0;
    this.#checkOpen();
    try {
      const { payload } = await this.#requests.request((messageId) => {
        this.#subscriptions.expect(messageId, subscriber);
        sentId = messageId;
        try {
          this.#send({ type: 'request', messageId, operation: 'subscribe', ...subscriber.terms });
        } catch (error) {
          this.#subscriptions.unsent(messageId);
          throw error;
        }
      }, options);
      return parseSubscribeResult(payload);
    } finally {
      this.#subscriptions.settled(sentId);
    }
  }

  #request(make: (messageId: number) => Request, options: RequestOptions | undefined): Promise<Response> {
    this.#checkOpen();
    return this.#requests.request((messageId) => this.#send(make(messageId)), options);
  }

  get #subscriptions(): OwnSubscriptions {
    this.#ownSubscriptions ??= new OwnSubscriptions({
      wheel: this.#wheel,
      graceMs: this.#livenessGraceMs,
      askToEnd: (subscriptionId) => this.#askToEnd(subscriptionId),
      isOpen: () => this.open,
      tellsStale: () => !this.#closedHere,
      tell: (source, run) => guard(this, source, run),
    });
    return this.#ownSubscriptions;
  }

  #checkOpen(): void {
    if (this.#closedHere) throw new HawserError('ERR_HAWSER_CLOSED', 'the connection is closed or closing');
    if (!this.open) throw notConnected();
  }

  // ---- What the other side is told ---------------------------------------------------------------------------------

  /**
   * Tells the other side of values that it has subscribed to: the `notify` of a `SubscriptionManager`. What is too long for one message goes
   * in several.
   *
   * @returns false when there is no room: `drained` or the end follows.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_MESSAGE_TOO_LONG.
   */
  notify(notification: Notification): boolean {
    return this.open && this.#writable && this.#offerParts(notification);
  }

  /** What is too long for one message goes in several: a change, or a heartbeat, is no less true in parts. */
  #offerParts(notification: Notification): boolean {
    try {
      return this.#offer(this.#codec.encode(notification));
    } catch (error) {
      const { kind, changes } = notification;
      const isParted = kind !== 'priming' && changes.size > 1;
      if (!isParted || !isHawserError(error, 'ERR_HAWSER_MESSAGE_TOO_LONG')) throw error;
      const [first, second] = halvesOf(notification);
      return this.#offerParts(first) && this.#offerParts(second);
    }
  }

  /**
   * As `notify`, but a change goes by a message that may be lost, for a subscription whose notifications each say everything: the next one
   * makes up for it, and a heartbeat, which is reliable as the priming is. Goes reliably all the same where the transport or the codec cannot
   * do that, and where it is too long for one datagram.
   *
   * @throws HawserError as `notify`.
   */
  notifyUnreliably(notification: Notification): boolean {
    const isOrdered = this.#codec.name === 'hawser' && notification.sequence !== undefined;
    if (this.#connection.sendUnreliable === undefined || !isOrdered || notification.kind !== 'change') {
      return this.notify(notification);
    }
    if (!this.open) return false;
    const bytes = this.#codec.encode(notification);
    try {
      this.#connection.sendUnreliable(bytes);
      ++this.#counts.notifications;
      return true;
    } catch (error) {
      if (isHawserError(error, 'ERR_HAWSER_MESSAGE_TOO_LONG')) return this.#writable && this.#offer(bytes);
      if (!isHawserError(error, 'ERR_HAWSER_QUEUE_FULL', 'ERR_HAWSER_NOT_CONNECTED')) throw error;
      // Lost, as it may be; the end follows by itself where that is why.
      return true;
    }
  }

  #offer(notification: Uint8Array): boolean {
    try {
      this.#writable = this.#connection.send(notification);
      ++this.#counts.notifications;
      return true;
    } catch (error) {
      if (!isHawserError(error, 'ERR_HAWSER_QUEUE_FULL', 'ERR_HAWSER_NOT_CONNECTED')) throw error;
      this.#writable = false;
      return false;
    }
  }

  #send(message: Message): void {
    if (!this.#open) throw notConnected();
    this.#writable = this.#connection.send(this.#codec.encode(message));
  }

  /** Who pings and reads nothing gets one pong, once it reads: the latest ping is the one that counts. */
  #sendPong(sequence: number): boolean {
    this.#owedPong = this.#writable ? undefined : sequence;
    return this.#writable && this.#sendControl('pong', sequence);
  }

  #sendControl(control: Control['control'], sequence: number): boolean {
    try {
      this.#send({ type: 'control', control, sequence });
      return true;
    } catch {
      // A ping that is not sent is a ping missed; a pong or a close is not missed by anybody who is there.
      return false;
    }
  }

  // ---- What comes --------------------------------------------------------------------------------------------------

  /** A message of the other side. */
  message(bytes: Uint8Array): void {
    if (!this.#open) return;
    try {
      const message = this.#codec.decode(bytes);
      if (message.type !== 'control') this.#keepAlive.onTraffic();
      this.#dispatch(message, bytes.length);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** A message of the other side that may have overtaken others: a notification, or none of this protocol. */
  unreliableMessage(bytes: Uint8Array): void {
    if (!this.#open) return;
    try {
      const message = this.#codec.decode(bytes);
      this.#keepAlive.onTraffic();
      if (message.type === 'notification' && message.sequence !== undefined)
        this.#subscriptions.notified(message, bytes.length);
      else ++this.#misplacedMessages;
    } catch (error) {
      // Transports that have such messages authenticate them: this is the other side's own doing.
      if (!(error instanceof ProtocolError)) throw error;
      this.#break(error);
    }
  }

  /** There is room again. */
  drained(): void {
    this.#writable = true;
    if (!this.#open) return;
    if (this.#owedPong !== undefined) this.#sendPong(this.#owedPong);
    this.#closing?.advance();
    if (this.open) guard(this, 'drained', () => this.emit('drained'));
  }

  /** The other side will end the connection. */
  farewell(farewell: Farewell): void {
    if (this.#open) guard(this, 'farewell', () => this.emit('farewell', farewell));
  }

  /** The connection is over. */
  closed(error: HawserError | undefined): void {
    // Where either side closes, the end is what was wanted; but whoever was replaced has to know.
    const isReplaced = error?.code === 'ERR_HAWSER_REPLACED';
    this.#end(this.#closing === undefined || isReplaced ? error : undefined);
    this.#gone = true;
    this.#resolveGone?.();
  }

  /** @param length of its encoding, in bytes. */
  #dispatch(message: Message, length: number): void {
    switch (message.type) {
      case 'request':
        this.#answer(message);
        return;
      case 'response':
        this.#settle(message);
        return;
      case 'notification':
        this.#subscriptions.notified(message, length);
        return;
      case 'control':
        this.#control(message);
    }
  }

  #control({ control, sequence }: Control): void {
    if (control === 'ping') this.#keepAlive.onPing(sequence);
    else if (control === 'close') this.#told(sequence);
    else if (sequence === proofSequence) this.#closing?.proven();
    else this.#keepAlive.onPong(sequence);
  }

  /** Answers a request that breaks a rule of its own; whoever breaks one of the protocol is left. */
  #refuse(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    if (error.messageId === undefined) this.#break(error);
    else this.#respond(error.messageId, { error: error.status, detail: error.message });
  }

  #settle(response: Response): void {
    const answer = this.#ownSubscriptions?.take(response);
    const isAwaited = this.#requests.settle(response);
    // A listener of the unexpected reply may have ended the connection.
    if (answer !== undefined && this.#open) this.#subscriptions.begin(answer, isAwaited);
  }

  // ---- Their requests ----------------------------------------------------------------------------------------------

  #answer(request: Request): void {
    const beganMs = this.#wheel.clock.now();
    if (this.#served >= this.#maxServed || this.#closing !== undefined) {
      this.#tellAnswered(request, beganMs, this.#respond(request.messageId, { error: 'BUSY' }));
      return;
    }
    ++this.#served;
    try {
      const answer = this.#serve(request, this);
      if ('then' in answer) this.#await(request, beganMs, answer);
      else this.#finish(request, beganMs, answer);
    } catch (error) {
      this.#finish(request, beganMs, { error: statusFor(error) });
      reportListenerError(this, error, 'serve');
    }
  }

  #finish(request: Request, beganMs: number, answer: Answer): void {
    --this.#served;
    this.#tellAnswered(request, beganMs, this.#respond(request.messageId, answer));
    this.#closing?.advance();
  }

  #tellAnswered({ operation }: Request, beganMs: number, status: Status): void {
    if (!diagnostics.request.hasSubscribers) return;
    diagnostics.request.publish({ operation, status, durationMs: this.#wheel.clock.now() - beganMs });
  }

  /** Waits for an answer, but not for ever. */
  #await(request: Request, beganMs: number, answer: Promise<Answer>): void {
    const finishOnce = (final: Answer): void => {
      // Nobody waits for it any more: there was no answer in time, or the connection is over.
      if (this.#serveTimers?.delete(timer) !== true) {
        this.#undo(final);
        return;
      }
      this.#wheel.cancel(timer);
      this.#finish(request, beganMs, final);
    };
    const timer = new WheelTimer(() => finishOnce({ error: 'TIMEOUT' }));
    this.#serveTimers ??= new Set();
    this.#serveTimers.add(timer);
    this.#wheel.schedule(timer, this.#wheel.clock.now() + this.#serveTimeoutMs);
    answer.then(finishOnce, (error: unknown) => {
      finishOnce({ error: statusFor(error) });
      reportListenerError(this, error, 'serve');
    });
  }

  /**
   * Never throws: what stands in the way of an answer becomes another answer, or the end of the connection.
   *
   * @returns what the other side was told, or would have been if it were there.
   */
  #respond(messageId: number, answer: Answer): Status {
    if (!this.#open) return 'TIMEOUT';
    this.#closing?.answered();
    let status: Status;
    try {
      const response = responseOf(messageId, answer);
      status = response.status;
      this.#send(response);
    } catch (error) {
      status = this.#respondInstead(messageId, answer, error);
    }
    ++this.#counts.requests;
    if (status !== 'SUCCESS') ++this.#counts.errors;
    return status;
  }

  /** The answer could not be sent as it was. @returns what was sent in its place. */
  #respondInstead(messageId: number, answer: Answer, error: unknown): Status {
    const status = statusFor(error);
    // `closed` is on its way, with the reason.
    if (isHawserError(error, 'ERR_HAWSER_NOT_CONNECTED')) return status;
    // The other side asks and takes no answers; it would wait for this one in vain.
    if (isHawserError(error, 'ERR_HAWSER_QUEUE_FULL')) this.#break(error);
    else this.#respondOtherwise(messageId, status, answer, error);
    return status;
  }

  /** The answer is the application's mistake, or too long. */
  #respondOtherwise(messageId: number, status: ErrorStatus, answer: Answer, error: unknown): void {
    try {
      this.#send({ type: 'response', messageId, status });
    } catch (second) {
      this.#break(second instanceof Error ? second : undefined);
    }
    reportListenerError(this, error, 'serve');
    this.#undo(answer);
  }

  #undo(answer: Answer): void {
    // Who writes plain JavaScript may have answered anything.
    if (answer instanceof Object && 'undo' in answer) guard(this, 'serve', () => answer.undo?.());
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  /**
   * Closes without losing what is under way (source document, section 6.1): tells the other side, which answers at once and takes no
   * further requests, waits for the answers that either side owes, and ends the connection. Requests that have no answer then are
   * rejected with ERR_HAWSER_CONNECTION_LOST.
   *
   * Subscriptions of both sides end at once, without a last notification: the listeners of the other side hear `stale`, those of this side,
   * which knows, do not.
   *
   * @returns a promise that resolves when the transport has ended, the same for every call; also after a loss. By default that is
   *   within 10 s and what the transport takes.
   * @throws (rejects) HawserError ERR_HAWSER_ARGUMENT.
   */
  close(options: CloseOptions = {}): Promise<void> {
    try {
      this.#close(checkCloseOptions(options), options.reason);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#whenGone ??= this.#gone
      ? Promise.resolve()
      : new Promise((resolve) => {
          this.#resolveGone = resolve;
        });
    return this.#whenGone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * Ends the connection at once. Requests that wait are rejected with ERR_HAWSER_CONNECTION_LOST, and the listeners of subscriptions hear
   * `stale`. Harmless when it is over.
   *
   * @param reason as in {@link CloseOptions}.
   */
  destroy(reason = ''): void {
    if (!this.#open) return;
    this.#end(undefined);
    this.#connection.close(reason);
  }

  /**
   * Closes as `close` does, for another connection to take its place: the listeners of this side's subscriptions hear `stale`, and requests
   * are refused with ERR_HAWSER_NOT_CONNECTED.
   */
  depart(): void {
    if (this.#open && !this.#closedHere) this.#beginClosing('connectionLost').close(defaultClosePlan);
  }

  #close(plan: ClosePlan, reason: string | undefined): void {
    if (!this.#open || this.#closedHere) return;
    this.#closedHere = true;
    this.#closeReason = reason ?? '';
    this.#beginClosing(undefined).close(plan);
  }

  /** The Close of the other side has come. */
  #told(sequence: number): void {
    this.#beginClosing('connectionLost').told(sequence);
  }

  /** @param reason why subscriptions of this side are stale; undefined when they need not be told. */
  #beginClosing(reason: StaleReason | undefined): GracefulClose {
    if (this.#closing !== undefined) return this.#closing;
    const closing = new GracefulClose(this.#wheel, {
      send: (control, sequence) => this.#sendControl(control, sequence),
      isIdle: () => this.#requests.size === 0 && this.#served === 0,
      finish: () => this.destroy(this.#closeReason),
    });
    this.#closing = closing;
    this.#ownSubscriptions?.endAll(reason);
    // A listener may have ended the connection.
    if (this.#open) guard(this, 'closing', () => this.emit('closing'));
    return closing;
  }

  #break(error: Error | undefined): void {
    if (!this.#open) return;
    this.#end(error);
    this.#connection.close(error?.message ?? '');
  }

  #end(error: Error | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#keepAlive.stop();
    this.#closing?.stop();
    for (const timer of this.#serveTimers ?? []) this.#wheel.cancel(timer);
    this.#serveTimers?.clear();
    this.#requests.rejectAll(connectionLostError(error?.message));
    this.#ownSubscriptions?.close();
    guard(this, 'close', () => this.emit('close', error));
  }
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkCloseOptions(options: CloseOptions): ClosePlan {
  checkOptions('options', options, closeOptionNames);
  checkString('reason', options.reason ?? '');
  const { ackTimeoutMs, drainTimeoutMs } = defaultClosePlan;
  return {
    ackTimeoutMs: checkInteger('ackTimeoutMs', options.ackTimeoutMs ?? ackTimeoutMs, 0, dayMs),
    drainTimeoutMs: checkInteger('drainTimeoutMs', options.drainTimeoutMs ?? drainTimeoutMs, 0, dayMs),
  };
}

/**
 * Refuses what connections would refuse, before there is one.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkConnectionOptions(options: InteractionConnectionOptions): void {
  const inert: MessageConnection = { detectsLoss: true, send: () => true, close: () => undefined };
  new InteractionConnection(inert, options).destroy();
}

/** Without the sequence, which only one of them could have: they are told in order. */
function halvesOf({ sequence: _, changes, ...rest }: Notification): [Notification, Notification] {
  const all = [...changes];
  const middle = all.length >> 1;
  return [
    { ...rest, changes: new Map(all.slice(0, middle)) },
    { ...rest, changes: new Map(all.slice(middle)) },
  ];
}

function notConnected(): HawserError {
  return new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection is over, or the other side closes it');
}

/** Each object is written out: to spread one into another would take longer than all else here. */
function responseOf(messageId: number, answer: Answer): Response {
  if ('error' in answer) {
    const { error: status, detail } = answer;
    if (detail === undefined) return { type: 'response', messageId, status };
    return { type: 'response', messageId, status, payload: errorPayload(detail) };
  }
  const { payload } = answer;
  if (payload === undefined) return { type: 'response', messageId, status: 'SUCCESS' };
  return { type: 'response', messageId, status: 'SUCCESS', payload };
}

/** What a request is answered with when an error came in place of its answer. */
function statusFor(error: unknown): ErrorStatus {
  return isHawserError(error, 'ERR_HAWSER_MESSAGE_TOO_LONG') ? 'RESOURCE_EXHAUSTED' : 'BUSY';
}

function isHawserError(error: unknown, ...codes: readonly HawserErrorCode[]): error is HawserError {
  return error instanceof HawserError && codes.includes(error.code);
}
