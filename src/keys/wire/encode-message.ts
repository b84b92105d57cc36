// Messages to JSON, with the fields of their types and no others, always in the same order.

import { type Message, messageLimits } from './messages.js';
import type { SaeWire } from './wire-name.js';

const encoder = new TextEncoder();

/** The bytes of a message's JSON. Texts for people are cut to what a message may hold. */
export function encodeMessage(message: Message, wire: SaeWire): Uint8Array {
  return encoder.encode(JSON.stringify(wire === 'hawser' ? hawserForm(message) : originalForm(message)));
}

function hawserForm(message: Message): object {
  return {
    message_type: message.message_type,
    message_id: message.message_id,
    timestamp: message.timestamp,
    session_id: message.session_id,
    master_sae_id: message.master_sae_id,
    slave_sae_id: message.slave_sae_id,
    ...('original_message_id' in message && { original_message_id: message.original_message_id }),
    ...ownFields(message),
    ...addedFields(message),
  };
}

/** Names its notification in each message, which is the session of ours. */
function originalForm(message: Message): object {
  const hasOriginal = message.message_type !== 'key_notification';
  return {
    message_type: message.message_type,
    message_id: message.message_id,
    timestamp: message.timestamp,
    master_sae_id: message.master_sae_id,
    slave_sae_id: message.slave_sae_id,
    ...(hasOriginal && { original_message_id: message.session_id }),
    ...ownFields(message),
  };
}

/** What the original has in a message of the type. */
function ownFields(message: Message): object {
  switch (message.message_type) {
    case 'key_notification':
      return { key_ids: message.key_ids, rotation_timestamp: message.rotation_timestamp };
    case 'key_acknowledgment':
      return {
        selected_key_id: message.selected_key_id,
        status: message.status,
        suggested_rotation_timestamp: message.suggested_rotation_timestamp,
      };
    case 'sync_confirmation':
      return { final_rotation_timestamp: message.final_rotation_timestamp };
    case 'rotation_completed':
      return { new_key_id: message.new_key_id, rotation_timestamp: message.rotation_timestamp };
    case 'cleanup_status_request':
      return { new_key_id: message.new_key_id };
    case 'cleanup_status_response':
      return {
        status: message.status,
        service_status: cut(message.service_status),
        error_message: cut(message.error_message),
      };
    case 'cleanup_delete_request':
      return { old_key_ids: message.old_key_ids };
    case 'cleanup_delete_response':
      return {
        status: message.status,
        deleted_key_ids: message.deleted_key_ids,
        failed_key_ids: message.failed_key_ids,
        error_message: cut(message.error_message),
      };
    case 'cleanup_acknowledgment':
      return { status: message.status };
    case 'error':
      return {
        error_code: message.error_code,
        error_message: cut(message.error_message),
        details: message.details,
      };
  }
}

/** What HAWSER adds to it. */
function addedFields(message: Message): object {
  switch (message.message_type) {
    case 'key_notification':
      return { epoch: message.epoch, current_key_id: message.current_key_id };
    case 'cleanup_status_response':
      return { rolled_keys_count: message.rolled_keys_count };
    case 'cleanup_delete_request':
      return { new_key_id: message.new_key_id };
    default:
      return {};
  }
}

/** As much of a text as a message may hold. Reasons come from devices and key management entities, which may say much. */
function cut(text: string | null): string | null {
  if (text === null) return null;
  const whole = text.isWellFormed() ? text : text.toWellFormed();
  if (whole.length * 3 <= messageLimits.textBytes) return whole;
  const { read } = encoder.encodeInto(whole, new Uint8Array(messageLimits.textBytes));
  return whole.slice(0, read);
}
