// Who watches a store that lies in this process, and how they are told.

import { isolate, warnOfListenerError } from '../../base/isolate.js';
import type { StoreChange, StoreEntry, WatchListener } from './store.js';

interface Watch {
  readonly prefix: string;
  readonly listener: WatchListener;
  /** `reset` was told: from then on changes are. */
  begun: boolean;
}

/** The watches of a store. Listeners are called from a microtask or a turn of their own; what one throws concerns nobody else. */
export class Watches {
  readonly #watches = new Set<Watch>();

  /** Tells `reset` in a later turn, and from then on what `tell` is given. @returns what ends it. */
  add(prefix: string, listener: WatchListener): Disposable {
    const watch: Watch = { prefix, listener, begun: false };
    this.#watches.add(watch);
    setImmediate(() => {
      // What was committed up to now is for whoever is told to read anew.
      watch.begun = true;
      this.#call(watch, () => listener.reset());
    });
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watch);
      },
    };
  }

  /** @param changes of one transaction; each listener is told of copies. */
  tell(changes: readonly StoreChange[]): void {
    if (changes.length === 0 || this.#watches.size === 0) return;
    queueMicrotask(() => {
      for (const watch of Array.from(this.#watches)) {
        if (!watch.begun) continue;
        const watched = changes.filter(({ key }) => key.startsWith(watch.prefix));
        if (watched.length > 0) this.#call(watch, () => watch.listener.changed(watched.map(copyOf)));
      }
    });
  }

  /** Ends all of them. */
  clear(): void {
    this.#watches.clear();
  }

  #call(watch: Watch, run: () => unknown): void {
    if (!this.#watches.has(watch)) return;
    isolate(run, (error) => warnOfListenerError(error, 'watch'));
  }
}

function copyOf({ key, entry, revision }: StoreChange): StoreChange {
  return { key, entry: entry && copyEntry(entry), revision };
}

/** For others: what they do with the bytes changes nothing in the store. */
export function copyEntry({ key, value, revision }: StoreEntry): StoreEntry {
  return { key, value: new Uint8Array(value), revision };
}
