// Time that moves when a test says so, without a network.

import { TimingWheel } from '../../src/base/timing-wheel.js';
import { VirtualClock } from '../../src/testing/virtual-clock.js';

export class VirtualTime {
  nowMs = 0;
  readonly clock = new VirtualClock(() => this.nowMs, 0);
  readonly wheel = new TimingWheel(this.clock);

  /** Makes every call that is due until then, each at its time. */
  runTo(atMs: number): void {
    while (this.clock.nextDueMs <= atMs) {
      this.nowMs = Math.max(this.nowMs, this.clock.nextDueMs);
      this.clock.runDue();
    }
    this.nowMs = atMs;
  }

  /** As `runTo`, with all that promises plan on the way. */
  async passTo(atMs: number): Promise<void> {
    await settled();
    while (this.clock.nextDueMs <= atMs) {
      this.runTo(this.clock.nextDueMs);
      await settled();
    }
    this.runTo(atMs);
    await settled();
  }
}

/** Once everything that promises have planned has run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
