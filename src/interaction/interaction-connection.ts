// One side of an interaction: requests to the other side and their responses, its requests and ours, notifications, keep-alive.

import { EventEmitter } from 'node:events';
import { argumentError, checkFunction, checkInteger, checkOptions, describe } from '../base/check.js';
import { HawserError, type HawserErrorCode } from '../base/errors.js';
import { guard, isolateRejections, reportListenerError } from '../base/isolate.js';
import type { MessageConnection, MessageReceiver } from '../base/message-connection.js';
import { TimingWheel, WheelTimer } from '../base/timing-wheel.js';
import { type MessageCodec, ProtocolError } from './codec.js';
import { hawserCodec } from './hawser-codec.js';
import { KeepAlive, type KeepAliveOptions } from './keep-alive.js';
import type { Control, Message, Notification, Request, Response } from './messages.js';
import { errorPayload, parseReadResult, parseSubscribeResult, type SubscribeResult } from './payloads.js';
import { connectionLostError, PendingRequests, type RequestOptions } from './pending-requests.js';
import type { ErrorStatus } from './status.js';
import type { SubscriptionTerms } from './subscriptions.js';
import type { AttributeValues, Value } from './values.js';

/** What a request is answered with: a payload (undefined for none), or why there is none. */
export type Answer =
  | {
      readonly payload: Value | undefined;
      /** Called when the other side gets an error instead, because the payload is too long or cannot be encoded. */
      readonly undo?: () => void;
    }
  | { readonly error: ErrorStatus; readonly detail?: string };

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
  /** Where its timers run; shared by all connections of a program. */
  readonly wheel: TimingWheel;
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
  /** Answers the other side's requests; without it they get UNSUPPORTED. */
  readonly serve?: RequestHandler;
}

/** The events of an {@link InteractionConnection} with the arguments of their listeners. */
export interface InteractionConnectionEvents {
  /** The connection is over: lost, or broken by a rule (an error), or ended by either side (undefined). No event follows. */
  close: [error: Error | undefined];
  /** A response that nobody waits for: to an unknown request, a second one, or after the timeout. */
  unexpectedReply: [response: Response];
  /** The time between a ping and its pong, in milliseconds. */
  latency: [latencyMs: number];
  /** There is room after a notification that found none. */
  drained: [];
  /** A listener or `serve` threw, its promise rejected, or its answer could not be sent as it was. Without a listener of this event that is an uncaught exception. */
  listenerError: [error: unknown, source: string];
}

/** What is told of a subscription. */
export interface SubscriptionListener {
  /** The values after subscribing, exactly once and first; then each change; then heartbeats, perhaps without values. */
  readonly notified: (notification: Notification) => void;
  /** The connection is over: the values may be out of date, and nothing follows. */
  readonly stale?: () => void;
}

/** A subscription of this side to attributes of the other. */
export interface Subscription {
  /** 1 to 4,294,967,295. */
  readonly id: number;
  /** As the other side chose them, in milliseconds; undefined where the codec does not say. */
  readonly minIntervalMs: number | undefined;
  readonly maxIntervalMs: number | undefined;
  /** Ends it; no notification follows. @throws (rejects) as `InteractionConnection.read`. */
  unsubscribe(options?: RequestOptions): Promise<void>;
}

/** Who waits for the response to a subscribe, and hears what is notified afterwards. */
class Subscriber {
  readonly terms: SubscriptionTerms;
  readonly listener: SubscriptionListener;
  /** Undefined for all. */
  readonly #attributes: ReadonlySet<number> | undefined;
  primed = false;

  constructor(terms: SubscriptionTerms, listener: SubscriptionListener) {
    this.terms = terms;
    this.listener = listener;
    this.#attributes = terms.attributes.length === 0 ? undefined : new Set(terms.attributes);
  }

