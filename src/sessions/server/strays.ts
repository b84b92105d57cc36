// Sessions that the store gives to this gateway, which does not have them: a create or a claim that was given up has been carried out late.

import { setMaxListeners } from 'node:events';
import { Allowance } from '../../base/allowance.js';
import type { OwnerRecord } from '../store/records.js';
import type { FoundOwner } from './ownership.js';
import type { ServerContext } from './server-context.js';
import { isUnavailable, retryWhileUnavailable } from './store-retry.js';

/** So many are read at a time. */
const mostAtOnce = 64;

/**
 * Takes them, so that they expire unless a client continues them: nobody else would look after sessions whose gateway lives. What a store answers
 * late, or not at all, it may still carry out, also when everything that waited for it has been given up.
 */
export class Strays {
  readonly #context: ServerContext;
  readonly #allowance = new Allowance(mostAtOnce);
  readonly #stop = new AbortController();

  constructor(context: ServerContext) {
    this.#context = context;
    setMaxListeners(mostAtOnce, this.#stop.signal);
  }

  close(): void {
    this.#stop.abort();
  }

  /** An owner record of a session that is not here. What was told may be past: the store is asked. */
  noticed(id: string, owner: OwnerRecord): void {
    const { removals, standing } = this.#context;
    if (!standing.isCurrent(owner)) return;
    if (removals.has(id)) removals.lookAfter(id);
    else if (this.#isStray(id, owner)) this.look(id);
  }

  /** Whether there is one of that id. */
  look(id: string): void {
    const { settings, ownership, queue, storeFailed } = this.#context;
    const { signal } = this.#stop;
    const read = (): Promise<FoundOwner | undefined> =>
      retryWhileUnavailable(settings, signal, () => ownership.read(id));
    this.#allowance
      .spend(1, async () => (signal.aborted ? undefined : await read()))
      .then(
        (found) => queue.enqueue(() => this.#found(id, found)),
        (error: unknown) => {
          if (!isUnavailable(error) && !signal.aborted) storeFailed(error);
        },
      );
  }

  #found(id: string, found: FoundOwner | undefined): void {
    if (found === undefined || !this.#isStray(id, found.owner)) return;
    this.#context.lifecycle.begin(id, found.owner, found.ownerRevision);
  }

  #isStray(id: string, owner: OwnerRecord): boolean {
    const { creates, ownership, removals, standing, table } = this.#context;
    if (this.#stop.signal.aborted || standing.isFollower || !standing.isCurrent(owner)) return false;
    return table.get(id) === undefined && !removals.has(id) && !creates.has(id) && !ownership.isClaimed(id);
  }
}
