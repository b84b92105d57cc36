// Round trips as a histogram, and the percentiles that are shown of it.

import { createHistogram } from 'node:perf_hooks';

/** Percentiles in microseconds; all 0 when nothing was recorded. */
export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

/** Beyond a minute a round trip counts as a minute. */
const highestMicros = 60_000_000;

/** A log-linear histogram (HDR) with three significant figures. */
export class LatencyHistogram {
  readonly #histogram = createHistogram({ lowest: 1, highest: highestMicros, figures: 3 });

  record(micros: number): void {
    this.#histogram.record(Math.min(highestMicros, Math.max(1, Math.round(micros))));
  }

  get count(): number {
    return this.#histogram.count;
  }

  get meanMicros(): number {
    return this.count === 0 ? 0 : this.#histogram.mean;
  }

  get deviationMicros(): number {
    return this.count === 0 ? 0 : this.#histogram.stddev;
  }

  get minMicros(): number {
    return this.count === 0 ? 0 : this.#histogram.min;
  }

  latency(): Latency {
    if (this.count === 0) return { p50: 0, p90: 0, p99: 0, max: 0 };
    const histogram = this.#histogram;
    return {
      p50: histogram.percentile(50),
      p90: histogram.percentile(90),
      p99: histogram.percentile(99),
      max: histogram.max,
    };
  }

  reset(): void {
    this.#histogram.reset();
  }
}
