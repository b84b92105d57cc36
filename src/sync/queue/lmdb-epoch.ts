// One part of a persistent queue: rows in the order of their numbers, values and contexts apart, and where the row of each document is.

import { HawserError } from '../../base/errors.js';
import { bytesOf, type LmdbDatabase, type LmdbStore } from '../../base/lmdb-store.js';
import {
  decodePlace,
  encodePlace,
  indexPrefix,
  keyOfRow,
  type Place,
  rowKey,
  rowOfKey,
  setState,
} from './lmdb-encoding.js';
import type { RowCounts } from './lmdb-state.js';

const parts = ['values', 'contexts', 'places', 'indices'] as const;

/** The databases of an epoch of that name. */
export function epochDatabases(name: string): string[] {
  return parts.map((part) => `${name}.${part}`);
}

const present = Buffer.of(1);
const afterAllRows = Buffer.alloc(7, 0xff);

/** A row and its number. */
export interface Row {
  readonly number: number;
  readonly isContext: boolean;
  readonly row: Buffer;
}

interface RowRange {
  readonly from?: number;
  readonly to?: number;
  readonly rows: number;
  readonly bytes: number;
  readonly isReverse?: boolean;
}

/** The rows of a database, one at a time. */
class RowSource {
  readonly #iterator: Iterator<{ readonly key: Uint8Array; readonly value: Buffer }>;
  row: Omit<Row, 'isContext'> | undefined;

  constructor(database: LmdbDatabase, range: Parameters<LmdbDatabase['getRange']>[0]) {
    this.#iterator = database.getRange(range)[Symbol.iterator]();
    this.next();
  }

  next(): void {
    const { done, value } = this.#iterator.next();
    this.row = done === true ? undefined : { number: rowOfKey(value.key), row: value.value };
  }

  close(): void {
    this.#iterator.return?.();
  }
}

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

  keys(): Buffer[] {
    return keysOf(this.places, {});
  }

  /** The first keys of an index, at most so many: of all, or of those after one. */
  keysOfIndex(index: string, limit: number, after?: Buffer): Buffer[] {
    const prefix = indexPrefix(index);
    const start = after === undefined ? prefix : Buffer.concat([after, Buffer.of(0)]);
    return keysOf(this.places, { start, end: afterPrefix(prefix), limit });
  }

  /** Whether one of the documents of an index is in such a place. */
  hasOfIndex(index: string, isMeant: (place: Place) => boolean): boolean {
    const prefix = indexPrefix(index);
    for (const { value } of this.places.getRange({ start: prefix, end: afterPrefix(prefix) })) {
      if (isMeant(decodePlace(value))) return true;
    }
    return false;
  }

  /** Its rows from a number to before another one, in order or in reverse: at most so many, and none after those that have so many bytes. */
  rows({ from = 0, to, rows, bytes, isReverse = false }: RowRange): Row[] {
    const low = rowKey(from);
    const high = to === undefined ? afterAllRows : rowKey(to);
    const range = isReverse ? { start: high, end: low, reverse: true } : { start: low, end: high };
    const sources = [this.values, this.contexts].map((database) => new RowSource(database, range));
    const found: Row[] = [];
    try {
      for (let room = bytes; found.length < rows && room > 0; ) {
        const [values, contexts] = sources.map((source) => source.row);
        if (values === undefined && contexts === undefined) break;
        const isContext =
          values === undefined || (contexts !== undefined && contexts.number < values.number !== isReverse);
        const next = isContext ? contexts : values;
        if (next === undefined) break;
        found.push({ ...next, isContext });
        room -= next.row.length;
        sources[isContext ? 1 : 0]?.next();
      }
    } finally {
      for (const source of sources) source.close();
    }
    return found;
  }

  /** Removes a row, and the place of its document if it is that of this row. */
  removeRow({ number, isContext, row }: Row): void {
    (isContext ? this.contexts : this.values).removeSync(rowKey(number));
    const key = keyOfRow(row);
    if (this.find(key)?.row === number) this.places.removeSync(key);
  }

  /** The row of that number, if there is one. */
  rowOfNumber(number: number): Row | undefined {
    for (const isContext of [false, true]) {
      const row = (isContext ? this.contexts : this.values).get(rowKey(number));
      if (row !== undefined) return { number, isContext, row };
    }
    return undefined;
  }

  /** How many rows there are of each kind. */
  get rowCounts(): RowCounts {
    return { values: countOf(this.values), contexts: countOf(this.contexts) };
  }

  /** The pages of its rows, in bytes: more than those have. */
  get pageBytes(): number {
    return bytesOf(this.values.getStats()) + bytesOf(this.contexts.getStats());
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
