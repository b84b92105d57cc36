// What happens to the rows of a persistent queue within a transaction.

import type { LmdbStore } from '../../base/lmdb-store.js';
import { limits } from '../wire/messages.js';
import { type EncodedRow, indexOfRow, itemBytesOf, keyOfRow, type Place } from './lmdb-encoding.js';
import { Epoch, type Row } from './lmdb-epoch.js';
import { QueueRecords } from './lmdb-records.js';
import {
  noRows,
  otherNumber,
  type QueueState,
  type RowCounts,
  type SealedState,
  totalOf,
} from './lmdb-state.js';
import {
  canBeNamed,
  type FullLimits,
  itemOverheadBytes,
  merged,
  newNonce,
  restored,
  tooManyIndicesError,
} from './rows.js';

/** How much one step of what takes several may have: then other work is done. */
const stepLimits = { rows: 2048, bytes: 2 ** 20 } as const;

/** A snapshot, and where its rows are. */
export type Sealed = SealedState & {
  readonly epoch: Epoch;
  readonly fromRow: number;
  /** Those of its values. */
  readonly indices: readonly string[];
};

/** What has been looked through for a snapshot. */
export interface Scanned extends RowCounts {
  readonly endRow: number;
  readonly bytes: number;
  readonly valueIndices: ReadonlySet<string>;
  readonly contextIndices: ReadonlySet<string>;
  /** Whether it is all that there is, or all that a snapshot may have. */
  readonly isOver: boolean;
}

interface Removed {
  readonly removed: number;
  readonly last: Buffer | undefined;
}

/** The databases of a queue and what can be done to them; each method that changes something is a step of a transaction. */
export class QueueChanges {
  readonly records: QueueRecords;
  readonly #epochs: readonly [Epoch, Epoch];
  /** Rows too long for any message. */
  readonly parked: Epoch;
  /** While a snapshot is being made: rows that have been looked at change no more. */
  #isScanning = false;
  // Of one call of `submit`:
  #hasParked = false;
  #noted: { readonly epoch: Epoch; readonly index: string } | undefined;

  constructor(store: LmdbStore) {
    this.records = new QueueRecords(store);
    this.#epochs = [new Epoch(store, 'epoch0'), new Epoch(store, 'epoch1')];
    this.parked = new Epoch(store, 'parked');
  }

  // ---- State -------------------------------------------------------------------------------------------------------

  get state(): QueueState {
    return this.records.state;
  }

  set state(state: QueueState) {
    this.records.state = state;
  }

  main({ main }: QueueState): Epoch {
    return this.#epochs[main];
  }

  later({ main }: QueueState): Epoch {
    return this.#epochs[otherNumber(main)];
  }

  /** How many rows of the main epoch are not over. */
  liveRows(state: QueueState): RowCounts {
    const { values, contexts } = this.main(state).rowCounts;
    return { values: values - state.over.values, contexts: contexts - state.over.contexts };
  }

  sealed(state: QueueState): Sealed | undefined {
    const { phase, fromRow } = state;
    if (phase.is !== 'sealed') return undefined;
    return { ...phase, epoch: this.main(state), fromRow, indices: this.records.valueIndices };
  }

  // ---- Submitting --------------------------------------------------------------------------------------------------

