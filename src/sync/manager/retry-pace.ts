// When what the store failed to apply is tried again.

/** How long to wait: longer each time. */
export const leastRetryMs = 2000;
const mostRetryMs = 60_000;
/** An End makes it be tried sooner, but not at every End. */
const leastGapMs = 500;

/** The failures of one session. */
export class RetryPace {
  #sinceMs: number | undefined = undefined;
  #failedMs = 0;
  #pauseMs = leastRetryMs;

  /** It has failed. @returns how long to wait. */
  failed(nowMs: number): number {
    this.#sinceMs ??= nowMs;
    this.#failedMs = nowMs;
    const pauseMs = this.#pauseMs;
    this.#pauseMs = Math.min(pauseMs * 2, mostRetryMs);
    return pauseMs;
  }

  /** For how long it has been failing. */
  failingMs(nowMs: number): number {
    return nowMs - (this.#sinceMs ?? nowMs);
  }

  /** Whether it may be tried now, though its pause is not over. */
  mayHurry(nowMs: number): boolean {
    return nowMs - this.#failedMs >= leastGapMs;
  }

  /** What fails from now on is something else. */
  reset(): void {
    this.#sinceMs = undefined;
  }
}
