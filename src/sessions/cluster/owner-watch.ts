// Who owns sessions, as it changes: one watch of the store for all parts of a gateway.

import { prefixes } from '../store/keys.js';
import { decodeOwner, type OwnerRecord } from '../store/records.js';
import type { SessionStore, StoreChange, StoreEntry } from '../store/store.js';
import type { OwnerListener, OwnerWatch } from './contracts.js';

/** Listeners that come later are told `reset` too, in a later turn. */
export class StoreOwnerWatch implements OwnerWatch {
  readonly #watch: Disposable;
  readonly #listeners = new Set<OwnerListener>();
  /** The first reset has been told. */
  #hasBegun = false;

  constructor(store: SessionStore) {
    this.#watch = store.watch(prefixes.owners, {
      changed: (changes) => this.#changed(changes),
      reset: () => {
        this.#hasBegun = true;
        for (const listener of Array.from(this.#listeners)) listener.reset();
      },
    });
  }

  listen(listener: OwnerListener): Disposable {
    this.#listeners.add(listener);
    if (this.#hasBegun) {
      setImmediate(() => {
        if (this.#listeners.has(listener)) listener.reset();
      });
    }
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
      },
    };
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.#listeners.clear();
  }

  #changed(changes: readonly StoreChange[]): void {
    for (const { key, entry } of changes) {
      const owner = entry && ownerOf(entry);
      // A record that cannot be read is somebody else's: whoever has the session finds out by its revision.
      if (entry !== undefined && owner === undefined) continue;
      const sessionId = key.slice(prefixes.owners.length);
      for (const listener of Array.from(this.#listeners)) {
        if (this.#listeners.has(listener)) listener.changed(sessionId, owner);
      }
    }
  }
}

/** @returns undefined for what is no record of this version. */
export function ownerOf({
  value,
  revision,
}: StoreEntry): { readonly record: OwnerRecord; readonly revision: number } | undefined {
  try {
    return { record: decodeOwner(value), revision };
  } catch {
    return undefined;
  }
}