  submit(rows: readonly EncodedRow[]): void {
    let state = this.#withRoom(this.state);
    this.#hasParked = this.parked.count > 0;
    this.#noted = undefined;
    for (const row of rows) {
      if (state.phase.is === 'failed' && !this.#isScanning) {
        this.#joinFailed(state, row.key);
        if (this.#hasParked) this.#joinParked(state, row.key);
      }
      if (this.#submitOne(state, row)) state = { ...state, nextRow: state.nextRow + 1 };
    }
    this.state = state;
  }

  /** So that not more than a snapshot goes to the later epoch: when its session fails, it has to go to the main one. */
  #withRoom(state: QueueState): QueueState {
    const { phase } = state;
    if (phase.is !== 'sealed' || !phase.isWhole || this.later(state).count < totalOf(phase)) return state;
    return { ...state, phase: { ...phase, isWhole: false } };
  }

  /** @returns whether it took a new number. */
  #submitOne(state: QueueState, encoded: EncodedRow): boolean {
    const { key, difference } = encoded;
    const { operation, isContext, index } = difference;
    const { waiting, from, sealed } = this.#find(state, key);
    const present = waiting && asKnown(waiting, state, from === this.parked);
    const result = merged(present, sealed !== undefined, operation);
    const { to, row } = this.#target(state, isTooLong(encoded), { waiting, from, sealed });
    if (
      waiting !== undefined &&
      (result === undefined || from !== to || waiting.isContext !== isContext || waiting.row !== row)
    ) {
      from?.remove(key, waiting);
    }
    if (result === undefined) return false;
    if (to === this.parked) this.#hasParked = true;
    if (!isContext) this.#noteIndex(state, to === this.parked ? this.main(state) : to, index);
    to.put(key, { ...result, isContext, row: row ?? state.nextRow, mark: state.mark }, encoded.row);
    return row === undefined;
  }

