// Which requests of a session have an outcome: those are never carried out again.

import { idRange, idsEnd, prefixes, progressKey, responseKey } from '../../store/keys.js';
import { readKey } from '../../store/read-key.js';
import {
  decodeNumber,
  decodeResponse,
  encodeNumber,
  encodeResponse,
  type ResponseRecord,
} from '../../store/records.js';
import type { RequestHost } from '../session.js';
import type { CommitDraft } from './commit-draft.js';

const pageEntries = 64;

/**
 * The outcomes of one session, as its owner knows them. Every commit writes or compares the key of its progress, so that one which the store
 * carries out late does not count after another has come in between: not even when the outcome by which it could be told was evicted since.
 *
 * With `at-most-once` the store keeps no outcomes, and the id of the last request that was committed as the progress: by that its owner can
 * tell whether a commit counts for which the store has not answered. Which ids have come is known only here.
 */
export class KeptOutcomes {
  readonly #host: RequestHost;
  readonly #sessionId: string;
  readonly isDurable: boolean;
  readonly #ids = new Set<number>();
  #lowest = 0;
  #revision = 0;

  constructor(host: RequestHost, sessionId: string, isDurable: boolean) {
    this.#host = host;
    this.#sessionId = sessionId;
    this.isDurable = isDurable;
  }

  /** Reads what the store has. Rejects as the store does, and with ERR_HAWSER_STORE_FORMAT. */
  async load(): Promise<void> {
    const progress = await readKey(this.#host.store, progressKey(this.#sessionId));
    this.#revision = progress?.revision ?? 0;
    if (!this.isDurable) return;
    this.#lowest = progress === undefined ? 0 : decodeNumber(progress.value);
    for (let from = 0; ; ) {
      const range = idRange(prefixes.responses, this.#sessionId, from, idsEnd);
      const page = await this.#host.store.read({ ...range, limit: pageEntries });
      for (const { key } of page) {
        from = Number.parseInt(key.slice(range.from.lastIndexOf('/') + 1), 16) + 1;
        this.#ids.add(from - 1);
      }
      if (page.length < pageEntries) return;
    }
  }

  has(requestId: number): boolean {
    return this.#ids.has(requestId);
  }

  /** Whether the client has said that it has the outcome: it is not to be carried out again. */
  isEvicted(requestId: number): boolean {
    return requestId < this.#lowest && !this.#ids.has(requestId);
  }

  /** How many are kept once those below `lowest` are evicted. */
  countFrom(lowest: number): number {
    if (lowest <= this.#lowest) return this.#ids.size;
    let count = 0;
    for (const id of this.#ids) if (id >= lowest) ++count;
    return count;
  }

  /** The outcome of a request as the store keeps it. */
  async read(requestId: number): Promise<ResponseRecord | undefined> {
    const entry = await readKey(this.#host.store, responseKey(this.#sessionId, requestId));
    return entry && decodeResponse(entry.value);
  }

  /** Adds what makes a commit count once, and evicts what the client has. */
  draft(draft: CommitDraft, requestId: number, lowestPending: number, response: ResponseRecord): void {
    const progress = progressKey(this.#sessionId);
    draft.compare({ kind: 'progress' }, { key: progress, revision: this.#revision });
    if (!this.isDurable) {
      draft.put(progress, encodeNumber(requestId));
      return;
    }
    const key = responseKey(this.#sessionId, requestId);
    draft.compare({ kind: 'response' }, { key, revision: 0 });
    draft.put(key, encodeResponse(response));
    if (lowestPending <= this.#lowest) return;
    draft.put(progress, encodeNumber(lowestPending));
    // No store takes a put and a deletion of the same key: the request itself may be below.
    this.#evict(draft, 0, Math.min(requestId, lowestPending));
    this.#evict(draft, requestId + 1, lowestPending);
  }

  /** What `draft` added is in the store, at that revision. */
  committed(requestId: number, lowestPending: number, revision: number): void {
    if (!this.isDurable || lowestPending > this.#lowest) this.#revision = revision;
    this.completed(requestId, lowestPending);
  }

  /** The request has an outcome, and the client those below `lowestPending`. */
  completed(requestId: number, lowestPending: number): void {
    if (lowestPending > this.#lowest) this.#raise(lowestPending);
    this.#ids.add(requestId);
  }

  /** What lies in the store as the progress is another than was known. */
  progressFound(value: Uint8Array | undefined, revision: number): void {
    this.#revision = revision;
    if (!this.isDurable || value === undefined) return;
    const lowest = decodeNumber(value);
    if (lowest > this.#lowest) this.#raise(lowest);
  }

  /** The store does not keep it, though it did. */
  forget(requestId: number): void {
    this.#ids.delete(requestId);
  }

  #raise(lowest: number): void {
    this.#lowest = lowest;
    for (const id of this.#ids) if (id < lowest) this.#ids.delete(id);
  }

  #evict(draft: CommitDraft, from: number, to: number): void {
    for (const id of this.#ids) {
      if (id < from || id >= to) continue;
      const range = idRange(prefixes.responses, this.#sessionId, from, to);
      draft.write({ type: 'deleteRange', from: range.from, to: range.to });
      return;
    }
  }
}
