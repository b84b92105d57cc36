// Messages within the record of a session: the one that waits for its answer, and those that were answered.

import { errorCodes, messageLimits, messageTypes, type Unstamped } from '../wire/messages.js';
import type { RecordReader } from './record-reader.js';

const { idBytes, keyIds: maxKeyIds, textBytes } = messageLimits;

/**
 * A message without its timestamp.
 *
 * @throws HawserError ERR_HAWSER_STORE_FORMAT when a field is missing, is of another kind, or is one too many.
 */
export function readMessage(reader: RecordReader): Unstamped {
  const message = readFields(reader);
  reader.end();
  return message;
}

function readFields(reader: RecordReader): Unstamped {
  const message_type = reader.oneOf('message_type', messageTypes);
  const common = {
    message_id: reader.text('message_id', idBytes),
    session_id: reader.text('session_id', idBytes),
    master_sae_id: reader.text('master_sae_id', idBytes),
    slave_sae_id: reader.text('slave_sae_id', idBytes),
  };
  switch (message_type) {
    case 'key_notification':
      return {
        ...common,
        message_type,
        key_ids: reader.texts('key_ids', maxKeyIds, idBytes),
        rotation_timestamp: reader.integer('rotation_timestamp'),
        epoch: reader.integer('epoch'),
        current_key_id: reader.textOrNull('current_key_id', idBytes),
      };
    case 'key_acknowledgment':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        selected_key_id: reader.textOrNull('selected_key_id', idBytes),
        status: reader.oneOf('status', ['ready', 'need_more_time']),
        suggested_rotation_timestamp: reader.integerOrNull('suggested_rotation_timestamp'),
      };
    case 'sync_confirmation':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        final_rotation_timestamp: reader.integer('final_rotation_timestamp'),
      };
    case 'rotation_completed':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        new_key_id: reader.text('new_key_id', idBytes),
        rotation_timestamp: reader.integer('rotation_timestamp'),
      };
    case 'cleanup_status_request':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        new_key_id: reader.text('new_key_id', idBytes),
      };
    case 'cleanup_status_response':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        status: reader.oneOf('status', ['success', 'failed']),
        rolled_keys_count: reader.integer('rolled_keys_count'),
        service_status: reader.anyTextOrNull('service_status', textBytes),
        error_message: reader.anyTextOrNull('error_message', textBytes),
      };
    case 'cleanup_delete_request':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        // Empty where the original's envelope has none.
        new_key_id: reader.anyText('new_key_id', idBytes),
        old_key_ids: reader.texts('old_key_ids', maxKeyIds, idBytes),
      };
    case 'cleanup_delete_response':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        status: reader.oneOf('status', ['success', 'failed']),
        deleted_key_ids: reader.texts('deleted_key_ids', maxKeyIds, idBytes),
        failed_key_ids: reader.texts('failed_key_ids', maxKeyIds, idBytes),
        error_message: reader.anyTextOrNull('error_message', textBytes),
      };
    case 'cleanup_acknowledgment':
      return {
        ...common,
        message_type,
        original_message_id: originalId(reader),
        status: reader.oneOf('status', ['completed', 'failed']),
      };
    case 'error':
      return {
        ...common,
        message_type,
        original_message_id: reader.textOrNull('original_message_id', idBytes),
        error_code: reader.oneOf('error_code', errorCodes),
        error_message: reader.anyText('error_message', textBytes),
        details: readDetails(reader.recordOrNull('details')),
      };
  }
}

function originalId(reader: RecordReader): string {
  return reader.text('original_message_id', idBytes);
}

function readDetails(reader: RecordReader | null): Extract<Unstamped, { message_type: 'error' }>['details'] {
  if (reader === null) return null;
  const details = {
    ...(reader.has('key_ids') && { key_ids: reader.texts('key_ids', maxKeyIds, idBytes) }),
    ...(reader.has('roll_back') && { roll_back: reader.isTrue('roll_back') }),
    ...(reader.has('rolled_back') && { rolled_back: reader.isTrue('rolled_back') }),
  };
  reader.end();
  return details;
}
