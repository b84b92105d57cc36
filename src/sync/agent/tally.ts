// What the syncs of an agent came to: each for its caller, and all together.

import type { SyncAgentStats } from './events.js';
import { failureOf, isNotReady, type SessionOutcome } from './outcomes.js';
import type { Log, SyncResult } from './results.js';
import type { AgentRun } from './run.js';

/** So many failures in a row are borne before the log warns. */
const toleratedFailures = 3;

export class SyncTally {
  readonly #log: Log;
  readonly #stats = {
    syncs: 0,
    succeeded: 0,
    failed: 0,
    items: 0,
    bytes: 0,
    retransmitted: 0,
    unexpected: 0,
  };
  #consecutiveFailures = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  get stats(): SyncAgentStats {
    return { ...this.#stats };
  }

  get consecutiveFailures(): number {
    return this.#consecutiveFailures;
  }

  /** The manager has sent what has no place. */
  unexpected(): void {
    ++this.#stats.unexpected;
  }

  /** A sync has ended. What `stop` ended is neither a success nor a failure; nor is one for which no Start was sent. */
  count(run: AgentRun, outcome: SessionOutcome): void {
    const stats = this.#stats;
    stats.bytes += run.sent.bytes;
    stats.retransmitted += run.sent.retransmitted;
    stats.items += run.toldItems;
    if (!run.startSent) return;
    ++stats.syncs;
    if (outcome.kind === 'ok') {
      ++stats.succeeded;
      this.#consecutiveFailures = 0;
    } else if (outcome.kind !== 'interrupted' || outcome.by !== 'stopped') {
      ++stats.failed;
      ++this.#consecutiveFailures;
    }
  }

  /** What a caller hears; the log does, too, when it is a failure. @param run undefined when nothing was begun. */
  result(outcome: SessionOutcome, run?: AgentRun): SyncResult {
    const failed = failureOf(outcome);
    if (failed !== undefined) {
      const level = this.#consecutiveFailures > toleratedFailures ? 'warning' : 'info';
      this.#log(level, 'Failed', `the sync failed: ${failed.message}`);
    }
    const { bytes = 0, retransmitted = 0, retransmittedBytes = 0 } = run?.sent ?? {};
    return {
      success: outcome.kind === 'ok',
      failureReason: failed?.message ?? '',
      reason: failed?.reason,
      managerReason: failed?.managerReason ?? 'None',
      stopped: outcome.kind === 'interrupted' && outcome.by === 'stopped',
      managerNotReady: failed !== undefined && isNotReady(failed),
      consecutiveFailures: this.#consecutiveFailures,
      items: run?.size ?? 0,
      toldItems: run?.toldItems ?? 0,
      bytes,
      retransmitted,
      retransmittedBytes,
      rejected: run?.rejected ?? 0,
      skipped: false,
    };
  }
}
