// What was dropped, in one line a second: there may be millions of datagrams behind it.

import type { DropMessage } from '../../transport/diagnostics.js';
import type { Logger } from './logger.js';

const everyMs = 1000;

/** Adds up the messages of `hawser:drop`, which come for each socket and reason. */
export class DropSummary implements Disposable {
  readonly #log: Logger;
  readonly #drops = new Map<string, Map<string, number>>();
  #timer: NodeJS.Timeout | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  add({ address, reason, count }: DropMessage): void {
    const drops = this.#drops.get(address) ?? new Map<string, number>();
    this.#drops.set(address, drops);
    drops.set(reason, (drops.get(reason) ?? 0) + count);
    this.#timer ??= setTimeout(() => this.#tell(), everyMs).unref();
  }

  /** Tells what is left. */
  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#tell();
  }

  #tell(): void {
    this.#timer = undefined;
    for (const [address, drops] of this.#drops) {
      // The most frequent first.
      const sorted = [...drops].sort(([, a], [, b]) => b - a);
      this.#log.info({ listener: address, drops: Object.fromEntries(sorted) }, 'dropped');
    }
    this.#drops.clear();
  }
}
