// Sessions whose gateway is gone: the gateway that leads keeps them until their grace is over, and expires those that nobody has claimed by then.

import { Backoff } from '../../base/backoff.js';
import { nextTurn } from '../../base/next-turn.js';
import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { ExpiryBuckets } from '../server/expiry-buckets.js';
import type { RemovalTarget } from '../server/session.js';
import { prefixes, prefixRange } from '../store/keys.js';
import type { OwnerRecord } from '../store/records.js';
import type { SessionStore, StoreEntry } from '../store/store.js';
import type { Custody, CustodyHost, OwnerWatch } from './contracts.js';
import type { Members } from './members.js';
import { ownerOf } from './owner-watch.js';
import { storeRetry } from './watched-keys.js';

export interface OrphanCustodyOptions {
  readonly store: SessionStore;
  readonly owners: OwnerWatch;
  readonly members: Members;
  readonly host: CustodyHost;
  /** How long a session can be claimed, from when its gateway is found gone, in milliseconds. */
  readonly graceMs: number;
  readonly wheel: TimingWheel;
  readonly random: Random;
}

/** Owner records that are read at a time. */
const pageEntries = 1000;
/** Sessions that are being expired at a time. */
const maxExpiring = 64;
/** After so long it is asked again whether anything may be expired. */
const askAgainMs = 1000;

interface Orphan extends RemovalTarget {
  readonly deadlineMs: number;
}

/**
 * The source document's rule for a leader change, "expiredAt = current time + extended grace period", for the sessions of whatever gateway is
 * gone. A session whose deadline has come is expired in the first second after it, while the host says that anything may be.
 */
export class OrphanCustody implements Custody {
  readonly #options: OrphanCustodyOptions;
  readonly #backoff: Backoff;
  readonly #orphans = new Map<string, Orphan>();
  readonly #buckets: ExpiryBuckets<Orphan>;
  readonly #rescan = new WheelTimer(() => this.#scan());
  readonly #resweep = new WheelTimer(() => this.#sweep());
  /** Since `begin`; disposed by `end`. */
  #listening: Disposable[] | undefined;
  readonly #expiring = new Set<Orphan>();
  #scanning: Promise<void> | undefined;
  /** Something has happened that a scan under way may have missed. */
  #scanAgain = false;
  /** Owners that changed while a page is read, which may be older. */
  readonly #changed = new Set<string>();

  constructor(options: OrphanCustodyOptions) {
    this.#options = options;
    this.#backoff = new Backoff(storeRetry, options.random);
    this.#buckets = new ExpiryBuckets(options.wheel, () => this.#sweep());
  }

  get size(): number {
    return this.#orphans.size;
  }

