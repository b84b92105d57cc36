// The sessions without Data, as a manager sees them: CHECK, METADATA and GROUP (source document, "Special Synchronization Modes").

import { WheelTimer } from '../../base/timing-wheel.js';
import { checksumOf } from '../store/checksum.js';
import type { ChecksumModule, Mode, ModuleMode, Reason, Start, Status } from '../wire/messages.js';
import type { AgentLink } from './agent-link.js';
import type { ManagerLogCode } from './events.js';
import type { ManagerSettings } from './options.js';
import { messageOf, reasonOf, type SessionOutcome } from './session-outcome.js';

/** What such a session needs of the manager. */
export interface RequestHost {
  readonly settings: ManagerSettings;
  readonly allowIndex: (agent: string, index: string) => boolean;
  /** Resolves when those sessions of the agent have been applied that are complete now, or after a minute. */
  readonly applied: (agent: string) => Promise<void>;
  /** Keeps the agent from beginning sessions with Data, or lets it. */
  readonly lock: (agent: string, locked: boolean) => void;
  /** Tells the application. @returns a promise of whether it was told, which may never settle. */
  readonly onMetadata: (agent: string, start: Start) => Promise<boolean>;
  /** Tells that the application has not answered in time. */
  readonly hookFailed: (agent: string, name: string, error: unknown) => void;
  readonly over: (session: RequestSession, outcome: SessionOutcome) => void;
  readonly log: (level: 'error' | 'warning', code: ManagerLogCode, message: string, agent: string) => void;
}

/** Of what the agent is told to try again. */
const retryAfterMs = 5000;
/** How long the application may take to be told: meanwhile the agent begins no session with Data. */
const mostHookMs = 60_000;
const noDocuments = checksumOf([]);
const ok = ['Ok', 'None', 0] as const;

/** One session without Data. */
export class RequestSession {
  readonly session: bigint;
  readonly agent: string;
  readonly start: Start;
  /** The newest connection by which something of it came. */
  link: AgentLink | undefined = undefined;
  readonly #host: RequestHost;
  readonly #timer: WheelTimer = new WheelTimer(() => this.#due());
  readonly #startedMs: number;
  #checksum: ChecksumModule | undefined = undefined;
  #phase: 'open' | 'working' | 'over' = 'open';
  #isLocking = false;
  /** When the application has had its time. */
  #hookDueMs = Number.POSITIVE_INFINITY;
  #isAsking = false;
  #whenAsked: (() => void)[] = [];

  constructor(host: RequestHost, session: bigint, agent: string, start: Start) {
    this.#host = host;
    this.session = session;
    this.agent = agent;
    this.start = start;
    this.#startedMs = this.#nowMs;
    this.#plan(host.settings.sessionTimeoutMs);
  }

  get mode(): Exclude<Mode, ModuleMode> {
    const { mode } = this.start;
    if (mode === 'FULL' || mode === 'DELTA')
      throw new TypeError(`a session without Data of the mode ${mode}`);
    return mode;
  }

  get durationMs(): number {
    return this.#nowMs - this.#startedMs;
  }

  /** For how long its agent has not said End. */
  get idleMs(): number {
    return this.#phase === 'open' ? this.durationMs : 0;
  }

  /** What is to be compared: of several the last one before End counts, which is when it is looked at. */
  compare(message: ChecksumModule): void {
    this.#checksum = message;
  }

  end(): void {
    if (this.#phase === 'open') {
      this.#phase = 'working';
      this.#plan(this.#host.settings.processingIntervalMs);
      void this.#serve();
    } else if (this.#phase === 'working') {
      this.#answer('Processing', 'None');
    }
  }

  /** Ends it, and tells the agent. */
  fail(status: Status, reason: Reason, retryMs: number): void {
    this.#end(status, reason, retryMs);
  }

