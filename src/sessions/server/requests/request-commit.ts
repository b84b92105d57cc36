// The commit of one request: its outcome, its effects and its server requests, all of it or nothing, and once.

import { Backoff } from '../../../base/backoff.js';
import { HawserError } from '../../../base/errors.js';
import { prefixes } from '../../store/keys.js';
import { decodeNumber, decodeResponse, type ResponseRecord } from '../../store/records.js';
import { isUnavailable, pause, storeBackoff } from '../store-retry.js';
import { type Authority, authorityOf, compareAuthority, judgeAuthority } from './authority.js';
import { CommitDraft, type Mismatch } from './commit-draft.js';
import type { CheckedOutcome } from './outcome.js';
import type { ClientRequest, RunEnd, RunSession } from './request-run.js';
import { inTurn, raceBackoff } from './store-calls.js';
import { Targets } from './targets.js';

/** What one attempt compared and wrote. */
interface Attempt {
  readonly outcome: CheckedOutcome;
  readonly reads: ReadonlyMap<string, number>;
  readonly targets: Targets;
}

const discarded = { type: 'discarded' } as const;
const done = { type: 'done' } as const;

export class RequestCommit {
  readonly #of: RunSession;
  readonly #message: ClientRequest;
  readonly #waits: Backoff;
  readonly #races: Backoff;
  /** The store has not answered an attempt: it may count. */
  #isUncertain = false;

  constructor(of: RunSession, message: ClientRequest) {
    const { random } = of.parts.host.settings;
    this.#of = of;
    this.#message = message;
    this.#waits = new Backoff(storeBackoff, random);
    this.#races = new Backoff(raceBackoff, random);
  }

  /** Commits what a call of the handler came to. @param reads revisions by key of the store. */
  async commit(outcome: CheckedOutcome, reads: ReadonlyMap<string, number>): Promise<RunEnd> {
    const { parts, session, kept } = this.#of;
    const hasEffects = outcome.writes.size > 0 || outcome.serverRequests.length > 0;
    if (!kept.isDurable && !hasEffects) return this.#withoutStore(outcome);
    const targets = new Targets(parts, session.id, outcome.serverRequests);
    const names = Array.from(new Set([session.id, ...targets.sessionIds]));
    return parts.sessions.run(names, () => this.#try({ outcome, reads, targets }));
  }

  /** Nothing is to be kept of it. */
  #withoutStore({ response }: CheckedOutcome): RunEnd {
    const { over, parts, kept } = this.#of;
    if (over.aborted) return this.#discard();
    ++parts.counts.committed;
    kept.completed(this.#message.requestId, this.#message.lowestPendingRequestId);
    this.#of.answer(this.#message.requestId, response);
    return done;
  }

  async #try(attempt: Attempt): Promise<RunEnd> {
    const { parts, session, over, kept } = this.#of;
    for (;;) {
      const authority = authorityOf(parts.host, session);
      if (authority === undefined) return this.#unavailable(attempt);
      if (kept.isEvicted(this.#message.requestId)) return { type: 'refused', reason: 'ResponseEvicted' };
      const draft = new CommitDraft();
      try {
        const end = await this.#attempt(attempt, authority, draft);
        if (end !== undefined) return end;
      } catch (error) {
        if (over.aborted) return this.#discard();
        if (!isUnavailable(error)) return this.#failed(error, attempt);
        await pause(parts.host.settings.wheel, this.#waits.next(), over);
      }
    }
  }

  /** @returns undefined: to be tried again. Rejects as the store does. */
  async #attempt(attempt: Attempt, authority: Authority, draft: CommitDraft): Promise<RunEnd | undefined> {
    const { host } = this.#of.parts;
    if (!attempt.targets.areKnown) await inTurn(host, attempt.targets.look());
    if (this.#of.over.aborted) return this.#discard();
    this.#fill(draft, authority, attempt);
    const transaction = draft.transaction();
    try {
      const result = await inTurn(host, host.store.txn(transaction));
      if (result.committed) return this.#committed(attempt, result.revision);
      return await this.#judge(attempt, authority, draft.mismatches(result.found));
    } catch (error) {
      if (isUnavailable(error)) this.#isUncertain = true;
      throw error;
    }
  }

  #fill(draft: CommitDraft, authority: Authority, { outcome, reads, targets }: Attempt): void {
    const { requestId, lowestPendingRequestId } = this.#message;
    compareAuthority(draft, authority);
    this.#of.kept.draft(draft, requestId, lowestPendingRequestId, outcome.response);
    for (const [key, revision] of reads) draft.compare({ kind: 'read', key }, { key, revision });
    for (const [name, value] of outcome.writes) {
      const key = prefixes.application + name;
      if (value === undefined) draft.write({ type: 'delete', key });
      else draft.put(key, value);
    }
    targets.addTo(draft);
  }

  #committed({ outcome, targets }: Attempt, revision: number): RunEnd {
    const { parts, kept } = this.#of;
    const { requestId, lowestPendingRequestId } = this.#message;
    ++parts.counts.committed;
    kept.committed(requestId, lowestPendingRequestId, revision);
    this.#of.answer(requestId, outcome.response);
    targets.committed(revision);
    return done;
  }

  // ---- Why an attempt did not count ------------------------------------------------------------------------------------

  async #judge(
    attempt: Attempt,
    authority: Authority,
    mismatches: readonly Mismatch[],
  ): Promise<RunEnd | undefined> {
    const { host } = this.#of.parts;
    if (this.#of.over.aborted) return this.#discard();
    const verdict = judgeAuthority(host, authority, mismatches);
    if (verdict === 'again') return undefined;
    if (verdict === 'lost') return this.#lost(attempt);
    const found = this.#found(attempt, mismatches);
    if (found !== undefined) return found;
    const keys = mismatches.flatMap(({ meaning }) => (meaning.kind === 'read' ? [meaning.key] : []));
    if (keys.length > 0) {
      // None of the attempts can count any more: all of them compare the same reads.
      this.#isUncertain = false;
      return { type: 'conflict', keys };
    }
    attempt.targets.mistaken(mismatches);
    await pause(host.settings.wheel, this.#races.next(), this.#of.over);
    return undefined;
  }

  /** Whether the request has its outcome already: by an attempt that the store has not answered, or by another gateway. */
  #found({ outcome, targets }: Attempt, mismatches: readonly Mismatch[]): RunEnd | undefined {
    const { kept } = this.#of;
    const { requestId, lowestPendingRequestId } = this.#message;
    const of = (kind: 'progress' | 'response'): Mismatch | undefined =>
      mismatches.find(({ meaning }) => meaning.kind === kind);
    const progress = of('progress');
    if (progress !== undefined) kept.progressFound(progress.found?.value, progress.found?.revision ?? 0);
    const response = of('response')?.found;
    if (response !== undefined) {
      kept.completed(requestId, 0);
      return this.#answered(decodeResponse(response.value), targets);
    }
    const last = progress?.found;
    if (kept.isDurable || last === undefined || decodeNumber(last.value) !== requestId) return undefined;
    kept.completed(requestId, lowestPendingRequestId);
    return this.#answered(outcome.response, targets);
  }

  #answered(response: ResponseRecord, targets: Targets): RunEnd {
    const { counts } = this.#of.parts;
    if (this.#isUncertain) ++counts.committed;
    else ++counts.repeated;
    this.#of.answer(this.#message.requestId, response);
    targets.perhapsCommitted();
    return done;
  }

  #discard(): RunEnd {
    ++this.#of.parts.counts.discarded;
    return discarded;
  }

