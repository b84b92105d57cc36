// Sessions that are over and have to go from the store.

import { setMaxListeners } from 'node:events';
import { Allowance } from '../../base/allowance.js';
import { ownerKey } from '../store/keys.js';
import { readKey } from '../store/read-key.js';
import { decodeOwner } from '../store/records.js';
import type { SessionEnd } from './handler.js';
import { sessionInfo } from './owned-session.js';
import type { ServerContext } from './server-context.js';
import type { RemovalTarget } from './session.js';
import { retryAlways, unavailable } from './store-retry.js';

/** So many are removed at a time. */
const mostAtOnce = 64;

/** Removes sessions, and tries again while the store is away. */
export class Removals {
  readonly #context: ServerContext;
  readonly #allowance = new Allowance(mostAtOnce);
  readonly #ids = new Set<string>();
  /** Those that are to be looked for once they are gone. */
  readonly #suspects = new Set<string>();
  #stop = newStop();

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** Whether a session is over, whatever the store says. */
  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** It may come back while it is removed: a transaction that was given up is carried out late. */
  lookAfter(id: string): void {
    if (this.#ids.has(id)) this.#suspects.add(id);
  }

  add(target: RemovalTarget, end: SessionEnd): void {
    const { requests, queue, ownership, standing } = this.#context;
    let present = target;
    this.#ids.add(target.id);
    this.#persist(target.id, async () => {
      const outcome = await requests.remove(present, end);
      if (outcome === 'notOwned') {
        const found = await ownership.read(target.id);
        if (found !== undefined && standing.isOurs(found.owner)) {
          present = { id: target.id, ...found };
          throw unavailable('it was claimed anew by this gateway when it ended');
        }
      }
      queue.enqueue(() => this.told(target, end, outcome));
    });
  }

  /** Removes a session that no client knows of, without calling the application: its Create was given up. */
  undo(id: string): void {
    this.#ids.add(id);
    this.#suspects.add(id);
    this.#persist(id, () => this.#undo(id));
  }

  /** Counts and tells of a session that was removed. */
  told(target: RemovalTarget, end: SessionEnd, outcome: 'removed' | 'notOwned'): void {
    const { tally, tell } = this.#context;
    if (outcome === 'notOwned') {
      ++tally.moved;
      tell('sessionMoved', sessionInfo(target));
      return;
    }
    ++tally[end];
    tell('sessionEnded', sessionInfo(target), end);
  }

  /** Gives up what waits: whoever leads now sees to it. */
  clear(): void {
    this.#stop.abort();
    this.#stop = newStop();
    this.#ids.clear();
    this.#suspects.clear();
  }

  /** What waits, and what comes yet, is left to whoever has the lease next. */
  close(): void {
    this.clear();
    this.#stop.abort();
  }

  #persist(id: string, operation: () => Promise<void>): void {
    const { signal } = this.#stop;
    const { settings, storeFailed } = this.#context;
    void this.#allowance
      .spend(1, async () => {
        if (!signal.aborted) await retryAlways(settings, signal, storeFailed, operation);
      })
      // It was given up: whatever else fails is told, and tried again.
      .catch(() => undefined)
      .then(() => {
        if (signal.aborted) return;
        this.#ids.delete(id);
        if (this.#suspects.delete(id)) this.#context.strays.look(id);
      });
  }

  async #undo(id: string): Promise<void> {
    const { settings, standing } = this.#context;
    const { store } = settings;
    const key = ownerKey(id);
    const entry = await readKey(store, key);
    if (entry === undefined || decodeOwner(entry.value).gateway !== settings.gateway) return;
    const fences = standing.fences();
    if (fences === undefined) throw unavailable('this gateway may not write');
    const compare = [{ key, revision: entry.revision }, ...fences];
    const { committed } = await store.txn({ compare, writes: [{ type: 'delete', key }] });
    if (!committed) throw unavailable('it was changed meanwhile');
  }
}

/** All that are under way listen to one signal. */
function newStop(): AbortController {
  const stop = new AbortController();
  setMaxListeners(mostAtOnce, stop.signal);
  return stop;
}
