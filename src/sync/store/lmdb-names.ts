// The numbers that name things in a manager's store, and the dictionary of agents and indices.

import { HawserError } from '../../base/errors.js';
import {
  agentKey,
  agentOfKey,
  agentRange,
  type Collection,
  type Databases,
  decodeCollection,
  decodeNumber,
  encodeNumber,
  indexKey,
  indexOfKey,
  maxNumber,
} from './lmdb-keys.js';

const nextKey = Buffer.from('next');

/** Agents, indices and numbers: what is asked is what is stored; new numbers count only once they are stored. */
export class LmdbNames {
  readonly #databases: Databases;
  /** Of agents that are known or about to be. */
  readonly #agents = new Map<string, number>();
  #next: number;

  constructor(databases: Databases) {
    this.#databases = databases;
    const next = databases.numbers.get(nextKey);
    this.#next = next === undefined ? 1 : decodeNumber(next);
  }

  /** A number that nothing has or had. Whoever writes it down writes `keepNumbers` in the same transaction. */
  newNumber(): number {
    if (this.#next >= maxNumber) throw new HawserError('ERR_HAWSER_STORE', 'the store has no number left');
    return this.#next++;
  }

  /** Within a transaction. */
  keepNumbers(): void {
    this.#databases.numbers.putSync(nextKey, encodeNumber(this.#next));
  }

  /** All agents, in the order of their bytes. */
  *agents(): IterableIterator<string> {
    for (const key of this.#databases.names.getKeys(agentRange)) yield agentOfKey(key);
  }

  /** @returns undefined for an agent of whom nothing is stored. */
  agent(name: string): number | undefined {
    const known = this.#agents.get(name);
    if (known !== undefined) return known;
    const stored = this.#databases.names.get(agentKey(name));
    if (stored === undefined) return undefined;
    const number = decodeNumber(stored);
    this.#agents.set(name, number);
    return number;
  }

  /** The agent's number, perhaps a new one: to be kept by `keepAgent` in the transaction that uses it. */
  agentToKeep(name: string): number {
    const number = this.agent(name) ?? this.newNumber();
    this.#agents.set(name, number);
    return number;
  }

  /** Within a transaction. */
  keepAgent(name: string, number: number): void {
    const key = agentKey(name);
    if (this.#databases.names.get(key) !== undefined) return;
    this.#databases.names.putSync(key, encodeNumber(number));
    this.keepNumbers();
  }

  /** Within a transaction: forgets an agent and its indices. @returns these. Its number stays its own, for what may just be written of it. */
  remove(name: string, number: number): Collection[] {
    const collections = Array.from(this.collections(number));
    for (const { index } of collections) this.#databases.names.removeSync(indexKey(number, index));
    this.#databases.names.removeSync(agentKey(name));
    return collections;
  }

  collection(agent: number, index: string): Collection | undefined {
    const stored = this.#databases.names.get(indexKey(agent, index));
    return stored === undefined ? undefined : decodeCollection(stored);
  }

  /** All indices of an agent, in the order of their bytes. */
  *collections(agent: number): IterableIterator<{ readonly index: string } & Collection> {
    const range = { start: indexKey(agent), end: indexKey(agent + 1) };
    for (const { key, value } of this.#databases.names.getRange(range)) {
      yield { index: indexOfKey(key), ...decodeCollection(value) };
    }
  }
}
