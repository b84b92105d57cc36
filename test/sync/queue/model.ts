// The table of docs/sync.md, written down as it stands there: one list of rows, looked through from its start.

import type { Difference, DifferenceOperation } from '../../../src/sync/queue/queue.js';
import type { QueueKind } from './queues.js';

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
  readonly place: number;
}

interface Sealed {
  readonly items: string[];
  readonly size: number;
  readonly lastPlace: number;
  readonly isSent: boolean;
}

/** One list of rows with the columns of the table (docs/sync.md), and what was in it when it was sealed. */
export class Model {
  rows: ModelRow[] = [];
  sealed: Sealed | undefined;
  marks = 0;
  #places = 0;
  readonly #kind: QueueKind['name'];

  constructor(kind: QueueKind['name']) {
    this.#kind = kind;
  }

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
        create: operation === 'CREATE' ? 'NEW' : 'EXISTING',
        place: ++this.#places,
      });
      return;
    }
    if (operation === 'DELETE' && row.create === 'NEW' && row.status === 'PENDING') {
      this.rows.splice(this.rows.indexOf(row), 1);
      return;
    }
    if (operation === 'DELETE' && row.create === 'NEW') row.create = 'NEW_DELETED';
    if (operation !== 'DELETE' && row.create === 'NEW_DELETED') row.create = 'NEW';
    Object.assign(row, what);
    if (row.status === 'SYNCING') row.status = 'SYNCING_UPDATED';
  }

  /** Of the first rows, at most so many. */
  seal(most: number): void {
    const goes = this.rows.filter((row) => !row.isLong).slice(0, most);
    if (this.sealed !== undefined || goes.length === 0) return;
    const text = (row: ModelRow): string => {
      const operation = row.operation === 'DELETE' ? 'Delete' : 'Upsert';
      return `${row.isContext ? 'context' : `${operation} 0`} ${row.key} ${row.text}`;
    };
    const [values, contexts] = [goes.filter((row) => !row.isContext), goes.filter((row) => row.isContext)];
    this.sealed = {
      items: [...values, ...contexts].map(text),
      size: goes.length,
      lastPlace: Math.max(...goes.map((row) => row.place)),
      isSent: false,
    };
    for (const row of goes) row.status = 'SYNCING';
  }

  /** Of the sealed rows, or of all. */
  know(all: boolean): void {
    for (const row of this.rows) {
      if (all || row.status !== 'PENDING') row.create = 'EXISTING';
    }
    if (this.sealed !== undefined) this.sealed = { ...this.sealed, isSent: !all || this.sealed.isSent };
  }

  succeed(): void {
    this.sealed = undefined;
    this.rows = this.rows.filter((row) => row.status !== 'SYNCING');
    // What was sent is known to the manager now, whatever was made of it since.
    for (const row of this.rows) if (row.status === 'SYNCING_UPDATED') row.create = 'EXISTING';
    for (const row of this.rows) row.status = 'PENDING';
  }

  fail(): void {
    // The persistent one tells a DELETE of what was parked among rows that were sent once too often.
    const heard = this.#kind === 'LmdbQueue' && this.sealed?.isSent === true ? this.sealed.lastPlace : 0;
    for (const row of this.rows) if (row.place <= heard) row.create = 'EXISTING';
    this.sealed = undefined;
    for (const row of this.rows) row.status = 'PENDING';
    this.rows = this.rows.filter((row) => !(row.operation === 'DELETE' && row.create === 'NEW_DELETED'));
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
    const copy = new Model(this.#kind);
    copy.rows = this.rows.map((row) => ({ ...row }));
    copy.sealed = this.sealed;
    copy.marks = this.marks;
    copy.#places = this.#places;
    return copy;
  }

  waiting(): string[] {
    return this.rows
      .filter((row) => row.status !== 'SYNCING')
      .map((row) => `${row.isLong ? 'parked' : 'pending'} ${row.operation} ${row.key}`);
  }
}
