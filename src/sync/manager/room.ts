// Who gives way when there is no room for all.

import type { LogLevel } from '../agent/results.js';
import type { AgentLink } from './agent-link.js';
import { DataSession } from './data-session.js';
import type { Counts, ManagerLogCode } from './events.js';
import type { ManagerSettings } from './options.js';
import type { Quotas } from './quotas.js';
import { agentOf, type Session, type SessionTable } from './session-table.js';

/** For how long hardly anything must have come of a session until it gives way to those that wait. */
const leastIdleMs = 30_000;
/**
 * For how long a session whose agent is cut off is spared: that long a network or an agent may take to come back, and without its session it
 * has to send everything again. Not longer: whoever is gone for good is in the way of others.
 */
const mostAwayMs = 300_000;
/** Which part of everything these may take together: what is beyond that is not spared. */
const awayPart = 1 / 2;
const retryMs = 5000;

/** What it needs of the manager. */
export interface RoomHost {
  readonly settings: ManagerSettings;
  readonly counts: Counts;
  readonly quotas: Quotas;
  readonly sessions: SessionTable;
  readonly later: (ms: number) => number;
  readonly log: (
    level: LogLevel,
    code: ManagerLogCode,
    message: string,
    agent: string,
    link?: AgentLink,
  ) => void;
}

export class Room {
  readonly #host: RoomHost;
  /** The disk has taken too little, and has not made up for it. */
  #isBehind = false;

  constructor(host: RoomHost) {
    this.#host = host;
  }

  /**
   * Makes room for a message.
   *
   * @param items how many it has.
   * @returns whether so many bytes may be staged of a session; if not, it is over, or these have to be asked for again.
   */
  make(session: DataSession, bytes: number, items: number): boolean {
    const { counts, quotas, sessions } = this.#host;
    const { agent } = session.stored;
    if (!this.#isWritable(session, bytes)) {
      counts.itemsWithoutRoom += items;
      session.skip();
      return false;
    }
    for (;;) {
      const of = quotas.noRoomForBytes(agent, bytes);
      if (of === undefined) return true;
      const victim = of === 'agent' ? session : victimOf(this.#spared(), sessions.all(), session);
      this.#endFull(victim, of === 'agent' && quotas.of(agent).bytes === victim.bytes);
      if (victim !== session) continue;
      counts.itemsWithoutRoom += items;
      return false;
    }
  }

  /** @param isAlone whether it alone has more than its agent may. */
  #endFull(victim: DataSession, isAlone: boolean): void {
    const what = `${victim.bytes} bytes are staged, and there is no room for more`;
    this.#host.log('warning', 'TooManyBytes', what, victim.stored.agent, victim.link);
    if (isAlone) victim.fail('Error', 'TooManyBytes');
    else victim.fail('Offline', 'TooManyBytes', this.#host.later(retryMs));
  }

  /** Whether the disk keeps up. What was asked for since it did not comes before what others send. */
  #isWritable(session: DataSession, bytes: number): boolean {
    const { store, maxUnwrittenBytes } = this.#host.settings;
    const { unwrittenBytes } = store;
    // What is refused is better one long piece than many short ones: each of these is a range of a request.
    if (unwrittenBytes <= maxUnwrittenBytes / 2) this.#isBehind = false;
    else if (unwrittenBytes + bytes > maxUnwrittenBytes) this.#isBehind = true;
    return session.isInPortions ? unwrittenBytes + bytes <= maxUnwrittenBytes : !this.#isBehind;
  }

  /** Others wait because all is taken: those of which hardly anything comes give way, the one that has been so for the longest first. */
  makeWay(isWanted: () => boolean): void {
    const { counts, sessions, log, later } = this.#host;
    for (const session of idleOf(this.#spared(), sessions.all())) {
      if (!isWanted()) return;
      ++counts.gaveWay;
      const size = session instanceof DataSession ? session.stored.size : 0;
      const what = `others wait, and hardly anything came of a session of ${size} items for ${session.idleMs} ms`;
      log('warning', 'GaveWay', what, agentOf(session), session.link);
      session.fail('Offline', 'Busy', later(retryMs));
    }
  }

  /**
   * Those whose agents are likely to come back to them, beginning with what came last: as long as there are others, there will be room
   * without these. Not all, however many they are: whoever begins sessions and goes away would keep others waiting.
   */
  #spared(): ReadonlySet<Session> {
    const { maxSessions, maxItems, maxBytes } = this.#host.settings;
    const all = Array.from(this.#host.sessions.all());
    const missed = all.filter(isMissed).sort((a, b) => a.idleMs - b.idleMs);
    const spared = new Set<Session>();
    if (missed.length === all.length) return spared;
    let items = maxItems * awayPart;
    let bytes = maxBytes * awayPart;
    for (const session of missed) {
      if (spared.size + 1 > maxSessions * awayPart) break;
      if (session.stored.size > items || session.bytes > bytes) continue;
      items -= session.stored.size;
      bytes -= session.bytes;
      spared.add(session);
    }
    return spared;
  }
}

/** Whether its agent is likely to come back to it. */
function isMissed(session: Session): session is DataSession {
  if (!(session instanceof DataSession) || session.phase !== 'receiving') return false;
  return session.isAway && session.idleMs < mostAwayMs;
}

/** Those of which hardly anything has come for long, beginning with the one that has waited for the longest. */
function idleOf(spared: ReadonlySet<Session>, sessions: Iterable<Session>): Session[] {
  return Array.from(sessions)
    .filter((session) => session.idleMs >= leastIdleMs && !spared.has(session))
    .sort((a, b) => b.idleMs - a.idleMs);
}

/**
 * Which session gives way when no more bytes may be staged of all: the one of which hardly anything has come for the longest, if that is
 * long; else the newest one of the agent that has the most. The one that began first stays, so that always one comes to its end.
 *
 * @param spared not these, as long as there are others. @param asking has something to stage now.
 */
function victimOf(
  spared: ReadonlySet<Session>,
  sessions: Iterable<Session>,
  asking: DataSession,
): DataSession {
  const staged = Array.from(sessions)
    .filter((session) => session instanceof DataSession)
    .filter((session) => session === asking || (session.phase === 'receiving' && session.bytes > 0))
    .sort((a, b) => b.stored.key - a.stored.key);
  const there = staged.filter((session) => !spared.has(session));
  const idlest = there.reduce((most, each) => (each.idleMs > most.idleMs ? each : most), asking);
  if (idlest.idleMs >= leastIdleMs) return idlest;
  const bytesOf = new Map<string, number>();
  for (const { stored, bytes } of staged) bytesOf.set(stored.agent, (bytesOf.get(stored.agent) ?? 0) + bytes);
  const first = staged.at(-1);
  const mostOf = (candidates: readonly DataSession[]): DataSession | undefined => {
    let victim: DataSession | undefined;
    let most = -1;
    for (const session of candidates) {
      const bytes = bytesOf.get(session.stored.agent) ?? 0;
      if (session === first || bytes <= most) continue;
      victim = session;
      most = bytes;
    }
    return victim;
  };
  return mostOf(there) ?? mostOf(staged) ?? asking;
}
