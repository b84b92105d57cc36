// The server requests of a session on their way to its client. What is kept lies in the store; only what is on its way is in memory.

import { Backoff } from '../../../base/backoff.js';
import { WheelTimer } from '../../../base/timing-wheel.js';
import { decodeServerRequest, type ServerRequestRecord } from '../../store/records.js';
import type { StoreEntry } from '../../store/store.js';
import type { Session } from '../session.js';
import { isUnavailable, pause, storeBackoff } from '../store-retry.js';
import { Acknowledgements } from './acknowledgements.js';
import type { Parts } from './parts.js';
import {
  keptServerRequests,
  readTally,
  type ServerRequestTally,
  serverRequestOf,
} from './server-request-tally.js';
import { inTurn } from './store-calls.js';

interface OnItsWay extends ServerRequestRecord {
  sentAtMs: number;
}

/** Sends in the order of the ids, at most `maxServerRequestsInFlight` that are not acknowledged, each again after `serverRequestRetryMs`. */
export class Outbox {
  readonly session: Session;
  readonly #parts: Parts;
  readonly #over: AbortSignal;
  readonly #acknowledgements: Acknowledgements;
  /** Consecutive ids, in their order; empty while nobody is attached. */
  readonly #onTheirWay = new Map<number, OnItsWay>();
  /** The next one to be sent: none below it, but for those on their way, is to be sent. */
  #next: number;
  /** Whether the store may have that one. */
  #mayHaveMore: boolean;
  #isAttached = false;
  /** Counts attachments and detachments: what was read for an earlier one is of no use. */
  #round = 0;
  #isReading = false;
  #tally: ServerRequestTally | undefined;
  #isChecking = false;
  readonly #retry: WheelTimer;

  /** @param isNew the session was just created: the store has nothing of it. */
  constructor(parts: Parts, session: Session, over: AbortSignal, isNew: boolean) {
    this.#parts = parts;
    this.session = session;
    this.#over = over;
    this.#acknowledgements = new Acknowledgements(parts, session, over);
    this.#next = isNew ? 1 : 0;
    this.#mayHaveMore = !isNew;
    this.#tally = isNew ? { last: 0, revision: 0, acknowledged: 0 } : undefined;
    this.#retry = new WheelTimer(() => parts.host.enqueue(() => this.#sendAgain()));
  }

  /** A client is there: it is sent everything that it has not acknowledged. */
  attach(): void {
    this.#rewind();
    this.#isAttached = true;
    this.#fill();
  }

  detach(): void {
    this.#isAttached = false;
    this.#rewind();
  }

  // ---- What is added ---------------------------------------------------------------------------------------------------

