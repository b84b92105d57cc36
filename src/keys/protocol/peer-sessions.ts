// The sessions with one peer: what comes is worked off one step at a time.

import { Backoff } from '../../base/backoff.js';
import type { Random } from '../../base/random.js';
import type { PeerRecord, StoreChange } from '../store/store.js';
import { Answers } from './answers.js';
import { type Draft, draftOf, type Running, type Work } from './draft.js';
import { eventsOf } from './events.js';
import { Inputs } from './inputs.js';
import { productionKey } from './key-changes.js';
import { masterDueMs } from './master.js';
import { Pace } from './pace.js';
import { type LiveKeys, workOf } from './recovery.js';
import type { Session } from './session.js';
import { SessionTable } from './session-table.js';
import { slaveDueMs } from './slave.js';
import type { Input, KeysView, OperationResult, ProtocolSettings, Step } from './steps.js';
import { type Context, neverMs } from './transition.js';

/**
 * Everything between this SAE and one other. A driver pushes what comes, and carries out the steps that {@link PeerSessions.next} gives, one
 * after another: a message, a timer and the end of an operation never meet.
 */
export class PeerSessions {
  /** Whether links deliver: set by the driver with each `linked`. */
  delivers = false;
  readonly #settings: ProtocolSettings;
  readonly #keys: KeysView;
  readonly #random: Random;
  readonly #newId: () => string;
  readonly #table: SessionTable;
  readonly #paces: Map<string, Pace> = new Map();
  readonly #inputs: Inputs = new Inputs();
  readonly #answers: Answers = new Answers();
  readonly #storeFailures: Backoff;
  #peer: PeerRecord;
  #running: Running | undefined;
  /** To be worked off before anything else. */
  #first: Work | undefined;
  /** Takes the last step back, while that may still fail. */
  #undo: (() => void) | undefined;
  #pausedUntilMs = Number.NEGATIVE_INFINITY;
  #nowMs = 0;

  /**
   * @param settings of the peer, checked by the caller.
   * @param keys the keys of the pair, with all steps that were carried out.
   * @param restored sessions of the store, `peer` its record: after a restart they go on by themselves with the first `next`.
   * @param random for the jitter of what is sent again.
   * @param newId gives UUIDs.
   */
  constructor(
    settings: ProtocolSettings,
    keys: KeysView,
    restored: { readonly sessions: readonly Session[]; readonly peer: PeerRecord | undefined },
    random: Random,
    newId: () => string,
  ) {
    this.#settings = settings;
    this.#keys = keys;
    this.#random = random;
    this.#newId = newId;
    this.#table = new SessionTable(restored.sessions);
    this.#hurry();
    const { peerSaeId, retransmitMs, maxRetransmitMs } = settings;
    this.#peer = restored.peer ?? { peerSaeId, epoch: 0, receivedSequence: 0n, notifiedAt: 0 };
    const pauses = { initialMs: retransmitMs, maxMs: maxRetransmitMs, jitter: 0.5 };
    this.#storeFailures = new Backoff(pauses, random);
  }

  /**
   * Queues an input.
   *
   * @returns false when too many messages wait (64): it is dropped, and counted by the driver. Only messages and packets ever are.
   */
  push(input: Input): boolean {
    if (input.type === 'linked') this.#hurry();
    // For `due` there is nothing to be queued: `next` looks at the timers by itself.
    return input.type === 'due' || input.type === 'linked' || this.#inputs.push(input);
  }