  /** The manager closes. @returns a promise that resolves when nothing is asked of the store any more. */
  suspend(): Promise<void> {
    this.#phase = 'over';
    this.#host.settings.wheel.cancel(this.#timer);
    return new Promise((resolve) => {
      if (this.#isAsking) this.#whenAsked.push(resolve);
      else resolve();
    });
  }

  async #serve(): Promise<void> {
    let outcome: readonly [Status, Reason, number];
    this.#isAsking = true;
    try {
      outcome = await (this.mode === 'CHECK' ? this.#check() : this.#keepAgent());
    } catch (error) {
      this.#host.log('error', 'Store', `could not serve ${this.mode}: ${messageOf(error)}`, this.agent);
      outcome = ['Offline', reasonOf(error), retryAfterMs];
    }
    this.#hasAsked();
    this.#unlock();
    this.#end(...outcome);
  }

  #hasAsked(): void {
    this.#isAsking = false;
    for (const resolve of this.#whenAsked.splice(0)) resolve();
  }

  async #check(): Promise<readonly [Status, Reason, number]> {
    const { index, checksum } = this.#checksum ?? { index: '', checksum: '' };
    if (index === '') return ['Error', 'EmptyIndex', 0];
    if (!this.#host.allowIndex(this.agent, index)) return ['Error', 'IndexNotAllowed', 0];
    if (!/^[0-9a-f]{40}$/i.test(checksum)) return ['Error', 'InvalidMessage', 0];
    await this.#host.applied(this.agent);
    if (this.#isOver) return ['Offline', 'ShuttingDown', 0];
    const ours = (await this.#host.settings.store.checksum(this.agent, index)) ?? noDocuments;
    return ours === checksum.toLowerCase() ? ok : ['ChecksumMismatch', 'None', 0];
  }

  async #keepAgent(): Promise<readonly [Status, Reason, number]> {
    const { agent, start } = this;
    const indices = start.indices.filter((index) => this.#host.allowIndex(agent, index));
    if (indices.length === 0 && start.indices.length > 0) {
      const what = `none of the ${start.indices.length} indices of a Start is allowed`;
      this.#host.log('warning', 'IndexNotAllowed', what, agent);
      return ok;
    }
    const allowed = { ...start, indices };
    this.#lock();
    await this.#host.applied(agent);
    if (this.#isOver) return ['Offline', 'ShuttingDown', 0];
    await this.#store(...agentRecord(allowed));
    return (await this.#tell(allowed)) ? ok : ['Offline', 'StoreFailed', retryAfterMs];
  }

  async #store(kind: 'metadata' | 'groups', value: Uint8Array): Promise<void> {
    const { store } = this.#host.settings;
    const there = store.agent(this.agent, kind);
    if (there !== undefined && Buffer.compare(there, value) === 0) return;
    await store.setAgent(this.agent, kind, value);
  }

  /** Tells the application, which may take its time, but not for ever. */
  async #tell(start: Start): Promise<boolean> {
    this.#hasAsked();
    if (this.#isOver) return false;
    this.#hookDueMs = this.#nowMs + mostHookMs;
    this.#plan(this.#host.settings.processingIntervalMs);
    return this.#host.onMetadata(this.agent, start);
  }

  #lock(): void {
    this.#isLocking = true;
    this.#host.lock(this.agent, true);
  }

  #unlock(): void {
    if (this.#isLocking) this.#host.lock(this.agent, false);
    this.#isLocking = false;
  }

  #due(): void {
    if (this.#phase === 'open') {
      this.#end('Error', 'SessionExpired');
      return;
    }
    if (this.#phase === 'over') return;
    if (this.#nowMs >= this.#hookDueMs) {
      this.#host.hookFailed(this.agent, 'onMetadata', new Error(`it has not settled for ${mostHookMs} ms`));
      this.#unlock();
      this.#end('Offline', 'StoreFailed', retryAfterMs);
      return;
    }
    this.#answer('Processing', 'None');
    this.#plan(this.#host.settings.processingIntervalMs);
  }

  #end(status: Status, reason: Reason, retryMs = 0): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#host.settings.wheel.cancel(this.#timer);
    if (reason !== 'SessionExpired') this.#answer(status, reason, retryMs);
    this.#host.over(this, { status, reason, rejected: 0, retryAfterMs: retryMs });
  }

  #answer(status: Status, reason: Reason, retryMs = 0): void {
    this.link?.send({
      type: 'EndAck',
      status,
      session: this.session,
      rejected: 0n,
      retryAfterMs: retryMs,
      reason,
    });
  }

  // A method's narrowing of the phase would outlast what happens while it waits.
  get #isOver(): boolean {
    return this.#phase === 'over';
  }

  get #nowMs(): number {
    return this.#host.settings.wheel.clock.now();
  }

  #plan(delayMs: number): void {
    this.#host.settings.wheel.schedule(this.#timer, Math.min(this.#nowMs + delayMs, this.#hookDueMs));
  }
}

/** What the store keeps of a METADATA or GROUP session: JSON; docs/sync.md has its fields. */
function agentRecord({ mode, metadata, globalVersion, indices }: Start): ['metadata' | 'groups', Uint8Array] {
  const { groups = [], ...rest } = metadata;
  const version = globalVersion.toString();
  const isGroups = mode === 'GROUP_DELTA' || mode === 'GROUP_CHECK';
  const record = isGroups
    ? { groups, globalVersion: version, indices }
    : { ...rest, globalVersion: version, indices };
  return [isGroups ? 'groups' : 'metadata', Buffer.from(JSON.stringify(record))];
}
