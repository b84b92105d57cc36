// Processes that a simulation can kill: their clock stops, and what they had not written yet is gone.

import type { Clock, Timer } from '../../src/base/clock.js';
import { HawserError } from '../../src/base/errors.js';
import type {
  Difference,
  QueueCounts,
  QueueMark,
  Snapshot,
  SnapshotLimits,
  SyncQueue,
} from '../../src/sync/queue/queue.js';
import type {
  Change,
  CommittedSession,
  StoredDocument,
  StoredSession,
  SyncStore,
} from '../../src/sync/store/store.js';
import type { VirtualClock } from '../../src/testing/index.js';
import type { Dice } from '../interaction/simulated-home.js';

/** The time of a process, which ends with it. */
export class Process implements Clock {
  readonly clock: VirtualClock;
  readonly dice: Dice;
  isAlive = true;

  constructor(clock: VirtualClock, dice: Dice) {
    this.clock = clock;
    this.dice = dice;
  }

  now(): number {
    return this.clock.now();
  }

  wallNow(): number {
    return this.clock.wallNow();
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    const run = (): void => {
      if (this.isAlive) callback();
    };
    return this.clock.setTimeout(run, delayMs);
  }

  /** What a disk takes for something; never, when the process is killed meanwhile. */
  async onDisk<T>(carryOut: () => Promise<T>): Promise<T> {
    await this.#busy();
    const outcome = await carryOut();
    await this.#busy();
    return outcome;
  }

  async #busy(): Promise<void> {
    await this.clock.sleep(this.dice.magnitude(0.1, 20));
    if (!this.isAlive) await new Promise(() => undefined);
  }
}

/** The changes before that one; then the process is gone. */
function* interrupted(changes: readonly Change[], before: number): Iterable<Change> {
  yield* changes.slice(0, before);
  throw new HawserError('ERR_HAWSER_CLOSED', 'the process was killed');
}

const full = (): HawserError => new HawserError('ERR_HAWSER_STORE_FULL', 'the simulated store is full');

/** Who is told what a queue does, when it has done it. */
export interface QueueWatch {
  accepted(differences: readonly Difference[]): void;
  marked(): void;
}

/** The queue of an agent as one of its processes has it. What is behind it outlives the process. */
export class QueueOfProcess implements SyncQueue {
  readonly #queue: SyncQueue;
  readonly #process: Process;
  readonly #watch: QueueWatch;
  #last: Promise<unknown> = Promise.resolve();

  constructor(queue: SyncQueue, process: Process, watch: QueueWatch) {
    this.#queue = queue;
    this.#process = process;
    this.#watch = watch;
  }

  get counts(): QueueCounts {
    return this.#queue.counts;
  }

  submit(differences: readonly Difference[]): Promise<void> {
    return this.#inOrder(async () => {
      await this.#queue.submit(differences);
      this.#watch.accepted(differences);
    });
  }

  fetchAndMarkForSync(limits?: SnapshotLimits): Promise<Snapshot | undefined> {
    return this.#inOrder(() => this.#queue.fetchAndMarkForSync(limits));
  }

  markSent(snapshot: Snapshot): Promise<void> {
    return this.#inOrder(() => this.#queue.markSent(snapshot));
  }

  markKnown(): Promise<void> {
    return this.#inOrder(() => this.#queue.markKnown());
  }

  beginFull(): Promise<void> {
    return this.#inOrder(() => this.#queue.beginFull());
  }

  endFull(): Promise<void> {
    return this.#inOrder(() => this.#queue.endFull());
  }

  clearSyncedItems(snapshot: Snapshot): Promise<void> {
    return this.#inOrder(() => this.#queue.clearSyncedItems(snapshot));
  }

  resetSyncingItems(snapshot: Snapshot): Promise<void> {
    return this.#inOrder(() => this.#queue.resetSyncingItems(snapshot));
  }

  park(snapshot: Snapshot): Promise<void> {
    return this.#inOrder(() => this.#queue.park(snapshot));
  }

  nextGeneration(): Promise<bigint> {
    return this.#inOrder(() => this.#queue.nextGeneration());
  }

  raiseGeneration(least: bigint): Promise<void> {
    return this.#inOrder(() => this.#queue.raiseGeneration(least));
  }

  mark(): Promise<QueueMark> {
    return this.#inOrder(async () => {
      const mark = await this.#queue.mark();
      this.#watch.marked();
      return mark;
    });
  }

  clearItemsByIndex(index: string, before?: QueueMark): Promise<number> {
    return this.#inOrder(() => this.#queue.clearItemsByIndex(index, before));
  }

  fetchPendingItems(
    options?: Parameters<SyncQueue['fetchPendingItems']>[0],
  ): ReturnType<SyncQueue['fetchPendingItems']> {
    return this.#queue.fetchPendingItems(options);
  }

  /** What was asked for first is done first. */
  #inOrder<T>(carryOut: () => Promise<T>): Promise<T> {
    const before = this.#last;
    const done = this.#process.onDisk(async () => {
      await before;
      return carryOut();
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** What is behind it stays open: the next process takes it over. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Who is told what a store does. */
export interface StoreWatch {
  /** These changes are about to be carried out. */
  changes(session: StoredSession, changes: readonly Change[]): void;
  /** How many of so many changes are carried out before the process is killed; undefined for all, and none is killed. */
  cut(changes: number): number | undefined;
  /** Whether the process is killed before a session is dropped: the next one has it again. */
  cutDrop(): boolean;
}

