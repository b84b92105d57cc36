// What a view shows of the process: CPU time, memory, and how long the event loop stood still.

import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { unhandledListenerErrors } from '../../base/isolate.js';
import type { ProcessSnapshot } from '../snapshot.js';

/** How often the event loop is asked for a sign of life. */
const resolutionMs = 20;
/** Several who look do not take each other's numbers away. */
const windowMs = 900;

type LoopDelay = ProcessSnapshot['loopDelayMs'];

export class ProcessView implements Disposable {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: resolutionMs });
  #last: LoopDelay = { p50: 0, p99: 0, max: 0 };
  #readMs = Number.NEGATIVE_INFINITY;

  constructor() {
    this.#histogram.enable();
  }

  snapshot(): ProcessSnapshot {
    const { user, system } = process.cpuUsage();
    const { rss, heapUsed } = process.memoryUsage();
    return {
      cpuMicros: user + system,
      rssBytes: rss,
      heapUsedBytes: heapUsed,
      unhandledListenerErrors: unhandledListenerErrors(),
      loopDelayMs: this.#loopDelay(),
    };
  }

  [Symbol.dispose](): void {
    this.#histogram.disable();
  }

  #loopDelay(): LoopDelay {
    const nowMs = performance.now();
    if (nowMs - this.#readMs < windowMs || this.#histogram.count === 0) return this.#last;
    this.#readMs = nowMs;
    this.#last = {
      p50: delayOf(this.#histogram.percentile(50)),
      p99: delayOf(this.#histogram.percentile(99)),
      max: delayOf(this.#histogram.max),
    };
    this.#histogram.reset();
    return this.#last;
  }
}

/** What is seen is the time between two signs, which are planned so far apart. */
function delayOf(nanoseconds: number): number {
  return Math.max(0, Math.round((nanoseconds / 1e6 - resolutionMs) * 100) / 100);
}
