// Requests that wait for their response (source document, section 2).

import { abortedError, checkSignal, throwIfAborted } from '../base/abort.js';
import { argumentError, checkFunction, checkInteger, checkOptions, describe, maxU32 } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { TimingWheel, WheelTimer } from '../base/timing-wheel.js';
import { IdTable } from './id-table.js';
import type { Response } from './messages.js';
import type { ErrorStatus } from './status.js';
import type { Value } from './values.js';

const greatestMaxInFlight = 1_048_576;

/** Options of {@link PendingRequests}. */
export interface PendingRequestsOptions {
  /** Where the timeouts run. */
  readonly wheel: TimingWheel;
  /** How long a request waits for its response, 1 to 4,294,967,295; 30,000 by default (source document, section 2.4). */
  readonly timeoutMs?: number;
  /** Requests that wait at the same time, 1 to 1,048,576; 1,024 by default. */
  readonly maxInFlight?: number;
  /**
   * Where the ids begin again after 4,294,967,295; from 1 (default) to where `maxInFlight` of them are left. 4 with a codec in which
   * responses to the ids 1 to 3 can be taken for something else.
   */
  readonly leastMessageId?: number;
  /** The id of the first request, `leastMessageId` to 4,294,967,295; `leastMessageId` by default. */
  readonly firstMessageId?: number;
  /** Called for a response that nobody waits for, after it was counted. What it throws goes to the caller of `settle`. */
  readonly unexpectedReply?: (response: Response) => void;
  /** Called when the last one that waited has an end, before its promise is settled. Must not throw. */
  readonly emptied?: () => void;
}

/** Options of one request. */
export interface RequestOptions {
  /** Instead of that of all requests, 1 to 4,294,967,295. */
  readonly timeoutMs?: number;
  /** Gives up waiting; the other side may carry out the request all the same. */
  readonly signal?: AbortSignal;
}

/** A response whose status is not SUCCESS. Its code is ERR_HAWSER_STATUS. */
export class StatusError extends HawserError {
  /** What the other side answered. */
  readonly status: ErrorStatus;
  /** What the other side said about it, in full and unchecked: to be escaped before it is shown. Undefined for nothing. */
  readonly detail: string | undefined;

  constructor(status: ErrorStatus, detail?: string) {
    const words = detail === undefined ? '' : `: ${describe(detail)}`;
    super('ERR_HAWSER_STATUS', `the other side answered ${status}${words}`);
    this.status = status;
    this.detail = detail;
  }
}

/**
 * What requests are rejected with when their connection is lost: ERR_HAWSER_CONNECTION_LOST, whose cause is the timeout that the source
 * document cancels them with (section 6.2).
 *
 * @param why for people, such as `3 pongs missed`.
 */
export function connectionLostError(why?: string): HawserError {
  const because = why === undefined ? '' : ` (${why})`;
  const cause = new HawserError('ERR_HAWSER_TIMED_OUT', 'no response before the connection was lost');
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', `the connection was lost${because}`, { cause });
}

/** One request on its way. */
class PendingRequest {
  readonly messageId: number;
  readonly timeoutMs: number;
  readonly deadlineMs: number;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: unknown) => void;
  /** Its own where its timeout is not that of all others. */
  timer: WheelTimer | undefined;
  signal: AbortSignal | undefined;
  abort: (() => void) | undefined;
  /** Those without a timeout of their own that were sent next and last before. */
  next: PendingRequest | undefined;
  previous: PendingRequest | undefined;

  constructor(
    messageId: number,
    timeoutMs: number,
    deadlineMs: number,
    resolve: (response: Response) => void,
    reject: (error: unknown) => void,
  ) {
    this.messageId = messageId;
    this.timeoutMs = timeoutMs;
    this.deadlineMs = deadlineMs;
    this.resolve = resolve;
    this.reject = reject;
    this.timer = undefined;
    this.signal = undefined;
    this.abort = undefined;
    this.next = undefined;
    this.previous = undefined;
  }
}

/**
 * The requests of one connection, in one direction, that wait for their response. It sends and receives nothing itself: `request` calls
 * its caller for that, and responses are given to `settle`, in any order.
 */
