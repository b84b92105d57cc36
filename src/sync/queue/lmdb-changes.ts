// What happens to the rows of a persistent queue within a transaction.

import type { LmdbStore } from '../../base/lmdb-store.js';
import { limits } from '../wire/messages.js';
import type { EncodedRow, Place } from './lmdb-encoding.js';
import { Epoch } from './lmdb-epoch.js';
import {
  decodeState,
  type EpochNumber,
  encodeState,
  otherNumber,
  type QueueState,
  type SealedState,
} from './lmdb-state.js';
import { canBeNamed, merged, newNonce, restored, tooManyIndicesError } from './rows.js';

export const stateName = 'state';
const stateKey = Buffer.from('state');
const moduleKey = Buffer.from('module');

/** A sealed epoch and the snapshot that it is. */
export type Sealed = SealedState & { readonly epoch: Epoch };

interface Removed {
  readonly removed: number;
  readonly last: Buffer | undefined;
}

/** The databases of a queue and what can be done to them; each method that changes something is a step of a transaction. */
export class QueueChanges {
  readonly #store: LmdbStore;
  readonly #epochs: readonly [Epoch, Epoch];
  /** Rows too long for any message. */
  readonly parked: Epoch;

  constructor(store: LmdbStore) {
    this.#store = store;
    this.#epochs = [new Epoch(store, 'epoch0'), new Epoch(store, 'epoch1')];
    this.parked = new Epoch(store, 'parked');
  }

  // ---- State -------------------------------------------------------------------------------------------------------

  /** @returns undefined of a queue that has just been made. */
  readState(): QueueState | undefined {
    const bytes = this.#store.database(stateName).get(stateKey);
    return bytes === undefined ? undefined : decodeState(bytes);
  }

  get state(): QueueState {
    const state = this.readState();
    if (state === undefined) throw new Error('the queue has no state');
    return state;
  }

  set state(state: QueueState) {
    this.#store.database(stateName).putSync(stateKey, encodeState(state));
  }

  /** The module that the queue is of, as it was made. */
  get module(): string | undefined {
    return this.#store.database(stateName).get(moduleKey)?.toString();
  }

  set module(module: string) {
    this.#store.database(stateName).putSync(moduleKey, Buffer.from(module));
  }

  epoch(number: EpochNumber): Epoch {
    return this.#epochs[number];
  }

  otherEpoch({ open }: QueueState): Epoch {
    return this.epoch(otherNumber(open));
  }

  sealed(state: QueueState): Sealed | undefined {
    return state.other.is === 'sealed' ? { ...state.other, epoch: this.otherEpoch(state) } : undefined;
  }

  // ---- Submitting --------------------------------------------------------------------------------------------------

  submit(rows: readonly EncodedRow[]): void {
    let state = this.state;
    const open = this.epoch(state.open);
    let parked = this.parked.count > 0 ? this.parked : undefined;
    let index: string | undefined;
    for (const row of rows) {
      if (!row.difference.isContext && row.difference.index !== index) {
        index = row.difference.index;
        this.#noteIndex(open, this.otherEpoch(state), index);
      }
      if (state.other.is === 'joining') this.#join(state, row.key);
      if (this.#submitOne(state, row, open, parked)) state = { ...state, nextRow: state.nextRow + 1 };
      if (isTooLong(row)) parked = this.parked;
    }
    this.state = state;
  }

  /** @returns whether it took a new number. */
  #submitOne(state: QueueState, encoded: EncodedRow, open: Epoch, parked: Epoch | undefined): boolean {
    const { key, row } = encoded;
    const { operation, isContext } = encoded.difference;
    const inOpen = open.find(key);
    const waiting = inOpen ?? parked?.find(key);
    const from = inOpen === undefined ? parked : open;
    const sealed =
      waiting === undefined && state.other.is === 'sealed' ? this.otherEpoch(state).find(key) : undefined;
    const result = merged(waiting && asKnown(waiting, state), sealed !== undefined, operation);
    const to = isTooLong(encoded) ? this.parked : open;
    if (waiting !== undefined && (result === undefined || from !== to || waiting.isContext !== isContext)) {
      from?.remove(key, waiting);
    }
    if (result === undefined) return false;
    // A document keeps the place of its first row, also when that is being sent.
    const present = waiting ?? sealed;
    const place = { ...result, isContext, row: present?.row ?? state.nextRow, mark: state.mark };
    to.put(key, place, row);
    return present === undefined;
  }

