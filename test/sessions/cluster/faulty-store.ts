// A store of one gateway that cannot always be reached.

import { HawserError } from '../../../src/base/errors.js';
import type {
  Range,
  SessionStore,
  StoreChange,
  StoreEntry,
  StoreLease,
  Transaction,
  TransactionResult,
  WatchListener,
} from '../../../src/sessions/store/store.js';

/**
 * - `none`: everything is as the store behind it has it.
 * - `unreachable`: nothing is done, watches hear nothing; once it is over they are told `reset`.
 * - `unanswered`: what is asked is done, and nobody hears of it; watches hear.
 */
export type Fault = 'none' | 'unreachable' | 'unanswered';

export class FaultyStore implements SessionStore {
  readonly shared = true;
  readonly #store: SessionStore;
  readonly #listeners = new Set<WatchListener>();
  #fault: Fault = 'none';
  #held: Promise<void> | undefined;
  #letGo: (() => void) | undefined;
  /** Calls of `read`, `txn` and `lease` so far. */
  calls = 0;

  constructor(store: SessionStore) {
    this.#store = store;
  }

  set fault(fault: Fault) {
    const wasUnreachable = this.#fault === 'unreachable';
    this.#fault = fault;
    if (wasUnreachable) for (const listener of Array.from(this.#listeners)) listener.reset();
  }

  /** Answers wait from now on, though what is asked is done at once. @returns what lets them go. */
  hold(): () => void {
    this.#held = new Promise((resolve) => {
      this.#letGo = resolve;
    });
    return () => {
      this.#letGo?.();
      this.#held = undefined;
    };
  }

  read(range: Range): Promise<readonly StoreEntry[]> {
    return this.#call(() => this.#store.read(range));
  }

  txn(transaction: Transaction): Promise<TransactionResult> {
    return this.#call(() => this.#store.txn(transaction));
  }

  lease(gateway: string, value: (epoch: string) => Uint8Array): Promise<StoreLease> {
    return this.#call(() => this.#store.lease(gateway, value));
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    this.#listeners.add(listener);
    const watch = this.#store.watch(prefix, {
      changed: (changes: readonly StoreChange[]) => {
        if (this.#fault !== 'unreachable') listener.changed(changes);
      },
      reset: () => {
        if (this.#fault !== 'unreachable') listener.reset();
      },
    });
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
        watch[Symbol.dispose]();
      },
    };
  }

  close(): Promise<void> {
    return this.#store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #call<T>(run: () => Promise<T>): Promise<T> {
    ++this.calls;
    const fault = this.#fault;
    if (fault === 'unreachable') throw new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', 'unreachable');
    const held = this.#held;
    const result = await run();
    await held;
    if (fault === 'unanswered') throw new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', 'unanswered');
    return result;
  }
}
