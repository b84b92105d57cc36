// A FULL: what is in memory, in place of all that the manager has of these indices (source document, "In-Memory Recovery Mode").

import type { SyncQueue } from '../queue/queue.js';
import type { StartOption } from '../wire/messages.js';
import type { Conductor } from './conductor.js';
import { conductAnew, type Generations } from './generations.js';
import type { AgentMemory } from './memory.js';
import { nothing, type SessionOutcome } from './outcomes.js';
import { emptyPlan, snapshotPlan } from './plans.js';
import type { SyncFailure } from './results.js';
import type { AgentRun } from './run.js';

/** What a FULL works with. */
export interface FullSetup {
  readonly run: AgentRun;
  readonly conductor: Conductor;
  readonly generations: Generations;
  readonly memory: AgentMemory;
  readonly queue: SyncQueue | undefined;
  readonly option: StartOption;
  /** Told of a failure of the queue that changes nothing in how the session ended. */
  readonly queueFailed: (error: unknown) => void;
}

/**
 * Tells everything that is in memory now. What comes meanwhile stays there for the next one.
 *
 * @throws (rejects) what the queue throws before anything has left.
 */
export async function tellMemory(setup: FullSetup): Promise<SessionOutcome> {
  const { run, conductor, generations, memory, queue, option } = setup;
  const snapshot = memory.snapshot();
  if (snapshot.size === 0) return nothing;
  const outcome = await conductAnew(conductor, generations, run, {
    ...emptyPlan('FULL'),
    ...snapshotPlan(snapshot),
    option,
    beforeData: async () => queue?.beginFull(),
  });
  if (isOver(outcome)) await endFull(setup);
  if (outcome.kind === 'ok') memory.remove(snapshot);
  return outcome;
}

/** After which the manager applies nothing of the session: it has said so, or cannot have all of it. */
const final: readonly SyncFailure[] = ['Refused', 'ChecksumMismatch', 'SessionLost', 'TooLong'];

/** Whether nothing of the session can be applied any more. Of every other the manager may have all, and apply it yet. */
function isOver(outcome: SessionOutcome): boolean {
  return outcome.kind === 'ok' || (outcome.kind === 'failed' && final.includes(outcome.reason));
}

/** Until then the queue takes no row for one that the manager has not heard of. When it fails, it goes on doing so. */
async function endFull({ queue, queueFailed }: FullSetup): Promise<void> {
  try {
    await queue?.endFull();
  } catch (error) {
    queueFailed(error);
  }
}
