// When an End with gaps is answered: Data that were sent before it may still be under way.

/** How long these are waited for after End at most, unless the delay is more. */
const mostDelayMs = 2000;

export class EndWait {
  readonly #delayMs: number;
  #newestMs = 0;
  /** When the last End came that has not been answered; undefined without. */
  #endMs: number | undefined = undefined;
  /** Whether Data may still be under way that were sent before End; and whether some came by a way on which that can be. */
  #mayBeOvertaken = true;
  #isUnordered = false;

  /** @param delayMs how long nothing must have come. */
  constructor(delayMs: number) {
    this.#delayMs = delayMs;
  }

  /** Whether an End is to be answered. */
  get isOpen(): boolean {
    return this.#endMs !== undefined;
  }

  /** Something has come. @param ordered whether by a way on which nothing is overtaken. */
  arrived(ordered: boolean, nowMs: number): void {
    this.#newestMs = nowMs;
    if (!ordered) this.#isUnordered = true;
    this.#mayBeOvertaken = this.#isUnordered;
  }

  /** The agent has said End. */
  ended(nowMs: number): void {
    this.#endMs ??= nowMs;
  }

  /** End is answered, or about to be. */
  answered(): void {
    this.#endMs = undefined;
  }

  /** What was missing has been asked for: it may come by another way. */
  asked(): void {
    this.#isUnordered = false;
    this.#mayBeOvertaken = true;
  }

  /** The agent has come back: what was under way before is lost. */
  restart(): void {
    this.#endMs = undefined;
    this.#isUnordered = false;
    this.#mayBeOvertaken = false;
  }

  /** When End is answered. */
  dueMs(nowMs: number): number {
    if (!this.#mayBeOvertaken || this.#endMs === undefined) return nowMs;
    const quietMs = Math.max(this.#endMs, this.#newestMs) + this.#delayMs;
    return Math.min(quietMs, this.#endMs + Math.max(this.#delayMs, mostDelayMs));
  }
}
