// Counts what is dropped, by reason.

import type { DropCounts, DropReason } from './status.js';

export class DropCounter {
  readonly #counts = new Map<DropReason, number>();

  count(reason: DropReason): void {
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1);
  }

  get counts(): DropCounts {
    return Object.fromEntries(this.#counts);
  }
}
