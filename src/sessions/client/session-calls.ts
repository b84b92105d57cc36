// Everything that the application of a client waits for.

import { checkSignal } from '../../base/abort.js';
import { checkBytes, checkOptions } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { limits, type ServerMessage } from '../wire/messages.js';
import type { ClientSettings } from './client-settings.js';
import type { SessionCallOptions } from './options.js';
import { Outbox, type SendFrame } from './outbox.js';
import { PendingQueries } from './pending-queries.js';
import { PendingRequests } from './pending-requests.js';

/** A server's answer to a request or a query. */
export type Answer = Extract<
  ServerMessage,
  { readonly type: 'ClientResponse' | 'RequestError' | 'QueryResponse' | 'QueryError' }
>;

/** The requests and queries of a client, over whichever connection there is. */
export class SessionCalls {
  readonly requests: PendingRequests;
  readonly #queries: PendingQueries;
  readonly #outbox: Outbox;
  readonly #settings: ClientSettings;

  constructor(settings: ClientSettings) {
    this.#settings = settings;
    this.#outbox = new Outbox(settings.wheel);
    this.requests = new PendingRequests(this.#outbox, settings);
    this.#queries = new PendingQueries(this.#outbox, settings);
  }

  get pending(): number {
    return this.requests.size + this.#queries.size;
  }

  /**
   * Sends a request or a query, as soon as there is a connection.
   *
   * @returns a promise of the result.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_QUEUE_FULL; and (rejects) as `PendingCalls.add`.
   */
  add(kind: 'request' | 'query', payload: Uint8Array, options: SessionCallOptions): Promise<Uint8Array> {
    checkBytes('payload', payload, 0, limits.requestBytes);
    checkOptions('options', options, ['signal']);
    const signal = checkSignal(options.signal);
    if (this.pending >= this.#settings.maxPending) {
      throw new HawserError(
        'ERR_HAWSER_QUEUE_FULL',
        `${this.#settings.maxPending} requests and queries wait already`,
      );
    }
    const copy = new Uint8Array(payload);
    const createdAt = Math.floor(this.#settings.wheel.clock.wallNow());
    const calls = kind === 'request' ? this.requests : this.#queries;
    return calls.add(copy, createdAt, signal);
  }

  /** There is a connection: all is sent over it. */
  open(send: SendFrame): void {
    this.#outbox.open(send);
  }

  drained(): void {
    this.#outbox.drained();
  }

  /** The connection is over. */
  lost(): void {
    this.#outbox.close();
    this.requests.lost();
  }

  /** @returns the error of a request whose outcome the server keeps no more: see `PendingRequests.refused`. */
  answered(answer: Answer): HawserError | undefined {
    switch (answer.type) {
      case 'ClientResponse':
        this.requests.responded(answer.requestId, answer.result);
        return undefined;
      case 'QueryResponse':
        this.#queries.responded(answer.correlationId, answer.result);
        return undefined;
      case 'QueryError':
        this.#queries.refused(answer);
        return undefined;
      case 'RequestError':
        return this.requests.refused(answer);
    }
  }

  /** Ends all. @param error undefined when the session goes on, and only nobody connects any more. */
  rejectAll(error: HawserError | undefined): void {
    this.requests.rejectAll(error);
    this.#queries.rejectAll(error);
  }
}
