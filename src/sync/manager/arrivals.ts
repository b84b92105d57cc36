// What has come of one session with Data: which of its items, and what of them matters before they are applied.

import { nextTurn } from '../../base/next-turn.js';
import type { StoredSession, SyncStore } from '../store/store.js';
import { ItemReader } from '../wire/item-reader.js';
import type { Pair } from '../wire/messages.js';
import type { Counts, ManagerLogCode } from './events.js';
import { GapSet } from './gap-set.js';

/** So many bytes of staged messages are read before the event loop runs. */
const bytesPerTurn = 1024 * 1024;

/** What it needs of its session. */
export interface ArrivalsHost {
  readonly store: SyncStore;
  readonly counts: Counts;
  /** Whether the session still takes Data. */
  readonly isReceiving: () => boolean;
  /** So many more bytes are staged. */
  readonly staged: (bytes: number) => void;
  readonly storeFailed: (error: unknown, what: string) => void;
  readonly log: (level: 'error' | 'warning', code: ManagerLogCode, message: string) => void;
}

export class Arrivals {
  readonly #stored: StoredSession;
  readonly #host: ArrivalsHost;
  #gaps: GapSet;
  #inOrder = true;
  #invalid = false;
  #bytes = 0;
  /** What is staged is to be read again, is being read, or has to be read once more after that. */
  #restoring: 'no' | 'due' | 'running' | 'again' = 'no';

  constructor(stored: StoredSession, host: ArrivalsHost) {
    this.#stored = stored;
    this.#host = host;
    this.#gaps = new GapSet(stored.size);
  }

  /** How many items have come. */
  get seen(): number {
    return this.#gaps.seen;
  }

  get complete(): boolean {
    return this.#gaps.complete;
  }

  /** Whether each item came right after the one before it. */
  get inOrder(): boolean {
    return this.#inOrder;
  }

  /** Whether one came that no session may have. */
  get invalid(): boolean {
    return this.#invalid;
  }

  /** Of the messages that are staged, as far as they were counted. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether what is staged has to be read before anything is decided. */
  get isUncertain(): boolean {
    return this.#restoring !== 'no';
  }

  /** What is missing, the first of it. @param limit how many ranges at most. */
  gaps(limit: number): Pair[] {
    return this.#gaps.gaps(limit);
  }

  /** Whether the item at which a reader stands would be new. */
  isNew({ seq }: ItemReader): boolean {
    return seq >= 0 && seq < this.#stored.size && !this.#gaps.has(seq);
  }

  /** Takes the item at which a reader stands. @returns whether it is new. */
  take(reader: ItemReader): boolean {
    const { counts, log } = this.#host;
    const { seq } = reader;
    const seen = seq < 0 ? 'beyond' : this.#gaps.observe(seq);
    if (seen === 'new') {
      ++counts.itemsReceived;
      this.#judge(reader, seq);
      return true;
    }
    if (seen === 'duplicate') {
      ++counts.itemsDuplicate;
    } else {
      ++counts.itemsBeyond;
      log('warning', 'BeyondSize', `an item beyond the ${this.#stored.size} of the session`);
    }
    return false;
  }

  /** What matters of a new item before it is applied. */
  #judge(reader: ItemReader, seq: number): void {
    if (seq !== this.#gaps.seen - 1) this.#inOrder = false;
    if (this.#invalid || reader.kind !== 'value' || reader.operation !== undefined) return;
    this.#invalid = true;
    this.#host.log('error', 'InvalidOperation', 'an item with an unknown operation: the session will fail');
  }

  /** Keeps a message in which something was new. @returns whether the store took it; if not, what it has is to be read again. */
  keep(message: Uint8Array): boolean {
    try {
      this.#host.store.stage(this.#stored, message);
    } catch (error) {
      this.#host.storeFailed(error, 'stage');
      return false;
    }
    this.#count(message.length);
    return true;
  }

  /** The session is over: nothing of it is counted any more. */
  forget(): void {
    this.#bytes = 0;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.#host.staged(bytes);
  }

  // ---- What is staged ----------------------------------------------------------------------------------------------

  /** What is staged will be read before anything is decided. */
  awaitRestore(): void {
    this.#restoring = 'due';
  }

  /** Reads again what is staged. @returns whether that is through; if not, another call is at it. */
  async restore(): Promise<boolean> {
    if (this.#restoring === 'running' || this.#restoring === 'again') {
      this.#restoring = 'again';
      return false;
    }
    // The session may have ended while this waited for its turn, and what it took was given back then.
    while (this.#host.isReceiving()) {
      this.#restoring = 'running';
      this.#gaps = new GapSet(this.#stored.size);
      this.#inOrder = true;
      this.#invalid = false;
      this.#count(-this.#bytes);
      try {
        await this.#read();
      } catch (error) {
        this.#host.storeFailed(error, 'read');
      }
      if (!this.#mustReadAgain()) break;
    }
    this.#restoring = 'no';
    return true;
  }

  /** It may have been set while this waited, which the compiler does not see. */
  #mustReadAgain(): boolean {
    return this.#restoring === 'again';
  }

  async #read(): Promise<void> {
    const { store, isReceiving } = this.#host;
    const reader = new ItemReader();
    const count = store.stagedCount(this.#stored);
    for (let n = 0, bytes = 0; n < count && isReceiving(); ++n) {
      const message = store.stagedMessage(this.#stored, n) ?? new Uint8Array();
      this.#takeStaged(reader, message);
      bytes += message.length;
      if (bytes < bytesPerTurn) continue;
      bytes = 0;
      await nextTurn();
    }
  }

  #takeStaged(reader: ItemReader, message: Uint8Array): void {
    this.#count(message.length);
    if (!reader.open(message)) return;
    while (reader.next()) {
      const { seq } = reader;
      if (seq < 0 || reader.session !== this.#stored.session) continue;
      if (this.#gaps.observe(seq) === 'new') this.#judge(reader, seq);
    }
  }
}
