// One session of an agent, from Start to EndAck (source document, "Synchronization Phases"). What it sends goes to a connection; what comes
// is handed to it; whatever it does by itself is in `run`.

import { Backoff, type BackoffOptions } from '../../base/backoff.js';
import { HawserError } from '../../base/errors.js';
import type { MessageConnection } from '../../base/message-connection.js';
import type { Random } from '../../base/random.js';
import type { TokenBucket } from '../../base/token-bucket.js';
import { encodeMessage } from '../wire/codec.js';
import type { DataItem, EndAck, Reason, ReqRet, StartAck } from '../wire/messages.js';
import type { AdmissionWait } from './admission-wait.js';
import type { AgentSettings } from './options.js';
import { type Interruption, messageOf, type SessionOutcome } from './outcomes.js';
import { itemsIn, requestedRanges, type SeqRange } from './ranges.js';
import type { Log, SyncFailure, SyncProgress } from './results.js';
import { type AgentInput, type AgentState, nextAgentState } from './states.js';
import { type Sent, Transfer } from './transfer.js';
import type { Waits } from './waits.js';

/** What a session is to tell the manager. */
export interface SessionTerms {
  /** The bytes of Start: all copies of it are the same. */
  readonly start: Uint8Array;
  readonly nonce: bigint;
  readonly size: number;
  readonly items: (fromSeq: number) => IterableIterator<DataItem>;
  /** Sent instead of items by a CHECK. */
  readonly checksum: { readonly index: string; readonly checksum: string } | undefined;
  /** Waited for before the first Data leave. */
  readonly beforeData: () => Promise<void>;
}

/** What a session works with. */
export interface SessionSetup {
  readonly settings: AgentSettings;
  readonly connection: MessageConnection;
  readonly waits: Waits;
  readonly random: Random;
  readonly rate: TokenBucket | undefined;
  readonly admission: AdmissionWait;
  readonly sent: Sent;
  readonly log: Log;
  /** Start was sent, for the first time or again. */
  readonly startSent: (nonce: bigint) => void;
  readonly stateChanged: (from: AgentState, to: AgentState) => void;
  readonly progress: (progress: SyncProgress) => void;
}

/** One session. `run` is called once. */
export class AgentSession {
  readonly #setup: SessionSetup;
  readonly #terms: SessionTerms;
  readonly #backoff: BackoffOptions;
  #state: AgentState = 'Idle';
  #session: bigint | undefined;
  #outcome: SessionOutcome | undefined;
  #transfer: Transfer | undefined;
  /** What is to be sent next. */
  #wanted: readonly SeqRange[] = [];
  /** Whether what is wanted was asked for by ReqRet. */
  #isAsked = false;
  /** Whether the manager had this session before: what it asks for may never have been sent from here. */
  #resumed = false;
  #endSent = false;
  /** Until then the manager may be silent. */
  #answerDueMs = 0;
  /** Until when a manager that has everything may apply it; undefined while it has not said so. */
  #processingDueMs: number | undefined;
  #acknowledged = 0;
  /** The first item that the manager lacked when it last got further. */
  #firstMissing = -1;
  #roundsInVain = 0;
  /** Items of all ReqRet. */
  #asked = 0;

  constructor(setup: SessionSetup, terms: SessionTerms) {
    this.#setup = setup;
    this.#terms = terms;
    this.#backoff = setup.settings.backoff;
  }

  get state(): AgentState {
    return this.#state;
  }

  /** That of its Start. */
  get nonce(): bigint {
    return this.#terms.nonce;
  }

  /** Its id; undefined until the manager has given it one. */
  get session(): bigint | undefined {
    return this.#session;
  }

  /**
   * Carries the session out.
   *
   * @throws (rejects) what `beforeData` and `items` throw: that is the queue's failure.
   */
  async run(): Promise<SessionOutcome> {
    try {
      await this.#establish();
      while (!this.#isOver()) {
        await this.#sendData();
        await this.#delayEnd();
        await this.#conclude();
      }
    } finally {
      this.#enter('finish');
    }
    return this.#outcome ?? { kind: 'interrupted', by: 'stopped' };
  }

