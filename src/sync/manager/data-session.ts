// One session with Data, as a manager sees it: from StartAck to EndAck (source document, "Synchronization Phases").

import { nextTurn } from '../../base/next-turn.js';
import { WheelTimer } from '../../base/timing-wheel.js';
import type { LogLevel } from '../agent/results.js';
import type { StoredSession } from '../store/store.js';
import { ItemReader } from '../wire/item-reader.js';
import { limits, type Reason, type Status } from '../wire/messages.js';
import type { AgentLink } from './agent-link.js';
import type { Counts, ManagerLogCode, SessionProgress } from './events.js';
import { GapSet } from './gap-set.js';
import type { ContextItem, ManagerSettings } from './options.js';
import { RequestPace } from './request-pace.js';
import { SessionChanges } from './session-changes.js';
import { isStale, messageOf, reasonOf, type SessionOutcome } from './session-outcome.js';

/**
 * - `receiving`: Data come. - `complete`: all have come, and wait for their turn. - `applying`. - `stalled`: the store failed to apply them;
 *   they are tried again. - `over`.
 */
export type SessionPhase = 'receiving' | 'complete' | 'applying' | 'stalled' | 'over';

/** What sessions have in common, and share with the manager. */
export interface SessionHost {
  readonly settings: ManagerSettings;
  readonly counts: Counts;
  /** Applies a session when its turn has come. @param commit as of `CommitQueue`. */
  readonly complete: (session: DataSession, commit: () => Promise<boolean>) => void;
  /** Tries again to apply what is first among the sessions of the same agent and module. */
  readonly retry: (session: DataSession) => void;
  /** Whether a newer session of the same agent and module has begun. */
  readonly isSuperseded: (session: DataSession) => boolean;
  /** So many more bytes are staged. */
  readonly staged: (session: DataSession, bytes: number) => void;
  readonly over: (session: DataSession, outcome: SessionOutcome) => void;
  readonly progress: (progress: SessionProgress) => void;
  readonly allowIndex: (agent: string, index: string) => boolean;
  readonly onContext: (agent: string, module: string, item: ContextItem) => void;
  readonly log: (level: LogLevel, code: ManagerLogCode, message: string, session: DataSession) => void;
}

/** How long Data are waited for after End at most, unless `reqRetDelayMs` is more. */
const mostReqRetDelayMs = 2000;
const progressIntervalMs = 250;
/** What of a session has to come until that counts as progress: one that brings less in its time is in the way of others. */
const progressPart = 1 / 1024;
/** How long to wait until what the store failed to apply is tried again: longer each time. */
const leastRetryMs = 2000;
const mostRetryMs = 60_000;
/** An End makes it be tried sooner, but not at every End. */
const leastRetryGapMs = 500;
/** So many bytes of staged messages are read before the event loop runs. */
const bytesPerTurn = 1024 * 1024;

/** One session with Data. */
export class DataSession {
  readonly stored: StoredSession;
  /** The newest connection by which something of it came. */
  link: AgentLink | undefined = undefined;
  /** Of what is staged. */
  bytes = 0;
  readonly #host: SessionHost;
  readonly #timer: WheelTimer = new WheelTimer(() => this.#due());
  readonly #startedMs: number;
  #phase: SessionPhase;
  #gaps: GapSet;
  /** Each item came right after the one before it. */
  #inOrder = true;
  #invalid = false;
  /** What is staged is to be read again, is being read, or has to be read once more after that. */
  #restoring: 'no' | 'due' | 'running' | 'again' = 'no';
  /** The store has been asked to apply it: it may have begun to. */
  #applyingBegun: boolean;
  #newestMs: number;
  /** When the last End came that has not been answered; undefined without. */
  #endMs: number | undefined = undefined;
  #ended = false;
  /** Whether Data may still be under way that were sent before End; and whether some came by a way on which that can be. */
  #mayBeOvertaken = true;
  #isUnordered = false;
  /** How many items had come when it last counted as progress. */
  #progressSeen = 0;
  #progressMs: number;
  readonly #requests: RequestPace;
  /** A request goes as soon as what has come is kept. */
  #isRequesting = false;
  #toldMs = 0;
  #failedAtMs = 0;
  #failure: Reason = 'None';
  #retryMs = leastRetryMs;
  #whenSettled: (() => void)[] = [];

