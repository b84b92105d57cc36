// The queue of an agent that outlives the process, in LMDB.
//
// Two epochs of databases. What waits is in the main one; a snapshot is its first rows, so that no row is written again for it. What comes
// meanwhile of its documents goes to the later epoch, and to the main one when the session has ended. When that has succeeded the main epoch
// is emptied, and both change places; or, where something waits behind the snapshot, its rows are over, and are removed by and by.

import { checkInteger, checkOneOf, checkOptions, checkString } from '../../base/check.js';
import { systemClock } from '../../base/clock.js';
import type { Durability } from '../../base/durability.js';
import { HawserError } from '../../base/errors.js';
import { storeError } from '../../base/lmdb-errors.js';
import { type LmdbStore, openLmdb } from '../../base/lmdb-store.js';
import { limits } from '../wire/messages.js';
import { QueueChanges, type Scanned } from './lmdb-changes.js';
import { decodeDifference, encodeRows, rowKey, rowOfKey } from './lmdb-encoding.js';
import { type Epoch, epochDatabases } from './lmdb-epoch.js';
import { recordsName } from './lmdb-records.js';
import { LmdbSnapshot } from './lmdb-snapshot.js';
import { firstState, totalOf } from './lmdb-state.js';
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
  checkDifferences,
  checkGeneration,
  checkIndex,
  checkMark,
  checkPendingOptions,
  checkSnapshotOptions,
  type FullLimits,
  firstGeneration,
  lowerLimits,
} from './rows.js';

/** Options of {@link openQueue}. */
export interface QueueOptions {
  /** The module that the queue is of, 1 to 256 characters: a queue of another one is not opened. Not looked at by default. */
  readonly module?: string;
  /** What the queue may keep, in bytes of whole pages: 1,048,576 (1 MiB) to 2^40; 2^30 (1 GiB) by default. The file can be larger for a time. */
  readonly maxBytes?: number;
  /**
   * The most items of one snapshot, thus of one session, 1 to 2^32; 1,000,000 by default. To be no more than what the manager takes from one
   * agent at a time.
   */
  readonly snapshotItems?: number;
  /** The same in bytes of messages, 1 to 2^40; 2^29 (512 MiB) by default. A single item goes always. */
  readonly snapshotBytes?: number;
  /**
   * - `durable`, the default: a promise resolves once the disk has all that it is about (fdatasync).
   * - `relaxed`: it resolves one sync of the disk earlier. The end of the process loses nothing; when the machine loses power, the last
   *   commit, of at most the second before, may be undone, the rest of the queue is unharmed.
   */
  readonly durability?: Durability;
}

/** No row has such a number. */
const noneIsNew = Number.MAX_SAFE_INTEGER;

/**
 * Opens the persistent queue of one module of an agent.
 *
 * @param path a directory of its own; it is made when it is missing. One process at a time has it open.
 * @returns a promise of the queue, with everything that was acknowledged before it was last closed, or before its process ended, however.
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT; ERR_HAWSER_PACKAGE_MISSING without the optional package lmdb; ERR_HAWSER_STORE_LOCKED
 * when another process, or this one, has it open; ERR_HAWSER_STORE_FORMAT when something else is there, or the queue of another module;
 * ERR_HAWSER_STORE_FULL, ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE.
 */
export async function openQueue(path: string, options: QueueOptions = {}): Promise<LmdbQueue> {
  checkString('path', path, 1);
  checkOptions('options', options, ['module', 'maxBytes', 'snapshotItems', 'snapshotBytes', 'durability']);
  const { module, maxBytes = 2 ** 30, durability = 'durable' } = options;
  if (module !== undefined) checkString('options.module', module, 1, limits.moduleBytes);
  const snapshotLimits = checkSnapshotOptions(options);
  const store = await openLmdb(path, {
    maxBytes: checkInteger('options.maxBytes', maxBytes, 2 ** 20, 2 ** 40),
    databases: [
      ...epochDatabases('epoch0'),
      ...epochDatabases('epoch1'),
      ...epochDatabases('parked'),
      recordsName,
    ],
    format: { name: 'hawser sync queue', version: 1 },
    durability: checkOneOf('options.durability', durability, ['durable', 'relaxed']),
  });
  try {
    const changes = new QueueChanges(store);
    if (changes.records.isEmpty) {
      await store.transaction(() => {
        changes.state = firstState(firstGeneration(systemClock.wallNow()));
        if (module !== undefined) changes.records.module = module;
      });
    }
    if (module !== undefined && (changes.records.module ?? module) !== module) {
      const message = `${path} is the queue of the module ${changes.records.module}`;
      throw new HawserError('ERR_HAWSER_STORE_FORMAT', message);
    }
    return new QueueOnDisk(store, changes, snapshotLimits);
  } catch (error) {
    await store.close();
    throw storeError(error, path);
  }
}

/** A queue that outlives the process. Made by {@link openQueue}. */
export interface LmdbQueue extends SyncQueue {
  /** Where it is: the directory. */
  readonly path: string;
  /** What it keeps, in bytes of whole pages, and how much that may be. */
  readonly usage: { readonly bytes: number; readonly maxBytes: number };
}

