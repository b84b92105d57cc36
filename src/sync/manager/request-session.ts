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
  readonly over: (session: RequestSession, outcome: SessionOutcome) => void;
  readonly log: (level: 'error' | 'warning', code: ManagerLogCode, message: string, agent: string) => void;
}

/** Of what the agent is told to try again. */
const retryAfterMs = 5000;
const noDocuments = checksumOf([]);

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
  #work: Promise<void> | undefined = undefined;

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

  /** What is to be compared: of several the last one before End counts, which is when it is looked at. */
  compare(message: ChecksumModule): void {
    this.#checksum = message;
  }

  end(): void {
    if (this.#phase === 'open') {
      this.#phase = 'working';
      this.#plan(this.#host.settings.processingIntervalMs);
      this.#work = this.#serve();
    } else if (this.#phase === 'working') {
      this.#answer('Processing', 'None');
    }
  }

  /** The manager closes. @returns a promise that resolves when nothing is asked of the store any more. */
  async suspend(): Promise<void> {
    this.#phase = 'over';
    this.#host.settings.wheel.cancel(this.#timer);
    await this.#work;
  }

  async #serve(): Promise<void> {
    try {
      const [status, reason] = await (this.mode === 'CHECK' ? this.#check() : this.#keepAgent());
      this.#end(status, reason);
    } catch (error) {
      this.#host.log('error', 'Store', `could not serve ${this.mode}: ${messageOf(error)}`, this.agent);
      this.#end('Offline', reasonOf(error), retryAfterMs);
    }
  }

  async #check(): Promise<[Status, Reason]> {
    const { index, checksum } = this.#checksum ?? { index: '', checksum: '' };
    if (index === '') return ['Error', 'EmptyIndex'];
    if (!this.#host.allowIndex(this.agent, index)) return ['Error', 'IndexNotAllowed'];
    if (!/^[0-9a-f]{40}$/i.test(checksum)) return ['Error', 'InvalidMessage'];
    await this.#host.applied(this.agent);
    if (this.#isOver) return ['Offline', 'ShuttingDown'];
    const ours = (await this.#host.settings.store.checksum(this.agent, index)) ?? noDocuments;
    return ours === checksum.toLowerCase() ? ['Ok', 'None'] : ['ChecksumMismatch', 'None'];
  }

  async #keepAgent(): Promise<[Status, Reason]> {
    const { agent, start } = this;
    const { store, onMetadata } = this.#host.settings;
    const indices = start.indices.filter((index) => this.#host.allowIndex(agent, index));
    if (indices.length === 0 && start.indices.length > 0) {
      const what = `none of the ${start.indices.length} indices of a Start is allowed`;
      this.#host.log('warning', 'IndexNotAllowed', what, agent);
      return ['Ok', 'None'];
    }
    const allowed = { ...start, indices };
    const [kind, value] = agentRecord(allowed);
    this.#host.lock(agent, true);
    try {
      await this.#host.applied(agent);
      if (this.#isOver) return ['Offline', 'ShuttingDown'];
      const there = store.agent(agent, kind);
      if (there === undefined || Buffer.compare(there, value) !== 0) await store.setAgent(agent, kind, value);
      await onMetadata(agent, allowed);
    } finally {
      this.#host.lock(agent, false);
    }
    return ['Ok', 'None'];
  }

  #due(): void {
    if (this.#phase === 'open') {
      this.#end('Error', 'SessionExpired');
      return;
    }
    if (this.#phase === 'over') return;
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
    this.#host.settings.wheel.schedule(this.#timer, this.#nowMs + delayMs);
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
