// What an agent has yet to tell the manager: the contract of its queues.

import type { DataItem } from '../wire/messages.js';

/** What happened to a document; the local operations of the original. `CREATE` and `MODIFY` are sent as Upsert. */
export const differenceOperations = ['CREATE', 'MODIFY', 'DELETE'] as const;
/** One of `differenceOperations`. */
export type DifferenceOperation = (typeof differenceOperations)[number];

/** One change of one document of an agent. */
export interface Difference {
  /** 1 to 1,024 bytes of UTF-8; unique in its index. */
  readonly id: string;
  /** What happened to the document. */
  readonly operation: DifferenceOperation;
  /** 1 to 256 bytes of UTF-8. */
  readonly index: string;
  /**
   * The document: JSON, 0 to 16,777,216 bytes; empty for DELETE. More than 61,440 bytes are in no message: such a row is parked, kept but
   * not sent, until a shorter document or a DELETE takes its place.
   */
  readonly data: Uint8Array;
  /** u64; 0, the default, for a document without versions. */
  readonly version?: bigint;
  /** Sent after all others, as DataContext. False by default. */
  readonly isContext?: boolean;
}

/** An item that waits. */
export interface PendingItem {
  /** What was submitted. */
  readonly difference: Difference;
  /** - `pending`: goes with the next sync. - `syncing`: of the present snapshot. - `parked`: too long for a message. */
  readonly status: 'pending' | 'syncing' | 'parked';
}

/** A moment of a queue, made by `mark`: what was submitted before it, and what after. Of use to the queue that made it only, until it is closed. */
export interface QueueMark {
  /** Grows with each mark. */
  readonly number: number;
}

/** How much a snapshot may have; the first item goes always. */
export interface SnapshotLimits {
  /** 1 to 2^32. */
  readonly items?: number;
  /** Of Data in messages, 1 to 2^40. */
  readonly bytes?: number;
}

/** How many items there are. */
export interface QueueCounts {
  /** Rows that wait for a snapshot. */
  readonly pending: number;
  /** Rows of the snapshot. */
  readonly syncing: number;
  /** Rows that are in no message: too long. */
  readonly parked: number;
}

/**
 * What one session sends: immutable, of the first items that wait, in the order of first insertion, values before contexts. A queue has one at most. It stays, across
 * restarts, until `clearSyncedItems` or `resetSyncingItems`.
 */
export interface Snapshot {
  /** Random: u64, never 0. */
  readonly nonce: bigint;
  /** Greater than that of any earlier snapshot of this queue: u64, never 0. */
  readonly generation: bigint;
  /** 1 to 2^32. */
  readonly size: number;
  /** What its Data take in messages, at most. */
  readonly bytes: number;
  /** The indices of its values, sorted; perhaps with some of which nothing is left. */
  readonly indices: readonly string[];
  /** Whether it was made by an earlier call and has not ended: its Data may have been sent. */
  readonly resumed: boolean;
  /**
   * The items from a sequence number on; the views in them are valid until the next one is asked for. Reading may be given up at any time,
   * and go on after other work has been done.
   */
  items(fromSeq?: number): IterableIterator<DataItem>;
}

/**
 * The persistent queue of one module of an agent. Each row is of one (index, id); what comes to a row that waits is merged with it, so that
 * the row says what must be told: nothing, for what was created and deleted meanwhile. docs/sync.md has the table.
 *
 * All methods reject with ERR_HAWSER_CLOSED after `close`; those of a store with ERR_HAWSER_STORE_FULL, ERR_HAWSER_DISK_FULL or
 * ERR_HAWSER_STORE when it cannot be written: then nothing has changed, and the call can be repeated.
 */
export interface SyncQueue extends AsyncDisposable {
  /** How many differences wait. */
  readonly counts: QueueCounts;
  /**
   * @returns a promise that resolves once the differences are kept for good (as the queue does that), all of them or none.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  submit(differences: readonly Difference[]): Promise<void>;
  /**
   * Makes what is pending the snapshot, or returns the snapshot that there is. Of more than a snapshot may have it takes the first; the others
   * wait for the next, as what is submitted from then on does.
   *
   * @param limits for this snapshot, where they are lower than those of the queue.
   * @returns undefined when nothing is pending. Resolves once the marks, nonce and generation are kept.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  fetchAndMarkForSync(limits?: SnapshotLimits): Promise<Snapshot | undefined>;
  /**
   * Data of the snapshot are about to leave: the manager may apply them, whatever the agent hears of it. From then on a row of the snapshot
   * is never dropped because of a DELETE. Resolves once that is kept.
   */
  markSent(snapshot: Snapshot): Promise<void>;
  /**
   * The manager may hear of any document that waits now by another way than this queue. From then on none of these rows is dropped because
   * of a DELETE. Resolves once that is kept.
   */
  markKnown(): Promise<void>;
  /**
   * A FULL session of other items is about to leave: as `markKnown`, and also for every row that comes until `endFull`, across restarts. Resolves
   * once that is kept.
   */
  beginFull(): Promise<void>;
  /** That session is over, one way or the other: nothing of it can reach the manager any more. As `markKnown` for what waits now. */
  endFull(): Promise<void>;
  /** The manager has the snapshot: its items go. What was submitted meanwhile stays. */
  clearSyncedItems(snapshot: Snapshot): Promise<void>;
  /** The session failed: its items are pending again, merged with what was submitted meanwhile. The next snapshot is another. */
  resetSyncingItems(snapshot: Snapshot): Promise<void>;
  /**
   * The connection takes no message with the only item of the snapshot: it is parked, unless another difference has taken its place meanwhile.
   * The snapshot is none any more, as after `resetSyncingItems`.
   */
  park(snapshot: Snapshot): Promise<void>;
  /** A generation for a session that sends no snapshot of this queue: greater than all before. Resolves once it is kept. */
  nextGeneration(): Promise<bigint>;
  /**
   * The manager has seen that generation, which this queue has not: all later ones are greater. For a queue that was restored or lost.
   *
   * @param least not more than ten years ahead of the time of day in microseconds.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  raiseGeneration(least: bigint): Promise<void>;
  /** Now: after everything whose `submit` was called before. Resolves once it is kept. */
  mark(): Promise<QueueMark>;
  /**
   * Removes the items of an index, whatever their status. A snapshot with items of it is none any more.
   *
   * @param before only items that were last submitted before that mark go. The manager may have heard of what stays: from then on no row that
   * waits is dropped because of a DELETE. By default everything goes that was submitted before the call.
   * @returns how many.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  clearItemsByIndex(index: string, before?: QueueMark): Promise<number>;
  /**
   * What waits, by order of first insertion, what is parked at the end; nothing changes.
   *
   * @param options `limit`: 1 to 100,000, 1,000 by default. `onlyDataValues`: without those with `isContext`; false by default.
   */
  fetchPendingItems(options?: { readonly limit?: number; readonly onlyDataValues?: boolean }): PendingItem[];
  /** Waits for what is being written, and lets go of the store. Closing twice is closing once. */
  close(): Promise<void>;
}