  /** Ends it from outside. */
  interrupt(by: Interruption): void {
    this.#end({ kind: 'interrupted', by });
  }

  /** There is room in the connection. */
  drained(): void {
    this.#transfer?.drained();
    this.#setup.waits.wake();
  }

  // ---- WaitingStartAck ---------------------------------------------------------------------------------------------

  async #establish(): Promise<void> {
    const { waits, settings, log, random, startSent } = this.#setup;
    const backoff = new Backoff(this.#backoff, random);
    this.#enter('start');
    for (let attempt = 0; attempt <= settings.retries && this.#isIn('WaitingStartAck'); ++attempt) {
      if (attempt > 0) log('info', 'Resent', `no StartAck in time; Start is sent again (${attempt})`);
      this.#answerDueMs = waits.nowMs + backoff.next();
      await this.#sendControl(this.#terms.start, 'WaitingStartAck', () => startSent(this.#terms.nonce));
      await waits.until(
        () => !this.#isIn('WaitingStartAck'),
        () => this.#answerDueMs,
      );
    }
    if (this.#isIn('WaitingStartAck')) this.#fail('StartTimeout', 'the manager did not answer Start in time');
  }

  /** The answer to Start. Only the first one counts. */
  startAck(ack: StartAck): void {
    const { log } = this.#setup;
    if (!this.#isIn('WaitingStartAck')) {
      log('debug', 'Late', `a StartAck in the state ${this.#state} is ignored`);
      return;
    }
    if (ack.status === 'Ok') this.#accepted(ack);
    else if (ack.status === 'Offline') this.#postponed(ack);
    else if (ack.status === 'Error') this.#refused(ack, ack.generation);
    else this.#fail('Protocol', `the manager answered Start with ${ack.status}`);
  }

  #accepted(ack: StartAck): void {
    this.#session = ack.session;
    this.#resumed = ack.resumed;
    this.#setup.sent.items = 0;
    const { size } = this.#terms;
    // A manager that knows the session says by itself what it lacks.
    if (size > 0 && !ack.resumed) this.#wanted = [{ begin: 0, end: size - 1 }];
    this.#enter('startAck');
    this.#setup.waits.wake();
  }

  // ---- DataTransfer ------------------------------------------------------------------------------------------------

  async #sendData(): Promise<void> {
    const { checksum } = this.#terms;
    if (checksum !== undefined && this.#session !== undefined) {
      const message = { type: 'ChecksumModule', session: this.#session, ...checksum } as const;
      await this.#sendControl(encodeMessage(message), 'DataTransfer');
    }
    const wanted = this.#takeWanted();
    if (wanted.length === 0 || this.#session === undefined) return;
    await this.#terms.beforeData();
    if (!this.#isIn('DataTransfer')) return;
    this.#transfer ??= this.#newTransfer(this.#session);
    // What was asked for goes reliably: then it has arrived before the next End, and nothing is asked for twice.
    const unreliable = this.#setup.settings.data === 'unreliable' && !this.#isAsked;
    await this.#transfer.send(wanted, { unreliable, again: this.#isAsked && !this.#resumed });
  }

  #takeWanted(): readonly SeqRange[] {
    const wanted = this.#wanted;
    this.#wanted = [];
    return wanted;
  }

  #newTransfer(session: bigint): Transfer {
    const { connection, waits, rate, settings, sent } = this.#setup;
    return new Transfer({
      connection,
      waits,
      rate,
      batching: settings.batching,
      batchBytes: settings.batchBytes,
      session,
      items: this.#terms.items,
      sent,
      isOver: () => !this.#isIn('DataTransfer') || this.#processingDueMs !== undefined,
      progress: () => this.#tellProgress(),
      failed: (error) => this.#sendFailed(error),
    });
  }

  async #delayEnd(): Promise<void> {
    const { waits, settings } = this.#setup;
    if (this.#endSent || settings.endDelayMs === 0) return;
    const dueMs = waits.nowMs + settings.endDelayMs;
    await waits.until(
      () => !this.#isIn('DataTransfer'),
      () => dueMs,
    );
  }

  // ---- WaitingEndAck -----------------------------------------------------------------------------------------------

