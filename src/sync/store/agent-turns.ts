// What is done for the same agent, one after the other.

/** However much one agent asks for at a time, others wait for no more than one piece of its work. */
export class AgentTurns {
  /** The last of each agent that has any; none of them rejects. */
  readonly #last = new Map<string, Promise<void>>();

  /** Does it when what came before it for the same agent is over, however that ended. @returns what `work` returns. */
  async run<T>(agent: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(agent);
    const result = before === undefined ? work() : before.then(work);
    const over = settled(result);
    this.#last.set(agent, over);
    try {
      return await result;
    } finally {
      if (this.#last.get(agent) === over) this.#last.delete(agent);
    }
  }

  /** Resolves when everything is over that has come so far. */
  async over(): Promise<void> {
    await Promise.all(this.#last.values());
  }
}

/** For those who wait only until it is over: how it ended is told to whom it belongs. */
export async function settled(result: Promise<unknown>): Promise<void> {
  await result.catch(() => undefined);
}
