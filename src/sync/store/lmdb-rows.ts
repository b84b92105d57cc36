// Reading many rows of a database without keeping the event loop from its work.

import type { LmdbDatabase } from '../../base/lmdb-store.js';
import type { Turns } from '../../base/turns.js';
import { rangeOf } from './lmdb-keys.js';

/** So many rows, each perhaps of 60 KiB, are read at a time. */
const rowsAtATime = 256;

/** A row that was read: copies. */
export interface Row {
  readonly key: Buffer;
  readonly value: Buffer;
}

/** All rows whose keys begin with a number, some at a time; between two of these, other work runs. */
export async function* rowsOf(database: LmdbDatabase, number: number, turns: Turns): AsyncGenerator<Row[]> {
  const { end } = rangeOf(number);
  let { start } = rangeOf(number);
  for (;;) {
    const rows: Row[] = [];
    for (const { key, value } of database.getRange({ start, end, limit: rowsAtATime })) {
      rows.push({ key: Buffer.from(key), value });
    }
    yield rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < rowsAtATime) return;
    // The least key that is greater.
    start = Buffer.concat([last.key, Buffer.of(0)]);
    await turns.next();
  }
}
