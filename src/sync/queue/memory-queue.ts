// The queue of an agent that keeps nothing on the disk: what it has is gone with the process.

import { checkInteger, checkOptions } from '../../base/check.js';
import { systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { type DataItem, limits } from '../wire/messages.js';
import type { Difference, PendingItem, QueueCounts, QueueMark, Snapshot, SyncQueue } from './queue.js';
import {
  canBeNamed,
  checkDifferences,
  checkGeneration,
  checkIndex,
  checkMark,
  checkPendingOptions,
  checkSnapshotItems,
  endedError,
  type FullDifference,
  firstGeneration,
  itemOf,
  merged,
  newNonce,
  restored,
  tooManyIndicesError,
} from './rows.js';

export interface MemoryQueueOptions {
  /** Unix milliseconds, from which the first generation is made. That of the machine by default. */
  readonly wallNow?: () => number;
  /**
   * The most items of one snapshot, thus of one session, 1 to 2^32; 1,000,000 by default. To be no more than what the manager takes from one
   * agent at a time.
   */
  readonly snapshotItems?: number;
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

interface Sealed {
  readonly rows: Rows;
  readonly nonce: bigint;
  readonly generation: bigint;
  /** In the order in which they are sent. */
  readonly items: readonly DataItem[];
  readonly indices: readonly string[];
}

/**
 * A queue in memory, with the rules of the persistent one (`openQueue`) but for what outlives the process: nothing does. For tests, and for
 * agents that find all differences anew when they start.
 */
export class MemoryQueue implements SyncQueue {
  #open: Rows = new Map();
  #sealed: Sealed | undefined;
  /** Of the values, with some of which perhaps nothing is left. */
  #indices: ReadonlySet<string> = new Set();
  #nextOrder = 0;
  #generation: bigint;
  #mark = 0;
  readonly #snapshotItems: number;
  /** From `beginFull` to `endFull`. */
  #isFull = false;
  #isClosed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: MemoryQueueOptions = {}) {
    checkOptions('options', options, ['wallNow', 'snapshotItems']);
    this.#snapshotItems = checkSnapshotItems(options.snapshotItems);
    this.#generation = firstGeneration((options.wallNow ?? systemClock.wallNow)());
  }

  get counts(): QueueCounts {
    let parked = 0;
    for (const row of this.#open.values()) if (isParked(row)) ++parked;
    return { pending: this.#open.size - parked, syncing: this.#sealed?.rows.size ?? 0, parked };
  }

  async submit(differences: readonly Difference[]): Promise<void> {
    this.#checkOpen();
    const checked = checkDifferences(differences);
    this.#checkIndices(checked);
    for (const difference of checked)
      this.#submitOne({ ...difference, data: new Uint8Array(difference.data) });
  }

  async fetchAndMarkForSync(): Promise<Snapshot | undefined> {
    this.#checkOpen();
    if (this.#sealed !== undefined) return this.#snapshotOf(this.#sealed, true);
    const rows = [...this.#open.entries()].sort(([, a], [, b]) => a.order - b.order);
    const goes = rows.filter(([, row]) => !isParked(row)).slice(0, this.#snapshotItems);
    if (goes.length === 0) return undefined;
    this.#sealed = this.#seal(goes);
    for (const [key] of goes) this.#open.delete(key);
    return this.#snapshotOf(this.#sealed, false);
  }

  async markSent(snapshot: Snapshot): Promise<void> {
    this.#checkOpen();
    if (this.#isPresent(snapshot)) markOld(this.#sealed?.rows);
  }

  async markKnown(): Promise<void> {
    this.#checkOpen();
    markOld(this.#open);
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
    if (this.#isPresent(snapshot)) this.#sealed = undefined;
  }

  async resetSyncingItems(snapshot: Snapshot): Promise<void> {
    this.#checkOpen();
    if (this.#isPresent(snapshot)) this.#unseal();
  }

  async nextGeneration(): Promise<bigint> {
    this.#checkOpen();
    this.#generation += 1n;
    return this.#generation;
  }

  async raiseGeneration(least: bigint): Promise<void> {
    this.#checkOpen();
    const checked = checkGeneration(least);
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
    const goes = [...this.#open].filter(([, row]) => row.difference.index === index && row.mark < mark);
    for (const [key] of goes) this.#open.delete(key);
    return goes.length;
  }

  fetchPendingItems(
    options: { readonly limit?: number; readonly onlyDataValues?: boolean } = {},
  ): PendingItem[] {
    this.#checkOpen();
    const { limit, onlyDataValues } = checkPendingOptions(options);
    const statusOf = (row: Row): PendingItem['status'] => (isParked(row) ? 'parked' : 'pending');
    const found = [
      ...[...this.#open.values()].map((row) => ({ row, status: statusOf(row) })),
      ...[...(this.#sealed?.rows.values() ?? [])].map((row) => ({ row, status: 'syncing' as const })),
    ];
    return found
      .filter(({ row }) => !(onlyDataValues && row.difference.isContext))
      .sort((a, b) => a.row.order - b.row.order)
      .slice(0, limit)
      .map(({ row: { difference }, status }) => ({
        difference: { ...difference, data: new Uint8Array(difference.data) },
        status,
      }));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#open = new Map();
    this.#sealed = undefined;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new HawserError('ERR_HAWSER_CLOSED', 'the queue is closed');
  }

  #checkIndices(differences: readonly FullDifference[]): void {
    const names = new Set(this.#indices);
    for (const { index, isContext } of differences) if (!isContext) names.add(index);
    if (!canBeNamed(names)) {
      const rows = [...this.#open.values(), ...(this.#sealed?.rows.values() ?? [])];
      names.clear();
      for (const name of indicesOf([...rows, ...differences.map((difference) => ({ difference }))]))
        names.add(name);
      if (!canBeNamed(names)) throw tooManyIndicesError();
    }
    this.#indices = names;
  }

  #submitOne(difference: FullDifference): void {
    const key = keyOf(difference);
    const waiting = this.#open.get(key);
    const sealed = this.#sealed?.rows.get(key);
    const result = merged(waiting && stateOf(waiting), sealed !== undefined, difference.operation);
    if (result === undefined) {
      this.#open.delete(key);
      return;
    }
    // A document keeps the place of its first row, also when that is being sent.
    const order = (waiting ?? sealed)?.order ?? this.#nextOrder++;
    const isNew = result.isNew && !this.#isFull;
    this.#open.set(key, { difference, isNew, order, mark: this.#mark });
  }

  #isPresent({ nonce }: { readonly nonce: bigint }): boolean {
    return this.#sealed?.nonce === nonce;
  }

  /** @param rows in the order of their places. */
  #seal(rows: readonly (readonly [string, Row])[]): Sealed {
    const values = rows.map(([, row]) => row).filter(({ difference }) => !difference.isContext);
    const contexts = rows.map(([, row]) => row).filter(({ difference }) => difference.isContext);
    this.#generation += 1n;
    return {
      rows: new Map(rows),
      nonce: newNonce(),
      generation: this.#generation,
      items: [...values, ...contexts].map(({ difference }) => itemOf(difference)),
      indices: indicesOf(values),
    };
  }

  /** The snapshot is none any more: its rows wait again, merged with what came meanwhile. */
  #unseal(): void {
    const sealed = this.#sealed?.rows ?? new Map<string, Row>();
    this.#sealed = undefined;
    for (const [key, row] of sealed) {
      const later = this.#open.get(key);
      const result = later === undefined ? stateOf(row) : restored(stateOf(row), stateOf(later));
      if (result === undefined) this.#open.delete(key);
      else this.#open.set(key, { ...(later ?? row), isNew: result.isNew, order: row.order });
    }
  }

  #snapshotOf(sealed: Sealed, resumed: boolean): Snapshot {
    const { nonce, generation, items, indices } = sealed;
    const isPresent = (): boolean => this.#isPresent(sealed);
    return {
      nonce,
      generation,
      size: items.length,
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

function keyOf({ index, id }: Difference): string {
  return `${index.length} ${index}${id}`;
}

function isParked({ difference }: Row): boolean {
  return difference.data.length > limits.dataBytes;
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