  /** What the store has of it, as far as is known. Rejects as the store does. */
  async tally(): Promise<ServerRequestTally> {
    const tally = this.#tally ?? (await this.#readTally());
    return { ...tally, acknowledged: Math.max(tally.acknowledged, this.#acknowledgements.done) };
  }

  /** The tally was not that of the store. */
  forgetTally(): void {
    this.#tally = undefined;
  }

  /** This gateway has committed them, one after the other up to `tally.last`. */
  added(records: readonly ServerRequestRecord[], tally: ServerRequestTally): void {
    this.#tally = tally;
    const first = tally.last - records.length + 1;
    for (const [index, record] of records.entries()) this.#place(first + index, record);
  }

  /** A watch has told of one. */
  noticed(requestId: number, entry: StoreEntry): void {
    if (this.#over.aborted) return;
    if (this.#tally !== undefined && requestId > this.#tally.last) this.#tally = undefined;
    if (requestId < this.#next) return;
    this.#place(requestId, decodeServerRequest(entry.value));
  }

  /** The store may have more than is known. */
  missed(): void {
    this.#tally = undefined;
    this.#mayHaveMore = true;
    this.#fill();
  }

  // ---- What is acknowledged --------------------------------------------------------------------------------------------

  /** The client has everything up to this id. */
  acknowledge(requestId: number): void {
    if (requestId < this.#next) this.#acknowledged(requestId);
    else void this.#check(requestId);
  }

  #acknowledged(requestId: number): void {
    for (const id of this.#onTheirWay.keys()) {
      if (id > requestId) break;
      this.#onTheirWay.delete(id);
      ++this.#parts.counts.serverRequestsAcknowledged;
    }
    this.#next = Math.max(this.#next, requestId + 1);
    this.#acknowledgements.upTo(requestId);
    this.#arm();
    this.#fill();
  }

  /** Of one that was not sent by this attachment: perhaps by an earlier one, on another gateway. */
  async #check(requestId: number): Promise<void> {
    // One at a time: a client can make any number of them up.
    if (this.#isChecking) return this.#unexpected();
    this.#isChecking = true;
    try {
      const { last } = await inTurn(this.#parts.host, this.tally());
      if (this.#over.aborted) return;
      if (requestId <= last) this.#acknowledged(requestId);
      else this.#unexpected();
    } catch (error) {
      if (!isUnavailable(error)) this.#tell(error);
    } finally {
      this.#isChecking = false;
    }
  }

  #unexpected(): void {
    ++this.#parts.counts.unexpected;
  }

  async #readTally(): Promise<ServerRequestTally> {
    const tally = await readTally(this.#parts.host, this.session.id);
    this.#acknowledgements.found(tally.acknowledged);
    this.#tally = tally;
    return tally;
  }

  // ---- Sending ---------------------------------------------------------------------------------------------------------

  get #room(): number {
    return this.#parts.host.settings.maxServerRequestsInFlight - this.#onTheirWay.size;
  }

  #rewind(): void {
    ++this.#round;
    this.#isReading = false;
    this.#parts.host.settings.wheel.cancel(this.#retry);
    const [first] = this.#onTheirWay.keys();
    if (first !== undefined) this.#next = first;
    this.#onTheirWay.clear();
    this.#mayHaveMore ||= first !== undefined;
  }

  #place(requestId: number, record: ServerRequestRecord): void {
    const isNext = this.#isAttached && !this.#mayHaveMore && !this.#isReading && requestId === this.#next;
    if (isNext && this.#room > 0) {
      this.#begin(requestId, record);
    } else if (requestId >= this.#next) {
      this.#mayHaveMore = true;
      this.#fill();
    }
  }

  #begin(requestId: number, record: ServerRequestRecord): void {
    const onItsWay = { ...record, sentAtMs: 0 };
    this.#onTheirWay.set(requestId, onItsWay);
    this.#next = requestId + 1;
    this.#send(requestId, onItsWay);
    this.#arm();
  }

  #send(requestId: number, onItsWay: OnItsWay): void {
    const { host, counts } = this.#parts;
    const { payload, createdAt } = onItsWay;
    onItsWay.sentAtMs = host.settings.wheel.clock.now();
    ++counts.serverRequestsSent;
    host.send(this.session, { type: 'ServerRequest', requestId, payload, createdAt });
  }

  #fill(): void {
    if (!this.#isAttached || this.#isReading || !this.#mayHaveMore || this.#room <= 0) return;
    void this.#read(this.#round);
  }

  async #read(round: number): Promise<void> {
    const { host, reads } = this.#parts;
    const backoff = new Backoff(storeBackoff, host.settings.random);
    this.#isReading = true;
    while (round === this.#round) {
      this.#mayHaveMore = false;
      const range = { ...keptServerRequests(this.session.id, this.#next), limit: this.#room };
      try {
        const entries = await inTurn(
          host,
          reads.spend(1, () => host.store.read(range)),
        );
        if (round === this.#round) this.#take(entries, range.limit);
        return;
      } catch (error) {
        if (round !== this.#round) return;
        this.#mayHaveMore = true;
        if (!isUnavailable(error)) return this.#tell(error);
        await pause(host.settings.wheel, backoff.next(), this.#over);
      }
    }
  }

  #take(entries: readonly StoreEntry[], limit: number): void {
    this.#isReading = false;
    for (const { key, value } of entries) {
      const id = serverRequestOf(key)?.requestId ?? 0;
      if (id >= this.#next) this.#begin(id, decodeServerRequest(value));
    }
    this.#mayHaveMore ||= entries.length === limit;
    this.#fill();
  }

  /** Reading is given up until the client comes again. */
  #tell(error: unknown): void {
    if (!this.#over.aborted) this.#parts.host.handlerError(error, 'onRequest');
  }

  // ---- Sending again ---------------------------------------------------------------------------------------------------

  #sendAgain(): void {
    if (!this.#isAttached) return;
    const { wheel, serverRequestRetryMs } = this.#parts.host.settings;
    const nowMs = wheel.clock.now();
    for (const [id, onItsWay] of this.#onTheirWay) {
      // The same sum as that of the timer, which otherwise might come again and again before it is time, by how sums are rounded.
      if (onItsWay.sentAtMs + serverRequestRetryMs <= nowMs) this.#send(id, onItsWay);
    }
    this.#arm();
  }

  /** The timer may come for one that is acknowledged by then: it finds out which is the next. */
  #arm(): void {
    const { wheel, serverRequestRetryMs } = this.#parts.host.settings;
    if (this.#onTheirWay.size === 0) wheel.cancel(this.#retry);
    else if (!this.#retry.armed) {
      let firstMs = Number.POSITIVE_INFINITY;
      for (const { sentAtMs } of this.#onTheirWay.values()) firstMs = Math.min(firstMs, sentAtMs);
      wheel.schedule(this.#retry, firstMs + serverRequestRetryMs);
    }
  }
}