  constructor(host: SessionHost, stored: StoredSession) {
    this.#host = host;
    this.stored = stored;
    this.#phase = 'receiving';
    this.#applyingBegun = stored.state === 'committing';
    this.#gaps = new GapSet(stored.size);
    this.#requests = new RequestPace(host.settings.reqRetDelayMs);
    this.#startedMs = this.#nowMs;
    this.#newestMs = this.#startedMs;
    this.#progressMs = this.#startedMs;
    this.#plan(this.#newestMs + host.settings.sessionTimeoutMs);
  }

  get phase(): SessionPhase {
    return this.#phase;
  }

  /** Whether nothing has come of it. */
  get isEmpty(): boolean {
    return this.#phase === 'receiving' && this.#restoring === 'no' && this.#gaps.seen === 0;
  }

  get durationMs(): number {
    return this.#nowMs - this.#startedMs;
  }

  /** For how long hardly anything has come of it that is to come. */
  get idleMs(): number {
    return this.#phase === 'receiving' && this.#restoring === 'no' ? this.#nowMs - this.#progressMs : 0;
  }

  /** Whether everything has come and will be applied. */
  get isComplete(): boolean {
    return this.#phase === 'complete' || this.#phase === 'applying' || this.#phase === 'stalled';
  }

  /** Resolves when it is not `isComplete` any more. */
  settled(): Promise<void> {
    return new Promise((resolve) => {
      if (this.isComplete) this.#whenSettled.push(resolve);
      else resolve();
    });
  }

  // ---- Data --------------------------------------------------------------------------------------------------------

  /** Whether the item at which a reader stands would be new. */
  isNew({ seq }: ItemReader): boolean {
    return seq >= 0 && seq < this.stored.size && !this.#gaps.has(seq);
  }

  /** Takes the item at which a reader stands. @returns whether it is new. */
  take(reader: ItemReader): boolean {
    const { counts } = this.#host;
    const { seq } = reader;
    const seen = seq < 0 ? 'beyond' : this.#gaps.observe(seq);
    if (seen === 'new') {
      ++counts.itemsReceived;
      this.#judge(reader, seq);
      return true;
    }
    if (seen === 'duplicate') {
      ++counts.itemsDuplicate;
    } else {
      ++counts.itemsBeyond;
      this.#log('warning', 'BeyondSize', `an item beyond the ${this.stored.size} of the session`);
    }
    return false;
  }

  /** What matters of a new item before it is applied. */
  #judge(reader: ItemReader, seq: number): void {
    if (seq !== this.#gaps.seen - 1) this.#inOrder = false;
    if (this.#invalid || reader.kind !== 'value' || reader.operation !== undefined) return;
    this.#invalid = true;
    this.#log('error', 'InvalidOperation', 'an item with an unknown operation: the session will fail');
  }

  /** Keeps a message in which something was new. */
  keep(message: Uint8Array): void {
    try {
      this.#host.settings.store.stage(this.stored, message);
    } catch (error) {
      this.#storeFailed(error, 'stage');
      void this.restore();
      return;
    }
    this.#count(message.length);
  }

  #count(bytes: number): void {
    this.bytes += bytes;
    this.#host.staged(this, bytes);
  }

