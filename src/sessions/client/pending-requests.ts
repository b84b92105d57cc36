// The requests of a session that have no outcome yet, and their ids.

import type { HawserError } from '../../base/errors.js';
import { encodeClientMessage } from '../wire/codec.js';
import type { ServerMessage } from '../wire/messages.js';
import type { ClientSettings } from './client-settings.js';
import type { Outbox } from './outbox.js';
import { Call, PendingCalls } from './pending-calls.js';
import { connectionLostError, notConnectedError, refusalError } from './session-errors.js';

/** Ids are consecutive from here, for the life of a session. */
const firstRequestId = 1;

type RequestError = Extract<ServerMessage, { readonly type: 'RequestError' }>;

/** Requests by their id, in the order of the ids. */
export class PendingRequests {
  readonly #calls: PendingCalls<number>;
  readonly #isOnce: boolean;
  #nextId: number = firstRequestId;
  #sent = 0;
  #resent = 0;

  constructor(outbox: Outbox, settings: ClientSettings) {
    this.#isOnce = settings.delivery === 'exactly-once';
    this.#calls = new PendingCalls(outbox, {
      frame: (call) => this.#frame(call),
      // A server that keeps no outcomes would do it again.
      resendMs: this.#isOnce ? settings.requestResendMs : undefined,
      // Its outcome counts as had only when there is one: a server forgets outcomes in the order of their ids.
      outlastsAbort: this.#isOnce,
      sent: (isRepeated) => {
        if (isRepeated) ++this.#resent;
        else ++this.#sent;
      },
    });
  }

  get size(): number {
    return this.#calls.size;
  }

  get sent(): number {
    return this.#sent;
  }

  get resent(): number {
    return this.#resent;
  }

  /** The id of the next request. */
  get nextId(): number {
    return this.#nextId;
  }

  /** Another session: its ids begin anew. @param nextId the first. */
  restart(nextId: number = firstRequestId): void {
    this.#nextId = nextId;
  }

  /** @param payload kept as it is. @returns and throws as `PendingCalls.add`. */
  add(payload: Uint8Array, createdAt: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return this.#calls.add(new Call(this.#nextId++, payload, createdAt), signal);
  }

  /** A result has come. One that nothing waits for is ignored: it was sent again meanwhile. */
  responded(requestId: number, result: Uint8Array): void {
    this.#calls.resolve(requestId, result);
  }

  /**
   * A server refuses a request.
   *
   * @returns the error of one whose outcome the server keeps no more though it is waited for: the two sides do not agree about the session.
   */
  refused({ requestId, reason, error, retryAfterMs }: RequestError): HawserError | undefined {
    const call = this.#calls.get(requestId);
    if (call === undefined) return undefined;
    const final = refusalError(reason, error);
    if (final === undefined) {
      this.#calls.refused(requestId, retryAfterMs);
      return undefined;
    }
    this.#calls.reject(requestId, final);
    return reason === 'ResponseEvicted' && this.#isOnce && !call.isAbandoned ? final : undefined;
  }

  /** The connection is over. */
  lost(): void {
    this.#calls.dropAbandoned();
    if (this.#isOnce) return;
    this.#calls.rejectWhere(({ isSent }) => (isSent ? connectionLostError() : undefined));
  }

  /** Ends all of them. @param error undefined when the session goes on, and only nobody connects any more. */
  rejectAll(error: HawserError | undefined): void {
    this.#calls.rejectWhere(({ isSent }) => error ?? (isSent ? connectionLostError() : notConnectedError()));
  }

  #frame(call: Call<number>): Uint8Array {
    return encodeClientMessage({
      type: 'ClientRequest',
      requestId: call.key,
      lowestPendingRequestId: this.#calls.firstKey ?? call.key,
      payload: call.payload,
      createdAt: call.createdAt,
    });
  }
}
