// Many peers that have something to do at once share the turns of the event loop.

import { Fifo } from '../../base/fifo.js';

/** A step signs or checks a message or two: so many take a few milliseconds. */
const stepsPerTurn = 32;

/** Lets so many steps begin in one turn, in the order in which they were asked for. Counts rather than measures: tests repeat exactly. */
export class StepTurns {
  #begun = 0;
  #planned = false;
  readonly #waiting = new Fifo<() => void>();

  /** @returns undefined when the step may begin at once, otherwise what resolves when it may. */
  begin(): Promise<void> | undefined {
    this.#plan();
    if (this.#begun < stepsPerTurn && this.#waiting.size === 0) {
      ++this.#begun;
      return undefined;
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #plan(): void {
    if (this.#planned) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      this.#begun = 0;
      if (this.#waiting.size > 0) this.#plan();
      for (; this.#begun < stepsPerTurn; ++this.#begun) {
        const next = this.#waiting.shift();
        if (next === undefined) return;
        next();
      }
    });
  }
}
