// What is of no use any more in a manager's store on LMDB is deleted bit by bit, between other work: LMDB deletes one key at a time.

import type { LmdbStore } from '../../base/lmdb-store.js';
import type { Turns } from '../../base/turns.js';
import { type Databases, decodeGarbage, type Garbage, garbageKey, rangeOf } from './lmdb-keys.js';

/** So many rows are deleted in one transaction, whatever they are of: each costs the disk two syncs. */
const rowsAtATime = 1024;
const beforeAll: Buffer = Buffer.of(0);

/** Deletes garbage. */
export class LmdbGarbage {
  readonly #store: LmdbStore;
  readonly #databases: Databases;
  readonly #turns: Turns;
  /** Collections that a commit is making: they are garbage only if it is never ended. */
  readonly #inUse = new Set<number>();
  #collecting: Promise<void> | undefined;
  /** Whether there may be some that the collection under way has passed. */
  #wanted = false;
  #closed = false;

  constructor(store: LmdbStore, databases: Databases, turns: Turns) {
    this.#store = store;
    this.#databases = databases;
    this.#turns = turns;
  }

  /** It is not deleted until it is released. */
  hold(number: number): void {
    this.#inUse.add(number);
  }

  release(number: number): void {
    this.#inUse.delete(number);
  }

  /** Deletes what there is, between other work. */
  collect(): void {
    if (this.#closed) return;
    this.#wanted = true;
    this.#collecting ??= this.#collectAll()
      .catch(() => {
        // It stays, and is tried again with the next garbage, or when the store is opened.
      })
      .finally(() => {
        this.#collecting = undefined;
        if (this.#wanted) this.collect();
      });
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#collecting;
  }

  async #collectAll(): Promise<void> {
    while (this.#wanted) {
      this.#wanted = false;
      for (let start: Buffer | undefined = beforeAll; start !== undefined; ) {
        await this.#turns.next();
        if (this.#closed) return;
        start = await this.#collectSome(start);
      }
    }
  }

  /** @param start of the notes that are looked at. @returns that of the next ones; undefined when there are none. */
  async #collectSome(start: Buffer): Promise<Buffer | undefined> {
    const keys = Array.from(this.#databases.garbage.getKeys({ start, limit: rowsAtATime }));
    const garbage = keys.map(decodeGarbage).filter((each) => each !== undefined);
    const unused = garbage.filter(({ number }) => !this.#inUse.has(number));
    if (unused.length > 0) {
      const isAll = await this.#store.transaction(() => this.#delete(unused), { beyondMaxBytes: true });
      if (!isAll) return start;
    }
    const last = keys.at(-1);
    return last === undefined ? undefined : Buffer.concat([last, Buffer.of(0)]);
  }

  /** Within a transaction: so many rows, the notes counted. @returns whether that was all. */
  #delete(garbage: readonly Garbage[]): boolean {
    let left = rowsAtATime;
    for (const { kind, number } of garbage) {
      const database = this.#databases[kind];
      const keys = Array.from(database.getKeys({ ...rangeOf(number), limit: left }));
      for (const key of keys) database.removeSync(key);
      // Perhaps it has more; with no row left to delete there are none to find.
      if (keys.length === left) return false;
      this.#databases.garbage.removeSync(garbageKey(kind, number));
      left -= keys.length + 1;
    }
    return true;
  }
}
