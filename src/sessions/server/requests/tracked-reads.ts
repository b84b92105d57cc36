// What a handler reads, and at which revision: its outcome counts only if all of it is as it was.

import { argumentError, describe } from '../../../base/check.js';
import { HawserError } from '../../../base/errors.js';
import { prefixes } from '../../store/keys.js';
import { readKey } from '../../store/read-key.js';
import type { StoreEntry } from '../../store/store.js';
import type { RequestHost } from '../session.js';
import { isUnavailable } from '../store-retry.js';
import { checkApplicationKey } from './outcome.js';
import { inTurn, unattended } from './store-calls.js';

const maxKeys = 64;

/** The reads of one call of a handler. A key that is read twice is what it was at first. */
export class TrackedReads {
  readonly #host: RequestHost;
  readonly #entries = new Map<string, Promise<StoreEntry | undefined>>();
  readonly #revisions = new Map<string, number>();
  #failed = false;
  #ended = false;

  constructor(host: RequestHost) {
    this.#host = host;
  }

  /** Of each key of the store that was read: 0 for nothing. */
  get revisions(): ReadonlyMap<string, number> {
    return this.#revisions;
  }

  /** Whether one of them could not be answered, since the store could not be reached. */
  get failed(): boolean {
    return this.#failed;
  }

  /** As {@link RequestContext.get}. */
  get(key: string): Promise<Uint8Array | undefined> {
    return unattended(this.#get(key));
  }

  /** The handler has returned: what it reads from now on counts for nothing. */
  end(): void {
    this.#ended = true;
  }

  async #get(key: string): Promise<Uint8Array | undefined> {
    const stored = prefixes.application + checkApplicationKey(key);
    if (this.#ended) throw new HawserError('ERR_HAWSER_CLOSED', 'the handler has returned already');
    const entry = await this.#read(stored);
    return entry && new Uint8Array(entry.value);
  }

  #read(key: string): Promise<StoreEntry | undefined> {
    const known = this.#entries.get(key);
    if (known !== undefined) return known;
    if (this.#entries.size >= maxKeys) {
      throw argumentError('key', `one of at most ${maxKeys} that a handler reads`, describe(key));
    }
    const entry = this.#readNow(key);
    this.#entries.set(key, entry);
    return entry;
  }

  async #readNow(key: string): Promise<StoreEntry | undefined> {
    try {
      const entry = await inTurn(this.#host, readKey(this.#host.store, key));
      if (!this.#ended) this.#revisions.set(key, entry?.revision ?? 0);
      return entry;
    } catch (error) {
      if (isUnavailable(error)) this.#failed = true;
      this.#entries.delete(key);
      throw error;
    }
  }
}
