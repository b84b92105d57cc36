// Which transactions may be under way at the same time: those that touch the same keys go one after the other, in the order of the calls.

import { Fifo } from '../../base/fifo.js';
import type { Transaction } from './store.js';

/** Where a transaction waits for its turn. */
interface Entry {
  /** Locks it has not been given yet. */
  missing: number;
  readonly granted: () => void;
}

interface Waiting {
  readonly entry: Entry;
  readonly exclusive: boolean;
}

interface Lock {
  shared: number;
  exclusive: boolean;
  readonly waiting: Fifo<Waiting>;
}

/** Names of locks; true: held by one alone. */
export type Locks = ReadonlyMap<string, boolean>;

/** Keys are taken apart at so many slashes. */
const maxLevels = 3;

/**
 * The locks of a transaction. A key that is compared is shared, a key that is written is held alone, and a range holds alone the longest prefix,
 * up to a slash, that all its keys have. What lies above of a key or a prefix is shared, so that a range waits for all keys below it, and they for
 * it, without looking at each.
 */
export function locksOf({ compare, writes }: Transaction): Locks {
  const locks = new Map<string, boolean>();
  const take = (name: string, exclusive: boolean): void => {
    locks.set(name, exclusive || locks.get(name) === true);
  };
  const takeKey = (key: string, exclusive: boolean): void => {
    for (const prefix of prefixesOf(key)) take(prefix, false);
    take(`=${key}`, exclusive);
  };
  for (const { key } of compare) takeKey(key, false);
  for (const write of writes) {
    if (write.type !== 'deleteRange') {
      takeKey(write.key, true);
      continue;
    }
    const last = prefixesOf(write.to);
    const common = prefixesOf(write.from).filter((prefix, index) => prefix === last[index]);
    for (const [index, prefix] of common.entries()) take(prefix, index === common.length - 1);
  }
  return locks;
}

/** The names of what lies above a key: of all keys, and of those with the same beginning up to a slash. */
function prefixesOf(key: string): string[] {
  const prefixes = ['<'];
  for (let at = key.indexOf('/'); at >= 0 && prefixes.length <= maxLevels; at = key.indexOf('/', at + 1)) {
    prefixes.push(`<${key.slice(0, at + 1)}`);
  }
  return prefixes;
}

/** Gives locks in the order in which they are asked for. All of a transaction are asked for at once, so that none waits for another in a ring. */
export class KeyOrder {
  readonly #locks = new Map<string, Lock>();

  /** @param granted called once all of them are held: at once, or by a later `leave` of another. */
  enter(locks: Locks, granted: () => void): void {
    const entry: Entry = { missing: 1, granted };
    for (const [name, exclusive] of locks) {
      const lock = this.#lock(name);
      if (lock.waiting.size === 0 && hold(lock, exclusive)) continue;
      ++entry.missing;
      lock.waiting.push({ entry, exclusive });
    }
    give(entry);
  }

  /** Gives them back. */
  leave(locks: Locks): void {
    for (const [name, exclusive] of locks) {
      const lock = this.#lock(name);
      if (exclusive) lock.exclusive = false;
      else --lock.shared;
      for (let next = lock.waiting.first; next !== undefined; next = lock.waiting.first) {
        if (!hold(lock, next.exclusive)) break;
        lock.waiting.shift();
        give(next.entry);
      }
      if (lock.shared === 0 && !lock.exclusive) this.#locks.delete(name);
    }
  }

  #lock(name: string): Lock {
    let lock = this.#locks.get(name);
    if (lock === undefined) {
      lock = { shared: 0, exclusive: false, waiting: new Fifo() };
      this.#locks.set(name, lock);
    }
    return lock;
  }
}

/** @returns whether it is held now. */
function hold(lock: Lock, exclusive: boolean): boolean {
  if (lock.exclusive || (exclusive && lock.shared > 0)) return false;
  if (exclusive) lock.exclusive = true;
  else ++lock.shared;
  return true;
}

function give(entry: Entry): void {
  --entry.missing;
  if (entry.missing === 0) entry.granted();
}
