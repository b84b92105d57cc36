// Requests that wait for a connection (source document, section 6.2: what goes on when one is lost).

import { abortedError, checkSignal, throwIfAborted } from '../base/abort.js';
import { checkInteger, checkOptions, maxU32 } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { inOrder } from '../base/in-order.js';
import { type TimingWheel, WheelTimer } from '../base/timing-wheel.js';

/** How much may wait while there is no connection. */
export interface HoldOptions {
  /** Requests, 1 to 4,096; 100 by default. */
  readonly maxRequests?: number;
  /** Bytes of their messages, 1 to 1,073,741,824; 1,000,000 by default. */
  readonly maxBytes?: number;
  /** How long a request waits, from when it was made, in milliseconds, 1 to 4,294,967,295; 60,000 by default. */
  readonly maxAgeMs?: number;
}

/** One request, which may be sent more than once. */
export interface HeldRequest {
  /** Ascends in the order in which requests were made, in which they are sent. */
  readonly order: number;
  readonly madeMs: number;
  /** Of its message. */
  readonly bytes: number;
  readonly signal: AbortSignal | undefined;
  /** Sends it. It never rejects. */
  readonly send: () => Promise<void>;
  /** Gives it up. */
  readonly reject: (error: HawserError) => void;
}

/** A request that waits, and what ends that. */
interface Waiting {
  readonly request: HeldRequest;
  readonly timer: WheelTimer;
  readonly abort: () => void;
}

/** So many are sent at a time when the connection is back: a device of the source document serves 10 at once. */
const maxAtOnce = 8;

/** The requests of a client that wait for a connection. */
export class HeldRequests {
  readonly #wheel: TimingWheel;
  readonly #maxRequests: number;
  readonly #maxBytes: number;
  readonly #maxAgeMs: number;
  /** In their order. */
  readonly #waiting: Waiting[] = [];
  #bytes = 0;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(wheel: TimingWheel, options: HoldOptions) {
    checkOptions('hold', options, ['maxRequests', 'maxBytes', 'maxAgeMs']);
    const { maxRequests = 100, maxBytes = 1_000_000, maxAgeMs = 60_000 } = options;
    this.#wheel = wheel;
    this.#maxRequests = checkInteger('maxRequests', maxRequests, 1, 4096);
    this.#maxBytes = checkInteger('maxBytes', maxBytes, 1, 2 ** 30);
    this.#maxAgeMs = checkInteger('maxAgeMs', maxAgeMs, 1, maxU32);
  }

  /** How many wait. */
  get size(): number {
    return this.#waiting.length;
  }

  /**
   * Lets a request wait until `release` or `rejectAll`.
   *
   * @throws HawserError ERR_HAWSER_QUEUE_FULL, ERR_HAWSER_ABORTED, ERR_HAWSER_ARGUMENT.
   */
  add(request: HeldRequest): void {
    throwIfAborted(checkSignal(request.signal));
    if (this.size >= this.#maxRequests || this.#bytes + request.bytes > this.#maxBytes) {
      throw new HawserError('ERR_HAWSER_QUEUE_FULL', 'too much waits for a connection already');
    }
    const giveUp = (error: HawserError): void => {
      this.#remove(waiting);
      request.reject(error);
    };
    const waiting: Waiting = {
      request,
      timer: new WheelTimer(() =>
        giveUp(new HawserError('ERR_HAWSER_TIMED_OUT', `no connection within ${this.#maxAgeMs} ms`)),
      ),
      abort: () => request.signal?.aborted && giveUp(abortedError(request.signal)),
    };
    // One that was lost on its way comes back before those that were made meanwhile.
    const at = this.#waiting.findIndex((each) => each.request.order > request.order);
    this.#waiting.splice(at === -1 ? this.#waiting.length : at, 0, waiting);
    this.#bytes += request.bytes;
    this.#wheel.schedule(waiting.timer, request.madeMs + this.#maxAgeMs);
    request.signal?.addEventListener('abort', waiting.abort);
  }

  /**
   * Sends what waits, in its order, as long as `ready` says so. It resolves when all that was sent has an answer.
   */
  release(ready: () => boolean): Promise<void> {
    return inOrder(this.#taken(ready), maxAtOnce, ({ send }) => send());
  }

  /** Gives up all that wait. */
  rejectAll(error: HawserError): void {
    for (const { reject } of this.#taken(() => true)) reject(error);
  }

  *#taken(ready: () => boolean): Generator<HeldRequest> {
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || !ready()) return;
      this.#remove(first);
      yield first.request;
    }
  }

  #remove(waiting: Waiting): void {
    const at = this.#waiting.indexOf(waiting);
    if (at === -1) return;
    this.#waiting.splice(at, 1);
    this.#bytes -= waiting.request.bytes;
    this.#wheel.cancel(waiting.timer);
    waiting.request.signal?.removeEventListener('abort', waiting.abort);
  }
}
