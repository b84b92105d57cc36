// The table of docs/sync.md, written down as it stands there: one list of rows, looked through from its start.

import type { Difference, DifferenceOperation } from '../../../src/sync/queue/queue.js';
import { itemOverheadBytes } from '../../../src/sync/queue/rows.js';

type Status = 'PENDING' | 'SYNCING' | 'SYNCING_UPDATED';

export interface ModelRow {
  readonly key: string;
  operation: DifferenceOperation;
  text: string;
  isContext: boolean;
  isLong: boolean;
  status: Status;
  create: 'EXISTING' | 'NEW' | 'NEW_DELETED';
  /** The last mark before it was last submitted. */
  mark: number;
}

interface Sealed {
  readonly items: string[];
  readonly size: number;
}

/** One list of rows with the columns of the table (docs/sync.md), and what was in it when it was sealed. */
export class Model {
  rows: ModelRow[] = [];
  sealed: Sealed | undefined;
  marks = 0;
  /** Whether a FULL is under way. */
  isFull = false;

  submit({ index, id, operation, data, isContext = false }: Difference): void {
    const key = `${index}/${id}`;
    const text = Buffer.from(data).toString();
    const what = { operation, text, isContext, isLong: data.length > 61_440, mark: this.marks };
    const row = this.rows.find((each) => each.key === key);
    if (row === undefined) {
      this.rows.push({
        key,
        ...what,
        status: 'PENDING',
        create: operation === 'CREATE' && !this.isFull ? 'NEW' : 'EXISTING',
      });
      return;
    }
    if (operation === 'DELETE' && row.create === 'NEW' && row.status === 'PENDING') {
      this.rows.splice(this.rows.indexOf(row), 1);
      return;
    }
    if (operation === 'DELETE' && row.create === 'NEW') row.create = 'NEW_DELETED';
    if (operation !== 'DELETE' && row.create === 'NEW_DELETED') row.create = 'NEW';
    // What was parked comes behind the others.
    if (row.isLong && !what.isLong && row.status === 'PENDING') {
      this.rows.push(...this.rows.splice(this.rows.indexOf(row), 1));
    }
    Object.assign(row, what);
    if (row.status === 'SYNCING') row.status = 'SYNCING_UPDATED';
  }

  /** Of the first rows, at most so many, and so many bytes, but one. */
  seal(most: number, mostBytes = Infinity): void {
    const goes: ModelRow[] = [];
    let room = mostBytes;
    for (const row of this.rows.filter(({ isLong }) => !isLong)) {
      room -= row.key.length - 1 + row.text.length + itemOverheadBytes;
      if (goes.length === most || (goes.length > 0 && room < 0)) break;
      goes.push(row);
    }
    if (this.sealed !== undefined || goes.length === 0) return;
    const text = (row: ModelRow): string => {
      const operation = row.operation === 'DELETE' ? 'Delete' : 'Upsert';
      return `${row.isContext ? 'context' : `${operation} 0`} ${row.key} ${row.text}`;
    };
    const [values, contexts] = [goes.filter((row) => !row.isContext), goes.filter((row) => row.isContext)];
    this.sealed = {
      items: [...values, ...contexts].map(text),
      size: goes.length,
    };
    for (const row of goes) row.status = 'SYNCING';
  }

  /** Of the sealed rows, or of all. */
  know(all: boolean): void {
    for (const row of this.rows) {
      if (all || row.status !== 'PENDING') row.create = 'EXISTING';
    }
  }

  full(isFull: boolean): void {
    this.know(true);
    this.isFull = isFull;
  }

  succeed(): void {
    this.sealed = undefined;
    this.rows = this.rows.filter((row) => row.status !== 'SYNCING');
    // What was sent is known to the manager now, whatever was made of it since.
    for (const row of this.rows) if (row.status === 'SYNCING_UPDATED') row.create = 'EXISTING';
    for (const row of this.rows) row.status = 'PENDING';
  }

  fail(): void {
    this.sealed = undefined;
    for (const row of this.rows) row.status = 'PENDING';
    this.rows = this.rows.filter((row) => !(row.operation === 'DELETE' && row.create === 'NEW_DELETED'));
  }

  /** As `fail`; the row of a snapshot that has one only is parked, unless it was changed meanwhile. */
  park(): void {
    const [only, ...others] = this.rows.filter((row) => row.status !== 'PENDING');
    const isAlone = only?.status === 'SYNCING' && others.length === 0;
    this.fail();
    if (only !== undefined && isAlone) only.isLong = true;
  }

  /** A snapshot with documents of the index is none any more. @returns how many were removed. */
  removeIndex(index: string, before?: number): number {
    if (before !== undefined) this.know(true);
    if (this.sealed?.items.some((item) => item.includes(` ${index}/`))) this.fail();
    const goes = this.rows.filter(
      (row) => row.key.startsWith(`${index}/`) && row.mark < (before ?? Infinity),
    );
    this.rows = this.rows.filter((row) => !goes.includes(row));
    return goes.length;
  }

  copy(): Model {
    const copy = new Model();
    copy.rows = this.rows.map((row) => ({ ...row }));
    copy.sealed = this.sealed;
    copy.marks = this.marks;
    copy.isFull = this.isFull;
    return copy;
  }

  /** What is parked at the end, in any order. */
  waiting(): string[] {
    const rows = this.rows.filter((row) => row.status !== 'SYNCING');
    const parked = rows.filter((row) => row.isLong).sort((a, b) => (a.key < b.key ? -1 : 1));
    return [...rows.filter((row) => !row.isLong), ...parked].map(
      (row) => `${row.isLong ? 'parked' : 'pending'} ${row.operation} ${row.key}`,
    );
  }
}
