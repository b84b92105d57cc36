// Whose the sessions here are, as the store says: claimed anew under a new lease, given up when another gateway has them.

import { Allowance } from '../../base/allowance.js';
import type { OwnerListener } from '../cluster/contracts.js';
import { ownerOf } from '../cluster/owner-watch.js';
import { ownerKey, prefixes, prefixRange } from '../store/keys.js';
import { readKey } from '../store/read-key.js';
import { decodeOwner, encodeOwner, type OwnerRecord } from '../store/records.js';
import type { StoreEntry } from '../store/store.js';
import type { OwnedSession } from './owned-session.js';
import type { ServerContext } from './server-context.js';
import { isUnavailable, retryAlways, retryWhileUnavailable, unavailable } from './store-retry.js';

const mostAtOnce = 64;
const pageEntries = 1000;

/** An owner record as it was found. */
export interface FoundOwner {
  readonly owner: OwnerRecord;
  readonly ownerRevision: number;
}

export class Ownership implements OwnerListener {
  readonly #context: ServerContext;
  readonly #allowance = new Allowance(mostAtOnce);
  /** Those whose record is being written or read. */
  readonly #busy = new Set<OwnedSession>();
  /** Sessions that are being claimed: how often, and the newest revision that the watch has told meanwhile. */
  readonly #claimed = new Map<string, { count: number; newest: number }>();
  readonly #stop = new AbortController();
  #isScanning = false;
  #scanAgain = false;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  close(): void {
    this.#stop.abort();
  }

  /** @returns a promise of the owner record of a session; rejects as the store does. */
  async read(id: string): Promise<FoundOwner | undefined> {
    const entry = await readKey(this.#context.settings.store, ownerKey(id));
    return entry && foundOwner(entry);
  }

  /** There is a new lease: what is this gateway's becomes so under its epoch. */
  reclaimAll(): void {
    const { table, standing } = this.#context;
    for (const session of table.values()) {
      if (!standing.isCurrent(session.owner)) this.reclaim(session);
    }
  }

  reclaim(session: OwnedSession): void {
    this.#once(session, () => this.#reclaim(session));
  }

  /** A claim of a session begins: what the watch tells of it from now on may be newer than the claim. */
  claimBegins(id: string): void {
    const claim = this.#claimed.get(id) ?? { count: 0, newest: 0 };
    ++claim.count;
    this.#claimed.set(id, claim);
  }

  isClaimed(id: string): boolean {
    return this.#claimed.has(id);
  }

  /** @returns the newest revision that the watch has told meanwhile, Infinity for a removal. */
  claimEnds(id: string): number {
    const claim = this.#claimed.get(id);
    if (claim === undefined) return 0;
    if (--claim.count === 0) this.#claimed.delete(id);
    return claim.newest;
  }

  /** Something does not fit: looks whose the session is. */
  verify(session: OwnedSession): void {
    this.#once(session, () => this.#verify(session));
  }

  // ---- What the watch tells ----------------------------------------------------------------------------------------

  changed(id: string, found: { readonly record: OwnerRecord; readonly revision: number } | undefined): void {
    const { queue, strays, table } = this.#context;
    const claim = this.#claimed.get(id);
    if (claim !== undefined) {
      claim.newest = Math.max(claim.newest, found?.revision ?? Number.POSITIVE_INFINITY);
    }
    if (table.get(id) === undefined) {
      if (found !== undefined) strays.noticed(id, found.record);
      return;
    }
    queue.enqueue(() => {
      const session = table.get(id);
      if (session === undefined) return;
      if (found === undefined) this.verify(session);
      else if (found.revision > session.ownerRevision) {
        this.#settle(session, { owner: found.record, ownerRevision: found.revision });
      }
    });
  }

  reset(): void {
    const { standing, table } = this.#context;
    if (table.size === 0 && standing.epoch === undefined) return;
    this.#scanAgain = this.#isScanning;
    if (!this.#isScanning) void this.#scan();
  }

  // ---- One session -------------------------------------------------------------------------------------------------

  #once(session: OwnedSession, run: () => Promise<void>): void {
    if (this.#busy.has(session)) return;
    this.#busy.add(session);
    const { settings, queue, storeFailed } = this.#context;
    const signal = session.ended;
    void this.#allowance
      .spend(1, async () => {
        if (!signal.aborted) await retryAlways(settings, signal, storeFailed, run);
      })
      // It was given up: whatever else fails is told, and tried again.
      .catch(() => undefined)
      .then(() => {
        this.#busy.delete(session);
        // Behind what has come of it; yet another lease may have been taken meanwhile.
        queue.enqueue(() => this.#reclaimStale(session));
      });
  }

  #reclaimStale(session: OwnedSession): void {
    const { settings, standing, table } = this.#context;
    if (settings.cluster === 'leader' || this.#stop.signal.aborted || !table.has(session)) return;
    if (standing.epoch !== undefined && !standing.isCurrent(session.owner)) this.reclaim(session);
  }

  async #reclaim(session: OwnedSession): Promise<void> {
    const { settings, standing } = this.#context;
    const { epoch } = standing;
    const fences = standing.fences();
    if (epoch === undefined || fences === undefined) throw unavailable('there is no lease');
    const key = ownerKey(session.id);
    const owner = { ...session.owner, gateway: settings.gateway, epoch };
    const result = await settings.store.txn({
      compare: [{ key, revision: session.ownerRevision }, ...fences],
      writes: [{ type: 'put', key, value: encodeOwner(owner) }],
    });
    if (result.committed) {
      this.#settle(session, { owner, ownerRevision: result.revision });
      return;
    }
    const [entry] = result.found;
    if (entry?.revision !== session.ownerRevision) {
      this.#settle(session, entry && foundOwner(entry));
      return;
    }
    standing.refuted(fences);
    throw unavailable('the lease does not hold');
  }

  async #verify(session: OwnedSession): Promise<void> {
    this.#settle(session, await this.read(session.id));
  }

  /** @param found what is in the store. */
  #settle(session: OwnedSession, found: FoundOwner | undefined): void {
    const { queue, table, standing, lifecycle } = this.#context;
    queue.enqueue(() => {
      if (!table.has(session)) return;
      if (found === undefined) lifecycle.removedElsewhere(session);
      else if (found.ownerRevision <= session.ownerRevision) return;
      else if (standing.isOurs(found.owner)) {
        session.reclaimed(found.owner, found.ownerRevision);
        this.#reclaimStale(session);
      } else lifecycle.moved(session);
    });
  }

  // ---- All of them -------------------------------------------------------------------------------------------------

  /** Changes may have been missed. */
  async #scan(): Promise<void> {
    const { table, storeFailed } = this.#context;
    this.#isScanning = true;
    do {
      this.#scanAgain = false;
      const unseen = new Set(table.values());
      try {
        await this.#readAll(unseen);
      } catch (error) {
        // Each is looked at on its own.
        if (!isUnavailable(error)) storeFailed(error);
      }
      // What was created behind the page that has been read is there all the same.
      for (const session of unseen) if (table.has(session)) this.verify(session);
    } while (this.#scanAgain && !this.#stop.signal.aborted);
    this.#isScanning = false;
  }

  /** @param unseen sessions that are not found as they should be stay in it. */
  async #readAll(unseen: Set<OwnedSession>): Promise<void> {
    const { settings, table } = this.#context;
    const { store } = settings;
    let { from, to } = prefixRange(prefixes.owners);
    for (;;) {
      const range = { from, to, limit: pageEntries };
      const page = await retryWhileUnavailable(settings, this.#stop.signal, () => store.read(range));
      for (const entry of page) {
        const id = entry.key.slice(prefixes.owners.length);
        const session = table.get(id);
        if (session === undefined) this.#foreign(id, entry);
        else if (session.ownerRevision === entry.revision) unseen.delete(session);
      }
      const last = page.at(-1);
      if (last === undefined || page.length < pageEntries) return;
      from = `${last.key}\0`;
    }
  }

  #foreign(id: string, entry: StoreEntry): void {
    const found = ownerOf(entry);
    if (found !== undefined) this.#context.strays.noticed(id, found.record);
  }
}

export function foundOwner({ value, revision }: StoreEntry): FoundOwner {
  return { owner: decodeOwner(value), ownerRevision: revision };
}
