// A store that can lose what it is asked, or what it answers, and be slow.

import type { Clock } from '../../../src/base/clock.js';
import { HawserError } from '../../../src/base/errors.js';
import type {
  Range,
  SessionStore,
  StoreEntry,
  StoreLease,
  Transaction,
  TransactionResult,
  WatchListener,
} from '../../../src/sessions/store/store.js';

export type Fault =
  | { readonly type: 'none'; readonly delayMs?: number }
  /** It is done at once, and answered later. */
  | { readonly type: 'slowAnswer'; readonly delayMs: number }
  /** Nothing is done, and the caller hears that the store cannot be reached. */
  | { readonly type: 'requestLost' }
  /** It is done, and the caller hears that the store cannot be reached. */
  | { readonly type: 'answerLost' }
  /** As `requestLost`, but it is done later. */
  | { readonly type: 'late'; readonly delayMs: number }
  | { readonly type: 'error'; readonly error: unknown };

export const noFault: Fault = { type: 'none' };

export class FaultyStore implements SessionStore {
  readonly #inner: SessionStore;
  readonly #clock: Clock;
  /** What happens to the next operation. */
  fault: (operation: 'read' | 'txn', transaction: Transaction | undefined) => Fault = () => noFault;
  readonly transactions: Transaction[] = [];
  reads = 0;

  constructor(inner: SessionStore, clock: Clock) {
    this.#inner = inner;
    this.#clock = clock;
  }

  get shared(): boolean {
    return this.#inner.shared;
  }

  /** The next transactions, each with its fault; those behind them without. */
  plan(...faults: readonly Fault[]): void {
    const rest = [...faults];
    this.fault = (operation) => (operation === 'txn' ? (rest.shift() ?? noFault) : noFault);
  }

  /** Until `back`, nothing is done. */
  away(): void {
    this.fault = () => ({ type: 'requestLost' });
  }

  back(): void {
    this.fault = () => noFault;
  }

  read(range: Range): Promise<readonly StoreEntry[]> {
    ++this.reads;
    return this.#with(this.fault('read', undefined), () => this.#inner.read(range));
  }

  txn(transaction: Transaction): Promise<TransactionResult> {
    this.transactions.push(transaction);
    return this.#with(this.fault('txn', transaction), () => this.#inner.txn(transaction));
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    return this.#inner.watch(prefix, listener);
  }

  lease(gateway: string, value: (epoch: string) => Uint8Array): Promise<StoreLease> {
    return this.#inner.lease(gateway, value);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #with<T>(fault: Fault, run: () => Promise<T>): Promise<T> {
    if (fault.type === 'none') {
      if (fault.delayMs !== undefined) await this.#sleep(fault.delayMs);
      return run();
    }
    if (fault.type === 'error') throw fault.error;
    if (fault.type === 'slowAnswer') {
      const answer = await run();
      await this.#sleep(fault.delayMs);
      return answer;
    }
    if (fault.type === 'answerLost') await run();
    // What the late one comes to is nobody's concern any more.
    if (fault.type === 'late') void this.#sleep(fault.delayMs).then(run);
    throw new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', 'simulated');
  }

  #sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.setTimeout(resolve, delayMs);
    });
  }
}
