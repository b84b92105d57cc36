// What a store of sessions on a disk keeps, within its transactions.
//
//   entries   key -> revision:6 value
//   leased    key -> epoch            (entries that go when their lease ends)
//   leases    epoch -> gateway        (those that hold)
//   counters  'revision' -> 6 bytes, 'opening' -> 6 bytes
//
// Numbers are big-endian: 2^48 transactions, or openings, are more than any store sees.

import { HawserError } from '../../base/errors.js';
import type { LmdbDatabase, LmdbStore } from '../../base/lmdb-store.js';
import { gatewayKey } from './keys.js';
import type { Range, StoreChange, StoreEntry, Transaction, TransactionResult } from './store.js';

export const databaseNames = ['entries', 'leased', 'leases', 'counters'] as const;

const numberBytes = 6;
const revisionKey = Buffer.from('revision');
const openingKey = Buffer.from('opening');

/** What a transaction came to. */
export interface Done<T> {
  readonly result: T;
  readonly changes: readonly StoreChange[];
  /** Epochs of the leases that it ended. */
  readonly ended: readonly string[];
}

/** The writes of a transaction as they go, all at one revision. */
interface Writing {
  readonly revision: number;
  readonly changes: StoreChange[];
  readonly ended: string[];
}

/** All but `range` are for a transaction of the store, and change nothing outside it: LMDB may undo it and run it again. */
export class LmdbEntries {
  readonly #entries: LmdbDatabase;
  readonly #leased: LmdbDatabase;
  readonly #leases: LmdbDatabase;
  readonly #counters: LmdbDatabase;

  constructor(store: LmdbStore) {
    this.#entries = store.database('entries');
    this.#leased = store.database('leased');
    this.#leases = store.database('leases');
    this.#counters = store.database('counters');
  }

  /** What was there before is over: nobody holds a lease. @returns how often the store was opened. */
  open(): number {
    const opening = this.#counter(openingKey) + 1;
    this.#counters.putSync(openingKey, encodeNumber(opening));
    this.endAll();
    return opening;
  }

  /** @param epochOf that of a lease of the transaction. */
  transact(
    { compare, writes }: Transaction,
    epochOf: (lease: object) => string | undefined,
  ): Done<TransactionResult> {
    const found = compare.map(({ key }) => this.#get(key));
    if (compare.some(({ revision }, index) => (found[index]?.revision ?? 0) !== revision)) {
      return { result: { committed: false, found }, changes: [], ended: [] };
    }
    const writing = this.#begin();
    for (const write of writes) {
      if (write.type === 'put') {
        this.#put(writing, write.key, write.value, write.lease && this.#heldEpoch(epochOf(write.lease)));
      } else if (write.type === 'delete') this.#delete(writing, Buffer.from(write.key));
      else this.#deleteRange(writing, write);
    }
    const revision = this.#end(writing);
    return { ...writing, result: { committed: true, revision } };
  }

  /** Begins a lease and ends any other of the gateway. @returns the revision of its key. */
  grant(gateway: string, epoch: string, value: Uint8Array): Done<number> {
    const writing = this.#begin();
    const own = Buffer.from(gateway);
    for (const { key, value: other } of Array.from(this.#leases.getRange())) {
      if (own.equals(other)) this.#endLease(writing, key);
    }
    this.#leases.putSync(Buffer.from(epoch), own);
    this.#put(writing, gatewayKey(gateway), value, epoch);
    return { ...writing, result: this.#end(writing) };
  }

  /** Ends a lease; harmless when it has ended. */
  endLease(epoch: string): Done<number> {
    const writing = this.#begin();
    const key = Buffer.from(epoch);
    if (this.#leases.get(key) !== undefined) this.#endLease(writing, key);
    return { ...writing, result: this.#end(writing) };
  }

  endAll(): void {
    const writing = this.#begin();
    for (const epoch of Array.from(this.#leases.getKeys())) this.#endLease(writing, epoch);
    this.#end(writing);
  }

  /** All that is given is of one state of the store; the state is held until the iteration ends. */
  *range({ from, to, limit }: Required<Range>): Generator<StoreEntry> {
    const [start, end] = [Buffer.from(from), Buffer.from(to)];
    if (Buffer.compare(start, end) >= 0) return;
    const transaction = this.#entries.useReadTransaction();
    try {
      for (const { key, value } of this.#entries.getRange({ start, end, limit, transaction })) {
        yield decodeRow(Buffer.from(key).toString(), value);
      }
    } finally {
      transaction.done();
    }
  }

  #get(key: string): StoreEntry | undefined {
    const row = this.#entries.get(Buffer.from(key));
    return row && decodeRow(key, row);
  }

  #counter(key: Buffer): number {
    return this.#counters.get(key)?.readUIntBE(0, numberBytes) ?? 0;
  }

  /** @throws HawserError ERR_HAWSER_STORE when the lease has ended. */
  #heldEpoch(epoch: string | undefined): string {
    if (epoch !== undefined && this.#leases.get(Buffer.from(epoch)) !== undefined) return epoch;
    throw new HawserError('ERR_HAWSER_STORE', 'the lease of a write has ended');
  }

  #endLease(writing: Writing, epoch: Uint8Array): void {
    for (const { key, value } of Array.from(this.#leased.getRange())) {
      if (value.equals(epoch)) this.#delete(writing, Buffer.from(key));
    }
    this.#leases.removeSync(epoch);
    writing.ended.push(Buffer.from(epoch).toString());
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  #begin(): Writing {
    return { revision: this.#counter(revisionKey) + 1, changes: [], ended: [] };
  }

  /** What has changed nothing takes no revision. @returns the last one. */
  #end({ revision, changes }: Writing): number {
    if (changes.length === 0) return revision - 1;
    this.#counters.putSync(revisionKey, encodeNumber(revision));
    return revision;
  }

  #put({ revision, changes }: Writing, name: string, value: Uint8Array, epoch: string | undefined): void {
    const key = Buffer.from(name);
    const row = Buffer.allocUnsafe(numberBytes + value.length);
    row.writeUIntBE(revision, 0, numberBytes);
    row.set(value, numberBytes);
    this.#entries.putSync(key, row);
    if (epoch !== undefined) this.#leased.putSync(key, Buffer.from(epoch));
    else if (this.#leased.get(key) !== undefined) this.#leased.removeSync(key);
    changes.push({ key: name, entry: { key: name, value, revision }, revision });
  }

  #delete({ revision, changes }: Writing, key: Buffer): void {
    if (!this.#entries.removeSync(key)) return;
    if (this.#leased.get(key) !== undefined) this.#leased.removeSync(key);
    changes.push({ key: key.toString(), entry: undefined, revision });
  }

  #deleteRange(writing: Writing, range: { readonly from: string; readonly to: string }): void {
    const [start, end] = [Buffer.from(range.from), Buffer.from(range.to)];
    if (Buffer.compare(start, end) >= 0) return;
    for (const key of Array.from(this.#entries.getKeys({ start, end })))
      this.#delete(writing, Buffer.from(key));
  }
}

function encodeNumber(number: number): Buffer {
  const bytes = Buffer.allocUnsafe(numberBytes);
  bytes.writeUIntBE(number, 0, numberBytes);
  return bytes;
}

function decodeRow(key: string, row: Buffer): StoreEntry {
  return { key, value: new Uint8Array(row.subarray(numberBytes)), revision: row.readUIntBE(0, numberBytes) };
}
