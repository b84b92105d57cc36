// How much a manager holds at a time: of each agent, and of all together.

import type { Reason } from '../wire/messages.js';

/** What sessions may take. */
export interface QuotaLimits {
  readonly maxSessions: number;
  readonly sessionsPerAgent: number;
  /** Items of the sessions that have begun and not ended: as many as their Starts announced. */
  readonly maxItems: number;
  readonly maxItemsPerAgent: number;
  /** Bytes of the messages that are staged. */
  readonly maxBytes: number;
  readonly maxBytesPerAgent: number;
}

/** Why there is no room, and whether because of the agent's own sessions or of all. */
export interface NoRoom {
  readonly reason: Extract<Reason, 'Busy' | 'TooManyItems' | 'TooManyBytes'>;
  readonly of: 'agent' | 'all';
}

/** What the sessions of one agent, or of all, take. */
export interface Usage {
  readonly sessions: number;
  readonly items: number;
  readonly bytes: number;
}

const none: Usage = { sessions: 0, items: 0, bytes: 0 };

/** What is taken, in total and by agent; agents that take nothing cost nothing. */
export class Quotas {
  readonly #limits: QuotaLimits;
  readonly #ofAgents = new Map<string, Usage>();
  #total: Usage = none;

  constructor(limits: QuotaLimits) {
    this.#limits = limits;
  }

  /** What all sessions take. */
  get total(): Usage {
    return this.#total;
  }

  of(agent: string): Usage {
    return this.#ofAgents.get(agent) ?? none;
  }

  /** @returns why a session of so many items may not begin; undefined when it may. */
  noRoom(agent: string, items: number): NoRoom | undefined {
    const limits = this.#limits;
    const own = this.of(agent);
    const reasonOf = (
      usage: Usage,
      sessions: number,
      most: number,
      bytes: number,
    ): NoRoom['reason'] | undefined => {
      if (usage.sessions >= sessions) return 'Busy';
      if (usage.items + items > most) return 'TooManyItems';
      return usage.bytes >= bytes ? 'TooManyBytes' : undefined;
    };
    const ownReason = reasonOf(
      own,
      limits.sessionsPerAgent,
      limits.maxItemsPerAgent,
      limits.maxBytesPerAgent,
    );
    if (ownReason !== undefined) return { reason: ownReason, of: 'agent' };
    const reason = reasonOf(this.#total, limits.maxSessions, limits.maxItems, limits.maxBytes);
    return reason === undefined ? undefined : { reason, of: 'all' };
  }

  /** @returns whose bytes leave no room for so many more; undefined when there is room. */
  noRoomForBytes(agent: string, bytes: number): NoRoom['of'] | undefined {
    if (this.of(agent).bytes + bytes > this.#limits.maxBytesPerAgent) return 'agent';
    return this.#total.bytes + bytes > this.#limits.maxBytes ? 'all' : undefined;
  }

  /** Takes a session's part of each, or gives it back where the numbers are negative. */
  take(agent: string, sessions: number, items: number, bytes: number): void {
    const add = (usage: Usage): Usage => ({
      sessions: usage.sessions + sessions,
      items: usage.items + items,
      bytes: usage.bytes + bytes,
    });
    this.#total = add(this.#total);
    const own = add(this.of(agent));
    if (own.sessions === 0 && own.bytes === 0) this.#ofAgents.delete(agent);
    else this.#ofAgents.set(agent, own);
  }
}
