// The sessions of a manager: those that there are, by id and by agent, and those that are over, for agents that did not hear so.

import { randomFillSync } from 'node:crypto';
import type { StoredSession } from '../store/store.js';
import { noSession } from '../wire/messages.js';
import { DataSession } from './data-session.js';
import type { RequestSession } from './request-session.js';
import type { SessionOutcome } from './session-outcome.js';

/** A session of any mode. */
export type Session = DataSession | RequestSession;

/** A session that is over, as its agent is told when it asks again. */
export interface EndedSession {
  readonly agent: string;
  readonly outcome: SessionOutcome;
}

/** What there is of an agent. */
class AgentState {
  readonly data = new Set<DataSession>();
  readonly requests = new Set<RequestSession>();
  /** Sessions that keep it from beginning others. */
  locks = 0;
}

/** How many sessions that are over are remembered, the newest. */
const maxEnded = 65_536;

/** All sessions of a manager. */
export class SessionTable {
  readonly #sessions = new Map<bigint, Session>();
  readonly #agents = new Map<string, AgentState>();
  /** The oldest first. */
  readonly #ended = new Map<bigint, EndedSession>();

  /** How many there are. */
  get size(): number {
    return this.#sessions.size;
  }

  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  get(id: bigint): Session | undefined {
    return this.#sessions.get(id);
  }

  /** One that is over, if it is remembered. */
  ended(id: bigint): EndedSession | undefined {
    return this.#ended.get(id);
  }

  /** The sessions of an agent with Data, in the order in which they began. */
  dataOf(agent: string): Iterable<DataSession> {
    return this.#agents.get(agent)?.data ?? [];
  }

  requestsOf(agent: string): Iterable<RequestSession> {
    return this.#agents.get(agent)?.requests ?? [];
  }

  isLocked(agent: string): boolean {
    return (this.#agents.get(agent)?.locks ?? 0) > 0;
  }

  lock(agent: string, locked: boolean): void {
    const state = this.#stateOf(agent);
    state.locks += locked ? 1 : -1;
    this.#tidy(agent, state);
  }

  add(session: Session): void {
    this.#sessions.set(idOf(session), session);
    const state = this.#stateOf(agentOf(session));
    if (session instanceof DataSession) state.data.add(session);
    else state.requests.add(session);
  }

  /** Remembers how a session ended, but one that an agent is to find unknown. */
  remove(session: Session, outcome: SessionOutcome | undefined): void {
    const agent = agentOf(session);
    this.#sessions.delete(idOf(session));
    if (outcome !== undefined) this.remember(idOf(session), agent, outcome);
    const state = this.#stateOf(agent);
    if (session instanceof DataSession) state.data.delete(session);
    else state.requests.delete(session);
    this.#tidy(agent, state);
  }

  remember(id: bigint, agent: string, outcome: SessionOutcome): void {
    this.#ended.set(id, { agent, outcome });
    if (this.#ended.size <= maxEnded) return;
    const [oldest] = this.#ended.keys();
    if (oldest !== undefined) this.#ended.delete(oldest);
  }

  /** An id that no session has, nor had lately. */
  newId(): bigint {
    for (;;) {
      const id = randomFillSync(Buffer.alloc(8)).readBigUInt64LE();
      if (id !== noSession && !this.#sessions.has(id) && !this.#ended.has(id)) return id;
    }
  }

  clear(): void {
    this.#sessions.clear();
    this.#agents.clear();
    this.#ended.clear();
  }

  #stateOf(agent: string): AgentState {
    const state = this.#agents.get(agent) ?? new AgentState();
    this.#agents.set(agent, state);
    return state;
  }

  #tidy(agent: string, { data, requests, locks }: AgentState): void {
    if (data.size === 0 && requests.size === 0 && locks === 0) this.#agents.delete(agent);
  }
}

export function agentOf(session: Session): string {
  return session instanceof DataSession ? session.stored.agent : session.agent;
}

export function idOf(session: Session): bigint {
  return session instanceof DataSession ? session.stored.session : session.session;
}

/** Those that are the newest of their agent and module. */
export function newestOf(sessions: readonly StoredSession[]): Set<StoredSession> {
  const newest = new Map<string, StoredSession>();
  for (const stored of sessions) {
    const key = JSON.stringify([stored.agent, stored.module]);
    if (stored.key > (newest.get(key)?.key ?? 0)) newest.set(key, stored);
  }
  return new Set(newest.values());
}
