// The states of the source document, and one of ours.

/**
 * As drawn in the source document; a session that is in `IDLE` is over. `ROLLING_BACK` is ours: the rotation of one side failed, and the
 * other returns to the old key.
 */
export const sessionStates = [
  'IDLE',
  'NOTIFIED',
  'ACKNOWLEDGED',
  'CONFIRMED',
  'ROTATING',
  'PENDING_DONE',
  'CLEANUP_STATUS_CHECKING',
  'ROLLING_BACK',
] as const;

/** One of `sessionStates`. */
export type SessionState = (typeof sessionStates)[number];

/**
 * How a session ended. `completed`: both sides use the new key and the old one is gone from both. `kept`: the same, but old keys remain where they
 * could not be deleted. `unacknowledged`: the same, but the end of the other side's cleanup was not heard of in time. `aborted`: both sides
 * use the old key. `rolled_back`: the same, after one side had rotated.
 */
export type SessionOutcome = 'completed' | 'kept' | 'unacknowledged' | 'aborted' | 'rolled_back';