  async #conclude(): Promise<void> {
    if (this.#isOver() || this.#session === undefined) return;
    this.#enter('end');
    const { waits, settings, log, random } = this.#setup;
    const backoff = new Backoff(this.#backoff, random);
    const end = encodeMessage({ type: 'End', session: this.#session });
    for (let sends = 0; this.#isIn('WaitingEndAck'); ) {
      const isLate =
        this.#processingDueMs === undefined ? sends > settings.retries : waits.nowMs >= this.#processingDueMs;
      if (isLate) {
        this.#fail('EndTimeout', 'the manager did not answer End in time');
        return;
      }
      if (sends > 0) log('info', 'Resent', `no EndAck in time; End is sent again (${sends})`);
      this.#answerDueMs = waits.nowMs + backoff.next();
      await this.#sendControl(end, 'WaitingEndAck', () => {
        this.#endSent = true;
      });
      ++sends;
      await waits.until(
        () => !this.#isIn('WaitingEndAck'),
        () => this.#answerDueMs,
      );
    }
  }

  /** The answer to End; or the manager's word that it does not go on with the session. */
  endAck(ack: EndAck): void {
    // One that refuses and says why may come before End: the manager does not want the Data.
    const refuses = (ack.status === 'Error' || ack.status === 'Offline') && ack.reason !== 'None';
    if (!this.#endSent && !refuses) this.#unexpected('an EndAck');
    else if (ack.status === 'Ok') this.#done(ack);
    else if (ack.status === 'Processing') this.#processing();
    else if (ack.status === 'Offline') this.#postponed(ack);
    else if (ack.status === 'Error') this.#refused(ack, 0n);
    else this.#fail('ChecksumMismatch', 'the checksums differ', ack.reason);
  }

  #done(ack: EndAck): void {
    this.#acknowledged = this.#terms.size;
    this.#tellProgress();
    // However many a manager says: there were no more.
    this.#end({ kind: 'ok', rejected: Math.min(Number(ack.rejected), this.#terms.size) });
  }

  #processing(): void {
    const { waits, settings, admission } = this.#setup;
    this.#answerDueMs = waits.nowMs + settings.responseTimeoutMs;
    this.#processingDueMs = waits.nowMs + settings.processingTimeoutMs;
    admission.granted(this.#terms.size);
    // What it had asked for was only late, or it will ask again.
    this.#wanted = [];
    waits.wake();
  }

  /** The manager cannot now. It may have forgotten the session, or not: another Start with the same nonce finds out. */
  #postponed({ retryAfterMs, reason }: StartAck | EndAck): void {
    this.#end({ kind: 'postponed', retryAfterMs, reason });
  }

  /** The manager asks for Data again. */
  reqRet(request: ReqRet): void {
    // A second one before the first was looked at replaces it.
    const isDue = this.#isIn('WaitingEndAck') || (this.#isIn('DataTransfer') && this.#wanted.length > 0);
    const ranges = requestedRanges(request.ranges, this.#terms.size);
    if (!isDue || !this.#endSent) this.#unexpected('a ReqRet');
    else if (ranges === undefined) this.#fail('Protocol', 'the manager asks for Data that do not exist');
    else if (!this.#getsFurther(ranges)) {
      this.#fail('NoProgress', 'the manager asks for the same Data again and again');
    } else this.#sendAgain(ranges);
  }

  #sendAgain(ranges: readonly SeqRange[]): void {
    this.#setup.log('debug', 'Retransmission', `the manager asks for ${itemsIn(ranges)} items`);
    this.#setup.admission.granted(this.#acknowledged);
    this.#wanted = ranges;
    this.#isAsked = true;
    this.#processingDueMs = undefined;
    if (this.#isIn('WaitingEndAck')) this.#enter('reqRet');
    this.#setup.waits.wake();
  }

  /**
   * What was sent again has arrived before End, so that the first item that is missing is a later one each time; and nothing is sent more
   * often than there are rounds. A ReqRet need not name all that is missing, so their number says nothing.
   */
  #getsFurther(ranges: readonly SeqRange[]): boolean {
    const { settings, sent } = this.#setup;
    const { size } = this.#terms;
    const asked = itemsIn(ranges);
    const first = ranges[0]?.begin ?? 0;
    if (this.#resumed && this.#firstMissing === -1) sent.items = size - asked;
    this.#roundsInVain = first > this.#firstMissing ? 0 : this.#roundsInVain + 1;
    this.#firstMissing = Math.max(first, this.#firstMissing);
    this.#acknowledged = this.#firstMissing;
    this.#asked += asked;
    return this.#roundsInVain <= settings.maxRounds && this.#asked <= (settings.maxRounds + 1) * size;
  }

  // ---- Both --------------------------------------------------------------------------------------------------------

  #refused(ack: StartAck | EndAck, generation: bigint): void {
    const isForgotten = ack.reason === 'UnknownSession' || ack.reason === 'SessionExpired';
    if (ack.reason === 'StaleGeneration') this.#end({ kind: 'stale', generation });
    else if (isForgotten && ack.type === 'EndAck') this.#end({ kind: 'lost', reason: ack.reason });
    else {
      const why = ack.reason === 'None' ? '' : `: ${ack.reason}`;
      const what = ack.type === 'StartAck' ? 'Start' : 'the session';
      this.#fail('Refused', `the manager refused ${what}${why}`, ack.reason);
    }
  }

  #unexpected(what: string): void {
    this.#setup.log('warning', 'Unexpected', `${what} in the state ${this.#state} is ignored`);
  }

