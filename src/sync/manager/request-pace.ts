// How often a manager asks for Data that are missing, and when it gives up.

import type { Pair } from '../wire/messages.js';

/** Which part of what was asked for has to come, or the next request waits. */
const answerPart = 1 / 8;
const leastPauseMs = 100;
const mostPauseMs = 2000;

/**
 * The requests of one session. A ReqRet can be long, and what makes a manager send one is short: whoever brings hardly anything of what it
 * was asked for is asked ever more seldom.
 */
export class RequestPace {
  readonly #firstPauseMs: number;
  readonly #mostPauseMs: number;
  /** How many items had come when the last request was sent. */
  #seen = -1;
  /** How many it was for, when it went, and how long the next one waits if hardly any of them come. */
  #asked = 0;
  #askedMs = 0;
  #pauseMs = 0;
  #rounds = 0;

  /** @param delayMs the first pause, unless that would be too short. */
  constructor(delayMs: number) {
    this.#firstPauseMs = Math.max(delayMs, leastPauseMs);
    this.#mostPauseMs = Math.max(delayMs, mostPauseMs);
  }

  /** How many requests in a row have brought nothing. */
  get rounds(): number {
    return this.#rounds;
  }

  /** @param seen how many items have come. @returns until when the next request waits; 0 when it does not. */
  pausedUntilMs(seen: number): number {
    return this.#isAnswered(seen) ? 0 : this.#askedMs + this.#pauseMs;
  }

  /** What is missing is about to be asked for. */
  next(seen: number, ranges: readonly Pair[], nowMs: number): void {
    const isAnswered = this.#isAnswered(seen);
    this.#pauseMs = isAnswered ? this.#firstPauseMs : Math.min(this.#pauseMs * 2, this.#mostPauseMs);
    this.#rounds = seen === this.#seen ? this.#rounds + 1 : 0;
    this.#seen = seen;
    this.#askedMs = nowMs;
    this.#asked = ranges.reduce((items, { begin, end }) => items + Number(end - begin) + 1, 0);
  }

  #isAnswered(seen: number): boolean {
    return this.#seen < 0 || seen - this.#seen >= this.#asked * answerPart;
  }
}
