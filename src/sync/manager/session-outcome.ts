// How sessions end on a manager, and what is said of it.

import { HawserError } from '../../base/errors.js';
import type { CommittedSession, StoredSession } from '../store/store.js';
import type { Reason, Status } from '../wire/messages.js';

/** How a session ended. */
export interface SessionOutcome {
  readonly status: Status;
  readonly reason: Reason;
  readonly rejected: number;
  /** Of Offline; 0 for not said. */
  readonly retryAfterMs: number;
}

/** What an agent is told of a failure of the store. */
export function reasonOf(error: unknown): 'StoreFull' | 'StoreFailed' {
  const isFull =
    error instanceof HawserError &&
    (error.code === 'ERR_HAWSER_STORE_FULL' || error.code === 'ERR_HAWSER_DISK_FULL');
  return isFull ? 'StoreFull' : 'StoreFailed';
}

/** Whether a failure of the store is that an agent has its share of it. */
export function isQuota(error: unknown): boolean {
  return error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_QUOTA';
}

/** What people are told of it. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Whether a later session of the same agent and module has been applied: one never takes back what a later one has told. */
export function isStale(
  { nonce, generation }: StoredSession,
  committed: CommittedSession | undefined,
): boolean {
  if (committed === undefined || generation === 0n) return false;
  return generation <= committed.generation && nonce !== committed.nonce;
}
