// Messages from JSON: every field is looked at before anything else sees it. HAWSER's messages are taken exactly as docs/keys-wire.md has them;
// those of the original have fewer fields and may have others, and are brought into the same form without any state.

import { maxU32 } from '../../base/check.js';
import { FieldError, FieldReader } from './field-reader.js';
import {
  type CleanupDeleteResponse,
  type CommonFields,
  type ErrorCode,
  type ErrorDetails,
  errorCodes,
  type KeyAcknowledgment,
  type KeyNotification,
  type Message,
  type MessageType,
  messageLimits,
  messageTypes,
} from './messages.js';
import type { JsonValue } from './strict-json.js';
import type { SaeWire } from './wire-name.js';

/** Why something is no message. For the log: it names a field and has nothing of what is in it. */
export interface Fault {
  readonly fault: string;
}

/** The session of a message of the original that names none: no session has this id (RFC 9562 section 5.9). */
export const nilUuid = '00000000-0000-0000-0000-000000000000';

/**
 * The message that a JSON value is. Times are not compared with any clock. What HAWSER's messages have and those of the original do not becomes 0,
 * null, or an empty `new_key_id`; their `session_id` is the `original_message_id`, which there is the notification's in each message.
 *
 * @returns never throws.
 */
export function decodeMessage(value: JsonValue, wire: SaeWire): Message | Fault {
  if (!(value instanceof Map)) return { fault: 'it is no object' };
  const fields = new FieldReader(value, wire === 'hawser' ? 'exact' : 'lenient');
  try {
    const message = readMessage(fields, wire);
    fields.end();
    return message;
  } catch (error) {
    if (error instanceof FieldError) return { fault: error.message };
    throw error;
  }
}

function readMessage(fields: FieldReader, wire: SaeWire): Message {
  const type = fields.oneOf('message_type', messageTypes);
  const common = readCommon(fields, wire, type);
  switch (type) {
    case 'key_notification':
      return { message_type: type, ...common, ...readNotification(fields, wire) };
    case 'key_acknowledgment':
      return { message_type: type, ...common, ...original(fields), ...readAcknowledgment(fields, wire) };
    case 'sync_confirmation':
      return {
        message_type: type,
        ...common,
        ...original(fields),
        final_rotation_timestamp: fields.time('final_rotation_timestamp'),
      };
    case 'rotation_completed':
      return {
        message_type: type,
        ...common,
        ...original(fields),
        new_key_id: fields.id('new_key_id'),
        rotation_timestamp: fields.time('rotation_timestamp'),
      };
    case 'cleanup_status_request':
      return { message_type: type, ...common, ...original(fields), new_key_id: fields.id('new_key_id') };
    case 'cleanup_status_response':
      return {
        message_type: type,
        ...common,
        ...original(fields),
        status: fields.oneOf('status', ['success', 'failed']),
        rolled_keys_count: wire === 'hawser' ? fields.integer('rolled_keys_count', 0, maxU32) : 0,
        service_status: fields.isNull('service_status') ? null : fields.text('service_status'),
        error_message: fields.isNull('error_message') ? null : fields.text('error_message'),
      };
    case 'cleanup_delete_request':
      return {
        message_type: type,
        ...common,
        ...original(fields),
        new_key_id: wire === 'hawser' ? fields.id('new_key_id') : '',
        old_key_ids: fields.ids('old_key_ids', 1),
      };
    case 'cleanup_delete_response':
      return { message_type: type, ...common, ...original(fields), ...readDeleteResponse(fields, wire) };
    case 'cleanup_acknowledgment':
      return {
        message_type: type,
        ...common,
        ...original(fields),
        status: fields.oneOf('status', ['completed', 'failed']),
      };
    case 'error':
      return {
        message_type: type,
        ...common,
        original_message_id: fields.isNull('original_message_id') ? null : fields.uuid('original_message_id'),
        error_code: wire === 'hawser' ? fields.oneOf('error_code', errorCodes) : originalsCode(fields),
        error_message: fields.text('error_message'),
        details: wire === 'hawser' ? readDetails(fields) : originalsDetails(fields),
      };
  }
}

function original(fields: FieldReader): { readonly original_message_id: string } {
  return { original_message_id: fields.uuid('original_message_id') };
}