  /** Whether it asked for these. */
  covers({ endpoint, feature, changes }: Pick<Notification, 'endpoint' | 'feature' | 'changes'>): boolean {
    if (endpoint !== this.terms.endpoint || feature !== this.terms.feature) return false;
    if (this.#attributes === undefined) return true;
    for (const attribute of changes.keys()) if (!this.#attributes.has(attribute)) return false;
    return true;
  }
}

type RequestBody<R extends Request = Request> = R extends Request ? Omit<R, 'type' | 'messageId'> : never;

const optionNames = [
  'wheel',
  'codec',
  'requestTimeoutMs',
  'maxInFlight',
  'maxServed',
  'serveTimeoutMs',
  'keepAlive',
  'serve',
] as const;

const serveNothing: RequestHandler = () => ({ error: 'UNSUPPORTED' });

/** Notifications that may come before the response to their subscribe; more of them break the connection. */
const maxEarly = 256;

/** Subscribes given up before their response that are remembered, the latest of them. */
const maxAbandoned = 1024;

const maxU32 = 0xffff_ffff;

/** The interaction protocol over one connection, which it is the receiver of. Either side may ask, and answer. */
export class InteractionConnection
  extends EventEmitter<InteractionConnectionEvents>
  implements MessageReceiver
{
  readonly #connection: MessageConnection;
  readonly #wheel: TimingWheel;
  readonly #codec: MessageCodec;
  readonly #requests: PendingRequests;
  readonly #keepAlive: KeepAlive;
  readonly #serve: RequestHandler;
  readonly #maxServed: number;
  readonly #serveTimeoutMs: number;
  /** By the id of their subscription. */
  readonly #subscriptions = new Map<number, Subscriber>();
  /** By the id of their request, until its response has come. */
  readonly #subscribers = new Map<number, Subscriber>();
  /** The ids of subscribes that were given up: the other side may still make the subscription, which is then ended. */
  readonly #abandoned = new Set<number>();
  /** Notifications that came before the response that names their subscription. */
  readonly #early: Notification[] = [];
  #writable = true;
  #served = 0;
  #unknownNotifications = 0;
  #open = true;

  static {
    isolateRejections(InteractionConnection.prototype);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(connection: MessageConnection, options: InteractionConnectionOptions) {
    super({ captureRejections: true });
    checkOptions('options', options, optionNames);
    const { wheel, codec = hawserCodec(), keepAlive, serve = serveNothing } = options;
    if (!(wheel instanceof TimingWheel)) throw argumentError('wheel', 'a TimingWheel', describe(wheel));
    this.#connection = connection;
    this.#wheel = wheel;
    this.#codec = codec;
    this.#serve = checkFunction('serve', serve);
    this.#maxServed = checkInteger('maxServed', options.maxServed ?? 64, 1, 65_536);
    this.#serveTimeoutMs = checkInteger('serveTimeoutMs', options.serveTimeoutMs ?? 25_000, 1, maxU32);
    this.#requests = new PendingRequests({
      wheel,
      ...(options.requestTimeoutMs !== undefined && { timeoutMs: options.requestTimeoutMs }),
      ...(options.maxInFlight !== undefined && { maxInFlight: options.maxInFlight }),
      // mash takes a response to these for a ping, a pong or a close.
      leastMessageId: codec.name === 'mash' ? 4 : 1,
      unexpectedReply: (response) =>
        guard(this, 'unexpectedReply', () => this.emit('unexpectedReply', response)),
    });
    this.#keepAlive = new KeepAlive(
      wheel,
      {
        sendPing: (sequence) => this.#sendControl('ping', sequence),
        sendPong: (sequence) => this.#sendControl('pong', sequence),
        latency: (latencyMs) => guard(this, 'latency', () => this.emit('latency', latencyMs)),
        timeout: () =>
          this.#break(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'the other side answers no ping')),
      },
      { source: connection.detectsLoss ? 'transport' : 'ping', ...keepAlive },
    );
    this.#keepAlive.start();
  }

  /** Whether messages can be sent. */
  get open(): boolean {
    return this.#open;
  }

  /** The name of the format of its messages. */
  get codec(): MessageCodec['name'] {
    return this.#codec.name;
  }

  /** Requests that wait for their response. */
  get pending(): number {
    return this.#requests.size;
  }

  /** Notifications of subscriptions that this side does not have. */
  get unknownNotifications(): number {
    return this.#unknownNotifications;
  }

  // ---- Requests ----------------------------------------------------------------------------------------------------

  /**
   * Reads attributes.
   *
   * @param attributes their ids; none for all.
   * @throws (rejects) StatusError with what the other side answered; HawserError ERR_HAWSER_TIMED_OUT, ERR_HAWSER_ABORTED,
   *   ERR_HAWSER_CONNECTION_LOST, ERR_HAWSER_NOT_CONNECTED, ERR_HAWSER_QUEUE_FULL, ERR_HAWSER_ARGUMENT; ProtocolError when the
   *   answer is none.
   */
  async read(
    endpoint: number,
    feature: number,
    attributes: readonly number[] = [],
    options?: RequestOptions,
  ): Promise<AttributeValues> {
    const response = await this.#request({ operation: 'read', endpoint, feature, attributes }, options);
    return parseReadResult(response.payload);
  }

