// What a commit changes in the sorted index of checksums, gathered so that it can be written in the order of the index: at random places,
// each change would write a page of its own.

import type { LmdbDatabase } from '../../base/lmdb-store.js';
import { numberBytes } from './lmdb-keys.js';

/** What is gathered at most: entries, and bytes of their keys. */
const maxEntries = 2 ** 20;
const maxBytes = 2 ** 25;
/** The first piece of memory, for the many commits that are small, and the others. */
const firstPieceBytes = 2 ** 13;
const pieceBytes = 2 ** 20;

const nothing = Buffer.alloc(0);

/** More entries than there ever are, so that place and age are one number: of 32 and 21 bits. */
const maxOrdinal = 2 ** 21;

/** Keys to add and to remove. Of two changes of the same key, the later one counts. */
export class ChecksumChanges {
  /** The keys, one behind the other; none is in two pieces. */
  readonly #pieces: Buffer[] = [];
  /** How many bytes of the last piece are used. */
  #used = 0;
  #bytes = 0;
  /** Where each key begins, in pieces of `pieceBytes`. */
  readonly #begins: number[] = [];
  /** Its length, less than 0 for a key to remove. */
  readonly #lengths: number[] = [];
  /** The entries by the first byte of the SHA-1, each as a number that sorts by its next bytes and then by age. */
  #buckets: number[][] = [];
  /** The entries in the order of the index, as far as they were asked for: to sort all at once would take long. */
  #order: number[] = [];
  #sortedBuckets = 0;

  get length(): number {
    return this.#begins.length;
  }

  /** It is time to write them. */
  get full(): boolean {
    return this.length >= maxEntries || this.#bytes >= maxBytes;
  }

  /** @param key is copied. */
  push(key: Buffer, added: boolean): void {
    let piece = this.#pieces.at(-1);
    if (piece === undefined || this.#used + key.length > piece.length) {
      piece = Buffer.allocUnsafeSlow(piece === undefined ? firstPieceBytes : pieceBytes);
      this.#pieces.push(piece);
      this.#used = 0;
    }
    piece.set(key, this.#used);
    this.#begins.push((this.#pieces.length - 1) * pieceBytes + this.#used);
    this.#lengths.push(added ? key.length : -key.length);
    this.#used += key.length;
    this.#bytes += key.length;
    this.#file(key, this.length - 1);
    this.#forgetOrder();
  }

  #file(key: Buffer, entry: number): void {
    const first = key[numberBytes] ?? 0;
    const bucket = this.#buckets[first];
    // By 32 bits, which is near enough.
    const place = key.readUInt32BE(numberBytes + 1) * maxOrdinal + entry;
    if (bucket === undefined) this.#buckets[first] = [place];
    else bucket.push(place);
  }

  #forgetOrder(): void {
    if (this.#sortedBuckets === 0) return;
    this.#order = [];
    this.#sortedBuckets = 0;
  }

  /** Takes back all but the first `length`: of a transaction that is run again. */
  rewind(length: number): void {
    if (this.length === length) return;
    this.#begins.length = length;
    this.#lengths.length = length;
    this.#buckets = this.#buckets.map((bucket) => bucket.filter((place) => place % maxOrdinal < length));
    this.#forgetOrder();
  }

  /** Within a transaction: writes those from one place of the sorted order to another. */
  write(database: LmdbDatabase, begin: number, end: number): void {
    while (this.#order.length < end && this.#sortedBuckets < this.#buckets.length) this.#sortBucket();
    for (const entry of this.#order.slice(begin, end)) {
      const key = this.#key(entry);
      if ((this.#lengths[entry] ?? 0) > 0) database.putSync(key, nothing);
      else database.removeSync(key);
    }
  }

  clear(): void {
    this.rewind(0);
    this.#pieces.length = 0;
    this.#used = 0;
    this.#bytes = 0;
  }

  #sortBucket(): void {
    const bucket = Float64Array.from(this.#buckets[this.#sortedBuckets++] ?? []).sort();
    for (const place of bucket) this.#order.push(place % maxOrdinal);
  }

  #key(entry: number): Buffer {
    const begin = this.#begins[entry] ?? 0;
    const offset = begin % pieceBytes;
    const piece = this.#pieces[(begin - offset) / pieceBytes] ?? nothing;
    return piece.subarray(offset, offset + Math.abs(this.#lengths[entry] ?? 0));
  }
}
