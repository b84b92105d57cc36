// What an agent does when the manager says that it cannot now: it comes back when it was told to, and not for ever.

import type { Random } from '../../base/random.js';
import type { Reason } from '../wire/messages.js';
import type { SyncWaiting } from './results.js';

/** By how much of it, by chance, a delay is longer than what the manager asked for: agents that were refused together come apart. */
const jitter = 0.25;
/** However soon a manager says: it is not asked without a pause. */
const leastMs = 100;

/** The delays that a manager asked for, of one sync. */
export class AdmissionWait {
  readonly #limitMs: number;
  readonly #random: Random;
  readonly #nowMs: () => number;
  readonly #waiting: (waiting: SyncWaiting) => void;
  #sinceMs: number | undefined;
  #furthest = -1;

  /** @param limitMs for how long the manager may put the agent off at a stretch; 0: not at all. */
  constructor(limitMs: number, nowMs: () => number, random: Random, waiting: (waiting: SyncWaiting) => void) {
    this.#limitMs = limitMs;
    this.#nowMs = nowMs;
    this.#random = random;
    this.#waiting = waiting;
  }

  /**
   * The manager has all items before that one. Where it has let the agent get further than ever before, what it asks for from now on is
   * another delay; a manager that lets it get as far again and again, and no further, has put it off all the while.
   */
  granted(acknowledged: number): void {
    if (acknowledged <= this.#furthest) return;
    this.#furthest = acknowledged;
    this.#sinceMs = undefined;
  }

  /**
   * @param retryAfterMs what the manager asked for; 0 when it did not say.
   * @returns how long to wait, or undefined when that is of no use.
   */
  delayMs(retryAfterMs: number, reason: Reason): number | undefined {
    if (retryAfterMs === 0 || this.#limitMs === 0) return undefined;
    const nowMs = this.#nowMs();
    this.#sinceMs ??= nowMs;
    const delayMs = Math.max(leastMs, retryAfterMs) * (1 + jitter * this.#random());
    if (nowMs + delayMs - this.#sinceMs > this.#limitMs) return undefined;
    this.#waiting({ retryAfterMs: delayMs, reason });
    return delayMs;
  }
}
