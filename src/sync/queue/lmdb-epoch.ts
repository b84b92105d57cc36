// One part of a persistent queue: rows in the order of their numbers, values and contexts apart, and where the row of each document is.

import { HawserError } from '../../base/errors.js';
import type { LmdbDatabase, LmdbStore } from '../../base/lmdb-store.js';
import {
  decodePlace,
  encodePlace,
  indexOfKey,
  indexPrefix,
  keyOfRow,
  type Place,
  rowKey,
  rowOfKey,
  setState,
} from './lmdb-encoding.js';

const parts = ['values', 'contexts', 'places', 'indices'] as const;

/** The databases of an epoch of that name. */
export function epochDatabases(name: string): string[] {
  return parts.map((part) => `${name}.${part}`);
}

const present = Buffer.of(1);

/** All methods that change something are for transactions only. */
export class Epoch {
  readonly values: LmdbDatabase;
  readonly contexts: LmdbDatabase;
  /** Of each document, by its key. */
  readonly places: LmdbDatabase;
  /** The names of the indices of its values; of some of them perhaps nothing is left. */
  readonly indices: LmdbDatabase;

  constructor(store: LmdbStore, name: string) {
    this.values = store.database(`${name}.values`);
    this.contexts = store.database(`${name}.contexts`);
    this.places = store.database(`${name}.places`);
    this.indices = store.database(`${name}.indices`);
  }

  get count(): number {
    return countOf(this.places);
  }

  find(key: Buffer): Place | undefined {
    const bytes = this.places.getBinaryFast(key);
    return bytes === undefined ? undefined : decodePlace(bytes);
  }

  has(key: Buffer): boolean {
    return this.places.getBinaryFast(key) !== undefined;
  }

  /** Writes a row where there is none, or in the same place. @param row its flags become those of the place. */
  put(key: Buffer, place: Place, row: Buffer): void {
    setState(row, place);
    this.#rows(place).putSync(rowKey(place.row), row);
    this.places.putSync(key, encodePlace(place));
  }

  remove(key: Buffer, place: Place): void {
    this.#rows(place).removeSync(rowKey(place.row));
    this.places.removeSync(key);
  }

  /** The row of a place: a copy. */
  rowAt(place: Place): Buffer | undefined {
    return this.#rows(place).get(rowKey(place.row));
  }

  #rows(place: Place): LmdbDatabase {
    return place.isContext ? this.contexts : this.values;
  }

  /** The first keys, at most so many. */
  firstKeys(limit: number): Buffer[] {
    return keysOf(this.places, { limit });
  }

  /** The first keys of an index, at most so many: of all, or of those after one. */
  keysOfIndex(index: string, limit: number, after?: Buffer): Buffer[] {
    const prefix = indexPrefix(index);
    const start = after === undefined ? prefix : Buffer.concat([after, Buffer.of(0)]);
    return keysOf(this.places, { start, end: afterPrefix(prefix), limit });
  }

  /** Moves its first rows to another epoch, at most so many. @returns how many. */
  moveFirst(to: Epoch, limit: number): number {
    const first = [this.values, this.contexts].flatMap((database) =>
      keysOf(database, { limit }).map((number) => ({ database, number })),
    );
    first.sort((a, b) => Buffer.compare(a.number, b.number));
    let name: string | undefined;
    const moved = first.slice(0, limit);
    for (const { database, number } of moved) {
      const row = database.get(number);
      if (row === undefined) throw missingError();
      const key = keyOfRow(row);
      const place = this.find(key);
      if (place === undefined) throw missingError();
      this.remove(key, place);
      to.put(key, place, row);
      const index = indexOfKey(key);
      if (place.isContext || index === name) continue;
      to.addIndex(index);
      name = index;
    }
    return moved.length;
  }

  /** The number of its last row; 0 where there is none. */
  get lastRow(): number {
    const last = [this.values, this.contexts].flatMap((database) =>
      keysOf(database, { reverse: true, limit: 1 }),
    );
    return Math.max(0, ...last.map(rowOfKey));
  }

  addIndex(index: string): void {
    this.indices.putSync(Buffer.from(index), present);
  }

  hasIndex(index: string): boolean {
    return this.indices.getBinaryFast(Buffer.from(index)) !== undefined;
  }

  removeIndex(index: string): void {
    this.indices.removeSync(Buffer.from(index));
  }

  /** Sorted by the bytes of their UTF-8. */
  indexNames(): string[] {
    return [...this.indices.getKeys()].filter(isBytes).map((bytes) => toBuffer(bytes).toString());
  }

  clear(): void {
    for (const database of [this.values, this.contexts, this.places, this.indices]) database.clearSync();
  }
}

/** How many entries a database has. */
export function countOf(database: LmdbDatabase): number {
  const stats: object = database.getStats();
  return 'entryCount' in stats && typeof stats.entryCount === 'number' ? stats.entryCount : 0;
}

function keysOf(database: LmdbDatabase, range: Parameters<LmdbDatabase['getKeys']>[0]): Buffer[] {
  return [...database.getKeys(range)].filter(isBytes).map(toBuffer);
}

/** The store is not what it was when it was written. */
export function missingError(): HawserError {
  return new HawserError('ERR_HAWSER_STORE', 'rows of the queue are missing');
}

/** The least key that is greater than all that begin with the prefix, whose first byte is never 255. */
function afterPrefix(prefix: Buffer): Buffer {
  let length = prefix.length;
  while (prefix[length - 1] === 0xff) --length;
  const after = Buffer.from(prefix.subarray(0, length));
  after[length - 1] = (after[length - 1] ?? 0) + 1;
  return after;
}

export function isBytes(key: unknown): key is Uint8Array {
  return key instanceof Uint8Array;
}

export function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
