// What is to be closed at the end: the last that was opened first.

/** Closes everything, whatever fails on the way. */
export class Closers {
  readonly #closers: (() => void | Promise<void>)[] = [];
  #isClosed = false;
  readonly #failed: (error: unknown) => void;

  /** @param failed told of what could not be closed. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** What is opened while everything is being closed is closed, too. */
  add(close: () => void | Promise<void>): void {
    this.#closers.push(close);
    if (this.#isClosed) void this.close();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (let close = this.#closers.pop(); close !== undefined; close = this.#closers.pop()) {
      try {
        await close();
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}
