// One entry of a store.

import { keyRange } from './keys.js';
import type { SessionStore, StoreEntry } from './store.js';

/** @returns a promise of what is under a key; rejects as `read` of the store. */
export async function readKey(store: SessionStore, key: string): Promise<StoreEntry | undefined> {
  const [entry] = await store.read(keyRange(key));
  return entry;
}
