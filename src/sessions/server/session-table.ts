// The sessions that a gateway owns.

import type { OwnedSession } from './owned-session.js';

/** Sessions by id, and how many each identity has. */
export class SessionTable {
  readonly #sessions = new Map<string, OwnedSession>();
  /** Only identities that have some. */
  readonly #identities = new Map<string, number>();
  /** Those with a client. */
  connected = 0;

  get size(): number {
    return this.#sessions.size;
  }

  get(id: string): OwnedSession | undefined {
    return this.#sessions.get(id);
  }

  /** Whether it is there now: what was taken out may be held by whoever waited for the store. */
  has(session: OwnedSession): boolean {
    return this.#sessions.get(session.id) === session;
  }

  ofIdentity(identity: string): number {
    return this.#identities.get(identity) ?? 0;
  }

  values(): IterableIterator<OwnedSession> {
    return this.#sessions.values();
  }

  add(session: OwnedSession): void {
    const { identity } = session.owner;
    this.#sessions.set(session.id, session);
    this.#identities.set(identity, this.ofIdentity(identity) + 1);
  }

  delete(session: OwnedSession): void {
    if (!this.has(session)) return;
    this.#sessions.delete(session.id);
    const { identity } = session.owner;
    const left = this.ofIdentity(identity) - 1;
    if (left > 0) this.#identities.set(identity, left);
    else this.#identities.delete(identity);
  }
}
