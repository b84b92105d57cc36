// Transactions of a store as those of etcd.

import type { ICompare, IRequestOp, ITxnRequest, ITxnResponse } from 'etcd3';
import { type EtcdKeys, revisionOf } from './etcd-keys.js';
import type { Compare, StoreEntry, Transaction, Write } from './store.js';

/** etcd takes 128 of each kind in a transaction unless it is told otherwise. */
const maxMerged = 100;
/** etcd takes 1.5 MiB in a transaction unless it is told otherwise; long ones keep all others waiting. */
const maxMergedBytes = 524_288;

/** Transactions that become one of etcd: all of them are committed, or none is. None writes a key that another compares or writes. */
export class MergedTransactions {
  readonly #revisions = new Map<string, number>();
  readonly #transactions: Transaction[] = [];
  #writes = 0;
  #bytes = 0;
  /** Holds one that contradicts itself, and takes no other: its comparisons are not to be taken for one. */
  #isFull = false;

  /** @returns whether there was room for it, and its comparisons agree with those of the others. The first one always fits. */
  add(transaction: Transaction): boolean {
    const bytes = bytesOf(transaction);
    const isOdd = contradictsItself(transaction);
    const isFirst = this.#transactions.length === 0;
    if (!isFirst && (this.#isFull || isOdd || !this.#fits(transaction, bytes))) return false;
    this.#isFull = isOdd;
    this.#transactions.push(transaction);
    for (const { key, revision } of transaction.compare) this.#revisions.set(key, revision);
    this.#writes += transaction.writes.length;
    this.#bytes += bytes;
    return true;
  }

  /** The request for all of them; of a comparison that several have there is one. */
  request(keys: EtcdKeys, leaseIdOf: (write: Write) => string | undefined): ITxnRequest {
    const compare = Array.from(this.#revisions, ([key, revision]) => comparison(keys, { key, revision }));
    const success = this.#transactions.flatMap(({ writes }) =>
      writes.map((write) => operation(keys, write, leaseIdOf(write))),
    );
    return { compare, success };
  }

  #fits({ compare, writes }: Transaction, bytes: number): boolean {
    if (this.#writes + writes.length > maxMerged || this.#bytes + bytes > maxMergedBytes) return false;
    let compared = this.#revisions.size;
    for (const { key, revision } of compare) {
      const other = this.#revisions.get(key);
      if (other === undefined) ++compared;
      else if (other !== revision) return false;
    }
    return compared <= maxMerged;
  }
}

/** The request for one of them alone: when a comparison fails, it reads what is under the keys. */
export function singleRequest(
  keys: EtcdKeys,
  { compare, writes }: Transaction,
  leaseIdOf: (write: Write) => string | undefined,
): ITxnRequest {
  return {
    compare: compare.map((each) => comparison(keys, each)),
    success: writes.map((write) => operation(keys, write, leaseIdOf(write))),
    failure: compare.map(({ key }) => ({ request_range: { key: keys.key(key) } })),
  };
}

/** @returns what was under the keys when a comparison of a `singleRequest` failed. */
export function foundOf(keys: EtcdKeys, { responses }: ITxnResponse): (StoreEntry | undefined)[] {
  return responses.map(({ response_range }) => {
    const found = response_range.kvs[0];
    return found && keys.entryOf(found);
  });
}

/** The revision of a key that does not exist is 0 for etcd, too. */
export function comparison(keys: EtcdKeys, { key, revision }: Compare): ICompare {
  return { key: keys.key(key), target: 'Mod', result: 'Equal', mod_revision: revision };
}

function operation(keys: EtcdKeys, write: Write, leaseId: string | undefined): IRequestOp {
  switch (write.type) {
    case 'put': {
      const value = Buffer.from(write.value.buffer, write.value.byteOffset, write.value.byteLength);
      return { request_put: { key: keys.key(write.key), value, ...(leaseId && { lease: leaseId }) } };
    }
    case 'delete':
      return { request_delete_range: { key: keys.key(write.key) } };
    case 'deleteRange':
      return { request_delete_range: keys.range(write.from, write.to) };
  }
}

export function revisionOfTxn({ header }: ITxnResponse): number {
  return revisionOf(header.revision);
}

/** It compares a key with two revisions: it is never committed. */
function contradictsItself({ compare }: Transaction): boolean {
  const revisions = new Map(compare.map(({ key, revision }) => [key, revision]));
  return compare.some(({ key, revision }) => revisions.get(key) !== revision);
}

/** About what it takes in a request. */
function bytesOf({ compare, writes }: Transaction): number {
  let bytes = 0;
  for (const { key } of compare) bytes += key.length;
  for (const write of writes) {
    if (write.type === 'deleteRange') bytes += write.from.length + write.to.length;
    else bytes += write.key.length + (write.type === 'put' ? write.value.length : 0);
  }
  return bytes;
}
