// A transaction as it is put together: its comparisons know what it means when they do not hold.

import { HawserError } from '../../../base/errors.js';
import type { Compare, StoreEntry, Transaction, Write } from '../../store/store.js';

/** What a comparison is for. */
export type Meaning =
  /** - `owner`: the session is this gateway's. `fence`: the gateway may write. `response`: the request has no outcome yet.
   * - `progress`: no other commit of the session has come between. */
  | { readonly kind: 'owner' | 'fence' | 'response' | 'progress' }
  /** What a handler has read. */
  | { readonly kind: 'read'; readonly key: string }
  /** The session that a server request goes to, or its counter. */
  | { readonly kind: 'target'; readonly sessionId: string };

/** A comparison that did not hold. */
export interface Mismatch {
  readonly meaning: Meaning;
  readonly found: StoreEntry | undefined;
}

/** Comparisons and writes of a transaction, together: etcd takes 128 unless it is told otherwise, and stores merge transactions. */
const maxOperations = 96;

export class CommitDraft {
  readonly #compare: Compare[] = [];
  /** Of each comparison. */
  readonly #meanings: Meaning[] = [];
  readonly #writes: Write[] = [];

  compare(meaning: Meaning, compare: Compare): void {
    this.#compare.push(compare);
    this.#meanings.push(meaning);
  }

  write(write: Write): void {
    this.#writes.push(write);
  }

  put(key: string, value: Uint8Array): void {
    this.#writes.push({ type: 'put', key, value });
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT when it is more than stores take. */
  transaction(): Transaction {
    const operations = this.#compare.length + this.#writes.length;
    if (operations <= maxOperations) return { compare: this.#compare, writes: this.#writes };
    const message = `what is read, written and sent must come to at most ${maxOperations} operations; got ${operations}`;
    throw new HawserError('ERR_HAWSER_ARGUMENT', message);
  }

  /** @param found of the transaction, which was not committed. */
  mismatches(found: readonly (StoreEntry | undefined)[]): Mismatch[] {
    return this.#meanings.flatMap((meaning, index) => {
      const holds = (found[index]?.revision ?? 0) === this.#compare[index]?.revision;
      return holds ? [] : [{ meaning, found: found[index] }];
    });
  }
}
