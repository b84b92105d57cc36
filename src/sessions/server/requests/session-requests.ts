// The requests of one session: which are carried out, in which order, and how they are answered.

import { Backoff } from '../../../base/backoff.js';
import type { ResponseRecord } from '../../store/records.js';
import type { RequestErrorReason } from '../../wire/messages.js';
import { diagnostics, type SessionRequestMessage } from '../diagnostics.js';
import type { Session } from '../session.js';
import { isUnavailable, pause, storeBackoff } from '../store-retry.js';
import { refusalOf } from './admission.js';
import { answerRequest, refuseRequest } from './answers.js';
import { KeptOutcomes } from './kept-outcomes.js';
import type { Parts } from './parts.js';
import { type ClientRequest, carryOut, type RunEnd } from './request-run.js';
import { inTurn } from './store-calls.js';

export class SessionRequests {
  readonly #parts: Parts;
  readonly #session: Session;
  readonly #over: AbortSignal;
  readonly #kept: KeptOutcomes;
  #isLoaded: boolean;
  #isLoading = false;
  /** Ids that wait, are handled, or answered again. */
  readonly #underWay = new Set<number>();
  /** Those that came before it was known which have an outcome. */
  #early: ClientRequest[] = [];
  readonly #waiting: ClientRequest[] = [];
  #handled = 0;

  /**
   * @param over aborts when the session is over here.
   * @param isNew the session was just created: the store has nothing of it.
   */
  constructor(parts: Parts, session: Session, over: AbortSignal, isNew: boolean) {
    this.#parts = parts;
    this.#session = session;
    this.#over = over;
    this.#kept = new KeptOutcomes(parts.host, session.id, session.owner.delivery === 'exactly-once');
    this.#isLoaded = isNew;
  }

  /** How many are under way, or wait. */
  get size(): number {
    return this.#underWay.size;
  }

  /** @param inFlight how many requests and queries of the session are under way, or wait. */
  request(message: ClientRequest, inFlight: number): void {
    const { requestId, payload } = message;
    // The answer to the first one serves.
    if (this.#underWay.has(requestId)) return;
    const { onRequest } = this.#parts.host.settings;
    const refusal = refusalOf(this.#parts, payload, inFlight, onRequest);
    if (refusal !== undefined) {
      this.#refuse(requestId, refusal);
      return;
    }
    this.#underWay.add(requestId);
    if (this.#isLoaded) {
      this.#admit(message);
    } else {
      this.#early.push(message);
      if (!this.#isLoading) void this.#load();
    }
  }

  #admit(message: ClientRequest): void {
    const { requestId, lowestPendingRequestId } = message;
    if (this.#kept.has(requestId)) {
      if (this.#kept.isDurable) void this.#repeat(requestId);
      else this.#end(requestId, 'ResponseEvicted');
    } else if (this.#kept.isEvicted(requestId)) {
      this.#end(requestId, 'ResponseEvicted');
    } else if (this.#isFull(lowestPendingRequestId)) {
      this.#end(requestId, 'TooManyRequests');
    } else {
      this.#waiting.push(message);
      this.#begin();
    }
  }

  #isFull(lowestPending: number): boolean {
    const { maxKeptResponses } = this.#parts.host.settings;
    return this.#kept.countFrom(lowestPending) + this.#waiting.length + this.#handled >= maxKeptResponses;
  }

  #begin(): void {
    while (this.#handled < this.#parts.host.settings.requestsAtOnce) {
      const message = this.#waiting.shift();
      if (message === undefined) return;
      ++this.#handled;
      void this.#carryOut(message);
    }
  }

  async #carryOut(message: ClientRequest): Promise<void> {
    const beganMs = this.#nowMs;
    const end = await this.#run(message);
    --this.#handled;
    this.#tell(message.requestId, this.#over.aborted ? discarded : end, beganMs);
    if (this.#over.aborted) return;
    this.#end(message.requestId, end.type === 'refused' ? end.reason : undefined);
    this.#begin();
  }

  #tell(requestId: number, end: RunEnd, beganMs: number): void {
    if (!diagnostics.request.hasSubscribers) return;
    const { gateway } = this.#parts.host.settings;
    const durationMs = this.#nowMs - beganMs;
    const outcome = outcomeOf(end);
    diagnostics.request.publish({ gateway, sessionId: this.#session.id, requestId, outcome, durationMs });
  }

  get #nowMs(): number {
    return this.#parts.host.settings.wheel.clock.now();
  }

  async #run(message: ClientRequest): Promise<RunEnd> {
    const { onRequest } = this.#parts.host.settings;
    if (onRequest === undefined) return { type: 'refused', reason: 'HandlerFailed' };
    const answer = (requestId: number, response: ResponseRecord): void =>
      answerRequest(this.#parts, this.#session, requestId, response);
    const of = {
      parts: this.#parts,
      session: this.#session,
      handler: onRequest,
      kept: this.#kept,
      over: this.#over,
      answer,
    };
    return carryOut(of, message);
  }

  /** Answers with the outcome that is kept. */
  async #repeat(requestId: number): Promise<void> {
    const { host, counts } = this.#parts;
    try {
      const response = await inTurn(host, this.#kept.read(requestId));
      if (this.#over.aborted) return;
      if (response === undefined) {
        this.#kept.forget(requestId);
        return this.#end(requestId, 'ResponseEvicted');
      }
      ++counts.repeated;
      answerRequest(this.#parts, this.#session, requestId, response);
      this.#end(requestId, undefined);
    } catch (error) {
      this.#failed([requestId], error);
    }
  }

  /** It is not under way any more. @param refusal why it was not answered with an outcome. */
  #end(requestId: number, refusal: RequestErrorReason | undefined): void {
    this.#underWay.delete(requestId);
    if (refusal !== undefined) this.#refuse(requestId, refusal);
  }

  #refuse(requestId: number, reason: RequestErrorReason): void {
    refuseRequest(this.#parts, this.#session, requestId, reason);
  }

  // ---- After a claim ---------------------------------------------------------------------------------------------------

  /** Finds out which requests have an outcome. */
  async #load(): Promise<void> {
    const { host, reads } = this.#parts;
    const backoff = new Backoff(storeBackoff, host.settings.random);
    this.#isLoading = true;
    while (!this.#isLoaded) {
      try {
        await inTurn(
          host,
          reads.spend(1, () => this.#kept.load()),
        );
        this.#isLoaded = true;
      } catch (error) {
        if (!isUnavailable(error) || host.fences() === undefined) {
          this.#isLoading = false;
          return this.#failed(
            this.#takeEarly().map(({ requestId }) => requestId),
            error,
          );
        }
        await pause(host.settings.wheel, backoff.next(), this.#over);
      }
      if (this.#over.aborted) return;
    }
    for (const message of this.#takeEarly()) this.#admit(message);
  }

  #takeEarly(): readonly ClientRequest[] {
    const early = this.#early;
    this.#early = [];
    return early;
  }

  /** What is in the store could not be read. */
  #failed(requestIds: readonly number[], error: unknown): void {
    if (this.#over.aborted) return;
    if (!isUnavailable(error)) this.#parts.host.handlerError(error, 'onRequest');
    const reason = isUnavailable(error) ? 'StoreUnavailable' : 'HandlerFailed';
    for (const requestId of requestIds) this.#end(requestId, reason);
  }
}

const discarded: RunEnd = { type: 'discarded' };

function outcomeOf(end: RunEnd): SessionRequestMessage['outcome'] {
  if (end.type === 'refused') return end.reason;
  return end.type === 'done' ? 'answered' : 'discarded';
}
