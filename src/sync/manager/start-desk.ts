// How a manager answers Start: with a session, with one that there is, or with when to come again (source document, "Start Message").

import type { LogLevel } from '../agent/results.js';
import type { CommittedSession, StoredSession } from '../store/store.js';
import { type ModuleMode, noSession, type Reason, type Start, type StartAck } from '../wire/messages.js';
import { Admission } from './admission.js';
import type { AgentLink } from './agent-link.js';
import type { Counts, ManagerLogCode } from './events.js';
import type { ManagerSettings } from './options.js';
import type { Quotas } from './quotas.js';
import { isQuota, messageOf, reasonOf } from './session-outcome.js';
import type { SessionTable } from './session-table.js';
import { StartRates } from './start-rates.js';

/** A Start of a session with Data. */
export type ModuleStart = Start & { readonly mode: ModuleMode };

/** What answering Starts needs of the manager. */
export interface StartHost {
  readonly settings: ManagerSettings;
  readonly counts: Counts;
  readonly quotas: Quotas;
  readonly sessions: SessionTable;
  /** Whether sessions begin at all. */
  readonly isOpen: () => boolean;
  readonly allowIndex: (agent: string, index: string) => boolean;
  /** A session is in the store, and its agent is about to hear so. */
  readonly openData: (link: AgentLink, stored: StoredSession) => void;
  /** @returns the id of the session. */
  readonly openRequest: (link: AgentLink, start: Start) => bigint;
  readonly started: (agent: string, start: Start, resumed: boolean) => void;
  readonly later: (ms: number) => number;
  /** As of {@link Admission}. */
  readonly makeWay: (isWanted: () => boolean) => void;
  readonly log: (
    level: LogLevel,
    code: ManagerLogCode,
    message: string,
    agent: string,
    link?: AgentLink,
  ) => void;
}

/** A Start that waits for its turn. */
interface Asking {
  readonly link: AgentLink;
  readonly start: Start;
}

const lockedRetryMs = 1000;
const floodRetryMs = 2000;
const storeRetryMs = 5000;
const shutdownRetryMs = 10_000;

/** Answers Starts. */
export class StartDesk {
  readonly #host: StartHost;
  readonly #admission: Admission<Asking>;
  readonly #rates = new StartRates();

