// What comes by the connections of agents: which session it is of, and whether that is its agent's.

import type { LogLevel } from '../agent/results.js';
import { decodeMessage, SyncFormatError } from '../wire/codec.js';
import { ItemReader } from '../wire/item-reader.js';
import type { ChecksumModule } from '../wire/messages.js';
import type { AgentLink } from './agent-link.js';
import { DataSession } from './data-session.js';
import type { Counts, ManagerLogCode } from './events.js';
import type { ManagerSettings } from './options.js';
import { RequestSession } from './request-session.js';
import type { Room } from './room.js';
import { agentOf, type Session, type SessionTable } from './session-table.js';
import type { StartDesk } from './start-desk.js';

/** What it needs of the manager. */
export interface InboxHost {
  readonly settings: ManagerSettings;
  readonly counts: Counts;
  readonly sessions: SessionTable;
  readonly starts: StartDesk;
  readonly room: Room;
  readonly log: (
    level: LogLevel,
    code: ManagerLogCode,
    message: string,
    agent: string,
    link: AgentLink,
  ) => void;
}

export class Inbox {
  readonly #host: InboxHost;
  readonly #reader = new ItemReader();

  constructor(host: InboxHost) {
    this.#host = host;
  }

  /** @param ordered whether it came by a way on which nothing is overtaken. */
  receive(link: AgentLink, message: Uint8Array, ordered: boolean): void {
    const { counts } = this.#host;
    ++counts.messages;
    try {
      if (this.#reader.open(message)) this.#takeItems(link, message, ordered);
      else this.#control(link, message);
    } catch (error) {
      if (!(error instanceof SyncFormatError)) throw error;
      ++counts.malformed;
      this.#host.log('error', 'Malformed', error.message, link.agent, link);
    }
  }

  // ---- Data --------------------------------------------------------------------------------------------------------

  /** The items of the message that the reader has opened. */
  #takeItems(link: AgentLink, message: Uint8Array, ordered: boolean): void {
    const reader = this.#reader;
    const fresh = new Set<DataSession>();
    const full = new Set<DataSession>();
    let id: bigint | undefined;
    let session: DataSession | undefined;
    while (reader.next()) {
      if (reader.session !== id) {
        id = reader.session;
        session = this.#receiving(link, id);
      }
      if (session?.phase !== 'receiving' || full.has(session)) continue;
      const isFirst = !fresh.has(session) && session.arrivals.isNew(reader);
      if (isFirst && !this.#host.room.make(session, message.length, reader.count)) {
        full.add(session);
        continue;
      }
      if (session.arrivals.take(reader)) fresh.add(session);
    }
    for (const each of fresh) {
      // It may have given way to another of the same message.
      if (each.phase !== 'receiving') continue;
      each.keep(message);
      each.arrived(ordered);
    }
  }

  /** The session with Data that the agent of a link may write into now. */
  #receiving(link: AgentLink, id: bigint): DataSession | undefined {
    const { sessions, counts, log } = this.#host;
    const session = this.#sessionOf(link, id);
    if (session === undefined) {
      // Its agent was told how it ended, and had sent this before it heard so.
      if (sessions.ended(id)?.agent === link.agent) ++counts.itemsDuplicate;
      else this.#unknown(link, id, true);
      return undefined;
    }
    if (session instanceof DataSession) {
      if (session.phase === 'receiving') return session;
      ++counts.itemsDuplicate;
      return undefined;
    }
    ++counts.unexpected;
    log('warning', 'Unexpected', `Data in a session of the mode ${session.mode}`, link.agent, link);
    return undefined;
  }

  // ---- The other messages ------------------------------------------------------------------------------------------

  #control(link: AgentLink, bytes: Uint8Array): void {
    const { starts, counts, log } = this.#host;
    const message = decodeMessage(bytes);
    switch (message.type) {
      case 'Start':
        starts.start(link, message, bytes.length);
        return;
      case 'End':
        this.#end(link, message.session);
        return;
      case 'ChecksumModule':
        this.#compare(link, message);
        return;
      default: {
        ++counts.unexpected;
        const what =
          message.type === 'Unknown' ? `a message of the unknown type ${message.number}` : message.type;
        log('warning', 'Unexpected', `${what} is not for a manager`, link.agent, link);
      }
    }
  }

  #end(link: AgentLink, id: bigint): void {
    const session = this.#sessionOf(link, id);
    if (session !== undefined) {
      session.end();
      return;
    }
    const ended = this.#host.sessions.ended(id);
    if (ended?.agent !== link.agent) {
      this.#unknown(link, id, false);
      return;
    }
    const { status, reason, rejected, retryAfterMs } = ended.outcome;
    link.send({ type: 'EndAck', status, session: id, rejected: BigInt(rejected), retryAfterMs, reason });
  }

  #compare(link: AgentLink, message: ChecksumModule): void {
    const { sessions, counts, log } = this.#host;
    const session = this.#sessionOf(link, message.session);
    if (session instanceof RequestSession && session.mode === 'CHECK') {
      session.compare(message);
      return;
    }
    if (session === undefined) {
      const isLate = sessions.ended(message.session)?.agent === link.agent;
      if (!isLate) this.#unknown(link, message.session, true);
      return;
    }
    ++counts.unexpected;
    log('warning', 'Unexpected', 'a checksum in a session that is no CHECK', link.agent, link);
  }

  // ---- Whose it is -------------------------------------------------------------------------------------------------

  /** A session of the agent of a link, which is where it is answered from now on. */
  #sessionOf(link: AgentLink, id: bigint): Session | undefined {
    const session = this.#host.sessions.get(id);
    if (session === undefined || agentOf(session) !== link.agent) return undefined;
    session.link = link;
    return session;
  }

  /** @param seldom whether it is answered only now and then, for its agent does not wait for an answer. */
  #unknown(link: AgentLink, id: bigint, seldom: boolean): void {
    const { sessions, counts, log, settings } = this.#host;
    const isForeign = sessions.get(id) !== undefined || sessions.ended(id) !== undefined;
    ++counts[isForeign ? 'foreignSession' : 'unknownSession'];
    if (isForeign) {
      log('error', 'ForeignSession', 'a message of a session of another agent', link.agent, link);
    } else {
      log('warning', 'UnknownSession', 'a message of a session that there is not', link.agent, link);
    }
    const answer = {
      type: 'EndAck',
      status: 'Error',
      session: id,
      rejected: 0n,
      retryAfterMs: 0,
      reason: 'UnknownSession',
    } as const;
    if (seldom) link.sendSeldom(answer, settings.wheel.clock.now());
    else link.send(answer);
  }
}