/** The store of a manager as one of its processes has it. What is behind it outlives the process. */
export class StoreOfProcess implements SyncStore {
  /** The share of writes that fail. */
  failureRate = 0;
  readonly #store: SyncStore;
  readonly #process: Process;
  readonly #watch: StoreWatch;
  /** What is staged and not written. */
  readonly #unwritten = new Map<
    number,
    { readonly session: StoredSession; readonly messages: Uint8Array[] }
  >();

  constructor(store: SyncStore, process: Process, watch: StoreWatch) {
    this.#store = store;
    this.#process = process;
    this.#watch = watch;
  }

  get usage(): SyncStore['usage'] {
    return this.#store.usage;
  }

  sessions(): readonly StoredSession[] {
    return this.#store.sessions();
  }

  committed(agent: string, module: string): CommittedSession | undefined {
    return this.#store.committed(agent, module);
  }

  agents(): IterableIterator<string> {
    return this.#store.agents();
  }

  begin(session: Omit<StoredSession, 'key' | 'state'>): StoredSession {
    this.#check();
    return this.#store.begin(session);
  }

  stage(session: StoredSession, message: Uint8Array): void {
    this.#check();
    const messages = this.#unwritten.get(session.key)?.messages ?? [];
    messages.push(new Uint8Array(message));
    this.#unwritten.set(session.key, { session, messages });
  }

  staged(session: StoredSession): Promise<void> {
    return this.#process.onDisk(async () => {
      this.#fail();
      this.#write(session.key);
      await this.#store.staged(session);
    });
  }

  get unwrittenBytes(): number {
    let bytes = 0;
    for (const { messages } of this.#unwritten.values()) for (const { length } of messages) bytes += length;
    return bytes;
  }

  stagedCount(session: StoredSession): number {
    return this.#store.stagedCount(session) + (this.#unwritten.get(session.key)?.messages.length ?? 0);
  }

  stagedMessage(session: StoredSession, n: number): Uint8Array | undefined {
    const written = this.#store.stagedCount(session);
    if (n < written) return this.#store.stagedMessage(session, n);
    return this.#unwritten.get(session.key)?.messages[n - written];
  }

  drop(session: StoredSession): Promise<void> {
    this.#unwritten.delete(session.key);
    return this.#process.onDisk(async () => {
      if (this.#watch.cutDrop()) return;
      try {
        this.#fail();
      } catch (error) {
        // It is tried again by itself, unless the process is killed before: then the session is there again.
        this.#process.setTimeout(
          () => void this.#store.drop(session),
          this.#process.dice.magnitude(1, 30_000),
        );
        throw error;
      }
      await this.#store.drop(session);
    });
  }

  commit(
    session: StoredSession,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress?: (applied: number) => void,
  ): Promise<void> {
    return this.#process.onDisk(async () => {
      this.#fail();
      this.#write(session.key);
      // Each is a view that ends with the next.
      const copies = Array.from(changes, (each) =>
        each !== undefined && 'data' in each ? { ...each, data: new Uint8Array(each.data) } : each,
      );
      const all = copies.filter((each) => each !== undefined);
      this.#watch.changes(session, all);
      const cut = this.#watch.cut(all.length);
      const carriedOut = cut === undefined ? all : interrupted(all, cut);
      // What is interrupted never settles: the process is gone.
      await this.#store.commit(session, carriedOut, rejected, progress).catch((error) => {
        if (this.#process.isAlive) throw error;
      });
    });
  }

  setAgent(agent: string, kind: 'metadata' | 'groups', value: Uint8Array): Promise<void> {
    return this.#process.onDisk(() => this.#store.setAgent(agent, kind, value));
  }

  agent(agent: string, kind: 'metadata' | 'groups'): Uint8Array | undefined {
    return this.#store.agent(agent, kind);
  }

  removeAgent(agent: string): Promise<number> {
    return this.#process.onDisk(() => this.#store.removeAgent(agent));
  }

  usageOf(agent: string): ReturnType<SyncStore['usageOf']> {
    return this.#store.usageOf(agent);
  }

  checksum(agent: string, index: string): Promise<string | undefined> {
    return this.#process.onDisk(() => this.#store.checksum(agent, index));
  }

  document(agent: string, index: string, id: string): StoredDocument | undefined {
    return this.#store.document(agent, index, id);
  }

  documents(agent: string, index?: string): IterableIterator<StoredDocument> {
    return this.#store.documents(agent, index);
  }

  /** What is behind it stays open: the next process takes it over. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What is staged is written, and can fail to be: then it is lost. */
  #write(key: number): void {
    const unwritten = this.#unwritten.get(key);
    this.#unwritten.delete(key);
    for (const message of unwritten?.messages ?? [])
      this.#store.stage(unwritten?.session as StoredSession, message);
  }

  #check(): void {
    if (!this.#process.isAlive) throw new HawserError('ERR_HAWSER_CLOSED', 'the process was killed');
    this.#fail();
  }

  #fail(): void {
    if (this.#process.dice.chance(this.failureRate)) throw full();
  }
}
