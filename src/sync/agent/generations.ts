// The generations of an agent's sessions that send no snapshot: those of its queue, and without one those of the time of day. And what is
// done when the manager has seen a later one.

import type { SyncQueue } from '../queue/queue.js';
import { firstGeneration, newNonce } from '../queue/rows.js';
import type { Conductor } from './conductor.js';
import type { SessionOutcome } from './outcomes.js';
import type { Plan } from './plans.js';
import type { AgentRun } from './run.js';

export class Generations {
  readonly #queue: SyncQueue | undefined;
  readonly #wallNow: () => number;
  /** Without a queue. */
  #last = 0n;

  /** @param wallNow the time of day, in milliseconds since 1970. */
  constructor(queue: SyncQueue | undefined, wallNow: () => number) {
    this.#queue = queue;
    this.#wallNow = wallNow;
  }

  /** One that is greater than all before. */
  async next(): Promise<bigint> {
    if (this.#queue !== undefined) return this.#queue.nextGeneration();
    const first = firstGeneration(this.#wallNow());
    this.#last = first > this.#last ? first : this.#last + 1n;
    return this.#last;
  }

  /** The manager has seen that one: all later ones are greater. */
  async raise(least: bigint): Promise<void> {
    if (this.#queue !== undefined) await this.#queue.raiseGeneration(least);
    else if (least > this.#last) this.#last = least;
  }
}

/** How often one sync begins again because the manager has seen later data. */
export class StaleTries {
  #named = 1;
  #unnamed = 1;

  /**
   * @param generation that the manager has seen; 0 when it did not say, as it cannot in EndAck: it will say when it refuses the next Start.
   * @returns whether to begin again.
   */
  again(generation: bigint): boolean {
    return (generation === 0n ? this.#unnamed-- : this.#named--) > 0;
  }
}

/** For Data that are no snapshot of the queue, in sessions that are never resumed. */
export async function conductAnew(
  conductor: Conductor,
  generations: Generations,
  run: AgentRun,
  plan: Plan,
): Promise<SessionOutcome> {
  for (const tries = new StaleTries(); ; ) {
    const generation = await generations.next();
    const outcome = await conductor.conduct(run, { ...plan, nonce: newNonce(), generation });
    if (outcome.kind !== 'stale') return outcome;
    await generations.raise(outcome.generation);
    if (!tries.again(outcome.generation)) return outcome;
  }
}
