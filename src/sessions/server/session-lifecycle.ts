// What can happen to a session that this gateway owns (source document, "Heartbeat Impact on Session Lifecycle").

import type { OwnerRecord } from '../store/records.js';
import type { SessionEnd } from './handler.js';
import { OwnedSession } from './owned-session.js';
import type { PeerLink } from './peer-link.js';
import type { ServerContext } from './server-context.js';

export class SessionLifecycle {
  readonly #context: ServerContext;

  constructor(context: ServerContext) {
    this.#context = context;
  }

  /** The store has it: it is this gateway's, and Disconnected until it is attached. */
  begin(id: string, owner: OwnerRecord, ownerRevision: number): OwnedSession {
    const { clock, settings, table, expiry, standing, ownership } = this.#context;
    const session = new OwnedSession(id, owner, ownerRevision, clock.now(), settings.sessionTimeoutMs);
    table.add(session);
    expiry.watch(session);
    // The lease was replaced while the store was waited for.
    if (!standing.isCurrent(owner)) ownership.reclaim(session);
    return session;
  }

  /** Connected: by this connection and no other, for another timeout. */
  attach(session: OwnedSession, link: PeerLink): void {
    const { requests, table } = this.#context;
    const other = session.link;
    if (other !== undefined && other !== link) {
      this.#separate(session, other);
      requests.detached(session);
      other.end('its session was continued by another connection');
    }
    if (link.session !== session) {
      this.detach(link);
      session.link = link;
      link.session = session;
      ++table.connected;
    }
    link.stay();
    this.renew(session);
  }

  /** Disconnected: the connection is over, or is used for another session. Its time runs on. */
  detach(link: PeerLink): void {
    const { session } = link;
    if (session === undefined) return;
    this.#separate(session, link);
    this.#context.requests.detached(session);
    this.#context.tell('sessionDisconnected', session.info);
  }

  /** A clean-up is then about those whose time has come, and about no others. */
  renew(session: OwnedSession): void {
    const { clock, expiry, settings } = this.#context;
    const nowMs = clock.now();
    session.renewedAtMs = nowMs;
    session.expiresAtMs = nowMs + settings.sessionTimeoutMs;
    session.isWarned = false;
    expiry.watch(session);
  }

  /** It is over: gone from here at once, and from the store as soon as that can be. */
  end(session: OwnedSession, end: SessionEnd): void {
    const { id, owner, ownerRevision } = session;
    this.#forget(session);
    this.#context.removals.add({ id, owner, ownerRevision }, end);
  }

  /** Another gateway has it: its client, if there is one here, belongs there. */
  moved(session: OwnedSession): void {
    const { tally, tell } = this.#context;
    this.#forget(session)?.dismiss('SessionError');
    ++tally.moved;
    tell('sessionMoved', session.info);
  }

  /** It was removed from the store by somebody else. */
  removedElsewhere(session: OwnedSession): void {
    const { tally, tell } = this.#context;
    this.#forget(session)?.dismiss('SessionExpired');
    ++tally.closed;
    tell('sessionEnded', session.info, 'closed');
  }

  /** This gateway serves no longer; in the store it stays. @returns its connection. */
  release(session: OwnedSession): PeerLink | undefined {
    return this.#forget(session);
  }

  #forget(session: OwnedSession): PeerLink | undefined {
    const { table, expiry, requests } = this.#context;
    const { link } = session;
    if (link !== undefined) this.#separate(session, link);
    table.delete(session);
    expiry.forget(session);
    session.end();
    requests.drop(session);
    return link;
  }

  #separate(session: OwnedSession, link: PeerLink): void {
    session.link = undefined;
    link.session = undefined;
    link.answered = undefined;
    --this.#context.table.connected;
  }
}
