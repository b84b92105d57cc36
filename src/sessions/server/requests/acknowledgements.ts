// What a client has acknowledged goes from the store.

import { Backoff } from '../../../base/backoff.js';
import { serverRequestKey } from '../../store/keys.js';
import type { Session } from '../session.js';
import { isUnavailable, pause, storeBackoff } from '../store-retry.js';
import { authorityOf, compareAuthority, judgeAuthority } from './authority.js';
import { CommitDraft } from './commit-draft.js';
import type { Parts } from './parts.js';
import { keptServerRequests } from './server-request-tally.js';
import { inTurn } from './store-calls.js';

/** Deletes the server requests of one session up to an id: one transaction at a time, however many acknowledgements come. */
export class Acknowledgements {
  readonly #parts: Parts;
  readonly #session: Session;
  readonly #over: AbortSignal;
  readonly #backoff: Backoff;
  #wanted = 0;
  #done = 0;
  #isRunning = false;

  constructor(parts: Parts, session: Session, over: AbortSignal) {
    this.#parts = parts;
    this.#session = session;
    this.#over = over;
    this.#backoff = new Backoff(storeBackoff, parts.host.settings.random);
  }

  /** Up to here none is in the store any more. */
  get done(): number {
    return this.#done;
  }

  /** The store has shown that none is left up to there. */
  found(requestId: number): void {
    this.#done = Math.max(this.#done, requestId);
  }

  upTo(requestId: number): void {
    this.#wanted = Math.max(this.#wanted, requestId);
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#wanted > this.#done && !this.#over.aborted) {
      if (await this.#step(this.#wanted)) continue;
      await pause(this.#parts.host.settings.wheel, this.#backoff.next(), this.#over);
    }
    this.#isRunning = false;
  }

  /** @returns whether to go on at once. */
  async #step(upTo: number): Promise<boolean> {
    const { host } = this.#parts;
    const authority = authorityOf(host, this.#session);
    if (authority === undefined) return false;
    const draft = new CommitDraft();
    compareAuthority(draft, authority);
    const { from } = keptServerRequests(this.#session.id, 0);
    draft.write({ type: 'deleteRange', from, to: serverRequestKey(this.#session.id, upTo + 1) });
    try {
      const result = await inTurn(host, host.store.txn(draft.transaction()));
      if (!result.committed) {
        return judgeAuthority(host, authority, draft.mismatches(result.found)) === 'again';
      }
      this.found(upTo);
      this.#backoff.reset();
      return true;
    } catch (error) {
      if (isUnavailable(error)) return false;
      if (!this.#over.aborted) host.handlerError(error, 'onRequest');
      // Given up until the client acknowledges again.
      this.#wanted = this.#done;
      return true;
    }
  }
}
