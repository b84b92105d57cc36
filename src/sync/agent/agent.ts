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
import { type AgentMode, limits, type ModuleMode, type StartOption, startOptions } from '../wire/messages.js';
import { Conductor } from './conductor.js';
import { SnapshotBounds, tellDifferences } from './delta.js';
import type { SyncAgentEvents, SyncAgentStats, SyncCallOptions, SynchronizeOptions } from './events.js';
import { tellMemory } from './full.js';
import { conductAnew, Generations } from './generations.js';
import { AgentMemory, type DifferenceOptions, itemsOf } from './memory.js';
import { type AgentSettings, checkAgentOptions, type SyncAgentOptions } from './options.js';
import { failure, messageOf, nothing, type SessionOutcome } from './outcomes.js';
import { cleansOf, emptyPlan } from './plans.js';
import type { ChecksumVerdict, LogCode, LogLevel, SyncResult } from './results.js';
import type { AgentPort } from './router.js';
import { AgentRun } from './run.js';
import type { AgentState } from './states.js';
import { asKnown, Submissions } from './submissions.js';
import { SyncTally } from './tally.js';
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
  readonly #bounds = new SnapshotBounds();
  readonly #lines: TokenBucket;
  readonly #tally: SyncTally;
  #state: AgentState = 'Idle';
  #run: AgentRun | undefined;
  /** A FULL is under way. */
  #isFull = false;
  /** Resolves when the run has ended. */
  #ended: Promise<void> = Promise.resolve();
  #isStopped = false;
  #isClosed = false;

  static {
    isolateRejections(SyncAgent.prototype);
  }

  /**
   * For `SyncClient` only.
   *
   * @internal
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  constructor(host: AgentHost, options: SyncAgentOptions, attach: (port: AgentPort) => void) {
    super({ captureRejections: true });
    this.#settings = checkAgentOptions(options);
    this.#host = host;
    this.#waits = new Waits(host.wheel);
    this.#tally = new SyncTally((level, code, message) => this.#log(level, code, message));
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

  /** The module that it brings. */
  get module(): string {
    return this.#settings.module;
  }

  /** Where the session is. `Idle` also while the agent waits to begin one. */
  get state(): AgentState {
    return this.#state;
  }

  /** How many syncs in a row failed after Start was sent. What `stop` ended does not count. */
  get consecutiveFailures(): number {
    return this.#tally.consecutiveFailures;
  }

  /** What it has done since it was made. */
  get stats(): SyncAgentStats {
    return this.#tally.stats;
  }

  // ---- Differences -------------------------------------------------------------------------------------------------

  /**
   * Keeps a difference in the queue, for the next DELTA. Until it is kept its data must stay as they are.
   *
   * @param id 1 to 1,024 bytes of UTF-8; of the document, in its index.
   * @param operation what happened to it.
   * @param index 1 to 256 bytes of UTF-8.
   * @param data the document, JSON, 0 to 16,777,216 bytes; empty for DELETE. See {@link Difference} for what is too long to be sent.
   * @param options `version`: u64, 0 by default. `isContext`: false by default.
   * @returns a promise that resolves once the queue keeps it for good.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, also when the agent has no queue; ERR_HAWSER_CLOSED when agent or queue are; of a queue
   * on the disk ERR_HAWSER_STORE_FULL, ERR_HAWSER_DISK_FULL and ERR_HAWSER_STORE: then it was not kept, and the call can be repeated.
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

  /**
   * As `persistDifference` for several, which is far cheaper than one by one: all are kept, or none.
   *
   * @param differences at most 100,000, in the order in which they happened.
   * @returns a promise that resolves once the queue keeps them for good.
   * @throws HawserError (rejects) as `persistDifference`.
   */
  async persistDifferences(differences: readonly Difference[]): Promise<void> {
    this.#checkOpen();
    const { queue } = this.#settings;
    if (queue === undefined) {
      this.#log('error', 'Queue', 'a difference is not kept: there is no queue');
      throw argumentError('queue', 'given to the agent', 'none');
    }
    if (this.#isFull) await this.#submissions.submit(queue, asKnown(differences), true);
    else await this.#submissions.submit(queue, differences, this.#memory.size > 0);
  }

  /**
   * Keeps a difference in memory, for FULL (source document, "In-Memory Recovery Mode"). Its bytes are copied.
   *
   * @param id 1 to 1,024 bytes of UTF-8.
   * @param operation CREATE and MODIFY are the same here.
   * @param index 1 to 256 bytes of UTF-8.
   * @param data 0 to 61,440 bytes.
   * @param options `version`: u64, 0 by default. `isContext`: false by default.
   * @throws HawserError ERR_HAWSER_ARGUMENT; ERR_HAWSER_MESSAGE_TOO_LONG for more data; ERR_HAWSER_CLOSED.
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
   *
   * @param mode any other than FULL and DELTA results in a failure, `InvalidMode`.
   * @param options `signal` ends the sync, which is then `stopped`; `option` is for managers that tell them apart.
   * @returns how it ended: `reason` says why it failed.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT for the options; ERR_HAWSER_CLOSED.
   */
  async synchronizeModule(mode: ModuleMode, options: SynchronizeOptions = {}): Promise<SyncResult> {
    const option = checkOneOf('option', options.option ?? 'Sync', startOptions);
    return this.#exclusively(
      options,
      ['signal', 'option'],
      () => ({ ...this.#tally.result(nothing), skipped: true }),
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
   * @param checksum 40 hexadecimal digits: `checksumOf` of the SHA-1s of all its documents.
   * @param options `signal` ends it, with `unknown`.
   * @returns `mismatch` means that a FULL is needed. `unknown`: nothing is said of it; see `log` for why.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED.
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
   * @param mode any other than these four results in a failure, `InvalidMode`.
   * @param indices at most 1,024, of 1 to 256 bytes of UTF-8.
   * @param globalVersion u64.
   * @param options `signal` ends the sync, which is then `stopped`.
   * @returns how it ended; a failure, `Busy`, when another sync of the module is under way.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED.
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
   * @param indices at most 1,024, of 1 to 256 bytes of UTF-8; none results in a failure, `NoIndices`.
   * @param options `signal` ends the sync, which is then `stopped`.
   * @returns how it ended; a failure, `Busy`, when another sync of the module is under way.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED.
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

  /**
   * Ends the sync that is under way, and the agent: another one may then have the module. The queue stays open.
   *
   * @returns a promise that resolves once that sync has ended; it never rejects. Closing twice is closing once.
   */
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
    if (this.#isStopped || signal?.aborted) return this.#tally.result({ kind: 'interrupted', by: 'stopped' });
    if (this.#run !== undefined) return whenBusy();
    const connection = this.#host.connection();
    if (connection === undefined)
      return this.#tally.result(failure('NotConnected', 'there is no connection'));
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
    this.#tally.count(run, outcome);
    return this.#tally.result(outcome, run);
  }

  readonly #busy = (): SyncResult =>
    this.#tally.result(failure('Busy', 'another sync of the module is under way'));

  // ---- What is told ------------------------------------------------------------------------------------------------

  async #full(run: AgentRun, option: StartOption): Promise<SessionOutcome> {
    this.#isFull = true;
    try {
      return await tellMemory({
        run,
        conductor: this.#conductor,
        generations: this.#generations,
        memory: this.#memory,
        queue: this.#settings.queue,
        option,
        queueFailed: (error) => this.#logQueue(error),
      });
    } finally {
      this.#isFull = false;
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
      bounds: this.#bounds,
      queueFailed: (error) => this.#logQueue(error),
      log: (level, code, message) => this.#log(level, code, message),
    });
  }

  async #clean(run: AgentRun, indices: readonly string[]): Promise<SessionOutcome> {
    const { queue } = this.#settings;
    if (indices.length === 0) return failure('NoIndices', 'there are no indices to clean');
    if (queue === undefined) return failure('NoQueue', 'the agent has no queue');
    // What is submitted from here on may come after the manager has cleaned.
    const begun = await queue.mark();
    const outcome = await conductAnew(this.#conductor, this.#generations, run, {
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
    if (code === 'Unexpected') this.#tally.unexpected();
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