  /**
   * The next step; undefined while an operation runs, or when nothing is to be done before {@link PeerSessions.dueMs}. To ask for it says that
   * the last one was carried out, but for its operation.
   *
   * @param nowMs Unix milliseconds.
   */
  next(nowMs: number): Step | undefined {
    if (nowMs < this.#nowMs) this.#setBack(this.#nowMs - nowMs);
    this.#nowMs = nowMs;
    if (this.#running !== undefined || nowMs < this.#pausedUntilMs) return undefined;
    if (this.#undo !== undefined) this.#storeFailures.reset();
    this.#undo = undefined;
    for (;;) {
      const context = this.#context;
      const live = this.#live;
      const work = this.#take(context, live);
      if (work === undefined) return undefined;
      if (work.type === 'result') this.#rest(work.running, work.result);
      const draft = draftOf(work, { table: this.#table, peer: this.#peer, context, live });
      const step = draft && this.#make(work, draft, context);
      if (step !== undefined) return step;
    }
  }

  /**
   * The operation of the last step is done.
   *
   * @throws TypeError when none runs.
   */
  done(result: OperationResult): void {
    const running = this.#running;
    if (running === undefined) throw new TypeError('no operation runs');
    this.#running = undefined;
    this.#undo = undefined;
    this.#storeFailures.reset();
    this.#first = { type: 'result', running, result };
  }

  /**
   * The last step could not be kept: the sessions are again as before it, and it is tried again at a later `due`.
   *
   * @param nowMs Unix milliseconds.
   */
  failed(nowMs: number): void {
    this.#undo?.();
    this.#undo = undefined;
    this.#pausedUntilMs = nowMs + this.#storeFailures.next();
  }

  /** When `due` is to be pushed, in Unix milliseconds; -Infinity for at once, Infinity for never, as while an operation runs. */
  get dueMs(): number {
    if (this.#running !== undefined) return Number.POSITIVE_INFINITY;
    const context = this.#context;
    const live = this.#live;
    let dueMs = this.#table.forgetAtMs(context, live);
    for (const session of this.#table.values()) {
      const pace = this.#paceOf(session);
      dueMs = Math.min(dueMs, this.#sessionDueMs(session), pace.resendAtMs(this.delivers));
      if (workOf(session, context, live) !== undefined) dueMs = Math.min(dueMs, pace.workAtMs);
    }
    if (this.#first !== undefined || this.#inputs.size > 0) dueMs = Number.NEGATIVE_INFINITY;
    return Math.max(dueMs, this.#pausedUntilMs);
  }

  /** The session that is under way; undefined when none. */
  get active(): Session | undefined {
    return this.#table.active;
  }

  /** Keys that must stay live at the device: the one in production, and those that the session under way rotates between. */
  get liveKeyIds(): readonly string[] {
    const { active } = this;
    const keyIds = [productionKey(this.#keys)?.keyId, active?.newKeyId, active?.oldKeyId];
    const isKept = (keyId: string | null | undefined): keyId is string => {
      const status = typeof keyId === 'string' ? this.#keys.key(keyId)?.status : undefined;
      return status !== undefined && status !== 'revoked';
    };
    return [...new Set(keyIds.filter(isKept))];
  }

  /** Work by its urgency: what was begun, what time has brought, and what has come. */
  #take(context: Context, live: LiveKeys): Work | undefined {
    const first = this.#first;
    this.#first = undefined;
    if (first !== undefined) return first;
    const timed = this.#timed(context, live);
    if (timed !== undefined) return timed;
    const input = this.#inputs.shift();
    return input && { type: 'input', input };
  }

  #timed(context: Context, live: LiveKeys): Work | undefined {
    for (const session of this.#table.values()) {
      if (this.#sessionDueMs(session) <= this.#nowMs) return { type: 'due', session };
      const pace = this.#paceOf(session);
      const operation = pace.workAtMs <= this.#nowMs ? workOf(session, context, live) : undefined;
      if (operation !== undefined) return { type: 'work', session, operation };
      if (session.awaiting !== null && pace.resendAtMs(this.delivers) <= this.#nowMs)
        return { type: 'resend', session, message: session.awaiting };
    }
    const session = this.#table.forgettable(false, context, live);
    return session && { type: 'forget', session };
  }

  /** Makes a step of a draft, and takes it for done until `failed`. Undefined when nothing comes of it. */
  #make(work: Work, draft: Draft, context: Context): Step | undefined {
    const { before, transition = {}, forget, running } = draft;
    const after = transition.session ?? before;
    const change = this.#changeOf(draft);
    const isKeptLater = transition.isKeptLater === true;
    const send = this.#answers.of(draft, change !== undefined, context);
    const events = eventsOf(draft);
    const operation = transition.operation ?? running?.operation;
    const isNothing = change === undefined && operation === undefined && send.length + events.length === 0;
    if (isNothing) return undefined;

    this.#undo = this.#undoing(work, draft);
    if (change?.peer !== undefined) this.#peer = change.peer;
    if (forget !== undefined) this.#forget(forget);
    if (after !== undefined) {
      this.#table.set(after);
      const { awaiting } = after;
      const isSent = send.some((message) => message.message_id === awaiting?.message_id);
      this.#paceOf(after).stepped(awaiting, isSent, this.#nowMs);
    }
    if (draft.isFirst === true) this.#first = work;
    if (operation !== undefined)
      this.#running = running ?? {
        operation,
        sessionId: after?.sessionId,
        request: transition.request,
        leadMs: 0,
      };
    return { change: isKeptLater ? undefined : change, send, events, operation };
  }

  /** What of a draft is to be kept; undefined when it changes nothing. */
  #changeOf({ before, transition = {}, forget, epoch, notifiedAt }: Draft): StoreChange | undefined {
    const { session = before, update = [], remove = [] } = transition;
    const isChanged = session !== before;
    if (!isChanged && forget === undefined && update.length + remove.length === 0) return undefined;
    const peer = this.#peer;
    return {
      peerSaeId: this.#settings.peerSaeId,
      peer: { ...peer, epoch: epoch ?? peer.epoch, notifiedAt: notifiedAt ?? peer.notifiedAt },
      ...(update.length > 0 && { update }),
      ...(remove.length > 0 && { remove }),
      ...(isChanged && session !== undefined && { session }),
      ...(forget !== undefined && { endSession: forget.sessionId }),
    };
  }

  #undoing(work: Work, { before, transition = {}, forget }: Draft): () => void {
    const peer = this.#peer;
    const after = transition.session ?? before;
    return () => {
      this.#running = undefined;
      this.#peer = peer;
      this.#first = work.type === 'result' || work.type === 'input' ? work : undefined;
      if (forget !== undefined) this.#table.restore(forget);
      if (before === undefined) {
        if (after !== undefined) this.#forget(after);
        return;
      }
      this.#table.set(before);
      this.#paceOf(before).hurry(before.awaiting);
    };
  }

  #rest({ sessionId, operation }: Running, result: OperationResult): void {
    const session = sessionId === undefined ? undefined : this.#table.get(sessionId);
    const isOk = result.ok && (operation.type !== 'deleteKeys' || (result.failedKeyIds ?? []).length === 0);
    if (session !== undefined) this.#paceOf(session).worked(isOk, this.#nowMs);
  }

  #hurry(): void {
    for (const session of this.#table.values()) this.#paceOf(session).hurry(session.awaiting);
  }

  #forget(session: Session): void {
    this.#table.delete(session.sessionId);
    this.#paces.delete(session.sessionId);
  }

  #paceOf(session: Session): Pace {
    let pace = this.#paces.get(session.sessionId);
    if (pace === undefined) {
      pace = new Pace(this.#settings, this.#random);
      this.#paces.set(session.sessionId, pace);
    }
    return pace;
  }

  #sessionDueMs(session: Session): number {
    const dueMs = session.role === 'master' ? masterDueMs(session, this.#settings) : slaveDueMs(session);
    return dueMs === neverMs ? Number.POSITIVE_INFINITY : dueMs;
  }

  get #live(): LiveKeys {
    return {
      has: (keyId) => this.active?.keyIds.includes(keyId) === true || this.liveKeyIds.includes(keyId),
    };
  }

  /** The clock was set back, as it may be without a session under way: what has its pace is not to stand still meanwhile. */
  #setBack(byMs: number): void {
    this.#pausedUntilMs -= byMs;
    for (const pace of this.#paces.values()) pace.setBack(byMs);
    this.#answers.setBack();
  }

  get #context(): Context {
    return { nowMs: this.#nowMs, settings: this.#settings, keys: this.#keys, newId: this.#newId };
  }
}
