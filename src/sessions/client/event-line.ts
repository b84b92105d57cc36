// Events that are told one after the other.

import { guard, type ListenerErrorTarget } from '../../base/isolate.js';

/**
 * Tells listeners in the order in which things came about, also when a listener brings the next one about: all of them hear the first before any
 * of them hears the second. One that throws does not keep the others from theirs.
 */
export class EventLine {
  readonly #target: ListenerErrorTarget;
  readonly #waiting: { readonly source: string; readonly run: () => unknown }[] = [];
  #isHeld = false;

  constructor(target: ListenerErrorTarget) {
    this.#target = target;
  }

  /** @param source the event, for `listenerError`. */
  tell(source: string, run: () => unknown): void {
    this.#waiting.push({ source, run });
    this.hold(() => undefined);
  }

  /** Does something during which nothing is told, but right after it: whatever listeners call finds everything done. */
  hold<T>(run: () => T): T {
    if (this.#isHeld) return run();
    this.#isHeld = true;
    try {
      return run();
    } finally {
      for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
        guard(this.#target, next.source, next.run);
      }
      this.#isHeld = false;
    }
  }
}
