// Time for both ends of real sockets in one process, which no load of the machine can hurry.

import { VirtualClock } from '../../src/testing/virtual-clock.js';

/**
 * A millisecond passes with a turn of the event loop, and none while this process stands still. What the two ends have to say to each other
 * takes them a few turns, so that no time of theirs is over before it is said, however long a turn takes.
 */
export class TurnTime {
  #nowMs = 0;
  readonly clock: VirtualClock = new VirtualClock(() => this.#nowMs, 1_700_000_000_000);
  readonly #turns = setInterval(() => {
    this.#nowMs += 1;
    this.clock.runDue();
  }, 1);

  close(): Promise<void> {
    clearInterval(this.#turns);
    return Promise.resolve();
  }
}
