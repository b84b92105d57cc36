// The slave's side of the cleanup (source document, "Cleanup Protocol Flow").

import type {
  CleanupAcknowledgment,
  CleanupDeleteRequest,
  CleanupDeleteResponse,
  CleanupStatusRequest,
  CleanupStatusResponse,
  Message,
  Unstamped,
} from '../wire/messages.js';
import { deletionOf, removable } from './deletions.js';
import { endRotated } from './endings.js';
import { rolledKeyIds } from './key-changes.js';
import { commonOf } from './outgoing.js';
import { withReply } from './replies.js';
import type { Session } from './session.js';
import type { Operation, OperationResult } from './steps.js';
import { type Context, changed, refuse, type Transition, unchanged } from './transition.js';

/** Whether a message of the master has proved that it sends under the new key: it has decided, and never goes back. */
export function isMasterBound(session: Session): boolean {
  return session.peerProved && session.awaiting?.message_type !== 'rotation_completed';
}

/** Step 1: the master sends under the new key. Kept before it is answered: what was rolled is not needed any more. */
export function onStatusRequest(
  session: Session,
  message: CleanupStatusRequest,
  context: Context,
): Transition {
  if (session.state !== 'PENDING_DONE') return refuse(session, 'bad_state', 'the new key is not in use here');
  if (message.new_key_id !== session.newKeyId)
    return refuse(session, 'bad_state', 'that is not the key of the session');
  return {
    session: provedByMessage(session, context),
    operation: { type: 'deviceStatus', untilMs: context.nowMs + context.settings.deviceTimeoutMs },
    request: message,
  };
}

/** Steps 2 to 4. */
export function onDeviceStatus(
  session: Session,
  result: OperationResult,
  request: Message | undefined,
  context: Context,
): Transition {
  if (session.state !== 'PENDING_DONE' || request === undefined) return unchanged(session);
  const response: Unstamped<CleanupStatusResponse> = {
    ...commonOf(session, context),
    message_type: 'cleanup_status_response',
    original_message_id: request.message_id,
    status: result.ok ? 'success' : 'failed',
    rolled_keys_count: context.keys.keys().filter((key) => key.status === 'rolled').length,
    service_status: result.ok ? (result.service ?? 'operational') : null,
    error_message: result.ok ? null : result.reason,
  };
  // Without an old key the master has nothing more to ask, and its acknowledgment is all that is waited for.
  const isLast = session.oldKeyId === null && context.settings.wire === 'hawser';
  const replies = withReply(session, request.message_id, response);
  return {
    session: changed(session, { replies, awaiting: isLast ? response : session.awaiting }, context),
    send: [response],
    cause: 'device',
  };
}

/** Step 5. Only what this session rolled may be named: one key that is anything else, and nothing at all is deleted. */
export function onDeleteRequest(
  session: Session,
  message: CleanupDeleteRequest,
  context: Context,
): Transition {
  if (session.state !== 'PENDING_DONE') return refuse(session, 'bad_state', 'the new key is not in use here');
  // The original does not name the new key here.
  if (context.settings.wire === 'hawser' && message.new_key_id !== session.newKeyId)
    return refuse(session, 'bad_state', 'that is not the key of the session');
  if (message.old_key_ids.length === 0) return refuse(session, 'bad_format', 'no key is named');
  const known = message.old_key_ids.filter((keyId) => context.keys.key(keyId) !== undefined);
  const isOurs = known.every(
    (keyId) => keyId === session.oldKeyId && context.keys.key(keyId)?.status === 'rolled',
  );
  if (!isOurs) return refuse(session, 'bad_state', 'a key is named that this session has not rolled');
  const proved = provedByMessage(session, context);
  // What is not here cannot be deleted, and is told to be so.
  if (known.length === 0) return respond(proved, message, [], context);
  return {
    session: proved,
    // What earlier sessions had to leave goes with it.
    operation: {
      type: 'deleteKeys',
      keyIds: [...new Set([...known, ...rolledKeyIds(context.keys)])],
      untilMs: context.nowMs + context.settings.deviceTimeoutMs,
    },
    request: message,
  };
}

/** Steps 6 to 9: deleted at the device first, then in the store, and what is deleted is kept together with the answer. */
export function onDeleted(
  session: Session,
  operation: Operation,
  result: OperationResult,
  request: Message | undefined,
  context: Context,
): Transition {
  const isAsked = session.state === 'PENDING_DONE' && request?.message_type === 'cleanup_delete_request';
  if (!isAsked) return unchanged(session);
  const { deleted } = deletionOf(operation, result);
  const response = respond(session, request, deleted, context);
  return { ...response, remove: removable(deleted, context), cause: 'device' };
}

/**
 * Steps 11 and 12. Also from a master that ended without this side, and has been told of the rotation since: it says so whatever it is
 * asked.
 */
export function onCleanupEnd(session: Session, message: CleanupAcknowledgment, context: Context): Transition {
  if (session.state !== 'PENDING_DONE') return refuse(session, 'bad_state', 'the new key is not in use here');
  // `completed`, and something is left here: the master did not ask for it, and both have proved the new key.
  const left = message.status === 'failed' ? rolledKeyIds(context.keys) : [];
  const outcome = message.status === 'failed' ? 'kept' : 'completed';
  return { session: { ...endRotated(session, outcome, context), failedKeyIds: left } };
}

/** A notification that names the new key as the one that the master uses: the master has ended the session, and proved the key by that. */
export function endedByNext(session: Session, context: Context): Transition {
  return { session: endRotated(session, 'unacknowledged', context), cause: 'key_notification' };
}

/** The master never goes back from here. */
function provedByMessage(session: Session, context: Context): Session {
  if (isMasterBound(session)) return session;
  const deadlineAtMs = context.nowMs + context.settings.cleanupTimeoutMs;
  return changed(session, { peerProved: true, awaiting: null, deadlineAtMs }, context);
}

/** Step 9, sent again until it is acknowledged. */
function respond(
  session: Session,
  request: CleanupDeleteRequest,
  deleted: readonly string[],
  context: Context,
): Transition {
  const asked = request.old_key_ids;
  const failed = asked.filter((keyId) => !deleted.includes(keyId));
  const response: Unstamped<CleanupDeleteResponse> = {
    ...commonOf(session, context),
    message_type: 'cleanup_delete_response',
    original_message_id: request.message_id,
    status: failed.length === 0 ? 'success' : 'failed',
    deleted_key_ids: asked.filter((keyId) => deleted.includes(keyId)),
    failed_key_ids: failed,
    error_message: failed.length === 0 ? null : 'the device or the store does not have them, or keeps them',
  };
  const replies = withReply(session, request.message_id, response);
  return { session: changed(session, { replies, awaiting: response }, context), send: [response] };
}
