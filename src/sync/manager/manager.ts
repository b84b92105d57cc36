// The manager: many agents tell it what changed, and it keeps that (source document, "Protocol Lifecycle").

import { EventEmitter } from 'node:events';
import { checkText } from '../../base/check.js';
import { inOrder } from '../../base/in-order.js';
import { guard, isolateRejections, reportListenerError } from '../../base/isolate.js';
import type { MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import { WheelTimer } from '../../base/timing-wheel.js';
import type { LogLevel } from '../agent/results.js';
import type { StoredSession } from '../store/store.js';
import type { Start } from '../wire/messages.js';
import { AgentLink } from './agent-link.js';
import { type AgentListener, AgentReceiver } from './agent-receiver.js';
import { CommitQueue } from './commit-queue.js';
import { DataSession, type SessionHost } from './data-session.js';
import { diagnostics } from './diagnostics.js';
import {
  type Counts,
  type ManagerLogCode,
  noCounts,
  type SessionEnded,
  type SyncManagerEvents,
  type SyncManagerStats,
} from './events.js';
import { Hooks } from './hooks.js';
import { Inbox } from './inbox.js';
import { checkManagerOptions, type ManagerSettings, type SyncManagerOptions } from './options.js';
import { PortionLine } from './portion-line.js';
import { Quotas } from './quotas.js';
import { type RequestHost, RequestSession } from './request-session.js';
import { Room, type RoomHost } from './room.js';
import { isStale, messageOf, type SessionOutcome } from './session-outcome.js';
import { newestOf, type Session, SessionTable } from './session-table.js';
import { keyOf, StartDesk } from './start-desk.js';

export type { SyncManagerOptions } from './options.js';

/** How long what waits for other sessions waits at most (schema g2). */
const mostAppliedWaitMs = 60_000;
/** By how much chance changes when agents are told to come again. */
const spread = 0.25;
const maxAgentBytes = 256;

/**
 * Takes what agents push, asks again for what was lost, applies each session in one piece and says so when it is on the disk. Sessions are of
 * agents, not of connections: an agent that comes back goes on, also after the manager was started anew on the same store.
 *
 * docs/sync.md says what happens when something is lost, and how to choose the limits.
 */
export class SyncManager extends EventEmitter<SyncManagerEvents> {
  static {
    isolateRejections(SyncManager.prototype);
  }

  readonly #settings: ManagerSettings;
  readonly #counts: Counts = noCounts();
  readonly #quotas: Quotas;
  readonly #starts: StartDesk;
  readonly #commits: CommitQueue;
  readonly #sessions = new SessionTable();
  readonly #sessionHost: SessionHost;
  readonly #requestHost: RequestHost;
  readonly #hooks: Hooks;
  readonly #room: Room;
  readonly #inbox: Inbox;
  readonly #links = new Set<AgentLink>();
  /** Of all connections. */
  readonly #listener: AgentListener = {
    receive: (link, message, ordered) => this.#receive(link, message, ordered),
    lost: (link) => this.#lost(link),
  };
  readonly #answerLost = (): void => {
    ++this.#counts.answersLost;
  };
  /** What the store is about to forget. */
  readonly #drops = new Set<Promise<void>>();
  #state: 'open' | 'draining' | 'closed' = 'open';
  #whenDrained: (() => void)[] = [];
  #closing: Promise<void> | undefined;

  /**
   * Goes on with the sessions that the store has: those that were complete are applied.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT, and what the store throws when it cannot be read.
   */
  constructor(options: SyncManagerOptions) {
    super({ captureRejections: true });
    this.#settings = checkManagerOptions(options);
    this.#quotas = new Quotas(this.#settings);
    this.#commits = new CommitQueue(this.#settings.maxCommits);
    this.#hooks = this.#makeHooks();
    this.#room = new Room(this.#shared);
    this.#sessionHost = this.#makeSessionHost();
    this.#requestHost = this.#makeRequestHost();
    this.#starts = this.#makeStartDesk();
    this.#inbox = new Inbox({ ...this.#shared, starts: this.#starts, room: this.#room });
    this.#restore();
  }

  /** How much it does, and did. */
  get stats(): SyncManagerStats {
    const { sessions, items, bytes } = this.#quotas.total;
    return {
      sessions,
      items,
      bytes,
      waiting: this.#starts.waiting.waiting,
      held: this.#starts.waiting.held,
      committing: this.#commits.running,
      connections: this.#links.size,
      counts: { ...this.#counts },
    };
  }

  /**
   * Serves an agent by a connection.
   *
   * @param agent whose connection it is, 1 to 256 bytes of UTF-8: what the transport has authenticated, never what the other side says of
   * itself. What it syncs is kept under this name, and no other agent can reach it.
   * @returns what is to be told of the connection.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  accept(connection: MessageConnection, agent: string): MessageReceiver {
    checkText('agent', agent, maxAgentBytes);
    const link = new AgentLink(connection, agent, this.#nowMs, this.#answerLost);
    this.#links.add(link);
    return new AgentReceiver(link, this.#listener);
  }

  /**
   * Begins no further session: agents are told to come back later. Resolves when those under way are over; `close` ends the waiting.
   * Sessions whose agents are gone are over when they expire.
   */
  drain(): Promise<void> {
    if (this.#state === 'open') this.#state = 'draining';
    this.#starts.clear(true);
    return new Promise((resolve) => {
      this.#whenDrained.push(resolve);
      this.#tellDrained();
    });
  }

  /**
   * Stops: what is being applied is brought to its end, and nothing that comes is looked at any more. What is staged stays in the store,
   * which is not closed, and the next manager on it goes on. Connections are left to whoever made them. Closing twice is closing once.
   */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    this.#state = 'closed';
    this.#starts.clear(false);
    await this.#commits.stop();
    await Promise.all(Array.from(this.#sessions.all(), (session) => session.suspend()));
    await Promise.all(this.#drops);
    this.#sessions.clear();
    this.#links.clear();
    this.#tellDrained();
  }

  #receive(link: AgentLink, message: Uint8Array, ordered: boolean): void {
    if (this.#state !== 'closed' && link.open) this.#inbox.receive(link, message, ordered);
  }

  #tellDrained(): void {
    if (this.#state === 'open' || this.#sessions.size > 0) return;
    for (const resolve of this.#whenDrained.splice(0)) resolve();
  }

  #lost(link: AgentLink): void {
    link.close();
    this.#links.delete(link);
    this.#starts.lost(link);
  }

  // ---- What its parts need of it ---------------------------------------------------------------------------------

  /** What all of them do. */
  get #shared(): RoomHost {
    return {
      settings: this.#settings,
      counts: this.#counts,
      quotas: this.#quotas,
      sessions: this.#sessions,
      later: (ms) => this.#later(ms),
      log: (level, code, message, agent, link) => this.#log(level, code, message, agent, link),
    };
  }

  #makeStartDesk(): StartDesk {
    return new StartDesk({
      ...this.#shared,
      isOpen: () => this.#state === 'open',
      allowIndex: (agent, index) => this.#hooks.allowIndex(agent, index),
      openData: (link, stored) => {
        const session = new DataSession(this.#sessionHost, stored);
        session.link = link;
        this.#sessions.add(session);
      },
      openRequest: (link, start) => this.#openRequest(link, start),
      started: (agent, start, resumed) => this.#tellStart(agent, start, resumed),
      makeWay: (isWanted) => this.#room.makeWay(isWanted),
    });
  }

  #makeHooks(): Hooks {
    return new Hooks({
      settings: this.#settings,
      counts: this.#counts,
      clock: this.#settings.wheel.clock,
      failed: (agent, name, error) => {
        this.#log('error', 'Hook', `${name}: ${messageOf(error)}`, agent);
        reportListenerError(this, error, name);
      },
    });
  }

  #makeSessionHost(): SessionHost {
    return {
      settings: this.#settings,
      counts: this.#counts,
      portions: new PortionLine(this.#settings.wheel, ({ stored }) => stored.agent),
      complete: ({ stored: { agent, module } }, commit) =>
        this.#commits.add(agent, keyOf(agent, module), commit),
      retry: ({ stored }) => this.#commits.retry(keyOf(stored.agent, stored.module)),
      isSuperseded: ({ stored }) => this.#isSuperseded(stored),
      staged: ({ stored }, bytes) => this.#quotas.take(stored.agent, 0, 0, bytes),
      drop: ({ stored }) => this.#drop(stored),
      over: (session, outcome) => this.#dataOver(session, outcome),
      progress: (progress) => guard(this, 'progress', () => this.emit('progress', progress)),
      allowIndex: (agent, index) => this.#hooks.allowIndex(agent, index),
      onContext: (agent, module, item) => this.#hooks.onContext(agent, module, item),
      log: (level, code, message, { stored, link }) => this.#log(level, code, message, stored.agent, link),
    };
  }

  #makeRequestHost(): RequestHost {
    return {
      settings: this.#settings,
      allowIndex: (agent, index) => this.#hooks.allowIndex(agent, index),
      onMetadata: (agent, start) => this.#hooks.onMetadata(agent, start),
      hookFailed: (agent, name, error) => this.#hooks.failed(agent, name, error),
      applied: (agent) => this.#applied(agent),
      lock: (agent, locked) => this.#sessions.lock(agent, locked),
      over: (session, outcome) => this.#requestOver(session, outcome),
      log: (level, code, message, agent) => this.#log(level, code, message, agent),
    };
  }

  #openRequest(link: AgentLink, start: Start): bigint {
    const session = new RequestSession(this.#requestHost, this.#sessions.newId(), link.agent, start);
    session.link = link;
    this.#sessions.add(session);
    return session.session;
  }

  #isSuperseded(stored: StoredSession): boolean {
    for (const each of this.#sessions.dataOf(stored.agent)) {
      if (each.stored.module === stored.module && each.stored.key > stored.key) return true;
    }
    return false;
  }

  /** Resolves when those sessions of an agent are applied that are complete now, but after a minute at the latest. */
  async #applied(agent: string): Promise<void> {
    const settled = Array.from(this.#sessions.dataOf(agent), (session) => session.settled());
    if (settled.length === 0) return;
    const { wheel } = this.#settings;
    await new Promise<void>((resolve) => {
      const timer = new WheelTimer(resolve);
      wheel.schedule(timer, wheel.clock.now() + mostAppliedWaitMs);
      void Promise.all(settled).then(() => {
        wheel.cancel(timer);
        resolve();
      });
    });
  }

  #dataOver(session: DataSession, outcome: SessionOutcome): void {
    const { agent, module, mode, size } = session.stored;
    const { status, reason, rejected } = outcome;
    const applied = status === 'Ok' ? size - rejected : 0;
    this.#counts.itemsApplied += applied;
    this.#counts.itemsRejected += rejected;
    if (rejected > 0) {
      const what = `${rejected} of ${size} items were not applied: invalid, or of an index that is not allowed`;
      this.#log('warning', 'RejectedItems', what, agent, session.link);
    }
    this.#over(session, outcome);
    this.#starts.release(agent, size, session.bytes);
    const { durationMs } = session;
    this.#tellEnd({ agent, module, mode, size, applied, rejected, durationMs, status, reason });
  }

  #requestOver(session: RequestSession, outcome: SessionOutcome): void {
    const { agent, mode, durationMs } = session;
    const { status, reason } = outcome;
    this.#over(session, outcome);
    this.#starts.release(agent, 0, 0);
    const { module } = session.start;
    this.#tellEnd({ agent, module, mode, size: 0, applied: 0, rejected: 0, durationMs, status, reason });
  }

  #over(session: Session, outcome: SessionOutcome): void {
    const { reason } = outcome;
    // Of what its agent has not been told: it begins anew when its session is unknown.
    const isForgotten = reason === 'SessionExpired' || reason === 'StaleGeneration';
    this.#sessions.remove(session, isForgotten ? undefined : outcome);
    this.#tellDrained();
  }

  #restore(): void {
    const { store } = this.#settings;
    const receiving: DataSession[] = [];
    const there = store.sessions();
    const newest = newestOf(there);
    for (const stored of there) {
      const { agent, module } = stored;
      // Its agent has gone on, and it has not begun to be applied.
      const isOver = !newest.has(stored) || isStale(stored, store.committed(agent, module));
      if (isOver && stored.state === 'receiving') {
        ++this.#counts.superseded;
        this.#drop(stored);
        continue;
      }
      const session = new DataSession(this.#sessionHost, stored);
      this.#sessions.add(session);
      this.#quotas.take(stored.agent, 1, stored.size, 0);
      if (stored.state === 'committing') {
        session.resumeCommit();
        continue;
      }
      session.arrivals.awaitRestore();
      receiving.push(session);
    }
    void inOrder(receiving, 1, (session) => session.restore());
  }

  /** Nothing of a session is to stay in the store. What cannot be dropped now goes when the store is next written. */
  #drop(stored: StoredSession): void {
    const drop = this.#settings.store
      .drop(stored)
      .catch((error: unknown) => {
        ++this.#counts.storeFailures;
        this.#log('error', 'Store', `could not drop: ${messageOf(error)}`, stored.agent);
      })
      .then(() => {
        this.#drops.delete(drop);
      });
    this.#drops.add(drop);
  }

  // ---- The application ---------------------------------------------------------------------------------------------

  #tellStart(agent: string, { module, mode, size }: Start, resumed: boolean): void {
    const session = { agent, module, mode, size: Number(size), resumed };
    if (diagnostics.start.hasSubscribers) diagnostics.start.publish(session);
    guard(this, 'sessionStart', () => this.emit('sessionStart', session));
  }

  #tellEnd(session: SessionEnded): void {
    ++this.#counts[session.status === 'Ok' || session.status === 'ChecksumMismatch' ? 'succeeded' : 'failed'];
    if (diagnostics.end.hasSubscribers) diagnostics.end.publish(session);
    guard(this, 'sessionEnd', () => this.emit('sessionEnd', session));
  }

  /** @param link whose connection is to blame: what too many lines of one connection say is not told. */
  #log(level: LogLevel, code: ManagerLogCode, message: string, agent: string, link?: AgentLink): void {
    if (this.listenerCount('log') === 0) return;
    const suppressed = link === undefined ? 0 : link.takeLine(this.#nowMs);
    if (suppressed === undefined) {
      ++this.#counts.suppressed;
      return;
    }
    guard(this, 'log', () => {
      const what = `${suppressed} lines were not told`;
      if (suppressed > 0) this.emit('log', 'warning', 'Suppressed', what, agent);
      this.emit('log', level, code, message, agent);
    });
  }

  get #nowMs(): number {
    return this.#settings.wheel.clock.now();
  }

  #later(ms: number): number {
    return Math.round(ms * (1 + spread * this.#settings.random()));
  }
}
