// The queries of a client that have no result yet.

import { randomUUID } from 'node:crypto';
import type { HawserError } from '../../base/errors.js';
import { encodeClientMessage } from '../wire/codec.js';
import type { ServerMessage } from '../wire/messages.js';
import type { ClientSettings } from './client-settings.js';
import type { Outbox } from './outbox.js';
import { Call, PendingCalls } from './pending-calls.js';
import { notConnectedError, refusalError } from './session-errors.js';

type QueryError = Extract<ServerMessage, { readonly type: 'QueryError' }>;

/** Queries by their correlation id: they change nothing, so that each may be sent again, and the first answer counts. */
export class PendingQueries {
  readonly #calls: PendingCalls<string>;

  constructor(outbox: Outbox, settings: ClientSettings) {
    this.#calls = new PendingCalls(outbox, {
      frame: ({ key, payload, createdAt }) =>
        encodeClientMessage({ type: 'Query', correlationId: key, payload, createdAt }),
      resendMs: settings.requestResendMs,
      outlastsAbort: false,
    });
  }

  get size(): number {
    return this.#calls.size;
  }

  /** @param payload kept as it is. @returns and throws as `PendingCalls.add`. */
  add(payload: Uint8Array, createdAt: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    return this.#calls.add(new Call(randomUUID(), payload, createdAt), signal);
  }

  /** A result has come; a second one is ignored. */
  responded(correlationId: string, result: Uint8Array): void {
    this.#calls.resolve(correlationId, result);
  }

  refused({ correlationId, reason, error, retryAfterMs }: QueryError): void {
    const final = refusalError(reason, error);
    if (final === undefined) this.#calls.refused(correlationId, retryAfterMs);
    else this.#calls.reject(correlationId, final);
  }

  /** Ends all of them. @param error undefined when only nobody connects any more. */
  rejectAll(error: HawserError | undefined): void {
    this.#calls.rejectWhere(() => error ?? notConnectedError());
  }
}
