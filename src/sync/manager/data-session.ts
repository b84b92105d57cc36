// One session with Data, as a manager sees it: from StartAck to EndAck (source document, "Synchronization Phases").

import { WheelTimer } from '../../base/timing-wheel.js';
import type { LogLevel } from '../agent/results.js';
import type { StoredSession } from '../store/store.js';
import { limits, type Pair, type Reason, type Status } from '../wire/messages.js';
import type { AgentLink } from './agent-link.js';
import { Applying } from './applying.js';
import { Arrivals } from './arrivals.js';
import { EndWait } from './end-wait.js';
import type { Counts, ManagerLogCode, SessionProgress } from './events.js';
import type { ContextItem, ManagerSettings } from './options.js';
import { type PortionLine, portionOf } from './portion-line.js';
import { RequestPace } from './request-pace.js';
import { leastRetryMs, RetryPace } from './retry-pace.js';
import { messageOf, reasonOf, type SessionOutcome } from './session-outcome.js';

/**
 * - `receiving`: Data come. - `complete`: all have come, and wait for their turn. - `applying`. - `stalled`: the store failed to apply them;
 *   they are tried again. - `over`.
 */
export type SessionPhase = 'receiving' | 'complete' | 'applying' | 'stalled' | 'over';

/** What sessions have in common, and share with the manager. */
export interface SessionHost {
  readonly settings: ManagerSettings;
  readonly counts: Counts;
  /** Sessions for whose Data the disk had no room. */
  readonly portions: PortionLine<DataSession>;
  /** Applies a session when its turn has come. @param commit as of `CommitQueue`. */
  readonly complete: (session: DataSession, commit: () => Promise<boolean>) => void;
  /** Tries again to apply what is first among the sessions of the same agent and module. */
  readonly retry: (session: DataSession) => void;
  /** Whether a newer session of the same agent and module has begun. */
  readonly isSuperseded: (session: DataSession) => boolean;
  /** So many more bytes are staged. */
  readonly staged: (session: DataSession, bytes: number) => void;
  /** Nothing of it is to stay in the store. */
  readonly drop: (session: DataSession) => void;
  readonly over: (session: DataSession, outcome: SessionOutcome) => void;
  readonly progress: (progress: SessionProgress) => void;
  readonly allowIndex: (agent: string, index: string) => boolean;
  readonly onContext: (agent: string, module: string, item: ContextItem) => void;
  readonly log: (level: LogLevel, code: ManagerLogCode, message: string, session: DataSession) => void;
}

const progressIntervalMs = 250;
/** What of a session has to come until that counts as progress: one that brings less in its time is in the way of others. */
const progressPart = 1 / 1024;

/** One session with Data. */
export class DataSession {
  readonly stored: StoredSession;
  /** What has come of it. */
  readonly arrivals: Arrivals;
  /** The newest connection by which something of it came. */
  link: AgentLink | undefined = undefined;
  readonly #host: SessionHost;
  readonly #timer: WheelTimer = new WheelTimer(() => this.#due());
  readonly #startedMs: number;
  #phase: SessionPhase;
  readonly #applying: Applying;
  /** It was found complete in the store: in which order its items came is not known. */
  #isFound = false;
  #newestMs: number;
  #ended = false;
  readonly #endWait: EndWait;
  /** How many items had come when it last counted as progress. */
  #progressSeen = 0;
  #progressMs: number;
  readonly #requests: RequestPace;
  /** Messages of it were not taken; and so, what is missing was asked for in portions. */
  #isShort = false;
  #isInPortions = false;
  /** For its turn to be asked for what is missing. */
  #isWaiting = false;
  /** A request goes as soon as what has come is kept. */
  #isRequesting = false;
  #toldMs = 0;
  readonly #retries = new RetryPace();
  #failure: Reason = 'None';
  #whenSettled: (() => void)[] = [];

