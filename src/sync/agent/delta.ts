// A DELTA: what waits in the queue, in as many sessions as its snapshots take, one after the other.

import type { Snapshot, SyncQueue } from '../queue/queue.js';
import type { StartOption } from '../wire/messages.js';
import type { Conductor } from './conductor.js';
import { failure, isRefusal, nothing, type SessionOutcome } from './outcomes.js';
import { emptyPlan, snapshotPlan } from './plans.js';
import type { AgentRun } from './run.js';

/** What a DELTA works with. */
export interface DeltaSetup {
  readonly run: AgentRun;
  readonly conductor: Conductor;
  readonly queue: SyncQueue;
  readonly option: StartOption;
  /** Told of a failure of the queue that changes nothing in how the session ended. */
  readonly queueFailed: (error: unknown) => void;
}

/**
 * Tells everything that waits now; what comes meanwhile goes along where there is room, and else with the next DELTA.
 *
 * @throws (rejects) what the queue throws.
 */
export async function tellDifferences(setup: DeltaSetup): Promise<SessionOutcome> {
  const { run, queue } = setup;
  const { pending, syncing } = queue.counts;
  const waiting = pending + syncing;
  do {
    const outcome = await tellSnapshot(setup, waiting);
    if (outcome === undefined) return nothing;
    if (outcome.kind !== 'ok') return withAdvice(outcome);
    if (run.isInterrupted() && run.toldItems < waiting) return run.interrupted();
  } while (run.toldItems < waiting);
  return nothing;
}

/** @returns undefined when nothing waits. */
async function tellSnapshot(setup: DeltaSetup, waiting: number): Promise<SessionOutcome | undefined> {
  const { run, conductor, queue, option } = setup;
  for (let again = false; ; again = true) {
    const snapshot = await queue.fetchAndMarkForSync();
    if (snapshot === undefined) return undefined;
    const left = waiting - run.toldItems - snapshot.size;
    run.laterItems = Math.max(0, Math.min(left, queue.counts.pending));
    const outcome = await conductor.conduct(run, {
      ...emptyPlan('DELTA'),
      ...snapshotPlan(snapshot),
      option,
      nonce: snapshot.nonce,
      generation: snapshot.generation,
      beforeData: () => queue.markSent(snapshot),
    });
    const isSettled = await settle(setup, snapshot, outcome);
    // It would be told again and again.
    if (outcome.kind === 'ok' && !isSettled && left > 0) {
      return failure('QueueFailed', 'the queue keeps what the manager has');
    }
    if (outcome.kind !== 'stale' || again) return outcome;
    await queue.raiseGeneration(outcome.generation);
  }
}

/** What becomes of the snapshot: one that was not refused stays, and is gone on with. @returns whether the queue has done so. */
async function settle(
  { queue, queueFailed }: DeltaSetup,
  snapshot: Snapshot,
  outcome: SessionOutcome,
): Promise<boolean> {
  try {
    if (outcome.kind === 'ok') await queue.clearSyncedItems(snapshot);
    else if (outcome.kind === 'stale' || isRefusal(outcome)) await queue.resetSyncingItems(snapshot);
    return true;
  } catch (error) {
    // What the manager has it has; the snapshot that is still there is told once more, and found to be there.
    queueFailed(error);
    return false;
  }
}

/** What there is to do where the manager takes no snapshot as great as that. */
function withAdvice(outcome: SessionOutcome): SessionOutcome {
  const isTooMuch =
    outcome.kind === 'failed' &&
    outcome.reason === 'Refused' &&
    (outcome.managerReason === 'TooManyItems' || outcome.managerReason === 'TooManyBytes');
  if (!isTooMuch) return outcome;
  return { ...outcome, message: `${outcome.message}; open the queue with fewer snapshotItems` };
}