export class PendingRequests {
  readonly #wheel: TimingWheel;
  readonly #timeoutMs: number;
  readonly #maxInFlight: number;
  readonly #leastMessageId: number;
  readonly #unexpectedReply: ((response: Response) => void) | undefined;
  readonly #emptied: (() => void) | undefined;
  readonly #pending: IdTable<PendingRequest>;
  /** Of those without a timeout of their own, which are due in the order in which they were sent. */
  #first: PendingRequest | undefined;
  #last: PendingRequest | undefined;
  /** Of all that have no timeout of their own. It is not moved when a response comes: a timer for each would cost more than all else here. */
  #timer: WheelTimer | undefined = undefined;
  #nextMessageId: number;
  #unexpectedReplies = 0;
  #timeouts = 0;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: PendingRequestsOptions) {
    checkOptions('options', options, optionNames);
    const { wheel, timeoutMs = 30_000, maxInFlight = 1024, leastMessageId = 1, unexpectedReply } = options;
    const { firstMessageId = leastMessageId } = options;
    if (!(wheel instanceof TimingWheel)) throw argumentError('wheel', 'a TimingWheel', describe(wheel));
    this.#wheel = wheel;
    this.#timeoutMs = checkInteger('timeoutMs', timeoutMs, 1, maxU32);
    this.#maxInFlight = checkInteger('maxInFlight', maxInFlight, 1, greatestMaxInFlight);
    this.#pending = new IdTable(maxInFlight);
    this.#leastMessageId = checkInteger('leastMessageId', leastMessageId, 1, maxU32 - maxInFlight + 1);
    this.#nextMessageId = checkInteger('firstMessageId', firstMessageId, leastMessageId, maxU32);
    if (unexpectedReply !== undefined) checkFunction('unexpectedReply', unexpectedReply);
    this.#unexpectedReply = unexpectedReply;
    this.#emptied = options.emptied && checkFunction('emptied', options.emptied);
  }

  /** How many requests wait. */
  get size(): number {
    return this.#pending.size;
  }

  /** Responses that nobody waited for: to an unknown id, a second one, or after the timeout. */
  get unexpectedReplies(): number {
    return this.#unexpectedReplies;
  }

  /** Requests that were given up because no response came in time. */
  get timeouts(): number {
    return this.#timeouts;
  }

  /**
   * Sends a request and waits for its response.
   *
   * @param send called once, before this returns, with the id of the request: 1 to 4,294,967,295, that of no other request that waits.
   *   The request waits already, so that a response may come at once. Not called when the request is refused.
   * @returns the response, whose status is SUCCESS.
   * @throws (rejects, always) what `send` throws; StatusError for any other status; HawserError ERR_HAWSER_TIMED_OUT without a response in
   *   time, ERR_HAWSER_ABORTED by the signal, ERR_HAWSER_QUEUE_FULL when `maxInFlight` requests wait, ERR_HAWSER_ARGUMENT, and the error
   *   that `rejectAll` is called with.
   */
  request(send: (messageId: number) => void, options?: RequestOptions): Promise<Response> {
    return new Promise((resolve, reject) => {
      // What is thrown in here rejects the promise.
      const timeoutMs = options === undefined ? this.#timeoutMs : this.#checkRequest(options);
      if (this.#pending.size >= this.#maxInFlight) {
        throw new HawserError('ERR_HAWSER_QUEUE_FULL', `${this.#maxInFlight} requests wait already`);
      }
      const messageId = this.#takeMessageId();
      const deadlineMs = this.#wheel.clock.now() + timeoutMs;
      const pending = new PendingRequest(messageId, timeoutMs, deadlineMs, resolve, reject);
      this.#pending.add(pending);
      this.#watch(pending, options?.signal);
      try {
        send(messageId);
      } catch (error) {
        this.#remove(pending);
        throw error;
      }
    });
  }

  /**
   * Gives a response to the request that waits for it.
   *
   * @returns false when there is none: the response is counted and told to `unexpectedReply`, nothing else happens.
   */
  settle(response: Response): boolean {
    const pending = this.#pending.get(response.messageId);
    if (pending === undefined) {
      ++this.#unexpectedReplies;
      this.#unexpectedReply?.(response);
      return false;
    }
    this.#remove(pending);
    if (response.status === 'SUCCESS') pending.resolve(response);
    else pending.reject(new StatusError(response.status, detailOf(response.payload)));
    return true;
  }

  /**
   * Rejects every request that waits, because its response cannot come any more: see {@link connectionLostError}. Requests may be made
   * afterwards; the ids go on.
   *
   * @returns how many there were.
   */
  rejectAll(error: HawserError): number {
    const all = this.#pending.values();
    if (this.#timer !== undefined) this.#wheel.cancel(this.#timer);
    for (const pending of all) {
      this.#remove(pending);
      pending.reject(error);
    }
    return all.length;
  }

  /** @returns the timeout of the request. */
  #checkRequest(options: RequestOptions): number {
    checkOptions('options', options, requestOptionNames);
    const { timeoutMs = this.#timeoutMs, signal } = options;
    throwIfAborted(checkSignal(signal));
    return checkInteger('timeoutMs', timeoutMs, 1, maxU32);
  }

  #takeMessageId(): number {
    let messageId = this.#nextMessageId;
    // One that has waited all the time since its place was last come by may be in the way.
    while (!this.#pending.makePlace(messageId)) messageId = this.#after(messageId);
    this.#nextMessageId = this.#after(messageId);
    return messageId;
  }

  #after(messageId: number): number {
    return messageId === maxU32 ? this.#leastMessageId : messageId + 1;
  }

  /** Sets what gives a request up. */
  #watch(pending: PendingRequest, signal: AbortSignal | undefined): void {
    if (pending.timeoutMs !== this.#timeoutMs) {
      pending.timer = new WheelTimer(() => this.#expire(pending));
      this.#wheel.schedule(pending.timer, pending.deadlineMs);
    } else {
      this.#append(pending);
      this.#timer ??= new WheelTimer(() => this.#expireDue());
      if (!this.#timer.armed) this.#wheel.schedule(this.#timer, pending.deadlineMs);
    }
    if (signal === undefined) return;
    pending.signal = signal;
    pending.abort = () => {
      this.#remove(pending);
      pending.reject(abortedError(signal));
    };
    signal.addEventListener('abort', pending.abort);
  }

  #append(pending: PendingRequest): void {
    pending.previous = this.#last;
    if (this.#last === undefined) this.#first = pending;
    else this.#last.next = pending;
    this.#last = pending;
  }

  #unlink(pending: PendingRequest): void {
    const { previous, next } = pending;
    if (previous !== undefined) previous.next = next;
    else if (this.#first === pending) this.#first = next;
    if (next !== undefined) next.previous = previous;
    else if (this.#last === pending) this.#last = previous;
    // Nothing that is gone may keep what is to go.
    pending.next = undefined;
    pending.previous = undefined;
  }

  #expireDue(): void {
    const nowMs = this.#wheel.clock.now();
    while (this.#first !== undefined && this.#first.deadlineMs <= nowMs) this.#expire(this.#first);
    if (this.#first !== undefined && this.#timer !== undefined)
      this.#wheel.schedule(this.#timer, this.#first.deadlineMs);
  }

  #expire(pending: PendingRequest): void {
    ++this.#timeouts;
    this.#remove(pending);
    pending.reject(new HawserError('ERR_HAWSER_TIMED_OUT', `no response within ${pending.timeoutMs} ms`));
  }

  /** Every way out leads through here. Harmless for one that is out already. */
  #remove(pending: PendingRequest): void {
    const { timer, abort } = pending;
    if (!this.#pending.delete(pending)) return;
    this.#unlink(pending);
    if (timer !== undefined) this.#wheel.cancel(timer);
    if (abort !== undefined) pending.signal?.removeEventListener('abort', abort);
    if (this.#pending.size === 0) this.#emptied?.();
  }
}

const optionNames: readonly string[] = [
  'wheel',
  'timeoutMs',
  'maxInFlight',
  'leastMessageId',
  'firstMessageId',
  'unexpectedReply',
  'emptied',
];

const requestOptionNames: readonly string[] = ['timeoutMs', 'signal'];

/** The text of an error's payload, `{1: message}`; undefined when it has another form, which is no reason to lose the status. */
function detailOf(payload: Value | undefined): string | undefined {
  if (!(payload instanceof Map)) return undefined;
  const detail: unknown = payload.get(1);
  return typeof detail === 'string' ? detail : undefined;
}