  /** So that a snapshot never has more indices than one Start can name. */
  #noteIndex(open: Epoch, other: Epoch, index: string): void {
    if (open.hasIndex(index)) return;
    const names = new Set([...open.indexNames(), ...other.indexNames(), index]);
    if (!canBeNamed(names)) {
      // Of some of them nothing may be left. What the other epoch has may be on its way to the open one.
      for (const name of open.indexNames()) {
        if (other.hasIndex(name) || open.keysOfIndex(name, 1).length > 0) continue;
        open.removeIndex(name);
        names.delete(name);
      }
      if (!canBeNamed(names)) throw tooManyIndicesError();
    }
    open.addIndex(index);
  }

  // ---- The begin of a snapshot -------------------------------------------------------------------------------------

  /**
   * Makes a snapshot of the first rows, at most `most`, where there is none. It is one small write when there are no more; else they are moved
   * to the other epoch, at most `stepRows` by one call, and are as good as not moved until the last call.
   *
   * @returns whether it has to be called again.
   */
  seal(most: number, stepRows: number): boolean {
    const state = this.state;
    const open = this.epoch(state.open);
    const other = this.otherEpoch(state);
    const room = most - other.count;
    if (other.count > 0 || open.count > most) {
      // What was submitted meanwhile may have taken some back: they are the first again.
      const moved = open.moveFirst(other, Math.min(room, stepRows));
      if (moved === stepRows && room > stepRows) {
        this.state = { ...state, other: { is: 'joining', isOlder: true } };
        return true;
      }
      for (const name of other.indexNames()) {
        if (open.keysOfIndex(name, 1).length === 0) open.removeIndex(name);
      }
      this.#seal(state, state.open, other);
    } else {
      other.clear();
      this.#seal(state, otherNumber(state.open), open);
    }
    return false;
  }

  #seal(state: QueueState, open: EpochNumber, sealed: Epoch): void {
    if (sealed.count === 0) {
      this.state = { ...state, other: { is: 'empty' } };
      return;
    }
    const generation = state.generation + 1n;
    const endRow = sealed.lastRow + 1;
    this.state = {
      ...state,
      open,
      other: { is: 'sealed', nonce: newNonce(), generation, endRow, isSent: false },
      generation,
    };
  }

  // ---- The end of a snapshot ---------------------------------------------------------------------------------------

  /** The session of the snapshot has failed: both epochs are to be one. `join` does it in steps. */
  unseal(sealed: Sealed): void {
    const state = this.state;
    const newFromRow = sealed.isSent ? Math.max(state.newFromRow, sealed.endRow) : state.newFromRow;
    const open = this.epoch(state.open);
    // What is parked belongs to no epoch. It came after what is sealed.
    for (const key of this.parked.count > 0 ? this.parked.firstKeys(Number.MAX_SAFE_INTEGER) : []) {
      this.#joinParked({ ...state, newFromRow }, sealed.epoch, key);
    }
    // The smaller one goes to the larger one.
    const stays = sealed.epoch.count >= open.count;
    const target = stays ? sealed.epoch : open;
    for (const name of (stays ? open : sealed.epoch).indexNames()) target.addIndex(name);
    this.state = {
      ...state,
      newFromRow,
      open: stays ? otherNumber(state.open) : state.open,
      other: { is: 'joining', isOlder: !stays },
    };
  }

  /** Moves at most so many rows to the open epoch. @returns whether some are left. */
  join(limit: number): boolean {
    const state = this.state;
    if (state.other.is !== 'joining') return false;
    const source = this.otherEpoch(state);
    const keys = source.firstKeys(limit);
    for (const key of keys) this.#join(state, key);
    if (keys.length === limit) return true;
    source.clear();
    this.state = { ...this.state, other: { is: 'empty' } };
    return false;
  }

  /** Moves the row of one document to the open epoch, if the other one has it. */
  #join(state: QueueState, key: Buffer): void {
    if (state.other.is !== 'joining') return;
    const source = this.otherEpoch(state);
    const place = source.find(key);
    const row = place && source.rowAt(place);
    if (place === undefined || row === undefined) return;
    source.remove(key, place);
    const open = this.epoch(state.open);
    const present = open.find(key);
    const presentRow = present && open.rowAt(present);
    if (present === undefined || presentRow === undefined) {
      open.put(key, { ...asKnown(place, state) }, row);
      return;
    }
    open.remove(key, present);
    const { isOlder } = state.other;
    const first = asKnown(isOlder ? place : present, state);
    const later = isOlder ? present : place;
    const result = restored(first, later);
    if (result === undefined) return;
    open.put(key, { ...later, ...result, row: first.row }, isOlder ? presentRow : row);
  }

  #joinParked(state: QueueState, sealed: Epoch, key: Buffer): void {
    const first = sealed.find(key);
    const later = this.parked.find(key);
    const row = later && this.parked.rowAt(later);
    if (first === undefined || later === undefined || row === undefined) return;
    sealed.remove(key, first);
    this.parked.remove(key, later);
    const result = restored(asKnown(first, state), later);
    if (result !== undefined) this.parked.put(key, { ...later, ...result, row: first.row }, row);
  }

  // ---- Removing ----------------------------------------------------------------------------------------------------

  /** Ends the snapshot if it has documents of the index. */
  unsealIndex(index: string): void {
    const sealed = this.sealed(this.state);
    if (sealed !== undefined && sealed.epoch.keysOfIndex(index, 1).length > 0) this.unseal(sealed);
  }

  /**
   * Removes documents of an index that were last submitted before a mark, from what is open or parked. Looks at so many at most.
   *
   * @param after the last one that it looked at before.
   * @returns how many it removed, and the last one that it looked at if there may be more.
   */
  removeOfIndex(epoch: Epoch, index: string, mark: number, limit: number, after?: Buffer): Removed {
    let removed = 0;
    const keys = epoch.keysOfIndex(index, limit, after);
    for (const key of keys) {
      const place = epoch.find(key);
      if (place === undefined || place.mark >= mark) continue;
      epoch.remove(key, place);
      ++removed;
    }
    if (epoch.keysOfIndex(index, 1).length === 0) epoch.removeIndex(index);
    return { removed, last: keys.length === limit ? keys.at(-1) : undefined };
  }
}

function isTooLong({ difference }: EncodedRow): boolean {
  return difference.data.length > limits.dataBytes;
}

/** A row of which the manager may have heard is not new. */
function asKnown(place: Place, { newFromRow }: QueueState): Place {
  return place.isNew && place.row < newFromRow ? { ...place, isNew: false } : place;
}
