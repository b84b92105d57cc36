// In which order sessions are applied: those of one (agent, module) one after the other, as they were added; few at a time of all, and one of
// each agent: stores apply those of an agent one after the other, and whoever brings many at once would take the turns of others.

/**
 * Applies one session, or tries to.
 *
 * @returns whether it is over; false when it has to be tried again, and what is behind it waits. It must not reject.
 */
export type Commit = () => Promise<boolean>;

/** The sessions of one (agent, module) that are complete. */
interface Lane {
  readonly key: string;
  readonly agent: string;
  readonly commits: Commit[];
  /** - `ready`: waits for its turn. - `running`. - `stalled`: the first one has to be tried again. */
  state: 'ready' | 'running' | 'stalled';
}

/** What is complete and has not been applied. */
export class CommitQueue {
  readonly #maxAtATime: number;
  readonly #lanes = new Map<string, Lane>();
  /** Lanes in the state `ready`, in the order of their turns. */
  readonly #ready: Lane[] = [];
  /** Agents of whom something is being applied. */
  readonly #agents = new Set<string>();
  #stopped = false;
  #stopping: (() => void)[] = [];

  /** @param maxAtATime how many are applied at a time, of different keys. */
  constructor(maxAtATime: number) {
    this.#maxAtATime = maxAtATime;
  }

  /** How many are being applied. */
  get running(): number {
    return this.#agents.size;
  }

  /** Applies a session after those that were added before it with the same key. */
  add(agent: string, key: string, commit: Commit): void {
    const lane = this.#lanes.get(key);
    if (lane !== undefined) {
      lane.commits.push(commit);
      return;
    }
    const made: Lane = { key, agent, commits: [commit], state: 'ready' };
    this.#lanes.set(key, made);
    this.#ready.push(made);
    this.#run();
  }

  /** Tries again what has failed. Harmless where nothing has. */
  retry(key: string): void {
    const lane = this.#lanes.get(key);
    if (lane?.state !== 'stalled') return;
    lane.state = 'ready';
    this.#ready.push(lane);
    this.#run();
  }

  /** Begins nothing more. Resolves when what is being applied is through. */
  stop(): Promise<void> {
    this.#stopped = true;
    return new Promise((resolve) => {
      if (this.running === 0) resolve();
      else this.#stopping.push(resolve);
    });
  }

  #run(): void {
    while (!this.#stopped && this.running < this.#maxAtATime) {
      const next = this.#ready.findIndex(({ agent }) => !this.#agents.has(agent));
      const [lane] = next < 0 ? [] : this.#ready.splice(next, 1);
      if (lane === undefined) return;
      lane.state = 'running';
      this.#agents.add(lane.agent);
      void this.#work(lane);
    }
  }

  async #work(lane: Lane): Promise<void> {
    const [commit] = lane.commits;
    const over = commit === undefined || (await commit());
    this.#agents.delete(lane.agent);
    if (over) lane.commits.shift();
    lane.state = over ? 'ready' : 'stalled';
    if (lane.commits.length === 0) this.#lanes.delete(lane.key);
    else if (over) this.#ready.push(lane);
    if (this.#stopped && this.running === 0) for (const resolve of this.#stopping.splice(0)) resolve();
    this.#run();
  }
}
