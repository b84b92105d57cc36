// Calls of an application that wait for their answer: requests by their id, queries by their correlation id.

import { abortedError, throwIfAborted } from '../../base/abort.js';
import type { HawserError } from '../../base/errors.js';
import type { Outbox, Outgoing } from './outbox.js';

/** What tells requests from queries. */
export interface CallKind<K> {
  /** The message of a call as of now. */
  readonly frame: (call: Call<K>) => Uint8Array;
  /** After how long it is sent again; undefined for never. */
  readonly resendMs: number | undefined;
  /** Whether one that was sent is answered for though nobody waits for it any more. */
  readonly outlastsAbort: boolean;
  /** One was sent. @param isRepeated it had been before. */
  readonly sent?: (isRepeated: boolean) => void;
}

/** How a promise is settled. */
interface Settle {
  readonly resolve: (result: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/** One call. */
export class Call<K> {
  readonly key: K;
  /** Kept for as long as it may have to be sent again. */
  readonly payload: Uint8Array;
  /** Unix milliseconds. */
  readonly createdAt: number;
  /** Whether a server may have it: it was handed to a connection, and no server has said that it did nothing. */
  isSent = false;
  /** How often it was handed to a connection. */
  sends = 0;
  /** Nobody waits for it any more. */
  isAbandoned = false;

  constructor(key: K, payload: Uint8Array, createdAt: number) {
    this.key = key;
    this.payload = payload;
    this.createdAt = createdAt;
  }
}

/** However soon a server wants to be asked again: it is not asked in every round trip. And however late: whoever waits is not left waiting for ever. */
const leastRetryMs = 100;
const mostRetryMs = 60_000;

interface Entry<K> {
  readonly call: Call<K>;
  readonly outgoing: Outgoing;
  readonly settle: Settle;
  /** Ends that the signal is listened to. */
  readonly unwatch: () => void;
}

/** All requests, or all queries, of a client that have no answer yet. */
export class PendingCalls<K> {
  readonly #kind: CallKind<K>;
  readonly #outbox: Outbox;
  /** In the order of their keys, where keys are given out in an order. */
  readonly #entries = new Map<K, Entry<K>>();

  constructor(outbox: Outbox, kind: CallKind<K>) {
    this.#outbox = outbox;
    this.#kind = kind;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The first key that was given out of those that are pending. */
  get firstKey(): K | undefined {
    return this.#entries.keys().next().value;
  }

  /**
   * @returns a promise of the answer.
   * @throws HawserError (rejects) ERR_HAWSER_ABORTED, and whatever the call is rejected with.
   */
  add(call: Call<K>, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      // What is thrown in here rejects the promise.
      throwIfAborted(signal);
      const abort = (): void => {
        if (signal !== undefined) this.#abort(call.key, abortedError(signal));
      };
      const unwatch = (): void => signal?.removeEventListener('abort', abort);
      signal?.addEventListener('abort', abort);
      const outgoing = this.#outgoing(call);
      this.#entries.set(call.key, { call, outgoing, settle: { resolve, reject }, unwatch });
      this.#outbox.add(outgoing);
    });
  }

  get(key: K): Call<K> | undefined {
    return this.#entries.get(key)?.call;
  }

  /** @param result is copied. @returns false when nothing waits under that key. */
  resolve(key: K, result: Uint8Array): boolean {
    const entry = this.#take(key);
    entry?.settle.resolve(new Uint8Array(result));
    return entry !== undefined;
  }

  /** @returns false when nothing waits under that key. */
  reject(key: K, error: unknown): boolean {
    const entry = this.#take(key);
    entry?.settle.reject(error);
    return entry !== undefined;
  }

  /** The other side did nothing, and may be asked again after a while. @returns false when nothing waits under that key. */
  refused(key: K, retryAfterMs: number): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    entry.call.isSent = false;
    if (entry.call.isAbandoned) this.#take(key);
    else this.#outbox.defer(entry.outgoing, Math.min(mostRetryMs, Math.max(leastRetryMs, retryAfterMs)));
    return true;
  }

  /** Ends those for which it says why. */
  rejectWhere(errorOf: (call: Call<K>) => HawserError | undefined): void {
    for (const [key, { call }] of this.#entries) {
      const error = errorOf(call);
      if (error !== undefined) this.reject(key, error);
    }
  }

  /** No answer comes to those for which nobody waits. */
  dropAbandoned(): void {
    for (const [key, { call }] of this.#entries) if (call.isAbandoned) this.#take(key);
  }

  #outgoing(call: Call<K>): Outgoing {
    return {
      frame: () => this.#kind.frame(call),
      sent: () => {
        call.isSent = true;
        this.#kind.sent?.(call.sends++ > 0);
        return this.#kind.resendMs;
      },
      again: () => {
        if (call.isAbandoned) this.#take(call.key);
        return !call.isAbandoned;
      },
      undeliverable: (error) => this.reject(call.key, error),
    };
  }

  #abort(key: K, error: HawserError): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    const { call, settle, unwatch } = entry;
    if (call.isSent && this.#kind.outlastsAbort) {
      call.isAbandoned = true;
      unwatch();
      settle.reject(error);
    } else this.reject(key, error);
  }

  /** Every way out leads through here. */
  #take(key: K): Entry<K> | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    this.#outbox.remove(entry.outgoing);
    entry.unwatch();
    return entry;
  }
}
