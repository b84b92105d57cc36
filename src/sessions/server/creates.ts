// Sessions on their way into the store.

import { randomUUID } from 'node:crypto';
import { isText } from '../../base/check.js';
import { WheelTimer } from '../../base/timing-wheel.js';
import { TokenBucket } from '../../base/token-bucket.js';
import { ownerKey } from '../store/keys.js';
import { encodeOwner, type OwnerRecord } from '../store/records.js';
import {
  type Capabilities,
  capabilitiesBytes,
  type Delivery,
  deliveries,
  deliveryCapability,
  limits,
} from '../wire/messages.js';
import type { PeerLink, PendingAttempt } from './peer-link.js';
import type { ServerContext } from './server-context.js';
import { isUnavailable, retryWhileUnavailable, unavailable } from './store-retry.js';

/** So long a Create or Continue waits for the store. */
export const pendingTimeoutMs = 10_000;
/** The burst of Creates on this server, in seconds' worth. */
const burstSeconds = 10;

type Written = { readonly owner: OwnerRecord; readonly ownerRevision: number };

class PendingCreate implements PendingAttempt {
  readonly id: string = randomUUID();
  readonly link: PeerLink;
  readonly nonce: bigint;
  readonly capabilities: Capabilities;
  readonly delivery: Delivery;
  readonly #stop = new AbortController();

  constructor(link: PeerLink, nonce: bigint, capabilities: Capabilities, delivery: Delivery) {
    this.link = link;
    this.nonce = nonce;
    this.capabilities = capabilities;
    this.delivery = delivery;
  }

  /** Aborted when nobody waits for it any more. */
  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  abandon(): void {
    if (this.link.pending === this) this.link.pending = undefined;
    this.#stop.abort();
  }
}

export class Creates {
  readonly #context: ServerContext;
  readonly #rate: TokenBucket;
  readonly #pending = new Set<PendingCreate>();
  readonly #ids = new Set<string>();
  #isClosed = false;
  readonly #ofIdentity = new Map<string, number>();

  constructor(context: ServerContext) {
    this.#context = context;
    const { createsPerSecond } = context.settings;
    this.#rate = new TokenBucket(createsPerSecond, burstSeconds * createsPerSecond, context.clock.now());
  }

  /** How many wait for the store. */
  get size(): number {
    return this.#pending.size;
  }

  /** Whether that one waits for the store. */
  has(id: string): boolean {
    return this.#ids.has(id);
  }

