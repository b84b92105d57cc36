// What is remembered of the heartbeats of a session (source document, "Debugging Information").

/** As many timestamps are kept. */
const mostHeartbeats = 16;
/** Of the smoothed values. */
const alpha = 1 / 8;

/** The heartbeats of one session, over all its connections. */
export class HeartbeatRecord {
  readonly #last: number[] = [];
  #lastAtMs: number | undefined;
  #intervalMs: number | undefined;
  #jitterMs = 0;
  #lastRoundTripMs = 0;
  #averageRoundTripMs = 0;
  /** KeepAlives that came again or late. */
  stale = 0;
  /** When a timestamp beyond the tolerance was told of last, by the monotonic clock. */
  skewToldMs: number = Number.NEGATIVE_INFINITY;

  /**
   * A KeepAlive was accepted.
   *
   * @param roundTripMs what the transport has measured; 0 for nothing.
   */
  add(timestamp: number, nowMs: number, roundTripMs: number): void {
    this.#last.push(timestamp);
    if (this.#last.length > mostHeartbeats) this.#last.shift();
    if (this.#lastAtMs !== undefined) this.#interval(nowMs - this.#lastAtMs);
    this.#lastAtMs = nowMs;
    if (roundTripMs <= 0) return;
    this.#averageRoundTripMs =
      this.#lastRoundTripMs === 0
        ? roundTripMs
        : this.#averageRoundTripMs + alpha * (roundTripMs - this.#averageRoundTripMs);
    this.#lastRoundTripMs = roundTripMs;
  }

  get timestamps(): readonly number[] {
    return [...this.#last];
  }

  get intervalJitterMs(): number {
    return this.#jitterMs;
  }

  get lastRoundTripMs(): number {
    return this.#lastRoundTripMs;
  }

  get averageRoundTripMs(): number {
    return this.#averageRoundTripMs;
  }

  #interval(ms: number): void {
    if (this.#intervalMs === undefined) {
      this.#intervalMs = ms;
      return;
    }
    this.#jitterMs += alpha * (Math.abs(ms - this.#intervalMs) - this.#jitterMs);
    this.#intervalMs += alpha * (ms - this.#intervalMs);
  }
}
