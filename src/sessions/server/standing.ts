// What this gateway may do: by its lease, and among the gateways by its election.

import type { CustodyHost, ElectionListener, GatewayLeaseListener } from '../cluster/contracts.js';
import { OrphanCustody } from '../cluster/custody.js';
import { StoreElection } from '../cluster/election.js';
import { KeptLease } from '../cluster/gateway-lease.js';
import { Members } from '../cluster/members.js';
import { StoreOwnerWatch } from '../cluster/owner-watch.js';
import type { OwnerRecord } from '../store/records.js';
import type { Compare, StoreLease } from '../store/store.js';
import type { CloseReason } from '../wire/messages.js';
import type { OwnedSession } from './owned-session.js';
import type { ServerContext } from './server-context.js';
import type { RemovalTarget } from './session.js';

export class Standing implements GatewayLeaseListener, ElectionListener, CustodyHost {
  readonly #context: ServerContext;
  readonly #lease: KeptLease;
  readonly #election: StoreElection;
  readonly #members: Members;
  readonly #owners: StoreOwnerWatch;
  readonly #custody: OrphanCustody;
  /** Of all leases that this gateway has had. */
  readonly #epochs = new Set<string>();
  #serving = false;
  #isClosed = false;

  constructor(context: ServerContext) {
    this.#context = context;
    const { store, gateway, advertise, graceMs, wheel, random } = context.settings;
    const shared = { store, wheel, random };
    const startedAt = Math.floor(context.clock.wallNow());
    this.#lease = new KeptLease({ ...shared, gateway, advertise, startedAt, listener: this });
    const lease = (): StoreLease | undefined => this.#lease.current;
    this.#election = new StoreElection({
      ...shared,
      name: 'leader',
      gateway,
      advertise,
      lease,
      listener: this,
    });
    this.#members = new Members(shared);
    this.#owners = new StoreOwnerWatch(store);
    this.#custody = new OrphanCustody({
      ...shared,
      owners: this.#owners,
      members: this.#members,
      host: this,
      graceMs,
    });
  }

  /** @returns a promise that resolves when the lease is held. */
  async start(): Promise<void> {
    this.#owners.listen(this.#context.ownership);
    this.#members.start();
    this.#election.start();
    await this.#lease.start();
  }

  /** Gives up the lease and leadership, so that others need not wait. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#tellServing();
    this.#owners[Symbol.dispose]();
    await this.#custody.close();
    await this.#election.close();
    await this.#lease.close();
    this.#members[Symbol.dispose]();
  }

  /** Comparisons of each transaction; undefined while nothing may be written. */
  fences(): readonly Compare[] | undefined {
    const { current } = this.#lease;
    if (current === undefined || !this.leaseValid) return undefined;
    if (this.#context.settings.cluster === 'active') return [current.fence];
    const { fence } = this.#election;
    return fence && [current.fence, fence];
  }

  /** Whether the lease certainly holds. */
  get leaseValid(): boolean {
    return this.#lease.valid && !this.#isClosed;
  }

  /** That of the lease; undefined without one. */
  get epoch(): string | undefined {
    return this.#lease.current?.epoch;
  }

  /** Whether another gateway serves, or none. */
  get isFollower(): boolean {
    return this.#context.settings.cluster === 'leader' && !this.#election.isLeader;
  }

  get isLeader(): boolean {
    return this.#election.isLeader;
  }

  get serving(): boolean {
    return this.#serving;
  }

  get inCustody(): number {
    return this.#custody.size;
  }

  /** Where the gateway is that leads, if that is another. */
  get hint(): string | undefined {
    const { leader } = this.#election;
    // It may have led under an earlier lease, as the store still says.
    const isOwn = this.isLeader || leader === this.#context.settings.advertise;
    return leader === '' || isOwn ? undefined : leader;
  }

  /** Whether an owner is this gateway with its present lease. */
  isCurrent(owner: OwnerRecord): boolean {
    return owner.gateway === this.#context.settings.gateway && owner.epoch === this.epoch;
  }

  /** Whether an owner is this gateway with any lease since it was made. */
  isOurs(owner: OwnerRecord): boolean {
    return owner.gateway === this.#context.settings.gateway && this.#epochs.has(owner.epoch);
  }

  /** A transaction has shown that one of these fences does not hold, which may be others by now. */
  refuted(fences: readonly Compare[]): void {
    const now = this.fences();
    if (now?.every(({ revision }, index) => revision === fences[index]?.revision)) this.fenced();
  }

  /** What this gateway has is not to be counted on: it takes another lease. */
  fenced(): void {
    if (this.#lease.current !== undefined) this.#lease.discard(this.#lease.current);
  }

  // ---- The lease ---------------------------------------------------------------------------------------------------

  obtained(lease: StoreLease): void {
    this.#epochs.add(lease.epoch);
    this.#context.queue.enqueue(() => {
      // The sessions of a leader are orphans, as those of any other gateway: they have their grace.
      if (this.#context.settings.cluster === 'active') this.#context.ownership.reclaimAll();
      this.#tellServing();
    });
  }

  lost(): void {
    this.#context.queue.enqueue(() => this.#tellServing());
  }

  validChanged(): void {
    this.#context.queue.enqueue(() => this.#tellServing());
  }

  // ---- The election ------------------------------------------------------------------------------------------------

  elected(): void {
    this.#context.queue.enqueue(() => {
      this.#custody.begin();
      this.#tellServing();
    });
  }

  deposed(): void {
    this.#context.queue.enqueue(() => {
      this.#custody.end();
      if (this.#context.settings.cluster === 'leader') this.#stepDown();
      this.#tellServing();
    });
  }

  leaderChanged(leader: string | undefined): void {
    if (this.#context.settings.cluster !== 'leader') return;
    this.#context.queue.enqueue(() => this.#context.tell('leader', leader, this.isLeader));
  }

  /** All clients are told to go; nothing is deleted (source document, "Leader Change Handling"). */
  #stepDown(): void {
    const { creates, claims, removals } = this.#context;
    creates.stepDown();
    claims.stepDown();
    removals.clear();
    // Under the same lease its sessions would pass for those of a gateway that has them.
    this.fenced();
    this.dismissAll('NotLeaderAnymore', () => undefined);
  }

  /** @param done called once all sessions of now have been let go. */
  dismissAll(reason: CloseReason, done: () => void): void {
    const { table, queue, lifecycle } = this.#context;
    const sessions: OwnedSession[] = [...table.values()];
    const next = (): void => {
      for (let session = sessions.pop(); session !== undefined; session = sessions.pop()) {
        if (table.has(session)) {
          lifecycle.release(session)?.dismiss(reason, reason === 'Shutdown' ? undefined : this.hint);
        }
        if (sessions.length > 0 && queue.isSliceOver) {
          queue.enqueue(next);
          return;
        }
      }
      done();
    };
    queue.enqueue(next);
  }

  // ---- Custody -----------------------------------------------------------------------------------------------------

  isOwnerAlive(owner: OwnerRecord): boolean {
    return this.#context.settings.cluster === 'leader' ? this.isCurrent(owner) : this.#members.isAlive(owner);
  }

  mayExpire(): boolean {
    return this.isLeader && this.fences() !== undefined;
  }

  async expire(target: RemovalTarget): Promise<void> {
    const { requests, removals, queue } = this.#context;
    const outcome = await requests.remove(target, 'expired');
    if (outcome === 'removed') queue.enqueue(() => removals.told(target, 'expired', outcome));
  }

  #tellServing(): void {
    const serving = this.fences() !== undefined;
    if (serving === this.#serving) return;
    this.#serving = serving;
    this.#context.tell('serving', serving);
  }
}