function readCommon(fields: FieldReader, wire: SaeWire, type: MessageType): CommonFields {
  const common = {
    message_id: fields.uuid('message_id'),
    timestamp: fields.time('timestamp'),
    session_id: wire === 'hawser' ? fields.uuid('session_id') : originalsSession(fields, type),
    master_sae_id: fields.id('master_sae_id'),
    slave_sae_id: fields.id('slave_sae_id'),
  };
  if (common.master_sae_id === common.slave_sae_id) throw new FieldError('master and slave are one SAE');
  return common;
}

/** In the original all messages of a session name its notification, which is what names ours. */
function originalsSession(fields: FieldReader, type: MessageType): string {
  if (type === 'key_notification') return fields.uuid('message_id');
  if (type === 'error')
    return fields.isNull('original_message_id') ? nilUuid : fields.uuid('original_message_id');
  return fields.uuid('original_message_id');
}

function readNotification(
  fields: FieldReader,
  wire: SaeWire,
): Omit<KeyNotification, 'message_type' | keyof CommonFields> {
  return {
    key_ids: fields.ids('key_ids', 1),
    rotation_timestamp: fields.time('rotation_timestamp'),
    epoch: wire === 'hawser' ? fields.integer('epoch', 1, messageLimits.epoch) : 0,
    current_key_id:
      wire === 'hawser' ? (fields.isNull('current_key_id') ? null : fields.id('current_key_id')) : null,
  };
}

function readAcknowledgment(
  fields: FieldReader,
  wire: SaeWire,
): Pick<KeyAcknowledgment, 'selected_key_id' | 'status' | 'suggested_rotation_timestamp'> {
  const status = fields.oneOf('status', ['ready', 'need_more_time']);
  const selected = fields.isNull('selected_key_id') ? null : fields.id('selected_key_id');
  const suggested = fields.isNull('suggested_rotation_timestamp')
    ? null
    : fields.time('suggested_rotation_timestamp');
  const ready = status === 'ready';
  if (ready && selected === null) throw new FieldError('selected_key_id is null with ready');
  if (!ready && suggested === null) {
    throw new FieldError('suggested_rotation_timestamp is null with need_more_time');
  }
  // The original selects a key with both, and rotates to it at the time that was proposed.
  if (wire === 'hawser' && !ready && selected !== null) {
    throw new FieldError('selected_key_id is not null with need_more_time');
  }
  if (ready && suggested !== null)
    throw new FieldError('suggested_rotation_timestamp is not null with ready');
  return { selected_key_id: selected, status, suggested_rotation_timestamp: suggested };
}

function readDeleteResponse(
  fields: FieldReader,
  wire: SaeWire,
): Pick<CleanupDeleteResponse, 'status' | 'deleted_key_ids' | 'failed_key_ids' | 'error_message'> {
  const status = fields.oneOf('status', ['success', 'failed']);
  const deleted = readIds(fields, wire, 'deleted_key_ids');
  const failed = readIds(fields, wire, 'failed_key_ids');
  if (failed.some((id) => deleted.includes(id))) throw new FieldError('failed_key_ids has a deleted id');
  const message = fields.isNull('error_message') ? null : fields.text('error_message');
  return { status, deleted_key_ids: deleted, failed_key_ids: failed, error_message: message };
}

function readIds(fields: FieldReader, wire: SaeWire, name: string): readonly string[] {
  return wire === 'sae-json' && !fields.has(name) ? [] : fields.ids(name, 0);
}

function readDetails(fields: FieldReader): ErrorDetails | null {
  if (fields.isNull('details')) return null;
  const details = fields.object('details');
  const keyIds = details.has('key_ids') ? details.ids('key_ids', 0) : undefined;
  const rollBack = details.flag('roll_back');
  const rolledBack = details.flag('rolled_back');
  details.end();
  return {
    ...(keyIds && { key_ids: keyIds }),
    ...(rollBack && { roll_back: rollBack }),
    ...(rolledBack && { rolled_back: rolledBack }),
  };
}

/** The original's codes are any texts: those that are none of ours say no more than that something was refused. */
function originalsCode(fields: FieldReader): ErrorCode {
  const text = fields.text('error_code');
  return errorCodes.find((code) => code === text) ?? 'bad_state';
}

/** The original's details are anything: what has not the form of ours is left out. */
function originalsDetails(fields: FieldReader): ErrorDetails | null {
  try {
    return readDetails(fields);
  } catch (error) {
    if (error instanceof FieldError) return null;
    throw error;
  }
}
