// Sessions that are continued: those that are here, and those of other gateways, which this one claims.

import { WheelTimer } from '../../base/timing-wheel.js';
import { ownerKey } from '../store/keys.js';
import { encodeOwner } from '../store/records.js';
import type { RejectReason } from '../wire/messages.js';
import { pendingTimeoutMs } from './creates.js';
import type { OwnedSession } from './owned-session.js';
import { type FoundOwner, foundOwner } from './ownership.js';
import type { PeerLink, PendingAttempt } from './peer-link.js';
import type { ServerContext } from './server-context.js';
import { isUnavailable, retryWhileUnavailable, unavailable } from './store-retry.js';

/** How often a claim that another gateway was faster with is tried. */
const mostTries = 3;
/** Ids are UUIDs: what is none was never a session. */
const idForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What a claim came to. */
type Outcome = FoundOwner | 'SessionExpired' | 'Other';

/** One session that a client wants to continue here; at most one of a session and an identity is under way. */
class Claim {
  readonly id: string;
  readonly identity: string;
  /** Who waits for it: whoever came last. */
  waiting: { readonly link: PeerLink; readonly nonce: bigint } | undefined = undefined;
  readonly #stop = new AbortController();

  constructor(id: string, identity: string) {
    this.id = id;
    this.identity = identity;
  }

  get key(): string {
    return claimKey(this.id, this.identity);
  }

  get signal(): AbortSignal {
    return this.#stop.signal;
  }

  stop(): void {
    this.#stop.abort();
  }

  await(link: PeerLink, nonce: bigint): void {
    const { waiting } = this;
    if (waiting !== undefined && waiting.link !== link) {
      waiting.link.pending = undefined;
      waiting.link.end('its session is continued by another connection');
    }
    this.waiting = { link, nonce };
    const pending: PendingAttempt = {
      nonce,
      // It goes on: the session is the client's, wherever that is.
      abandon: () => {
        if (link.pending === pending) link.pending = undefined;
        if (this.waiting?.link === link) this.waiting = undefined;
      },
    };
    link.pending = pending;
  }
}

export class Claims {
  readonly #context: ServerContext;
  readonly #claims = new Map<string, Claim>();
  #isClosed = false;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** How many wait for the store. */
  get size(): number {
    return this.#claims.size;
  }