  /** Something new has come. @param ordered whether by a way on which nothing is overtaken. */
  arrived(ordered: boolean): void {
    this.#newestMs = this.#nowMs;
    if (this.#gaps.seen - this.#progressSeen >= this.stored.size * progressPart) this.#noteProgress();
    if (!ordered) this.#isUnordered = true;
    this.#mayBeOvertaken = this.#isUnordered;
    this.#tellProgress(0);
    if (this.#ended) this.#advance();
  }

  #noteProgress(): void {
    this.#progressSeen = this.#gaps.seen;
    this.#progressMs = this.#nowMs;
  }

  /** What is staged will be read before anything is decided. */
  awaitRestore(): void {
    this.#restoring = 'due';
  }

  /** Reads again what is staged: after a restart of the manager, or when the store may have lost some. */
  async restore(): Promise<void> {
    if (this.#restoring === 'running' || this.#restoring === 'again') {
      this.#restoring = 'again';
      return;
    }
    do {
      this.#restoring = 'running';
      this.#gaps = new GapSet(this.stored.size);
      this.#inOrder = true;
      this.#invalid = false;
      this.#count(-this.bytes);
      try {
        await this.#readStaged();
      } catch (error) {
        this.#storeFailed(error, 'read');
      }
      // It may have been set while this waited, which the compiler does not see.
    } while (this.#mustReadAgain());
    this.#restoring = 'no';
    this.#noteProgress();
    if (this.#ended && this.#phase === 'receiving') this.#advance();
  }

  #mustReadAgain(): boolean {
    return this.#restoring === 'again' && this.#phase === 'receiving';
  }

  async #readStaged(): Promise<void> {
    const { store } = this.#host.settings;
    const reader = new ItemReader();
    const count = store.stagedCount(this.stored);
    for (let n = 0, bytes = 0; n < count && this.#phase === 'receiving'; ++n) {
      const message = store.stagedMessage(this.stored, n) ?? new Uint8Array();
      this.#takeStaged(reader, message);
      bytes += message.length;
      if (bytes < bytesPerTurn) continue;
      bytes = 0;
      await nextTurn();
    }
  }

  #takeStaged(reader: ItemReader, message: Uint8Array): void {
    this.#count(message.length);
    if (!reader.open(message)) return;
    while (reader.next()) {
      const { seq } = reader;
      if (seq < 0 || reader.session !== this.stored.session) continue;
      if (this.#gaps.observe(seq) === 'new') this.#judge(reader, seq);
    }
  }

  /** Its agent has come back, and sends nothing that has not been asked for. */
  resume(): void {
    this.#isUnordered = false;
    this.#mayBeOvertaken = false;
    this.#endMs = undefined;
  }

  // ---- End ---------------------------------------------------------------------------------------------------------

  /** The agent has sent everything. */
  end(): void {
    this.#ended = true;
    this.#endMs ??= this.#nowMs;
    const isTime = this.#nowMs - this.#failedAtMs >= leastRetryGapMs;
    if (this.#phase === 'stalled' && isTime) this.#host.retry(this);
    if (this.#phase === 'receiving') this.#advance();
    else this.#answerEnd();
  }

  /** Goes on as far as what has come allows. */
  #advance(): void {
    if (this.#restoring !== 'no') return;
    if (this.#invalid) {
      this.fail('Error', 'InvalidMessage');
      return;
    }
    if (this.#gaps.complete) {
      this.complete();
      return;
    }
    if (this.#endMs === undefined) return;
    const { reqRetDelayMs } = this.#host.settings;
    const latestMs = this.#endMs + Math.max(reqRetDelayMs, mostReqRetDelayMs);
    const quietMs = Math.max(this.#endMs, this.#newestMs) + reqRetDelayMs;
    const arrivedMs = this.#mayBeOvertaken ? Math.min(quietMs, latestMs) : this.#nowMs;
    const dueMs = Math.max(arrivedMs, this.#requests.pausedUntilMs(this.#gaps.seen));
    if (dueMs <= this.#nowMs) this.#requestMissing();
    else this.#plan(dueMs);
  }

  /** Asks for what is missing, once it is certain that what has come is kept. */
  #requestMissing(): void {
    this.#endMs = undefined;
    this.#plan(this.#newestMs + this.#host.settings.sessionTimeoutMs);
    if (this.#isRequesting) return;
    this.#isRequesting = true;
    this.#host.settings.store.staged(this.stored).then(
      () => {
        this.#isRequesting = false;
        this.#sendReqRet();
      },
      (error: unknown) => {
        this.#isRequesting = false;
        this.#storeFailed(error, 'stage');
        this.#receiveAgain(error);
      },
    );
  }

  #sendReqRet(): void {
    if (this.#phase !== 'receiving' || this.#gaps.complete) return;
    const { counts, settings } = this.#host;
    const ranges = this.#gaps.gaps(limits.ranges);
    this.#requests.next(this.#gaps.seen, ranges, this.#nowMs);
    const { rounds } = this.#requests;
    if (rounds >= settings.maxRounds) {
      this.#log('warning', 'NoProgress', `nothing new came after ${rounds} requests`);
      this.fail('Error', 'NoProgress');
      return;
    }
    ++counts.reqRets;
    // What is sent again may go by another way.
    this.#isUnordered = false;
    this.#mayBeOvertaken = true;
    this.link?.send({ type: 'ReqRet', ranges, session: this.stored.session });
  }

  /** Everything is there: it is applied when its turn comes. */
  complete(): void {
    this.#phase = 'complete';
    this.#answerEnd();
    this.#plan(this.#nowMs + this.#host.settings.processingIntervalMs);
    this.#host.complete(this, () => this.#commit());
  }

  // ---- Applying ----------------------------------------------------------------------------------------------------

  async #commit(): Promise<boolean> {
    const { settings } = this.#host;
    const { store } = settings;
    this.#phase = 'applying';
    this.#plan(this.#nowMs + settings.processingIntervalMs);
    try {
      // What has to be applied was kept before that began.
      if (!this.#applyingBegun) await store.staged(this.stored);
    } catch (error) {
      this.#storeFailed(error, 'stage');
      return this.#receiveAgain(error);
    }
    return await this.#apply();
  }

  async #apply(): Promise<boolean> {
    const { store } = this.#host.settings;
    const changes = this.#changes();
    const rejected = (): number => changes.rejected;
    try {
      if (isStale(this.stored, store.committed(this.stored.agent, this.stored.module))) {
        this.fail('Error', 'StaleGeneration');
        return true;
      }
      if (!this.#inOrder) await changes.arrange();
      this.#applyingBegun = true;
      await store.commit(this.stored, changes, rejected, (applied) => this.#tellProgress(applied));
    } catch (error) {
      this.#storeFailed(error, 'apply');
      return changes.incomplete ? this.#receiveAgain(error) : this.#stall(error);
    }
    this.#end({ status: 'Ok', reason: 'None', rejected: this.#rejectedOf(changes), retryAfterMs: 0 });
    return true;
  }

  /** What the store did not apply because of its version is counted by it. */
  #rejectedOf({ rejected }: SessionChanges): number {
    const { agent, module } = this.stored;
    try {
      return this.#host.settings.store.committed(agent, module)?.rejected ?? rejected;
    } catch (error) {
      this.#storeFailed(error, 'read');
      return rejected;
    }
  }

  #changes(): SessionChanges {
    const { agent, module } = this.stored;
    const { allowIndex, onContext } = this.#host;
    return new SessionChanges(this.#host.settings.store, this.stored, {
      allowIndex: (index) => allowIndex(agent, index),
      onContext: (item) => onContext(agent, module, item),
    });
  }

  /** Some of what was staged may be gone: what is left decides what is asked for at the next End. */
  #receiveAgain(error: unknown): true {
    if (this.#phase === 'over') return true;
    if (this.#host.isSuperseded(this)) {
      this.fail('Offline', reasonOf(error));
      return true;
    }
    this.#phase = 'receiving';
    this.#applyingBegun = false;
    this.#ended = false;
    this.#endMs = undefined;
    this.#newestMs = this.#nowMs;
    this.#plan(this.#newestMs + this.#host.settings.sessionTimeoutMs);
    this.#answer('Offline', reasonOf(error), leastRetryMs);
    this.#settle();
    void this.restore();
    return true;
  }

  #stall(error: unknown): false {
    this.#phase = 'stalled';
    this.#failedAtMs = this.#nowMs;
    this.#failure = reasonOf(error);
    this.#answer('Offline', this.#failure, this.#retryMs);
    this.#plan(this.#nowMs + this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, mostRetryMs);
    return false;
  }

  /** What was complete when the manager's process ended. */
  resumeCommit(): void {
    this.#inOrder = false;
    this.complete();
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  /** Ends it without applying it, and tells the agent. */
  fail(status: Status, reason: Reason, retryAfterMs = 0): void {
    if (this.#phase === 'over') return;
    this.#answer(status, reason, retryAfterMs);
    this.#drop();
    this.#end({ status, reason, rejected: 0, retryAfterMs }, false);
  }

  /** Ends it without a word: the agent has begun another. */
  supersede(): void {
    if (this.#phase === 'over') return;
    this.#drop();
    this.#end({ status: 'Error', reason: 'StaleGeneration', rejected: 0, retryAfterMs: 0 }, false);
  }

  /** The manager closes: what is staged stays. */
  suspend(): void {
    this.#phase = 'over';
    this.#host.settings.wheel.cancel(this.#timer);
    this.#settle();
  }

  #drop(): void {
    this.#host.settings.store.drop(this.stored).catch((error: unknown) => this.#storeFailed(error, 'drop'));
  }

  #end(outcome: SessionOutcome, answers = true): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#host.settings.wheel.cancel(this.#timer);
    if (answers) this.#answer(outcome.status, outcome.reason, outcome.retryAfterMs, outcome.rejected);
    this.#host.over(this, outcome);
    this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#whenSettled.splice(0)) resolve();
  }

  // ---- Answers and timers ------------------------------------------------------------------------------------------

  #answerEnd(): void {
    this.#endMs = undefined;
    if (this.#ended && this.#phase !== 'stalled') this.#answer('Processing', 'None', 0);
    else if (this.#ended) this.#answer('Offline', this.#failure, leastRetryMs);
  }

  #answer(status: Status, reason: Reason, retryAfterMs: number, rejected = 0): void {
    const { session } = this.stored;
    this.link?.send({ type: 'EndAck', status, session, rejected: BigInt(rejected), retryAfterMs, reason });
  }

  #due(): void {
    switch (this.#phase) {
      case 'receiving':
        if (this.#endMs === undefined) this.#expire();
        else this.#advance();
        return;
      case 'complete':
      case 'applying':
        this.#answerEnd();
        this.#plan(this.#nowMs + this.#host.settings.processingIntervalMs);
        return;
      case 'stalled':
        this.#host.retry(this);
        return;
      case 'over':
        return;
    }
  }

  #expire(): void {
    const dueMs = this.#newestMs + this.#host.settings.sessionTimeoutMs;
    if (dueMs > this.#nowMs) {
      this.#plan(dueMs);
      return;
    }
    ++this.#host.counts.expired;
    this.#log('warning', 'Expired', `${this.#gaps.seen} of ${this.stored.size} items had come`);
    this.#drop();
    this.#end({ status: 'Error', reason: 'SessionExpired', rejected: 0, retryAfterMs: 0 }, false);
  }

  get #nowMs(): number {
    return this.#host.settings.wheel.clock.now();
  }

  #plan(atMs: number): void {
    this.#host.settings.wheel.schedule(this.#timer, atMs);
  }

  #tellProgress(applied: number): void {
    if (this.#nowMs - this.#toldMs < progressIntervalMs) return;
    this.#toldMs = this.#nowMs;
    const { agent, module, size } = this.stored;
    this.#host.progress({ agent, module, size, received: this.isComplete ? size : this.#gaps.seen, applied });
  }

  #storeFailed(error: unknown, what: string): void {
    ++this.#host.counts.storeFailures;
    this.#log('error', 'Store', `could not ${what}: ${messageOf(error)}`);
  }

  #log(level: LogLevel, code: ManagerLogCode, message: string): void {
    this.#host.log(level, code, message, this);
  }
}
