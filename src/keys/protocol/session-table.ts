// The sessions with one peer: the one under way, and those that are over and still answer.

import { type LiveKeys, workOf } from './recovery.js';
import type { Session } from './session.js';
import type { Context } from './transition.js';

/** Sessions of one pair that are remembered, the one under way included. */
export const mostSessions = 16;

/** In the order in which they began. */
export class SessionTable {
  readonly #sessions: Map<string, Session> = new Map();

  constructor(restored: readonly Session[]) {
    const inOrder = [...restored].sort((a, b) => a.startedAtMs - b.startedAtMs || a.epoch - b.epoch);
    for (const session of inOrder) this.#sessions.set(session.sessionId, session);
  }

  /** The one that is not over; undefined when there is none. */
  get active(): Session | undefined {
    for (const session of this.#sessions.values()) if (session.state !== 'IDLE') return session;
    return undefined;
  }

  get(sessionId: string): Session | undefined {
    return this.#sessions.get(sessionId);
  }

  set(session: Session): void {
    this.#sessions.set(session.sessionId, session);
  }

  delete(sessionId: string): void {
    this.#sessions.delete(sessionId);
  }

  /** Puts one back that was forgotten, in its place. */
  restore(session: Session): void {
    const others = [...this.#sessions.values()];
    this.#sessions.clear();
    this.#sessions.set(session.sessionId, session);
    for (const other of others) this.#sessions.set(other.sessionId, other);
  }

  values(): Iterable<Session> {
    return this.#sessions.values();
  }

  get highestEpoch(): number {
    return Math.max(0, ...[...this.#sessions.values()].map((session) => session.epoch));
  }

  /** When the next one may be forgotten, in Unix milliseconds. The newest is not: it is what the other side may still ask for. */
  forgetAtMs(context: Context, live: LiveKeys): number {
    const { value: oldest } = this.#sessions.values().next();
    const isOver = oldest?.state === 'IDLE' && this.#sessions.size > 1;
    // What it has left is done first.
    if (oldest === undefined || !isOver || workOf(oldest, context, live) !== undefined)
      return Number.POSITIVE_INFINITY;
    return oldest.updatedAtMs + context.settings.sessionTimeoutMs;
  }

  /** One to be forgotten now. @param coming whether another session is about to be added. */
  forgettable(coming: boolean, context: Context, live: LiveKeys): Session | undefined {
    const { value: oldest } = this.#sessions.values().next();
    const isTooMany = coming && oldest?.state === 'IDLE' && this.#sessions.size >= mostSessions;
    return isTooMany || this.forgetAtMs(context, live) <= context.nowMs ? oldest : undefined;
  }
}