  constructor(host: StartHost) {
    this.#host = host;
    const { wheel, random, holdMs, sessionsPerAgent } = host.settings;
    this.#admission = new Admission({
      quotas: host.quotas,
      wheel,
      random,
      holdMs,
      placesPerAgent: sessionsPerAgent,
      admit: (asking) => this.#admitted(asking),
      refuse: ({ link, start }, { reason, retryAfterMs }) => {
        link.held.delete(keyOf(link.agent, start.module));
        this.#postpone(link, start, reason, retryAfterMs);
      },
      makeWay: host.makeWay,
    });
  }

  /** How many wait for their turn, and those among them whose Start is held. */
  get waiting(): { readonly waiting: number; readonly held: number } {
    return this.#admission;
  }

  /** A session has ended: others may begin. */
  release(agent: string, items: number, bytes: number): void {
    this.#admission.release(agent, items, bytes);
  }

  /** The connection is over: nobody hears the answers to what was held. */
  lost(link: AgentLink): void {
    for (const key of link.held) this.#admission.withdraw(key);
    link.held.clear();
  }

  /** Nobody waits any more. @param tells whether those that are held are told to come again. */
  clear(tells: boolean): void {
    for (const { link, start } of this.#admission.clear()) {
      link.held.clear();
      if (tells) this.#postpone(link, start, 'ShuttingDown', this.#host.later(shutdownRetryMs));
    }
  }

  /** @param bytes the length of the message. */
  start(link: AgentLink, start: Start, bytes: number): void {
    const { settings, later } = this.#host;
    if (!this.#rates.take(link.agent, !isOfModule(start), settings.wheel.clock.now())) {
      this.#postpone(link, start, 'Busy', later(floodRetryMs));
      return;
    }
    if (this.#answered(link, start)) return;
    this.#supersede(link.agent, start);
    const claim = {
      agent: link.agent,
      key: keyOf(link.agent, start.module),
      items: Number(start.size),
      bytes,
    };
    const answer = this.#admission.ask(claim, { link, start });
    if (answer === 'held') {
      link.held.add(claim.key);
      return;
    }
    link.held.delete(claim.key);
    if (answer === 'admitted') this.#open(link, start);
    else this.#postpone(link, start, answer.reason, answer.retryAfterMs);
  }

  /** A Start that was held may begin now, unless something has changed. */
  #admitted({ link, start }: Asking): void {
    link.held.delete(keyOf(link.agent, start.module));
    if (this.#answered(link, start)) this.#admission.release(link.agent, Number(start.size), 0);
    else this.#open(link, start);
  }

  /** Answers a Start that begins no new session. @returns whether it was one. */
  #answered(link: AgentLink, start: Start): boolean {
    return (
      this.#resumes(link, start) ||
      this.#isPostponed(link, start) ||
      (isOfModule(start) ? this.#isAnsweredData(link, start) : this.#isRefusedRequest(link, start))
    );
  }

  // ---- Sessions that there are -------------------------------------------------------------------------------------

  /** A Start of a session that there is: sent again, or by an agent that has come back. */
  #resumes(link: AgentLink, start: Start): boolean {
    if (start.nonce === 0n) return false;
    const { sessions } = this.#host;
    for (const request of sessions.requestsOf(link.agent)) {
      if (!isSame(request.start, start)) continue;
      if (request.mode !== start.mode) {
        this.#refuse(link, start, 'InvalidMessage');
        return true;
      }
      request.link = link;
      this.#accept(link, start, request.session, false);
      return true;
    }
    for (const data of sessions.dataOf(link.agent)) {
      if (!isSame(data.stored, start)) continue;
      if (!isAsStarted(data.stored, start)) {
        this.#refuse(link, start, 'InvalidMessage');
        return true;
      }
      data.link = link;
      data.restart();
      // Of a session of which nothing has come the agent can simply send everything.
      const isResumed = !data.isEmpty;
      if (isResumed) {
        ++this.#host.counts.resumed;
        this.#host.started(link.agent, start, true);
      }
      this.#accept(link, start, data.stored.session, isResumed);
      return true;
    }
    return false;
  }

  /** Its agent has gone on: what has not come by now will never. */
  #supersede(agent: string, start: Start): void {
    if (!isOfModule(start)) return;
    for (const session of this.#host.sessions.dataOf(agent)) {
      if (session.stored.module !== start.module || session.phase !== 'receiving') continue;
      ++this.#host.counts.superseded;
      this.#host.log('info', 'Superseded', 'a newer Start ended a session', agent, session.link);
      session.supersede();
    }
  }

  // ---- Those that are refused --------------------------------------------------------------------------------------

  #isPostponed(link: AgentLink, start: Start): boolean {
    const { sessions, isOpen, later } = this.#host;
    if (!isOpen()) this.#postpone(link, start, 'ShuttingDown', later(shutdownRetryMs));
    else if (!isOfModule(start) || !sessions.isLocked(link.agent)) return false;
    else this.#postpone(link, start, 'AgentLocked', later(lockedRetryMs));
    return true;
  }

  #isRefusedRequest(link: AgentLink, start: Start): boolean {
    if (start.size === 0n) return false;
    this.#refuse(link, start, 'InvalidSize');
    return true;
  }

  #isAnsweredData(link: AgentLink, start: ModuleStart): boolean {
    const { agent } = link;
    const { settings } = this.#host;
    const { size, nonce, generation, module } = start;
    let committed: CommittedSession | undefined;
    try {
      committed = settings.store.committed(agent, module);
    } catch (error) {
      this.#storeFailed(link, start, error);
      return true;
    }
    const known = nonce !== 0n && committed?.nonce === nonce ? committed : undefined;
    if (known !== undefined && isAsStarted(known, start)) {
      this.#acceptEnded(link, start, known.rejected, true);
      return true;
    }
    const newest = this.#newestGeneration(agent, module, committed?.generation ?? 0n);
    if (generation !== 0n && generation <= newest) this.#refuse(link, start, 'StaleGeneration', newest);
    // Of other Data, which were not applied.
    else if (known !== undefined) this.#refuse(link, start, 'InvalidMessage');
    else if (size === 0n) this.#refuse(link, start, 'InvalidSize');
    else if (size > BigInt(settings.maxItemsPerAgent)) this.#refuse(link, start, 'TooManyItems');
    else return this.#isOfNoIndex(link, start);
    return true;
  }

  /** Nothing is kept of a session whose indices its agent may not write. */
  #isOfNoIndex(link: AgentLink, start: ModuleStart): boolean {
    const { allowIndex, counts, log } = this.#host;
    const { indices } = start;
    if (indices.length === 0 || indices.some((index) => allowIndex(link.agent, index))) return false;
    log(
      'warning',
      'IndexNotAllowed',
      `none of the ${indices.length} indices of a Start is allowed`,
      link.agent,
      link,
    );
    counts.itemsRejected += Number(start.size);
    this.#acceptEnded(link, start, Number(start.size), false);
    return true;
  }

  /** The greatest of what was applied and of the sessions that there are. */
  #newestGeneration(agent: string, module: string, committed: bigint): bigint {
    let newest = committed;
    for (const { stored } of this.#host.sessions.dataOf(agent)) {
      if (stored.module === module && stored.generation > newest) newest = stored.generation;
    }
    return newest;
  }

  // ---- New sessions ------------------------------------------------------------------------------------------------

  /** Begins a session that was admitted. */
  #open(link: AgentLink, start: Start): void {
    if (!isOfModule(start)) {
      ++this.#host.counts.started;
      this.#accept(link, start, this.#host.openRequest(link, start), false);
      this.#host.started(link.agent, start, false);
      return;
    }
    const { settings, sessions, allowIndex, counts } = this.#host;
    const { agent } = link;
    const { module, mode, nonce, generation } = start;
    const indices = start.indices.filter((index) => allowIndex(agent, index));
    const size = Number(start.size);
    const session = sessions.newId();
    let stored: StoredSession;
    try {
      stored = settings.store.begin({ agent, module, mode, size, indices, session, nonce, generation });
    } catch (error) {
      this.#admission.release(agent, size, 0);
      if (isQuota(error)) this.#refuse(link, start, 'AgentFull');
      else this.#storeFailed(link, start, error);
      return;
    }
    ++counts.started;
    this.#host.openData(link, stored);
    this.#accept(link, start, session, false);
    this.#host.started(agent, start, false);
  }

  /** A session of which nothing is to be done: its End is answered, and its Data are ignored. */
  #acceptEnded(link: AgentLink, start: Start, rejected: number, resumed: boolean): void {
    const { sessions } = this.#host;
    const id = sessions.newId();
    sessions.remember(id, link.agent, { status: 'Ok', reason: 'None', rejected, retryAfterMs: 0 });
    this.#accept(link, start, id, resumed);
  }

  // ---- Answers -----------------------------------------------------------------------------------------------------

  #accept(link: AgentLink, { nonce }: Start, session: bigint, resumed: boolean): void {
    link.send({ ...plainAck, status: 'Ok', nonce, session, resumed });
  }

  #refuse(link: AgentLink, { nonce, module }: Start, reason: Reason, generation = 0n): void {
    ++this.#host.counts.refused;
    this.#host.log('warning', 'Refused', `a Start of ${JSON.stringify(module)}: ${reason}`, link.agent, link);
    link.send({ ...plainAck, status: 'Error', nonce, reason, generation });
  }

  #postpone(link: AgentLink, { nonce, module }: Start, reason: Reason, retryAfterMs: number): void {
    ++this.#host.counts.postponed;
    const what = `a Start of ${JSON.stringify(module)} for ${retryAfterMs} ms: ${reason}`;
    this.#host.log('debug', 'Refused', what, link.agent, link);
    link.send({ ...plainAck, status: 'Offline', nonce, reason, retryAfterMs });
  }

  #storeFailed(link: AgentLink, start: Start, error: unknown): void {
    ++this.#host.counts.storeFailures;
    this.#host.log('error', 'Store', `could not begin a session: ${messageOf(error)}`, link.agent, link);
    this.#postpone(link, start, reasonOf(error), this.#host.later(storeRetryMs));
  }
}

const plainAck: Omit<StartAck, 'status' | 'nonce'> = {
  type: 'StartAck',
  session: noSession,
  retryAfterMs: 0,
  resumed: false,
  generation: 0n,
  reason: 'None',
};

export function isOfModule(start: Start): start is ModuleStart {
  return start.mode === 'FULL' || start.mode === 'DELTA';
}

/** Names of agents are no part of each other: the length of the first says where the second begins. */
export function keyOf(agent: string, module: string): string {
  return `${agent.length}:${agent}${module}`;
}

function isSame(there: { readonly module: string; readonly nonce: bigint }, start: Start): boolean {
  return there.nonce === start.nonce && there.module === start.module;
}

/** Whether a session is the one that a Start with its nonce means. */
function isAsStarted(
  there: Pick<StoredSession, 'mode' | 'size' | 'generation'>,
  { mode, size, generation }: Start,
): boolean {
  return there.mode === mode && BigInt(there.size) === size && there.generation === generation;
}