  /** Another gateway serves now. */
  stepDown(): void {
    for (const claim of Array.from(this.#claims.values())) {
      claim.stop();
      this.#refuse(claim, 'NotLeader');
    }
  }

  /** Nobody is answered any more. */
  close(): void {
    this.#isClosed = true;
    for (const claim of Array.from(this.#claims.values())) {
      claim.stop();
      claim.waiting?.link.pending?.abandon();
    }
  }

  /** The connection has not been refused it by its rate. */
  continue(link: PeerLink, id: string, nonce: bigint): void {
    const { lifecycle, table } = this.#context;
    const { identity } = link.peer;
    if (link.pending?.nonce === nonce) return;
    link.pending?.abandon();
    if (this.#isClosed) {
      this.#reject(link, 'Other', nonce);
      return;
    }
    if (link.session !== undefined && link.session.id !== id) lifecycle.detach(link);
    const session = table.get(id);
    if (session?.owner.identity === identity) this.#continued(session, link, nonce, false);
    else if (!idForm.test(id)) this.#reject(link, 'SessionExpired', nonce);
    else {
      link.stay();
      const running = this.#claims.get(claimKey(id, identity));
      const claim = running ?? new Claim(id, identity);
      claim.await(link, nonce);
      if (running === undefined) this.#begin(claim);
    }
  }

  #begin(claim: Claim): void {
    const { settings, queue, clock, ownership } = this.#context;
    this.#claims.set(claim.key, claim);
    ownership.claimBegins(claim.id);
    const timer = new WheelTimer(() => queue.enqueue(() => this.#giveUp(claim)));
    settings.wheel.schedule(timer, clock.now() + pendingTimeoutMs);
    claim.signal.addEventListener('abort', () => settings.wheel.cancel(timer));
    const settle = (then: (newest: number) => void): void => {
      settings.wheel.cancel(timer);
      queue.enqueue(() => {
        if (this.#claims.get(claim.key) === claim) this.#claims.delete(claim.key);
        const newest = ownership.claimEnds(claim.id);
        if (!this.#isClosed) then(newest);
      });
    };
    retryWhileUnavailable(settings, claim.signal, () => this.#write(claim)).then(
      (outcome) => settle((newest) => this.#settled(claim, outcome, newest)),
      (error: unknown) => settle(() => this.#failed(claim, error)),
    );
  }

  async #write(claim: Claim): Promise<Outcome> {
    const { ownership, removals, standing, settings } = this.#context;
    let found = await ownership.read(claim.id);
    for (let tries = 0; tries < mostTries; ++tries) {
      // Neither tells whether there is such a session of somebody else.
      if (found?.owner.identity !== claim.identity || removals.has(claim.id)) return 'SessionExpired';
      const { epoch } = standing;
      const fences = standing.fences();
      if (epoch === undefined || fences === undefined) throw unavailable('this gateway may not write');
      const { ownerRevision } = found;
      const owner = { ...found.owner, gateway: settings.gateway, epoch };
      const key = ownerKey(claim.id);
      const result = await settings.store.txn({
        compare: [{ key, revision: ownerRevision }, ...fences],
        writes: [{ type: 'put', key, value: encodeOwner(owner) }],
      });
      if (result.committed) return { owner, ownerRevision: result.revision };
      const [entry] = result.found;
      if (entry?.revision === ownerRevision) {
        standing.refuted(fences);
        throw unavailable('the lease does not hold');
      }
      found = entry && foundOwner(entry);
    }
    return 'Other';
  }

  /** @param newest the revision of the owner record that the watch has told of. */
  #settled(claim: Claim, outcome: Outcome, newest: number): void {
    const { lifecycle, ownership, standing, table } = this.#context;
    if (standing.isFollower) {
      this.#refuse(claim, 'NotLeader');
      return;
    }
    if (typeof outcome === 'string') {
      this.#refuse(claim, outcome);
      return;
    }
    const { owner, ownerRevision } = outcome;
    const known = table.get(claim.id);
    if (known !== undefined && known.ownerRevision < ownerRevision) known.reclaimed(owner, ownerRevision);
    const session = known ?? lifecycle.begin(claim.id, owner, ownerRevision);
    // Another gateway was faster still.
    if (newest > session.ownerRevision) ownership.verify(session);
    ++this.#context.tally.claimed;
    const { waiting } = claim;
    if (waiting === undefined || waiting.link.isOver) return;
    waiting.link.pending = undefined;
    this.#continued(session, waiting.link, waiting.nonce, true);
  }

  #failed(claim: Claim, error: unknown): void {
    const { storeFailed, strays } = this.#context;
    this.#refuse(claim, 'Other');
    // What was not answered may count.
    if (isUnavailable(error)) strays.look(claim.id);
    else storeFailed(error);
  }

  #giveUp(claim: Claim): void {
    if (this.#claims.get(claim.key) !== claim) return;
    this.#claims.delete(claim.key);
    claim.stop();
    this.#refuse(claim, 'Other');
  }

  #refuse(claim: Claim, reason: RejectReason): void {
    const { waiting } = claim;
    if (waiting === undefined) return;
    claim.waiting = undefined;
    waiting.link.pending = undefined;
    this.#reject(waiting.link, reason, waiting.nonce);
  }

  #reject(link: PeerLink, reason: RejectReason, nonce: bigint): void {
    const { tally, tell, standing } = this.#context;
    link.reject(reason, nonce, reason === 'NotLeader' ? standing.hint : undefined);
    ++tally.rejected[reason];
    tell('sessionRejected', reason, link.peer.identity);
  }

  #continued(session: OwnedSession, link: PeerLink, nonce: bigint, claimed: boolean): void {
    const { lifecycle, requests, tally, tell } = this.#context;
    lifecycle.attach(session, link);
    link.answer(nonce, { type: 'SessionContinued', nonce });
    ++tally.continued;
    tell('sessionContinued', session.info, claimed);
    requests.attached(session);
  }
}

function claimKey(id: string, identity: string): string {
  return `${id} ${identity}`;
}
