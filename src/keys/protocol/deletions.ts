// What came of deleting keys at the device, for both roles.

import type { Session } from './session.js';
import type { Operation, OperationResult } from './steps.js';
import { type Context, changed, type Transition, unchanged } from './transition.js';

/** Keys that the device forgot, and those that it did not. */
export interface Deletion {
  readonly deleted: readonly string[];
  readonly failed: readonly string[];
}

/** @param operation the call to the device. */
export function deletionOf(operation: Operation, result: OperationResult): Deletion {
  const asked = operation.type === 'deleteKeys' ? operation.keyIds : [];
  const failed = new Set(result.ok ? (result.failedKeyIds ?? []) : asked);
  return {
    deleted: asked.filter((keyId) => !failed.has(keyId)),
    failed: asked.filter((keyId) => failed.has(keyId)),
  };
}

/** Of the keys that a device has forgotten: those whose material goes too. What is available may be used again. */
export function removable(deleted: readonly string[], { keys }: Context): readonly string[] {
  return deleted.filter((keyId) => {
    const status = keys.key(keyId)?.status;
    return status === 'rolled' || status === 'revoked';
  });
}

/**
 * What a session left that is over. Asked of the device until it is done, with pauses: a key that nobody uses harms nobody, but is not to
 * stay for ever.
 */
export function afterwork(
  session: Session,
  operation: Operation,
  result: OperationResult,
  context: Context,
): Transition {
  const { deleted } = deletionOf(operation, result);
  if (deleted.length === 0) return unchanged(session);
  const deleting = session.deleting.filter((keyId) => !deleted.includes(keyId));
  return {
    session: changed(session, { deleting }, context),
    remove: removable(deleted, context),
    cause: 'device',
  };
}
