// An agent: one module that tells a manager what changed, and loses nothing on the way (source document).

import { EventEmitter } from 'node:events';
import { checkSignal } from '../../base/abort.js';
import {
  argumentError,
  checkArray,
  checkOneOf,
  checkOptions,
  checkText,
  checkU64,
  describe,
} from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { guard, isolateRejections } from '../../base/isolate.js';
import type { MessageConnection } from '../../base/message-connection.js';
import type { Random } from '../../base/random.js';
import type { TimingWheel } from '../../base/timing-wheel.js';
import { TokenBucket } from '../../base/token-bucket.js';
import type { Difference, DifferenceOperation } from '../queue/queue.js';
import { newNonce } from '../queue/rows.js';
import { type AgentMode, limits, type ModuleMode, type StartOption, startOptions } from '../wire/messages.js';
import { Conductor } from './conductor.js';
import { tellDifferences } from './delta.js';
import type { SyncAgentEvents, SyncAgentStats, SyncCallOptions, SynchronizeOptions } from './events.js';
import { Generations } from './generations.js';
import { AgentMemory, type DifferenceOptions, itemsOf } from './memory.js';
import { type AgentSettings, checkAgentOptions, type SyncAgentOptions } from './options.js';
import {
  failure,
  failureOf,
  isNotReady,
  isRefusal,
  messageOf,
  nothing,
  type SessionOutcome,
} from './outcomes.js';
import { cleansOf, emptyPlan, type Plan, snapshotPlan } from './plans.js';
import type { ChecksumVerdict, LogCode, LogLevel, SyncResult } from './results.js';
import type { AgentPort } from './router.js';
import { AgentRun } from './run.js';
import type { AgentState } from './states.js';
import { Submissions } from './submissions.js';
import { Waits } from './waits.js';

export type * from './events.js';
export type { SyncAgentOptions } from './options.js';
export type * from './results.js';

/** What an agent needs of the client that it belongs to. */
export interface AgentHost {
  readonly wheel: TimingWheel;
  readonly random: Random;
  /** Undefined while there is none. */
  readonly connection: () => MessageConnection | undefined;
  readonly startSent: (nonce: bigint) => void;
  readonly log: (level: LogLevel, code: LogCode, message: string, module: string) => void;
  readonly closed: (port: AgentPort) => void;
}

const agentModes = ['METADATA_DELTA', 'METADATA_CHECK', 'GROUP_DELTA', 'GROUP_CHECK'] as const;
/** So many failures in a row are borne before the log warns. */
const toleratedFailures = 3;
/** Lines of the log about what the manager sends, a second. */
const linesPerSecond = 20;
const checksumPattern = /^[0-9a-f]{40}$/i;
const ignore = (): void => undefined;

/**
 * One module of an agent, which `SyncClient.agent` makes. One sync of it is under way at a time; several modules share a connection.
 *
 * The calls that sync resolve with how that ended, whatever it was; they reject only with ERR_HAWSER_ARGUMENT, and with ERR_HAWSER_CLOSED
 * after `close`.
 */
