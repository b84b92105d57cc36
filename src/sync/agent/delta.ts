// A DELTA: what waits in the queue, in as many sessions as its snapshots take, one after the other.

import type { Snapshot, SnapshotLimits, SyncQueue } from '../queue/queue.js';
import type { StartOption } from '../wire/messages.js';
import type { Conductor } from './conductor.js';
import { StaleTries } from './generations.js';
import { failure, isRefusal, nothing, type SessionOutcome } from './outcomes.js';
import { emptyPlan, snapshotPlan } from './plans.js';
import type { Log } from './results.js';
import type { AgentRun } from './run.js';

/** What a DELTA works with. */
export interface DeltaSetup {
  readonly run: AgentRun;
  readonly conductor: Conductor;
  readonly queue: SyncQueue;
  readonly option: StartOption;
  readonly bounds: SnapshotBounds;
  /** Told of a failure of the queue that changes nothing in how the session ended. */
  readonly queueFailed: (error: unknown) => void;
  readonly log: Log;
}

/** How much the snapshots of an agent may have: less after each that its manager refused for having too much. */
export class SnapshotBounds {
  #limits: SnapshotLimits = {};
  /** While an item is looked for that the connection does not take. */
  #narrowItems: number | undefined;

  get limits(): SnapshotLimits {
    const items = this.#narrowItems;
    return items === undefined
      ? this.#limits
      : { ...this.#limits, items: Math.min(items, this.#limits.items ?? items) };
  }

  narrow({ size }: Snapshot): void {
    this.#narrowItems = Math.floor(size / 2);
  }

  widen(): void {
    this.#narrowItems = undefined;
  }

  /** @returns whether less may be told now than what was refused. */
  lower({ size, bytes }: Snapshot, outcome: SessionOutcome): boolean {
    if (outcome.kind !== 'failed' || outcome.reason !== 'Refused' || size === 1) return false;
    const { managerReason } = outcome;
    if (managerReason === 'TooManyItems') this.#limits = { ...this.#limits, items: Math.floor(size / 2) };
    else if (managerReason === 'TooManyBytes')
      this.#limits = { ...this.#limits, bytes: Math.ceil(bytes / 2) };
    else return false;
    return true;
  }
}

/**
 * Tells everything that waits now; what comes meanwhile goes along where there is room, and else with the next DELTA.
 *
 * @throws (rejects) what the queue throws.
 */
export async function tellDifferences(setup: DeltaSetup): Promise<SessionOutcome> {
  const { run, queue, bounds } = setup;
  bounds.widen();
  const { pending, syncing } = queue.counts;
  const waiting = pending + syncing;
  do {
    const outcome = await tellSnapshot(setup, waiting);
    if (outcome === undefined) return nothing;
    if (outcome.kind !== 'ok') return outcome;
    if (run.isInterrupted() && run.toldItems < waiting) return run.interrupted();
  } while (run.toldItems < waiting);
  return nothing;
}

/** @returns undefined when nothing waits. */
async function tellSnapshot(setup: DeltaSetup, waiting: number): Promise<SessionOutcome | undefined> {
  const { run, conductor, queue, option, bounds } = setup;
  for (const tries = new StaleTries(); ; ) {
    const snapshot = await queue.fetchAndMarkForSync(bounds.limits);
    if (snapshot === undefined) return undefined;
    const left = waiting - run.toldItems - snapshot.size;
    run.laterItems = Math.max(0, Math.min(left, queue.counts.pending));
    let hasBegun = false;
    const outcome = await conductor.conduct(run, {
      ...emptyPlan('DELTA'),
      ...snapshotPlan(snapshot),
      option,
      nonce: snapshot.nonce,
      generation: snapshot.generation,
      beforeData: () => {
        hasBegun = true;
        return queue.markSent(snapshot);
      },
    });
    // Of which item is not said: with ever fewer it is found.
    const isTooLong = hasBegun && outcome.kind === 'failed' && outcome.reason === 'TooLong';
    if (isTooLong && snapshot.size === 1) {
      await park(setup, snapshot, outcome.message);
      continue;
    }
    const isSettled = await settle(setup, snapshot, outcome);
    // It would be told again and again.
    if (outcome.kind === 'ok' && !isSettled && left > 0) {
      return failure('QueueFailed', 'the queue keeps what the manager has');
    }
    if (isTooLong && isSettled) {
      bounds.narrow(snapshot);
      continue;
    }
    if (isSettled && bounds.lower(snapshot, outcome)) continue;
    if (outcome.kind !== 'stale') return outcome;
    await queue.raiseGeneration(outcome.generation);
    if (!tries.again(outcome.generation)) return outcome;
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

/** The one item of a snapshot is to block nothing, as the connection carries no message with it. */
async function park({ queue, bounds, log }: DeltaSetup, snapshot: Snapshot, why: string): Promise<void> {
  let what = '';
  for (const item of snapshot.items()) {
    if (item.kind !== 'clean') what = `the document ${item.id} of the index ${item.index}`;
  }
  await queue.park(snapshot);
  bounds.widen();
  log('error', 'Queue', `${what} is parked: ${why}`);
}