  constructor(host: SessionHost, stored: StoredSession) {
    this.#host = host;
    this.stored = stored;
    this.#phase = 'receiving';
    this.arrivals = new Arrivals(stored, {
      store: host.settings.store,
      counts: host.counts,
      isReceiving: () => this.#phase === 'receiving',
      staged: (bytes) => host.staged(this, bytes),
      storeFailed: (error, what) => this.#storeFailed(error, what),
      log: (level, code, message) => this.#log(level, code, message),
    });
    this.#applying = new Applying(stored, {
      settings: host.settings,
      allowIndex: host.allowIndex,
      onContext: host.onContext,
      progress: (applied) => this.#tellProgress(applied),
      storeFailed: (error, what) => this.#storeFailed(error, what),
    });
    this.#requests = new RequestPace(host.settings.reqRetDelayMs);
    this.#endWait = new EndWait(host.settings.reqRetDelayMs);
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
    return this.#isCertain && this.arrivals.seen === 0;
  }

  get durationMs(): number {
    return this.#nowMs - this.#startedMs;
  }

  /** For how long hardly anything has come of it that is to come. */
  get idleMs(): number {
    return this.#isCertain && !this.#isWaiting ? this.#nowMs - this.#progressMs : 0;
  }

  get #isCertain(): boolean {
    return this.#phase === 'receiving' && !this.arrivals.isUncertain;
  }

  /** Whether its agent is cut off, or has not come back since the manager began. */
  get isAway(): boolean {
    return this.link?.open !== true;
  }

  /** Whether the manager has asked for no more than it can take at a time. */
  get isInPortions(): boolean {
    return this.#isInPortions;
  }

  /** Of what is staged. */
  get bytes(): number {
    return this.arrivals.bytes;
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

  /** Keeps a message in which something was new. */
  keep(message: Uint8Array): void {
    if (!this.arrivals.keep(message)) void this.restore();
  }

  /** A message was not taken, for the disk is behind: from now on what is missing is asked for in portions that it takes. */
  skip(): void {
    this.#isShort = true;
  }

  /** Something new has come. @param ordered whether by a way on which nothing is overtaken. */
  arrived(ordered: boolean): void {
    this.#newestMs = this.#nowMs;
    if (this.arrivals.seen - this.#progressSeen >= this.stored.size * progressPart) this.#noteProgress();
    this.#endWait.arrived(ordered, this.#nowMs);
    if (this.#isInPortions) this.#host.portions.arrived(this);
    this.#tellProgress(0);
    if (this.#ended) this.#advance();
  }

  #noteProgress(): void {
    this.#progressSeen = this.arrivals.seen;
    this.#progressMs = this.#nowMs;
  }

  /** Reads again what is staged: after a restart of the manager, or when the store may have lost some. */
  async restore(): Promise<void> {
    if (!(await this.arrivals.restore())) return;
    this.#noteProgress();
    if (this.#ended && this.#phase === 'receiving') this.#advance();
  }

  /** Its agent has come back, and will say End when it has sent what it has to. What it had said before belongs to what was sent before. */
  restart(): void {
    this.#ended = false;
    this.#endWait.restart();
    this.#leavePortions();
  }

  // ---- End ---------------------------------------------------------------------------------------------------------

  /** The agent has sent everything. */
  end(): void {
    this.#ended = true;
    this.#endWait.ended(this.#nowMs);
    if (this.#phase === 'stalled' && this.#retries.mayHurry(this.#nowMs)) this.#host.retry(this);
    if (this.#phase === 'receiving') this.#advance();
    else this.#answerEnd();
  }

  /** Goes on as far as what has come allows. */
  #advance(): void {
    if (this.arrivals.isUncertain) return;
    if (this.arrivals.invalid) {
      this.fail('Error', 'InvalidMessage');
      return;
    }
    if (this.arrivals.complete) {
      this.complete();
      return;
    }
    if (!this.#endWait.isOpen) return;
    const pausedMs = this.#requests.pausedUntilMs(this.arrivals.seen);
    const dueMs = Math.max(this.#endWait.dueMs(this.#nowMs), pausedMs);
    if (dueMs <= this.#nowMs) this.#requestMissing();
    else this.#plan(dueMs);
  }

  /** Asks for what is missing, once it is certain that what has come is kept. */
  #requestMissing(): void {
    this.#endWait.answered();
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
    if (this.#phase !== 'receiving' || !this.#ended || this.arrivals.complete) return;
    if (!this.#isShort) {
      this.#request(this.arrivals.gaps(limits.ranges));
      return;
    }
    this.#isWaiting = true;
    this.#host.portions.ask(this, () => this.#requestPortion());
    if (this.#isWaiting) this.#answerWaiting();
  }

  /** Its turn has come. */
  #requestPortion(): void {
    this.#isWaiting = false;
    this.#isInPortions = true;
    this.#endWait.answered();
    this.#noteProgress();
    this.#newestMs = this.#nowMs;
    this.#plan(this.#newestMs + this.#host.settings.sessionTimeoutMs);
    this.#request(portionOf(this.arrivals, this.#host.settings.maxUnwrittenBytes));
  }

  /** As the agent hears while what it has sent is applied: it is to wait. */
  #answerWaiting(): void {
    this.#endWait.answered();
    this.#answer('Processing', 'None', 0);
    this.#plan(this.#nowMs + this.#host.settings.processingIntervalMs);
  }

  #request(ranges: readonly Pair[]): void {
    const { counts, settings } = this.#host;
    this.#requests.next(this.arrivals.seen, ranges, this.#nowMs);
    const { rounds } = this.#requests;
    if (rounds >= settings.maxRounds) {
      this.#log('warning', 'NoProgress', `nothing new came after ${rounds} requests`);
      this.fail('Error', 'NoProgress');
      return;
    }
    ++counts.reqRets;
    this.#endWait.asked();
    this.link?.send({ type: 'ReqRet', ranges, session: this.stored.session });
  }

  #leavePortions(): void {
    this.#isWaiting = false;
    if (this.#isShort) this.#host.portions.leave(this);
  }

  /** Everything is there: it is applied when its turn comes. */
  complete(): void {
    this.#phase = 'complete';
    this.#leavePortions();
    this.#answerEnd();
    this.#plan(this.#nowMs + this.#host.settings.processingIntervalMs);
    this.#host.complete(this, () => this.#commit());
  }

  // ---- Applying ----------------------------------------------------------------------------------------------------

  async #commit(): Promise<boolean> {
    // It may have been given up while it waited to be tried again.
    if (this.#phase === 'over') return true;
    this.#phase = 'applying';
    this.#plan(this.#nowMs + this.#host.settings.processingIntervalMs);
    const applied = await this.#applying.run(!this.#isFound && this.arrivals.inOrder);
    switch (applied.kind) {
      case 'applied':
        this.#succeed(applied.rejected);
        return true;
      case 'stale':
        this.fail('Error', 'StaleGeneration');
        return true;
      case 'full':
        this.fail('Error', 'AgentFull');
        return true;
      case 'gone':
        this.fail('Error', 'UnknownSession');
        return true;
      case 'lost':
        return this.#receiveAgain(applied.error);
      case 'failed':
        return this.#stall(applied.error);
    }
  }

  /** Some of what was staged may be gone: what is left decides what is asked for at the next End. */
  #receiveAgain(error: unknown): true {
    if (this.#phase === 'over') return true;
    if (this.#host.isSuperseded(this)) {
      this.fail('Offline', reasonOf(error));
      return true;
    }
    this.#phase = 'receiving';
    this.#applying.reset();
    this.#leavePortions();
    this.#isFound = false;
    this.#retries.reset();
    this.#ended = false;
    this.#endWait.answered();
    this.#newestMs = this.#nowMs;
    this.#plan(this.#newestMs + this.#host.settings.sessionTimeoutMs);
    this.#answer('Offline', reasonOf(error), leastRetryMs);
    this.#settle();
    void this.restore();
    return true;
  }

  #stall(error: unknown): false {
    this.#phase = 'stalled';
    this.#failure = reasonOf(error);
    const retryMs = this.#retries.failed(this.#nowMs);
    this.#answer('Offline', this.#failure, retryMs);
    this.#plan(this.#nowMs + retryMs);
    return false;
  }

  /** What was complete when the manager's process ended. */
  resumeCommit(): void {
    this.#isFound = true;
    this.complete();
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  #succeed(rejected: number): void {
    // An agent that has come back is answered when it has said End again.
    if (this.#ended) this.#answer('Ok', 'None', 0, rejected);
    this.#end({ status: 'Ok', reason: 'None', rejected, retryAfterMs: 0 });
  }

  /** Ends it without applying it, and tells the agent. */
  fail(status: Status, reason: Reason, retryAfterMs = 0): void {
    if (this.#phase === 'over') return;
    this.#answer(status, reason, retryAfterMs);
    this.#host.drop(this);
    this.#end({ status, reason, rejected: 0, retryAfterMs });
  }

  /** Ends it without a word: the agent has begun another. */
  supersede(): void {
    if (this.#phase === 'over') return;
    this.#host.drop(this);
    this.#end({ status: 'Error', reason: 'StaleGeneration', rejected: 0, retryAfterMs: 0 });
  }

  /** The manager closes: what is staged stays. */
  suspend(): void {
    this.#phase = 'over';
    this.#host.settings.wheel.cancel(this.#timer);
    this.#leavePortions();
    this.#settle();
  }

  #end(outcome: SessionOutcome): void {
    if (this.#phase === 'over') return;
    this.#phase = 'over';
    this.#host.settings.wheel.cancel(this.#timer);
    this.#leavePortions();
    this.#host.over(this, outcome);
    this.arrivals.forget();
    this.#settle();
  }

  #settle(): void {
    for (const resolve of this.#whenSettled.splice(0)) resolve();
  }

  // ---- Answers and timers ------------------------------------------------------------------------------------------

  #answerEnd(): void {
    this.#endWait.answered();
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
        if (this.#isWaiting) this.#answerWaiting();
        else if (!this.#endWait.isOpen) this.#expire();
        else this.#advance();
        return;
      case 'complete':
      case 'applying':
        this.#answerEnd();
        this.#plan(this.#nowMs + this.#host.settings.processingIntervalMs);
        return;
      case 'stalled':
        this.#giveUp();
        // What waits behind it goes on, or it is tried again.
        this.#host.retry(this);
        return;
      case 'over':
        return;
    }
  }

  /** What cannot be applied for so long keeps its room from others no longer: its agent may tell it anew. */
  #giveUp(): void {
    const failingMs = this.#retries.failingMs(this.#nowMs);
    if (failingMs < this.#host.settings.sessionTimeoutMs) return;
    ++this.#host.counts.expired;
    this.#log('warning', 'Expired', `the store has failed to apply it for ${failingMs} ms`);
    this.fail('Offline', this.#failure, leastRetryMs);
  }

  #expire(): void {
    const dueMs = this.#newestMs + this.#host.settings.sessionTimeoutMs;
    if (dueMs > this.#nowMs) {
      this.#plan(dueMs);
      return;
    }
    ++this.#host.counts.expired;
    this.#log('warning', 'Expired', `${this.arrivals.seen} of ${this.stored.size} items had come`);
    this.#host.drop(this);
    this.#end({ status: 'Error', reason: 'SessionExpired', rejected: 0, retryAfterMs: 0 });
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
    this.#host.progress({
      agent,
      module,
      size,
      received: this.isComplete ? size : this.arrivals.seen,
      applied,
    });
  }

  #storeFailed(error: unknown, what: string): void {
    ++this.#host.counts.storeFailures;
    this.#log('error', 'Store', `could not ${what}: ${messageOf(error)}`);
  }

  #log(level: LogLevel, code: ManagerLogCode, message: string): void {
    this.#host.log(level, code, message, this);
  }
}