export class SyncAgent extends EventEmitter<SyncAgentEvents> implements AsyncDisposable {
  readonly #host: AgentHost;
  readonly #settings: AgentSettings;
  readonly #port: AgentPort;
  readonly #memory = new AgentMemory();
  readonly #submissions = new Submissions();
  readonly #generations: Generations;
  readonly #waits: Waits;
  readonly #conductor: Conductor;
  readonly #lines: TokenBucket;
  readonly #stats = {
    syncs: 0,
    succeeded: 0,
    failed: 0,
    items: 0,
    bytes: 0,
    retransmitted: 0,
    unexpected: 0,
  };
  #state: AgentState = 'Idle';
  #run: AgentRun | undefined;
  /** A FULL is under way. */
  #isFull = false;
  /** Resolves when the run has ended. */
  #ended: Promise<void> = Promise.resolve();
  #isStopped = false;
  #isClosed = false;
  #consecutiveFailures = 0;

  static {
    isolateRejections(SyncAgent.prototype);
  }

  /**
   * For `SyncClient` only.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  constructor(host: AgentHost, options: SyncAgentOptions, attach: (port: AgentPort) => void) {
    super({ captureRejections: true });
    this.#settings = checkAgentOptions(options);
    this.#host = host;
    this.#waits = new Waits(host.wheel);
    this.#generations = new Generations(this.#settings.queue, () => host.wheel.clock.wallNow());
    this.#conductor = this.#newConductor();
    this.#lines = new TokenBucket(linesPerSecond, linesPerSecond, this.#waits.nowMs);
    this.#port = {
      module: this.#settings.module,
      session: () => this.#run?.session,
      log: (level, code, message) => this.#log(level, code, message),
      drained: () => this.#run?.session?.drained(),
      lost: () => {
        // Whoever was told first may have connected again already.
        if (this.#run?.connection !== host.connection()) this.#run?.interrupt('disconnected');
      },
    };
    attach(this.#port);
  }

  get module(): string {
    return this.#settings.module;
  }

  /** Where the session is. `Idle` also while the agent waits to begin one. */
  get state(): AgentState {
    return this.#state;
  }

  /** How many syncs in a row failed after Start was sent. What `stop` ended does not count. */
  get consecutiveFailures(): number {
    return this.#consecutiveFailures;
  }

  get stats(): SyncAgentStats {
    return { ...this.#stats };
  }

  // ---- Differences -------------------------------------------------------------------------------------------------

  /**
   * Keeps a difference in the queue, for the next DELTA. Until it is kept its data must stay as they are.
   *
   * @param id, operation, index, data, options: see {@link Difference}.
   * @returns a promise that resolves once the queue keeps it for good.
   * @throws HawserError (rejects) as `SyncQueue.submit`; ERR_HAWSER_ARGUMENT when the agent has no queue.
   */
  persistDifference(
    id: string,
    operation: DifferenceOperation,
    index: string,
    data: Uint8Array,
    options: DifferenceOptions = {},
  ): Promise<void> {
    return this.persistDifferences([{ ...options, id, operation, index, data }]);
  }

  /** As `persistDifference` for several: all are kept, or none. */
  async persistDifferences(differences: readonly Difference[]): Promise<void> {
    this.#checkOpen();
    const { queue } = this.#settings;
    if (queue === undefined) {
      this.#log('error', 'Queue', 'a difference is not kept: there is no queue');
      throw argumentError('queue', 'given to the agent', 'none');
    }
    await this.#submissions.submit(queue, differences, this.#isFull || this.#memory.size > 0);
  }

  /**
   * Keeps a difference in memory, for FULL (source document, "In-Memory Recovery Mode"). Its bytes are copied.
   *
   * @param id, operation, index, data, options: see {@link Difference}; data of 0 to 61,440 bytes.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_MESSAGE_TOO_LONG, ERR_HAWSER_CLOSED.
   */
  persistDifferenceInMemory(
    id: string,
    operation: DifferenceOperation,
    index: string,
    data: Uint8Array,
    options: DifferenceOptions = {},
  ): void {
    this.#checkOpen();
    for (const item of itemsOf([{ ...options, id, operation, index, data }])) this.#memory.add(item);
  }

  /** Forgets what is in memory. A sync that is under way goes on with what it began with. */
  clearInMemoryData(): void {
    this.#memory.clear();
  }

  /** How many differences are in memory. */
  get inMemoryCount(): number {
    return this.#memory.size;
  }

  // ---- Syncs -------------------------------------------------------------------------------------------------------

  /**
   * Tells the manager what is in memory (FULL), in place of all that it has of these indices, or what has changed (DELTA). What was told
   * goes from memory or queue when the manager has it, and only then. A DELTA takes as many sessions as the queue makes snapshots of what
   * waits when it is called, one after the other. One that was interrupted, or not answered, goes on where it was with the next one.
   *
   * When there is nothing to tell, nothing is sent. When another sync is under way, nothing is done: the result is a success that was
   * `skipped`.
   */
  async synchronizeModule(mode: ModuleMode, options: SynchronizeOptions = {}): Promise<SyncResult> {
    const option = checkOneOf('option', options.option ?? 'Sync', startOptions);
    return this.#exclusively(
      options,
      ['signal', 'option'],
      () => ({ ...this.#result(nothing), skipped: true }),
      async (run) => {
        if (mode === 'FULL') return this.#full(run, option);
        if (mode === 'DELTA') return this.#delta(run, option);
        return failure('InvalidMode', `synchronizeModule is for FULL and DELTA, not for ${describe(mode)}`);
      },
    );
  }

  /**
   * Whether the manager has of an index what the agent has (source document, "Integrity Check Mode").
   *
   * @param index 1 to 256 bytes of UTF-8.
   * @param checksum 40 hexadecimal digits: docs/sync.md says of what.
   * @returns `mismatch` means that a FULL is needed. `unknown`: nothing is said of it; see `log` for why.
   */
  async requiresFullSync(
    index: string,
    checksum: string,
    options: SyncCallOptions = {},
  ): Promise<ChecksumVerdict> {
    checkText('index', index, limits.indexBytes);
    if (typeof checksum !== 'string' || !checksumPattern.test(checksum)) {
      throw argumentError('checksum', '40 hexadecimal digits', describe(checksum));
    }
    const { success, reason } = await this.#exclusively(options, ['signal'], this.#busy, (run) =>
      this.#conductor.conduct(run, {
        ...emptyPlan('CHECK'),
        indices: [index],
        checksum: { index, checksum: checksum.toLowerCase() },
      }),
    );
    if (success) return 'valid';
    return reason === 'ChecksumMismatch' ? 'mismatch' : 'unknown';
  }

  /**
   * Tells the manager the metadata of the agent, or its groups: what the option `metadata` gives (source document, "Metadata/Groups
   * Synchronization Mode").
   *
   * @param indices at most 1,024, of 1 to 256 bytes of UTF-8.
   * @param globalVersion u64.
   */
  async synchronizeMetadataOrGroups(
    mode: AgentMode,
    indices: readonly string[],
    globalVersion: bigint,
    options: SyncCallOptions = {},
  ): Promise<SyncResult> {
    checkIndices(indices);
    checkU64('globalVersion', globalVersion);
    return this.#exclusively(options, ['signal'], this.#busy, async (run) => {
      if (agentModes.includes(mode)) {
        return this.#conductor.conduct(run, { ...emptyPlan(mode), indices: [...indices], globalVersion });
      }
      return failure('InvalidMode', `metadata and groups have modes of their own, not ${describe(mode)}`);
    });
  }

  /**
   * Tells the manager to delete all that it has of some indices, and then removes from the queue what it had of them when the call began:
   * what was submitted meanwhile stays, and is told by the next DELTA.
   *
   * @param indices 1 to 1,024, of 1 to 256 bytes of UTF-8.
   */
  async notifyDataClean(indices: readonly string[], options: SyncCallOptions = {}): Promise<SyncResult> {
    checkIndices(indices);
    return this.#exclusively(options, ['signal'], this.#busy, (run) => this.#clean(run, [...indices]));
  }

  /** Ends the sync that is under way, which results in `stopped`, and those that are called from now on, until `reset`. */
  stop(): void {
    this.#isStopped = true;
    this.#run?.interrupt('stopped');
  }

  /** Undoes `stop`. */
  reset(): void {
    this.#isStopped = false;
  }

  /** Ends the sync that is under way, and the agent: another one may then have the module. The queue stays open. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.stop();
    this.#host.closed(this.#port);
    await this.#ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- One sync at a time ------------------------------------------------------------------------------------------

  async #exclusively(
    options: SyncCallOptions,
    names: readonly string[],
    whenBusy: () => SyncResult,
    carryOut: (run: AgentRun) => Promise<SessionOutcome>,
  ): Promise<SyncResult> {
    checkOptions('options', options, names);
    const signal = checkSignal(options.signal);
    this.#checkOpen();
    if (this.#isStopped || signal?.aborted) return this.#result({ kind: 'interrupted', by: 'stopped' });
    if (this.#run !== undefined) return whenBusy();
    const connection = this.#host.connection();
    if (connection === undefined) return this.#result(failure('NotConnected', 'there is no connection'));
    const run = new AgentRun(connection, this.#waits);
    this.#run = run;
    const stop = (): void => run.interrupt('stopped');
    signal?.addEventListener('abort', stop, { once: true });
    const ended = this.#carriedOut(run, carryOut);
    this.#ended = ended.then(ignore, ignore);
    try {
      return await ended;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  async #carriedOut(
    run: AgentRun,
    carryOut: (run: AgentRun) => Promise<SessionOutcome>,
  ): Promise<SyncResult> {
    let outcome: SessionOutcome;
    try {
      outcome = await carryOut(run);
    } catch (error) {
      this.#logQueue(error);
      outcome = failure('QueueFailed', `the queue failed: ${messageOf(error)}`);
    } finally {
      this.#run = undefined;
    }
    this.#count(run, outcome);
    return this.#result(outcome, run);
  }

  readonly #busy = (): SyncResult => this.#result(failure('Busy', 'another sync of the module is under way'));

  #count(run: AgentRun, outcome: SessionOutcome): void {
    const stats = this.#stats;
    stats.bytes += run.sent.bytes;
    stats.retransmitted += run.sent.retransmitted;
    stats.items += run.toldItems;
    if (!run.startSent) return;
    ++stats.syncs;
    if (outcome.kind === 'ok') {
      ++stats.succeeded;
      this.#consecutiveFailures = 0;
    } else if (outcome.kind !== 'interrupted' || outcome.by !== 'stopped') {
      ++stats.failed;
      ++this.#consecutiveFailures;
    }
  }

  #result(outcome: SessionOutcome, run?: AgentRun): SyncResult {
    const failed = failureOf(outcome);
    if (failed !== undefined) {
      const level = this.#consecutiveFailures > toleratedFailures ? 'warning' : 'info';
      this.#log(level, 'Failed', `the sync failed: ${failed.message}`);
    }
    const { bytes = 0, retransmitted = 0, retransmittedBytes = 0 } = run?.sent ?? {};
    return {
      success: outcome.kind === 'ok',
      failureReason: failed?.message ?? '',
      reason: failed?.reason,
      managerReason: failed?.managerReason ?? 'None',
      stopped: outcome.kind === 'interrupted' && outcome.by === 'stopped',
      managerNotReady: failed !== undefined && isNotReady(failed),
      consecutiveFailures: this.#consecutiveFailures,
      items: run?.size ?? 0,
      toldItems: run?.toldItems ?? 0,
      bytes,
      retransmitted,
      retransmittedBytes,
      rejected: run?.rejected ?? 0,
      skipped: false,
    };
  }

  // ---- What is told ------------------------------------------------------------------------------------------------

  async #full(run: AgentRun, option: StartOption): Promise<SessionOutcome> {
    const snapshot = this.#memory.snapshot();
    if (snapshot.size === 0) return nothing;
    this.#isFull = true;
    try {
      const plan = {
        ...emptyPlan('FULL'),
        ...snapshotPlan(snapshot),
        option,
        beforeData: async () => this.#settings.queue?.beginFull(),
      };
      const outcome = await this.#withGeneration(run, plan);
      // Else the manager may have it all, and have it applied yet.
      if (outcome.kind === 'ok' || isRefusal(outcome)) await this.#endFull();
      if (outcome.kind === 'ok') this.#memory.remove(snapshot);
      return outcome;
    } finally {
      this.#isFull = false;
    }
  }

  /** Until then the queue takes no row for one that the manager has not heard of. When it fails, it goes on doing so. */
  async #endFull(): Promise<void> {
    try {
      await this.#settings.queue?.endFull();
    } catch (error) {
      this.#logQueue(error);
    }
  }

  async #delta(run: AgentRun, option: StartOption): Promise<SessionOutcome> {
    const { queue } = this.#settings;
    if (queue === undefined) return failure('NoQueue', 'the agent has no queue');
    return tellDifferences({
      run,
      conductor: this.#conductor,
      queue,
      option,
      queueFailed: (error) => this.#logQueue(error),
    });
  }

  async #clean(run: AgentRun, indices: readonly string[]): Promise<SessionOutcome> {
    const { queue } = this.#settings;
    if (indices.length === 0) return failure('NoIndices', 'there are no indices to clean');
    if (queue === undefined) return failure('NoQueue', 'the agent has no queue');
    // What is submitted from here on may come after the manager has cleaned.
    const begun = await queue.mark();
    const outcome = await this.#withGeneration(run, {
      ...emptyPlan('DELTA'),
      size: indices.length,
      indices: [...new Set(indices)].sort(),
      items: (fromSeq) => cleansOf(indices, fromSeq),
    });
    if (outcome.kind === 'ok') {
      for (const index of indices) await queue.clearItemsByIndex(index, begun);
    }
    return outcome;
  }

  /** For Data that are no snapshot of the queue, in sessions that are never resumed. */
  async #withGeneration(run: AgentRun, plan: Plan): Promise<SessionOutcome> {
    for (let again = false; ; again = true) {
      const generation = await this.#generations.next();
      const outcome = await this.#conductor.conduct(run, { ...plan, nonce: newNonce(), generation });
      if (outcome.kind !== 'stale' || again) return outcome;
      await this.#generations.raise(outcome.generation);
    }
  }

  #newConductor(): Conductor {
    const { eps } = this.#settings;
    const { random, startSent } = this.#host;
    return new Conductor({
      settings: this.#settings,
      waits: this.#waits,
      random,
      rate: eps === 0 ? undefined : new TokenBucket(eps, eps, this.#waits.nowMs),
      log: (level, code, message) => this.#log(level, code, message),
      sessionLog: (level, code, message) => this.#logSession(level, code, message),
      startSent,
      stateChanged: (from, to) => {
        this.#state = to;
        guard(this, 'stateChange', () => this.emit('stateChange', from, to));
      },
      progress: (progress) => guard(this, 'progress', () => this.emit('progress', progress)),
      waiting: (waiting) => guard(this, 'waiting', () => this.emit('waiting', waiting)),
    });
  }

  // ---- The log -----------------------------------------------------------------------------------------------------

  #log(level: LogLevel, code: LogCode, message: string): void {
    guard(this, 'log', () => this.emit('log', level, code, message));
    this.#host.log(level, code, message, this.module);
  }

  /** What the manager can bring about without end is not told without end. */
  #logSession(level: LogLevel, code: LogCode, message: string): void {
    if (code === 'Unexpected') ++this.#stats.unexpected;
    if (this.#lines.take(1, this.#waits.nowMs)) this.#log(level, code, message);
  }

  #logQueue(error: unknown): void {
    this.#log('error', 'Queue', `the queue failed: ${messageOf(error)}`);
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new HawserError('ERR_HAWSER_CLOSED', 'the agent is closed');
  }
}

function checkIndices(indices: readonly string[]): void {
  checkArray('indices', indices, 0, limits.indices);
  for (const [n, index] of indices.entries()) checkText(`indices[${n}]`, index, limits.indexBytes);
}
