// The snapshot of a persistent queue: its items are read from the disk as they are asked for.

import { checkInteger } from '../../base/check.js';
import type { LmdbDatabase } from '../../base/lmdb-store.js';
import type { DataItem } from '../wire/messages.js';
import type { Sealed } from './lmdb-changes.js';
import { decodeItem, rowKey, rowOfKey } from './lmdb-encoding.js';
import { isBytes, missingError, toBuffer } from './lmdb-epoch.js';
import type { Snapshot } from './queue.js';
import { endedError } from './rows.js';

/** So many rows are read at a time, and so far apart are the places that are remembered. */
const blockRows = 256;

export class LmdbSnapshot implements Snapshot {
  readonly nonce: bigint;
  readonly generation: bigint;
  readonly size: number;
  readonly bytes: number;
  readonly indices: readonly string[];
  readonly resumed: boolean;
  readonly #values: RowList;
  readonly #contexts: RowList;
  readonly #isPresent: () => boolean;

  /** @param isPresent whether the queue has this snapshot still. */
  constructor(sealed: Sealed, resumed: boolean, isPresent: () => boolean) {
    this.nonce = sealed.nonce;
    this.generation = sealed.generation;
    const { epoch, fromRow, values, contexts } = sealed;
    this.#values = new RowList(epoch.values, fromRow, values);
    this.#contexts = new RowList(epoch.contexts, fromRow, contexts);
    this.size = values + contexts;
    this.bytes = sealed.bytes;
    this.indices = sealed.indices;
    this.resumed = resumed;
    this.#isPresent = isPresent;
  }

  *items(fromSeq = 0): Generator<DataItem, void> {
    for (let seq = checkInteger('fromSeq', fromSeq, 0, this.size); seq < this.size; ) {
      if (!this.#isPresent()) throw endedError();
      const values = this.#values.length;
      const rows = seq < values ? this.#values.block(seq) : this.#contexts.block(seq - values);
      seq += rows.length;
      for (const row of rows) yield decodeItem(row);
    }
  }
}

/** Rows of a database that do not change, one after the other, by their places among them. */
class RowList {
  readonly length: number;
  readonly #database: LmdbDatabase;
  /** From which row on block n is. */
  readonly #starts: number[];

  /** @param fromRow all rows are those from this number on, so many. */
  constructor(database: LmdbDatabase, fromRow: number, length: number) {
    this.#database = database;
    this.#starts = [fromRow];
    this.length = length;
  }

  /** The rows from a place to the end of its block. */
  block(place: number): Buffer[] {
    const number = Math.floor(place / blockRows);
    const start = rowKey(this.#startOf(number));
    const offset = place % blockRows;
    const rows: Buffer[] = [];
    let last: unknown;
    const limit = Math.min(blockRows - offset, this.length - place);
    for (const { key, value } of this.#database.getRange({ start, offset, limit })) {
      last = key;
      rows.push(value);
    }
    if (rows.length === 0 || !isBytes(last)) throw missingError();
    this.#starts[number + 1] ??= rowOfKey(last) + 1;
    return rows;
  }

  #startOf(number: number): number {
    for (let known = this.#starts.length; known <= number; ++known) {
      const start = rowKey(this.#starts[known - 1] ?? 0);
      const [key] = this.#database.getKeys({ start, offset: blockRows, limit: 1 });
      if (!isBytes(key)) throw missingError();
      this.#starts.push(rowOfKey(toBuffer(key)));
    }
    return this.#starts[number] ?? 0;
  }
}
