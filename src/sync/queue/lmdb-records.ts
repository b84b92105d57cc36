// The records of a persistent queue that are no rows.

import type { LmdbDatabase, LmdbStore } from '../../base/lmdb-store.js';
import { decodeNames, encodeNames } from './lmdb-encoding.js';
import { decodeState, encodeState, type QueueState } from './lmdb-state.js';

/** Their database. */
export const recordsName = 'state';
const stateKey = Buffer.from('state');
const moduleKey = Buffer.from('module');
const valueIndicesKey = Buffer.from('indices of values');
const contextIndicesKey = Buffer.from('indices of contexts');

/** What is set is set in a transaction. */
export class QueueRecords {
  readonly #database: LmdbDatabase;

  constructor(store: LmdbStore) {
    this.#database = store.database(recordsName);
  }

  /** Whether the queue has just been made. */
  get isEmpty(): boolean {
    return this.#database.get(stateKey) === undefined;
  }

  get state(): QueueState {
    const bytes = this.#database.get(stateKey);
    if (bytes === undefined) throw new Error('the queue has no state');
    return decodeState(bytes);
  }

  set state(state: QueueState) {
    this.#database.putSync(stateKey, encodeState(state));
  }

  /** The module that the queue is of, as it was made. */
  get module(): string | undefined {
    return this.#database.get(moduleKey)?.toString();
  }

  set module(module: string) {
    this.#database.putSync(moduleKey, Buffer.from(module));
  }

  /** The indices of the values of the snapshot, sorted; perhaps with some of which nothing is left. */
  get valueIndices(): readonly string[] {
    return this.#names(valueIndicesKey) ?? [];
  }

  set valueIndices(names: readonly string[]) {
    this.#setNames(valueIndicesKey, names);
  }

  /** Those of its contexts. Undefined where they are not known; then those of its values are perhaps some too many. */
  get contextIndices(): readonly string[] | undefined {
    return this.#names(contextIndicesKey);
  }

  set contextIndices(names: readonly string[] | undefined) {
    this.#setNames(contextIndicesKey, names);
  }

  #names(key: Buffer): string[] | undefined {
    const bytes = this.#database.get(key);
    return bytes && decodeNames(bytes);
  }

  #setNames(key: Buffer, names: readonly string[] | undefined): void {
    if (names === undefined) this.#database.removeSync(key);
    else this.#database.putSync(key, encodeNames([...names].sort()));
  }
}
