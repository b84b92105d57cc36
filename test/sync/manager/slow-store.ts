// A store in memory whose disk takes its time: what is staged is written at a pace, in virtual time.

import type { Clock } from '../../../src/base/clock.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import type { StoredSession } from '../../../src/sync/store/store.js';

const stepMs = 10;

export class SlowStore extends MemoryStore {
  readonly #clock: Clock;
  readonly #bytesPerStep: number;
  #unwritten = 0;
  #isWriting = false;
  /** The most that ever waited. */
  peakBytes = 0;

  /** @param bytesPerSecond 0 for a disk that takes nothing. */
  constructor(clock: Clock, bytesPerSecond: number) {
    super();
    this.#clock = clock;
    this.#bytesPerStep = (bytesPerSecond * stepMs) / 1000;
  }

  override get unwrittenBytes(): number {
    return this.#unwritten;
  }

  override stage(session: StoredSession, message: Uint8Array): void {
    super.stage(session, message);
    this.#unwritten += message.length;
    this.peakBytes = Math.max(this.peakBytes, this.#unwritten);
    if (!this.#isWriting && this.#bytesPerStep > 0) void this.#write();
  }

  override async staged(session: StoredSession): Promise<void> {
    while (this.#unwritten > 0) await this.#sleep();
    await super.staged(session);
  }

  async #write(): Promise<void> {
    this.#isWriting = true;
    while (this.#unwritten > 0) {
      await this.#sleep();
      this.#unwritten = Math.max(0, this.#unwritten - this.#bytesPerStep);
    }
    this.#isWriting = false;
  }

  #sleep(): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.setTimeout(resolve, stepMs);
    });
  }
}
