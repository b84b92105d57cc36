// Work that must not overlap, by names.

/** Runs work one piece after the other where it has a name in common, in the order of the calls. */
export class NamedLocks {
  /** By name: settled when whoever asked for it last is through. */
  readonly #last = new Map<string, Promise<void>>();

  /**
   * All names are asked for at the same time, so that no two pieces of work wait for one another.
   *
   * @param names different ones; none: it waits for nothing.
   * @returns what `work` returns.
   */
  async run<T>(names: readonly string[], work: () => Promise<T>): Promise<T> {
    if (names.length === 0) return work();
    let release = (): void => undefined;
    const through = new Promise<void>((resolve) => {
      release = resolve;
    });
    const before = names.map((name) => this.#last.get(name));
    for (const name of names) this.#last.set(name, through);
    await Promise.all(before);
    try {
      return await work();
    } finally {
      release();
      for (const name of names) {
        if (this.#last.get(name) === through) this.#last.delete(name);
      }
    }
  }
}
