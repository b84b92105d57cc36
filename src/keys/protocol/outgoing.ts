// The messages of a session, as it sends them.

import type {
  CleanupAcknowledgment,
  CleanupDeleteRequest,
  CleanupStatusRequest,
  CommonFields,
  ErrorCode,
  ErrorDetails,
  ErrorMessage,
  KeyAcknowledgment,
  KeyNotification,
  Message,
  RotationCompleted,
  SyncConfirmation,
  Unstamped,
} from '../wire/messages.js';
import type { Session } from './session.js';
import type { Context } from './transition.js';

type Common = Omit<CommonFields, 'timestamp'>;

/** What every message of a session has; `message_id` is new. */
export function commonOf(session: Session, { settings, newId }: Context): Common {
  const isMaster = session.role === 'master';
  return {
    message_id: newId(),
    session_id: session.sessionId,
    master_sae_id: isMaster ? settings.saeId : settings.peerSaeId,
    slave_sae_id: isMaster ? settings.peerSaeId : settings.saeId,
  };
}

/** The notification that a session waits with: its id is that of the session's round. */
export function keyNotification(session: Session, context: Context): Unstamped<KeyNotification> {
  return {
    ...commonOf(session, context),
    message_type: 'key_notification',
    message_id: session.notificationId,
    key_ids: session.keyIds,
    rotation_timestamp: session.rotationTimestamp,
    epoch: session.epoch,
    current_key_id: session.oldKeyId,
  };
}

export function keyAcknowledgment(
  session: Session,
  suggestedTimestamp: number | null,
  context: Context,
): Unstamped<KeyAcknowledgment> {
  const isReady = suggestedTimestamp === null;
  return {
    ...commonOf(session, context),
    message_type: 'key_acknowledgment',
    original_message_id: session.notificationId,
    selected_key_id: isReady ? session.newKeyId : null,
    status: isReady ? 'ready' : 'need_more_time',
    suggested_rotation_timestamp: suggestedTimestamp,
  };
}

export function syncConfirmation(session: Session, context: Context): Unstamped<SyncConfirmation> {
  return {
    ...commonOf(session, context),
    message_type: 'sync_confirmation',
    original_message_id: session.notificationId,
    final_rotation_timestamp: session.rotationTimestamp,
  };
}

export function rotationCompleted(
  session: Session,
  newKeyId: string,
  context: Context,
): Unstamped<RotationCompleted> {
  return {
    ...commonOf(session, context),
    message_type: 'rotation_completed',
    original_message_id: session.notificationId,
    new_key_id: newKeyId,
    rotation_timestamp: Math.floor(context.nowMs / 1000),
  };
}

export function cleanupStatusRequest(
  session: Session,
  newKeyId: string,
  context: Context,
): Unstamped<CleanupStatusRequest> {
  return {
    ...commonOf(session, context),
    message_type: 'cleanup_status_request',
    original_message_id: session.notificationId,
    new_key_id: newKeyId,
  };
}

export function cleanupDeleteRequest(
  session: Session,
  newKeyId: string,
  oldKeyIds: readonly string[],
  context: Context,
): Unstamped<CleanupDeleteRequest> {
  return {
    ...commonOf(session, context),
    message_type: 'cleanup_delete_request',
    original_message_id: session.notificationId,
    new_key_id: newKeyId,
    old_key_ids: oldKeyIds,
  };
}

export function cleanupAcknowledgment(session: Session, context: Context): Unstamped<CleanupAcknowledgment> {
  return {
    ...commonOf(session, context),
    message_type: 'cleanup_acknowledgment',
    original_message_id: session.notificationId,
    status: session.failedKeyIds.length === 0 ? 'completed' : 'failed',
  };
}

/** An ERROR about a session: a decision, not the refusal of one message. */
export function sessionError(
  session: Session,
  code: ErrorCode,
  reason: string,
  details: ErrorDetails | null,
  context: Context,
): Unstamped<ErrorMessage> {
  return {
    ...commonOf(session, context),
    message_type: 'error',
    original_message_id: session.notificationId,
    error_code: code,
    error_message: reason,
    details,
  };
}

/** An ERROR that refuses a message. */
export function refusalOf(
  message: Message,
  code: ErrorCode,
  reason: string,
  newId: () => string,
  details: ErrorDetails | null = null,
): Unstamped<ErrorMessage> {
  return {
    message_type: 'error',
    message_id: newId(),
    session_id: message.session_id,
    master_sae_id: message.master_sae_id,
    slave_sae_id: message.slave_sae_id,
    original_message_id: message.message_id,
    error_code: code,
    error_message: reason,
    details,
  };
}
