// A store of sessions in memory: for one gateway that may forget its sessions when it ends, and for tests.

import { argumentError, checkFunction, checkInteger, checkOptions, describe } from '../../base/check.js';
import { type Clock, systemClock, type Timer } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { checkGateway, checkPrefix, checkRange, checkTransaction, copyValue } from './check-arguments.js';
import { MemorySpace, type SpaceLease } from './memory-space.js';
import type {
  Compare,
  Range,
  SessionStore,
  StoreEntry,
  StoreLease,
  Transaction,
  TransactionResult,
  WatchListener,
} from './store.js';
import { Watches } from './watches.js';

/** Options of {@link MemorySessionStore}. */
export interface MemorySessionStoreOptions {
  /** Keeps what that one keeps, so that several gateways of one process share it; each has a store of its own, to close. */
  readonly sharedWith?: MemorySessionStore;
  /** The machine's by default; that of `sharedWith` where that is given. */
  readonly clock?: Clock;
  /**
   * Leases end when the process does nothing for so many milliseconds: 2,000 to 120,000. Without it they end by `release` and `close` only.
   */
  readonly leaseTtlMs?: number;
}

/** So much earlier than it ends a lease is not counted on any more. */
const leaseMarginMs = 1000;

/** A {@link SessionStore} that ends with the process. */
export class MemorySessionStore implements SessionStore {
  readonly shared: boolean;
  readonly #space: MemorySpace;
  readonly #clock: Clock;
  readonly #leaseTtlMs: number;
  readonly #watches = new Watches();
  readonly #unsubscribe: () => void;
  readonly #leases = new WeakMap<object, SpaceLease>();
  readonly #live = new Set<MemoryLease>();
  #closed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: MemorySessionStoreOptions = {}) {
    checkOptions('options', options, ['sharedWith', 'clock', 'leaseTtlMs']);
    const { sharedWith, leaseTtlMs } = options;
    if (sharedWith !== undefined && !(sharedWith instanceof MemorySessionStore)) {
      throw argumentError('sharedWith', 'a MemorySessionStore', describe(sharedWith));
    }
    const usual = sharedWith === undefined ? systemClock : sharedWith.#clock;
    this.#clock = options.clock ?? usual;
    this.#space = sharedWith === undefined ? new MemorySpace(this.#clock) : sharedWith.#space;
    this.#leaseTtlMs =
      leaseTtlMs === undefined
        ? Number.POSITIVE_INFINITY
        : checkInteger('leaseTtlMs', leaseTtlMs, 2000, 120_000);
    this.shared = sharedWith !== undefined || leaseTtlMs !== undefined;
    this.#unsubscribe = this.#space.subscribe((changes) => this.#watches.tell(changes));
  }

  async read(range: Range): Promise<readonly StoreEntry[]> {
    this.#throwIfClosed();
    return this.#space.read(checkRange(range));
  }

  async txn(transaction: Transaction): Promise<TransactionResult> {
    this.#throwIfClosed();
    const checked = checkTransaction(transaction, (lease) => this.#leases.has(lease));
    return this.#space.transact(checked, (lease) => this.#leases.get(lease));
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    this.#throwIfClosed();
    return this.#watches.add(checkPrefix(prefix), listener);
  }

  async lease(gateway: string, value: (epoch: string) => Uint8Array): Promise<StoreLease> {
    this.#throwIfClosed();
    checkGateway(gateway);
    checkFunction('value', value);
    const copied = (epoch: string): Uint8Array => copyValue('value', value(epoch));
    const lease = new MemoryLease(this.#space, this.#clock, this.#leaseTtlMs, gateway, copied);
    this.#leases.set(lease, lease.inSpace);
    this.#live.add(lease);
    lease.ended.addEventListener('abort', () => this.#live.delete(lease));
    return lease;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#watches.clear();
    await Promise.all(Array.from(this.#live, (lease) => lease.release()));
    this.#unsubscribe();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new HawserError('ERR_HAWSER_CLOSED', 'the store is closed');
  }
}

class MemoryLease implements StoreLease {
  readonly gateway: string;
  readonly inSpace: SpaceLease;
  validUntilMs: number = Number.POSITIVE_INFINITY;
  readonly #space: MemorySpace;
  readonly #clock: Clock;
  readonly #ttlMs: number;
  readonly #ended = new AbortController();
  #timer: Timer | undefined;

  constructor(
    space: MemorySpace,
    clock: Clock,
    ttlMs: number,
    gateway: string,
    value: (epoch: string) => Uint8Array,
  ) {
    this.gateway = gateway;
    this.#space = space;
    this.#clock = clock;
    this.#ttlMs = ttlMs;
    this.inSpace = space.grant(gateway, value, ttlMs, () => this.#end());
    this.#kept();
  }

  get epoch(): string {
    return this.inSpace.epoch;
  }

  get fence(): Compare {
    return this.inSpace.fence;
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  async release(): Promise<void> {
    this.#space.endLease(this.inSpace);
  }

  #kept(): void {
    if (!Number.isFinite(this.#ttlMs)) return;
    this.validUntilMs = this.#clock.now() + this.#ttlMs - leaseMarginMs;
    this.#timer = this.#clock.setTimeout(() => {
      if (this.#space.keepAlive(this.inSpace)) this.#kept();
    }, this.#ttlMs / 3);
  }

  #end(): void {
    this.#timer?.clear();
    this.validUntilMs = Number.NEGATIVE_INFINITY;
    this.#ended.abort();
  }
}
