// The master's side of the cleanup (source document, "Cleanup Protocol Flow").

import type { CleanupDeleteResponse, CleanupStatusResponse } from '../wire/messages.js';
import { deletionOf, removable } from './deletions.js';
import { endRotated } from './endings.js';
import { rolledKeyIds } from './key-changes.js';
import { cleanupAcknowledgment, cleanupDeleteRequest, cleanupStatusRequest } from './outgoing.js';
import type { Session } from './session.js';
import type { Operation, OperationResult } from './steps.js';
import { type Context, changed, refuse, type Transition, unchanged } from './transition.js';

/** Step 4: how it looks at the slave. Where all is well, it is asked to delete (step 5). */
export function onStatusResponse(
  session: Session,
  message: CleanupStatusResponse,
  context: Context,
): Transition {
  if (session.state !== 'CLEANUP_STATUS_CHECKING' || session.newKeyId === null)
    return refuse(session, 'bad_state', 'no status was asked for');
  const { awaiting, newKeyId, oldKeyId } = session;
  const isAwaited =
    awaiting?.message_type === 'cleanup_status_request' &&
    message.original_message_id === answeredId(session, awaiting.message_id, context);
  if (!isAwaited) return unchanged(session);
  if (message.status === 'failed') {
    const deleteRounds = session.deleteRounds + 1;
    if (deleteRounds >= context.settings.maxDeleteRounds)
      return deleteHere(session, oldKeyId === null ? [] : [oldKeyId], context);
    // Sent after a while: what is wrong with the device will not be mended at once.
    const again = cleanupStatusRequest(session, newKeyId, context);
    return { session: changed(session, { awaiting: again, deleteRounds }, context) };
  }
  // The original acknowledges at once, and has its slave delete then.
  if (oldKeyId === null || context.settings.wire === 'sae-json') return deleteHere(session, [], context);
  const request = cleanupDeleteRequest(session, newKeyId, [oldKeyId], context);
  return { session: changed(session, { awaiting: request, deleteRounds: 0 }, context), send: [request] };
}

/** Step 9. What could not be deleted is asked for again, and told of in the end. */
export function onDeleteResponse(
  session: Session,
  message: CleanupDeleteResponse,
  context: Context,
): Transition {
  if (session.state !== 'CLEANUP_STATUS_CHECKING' || session.newKeyId === null)
    return refuse(session, 'bad_state', 'no deletion was asked for');
  const { awaiting } = session;
  const isAwaited =
    awaiting?.message_type === 'cleanup_delete_request' &&
    message.original_message_id === answeredId(session, awaiting.message_id, context);
  if (!isAwaited) return unchanged(session);
  const left = awaiting.old_key_ids.filter((keyId) => !message.deleted_key_ids.includes(keyId));
  const deleteRounds = session.deleteRounds + 1;
  if (left.length === 0 || deleteRounds >= context.settings.maxDeleteRounds)
    return deleteHere(session, left, context);
  const again = cleanupDeleteRequest(session, session.newKeyId, left, context);
  return { session: changed(session, { awaiting: again, deleteRounds }, context) };
}

/** Step 10 is done, or could not be. */
export function localDeletion(
  session: Session,
  operation: Operation,
  result: OperationResult,
  context: Context,
): Transition {
  if (session.state !== 'CLEANUP_STATUS_CHECKING') return unchanged(session);
  const { deleted, failed } = deletionOf(operation, result);
  const remove = removable(deleted, context);
  const deviceFailures = session.deviceFailures + 1;
  if (failed.length > 0 && deviceFailures < context.settings.maxDeviceFailures)
    return { session: changed(session, { deleting: failed, deviceFailures }, context), remove };
  return { ...acknowledge(session, [...session.failedKeyIds, ...failed], context), remove };
}

/** The slave has forgotten the session, or ended it by its deadline: the rest is this side's own. */
export function cleanupEnded(session: Session, context: Context): Transition {
  return { session: endRotated(session, 'unacknowledged', context) };
}

/** Step 10: both sides have proved the new key, so that what is rolled may go. @param failedKeyIds what the slave keeps. */
function deleteHere(session: Session, failedKeyIds: readonly string[], context: Context): Transition {
  const deleting = rolledKeyIds(context.keys);
  if (deleting.length === 0) return acknowledge(session, failedKeyIds, context);
  return {
    session: changed(session, { awaiting: null, deleting, failedKeyIds, deviceFailures: 0 }, context),
  };
}

/** Step 11, and the end. A slave that does not hear of it asks again, and is told the same. */
function acknowledge(session: Session, failedKeyIds: readonly string[], context: Context): Transition {
  const failed = [...new Set(failedKeyIds)];
  const outcome = failed.length === 0 ? 'completed' : 'kept';
  const ended = { ...endRotated(session, outcome, context), failedKeyIds: failed, deleting: [] };
  return { session: ended, send: [cleanupAcknowledgment(ended, context)] };
}

/** What an answer to a request names: the request, and in the original's envelope the notification always. */
function answeredId(session: Session, requestId: string, { settings }: Context): string {
  return settings.wire === 'sae-json' ? session.notificationId : requestId;
}
