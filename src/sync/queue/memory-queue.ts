// The queue of an agent that keeps nothing on the disk: what it has is gone with the process.

import { checkInteger, checkOptions } from '../../base/check.js';
import { systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { type DataItem, limits } from '../wire/messages.js';
import type {
  Difference,
  PendingItem,
  QueueCounts,
  QueueMark,
  Snapshot,
  SnapshotLimits,
  SyncQueue,
} from './queue.js';
import {
  canBeNamed,
  checkDifferences,
  checkGeneration,
  checkIndex,
  checkMark,
  checkPendingOptions,
  checkSnapshotOptions,
  endedError,
  type FullDifference,
  type FullLimits,
  firstGeneration,
  itemOf,
  itemOverheadBytes,
  lowerLimits,
  merged,
  newNonce,
  restored,
  tooManyIndicesError,
} from './rows.js';

/** Options of a {@link MemoryQueue}. */
export interface MemoryQueueOptions {
  /** Unix milliseconds, from which the first generation is made. That of the machine by default. */
  readonly wallNow?: () => number;
  /**
   * The most items of one snapshot, thus of one session, 1 to 2^32; 1,000,000 by default. To be no more than what the manager takes from one
   * agent at a time.
   */
  readonly snapshotItems?: number;
  /** The same in bytes of messages, 1 to 2^40; 2^29 (512 MiB) by default. A single item goes always. */
  readonly snapshotBytes?: number;
}

interface Row {
  readonly difference: FullDifference;
  readonly isNew: boolean;
  /** Its place among all, by first insertion. */
  readonly order: number;
  /** The last mark before its document was last submitted. */
  readonly mark: number;
}

/** The rows of one part, by index and id. */
type Rows = Map<string, Row>;
type KeyedRow = readonly [string, Row];

interface Sealed {
  readonly rows: Rows;
  readonly nonce: bigint;
  readonly generation: bigint;
  readonly bytes: number;
  /** In the order in which they are sent. */
  readonly items: readonly DataItem[];
  readonly indices: readonly string[];
}

/**
 * A queue in memory, with the rules of the persistent one (`openQueue`) but for what outlives the process: nothing does. For tests, and for
 * agents that find all differences anew when they start.
 */
export class MemoryQueue implements SyncQueue {
  // The rows that wait, each in one of four parts. Those of `first` and `open` are in the order of their places, so that no snapshot has to
  // look for its rows.
  /** Those that have been in a snapshot before: their places are before all others. */
  #first: Rows = new Map();
  #open: Rows = new Map();
  /** What came meanwhile of documents of the snapshot. */
  #later: Rows = new Map();
  #parked: Rows = new Map();
  #sealed: Sealed | undefined;
  /** Of the values, with some of which perhaps nothing is left. */
  #indices: ReadonlySet<string> = new Set();
  #nextOrder = 0;
  #generation: bigint;
  #mark = 0;
  readonly #wallNow: () => number;
  readonly #snapshotLimits: FullLimits;
  /** From `beginFull` to `endFull`. */
  #isFull = false;
  #isClosed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: MemoryQueueOptions = {}) {
    checkOptions('options', options, ['wallNow', 'snapshotItems', 'snapshotBytes']);
    this.#snapshotLimits = checkSnapshotOptions(options);
    this.#wallNow = options.wallNow ?? systemClock.wallNow;
    this.#generation = firstGeneration(this.#wallNow());
  }

  /** How many differences wait. */
  get counts(): QueueCounts {
    return {
      pending: this.#first.size + this.#open.size + this.#later.size,
      syncing: this.#sealed?.rows.size ?? 0,
      parked: this.#parked.size,
    };
  }

  async submit(differences: readonly Difference[]): Promise<void> {
    this.#checkOpen();
    const checked = checkDifferences(differences);
    this.#checkIndices(checked);
    for (const difference of checked)
      this.#submitOne({ ...difference, data: new Uint8Array(difference.data) });
  }

  async fetchAndMarkForSync(limits: SnapshotLimits = {}): Promise<Snapshot | undefined> {
    this.#checkOpen();
    const most = lowerLimits(this.#snapshotLimits, limits);
    if (this.#sealed !== undefined) return this.#snapshotOf(this.#sealed, true);
    const { goes, bytes } = firstOf([this.#first, this.#open], most);
    if (goes.length === 0) return undefined;
    this.#sealed = this.#seal(goes, bytes);
    for (const [key] of goes) this.#first.delete(key) || this.#open.delete(key);
    return this.#snapshotOf(this.#sealed, false);
  }

  async markSent(snapshot: Snapshot): Promise<void> {
    this.#checkOpen();
    if (this.#isPresent(snapshot)) markOld(this.#sealed?.rows);
  }

  async markKnown(): Promise<void> {
    this.#checkOpen();
    for (const rows of this.#waiting) markOld(rows);
    markOld(this.#sealed?.rows);
  }

  async beginFull(): Promise<void> {
    await this.markKnown();
    this.#isFull = true;
  }

  async endFull(): Promise<void> {
    await this.markKnown();
    this.#isFull = false;
  }

  async clearSyncedItems(snapshot: Snapshot): Promise<void> {
    this.#checkOpen();
    if (!this.#isPresent(snapshot)) return;
    this.#sealed = undefined;
    const later = [...this.#later].sort(([, a], [, b]) => a.order - b.order);
    this.#later = new Map();
    this.#first = new Map([...later, ...this.#first]);
  }

  async resetSyncingItems(snapshot: Snapshot): Promise<void> {
    this.#checkOpen();
    if (this.#isPresent(snapshot)) this.#unseal();
  }

  async park(snapshot: Snapshot): Promise<void> {
    this.#checkOpen();
    if (!this.#isPresent(snapshot)) return;
    const keys = [...(this.#sealed?.rows.keys() ?? [])];
    const [only = ''] = keys;
    const isAlone = keys.length === 1 && this.#partOf(only) === undefined;
    this.#unseal();
    const row = this.#first.get(only);
    if (!isAlone || row === undefined) return;
    this.#first.delete(only);
    this.#parked.set(only, row);
  }

  async nextGeneration(): Promise<bigint> {
    this.#checkOpen();
    this.#generation += 1n;
    return this.#generation;
  }

  async raiseGeneration(least: bigint): Promise<void> {
    this.#checkOpen();
    const checked = checkGeneration(least, this.#wallNow());
    if (checked > this.#generation) this.#generation = checked;
  }

  async mark(): Promise<QueueMark> {
    this.#checkOpen();
    return { number: ++this.#mark };
  }

  async clearItemsByIndex(index: string, before?: QueueMark): Promise<number> {
    this.#checkOpen();
    checkIndex(index);
    const mark = before === undefined ? ++this.#mark : checkMark(before).number;
    if (before !== undefined) await this.markKnown();
    const sealed = [...(this.#sealed?.rows.values() ?? [])];
    // A snapshot does not change, and what is left of one must not come after what came later: there is none any more.
    if (sealed.some(({ difference }) => difference.index === index)) this.#unseal();
    let removed = 0;
    for (const rows of this.#waiting) {
      for (const [key, row] of rows) {
        if (row.difference.index === index && row.mark < mark && rows.delete(key)) ++removed;
      }
    }
    return removed;
  }

  fetchPendingItems(
    options: { readonly limit?: number; readonly onlyDataValues?: boolean } = {},
  ): PendingItem[] {
    this.#checkOpen();
    const { limit, onlyDataValues } = checkPendingOptions(options);
    const found = (parts: readonly Rows[], status: PendingItem['status']): FoundRow[] =>
      parts
        .flatMap((rows) => [...rows.values()])
        .filter(({ difference }) => !(onlyDataValues && difference.isContext))
        .map((row) => ({ row, status }));
    const byPlace = (a: FoundRow, b: FoundRow): number => a.row.order - b.row.order;
    const sealed = this.#sealed === undefined ? [] : [this.#sealed.rows];
    const goes = [...found([this.#first, this.#open, this.#later], 'pending'), ...found(sealed, 'syncing')];
    return [...goes.sort(byPlace), ...found([this.#parked], 'parked').sort(byPlace)]
      .slice(0, limit)
      .map(({ row: { difference }, status }) => ({
        difference: { ...difference, data: new Uint8Array(difference.data) },
        status,
      }));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const rows of this.#waiting) rows.clear();
    this.#sealed = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new HawserError('ERR_HAWSER_CLOSED', 'the queue is closed');
  }

  get #waiting(): readonly Rows[] {
    return [this.#first, this.#open, this.#later, this.#parked];
  }

  /** Where a document waits. */
  #partOf(key: string): Rows | undefined {
    return this.#waiting.find((rows) => rows.has(key));
  }

  #checkIndices(differences: readonly FullDifference[]): void {
    const names = new Set(this.#indices);
    for (const { index, isContext } of differences) if (!isContext) names.add(index);
    if (!canBeNamed(names)) {
      const parts = this.#sealed === undefined ? this.#waiting : [...this.#waiting, this.#sealed.rows];
      const rows = parts.flatMap((part) => [...part.values()]);
      names.clear();
      for (const name of indicesOf([...rows, ...differences.map((difference) => ({ difference }))]))
        names.add(name);
      if (!canBeNamed(names)) throw tooManyIndicesError();
    }
    this.#indices = names;
  }

  #submitOne(difference: FullDifference): void {
    const key = keyOf(difference);
    const part = this.#partOf(key);
    const waiting = part?.get(key);
    const sealed = this.#sealed?.rows.get(key);
    const result = merged(waiting && stateOf(waiting), sealed !== undefined, difference.operation);
    const to = this.#target(difference, part, sealed !== undefined);
    if (result === undefined || part !== to) part?.delete(key);
    if (result === undefined) return;
    // A document keeps the place of its first row, also when that is being sent; what was parked comes behind the others.
    const present = part === this.#parked && to === this.#open ? undefined : (waiting ?? sealed);
    const order = present?.order ?? this.#nextOrder++;
    to.set(key, { difference, isNew: result.isNew && !this.#isFull, order, mark: this.#mark });
  }

  /** @param part where the document waits. */
  #target({ data }: FullDifference, part: Rows | undefined, isSealed: boolean): Rows {
    if (data.length > limits.dataBytes) return this.#parked;
    if (isSealed) return this.#later;
    return part === undefined || part === this.#parked ? this.#open : part;
  }

  #isPresent({ nonce }: { readonly nonce: bigint }): boolean {
    return this.#sealed?.nonce === nonce;
  }

  /** @param rows in the order of their places. */
  #seal(rows: readonly KeyedRow[], bytes: number): Sealed {
    const values = rows.map(([, row]) => row).filter(({ difference }) => !difference.isContext);
    const contexts = rows.map(([, row]) => row).filter(({ difference }) => difference.isContext);
    this.#generation += 1n;
    return {
      rows: new Map(rows),
      nonce: newNonce(),
      generation: this.#generation,
      bytes,
      items: [...values, ...contexts].map(({ difference }) => itemOf(difference)),
      indices: indicesOf(values),
    };
  }

  /** The snapshot is none any more: its rows wait again, merged with what came meanwhile. */
  #unseal(): void {
    const before: KeyedRow[] = [];
    for (const [key, row] of this.#sealed?.rows ?? []) {
      const isParked = this.#parked.has(key);
      const later = isParked ? this.#parked.get(key) : this.#later.get(key);
      const result = later === undefined ? stateOf(row) : restored(stateOf(row), stateOf(later));
      if (result === undefined) this.#parked.delete(key);
      else {
        const left = { ...(later ?? row), isNew: result.isNew, order: row.order };
        if (isParked) this.#parked.set(key, left);
        else before.push([key, left]);
      }
    }
    this.#sealed = undefined;
    this.#later = new Map();
    this.#first = new Map([...before, ...this.#first]);
  }

  #snapshotOf(sealed: Sealed, resumed: boolean): Snapshot {
    const { nonce, generation, bytes, items, indices } = sealed;
    const isPresent = (): boolean => this.#isPresent(sealed);
    return {
      nonce,
      generation,
      size: items.length,
      bytes,
      indices,
      resumed,
      *items(fromSeq = 0) {
        for (let seq = checkInteger('fromSeq', fromSeq, 0, items.length); seq < items.length; ++seq) {
          const item = items[seq];
          if (item === undefined || !isPresent()) throw endedError();
          yield item;
        }
      },
    };
  }
}

interface FoundRow {
  readonly row: Row;
  readonly status: PendingItem['status'];
}

/** The first rows of parts, one after the other: as many as a snapshot may have. */
function firstOf(parts: readonly Rows[], most: FullLimits): { goes: KeyedRow[]; bytes: number } {
  let bytes = 0;
  const goes: KeyedRow[] = [];
  for (const rows of parts) {
    for (const each of rows) {
      const { index, id, data } = each[1].difference;
      const more = bytes + Buffer.byteLength(index) + Buffer.byteLength(id) + data.length + itemOverheadBytes;
      if (goes.length === most.items || (goes.length > 0 && more > most.bytes)) return { goes, bytes };
      goes.push(each);
      bytes = more;
    }
  }
  return { goes, bytes };
}

function keyOf({ index, id }: Difference): string {
  return `${index.length} ${index}${id}`;
}

function stateOf({ difference, isNew }: Row): {
  readonly operation: Difference['operation'];
  readonly isNew: boolean;
} {
  return { operation: difference.operation, isNew };
}

function markOld(rows: Rows = new Map()): void {
  for (const [key, row] of rows) if (row.isNew) rows.set(key, { ...row, isNew: false });
}

function indicesOf(rows: readonly { readonly difference: FullDifference }[]): string[] {
  const indices = new Set<string>();
  for (const { difference } of rows) if (!difference.isContext) indices.add(difference.index);
  return [...indices].sort();
}
