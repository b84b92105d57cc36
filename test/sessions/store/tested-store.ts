// The store that the tests of the contract of stores of sessions are run on.

import { HawserError } from '../../../src/base/errors.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import type { SessionStore, StoreEntry, StoreLease, Write } from '../../../src/sessions/store/store.js';
import { Watcher } from './watcher.js';

export class TestedStore {
  /** Others of what it keeps, to be closed before it. */
  readonly others: SessionStore[] = [];
  #store: SessionStore | undefined;

  get store(): SessionStore {
    if (this.#store === undefined) throw new Error('the store is not open yet');
    return this.#store;
  }

  set store(store: SessionStore) {
    this.#store = store;
  }

  async close(): Promise<void> {
    for (const other of this.others.splice(0)) await other.close();
    await this.#store?.close();
  }

  /** Commits without comparing. @returns the revision. */
  readonly write = async (...writes: readonly Write[]): Promise<number> => {
    const result = await this.store.txn({ compare: [], writes });
    if (!result.committed) throw new Error('a transaction without comparisons was not committed');
    return result.revision;
  };

  readonly read = async (key: string): Promise<StoreEntry | undefined> => {
    const [entry] = await this.store.read({ from: key, to: `${key}\0` });
    return entry;
  };

  readonly contentOf = async (prefix: string): Promise<string[]> =>
    linesOf(await this.store.read(prefixRange(prefix)));

  /** A watch that has begun. */
  readonly watched = async (prefix: string): Promise<Watcher & Disposable> => {
    const watcher = new Watcher();
    const watch = this.store.watch(prefix, watcher);
    await watcher.until(() => watcher.told.length > 0);
    return Object.assign(watcher, { [Symbol.dispose]: () => watch[Symbol.dispose]() });
  };
}

/** The range of all keys that the tests use. */
export const everything = { from: '!', to: '\u{10ffff}' } as const;

export function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

export function put(key: string, text: string, lease?: StoreLease): Write {
  return { type: 'put', key, value: bytes(text), ...(lease && { lease }) };
}

export function remove(key: string): Write {
  return { type: 'delete', key };
}

/** `key=value` of each. */
export function linesOf(entries: readonly StoreEntry[]): string[] {
  return entries.map(({ key, value }) => `${key}=${Buffer.from(value).toString()}`);
}

/** @returns the code of the error, or `none`. */
export async function refusal(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (error instanceof HawserError) return error.code;
    throw error;
  }
  return 'none';
}
