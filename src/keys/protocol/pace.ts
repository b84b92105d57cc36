// When something of a session is done again: a message that is not answered, and work that failed.

import { Backoff } from '../../base/backoff.js';
import type { Random } from '../../base/random.js';
import type { Unstamped } from '../wire/messages.js';
import type { ProtocolSettings } from './steps.js';

/** How long is waited for an answer on a link that delivers, in milliseconds: its end is told of, so that this is for errors of the other side. */
const safetyNetMs = 30_000;

/** One session's. Kept nowhere: after a restart all begins at once. */
export class Pace {
  readonly #messages: Backoff;
  readonly #failures: Backoff;
  #awaitingId: string | undefined;
  #isSent = false;
  #sentAtMs = Number.NEGATIVE_INFINITY;
  #delayMs = 0;
  #workAtMs = Number.NEGATIVE_INFINITY;

  constructor({ retransmitMs, maxRetransmitMs }: ProtocolSettings, random: Random) {
    // The delays of Rosenpass: twice as long each time, with up to half of it more.
    const options = { initialMs: retransmitMs, maxMs: maxRetransmitMs, multiplier: 2, jitter: 0.5 };
    this.#messages = new Backoff(options, random);
    this.#failures = new Backoff(options, random);
  }

  /** A step was made. @param awaiting what waits for an answer after it. @param isSent whether it was sent with the step. */
  stepped(awaiting: Unstamped | null, isSent: boolean, nowMs: number): void {
    const isNew = awaiting?.message_id !== this.#awaitingId;
    if (!isNew && !isSent) return;
    if (isNew) this.#messages.reset();
    this.#awaitingId = awaiting?.message_id;
    this.#isSent = isSent;
    this.#sentAtMs = nowMs;
    this.#delayMs = this.#messages.next();
  }

  /** What waits is sent at the next chance, as after a restart or on a new link. */
  hurry(awaiting: Unstamped | null): void {
    this.#awaitingId = awaiting?.message_id;
    this.#messages.reset();
    this.#sentAtMs = Number.NEGATIVE_INFINITY;
    this.#delayMs = 0;
  }

  /** When what waits is sent again, in Unix milliseconds; Infinity when nothing waits. */
  resendAtMs(delivers: boolean): number {
    if (this.#awaitingId === undefined) return Number.POSITIVE_INFINITY;
    const isTrusted = delivers && this.#isSent;
    return this.#sentAtMs + (isTrusted ? Math.max(this.#delayMs, safetyNetMs) : this.#delayMs);
  }

  /** An operation has ended: after a failure the next one waits. */
  worked(isOk: boolean, nowMs: number): void {
    if (isOk) this.#failures.reset();
    this.#workAtMs = isOk ? Number.NEGATIVE_INFINITY : nowMs + this.#failures.next();
  }

  /** The clock was set back. */
  setBack(byMs: number): void {
    this.#sentAtMs -= byMs;
    this.#workAtMs -= byMs;
  }

  /** When the session's work may be done, in Unix milliseconds. */
  get workAtMs(): number {
    return this.#workAtMs;
  }
}