  /** Writes attributes. @throws (rejects) as `read`. */
  async write(
    endpoint: number,
    feature: number,
    values: AttributeValues,
    options?: RequestOptions,
  ): Promise<void> {
    await this.#request({ operation: 'write', endpoint, feature, values }, options);
  }

  /**
   * Runs a command.
   *
   * @returns what it returned; undefined for nothing.
   * @throws (rejects) as `read`.
   */
  async invoke(
    endpoint: number,
    feature: number,
    command: number,
    parameters?: Value,
    options?: RequestOptions,
  ): Promise<Value | undefined> {
    const named = parameters === undefined ? {} : { parameters };
    const response = await this.#request(
      { operation: 'invoke', endpoint, feature, command, ...named },
      options,
    );
    return response.payload;
  }

  /**
   * Subscribes to attributes: `listener` hears their values, then their changes.
   *
   * @throws (rejects) as `read`.
   */
  async subscribe(
    terms: SubscriptionTerms,
    listener: SubscriptionListener,
    options?: RequestOptions,
  ): Promise<Subscription> {
    checkFunction('notified', listener.notified);
    const subscriber = new Subscriber(terms, listener);
    const response = await this.#request(
      { operation: 'subscribe', ...subscriber.terms },
      options,
      subscriber,
    );
    const { subscriptionId, minIntervalMs, maxIntervalMs } = parseSubscribeResult(response.payload);
    return {
      id: subscriptionId,
      minIntervalMs,
      maxIntervalMs,
      unsubscribe: (how) => this.#unsubscribe(subscriptionId, subscriber, how),
    };
  }

  async #unsubscribe(
    subscriptionId: number,
    subscriber: Subscriber,
    options: RequestOptions | undefined,
  ): Promise<void> {
    const current = this.#subscriptions.get(subscriptionId);
    // The other side has given the id to another since: this one has ended.
    if (current !== undefined && current !== subscriber) return;
    this.#subscriptions.delete(subscriptionId);
    await this.#request({ operation: 'unsubscribe', subscriptionId }, options);
  }

  async #request(
    body: RequestBody,
    options: RequestOptions | undefined,
    subscriber?: Subscriber,
  ): Promise<Response> {
    let sentId = 0;
    try {
      return await this.#requests.request((messageId) => {
        if (subscriber !== undefined) this.#subscribers.set(messageId, subscriber);
        sentId = messageId;
        try {
          this.#send({ type: 'request', messageId, ...body });
        } catch (error) {
          this.#subscribers.delete(messageId);
          throw error;
        }
      }, options);
    } finally {
      // Still there when it was given up: its response has not come.
      if (this.#subscribers.delete(sentId)) this.#abandon(sentId);
      this.#forgetEarly();
    }
  }

  #abandon(messageId: number): void {
    this.#abandoned.add(messageId);
    if (this.#abandoned.size <= maxAbandoned) return;
    for (const oldest of this.#abandoned) {
      this.#abandoned.delete(oldest);
      return;
    }
  }

  // ---- What the other side is told ---------------------------------------------------------------------------------

  /**
   * Tells the other side of values that it has subscribed to: the `notify` of a `SubscriptionManager`.
   *
   * @returns false when there is no room: `drained` or the end follows.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_MESSAGE_TOO_LONG.
   */
  notify(notification: Notification): boolean {
    if (!this.#open || !this.#writable) return false;
    try {
      this.#send(notification);
      return true;
    } catch (error) {
      if (!isHawserError(error, 'ERR_HAWSER_QUEUE_FULL', 'ERR_HAWSER_NOT_CONNECTED')) throw error;
      this.#writable = false;
      return false;
    }
  }

  /**
   * Tells the other side that this one goes, and ends the connection. Requests that wait are rejected with
   * ERR_HAWSER_CONNECTION_LOST. Harmless when it is over.
   */
  close(reason = ''): void {
    if (!this.#open) return;
    this.#sendControl('close', 0);
    this.#end(undefined);
    this.#connection.close(reason);
  }

  #send(message: Message): void {
    if (!this.#open) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection is over');
    this.#writable = this.#connection.send(this.#codec.encode(message));
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
    let message: Message;
    try {
      message = this.#codec.decode(bytes);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    if (message.type !== 'control') this.#keepAlive.onTraffic();
    try {
      this.#dispatch(message);
    } catch (error) {
      this.#refuse(error);
    }
  }

  /** There is room again. */
  drained(): void {
    this.#writable = true;
    if (this.#open) guard(this, 'drained', () => this.emit('drained'));
  }

  /** The connection is over. */
  closed(error: HawserError | undefined): void {
    this.#end(error);
  }

  #dispatch(message: Message): void {
    switch (message.type) {
      case 'request':
        this.#answer(message);
        return;
      case 'response':
        this.#settle(message);
        return;
      case 'notification':
        this.#notified(message);
        return;
      case 'control':
        this.#control(message);
    }
  }

  #control({ control, sequence }: Control): void {
    if (control === 'ping') this.#keepAlive.onPing(sequence);
    else if (control === 'pong') this.#keepAlive.onPong(sequence);
    else this.#break(undefined);
  }

  /** Answers a request that breaks a rule of its own; whoever breaks one of the protocol is left. */
  #refuse(error: unknown): void {
    if (!(error instanceof ProtocolError)) throw error;
    if (error.messageId === undefined) this.#break(error);
    else this.#respond(error.messageId, { error: error.status, detail: error.message });
  }

  #settle(response: Response): void {
    const { messageId, status } = response;
    const subscriber = this.#subscribers.get(messageId);
    const isUnwanted = this.#abandoned.delete(messageId);
    const isSubscribe = subscriber !== undefined || isUnwanted;
    const result = isSubscribe && status === 'SUCCESS' ? parseSubscribeResult(response.payload) : undefined;
    if (subscriber !== undefined && result !== undefined) this.#checkResult(subscriber, result);
    this.#subscribers.delete(messageId);
    const isAwaited = this.#requests.settle(response);
    // A listener of the unexpected reply may have ended the connection.
    if (result !== undefined && this.#open) {
      if (isAwaited && subscriber !== undefined) this.#prime(subscriber, result);
      else this.#leave(result.subscriptionId);
    }
    this.#forgetEarly();
  }

  /** Ends a subscription that nobody waits for any more. */
  #leave(subscriptionId: number): void {
    if (this.#subscriptions.has(subscriptionId)) return;
    // Where it fails the other side goes on notifying, which is counted.
    this.#request({ operation: 'unsubscribe', subscriptionId }, undefined).catch(() => undefined);
  }

  // ---- Their requests ----------------------------------------------------------------------------------------------

  #answer(request: Request): void {
    const { messageId } = request;
    if (this.#served >= this.#maxServed) {
      this.#respond(messageId, { error: 'BUSY' });
      return;
    }
    ++this.#served;
    const finish = (answer: Answer): void => {
      --this.#served;
      this.#respond(messageId, answer);
    };
    try {
      const answer = this.#serve(request, this);
      if ('then' in answer) this.#await(answer, finish);
      else finish(answer);
    } catch (error) {
      finish({ error: statusFor(error) });
      reportListenerError(this, error, 'serve');
    }
  }

  /** Waits for an answer, but not for ever. */
  #await(answer: Promise<Answer>, finish: (answer: Answer) => void): void {
    let isWaiting = true;
    const finishOnce = (final: Answer): void => {
      if (!isWaiting) return;
      isWaiting = false;
      this.#wheel.cancel(timer);
      finish(final);
    };
    const timer = new WheelTimer(() => finishOnce({ error: 'TIMEOUT' }));
    this.#wheel.schedule(timer, this.#wheel.clock.now() + this.#serveTimeoutMs);
    answer.then(finishOnce, (error: unknown) => {
      finishOnce({ error: statusFor(error) });
      reportListenerError(this, error, 'serve');
    });
  }

  /** Never throws: what stands in the way of an answer becomes another answer, or the end of the connection. */
  #respond(messageId: number, answer: Answer): void {
    if (!this.#open) return;
    try {
      this.#send(responseOf(messageId, answer));
    } catch (error) {
      // `closed` is on its way, with the reason.
      if (isHawserError(error, 'ERR_HAWSER_NOT_CONNECTED')) return;
      // The other side asks and takes no answers; it would wait for this one in vain.
      if (isHawserError(error, 'ERR_HAWSER_QUEUE_FULL')) this.#break(error);
      else this.#respondInstead(messageId, answer, error);
    }
  }

  /** The answer is the application's mistake, or too long. */
  #respondInstead(messageId: number, answer: Answer, error: unknown): void {
    try {
      this.#send({ type: 'response', messageId, status: statusFor(error) });
    } catch (second) {
      this.#break(second instanceof Error ? second : undefined);
    }
    reportListenerError(this, error, 'serve');
    // Who writes plain JavaScript may have answered anything.
    if (answer instanceof Object && 'undo' in answer) guard(this, 'serve', () => answer.undo?.());
  }

  // ---- Our subscriptions -------------------------------------------------------------------------------------------

  #notified(notification: Notification): void {
    const subscriber = this.#subscriptions.get(notification.subscriptionId);
    if (subscriber !== undefined) {
      this.#tellSubscriber(subscriber, notification);
    } else if (this.#subscribers.size === 0) {
      ++this.#unknownNotifications;
    } else {
      if (this.#early.length === maxEarly)
        throw new ProtocolError('too many notifications before a response');
      this.#early.push(notification);
    }
  }

  #tellSubscriber(subscriber: Subscriber, notification: Notification): void {
    if (!subscriber.covers(notification)) {
      throw new ProtocolError('a notification of what was not subscribed to');
    }
    // The listener has had its priming, be it that of the response: a second one is nothing but values.
    const isSecondPriming = subscriber.primed && notification.kind === 'priming';
    const told: Notification = isSecondPriming ? { ...notification, kind: 'change' } : notification;
    subscriber.primed = true;
    guard(this, 'notified', () => subscriber.listener.notified(told));
  }

  #checkResult(subscriber: Subscriber, { subscriptionId, values }: SubscribeResult): void {
    if (this.#subscriptions.has(subscriptionId)) {
      throw new ProtocolError(`subscription ${subscriptionId} is there already`);
    }
    if (!subscriber.covers(primingOf(subscriber, subscriptionId, values))) {
      throw new ProtocolError('values of what was not subscribed to');
    }
  }

  /** Tells a new subscriber the values, and what came before the response. */
  #prime(subscriber: Subscriber, { subscriptionId, values }: SubscribeResult): void {
    this.#subscriptions.set(subscriptionId, subscriber);
    const early = this.#early.filter((each) => each.subscriptionId === subscriptionId);
    const others = this.#early.filter((each) => each.subscriptionId !== subscriptionId);
    this.#early.splice(0, this.#early.length, ...others);
    if (early[0]?.kind !== 'priming') early.unshift(primingOf(subscriber, subscriptionId, values));
    for (const notification of early) {
      // The listener may have ended the connection.
      if (this.#subscriptions.get(subscriptionId) !== subscriber) return;
      this.#tellSubscriber(subscriber, notification);
    }
  }

  /** What came early and still has no subscriber, once no response is awaited that could name one. */
  #forgetEarly(): void {
    if (this.#subscribers.size > 0) return;
    this.#unknownNotifications += this.#early.length;
    this.#early.length = 0;
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  #break(error: Error | undefined): void {
    if (!this.#open) return;
    this.#end(error);
    this.#connection.close(error?.message ?? '');
  }

  #end(error: Error | undefined): void {
    if (!this.#open) return;
    this.#open = false;
    this.#keepAlive.stop();
    this.#requests.rejectAll(connectionLostError(error?.message));
    const subscribers = [...this.#subscriptions.values()];
    this.#subscriptions.clear();
    this.#subscribers.clear();
    this.#abandoned.clear();
    this.#forgetEarly();
    for (const { listener } of subscribers) guard(this, 'stale', () => listener.stale?.());
    guard(this, 'close', () => this.emit('close', error));
  }
}

function responseOf(messageId: number, answer: Answer): Response {
  const response = { type: 'response', messageId } as const;
  if ('error' in answer) {
    const { error: status, detail } = answer;
    return { ...response, status, ...(detail !== undefined && { payload: errorPayload(detail) }) };
  }
  const { payload } = answer;
  return { ...response, status: 'SUCCESS', ...(payload !== undefined && { payload }) };
}

function primingOf({ terms }: Subscriber, subscriptionId: number, changes: AttributeValues): Notification {
  const { endpoint, feature } = terms;
  return { type: 'notification', subscriptionId, endpoint, feature, changes, kind: 'priming' };
}

/** What a request is answered with when an error came in place of its answer. */
function statusFor(error: unknown): ErrorStatus {
  return isHawserError(error, 'ERR_HAWSER_MESSAGE_TOO_LONG') ? 'RESOURCE_EXHAUSTED' : 'BUSY';
}

function isHawserError(error: unknown, ...codes: readonly HawserErrorCode[]): error is HawserError {
  return error instanceof HawserError && codes.includes(error.code);
}