/** Not exported: who compiles against this package need not have lmdb. */
class QueueOnDisk implements LmdbQueue {
  readonly #store: LmdbStore;
  readonly #changes: QueueChanges;
  readonly #snapshotLimits: FullLimits;
  /** The last of those that are done one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #removing: Promise<void> | undefined;
  /** While it does, nothing is removed: a snapshot is waited for. */
  #isScanning = false;
  #isClosed = false;

  constructor(store: LmdbStore, changes: QueueChanges, snapshotLimits: FullLimits) {
    this.#store = store;
    this.#changes = changes;
    this.#snapshotLimits = snapshotLimits;
    void this.#removeOver();
  }

  get path(): string {
    return this.#store.path;
  }

  get usage(): { readonly bytes: number; readonly maxBytes: number } {
    return this.#store.usage;
  }

  get counts(): QueueCounts {
    return this.#read(() => {
      const { state, parked } = this.#changes;
      const waiting = totalOf(this.#changes.liveRows(state)) + this.#changes.later(state).count;
      const syncing = state.phase.is === 'sealed' ? totalOf(state.phase) : 0;
      return { pending: waiting - syncing, syncing, parked: parked.count };
    });
  }

  async submit(differences: readonly Difference[]): Promise<void> {
    this.#checkOpen();
    const rows = encodeRows(checkDifferences(differences));
    if (rows.length > 0) await this.#store.transaction(() => this.#changes.submit(rows));
  }

  async fetchAndMarkForSync(limits: SnapshotLimits = {}): Promise<Snapshot | undefined> {
    const most = lowerLimits(this.#snapshotLimits, limits);
    return this.#inTurn(async () => {
      await this.#joinAll();
      const present = this.#read(() => this.#changes.sealed(this.#changes.state));
      if (present !== undefined) return this.#snapshotOf(true);
      await this.#seal(most);
      return this.#snapshotOf(false);
    });
  }

  markSent(snapshot: Snapshot): Promise<void> {
    return this.#inTurn(async () => {
      const { phase } = this.#changes.state;
      if (phase.is !== 'sealed' || phase.nonce !== snapshot.nonce || phase.isSent) return;
      await this.#change(() => {
        const { state } = this.#changes;
        if (state.phase.is !== 'sealed') return;
        this.#changes.state = { ...state, phase: { ...state.phase, isSent: true } };
      });
    });
  }

  beginFull(): Promise<void> {
    return this.#change(() => {
      this.#changes.state = { ...this.#changes.state, newFromRow: noneIsNew };
    });
  }

  endFull(): Promise<void> {
    return this.#change(() => {
      const { state } = this.#changes;
      this.#changes.state = { ...state, newFromRow: state.nextRow };
    });
  }

  markKnown(): Promise<void> {
    return this.#change(() => this.#know());
  }

  clearSyncedItems(snapshot: Snapshot): Promise<void> {
    return this.#inTurn(async () => {
      await this.#change(() => {
        const sealed = this.#changes.sealed(this.#changes.state);
        if (sealed?.nonce === snapshot.nonce) this.#changes.succeed(sealed);
      });
      void this.#removeOver();
    });
  }

  resetSyncingItems(snapshot: Snapshot): Promise<void> {
    return this.#inTurn(async () => {
      await this.#change(() => {
        const sealed = this.#changes.sealed(this.#changes.state);
        if (sealed?.nonce === snapshot.nonce) this.#changes.fail(sealed);
      });
      await this.#joinAll();
    });
  }

  park(snapshot: Snapshot): Promise<void> {
    return this.#inTurn(async () => {
      await this.#change(() => {
        const sealed = this.#changes.sealed(this.#changes.state);
        if (sealed?.nonce === snapshot.nonce) this.#changes.park(sealed);
      });
      await this.#joinAll();
    });
  }

  nextGeneration(): Promise<bigint> {
    return this.#change(() => {
      const { state } = this.#changes;
      const generation = state.generation + 1n;
      this.#changes.state = { ...state, generation };
      return generation;
    });
  }

  async raiseGeneration(least: bigint): Promise<void> {
    const checked = checkGeneration(least, systemClock.wallNow());
    await this.#change(() => {
      const { state } = this.#changes;
      if (checked > state.generation) this.#changes.state = { ...state, generation: checked };
    });
  }

  mark(): Promise<QueueMark> {
    return this.#change(() => {
      const { state } = this.#changes;
      const number = state.mark + 1;
      this.#changes.state = { ...state, mark: number };
      return { number };
    });
  }

  async clearItemsByIndex(index: string, before?: QueueMark): Promise<number> {
    checkIndex(index);
    if (before !== undefined) checkMark(before);
    // At once: what is submitted from here on stays, also while this waits for its turn.
    const { number: mark } = before ?? (await this.mark());
    return this.#inTurn(async () => {
      // What is over would be looked at too.
      await this.#removeOver();
      // A snapshot does not change, and what is left of one must not come after what came later: there is none any more.
      await this.#change(() => {
        if (before !== undefined) this.#know();
        this.#changes.unsealIndex(index);
      });
      await this.#joinAll();
      const { state, parked } = this.#changes;
      let total = 0;
      for (const epoch of [this.#changes.main(state), this.#changes.later(state), parked]) {
        let after: Buffer | undefined;
        do {
          const from = after;
          const { removed, last } = await this.#change(() =>
            this.#changes.removeOfIndex(epoch, index, mark, from),
          );
          total += removed;
          after = last;
        } while (after !== undefined);
      }
      return total;
    });
  }

  fetchPendingItems(
    options: { readonly limit?: number; readonly onlyDataValues?: boolean } = {},
  ): PendingItem[] {
    const { limit, onlyDataValues } = checkPendingOptions(options);
    return this.#read(() => {
      const { state, parked } = this.#changes;
      const { phase, fromRow } = state;
      const statusOf = (row: number): PendingItem['status'] =>
        phase.is === 'sealed' && row < phase.endRow ? 'syncing' : 'pending';
      const found = [
        ...firstRows(this.#changes.main(state), limit, onlyDataValues, statusOf, fromRow),
        ...firstRows(this.#changes.later(state), limit, onlyDataValues, () => 'pending'),
        ...firstRows(parked, limit, onlyDataValues, () => 'parked'),
      ];
      const isParked = ({ status }: FoundRow): number => Number(status === 'parked');
      found.sort((a, b) => isParked(a) - isParked(b) || a.number - b.number);
      return found.slice(0, limit).map(({ row, status }) => ({ difference: decodeDifference(row), status }));
    });
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- Within ------------------------------------------------------------------------------------------------------

  #checkOpen(): void {
    if (this.#isClosed) throw new HawserError('ERR_HAWSER_CLOSED', 'the queue is closed');
  }

  #read<T>(read: () => T): T {
    this.#checkOpen();
    try {
      return read();
    } catch (error) {
      throw storeError(error, this.path);
    }
  }

  /** One after the other: what takes several transactions must not find others between them. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(async () => {
      this.#checkOpen();
      try {
        return await work();
      } catch (error) {
        throw storeError(error, this.path);
      }
    });
    this.#turn = result.catch(() => undefined);
    return result;
  }

  /** What keeps the queue going, and leads to room in it, may be written also when it is full. */
  async #change<T>(run: () => T): Promise<T> {
    this.#checkOpen();
    return this.#store.transaction(run, { beyondMaxBytes: true });
  }

  async #joinAll(): Promise<void> {
    const isJoining = (): boolean => ['failed', 'succeeded'].includes(this.#changes.state.phase.is);
    while (isJoining()) await this.#change(() => this.#changes.join());
  }

  /** Removes what is over while other work is done. What it leaves, since it failed or was closed, is for the next one. */
  #removeOver(): Promise<void> {
    this.#removing ??= this.#removeSteps().finally(() => {
      this.#removing = undefined;
    });
    return this.#removing;
  }

  async #removeSteps(): Promise<void> {
    const isOver = (): boolean =>
      !this.#isClosed && !this.#isScanning && totalOf(this.#changes.state.over) > 0;
    try {
      while (isOver()) await this.#change(() => this.#changes.removeOver());
    } catch {
      // Nobody waits for it, and whoever uses the queue hears of a store that has failed.
    }
  }

  #know(): void {
    const { state } = this.#changes;
    this.#changes.state = { ...state, newFromRow: Math.max(state.newFromRow, state.nextRow) };
  }

  /** Makes a snapshot if anything is pending. */
  async #seal(most: FullLimits): Promise<void> {
    this.#isScanning = true;
    try {
      if (await this.#change(() => this.#changes.sealAll(most))) return;
      let scanned: Scanned | undefined;
      do {
        const before = scanned;
        scanned = await this.#change(() => this.#changes.scan(before, most));
      } while (!scanned.isOver);
      const all = scanned;
      await this.#change(() => this.#changes.seal(all));
    } finally {
      this.#changes.endScan();
      this.#isScanning = false;
      void this.#removeOver();
    }
  }

  #snapshotOf(resumed: boolean): Snapshot | undefined {
    return this.#read(() => {
      const sealed = this.#changes.sealed(this.#changes.state);
      if (sealed === undefined) return undefined;
      const isPresent = (): boolean => {
        const { phase } = this.#read(() => this.#changes.state);
        return phase.is === 'sealed' && phase.nonce === sealed.nonce;
      };
      return new LmdbSnapshot(sealed, resumed, isPresent);
    });
  }
}

interface FoundRow {
  readonly number: number;
  readonly row: Buffer;
  readonly status: PendingItem['status'];
}

function firstRows(
  epoch: Epoch,
  limit: number,
  onlyDataValues: boolean,
  statusOf: (row: number) => FoundRow['status'],
  fromRow = 0,
): FoundRow[] {
  const found: FoundRow[] = [];
  for (const database of onlyDataValues ? [epoch.values] : [epoch.values, epoch.contexts]) {
    for (const { key, value } of database.getRange({ start: rowKey(fromRow), limit })) {
      const number = rowOfKey(key);
      found.push({ number, row: value, status: statusOf(number) });
    }
  }
  return found;
}
