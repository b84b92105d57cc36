// The queue of an agent that outlives the process, in LMDB.
//
// Two epochs of databases: differences go to the open one; making a snapshot is making the other one the open one, so that no row is
// written again for it. When its session has succeeded the sealed epoch is emptied, when it has failed both become one.

import { checkInteger, checkOneOf, checkOptions, checkString } from '../../base/check.js';
import { systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { storeError } from '../../base/lmdb-errors.js';
import { type Durability, type LmdbDatabase, type LmdbStore, openLmdb } from '../../base/lmdb-store.js';
import { limits } from '../wire/messages.js';
import { QueueChanges, stateName } from './lmdb-changes.js';
import { decodeDifference, encodeRows } from './lmdb-encoding.js';
import { epochDatabases, isBytes, toBuffer } from './lmdb-epoch.js';
import { LmdbSnapshot } from './lmdb-snapshot.js';
import type { Difference, PendingItem, QueueCounts, QueueMark, Snapshot, SyncQueue } from './queue.js';
import {
  checkDifferences,
  checkGeneration,
  checkIndex,
  checkMark,
  checkPendingOptions,
  checkSnapshotItems,
  firstGeneration,
} from './rows.js';

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
  /**
   * - `durable`, the default: a promise resolves once the disk has all that it is about (fdatasync).
   * - `relaxed`: it resolves one sync of the disk earlier. The end of the process loses nothing; when the machine loses power, the last
   *   commit, of at most the second before, may be undone, the rest of the queue is unharmed.
   */
  readonly durability?: Durability;
}

/** No row has such a number. */
const noneIsNew = Number.MAX_SAFE_INTEGER;

/** So many rows are moved or removed between two turns of the event loop. */
const stepRows = 2048;

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
  checkOptions('options', options, ['module', 'maxBytes', 'snapshotItems', 'durability']);
  const { module, maxBytes = 2 ** 30, durability = 'durable' } = options;
  if (module !== undefined) checkString('options.module', module, 1, limits.moduleBytes);
  const snapshotItems = checkSnapshotItems(options.snapshotItems);
  const store = await openLmdb(path, {
    maxBytes: checkInteger('options.maxBytes', maxBytes, 2 ** 20, 2 ** 40),
    databases: [
      ...epochDatabases('epoch0'),
      ...epochDatabases('epoch1'),
      ...epochDatabases('parked'),
      stateName,
    ],
    format: { name: 'hawser sync queue', version: 1 },
    durability: checkOneOf('options.durability', durability, ['durable', 'relaxed']),
  });
  try {
    const changes = new QueueChanges(store);
    if (changes.readState() === undefined) {
      await store.transaction(() => {
        const generation = firstGeneration(systemClock.wallNow());
        changes.state = { open: 0, other: { is: 'empty' }, nextRow: 1, newFromRow: 0, generation, mark: 0 };
        if (module !== undefined) changes.module = module;
      });
    }
    if (module !== undefined && (changes.module ?? module) !== module) {
      const message = `${path} is the queue of the module ${changes.module}`;
      throw new HawserError('ERR_HAWSER_STORE_FORMAT', message);
    }
    return new LmdbQueue(store, changes, snapshotItems);
  } catch (error) {
    await store.close();
    throw storeError(error, path);
  }
}

/** A queue that outlives the process. Made by {@link openQueue}. */
export class LmdbQueue implements SyncQueue {
  readonly #store: LmdbStore;
  readonly #changes: QueueChanges;
  readonly #snapshotItems: number;
  /** The last of those that are done one after the other. */
  #turn: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  /** Not for applications. */
  constructor(store: LmdbStore, changes: QueueChanges, snapshotItems: number) {
    this.#store = store;
    this.#changes = changes;
    this.#snapshotItems = snapshotItems;
  }

  /** Where it is: the directory. */
  get path(): string {
    return this.#store.path;
  }

  /** What it keeps, in bytes of whole pages, and how much that may be. */
  get usage(): { readonly bytes: number; readonly maxBytes: number } {
    return this.#store.usage;
  }