  /** Another gateway serves now. */
  stepDown(): void {
    const { tally, standing } = this.#context;
    for (const pending of Array.from(this.#pending)) {
      const { link, nonce } = pending;
      const isAwaited = link.pending === pending;
      pending.abandon();
      if (!isAwaited) continue;
      link.reject('NotLeader', nonce, standing.hint);
      ++tally.rejected.NotLeader;
    }
  }

  /** Nobody is answered any more. */
  close(): void {
    this.#isClosed = true;
    for (const pending of Array.from(this.#pending)) pending.abandon();
  }

  /** The connection has not been refused one by its rate. */
  create(link: PeerLink, capabilities: Capabilities, nonce: bigint): void {
    const { lifecycle, clock } = this.#context;
    if (link.pending?.nonce === nonce) return;
    if (link.answered?.nonce === nonce) {
      link.send(link.answered.answer);
      return;
    }
    link.pending?.abandon();
    lifecycle.detach(link);
    const delivery = deliveryOf(capabilities);
    if (delivery === undefined) this.#reject(link, 'InvalidCapabilities', nonce);
    else if (!this.#hasRoom(link.peer.identity) || !this.#rate.take(1, clock.now())) {
      this.#reject(link, 'Other', nonce);
    } else {
      link.stay();
      const pending = new PendingCreate(link, nonce, capabilities, delivery);
      link.pending = pending;
      this.#begin(pending);
    }
  }

  #hasRoom(identity: string): boolean {
    const { settings, standing, table } = this.#context;
    const { maxSessions, maxSessionsPerIdentity } = settings;
    if (this.#isClosed || standing.fences() === undefined) return false;
    if (table.size + this.#pending.size >= maxSessions) return false;
    return table.ofIdentity(identity) + (this.#ofIdentity.get(identity) ?? 0) < maxSessionsPerIdentity;
  }

  #reject(link: PeerLink, reason: 'InvalidCapabilities' | 'Other', nonce: bigint): void {
    const { tally, tell } = this.#context;
    link.reject(reason, nonce, undefined);
    ++tally.rejected[reason];
    tell('sessionRejected', reason, link.peer.identity);
  }

  #begin(pending: PendingCreate): void {
    const { clock, queue, settings } = this.#context;
    const { wheel } = settings;
    this.#count(pending, 1);
    const timer = new WheelTimer(() => queue.enqueue(() => this.#giveUp(pending)));
    wheel.schedule(timer, clock.now() + pendingTimeoutMs);
    pending.signal.addEventListener('abort', () => wheel.cancel(timer));
    const progress = { isTried: false };
    const settle = (then: () => void): void => {
      wheel.cancel(timer);
      queue.enqueue(() => {
        this.#count(pending, -1);
        then();
      });
    };
    retryWhileUnavailable(settings, pending.signal, () => this.#write(pending, progress)).then(
      (written) => settle(() => this.#written(pending, written)),
      (error: unknown) => settle(() => this.#failed(pending, error, progress.isTried)),
    );
  }

  /** @param progress told when it may have been written. */
  async #write(pending: PendingCreate, progress: { isTried: boolean }): Promise<Written> {
    const { settings, standing, clock } = this.#context;
    const { epoch } = standing;
    const fences = standing.fences();
    if (epoch === undefined || fences === undefined) throw unavailable('this gateway may not write');
    const { capabilities, delivery } = pending;
    const { identity } = pending.link.peer;
    const createdAt = Math.floor(clock.wallNow());
    const owner = { gateway: settings.gateway, epoch, identity, capabilities, delivery, createdAt };
    const key = ownerKey(pending.id);
    progress.isTried = true;
    const result = await settings.store.txn({
      compare: [{ key, revision: 0 }, ...fences],
      writes: [{ type: 'put', key, value: encodeOwner(owner) }],
    });
    if (result.committed) return { owner, ownerRevision: result.revision };
    // An earlier try was committed, and its answer lost.
    const found = await this.#context.ownership.read(pending.id);
    if (found !== undefined) return found;
    standing.refuted(fences);
    throw unavailable('the lease does not hold');
  }

  #written(pending: PendingCreate, { owner, ownerRevision }: Written): void {
    const { lifecycle, removals, requests, standing, tally, tell } = this.#context;
    const { id, link, nonce } = pending;
    if (link.pending !== pending || link.isOver || standing.isFollower) {
      // Nobody was told of it, and nobody will be.
      removals.undo(id);
      return;
    }
    link.pending = undefined;
    const session = lifecycle.begin(id, owner, ownerRevision);
    requests.created(session);
    lifecycle.attach(session, link);
    link.answer(nonce, { type: 'SessionCreated', sessionId: id, nonce });
    ++tally.created;
    tell('sessionCreated', session.info);
    requests.attached(session);
  }

  #failed(pending: PendingCreate, error: unknown, isTried: boolean): void {
    const { removals, storeFailed } = this.#context;
    const { id, link, nonce } = pending;
    if (isUnavailable(error)) {
      if (isTried) removals.undo(id);
    } else storeFailed(error);
    if (link.pending !== pending) return;
    link.pending = undefined;
    this.#reject(link, 'Other', nonce);
  }

  #giveUp(pending: PendingCreate): void {
    const { link, nonce } = pending;
    if (link.pending !== pending) return;
    pending.abandon();
    this.#reject(link, 'Other', nonce);
  }

  #count(pending: PendingCreate, change: 1 | -1): void {
    const { identity } = pending.link.peer;
    const left = (this.#ofIdentity.get(identity) ?? 0) + change;
    if (left > 0) this.#ofIdentity.set(identity, left);
    else this.#ofIdentity.delete(identity);
    if (change > 0) {
      this.#pending.add(pending);
      this.#ids.add(pending.id);
    } else {
      this.#pending.delete(pending);
      this.#ids.delete(pending.id);
    }
  }
}

/** @returns undefined when the client asks for one that there is not, or for more to be kept of it than is kept of any. */
function deliveryOf(capabilities: Capabilities): Delivery | undefined {
  if (capabilitiesBytes(capabilities) > limits.capabilitiesBytes) return undefined;
  const wanted = capabilities.get(deliveryCapability) ?? 'exactly-once';
  return isText(wanted, 64) ? deliveries.find((each) => each === wanted) : undefined;
}
