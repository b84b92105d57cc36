// The changes of one transaction, taken before it begins: a million objects and byte arrays that live for a while would cost more than
// what is done with them.

import { documentHeaderBytes } from './lmdb-keys.js';

/** The first piece of memory: most commits are small. */
const firstBytes = 2 ** 14;

/** Where a change goes, whatever that is to its owner. */
export class ChangeBatch<T> {
  /** The rows of documents, one behind the other. */
  #bytes: Buffer = Buffer.allocUnsafeSlow(firstBytes);
  #used = 0;
  readonly #targets: T[] = [];
  readonly #ids: string[] = [];
  /** Where the row of each ends, which begins where the one before ends; that of a deletion is empty. */
  readonly #ends: number[] = [];
  /** Whether there can be no document of this id before it. */
  readonly #first: boolean[] = [];

  get length(): number {
    return this.#ends.length;
  }

  /** Of all rows. */
  get bytes(): number {
    return this.#used;
  }

  clear(): void {
    this.#used = 0;
    this.#targets.length = 0;
    this.#ids.length = 0;
    this.#ends.length = 0;
    this.#first.length = 0;
  }

  /** @param sha1 in latin1. @param data copied. @param isFirst no document of this id is there, nor is one before it in this batch. */
  upsert(target: T, id: string, version: bigint, sha1: string, data: Uint8Array, isFirst: boolean): void {
    const begin = this.#used;
    const end = begin + documentHeaderBytes + data.length;
    if (end > this.#bytes.length) this.#grow(end);
    this.#bytes.writeBigUInt64BE(version, begin);
    this.#bytes.write(sha1, begin + 8, 'latin1');
    this.#bytes.set(data, begin + documentHeaderBytes);
    this.#used = end;
    this.#push(target, id, isFirst);
  }

  delete(target: T, id: string): void {
    this.#push(target, id, false);
  }

  #push(target: T, id: string, isFirst: boolean): void {
    this.#targets.push(target);
    this.#ids.push(id);
    this.#ends.push(this.#used);
    this.#first.push(isFirst);
  }

  #grow(needed: number): void {
    const bytes = Buffer.allocUnsafeSlow(Math.max(2 * this.#bytes.length, needed));
    bytes.set(this.#bytes.subarray(0, this.#used));
    this.#bytes = bytes;
  }

  /**
   * Calls `visit` for each change, in their order.
   *
   * @param visit its `row`, header and data, is a view that is valid until `clear`; undefined for a deletion.
   */
  forEach(visit: (target: T, id: string, row: Buffer | undefined, isFirst: boolean) => void): void {
    let begin = 0;
    for (const [n, end] of this.#ends.entries()) {
      const target = this.#targets[n];
      if (target === undefined) return;
      const row = end === begin ? undefined : this.#bytes.subarray(begin, end);
      visit(target, this.#ids[n] ?? '', row, this.#first[n] ?? false);
      begin = end;
    }
  }
}