  /**
   * Nobody hears of its outcome. The session may stay here all the same, under another lease: its client is told to send the request again, which
   * one that sends nothing twice by itself would otherwise wait for.
   */
  #lost(attempt: Attempt): RunEnd {
    ++this.#of.parts.counts.discarded;
    return this.#unavailable(attempt);
  }

  /** The gateway may not write any more, or the store is closed. */
  #unavailable({ targets }: Attempt): RunEnd {
    if (this.#isUncertain) {
      targets.perhapsCommitted();
      if (!this.#of.kept.isDurable) return this.#giveUp();
    }
    return { type: 'refused', reason: 'StoreUnavailable' };
  }

  /** At most once: its effects may be in the store, so that it is never carried out again, and its outcome is not kept. */
  #giveUp(): RunEnd {
    this.#of.kept.completed(this.#message.requestId, this.#message.lowestPendingRequestId);
    return { type: 'refused', reason: 'ResponseEvicted' };
  }

  /** The store refused it: nothing was written, unless an earlier attempt was. */
  #failed(error: unknown, attempt: Attempt): RunEnd {
    const isClosed = error instanceof HawserError && error.code === 'ERR_HAWSER_CLOSED';
    if (!isClosed) this.#of.parts.host.handlerError(error, 'onRequest');
    return this.#isUncertain || isClosed || isFull(error)
      ? this.#unavailable(attempt)
      : { type: 'refused', reason: 'HandlerFailed' };
  }
}

/** Whether there may be room for it later. */
function isFull(error: unknown): boolean {
  return (
    error instanceof HawserError &&
    (error.code === 'ERR_HAWSER_STORE_FULL' || error.code === 'ERR_HAWSER_DISK_FULL')
  );
}
