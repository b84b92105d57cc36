// A store of sessions on the disk, on LMDB (the optional package `lmdb`): for one gateway whose sessions survive its restart.

import { checkFunction, checkInteger, checkOptions, checkString } from '../../base/check.js';
import { systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { type LmdbStore, openLmdb, type TransactionOptions } from '../../base/lmdb-store.js';
import { Turns } from '../../base/turns.js';
import { checkGateway, checkPrefix, checkRange, checkTransaction, copyValue } from './check-arguments.js';
import { gatewayKey } from './keys.js';
import { type Done, databaseNames, LmdbEntries } from './lmdb-entries.js';
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

/** Options of {@link openSessionStore}. */
export interface LmdbSessionStoreOptions {
  /** The greatest size, in bytes: 1,048,576 to 2^46; 68,719,476,736 (64 GiB) by default. A full store can be opened again with more. */
  readonly maxBytes?: number;
}

/** One who reads long gives way to the event loop after so many milliseconds, looked at each so many entries. */
const sliceMs = 5;
const entriesPerLook = 256;
/** A gateway can begin and end with a store that is full: that is how room is made. */
const leaseWrites: TransactionOptions = { beyondMaxBytes: true };

/**
 * Opens a store of sessions on the disk, which is made when it is missing. What a transaction wrote is on the disk when its promise resolves;
 * those that are begun while one is written share the next commit.
 *
 * @param path the directory, made with mode 0700.
 * @returns a promise of the store; this process owns it until `close`, or until it ends: then no lease of it holds any more.
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT; ERR_HAWSER_PACKAGE_MISSING without the package lmdb; ERR_HAWSER_STORE_LOCKED when it is
 * open already; ERR_HAWSER_STORE_FORMAT when something else is there; ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE.
 */
export async function openSessionStore(
  path: string,
  options: LmdbSessionStoreOptions = {},
): Promise<LmdbSessionStore> {
  checkString('path', path, 1);
  checkOptions('options', options, ['maxBytes']);
  const maxBytes = checkInteger('maxBytes', options.maxBytes ?? 2 ** 36, 2 ** 20, 2 ** 46);
  const format = { name: 'hawser-session-store', version: 1 };
  const store = await openLmdb(path, { maxBytes, databases: databaseNames, format });
  try {
    const entries = new LmdbEntries(store);
    const opening = await store.transaction(() => entries.open(), leaseWrites);
    return new StoreOnDisk(store, entries, opening);
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** A {@link SessionStore} on the disk. Made by {@link openSessionStore}. */
export interface LmdbSessionStore extends SessionStore {
  /** What is kept, in bytes of whole pages, and how much that may be. */
  readonly usage: { readonly bytes: number; readonly maxBytes: number };
}

/** Not exported: who compiles against this package need not have lmdb. */
class StoreOnDisk implements LmdbSessionStore {
  readonly shared = false;
  readonly #store: LmdbStore;
  readonly #entries: LmdbEntries;
  readonly #opening: number;
  readonly #turns = new Turns(systemClock, sliceMs);
  readonly #watches = new Watches();
  readonly #epochs = new WeakMap<object, string>();
  /** Those that hold, by epoch. */
  readonly #leases = new Map<string, DiskLease>();
  readonly #reading = new Set<Promise<unknown>>();
  #granted = 0;
  #closing: Promise<void> | undefined;

  constructor(store: LmdbStore, entries: LmdbEntries, opening: number) {
    this.#store = store;
    this.#entries = entries;
    this.#opening = opening;
  }

  get usage(): { readonly bytes: number; readonly maxBytes: number } {
    return this.#store.usage;
  }

  async read(range: Range): Promise<readonly StoreEntry[]> {
    this.#throwIfClosed();
    const reading = this.#read(checkRange(range));
    this.#reading.add(reading);
    try {
      return await reading;
    } finally {
      this.#reading.delete(reading);
    }
  }

  async #read(range: Required<Range>): Promise<StoreEntry[]> {
    const found: StoreEntry[] = [];
    for (const entry of this.#entries.range(range)) {
      found.push(entry);
      if (found.length % entriesPerLook !== 0 || !this.#turns.over) continue;
      await this.#turns.next();
      this.#throwIfClosed();
    }
    return found;
  }

  async txn(transaction: Transaction): Promise<TransactionResult> {
    this.#throwIfClosed();
    const checked = checkTransaction(transaction, (lease) => this.#epochs.has(lease));
    return this.#commit(() => this.#entries.transact(checked, (lease) => this.#epochs.get(lease)));
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    this.#throwIfClosed();
    return this.#watches.add(checkPrefix(prefix), listener);
  }

  async lease(gateway: string, value: (epoch: string) => Uint8Array): Promise<StoreLease> {
    this.#throwIfClosed();
    checkGateway(gateway);
    checkFunction('value', value);
    const epoch = `${this.#opening}-${++this.#granted}`;
    const bytes = copyValue('value', value(epoch));
    const lease = new DiskLease(gateway, epoch, async () => {
      await this.#commit(() => this.#entries.endLease(epoch), leaseWrites);
    });
    // It may be ended as soon as it is committed.
    this.#leases.set(epoch, lease);
    this.#epochs.set(lease, epoch);
    try {
      lease.revision = await this.#commit(() => this.#entries.grant(gateway, epoch, bytes), leaseWrites);
    } catch (error) {
      this.#end(epoch);
      throw error;
    }
    return lease;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#watches.clear();
    for (const epoch of Array.from(this.#leases.keys())) this.#end(epoch);
    await Promise.allSettled(this.#reading);
    // When it fails, they end when the store is opened again.
    await this.#store.transaction(() => this.#entries.endAll(), leaseWrites).catch(() => undefined);
    await this.#store.close();
  }

  async #commit<T>(run: () => Done<T>, options: TransactionOptions = {}): Promise<T> {
    try {
      const { result, changes, ended } = await this.#store.transaction(run, options);
      for (const epoch of ended) this.#end(epoch);
      this.#watches.tell(changes);
      return result;
    } catch (error) {
      // Another process has the store now, and with it whatever was under a lease.
      if (error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_LOCKED') {
        for (const epoch of Array.from(this.#leases.keys())) this.#end(epoch);
      }
      throw error;
    }
  }

  #end(epoch: string): void {
    const lease = this.#leases.get(epoch);
    this.#leases.delete(epoch);
    lease?.end();
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new HawserError('ERR_HAWSER_CLOSED', 'the store is closed');
  }
}

class DiskLease implements StoreLease {
  readonly gateway: string;
  readonly epoch: string;
  /** Of the gateway's key. */
  revision = 0;
  readonly #release: () => Promise<void>;
  readonly #ended = new AbortController();

  constructor(gateway: string, epoch: string, release: () => Promise<void>) {
    this.gateway = gateway;
    this.epoch = epoch;
    this.#release = release;
  }

  get fence(): Compare {
    return { key: gatewayKey(this.gateway), revision: this.revision };
  }

  get validUntilMs(): number {
    return this.#ended.signal.aborted ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  async release(): Promise<void> {
    if (!this.#ended.signal.aborted) await this.#release();
  }

  end(): void {
    this.#ended.abort();
  }
}
