// A picture of a few keys of a store, as they change.

import { Backoff } from '../../base/backoff.js';
import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { prefixRange } from '../store/keys.js';
import type { SessionStore, StoreChange, StoreEntry } from '../store/store.js';

/** So soon, and at last so seldom, what could not be read is tried again. */
export const storeRetry = { initialMs: 100, maxMs: 2000 } as const;

export interface WatchedKeysOptions {
  readonly store: SessionStore;
  /** Ends in an ASCII character. */
  readonly prefix: string;
  readonly wheel: TimingWheel;
  readonly random: Random;
  /** Told of each change of the picture. @param entry undefined: it was deleted. */
  readonly changed: (key: string, entry: StoreEntry | undefined, before: StoreEntry | undefined) => void;
  /** Told each time that the whole picture has been read, after the changes. */
  readonly loaded: () => void;
}

/** All keys with a prefix that has few. While the store cannot be reached it is what was known last. */
export class WatchedKeys implements Disposable {
  readonly #options: WatchedKeysOptions;
  readonly #entries = new Map<string, StoreEntry>();
  readonly #backoff: Backoff;
  readonly #retry = new WheelTimer(() => void this.#read());
  #watch: Disposable | undefined;
  /** Keys of which something was learned while they are read: what is read of them may be older. */
  readonly #learned = new Set<string>();
  /** Counts the readings that were begun: of several only the last one counts. */
  #reading = 0;
  #isLoaded = false;

  constructor(options: WatchedKeysOptions) {
    this.#options = options;
    this.#backoff = new Backoff(storeRetry, options.random);
  }

  /** Whether the picture has been read at all. */
  get isLoaded(): boolean {
    return this.#isLoaded;
  }

  get(key: string): StoreEntry | undefined {
    return this.#entries.get(key);
  }

  start(): void {
    const { store, prefix } = this.#options;
    this.#watch = store.watch(prefix, {
      changed: (changes) => {
        for (const change of changes) this.learn(change);
      },
      reset: () => void this.#read(),
    });
  }

  /** Something that is certain, from the watch or from a transaction. What is older than what is known changes nothing. */
  learn({ key, entry, revision }: StoreChange): void {
    this.#learned.add(key);
    this.#apply(key, entry, revision);
  }

  #apply(key: string, entry: StoreEntry | undefined, revision: number): void {
    const before = this.#entries.get(key);
    if (revision <= (before?.revision ?? 0)) return;
    if (entry !== undefined) this.#entries.set(key, entry);
    else if (!this.#entries.delete(key)) return;
    this.#options.changed(key, entry, before);
  }

  [Symbol.dispose](): void {
    this.#watch?.[Symbol.dispose]();
    this.#options.wheel.cancel(this.#retry);
    ++this.#reading;
  }

  async #read(): Promise<void> {
    const { store, prefix, wheel } = this.#options;
    const reading = ++this.#reading;
    wheel.cancel(this.#retry);
    this.#learned.clear();
    try {
      const entries = await store.read(prefixRange(prefix));
      if (reading === this.#reading) this.#replace(entries);
    } catch {
      if (reading === this.#reading) wheel.schedule(this.#retry, wheel.clock.now() + this.#backoff.next());
    }
  }

  #replace(entries: readonly StoreEntry[]): void {
    this.#backoff.reset();
    this.#isLoaded = true;
    const present = new Set(entries.map(({ key }) => key));
    for (const [key, before] of Array.from(this.#entries)) {
      if (present.has(key) || this.#learned.has(key)) continue;
      this.#entries.delete(key);
      this.#options.changed(key, undefined, before);
    }
    for (const entry of entries) {
      if (!this.#learned.has(entry.key)) this.#apply(entry.key, entry, entry.revision);
    }
    this.#learned.clear();
    this.#options.loaded();
  }
}
