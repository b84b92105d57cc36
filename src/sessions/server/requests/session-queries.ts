// The queries of one session: each is answered once by whoever serves it, and changes nothing.

import { prefixes } from '../../store/keys.js';
import { readKey } from '../../store/read-key.js';
import type { ClientMessage } from '../../wire/messages.js';
import { diagnostics, type SessionQueryMessage } from '../diagnostics.js';
import type { QueryContext, QueryHandler } from '../handler.js';
import { sessionInfo } from '../owned-session.js';
import type { Session } from '../session.js';
import { isUnavailable } from '../store-retry.js';
import { refusalOf } from './admission.js';
import { type QueryErrorReason, refuseQuery } from './answers.js';
import { checkApplicationKey, copyPayload } from './outcome.js';
import type { Parts } from './parts.js';
import { inTurn, unattended } from './store-calls.js';

export type Query = Extract<ClientMessage, { readonly type: 'Query' }>;

export class SessionQueries {
  readonly #parts: Parts;
  readonly #session: Session;
  readonly #over: AbortSignal;
  /** Correlation ids. */
  readonly #underWay = new Set<string>();

  /** @param over aborts when the session is over here. */
  constructor(parts: Parts, session: Session, over: AbortSignal) {
    this.#parts = parts;
    this.#session = session;
    this.#over = over;
  }

  get size(): number {
    return this.#underWay.size;
  }

  /** @param inFlight how many requests and queries of the session are under way, or wait. */
  query(message: Query, inFlight: number): void {
    const { correlationId, payload } = message;
    // The answer to the first one serves.
    if (this.#underWay.has(correlationId)) return;
    const { onQuery } = this.#parts.host.settings;
    const refusal = refusalOf(this.#parts, payload, inFlight, onQuery);
    if (refusal !== undefined || onQuery === undefined) {
      this.#refuse(correlationId, refusal ?? 'HandlerFailed');
      return;
    }
    this.#underWay.add(correlationId);
    void this.#answer(message, onQuery);
  }

  async #answer(message: Query, handler: QueryHandler): Promise<void> {
    const { gateway, wheel } = this.#parts.host.settings;
    const beganMs = wheel.clock.now();
    const outcome = await this.#carryOut(message, handler);
    if (!diagnostics.query.hasSubscribers) return;
    const durationMs = wheel.clock.now() - beganMs;
    diagnostics.query.publish({ gateway, sessionId: this.#session.id, outcome, durationMs });
  }

  async #carryOut(message: Query, handler: QueryHandler): Promise<SessionQueryMessage['outcome']> {
    const { host, counts } = this.#parts;
    const { correlationId } = message;
    try {
      const answer = await inTurn(host, this.#call(message, handler));
      if (this.#over.aborted) return 'discarded';
      const result = copyPayload('result of onQuery', answer);
      ++counts.queries;
      host.send(this.#session, { type: 'QueryResponse', correlationId, result });
      return 'answered';
    } catch (error) {
      if (this.#over.aborted) return 'discarded';
      if (!isUnavailable(error)) host.handlerError(error, 'onQuery');
      const reason = isUnavailable(error) ? 'StoreUnavailable' : 'HandlerFailed';
      this.#refuse(correlationId, reason);
      return reason;
    } finally {
      this.#underWay.delete(correlationId);
    }
  }

  /** Async, so that what it throws is a rejection. */
  async #call(message: Query, handler: QueryHandler): Promise<unknown> {
    const context: QueryContext = {
      ...sessionInfo(this.#session),
      correlationId: message.correlationId,
      payload: message.payload,
      requestedAt: message.createdAt,
      signal: this.#over,
      get: (key) => unattended(this.#get(key)),
    };
    return handler(context);
  }

  async #get(key: string): Promise<Uint8Array | undefined> {
    const { host } = this.#parts;
    const entry = await inTurn(host, readKey(host.store, prefixes.application + checkApplicationKey(key)));
    return entry && new Uint8Array(entry.value);
  }

  #refuse(correlationId: string, reason: QueryErrorReason): void {
    refuseQuery(this.#parts, this.#session, correlationId, reason);
  }
}
