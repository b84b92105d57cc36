// What a session server counts.

import type { RejectReason } from '../wire/messages.js';
import type { DropReason, Histogram } from './events.js';

/** Counts observations by upper bounds. */
export class Observations {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds in ascending order; what is above the last one is counted behind it. */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = [...bounds, Number.POSITIVE_INFINITY].map(() => 0);
  }

  add(value: number): void {
    let index = 0;
    while (value > (this.#bounds[index] ?? Number.POSITIVE_INFINITY)) ++index;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  /** As Prometheus counts: each bound with all below it. */
  snapshot(): Histogram {
    let total = 0;
    const counts = this.#counts.map((count) => {
      total += count;
      return total;
    });
    return { bounds: this.#bounds, counts, sum: this.#sum };
  }
}

const skewBoundsMs = [
  -3_600_000, -60_000, -10_000, -1000, -100, 0, 100, 1000, 10_000, 60_000, 3_600_000,
] as const;
const cleanupBoundsMs = [0.1, 0.5, 1, 2, 5, 10, 50] as const;
const roundTripBoundsMs = [1, 5, 10, 25, 50, 100, 250, 500, 1000, 5000] as const;

/** The counts of one server. */
export class Tally {
  created = 0;
  continued = 0;
  claimed = 0;
  expired = 0;
  warnings = 0;
  closed = 0;
  moved = 0;
  keepAlives = 0;
  readonly rejected: Record<RejectReason, number> = {
    NotLeader: 0,
    SessionExpired: 0,
    InvalidCapabilities: 0,
    Other: 0,
  };
  readonly dropped: Record<DropReason, number> = {
    undecodable: 0,
    rateLimited: 0,
    stale: 0,
    skewed: 0,
    unexpected: 0,
    createLimited: 0,
    overloaded: 0,
  };
  readonly skewMs: Observations = new Observations(skewBoundsMs);
  readonly cleanupMs: Observations = new Observations(cleanupBoundsMs);
  readonly roundTripMs: Observations = new Observations(roundTripBoundsMs);
}
