// The indices of an agent while one of its sessions is applied to a manager's store on LMDB.

import { type Extent, mostIndices, noExtent, sumOf } from './agent-share.js';
import { type Growth, graver, type Shortage } from './growth.js';
import type { Collection } from './lmdb-keys.js';
import type { LmdbNames } from './lmdb-names.js';

/** Where documents of an index go: a collection that the dictionary has, or one that nobody else knows yet. */
export interface Place extends Extent {
  readonly index: string;
  readonly documents: number;
  checksums: number;
  readonly isNew: boolean;
  /** Of a new one: no id that is greater has come so far. Many agents send their documents in the order of their ids. */
  greatestId: string | undefined;
  count: number;
  bytes: number;
  /** Everything in it was deleted: what it has, and what is still to be written to it, will not be there at the end. */
  isCleaned: boolean;
  /** Why some documents were not written. */
  shortage: Shortage | undefined;
}

/** An index that the commit changes. */
export interface Target {
  readonly index: string;
  /** What the dictionary says now. */
  readonly old: Collection | undefined;
  readonly present: Place;
}

const untouched = { greatestId: undefined, isCleaned: false, shortage: undefined } as const;

/** What the commit changes, and how much the agent has. */
export class LmdbTargets {
  readonly #names: LmdbNames;
  /** What the dictionary says. */
  readonly #collections: ReadonlyMap<string, Collection>;
  readonly #targets = new Map<string, Target>();
  /** Those that may have documents. */
  readonly #indices: Set<string>;
  /** What is in the indices that are no targets. */
  #untouchedBytes: number;
  /** The collections that were made since they were last taken. */
  #made: number[] = [];

  constructor(names: LmdbNames, agent: number) {
    this.#names = names;
    this.#collections = new Map(Array.from(names.collections(agent), (each) => [each.index, each]));
    this.#indices = new Set(this.#collections.keys());
    this.#untouchedBytes = sumOf(this.#collections.values()).bytes;
  }

  /** @returns where a document is to be written; undefined when the agent may have no further index. */
  toWrite(index: string): Place | undefined {
    if (!this.#indices.has(index)) {
      if (this.#indices.size >= mostIndices) return undefined;
      this.#indices.add(index);
    }
    return this.#take(index).present;
  }

  /** @returns where a document is to be deleted; undefined when there is none of its index. */
  toDelete(index: string): Place | undefined {
    return this.#indices.has(index) ? this.#take(index).present : undefined;
  }

  /** From here on the index is another, without documents. */
  clean(index: string): void {
    if (!this.#indices.delete(index)) return;
    const { old, present } = this.#take(index);
    if (present.isNew && present.greatestId === undefined) return;
    present.isCleaned = true;
    this.#set(index, old, this.#newPlace(index));
  }

  /** All of its indices become targets. */
  takeAll(): void {
    for (const index of this.#collections.keys()) this.#take(index);
  }

  *[Symbol.iterator](): IterableIterator<Target> {
    yield* this.#targets.values();
  }

  get size(): number {
    return this.#targets.size;
  }

  /** What all documents of the agent count for, as far as they were written. */
  get bytes(): number {
    return this.#untouchedBytes + sumOf(Array.from(this.#targets.values(), ({ present }) => present)).bytes;
  }

  /** What there is of some indices beyond what takes its place. */
  replacedBytes(indices: ReadonlySet<string>): number {
    let bytes = 0;
    for (const { index, old, present } of this.#targets.values()) {
      if (indices.has(index)) bytes += (old?.bytes ?? 0) - present.bytes;
    }
    return Math.max(0, bytes);
  }

  /** The numbers of the collections that were made since the last call. */
  takeMade(): number[] {
    return this.#made.splice(0);
  }

  /** What kept documents out that should be there at the end. */
  shortage(growth: Growth<Place>): Shortage | undefined {
    let found: Shortage | undefined;
    for (const { present } of this.#targets.values()) {
      for (const each of [present.shortage, growth.refused.get(present)]) {
        if (each !== undefined) found = graver(found, each);
      }
    }
    return found;
  }

  #take(index: string): Target {
    const known = this.#targets.get(index);
    if (known !== undefined) return known;
    const old = this.#collections.get(index);
    if (old === undefined) return this.#set(index, old, this.#newPlace(index));
    this.#untouchedBytes -= old.bytes;
    return this.#set(index, old, { ...old, index, isNew: false, ...untouched });
  }

  #set(index: string, old: Collection | undefined, present: Place): Target {
    const target = { index, old, present };
    this.#targets.set(index, target);
    return target;
  }

  #newPlace(index: string): Place {
    const number = this.#names.newNumber();
    this.#made.push(number);
    const numbers = { documents: number, checksums: number };
    return { index, ...numbers, ...noExtent, isNew: true, ...untouched };
  }
}