  begin(): void {
    if (this.#listening !== undefined) return;
    const { owners, members } = this.#options;
    this.#listening = [
      owners.listen({
        changed: (sessionId, owner) => this.#ownerChanged(sessionId, owner),
        reset: () => this.#scan(),
      }),
      members.listen({ joined: () => this.#release(), left: () => this.#scan() }),
    ];
    this.#scan();
  }

  end(): void {
    for (const listening of this.#listening ?? []) listening[Symbol.dispose]();
    this.#listening = undefined;
    this.#options.wheel.cancel(this.#rescan);
    this.#options.wheel.cancel(this.#resweep);
    this.#buckets.clear();
    this.#orphans.clear();
  }

  async close(): Promise<void> {
    this.end();
    await this.#scanning;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // ---- Who is in custody -------------------------------------------------------------------------------------------

  #ownerChanged(
    sessionId: string,
    owner: { readonly record: OwnerRecord; readonly revision: number } | undefined,
  ): void {
    if (this.#scanning !== undefined) this.#changed.add(sessionId);
    if (owner === undefined) this.#remove(sessionId);
    else this.#consider(sessionId, owner);
  }

  /** One that is in custody already keeps its deadline. */
  #consider(
    id: string,
    { record, revision }: { readonly record: OwnerRecord; readonly revision: number },
  ): void {
    if (this.#options.host.isOwnerAlive(record)) {
      this.#remove(id);
      return;
    }
    if (this.#orphans.get(id)?.ownerRevision === revision) return;
    this.#remove(id);
    const deadlineMs = this.#options.wheel.clock.now() + this.#options.graceMs;
    const orphan = { id, owner: record, ownerRevision: revision, deadlineMs };
    this.#orphans.set(id, orphan);
    this.#buckets.schedule(orphan, deadlineMs);
  }

  #remove(id: string): void {
    const orphan = this.#orphans.get(id);
    if (orphan === undefined) return;
    this.#orphans.delete(id);
    this.#buckets.delete(orphan);
  }

  /** A gateway that lives after all has the sessions that it had. */
  #release(): void {
    for (const { id, owner } of Array.from(this.#orphans.values())) {
      if (this.#options.host.isOwnerAlive(owner)) this.#remove(id);
    }
  }

  // ---- Looking for them --------------------------------------------------------------------------------------------

  /** One scan serves all gateways that are found gone before it begins. */
  #scan(): void {
    this.#scanAgain = true;
    this.#scanning ??= this.#scanAll().finally(() => {
      this.#scanning = undefined;
      this.#changed.clear();
    });
  }

  async #scanAll(): Promise<void> {
    // Those that go at the same time are told in one turn.
    await nextTurn();
    while (this.#scanAgain && this.#listening !== undefined) {
      this.#scanAgain = false;
      try {
        await this.#scanOnce(this.#listening);
        this.#backoff.reset();
      } catch {
        const { wheel } = this.#options;
        if (this.#listening === undefined) return;
        wheel.schedule(this.#rescan, wheel.clock.now() + this.#backoff.next());
        return;
      }
    }
  }

  /** @param since ends when that is not the present custody any more. */
  async #scanOnce(since: readonly Disposable[]): Promise<void> {
    const { from, to } = prefixRange(prefixes.owners);
    const unseen = new Map(this.#orphans);
    for (let first = from; ; ) {
      this.#changed.clear();
      const page = await this.#options.store.read({ from: first, to, limit: pageEntries });
      if (since !== this.#listening) return;
      for (const entry of page) {
        const id = entry.key.slice(prefixes.owners.length);
        unseen.delete(id);
        this.#found(id, entry);
      }
      const last = page.at(-1);
      if (page.length < pageEntries || last === undefined) break;
      first = `${last.key}\0`;
      await nextTurn();
    }
    // Their end was missed. One that was written meanwhile is another.
    for (const [id, orphan] of unseen) if (this.#orphans.get(id) === orphan) this.#remove(id);
  }

  #found(id: string, entry: StoreEntry): void {
    const owner = ownerOf(entry);
    if (owner !== undefined && !this.#changed.has(id)) this.#consider(id, owner);
  }

  // ---- Expiring them -----------------------------------------------------------------------------------------------

  #sweep(): void {
    const { host, wheel } = this.#options;
    const isOver = (): boolean => this.#expiring.size >= maxExpiring || !host.mayExpire();
    if (!isOver()) this.#buckets.sweep(isOver, (orphan) => this.#expire(orphan));
    // Otherwise what is left is for when one of those under way has ended.
    if (!host.mayExpire()) wheel.schedule(this.#resweep, wheel.clock.now() + askAgainMs);
  }

  #expire(orphan: Orphan): undefined {
    this.#expiring.add(orphan);
    this.#options.host.expire(orphan).then(
      () => this.#expired(orphan, true),
      () => this.#expired(orphan, false),
    );
  }

  #expired(orphan: Orphan, isGone: boolean): void {
    this.#expiring.delete(orphan);
    // Somebody may have claimed it, and be gone as well.
    if (this.#orphans.get(orphan.id) === orphan) {
      if (isGone) this.#orphans.delete(orphan.id);
      else this.#buckets.schedule(orphan, this.#options.wheel.clock.now());
    }
    if (this.#listening !== undefined) this.#sweep();
  }
}
