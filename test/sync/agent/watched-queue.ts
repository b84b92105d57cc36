// A queue in memory that tells which calls it had, and fails where a test wants it to.

import { MemoryQueue } from '../../../src/sync/queue/memory-queue.js';
import type {
  Difference,
  PendingItem,
  QueueCounts,
  QueueMark,
  Snapshot,
  SnapshotLimits,
  SyncQueue,
} from '../../../src/sync/queue/queue.js';

export class WatchedQueue implements SyncQueue {
  /** The names of all calls, in order. */
  readonly calls: string[] = [];
  /** Those that fail. */
  readonly failing = new Set<string>();
  readonly #queue: MemoryQueue;

  constructor(snapshotItems?: number) {
    this.#queue = new MemoryQueue({
      wallNow: () => 1,
      ...(snapshotItems !== undefined && { snapshotItems }),
    });
  }

  get counts(): QueueCounts {
    return this.#queue.counts;
  }

  #call(name: string): void {
    this.calls.push(name);
    if (this.failing.has(name)) throw new Error(`${name} failed`);
  }

  /** How often it was called. */
  count(name: string): number {
    return this.calls.filter((each) => each === name).length;
  }

  async submit(differences: readonly Difference[]): Promise<void> {
    this.#call('submit');
    await this.#queue.submit(differences);
  }

  async fetchAndMarkForSync(limits?: SnapshotLimits): Promise<Snapshot | undefined> {
    this.#call('fetchAndMarkForSync');
    return this.#queue.fetchAndMarkForSync(limits);
  }

  async markSent(snapshot: Snapshot): Promise<void> {
    this.#call('markSent');
    await this.#queue.markSent(snapshot);
  }

  async markKnown(): Promise<void> {
    this.#call('markKnown');
    await this.#queue.markKnown();
  }

  async beginFull(): Promise<void> {
    this.#call('beginFull');
    await this.#queue.beginFull();
  }

  async endFull(): Promise<void> {
    this.#call('endFull');
    await this.#queue.endFull();
  }

  async clearSyncedItems(snapshot: Snapshot): Promise<void> {
    this.#call('clearSyncedItems');
    await this.#queue.clearSyncedItems(snapshot);
  }

  async resetSyncingItems(snapshot: Snapshot): Promise<void> {
    this.#call('resetSyncingItems');
    await this.#queue.resetSyncingItems(snapshot);
  }

  async park(snapshot: Snapshot): Promise<void> {
    this.#call('park');
    await this.#queue.park(snapshot);
  }

  async nextGeneration(): Promise<bigint> {
    this.#call('nextGeneration');
    return this.#queue.nextGeneration();
  }

  async raiseGeneration(least: bigint): Promise<void> {
    this.#call('raiseGeneration');
    await this.#queue.raiseGeneration(least);
  }

  async mark(): Promise<QueueMark> {
    this.#call('mark');
    return this.#queue.mark();
  }

  async clearItemsByIndex(index: string, before?: QueueMark): Promise<number> {
    this.#call(`clearItemsByIndex ${index}`);
    return this.#queue.clearItemsByIndex(index, before);
  }

  fetchPendingItems(): PendingItem[] {
    return this.#queue.fetchPendingItems();
  }

  async close(): Promise<void> {
    this.#call('close');
    await this.#queue.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
