// What a store of sessions in memory keeps, at one place for all who share it: entries, leases and who is told.

import type { Clock, Timer } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { byteOrder } from './check-arguments.js';
import { gatewayKey } from './keys.js';
import { SortedMap } from './sorted-map.js';
import type { Compare, Range, StoreChange, StoreEntry, Transaction, TransactionResult } from './store.js';
import { copyEntry } from './watches.js';

/** A lease, as the space knows it. */
export interface SpaceLease {
  readonly gateway: string;
  readonly epoch: string;
  readonly fence: Compare;
}

interface LeaseState extends SpaceLease {
  readonly ttlMs: number;
  /** Ends it. */
  timer: Timer | undefined;
  /** In `byteOrder`. */
  readonly keys: Set<string>;
  readonly ended: () => void;
}

interface Kept extends StoreEntry {
  readonly order: string;
  readonly lease: LeaseState | undefined;
}

/** The writes of a transaction as they go, all at one revision. */
interface Writing {
  readonly revision: number;
  readonly changes: StoreChange[];
  /** Leases that end with it. */
  readonly ended: LeaseState[];
}

/** Everything is done at once and in the order of the calls; the arguments were checked. */
export class MemorySpace {
  readonly #clock: Clock;
  /** By `byteOrder` of their keys. */
  readonly #entries = new SortedMap<Kept>();
  readonly #leases = new Map<SpaceLease, LeaseState>();
  readonly #told = new Set<(changes: readonly StoreChange[]) => void>();
  #revision = 1;
  #lastEpoch = 0;

  /** @param clock by which leases with a time to live end. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  read({ from, to, limit }: Range): StoreEntry[] {
    return this.#entries.range(byteOrder(from), byteOrder(to), limit).map(copyEntry);
  }

  /** @param leaseOf the lease here of a lease in the transaction. */
  transact(
    { compare, writes }: Transaction,
    leaseOf: (lease: object) => SpaceLease | undefined,
  ): TransactionResult {
    const found = compare.map(({ key }) => this.#entries.get(byteOrder(key)));
    if (compare.some(({ revision }, index) => (found[index]?.revision ?? 0) !== revision)) {
      return { committed: false, found: found.map((kept) => kept && copyEntry(kept)) };
    }
    // Found out before anything is written.
    const leases = writes.map((write) =>
      write.type === 'put' && write.lease !== undefined ? this.#leaseOf(leaseOf(write.lease)) : undefined,
    );
    const writing = this.#begin();
    for (const [index, write] of writes.entries()) {
      if (write.type === 'put') this.#put(writing, write.key, write.value, leases[index]);
      else if (write.type === 'delete') this.#delete(writing, byteOrder(write.key));
      else this.#deleteRange(writing, write);
    }
    this.#end(writing);
    return { committed: true, revision: this.#revision };
  }

  /** @param told is given the changes of each transaction, at once; their entries are not to be changed. @returns what ends it. */
  subscribe(told: (changes: readonly StoreChange[]) => void): () => void {
    this.#told.add(told);
    return () => {
      this.#told.delete(told);
    };
  }

  // ---- Leases ------------------------------------------------------------------------------------------------------

  /**
   * Begins a lease and ends any other of the gateway, in one transaction.
   *
   * @param value made of the epoch; kept as it is.
   * @param ttlMs without a `keepAlive` for so long, it ends by itself; Infinity: it does not.
   * @param ended called once, when it has ended.
   */
  grant(gateway: string, value: (epoch: string) => Uint8Array, ttlMs: number, ended: () => void): SpaceLease {
    const epoch = `${++this.#lastEpoch}`;
    const bytes = value(epoch);
    const writing = this.#begin();
    for (const other of Array.from(this.#leases.values())) {
      if (other.gateway === gateway) this.#deleteLease(writing, other);
    }
    const key = gatewayKey(gateway);
    const lease: LeaseState = {
      gateway,
      epoch,
      fence: { key, revision: writing.revision },
      ttlMs,
      timer: undefined,
      keys: new Set(),
      ended,
    };
    this.#leases.set(lease, lease);
    this.#put(writing, key, bytes, lease);
    this.#end(writing);
    this.keepAlive(lease);
    return lease;
  }

  /** @returns whether the lease holds: then it does for its time to live from now on. */
  keepAlive(lease: SpaceLease): boolean {
    const state = this.#leases.get(lease);
    if (state === undefined) return false;
    if (Number.isFinite(state.ttlMs)) {
      state.timer?.clear();
      state.timer = this.#clock.setTimeout(() => this.endLease(lease), state.ttlMs);
    }
    return true;
  }

  /** Ends a lease; harmless when it has ended. */
  endLease(lease: SpaceLease): void {
    const state = this.#leases.get(lease);
    if (state === undefined) return;
    const writing = this.#begin();
    this.#deleteLease(writing, state);
    this.#end(writing);
  }

  #leaseOf(lease: SpaceLease | undefined): LeaseState {
    const state = lease && this.#leases.get(lease);
    if (state !== undefined) return state;
    throw new HawserError('ERR_HAWSER_STORE', 'the lease of a write has ended');
  }

  #deleteLease(writing: Writing, lease: LeaseState): void {
    this.#leases.delete(lease);
    lease.timer?.clear();
    for (const order of Array.from(lease.keys)) this.#delete(writing, order);
    writing.ended.push(lease);
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  #begin(): Writing {
    return { revision: this.#revision + 1, changes: [], ended: [] };
  }

  /** What has changed nothing takes no revision. */
  #end({ revision, changes, ended }: Writing): void {
    if (changes.length === 0) return;
    this.#revision = revision;
    for (const told of this.#told) told(changes);
    for (const lease of ended) lease.ended();
  }

  #put({ revision, changes }: Writing, key: string, value: Uint8Array, lease: LeaseState | undefined): void {
    const order = byteOrder(key);
    this.#entries.get(order)?.lease?.keys.delete(order);
    lease?.keys.add(order);
    const kept: Kept = { key, value, revision, order, lease };
    this.#entries.set(order, kept);
    changes.push({ key, entry: kept, revision });
  }

  #delete({ revision, changes }: Writing, order: string): void {
    const kept = this.#entries.get(order);
    if (kept === undefined) return;
    kept.lease?.keys.delete(order);
    this.#entries.delete(order);
    changes.push({ key: kept.key, entry: undefined, revision });
  }

  #deleteRange(writing: Writing, { from, to }: { readonly from: string; readonly to: string }): void {
    for (const { order } of this.#entries.range(byteOrder(from), byteOrder(to))) this.#delete(writing, order);
  }
}