  get counts(): QueueCounts {
    return this.#read(() => {
      const { state, parked } = this.#changes;
      const other = this.#changes.otherEpoch(state).count;
      const open = this.#changes.epoch(state.open).count;
      const isSealed = state.other.is === 'sealed';
      return { pending: isSealed ? open : open + other, syncing: isSealed ? other : 0, parked: parked.count };
    });
  }

  async submit(differences: readonly Difference[]): Promise<void> {
    this.#checkOpen();
    const rows = encodeRows(checkDifferences(differences));
    if (rows.length > 0) await this.#store.transaction(() => this.#changes.submit(rows));
  }

  fetchAndMarkForSync(): Promise<Snapshot | undefined> {
    return this.#inTurn(async () => {
      await this.#joinAll();
      const present = this.#read(() => this.#changes.sealed(this.#changes.state));
      if (present !== undefined) return this.#snapshotOf(true);
      await this.#seal();
      return this.#snapshotOf(false);
    });
  }

  markSent(snapshot: Snapshot): Promise<void> {
    return this.#inTurn(async () => {
      const { state } = this.#changes;
      const { other } = state;
      if (other.is !== 'sealed' || other.nonce !== snapshot.nonce || other.isSent) return;
      await this.#change(() => {
        this.#changes.state = { ...this.#changes.state, other: { ...other, isSent: true } };
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
    return this.#inTurn(() =>
      this.#change(() => {
        const { state } = this.#changes;
        const sealed = this.#changes.sealed(state);
        if (sealed?.nonce !== snapshot.nonce) return;
        sealed.epoch.clear();
        this.#changes.state = { ...state, other: { is: 'empty' } };
      }),
    );
  }

  resetSyncingItems(snapshot: Snapshot): Promise<void> {
    return this.#inTurn(async () => {
      await this.#change(() => {
        const sealed = this.#changes.sealed(this.#changes.state);
        if (sealed?.nonce === snapshot.nonce) this.#changes.unseal(sealed);
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
    const checked = checkGeneration(least);
    await this.#change(() => {
      const { state } = this.#changes;
      if (checked > state.generation) this.#changes.state = { ...state, generation: checked };
    });
  }

  mark(): Promise<QueueMark> {
    return this.#change(() => ({ number: this.#mark() }));
  }

  async clearItemsByIndex(index: string, before?: QueueMark): Promise<number> {
    checkIndex(index);
    const given = before === undefined ? undefined : checkMark(before).number;
    return this.#inTurn(async () => {
      // A snapshot does not change, and what is left of one must not come after what came later: there is none any more.
      const mark = await this.#change(() => {
        if (given !== undefined) this.#know();
        this.#changes.unsealIndex(index);
        return given ?? this.#mark();
      });
      await this.#joinAll();
      const { state, parked } = this.#changes;
      let total = 0;
      for (const epoch of [this.#changes.epoch(state.open), parked]) {
        let after: Buffer | undefined;
        do {
          const from = after;
          const { removed, last } = await this.#change(() =>
            this.#changes.removeOfIndex(epoch, index, mark, stepRows, from),
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
      const open = this.#changes.epoch(state.open);
      const other = this.#changes.otherEpoch(state);
      const found = [
        ...[open, other, parked].flatMap((epoch) => {
          const databases = onlyDataValues ? [epoch.values] : [epoch.values, epoch.contexts];
          const isSyncing = epoch === other && state.other.is === 'sealed';
          const status = isSyncing ? 'syncing' : epoch === parked ? 'parked' : 'pending';
          return databases.flatMap((database) => firstRows(database, limit, status));
        }),
      ];
      found.sort((a, b) => Buffer.compare(a.key, b.key));
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
    while (this.#changes.state.other.is === 'joining') {
      await this.#change(() => this.#changes.join(stepRows));
    }
  }

  #know(): void {
    const { state } = this.#changes;
    this.#changes.state = { ...state, newFromRow: Math.max(state.newFromRow, state.nextRow) };
  }

  #mark(): number {
    const { state } = this.#changes;
    const mark = state.mark + 1;
    this.#changes.state = { ...state, mark };
    return mark;
  }

  /** Makes a snapshot if anything is pending. */
  async #seal(): Promise<void> {
    const most = this.#snapshotItems;
    const step = (most: number): Promise<boolean> => this.#change(() => this.#changes.seal(most, stepRows));
    // Each submit may take back what was moved: then it does not go on for ever, but with what one step can move.
    for (let moved = 0; moved <= 2 * most; moved += stepRows) if (!(await step(most))) return;
    await this.#joinAll();
    await step(Math.min(most, stepRows));
  }

  #snapshotOf(resumed: boolean): Snapshot | undefined {
    return this.#read(() => {
      const sealed = this.#changes.sealed(this.#changes.state);
      if (sealed === undefined) return undefined;
      const isPresent = (): boolean => {
        const { other } = this.#read(() => this.#changes.state);
        return other.is === 'sealed' && other.nonce === sealed.nonce;
      };
      return new LmdbSnapshot(sealed, resumed, isPresent);
    });
  }
}

interface FoundRow {
  readonly key: Buffer;
  readonly row: Buffer;
  readonly status: PendingItem['status'];
}

function firstRows(database: LmdbDatabase, limit: number, status: FoundRow['status']): FoundRow[] {
  const found: FoundRow[] = [];
  for (const { key, value } of database.getRange({ limit })) {
    if (isBytes(key)) found.push({ key: toBuffer(key), row: value, status });
  }
  return found;
}