  /** The row of a document that waits, and the one that is of the snapshot. */
  #find(state: QueueState, key: Buffer): Found {
    const later = this.later(state);
    const inLater = state.phase.is === 'open' ? undefined : later.find(key);
    if (inLater !== undefined) return { waiting: inLater, from: later, sealed: undefined };
    const main = this.main(state);
    const inMain = this.#findLive(state, key);
    if (inMain !== undefined && inMain.row >= this.#sealedToRow(state)) {
      return { waiting: inMain, from: main, sealed: undefined };
    }
    const inParked = this.#hasParked ? this.parked.find(key) : undefined;
    return { waiting: inParked, from: inParked && this.parked, sealed: inMain };
  }

  #findLive(state: QueueState, key: Buffer): Place | undefined {
    const place = this.main(state).find(key);
    return place !== undefined && place.row >= state.fromRow ? place : undefined;
  }

  /** Rows of the main epoch with lower numbers do not change. */
  #sealedToRow({ phase }: QueueState): number {
    if (phase.is === 'sealed') return phase.endRow;
    return phase.is === 'failed' && this.#isScanning ? phase.scannedRow : 0;
  }

  /** Where the row goes, and with which number; undefined for a new one. */
  #target(
    state: QueueState,
    isLong: boolean,
    { waiting, from, sealed }: Found,
  ): { readonly to: Epoch; readonly row: number | undefined } {
    // A document keeps the place of its first row, also when that is being sent.
    if (isLong) return { to: this.parked, row: (waiting ?? sealed)?.row };
    if (sealed !== undefined) return { to: this.later(state), row: sealed.row };
    if (waiting !== undefined && from !== undefined && from !== this.parked)
      return { to: from, row: waiting.row };
    // What was parked comes behind the others: its place may be one of those that are over.
    const isLater = state.phase.is === 'sealed' && state.phase.isWhole;
    return { to: isLater ? this.later(state) : this.main(state), row: undefined };
  }

  /** So that a snapshot never has more indices than one Start can name. */
  #noteIndex(state: QueueState, to: Epoch, index: string): void {
    if (this.#noted?.epoch === to && this.#noted.index === index) return;
    this.#noted = { epoch: to, index };
    if (to.hasIndex(index)) return;
    const [main, later] = [this.main(state), this.later(state)];
    const names = new Set([...main.indexNames(), ...later.indexNames(), index]);
    if (!canBeNamed(names)) {
      // Of some of them nothing may be left.
      for (const name of main.indexNames()) {
        if (later.hasIndex(name) || main.hasOfIndex(name, ({ row }) => row >= state.fromRow)) continue;
        main.removeIndex(name);
        names.delete(name);
      }
      if (!canBeNamed(names)) throw tooManyIndicesError();
    }
    to.addIndex(index);
  }

  // ---- The begin of a snapshot -------------------------------------------------------------------------------------

  /**
   * Makes everything that waits the snapshot if it may be: one small write.
   *
   * @returns false if it is more; then it has to be looked through by `scan`, and `seal` makes it the snapshot. Until then what has been looked
   * at does not change.
   */
  sealAll(most: FullLimits): boolean {
    const { state } = this;
    const main = this.main(state);
    const live = this.liveRows(state);
    const items = totalOf(live);
    if (items === 0) return true;
    const bytes = main.pageBytes + items * itemOverheadBytes;
    if (items > most.items || bytes > most.bytes) {
      this.#isScanning = true;
      this.state = { ...state, phase: { is: 'failed', scannedRow: state.fromRow } };
      return false;
    }
    if (totalOf(state.over) === 0) {
      for (const name of main.indexNames()) if (!main.hasOfIndex(name, () => true)) main.removeIndex(name);
    }
    this.records.valueIndices = main.indexNames();
    this.records.contextIndices = undefined;
    this.#seal({ ...live, endRow: main.lastRow + 1, bytes });
    return true;
  }

  /** Looks at some more rows. @param before what was looked at; nothing at first. */
  scan(before: Scanned | undefined, most: FullLimits): Scanned {
    const { state } = this;
    let { endRow, values, contexts, bytes } = before ?? { ...noRows, endRow: state.fromRow, bytes: 0 };
    const valueIndices = new Set(before?.valueIndices);
    const contextIndices = new Set(before?.contextIndices);
    const found = this.main(state).rows({ from: endRow, ...stepLimits });
    let isOver = found.length === 0;
    for (const { number, isContext, row } of found) {
      const rowBytes = itemBytesOf(row);
      const count = values + contexts;
      isOver = count === most.items || (count > 0 && bytes + rowBytes > most.bytes);
      if (isOver) break;
      bytes += rowBytes;
      if (isContext) ++contexts;
      else ++values;
      (isContext ? contextIndices : valueIndices).add(indexOfRow(row));
      endRow = number + 1;
    }
    // In the state, with which it is undone: what comes before it when it comes once more must not take it for looked at.
    this.state = { ...state, phase: { is: 'failed', scannedRow: endRow } };
    return { values, contexts, endRow, bytes, valueIndices, contextIndices, isOver };
  }

  seal(scanned: Scanned): void {
    if (totalOf(scanned) === 0) {
      this.state = { ...this.state, phase: { is: 'open' } };
      return;
    }
    this.records.valueIndices = [...scanned.valueIndices];
    this.records.contextIndices = [...scanned.contextIndices];
    this.#seal(scanned);
  }

  /** The snapshot is kept, or nothing becomes of it. Not before: a transaction may be undone, and come once more. */
  endScan(): void {
    this.#isScanning = false;
  }

  #seal({ values, contexts, endRow, bytes }: Pick<Sealed, 'values' | 'contexts' | 'endRow' | 'bytes'>): void {
    const { state } = this;
    const generation = state.generation + 1n;
    const isWhole = this.main(state).lastRow < endRow;
    const sealed = { values, contexts, endRow, bytes, nonce: newNonce(), generation, isSent: false, isWhole };
    this.state = { ...state, phase: { is: 'sealed', ...sealed }, generation };
  }

  // ---- The end of a snapshot ---------------------------------------------------------------------------------------

  /** The session of the snapshot has succeeded: its rows are over. */
  succeed(sealed: Sealed): void {
    const { state } = this;
    const [main, later] = [this.main(state), this.later(state)];
    if (main.lastRow < sealed.endRow) {
      main.clear();
      this.state = {
        ...state,
        main: otherNumber(state.main),
        phase: { is: 'open' },
        fromRow: 0,
        over: noRows,
      };
      return;
    }
    const over = {
      values: state.over.values + sealed.values,
      contexts: state.over.contexts + sealed.contexts,
    };
    this.#beginJoin({ ...state, fromRow: sealed.endRow, over }, 'succeeded', later);
  }

  /** The session of the snapshot has failed: its rows wait again. `join` merges what came meanwhile, in steps. */
  fail(sealed: Sealed): void {
    const { state } = this;
    const unsentFromRow = Math.max(state.unsentFromRow, sealed.isSent ? sealed.endRow : 0);
    const failed = { ...state, unsentFromRow };
    this.#joinAllParked(failed);
    this.#beginJoin(failed, 'failed', this.later(state));
  }

  /** As `fail`, and the row of a snapshot that has one only is parked, unless another has come in its place. */
  park(sealed: Sealed): void {
    const [only, ...others] = sealed.epoch.rows({
      from: sealed.fromRow,
      to: sealed.endRow,
      rows: 2,
      bytes: Infinity,
    });
    const key = only && keyOfRow(only.row);
    const later = this.later(this.state);
    const isAlone = key !== undefined && others.length === 0 && later.find(key) === undefined;
    this.fail(sealed);
    const { state } = this;
    const place = isAlone ? this.#findLive(state, key) : undefined;
    if (only === undefined || key === undefined || place === undefined) return;
    this.main(state).remove(key, place);
    this.parked.put(key, asKnown(place, state), only.row);
  }

  #beginJoin(state: QueueState, is: 'failed' | 'succeeded', later: Epoch): void {
    if (later.count > 0) {
      for (const name of later.indexNames()) this.main(state).addIndex(name);
      this.state = { ...state, phase: is === 'failed' ? { is, scannedRow: 0 } : { is } };
      return;
    }
    later.clear();
    this.state = { ...state, phase: { is: 'open' } };
  }

  /** Moves some rows of the later epoch to the main one. @returns whether some are left. */
  join(): boolean {
    const { state } = this;
    const { is } = state.phase;
    if (is !== 'failed' && is !== 'succeeded') return false;
    const later = this.later(state);
    const rows = later.rows({ ...stepLimits, isReverse: true });
    if (rows.length === 0) {
      // Where it was the making of a snapshot that failed.
      if (is === 'failed') this.#joinAllParked(state);
      later.clear();
      this.state = { ...state, phase: { is: 'open' } };
      return false;
    }
    if (is === 'failed') for (const { row } of rows) this.#joinFailed(state, keyOfRow(row));
    else this.state = this.#joinSucceeded(state, rows);
    return true;
  }

  /** The row of one document, if the later epoch has one. */
  #joinFailed(state: QueueState, key: Buffer): void {
    const [main, epoch] = [this.main(state), this.later(state)];
    const later = epoch.find(key);
    const row = later && epoch.rowAt(later);
    if (later === undefined || row === undefined) return;
    epoch.remove(key, later);
    const first = this.#findLive(state, key);
    if (first === undefined) {
      main.put(key, asKnown(later, state), row);
      return;
    }
    main.remove(key, first);
    const result = restored(asKnown(first, state), later);
    if (result !== undefined) main.put(key, { ...later, ...result, row: first.row }, row);
  }

  /** What is parked belongs to no epoch. It came after what was sealed of its document, or looked at to be. */
  #joinAllParked(state: QueueState): void {
    const keys = this.parked.count > 0 ? this.parked.keys() : [];
    for (const key of keys) this.#joinParked(state, key);
  }

  #joinParked(state: QueueState, key: Buffer): void {
    const first = this.#findLive(state, key);
    const later = this.parked.find(key);
    const row = later && this.parked.rowAt(later);
    if (first === undefined || later === undefined || row === undefined) return;
    this.main(state).remove(key, first);
    this.parked.remove(key, later);
    const result = restored(asKnown(first, state), later);
    if (result !== undefined) this.parked.put(key, { ...later, ...result, row: first.row }, row);
  }

  /**
   * Rows of documents that were sent take, last first, the last places of those that are over: thus they stay before all others, and in their
   * order. There are enough, as each has had one of them. @param rows from the last one.
   */
  #joinSucceeded(before: QueueState, rows: readonly Row[]): QueueState {
    let state = before;
    const [main, later] = [this.main(state), this.later(state)];
    for (const { number, row } of rows) {
      const key = keyOfRow(row);
      const place = later.find(key);
      if (place === undefined) continue;
      later.remove(key, place);
      // What came anew meanwhile has a place behind them.
      const isNew = number >= state.fromRow;
      if (!isNew) state = this.#withPlaceBefore(state);
      main.put(key, { ...place, row: isNew ? number : state.fromRow }, row);
    }
    return state;
  }

  /** Makes the last place of those that are over free. */
  #withPlaceBefore(state: QueueState): QueueState {
    const fromRow = state.fromRow - 1;
    const main = this.main(state);
    const present = main.rowOfNumber(fromRow);
    if (present === undefined) return { ...state, fromRow };
    main.removeRow(present);
    return { ...state, fromRow, over: less(state.over, [present]) };
  }

  /** Removes some of the rows that are over. @returns whether there may be more. */
  removeOver(): boolean {
    const { state } = this;
    if (totalOf(state.over) === 0) return false;
    const main = this.main(state);
    const rows = main.rows({ to: state.fromRow, ...stepLimits });
    for (const row of rows) main.removeRow(row);
    this.state = { ...state, over: rows.length === 0 ? noRows : less(state.over, rows) };
    return rows.length > 0;
  }

  // ---- Removing ----------------------------------------------------------------------------------------------------

  /** Ends the snapshot if it has documents of the index. */
  unsealIndex(index: string): void {
    const sealed = this.sealed(this.state);
    if (sealed !== undefined && this.#hasOfIndex(sealed, index)) this.fail(sealed);
  }

  #hasOfIndex({ epoch, fromRow, endRow }: Sealed, index: string): boolean {
    const { valueIndices, contextIndices } = this.records;
    if (contextIndices !== undefined && ![...valueIndices, ...contextIndices].includes(index)) return false;
    return epoch.hasOfIndex(index, ({ row }) => row >= fromRow && row < endRow);
  }

  /**
   * Removes documents of an index that were last submitted before a mark and are of no snapshot. Looks at so many at most.
   *
   * @param after the last one that it looked at before.
   * @returns how many it removed, and the last one that it looked at if there may be more.
   */
  removeOfIndex(epoch: Epoch, index: string, mark: number, after?: Buffer): Removed {
    const { state } = this;
    const fromRow = epoch === this.main(state) ? state.fromRow : 0;
    let removed = 0;
    const keys = epoch.keysOfIndex(index, stepLimits.rows, after);
    for (const key of keys) {
      const place = epoch.find(key);
      if (place === undefined || place.mark >= mark || place.row < fromRow) continue;
      epoch.remove(key, place);
      ++removed;
    }
    if (epoch.keysOfIndex(index, 1).length === 0) epoch.removeIndex(index);
    return { removed, last: keys.length === stepLimits.rows ? keys.at(-1) : undefined };
  }
}

interface Found {
  readonly waiting: Place | undefined;
  /** Where that is. */
  readonly from: Epoch | undefined;
  readonly sealed: Place | undefined;
}

function isTooLong({ difference }: EncodedRow): boolean {
  return difference.data.length > limits.dataBytes;
}

/** A row of which the manager may have heard is not new. */
function asKnown(place: Place, { newFromRow, unsentFromRow }: QueueState, isParked = false): Place {
  const known = isParked ? newFromRow : Math.max(newFromRow, unsentFromRow);
  return place.isNew && place.row < known ? { ...place, isNew: false } : place;
}

function less(over: RowCounts, removed: readonly Row[]): RowCounts {
  const contexts = removed.filter(({ isContext }) => isContext).length;
  return { values: over.values - (removed.length - contexts), contexts: over.contexts - contexts };
}
