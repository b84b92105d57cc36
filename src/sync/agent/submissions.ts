// The differences of an agent on their way into its queue, in the order in which they came.

import type { Difference, SyncQueue } from '../queue/queue.js';

const ignore = (): void => undefined;

export class Submissions {
  /** The last of those that wait for their turn; undefined when none does. */
  #last: Promise<void> | undefined;

  /**
   * Submits them once those before them are on their way.
   *
   * @param isTold whether a FULL may tell a document that they delete: then the queue must not take it for one that nobody has heard of.
   * @throws (rejects) as `SyncQueue.submit`.
   */
  async submit(queue: SyncQueue, differences: readonly Difference[], isTold: boolean): Promise<void> {
    const marks = isTold && hasDelete(differences);
    if (!marks && this.#last === undefined) await queue.submit(differences);
    else await this.#submitInTurn(queue, differences, marks);
  }

  /** Differences keep the order in which they came, also behind one for which something has to be marked first. */
  async #submitInTurn(queue: SyncQueue, differences: readonly Difference[], marks: boolean): Promise<void> {
    const before = this.#last ?? Promise.resolve();
    const turn = before.then(async () => {
      if (marks) await queue.markKnown();
      return { submitted: queue.submit(differences) };
    });
    const over = turn.then(ignore, ignore);
    this.#last = over;
    try {
      const { submitted } = await turn;
      await submitted;
    } finally {
      if (this.#last === over) this.#last = undefined;
    }
  }
}

/** The same, of documents that a FULL may just have told: none of them is one that nobody has heard of. */
export function asKnown(differences: readonly Difference[]): readonly Difference[] {
  if (!Array.isArray(differences)) return differences;
  return differences.map((each: Difference) =>
    each?.operation === 'CREATE' ? { ...each, operation: 'MODIFY' } : each,
  );
}

/** The queue has yet to look at them. */
function hasDelete(differences: readonly Difference[]): boolean {
  return Array.isArray(differences) && differences.some((each) => each?.operation === 'DELETE');
}
