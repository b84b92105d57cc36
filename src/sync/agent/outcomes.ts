// How the sessions of an agent end, and what its callers hear of that.

import type { Reason } from '../wire/messages.js';
import type { SyncFailure } from './results.js';

/** Who ends a session from outside. */
export type Interruption = 'stopped' | 'disconnected';

/** How a session ended. */
export type SessionOutcome =
  | { readonly kind: 'ok'; readonly rejected: number }
  | {
      readonly kind: 'failed';
      readonly reason: SyncFailure;
      readonly managerReason: Reason;
      /** For people. */
      readonly message: string;
    }
  /** Start is to be sent again, after a while. */
  | { readonly kind: 'postponed'; readonly retryAfterMs: number; readonly reason: Reason }
  /** The manager does not know the session any more. */
  | { readonly kind: 'lost'; readonly reason: Reason }
  /** The manager has seen that generation of the module. */
  | { readonly kind: 'stale'; readonly generation: bigint }
  | { readonly kind: 'interrupted'; readonly by: Interruption };

/** Of a sync that has nothing to tell, or nothing more. */
export const nothing: SessionOutcome = { kind: 'ok', rejected: 0 };

export type Failure = Extract<SessionOutcome, { readonly kind: 'failed' }>;

export function failure(
  reason: SyncFailure,
  message: string,
  managerReason: Failure['managerReason'] = 'None',
): Failure {
  return { kind: 'failed', reason, message, managerReason };
}

/** What is told of an outcome that is no success; undefined where it was stopped. */
export function failureOf(outcome: SessionOutcome): Failure | undefined {
  switch (outcome.kind) {
    case 'failed':
      return outcome;
    case 'stale':
      return failure('StaleGeneration', 'the manager has seen later data of this module', 'StaleGeneration');
    case 'interrupted':
      return outcome.by === 'disconnected' ? failure('Disconnected', 'the connection was lost') : undefined;
    default:
      return undefined;
  }
}

const notReady: readonly SyncFailure[] = [
  'NotConnected',
  'Disconnected',
  'StartTimeout',
  'EndTimeout',
  'Offline',
];

/** Whether another time it may go better, with nothing changed. */
export function isNotReady({ reason }: Failure): boolean {
  return notReady.includes(reason);
}

/** After which the items may be told by the same session: nothing was refused, or nothing has left. */
const unrefused: readonly SyncFailure[] = [
  'StartTimeout',
  'EndTimeout',
  'Offline',
  'InvalidStart',
  'SendFailed',
];

/** Whether the session is over for good, and its items are to be told by another. */
export function isRefusal(outcome: SessionOutcome): boolean {
  return outcome.kind === 'failed' && !unrefused.includes(outcome.reason);
}

/** What is said of something that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