  /** Sends a message that is no Data, as soon as the connection takes it; not when the state is another by then, or an answer is due. */
  async #sendControl(message: Uint8Array, state: AgentState, sent?: () => void): Promise<void> {
    const { connection, waits } = this.#setup;
    const isDue = (): boolean => this.#isIn(state);
    const lastMs = state === 'DataTransfer' ? Number.POSITIVE_INFINITY : this.#answerDueMs;
    while (isDue()) {
      try {
        connection.send(message);
        sent?.();
        return;
      } catch (error) {
        if (!(error instanceof HawserError) || error.code !== 'ERR_HAWSER_QUEUE_FULL') {
          this.#sendFailed(error);
          return;
        }
      }
      const lookMs = Math.min(lastMs, waits.nowMs + refusedMs);
      await waits.until(
        () => !isDue(),
        () => lookMs,
      );
      if (waits.nowMs >= lastMs) return;
    }
  }

  #sendFailed(error: unknown): void {
    const code = error instanceof HawserError ? error.code : '';
    if (code === 'ERR_HAWSER_MESSAGE_TOO_LONG') this.#fail('TooLong', messageOf(error));
    else if (lossCodes.has(code)) this.interrupt('disconnected');
    else {
      // No loss, so that nothing connects anew: whoever calls has to hear that another time it will be the same.
      const message = `the connection does not send: ${messageOf(error)}`;
      this.#setup.log('error', 'Connection', message);
      this.#fail('SendFailed', message);
    }
  }

  #tellProgress(): void {
    const { sent, progress } = this.#setup;
    const { size } = this.#terms;
    progress({
      size,
      sent: Math.min(sent.items, size),
      acknowledged: this.#acknowledged,
      bytes: sent.bytes,
      retransmitted: sent.retransmitted,
    });
  }

  #fail(reason: SyncFailure, message: string, managerReason: Reason = 'None'): void {
    this.#end({ kind: 'failed', reason, managerReason, message });
  }

  #end(outcome: SessionOutcome): void {
    this.#outcome ??= outcome;
    this.#setup.waits.wake();
  }

  #isOver(): boolean {
    return this.#outcome !== undefined;
  }

  /** Whether it is in that state and goes on. */
  #isIn(state: AgentState): boolean {
    return this.#state === state && this.#outcome === undefined;
  }

  /** Every change of state. */
  #enter(input: AgentInput): void {
    const from = this.#state;
    const to = nextAgentState(from, input);
    if (to === undefined) return;
    this.#state = to;
    this.#setup.stateChanged(from, to);
  }
}

/** When to look again whether a connection that refused a message has room. */
const refusedMs = 100;
/** What `send` throws when the connection is over. */
const lossCodes: ReadonlySet<string> = new Set([
  'ERR_HAWSER_NOT_CONNECTED',
  'ERR_HAWSER_CLOSED',
  'ERR_HAWSER_CONNECTION_LOST',
]);
