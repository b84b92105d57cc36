// The end of a connection that loses nothing: what was asked is still answered (source document, section 6.1).
//
// Either side begins with a Close. The other answers it with a Close of its own, and neither makes requests or notifies after that. Whoever
// began ends the transport once its own requests are answered and its own answers have arrived; where both did, whoever is ready first.

import { type TimingWheel, WheelTimer } from '../base/timing-wheel.js';

/** Pings that keep a connection alive are numbered from 1. */
export const proofSequence = 0;

/** How long the other side is waited for, at most. */
export interface ClosePlan {
  /** For its Close, in milliseconds. */
  readonly ackTimeoutMs: number;
  /** For what is still to be answered, by either side, in milliseconds. */
  readonly drainTimeoutMs: number;
}

export const defaultClosePlan: ClosePlan = { ackTimeoutMs: 5000, drainTimeoutMs: 10_000 };

/** What a graceful close does to its connection. */
export interface GracefulCloseHandlers {
  /** @returns false when there is no room: `advance` is called when there is. */
  readonly send: (control: 'close' | 'ping', sequence: number) => boolean;
  /** Whether no request of either side waits for its answer. */
  readonly isIdle: () => boolean;
  /** The transport is to be ended now. Called at most once. */
  readonly finish: () => void;
}

/** The graceful close of one connection, from its first Close to the end. */
export class GracefulClose {
  readonly #wheel: TimingWheel;
  readonly #handlers: GracefulCloseHandlers;
  readonly #timer: WheelTimer = new WheelTimer(() => this.advance());
  /** Whether this side ends the transport. */
  #isOurs = false;
  /** Of our Close. */
  #sequence = 0;
  #isSent = false;
  /** Whether the Close of the other side has come. */
  #isAcknowledged = false;
  /** An answer has been sent of which no proof is under way that it has arrived: a transport may forget it when it is ended. */
  #owesProof = false;
  #isProving = false;
  #ackDueMs = Number.POSITIVE_INFINITY;
  #drainDueMs = Number.POSITIVE_INFINITY;
  #isOver = false;

  constructor(wheel: TimingWheel, handlers: GracefulCloseHandlers) {
    this.#wheel = wheel;
    this.#handlers = handlers;
  }

  /** This side closes; perhaps the other has begun. Another call changes the plan. */
  close({ ackTimeoutMs, drainTimeoutMs }: ClosePlan): void {
    this.#isOurs = true;
    const nowMs = this.#wheel.clock.now();
    this.#ackDueMs = nowMs + ackTimeoutMs;
    this.#drainDueMs = nowMs + drainTimeoutMs;
    this.advance();
  }

  /** The Close of the other side has come: the first is answered unless it is an answer, others mean nothing. */
  told(sequence: number): void {
    if (this.#isAcknowledged) return;
    this.#isAcknowledged = true;
    if (!this.#isOurs) {
      this.#sequence = sequence;
      // The other side should have ended it by then.
      const { ackTimeoutMs, drainTimeoutMs } = defaultClosePlan;
      this.#drainDueMs = this.#wheel.clock.now() + ackTimeoutMs + drainTimeoutMs;
      this.#ackDueMs = this.#drainDueMs;
    }
    this.advance();
  }

  /** An answer has been sent since. */
  answered(): void {
    this.#owesProof = true;
  }

  /** The pong to our ping has come: what was sent before has arrived. */
  proven(): void {
    this.#isProving = false;
    this.advance();
  }

  /** Something may stand in the way no more: a request is answered, there is room, or it has taken too long. */
  advance(): void {
    // Listeners hear of the close before it begins.
    if (this.#isOver || this.#drainDueMs === Number.POSITIVE_INFINITY) return;
    this.#sendClose();
    this.#prove();
    // What is sent may be answered before `send` returns.
    if (this.#isOver) return;
    const nowMs = this.#wheel.clock.now();
    if (this.#isDone(nowMs)) {
      this.stop();
      this.#handlers.finish();
      return;
    }
    const dues = [this.#ackDueMs, this.#drainDueMs].filter((dueMs) => dueMs > nowMs);
    this.#wheel.schedule(this.#timer, Math.min(...dues));
  }

  /** The connection is over. */
  stop(): void {
    this.#isOver = true;
    this.#wheel.cancel(this.#timer);
  }

  #isDone(nowMs: number): boolean {
    const isProven = !this.#owesProof && !this.#isProving;
    const isDrained = this.#isOurs && isProven && this.#handlers.isIdle();
    return (this.#isAcknowledged || nowMs >= this.#ackDueMs) && (isDrained || nowMs >= this.#drainDueMs);
  }

  #sendClose(): void {
    if (this.#isSent) return;
    // First, because the answer may come before `send` returns.
    this.#isSent = true;
    this.#isSent = this.#handlers.send('close', this.#sequence);
  }

  /** A pong comes after everything that the other side heard before its ping. */
  #prove(): void {
    if (!this.#isOurs || !this.#owesProof || this.#isProving || !this.#handlers.isIdle()) return;
    this.#owesProof = false;
    this.#isProving = true;
    if (this.#handlers.send('ping', proofSequence)) return;
    this.#owesProof = true;
    this.#isProving = false;
  }
}
