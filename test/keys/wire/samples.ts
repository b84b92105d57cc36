// Messages of every type, fixed ones and arbitrary ones, between two SAEs.

import fc from 'fast-check';
import { isId } from '../../../src/keys/wire/field-reader.js';
import {
  type CommonFields,
  errorCodes,
  type Message,
  type MessageType,
  maySend,
  messageLimits,
  type Role,
} from '../../../src/keys/wire/messages.js';

export const master = 'SAE_001';
export const slave = 'SAE_002';

const session = '5f0c7a52-9a0b-4f6e-8d3c-0b6f1f6f7a10';
const common = {
  timestamp: 1_764_000_000,
  session_id: session,
  master_sae_id: master,
  slave_sae_id: slave,
};
const oldKey = 'bc490419-7d60-487f-adc1-4ddcc177c139';
const newKey = '0a782fb5-3434-48fe-aa4d-14f41d46cf92';

/** One message of each type, as they follow each other in a session; of the error one in each direction. */
export const samples: readonly Message[] = [
  {
    message_type: 'key_notification',
    message_id: session,
    ...common,
    key_ids: [newKey, '0a782fb5-3434-48fe-aa4d-14f41d46cf93'],
    rotation_timestamp: 1_764_000_030,
    epoch: 7,
    current_key_id: oldKey,
  },
  {
    message_type: 'key_acknowledgment',
    message_id: '00000000-0000-4000-8000-000000000001',
    ...common,
    original_message_id: session,
    selected_key_id: newKey,
    status: 'ready',
    suggested_rotation_timestamp: null,
  },
  {
    message_type: 'sync_confirmation',
    message_id: '00000000-0000-4000-8000-000000000002',
    ...common,
    original_message_id: session,
    final_rotation_timestamp: 1_764_000_030,
  },
  {
    message_type: 'rotation_completed',
    message_id: '00000000-0000-4000-8000-000000000003',
    ...common,
    original_message_id: session,
    new_key_id: newKey,
    rotation_timestamp: 1_764_000_030,
  },
  {
    message_type: 'cleanup_status_request',
    message_id: '00000000-0000-4000-8000-000000000004',
    ...common,
    original_message_id: session,
    new_key_id: newKey,
  },
  {
    message_type: 'cleanup_status_response',
    message_id: '00000000-0000-4000-8000-000000000005',
    ...common,
    original_message_id: '00000000-0000-4000-8000-000000000004',
    status: 'success',
    rolled_keys_count: 1,
    service_status: 'operational',
    error_message: null,
  },
  {
    message_type: 'cleanup_delete_request',
    message_id: '00000000-0000-4000-8000-000000000006',
    ...common,
    original_message_id: session,
    new_key_id: newKey,
    old_key_ids: [oldKey],
  },
  {
    message_type: 'cleanup_delete_response',
    message_id: '00000000-0000-4000-8000-000000000007',
    ...common,
    original_message_id: '00000000-0000-4000-8000-000000000006',
    status: 'failed',
    deleted_key_ids: [],
    failed_key_ids: [oldKey],
    error_message: 'the device is busy: "é" 鍵',
  },
  {
    message_type: 'cleanup_acknowledgment',
    message_id: '00000000-0000-4000-8000-000000000008',
    ...common,
    original_message_id: session,
    status: 'completed',
  },
  {
    message_type: 'error',
    message_id: '00000000-0000-4000-8000-000000000009',
    ...common,
    original_message_id: session,
    error_code: 'key_unavailable',
    error_message: 'the key management entity has no such key',
    details: { key_ids: [newKey] },
  },
];

/** The sample of a type. */
export function sampleOf<T extends MessageType>(type: T): Extract<Message, { message_type: T }> {
  const found = samples.find(
    (each): each is Extract<Message, { message_type: T }> => each.message_type === type,
  );
  if (found === undefined) throw new Error(type);
  return found;
}

/** Who sends a sample: of errors, the slave. */
export function roleOf(message: Message): Role {
  return maySend('slave', message.message_type) ? 'slave' : 'master';
}

const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const id = fc.oneof(fc.uuid(), text.filter(isId));
const ids = (minLength: number) => fc.uniqueArray(id, { minLength, maxLength: 4 });
const uuid = fc.uuid();
const time = fc.integer({ min: 1, max: 253_402_300_799 });
const orNull = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: null });

type Own<T extends MessageType> = Omit<
  Extract<Message, { message_type: T }>,
  'message_type' | keyof CommonFields
>;

function of<T extends MessageType>(
  type: T,
  own: { [K in keyof Own<T>]: fc.Arbitrary<Own<T>[K]> },
): fc.Arbitrary<{ readonly message_type: T } & CommonFields & Own<T>> {
  const commonFields: { [K in keyof CommonFields]: fc.Arbitrary<CommonFields[K]> } = {
    message_id: uuid,
    timestamp: time,
    session_id: uuid,
    master_sae_id: fc.constant(master),
    slave_sae_id: fc.constant(slave),
  };
  return fc
    .tuple(fc.record(commonFields, { noNullPrototype: true }), fc.record(own, { noNullPrototype: true }))
    .map(([shared, fields]) => ({ message_type: type, ...shared, ...fields }));
}

const acknowledgment = fc.oneof(
  of('key_acknowledgment', {
    original_message_id: uuid,
    selected_key_id: id,
    status: fc.constant('ready'),
    suggested_rotation_timestamp: fc.constant(null),
  }),
  of('key_acknowledgment', {
    original_message_id: uuid,
    selected_key_id: fc.constant(null),
    status: fc.constant('need_more_time'),
    suggested_rotation_timestamp: time,
  }),
);

/** Any message that may be sent, from the master or the slave. */
export const messages: fc.Arbitrary<Message> = fc.oneof(
  of('key_notification', {
    key_ids: ids(1),
    rotation_timestamp: time,
    epoch: fc.integer({ min: 1, max: messageLimits.epoch }),
    current_key_id: orNull(id),
  }),
  acknowledgment,
  of('sync_confirmation', { original_message_id: uuid, final_rotation_timestamp: time }),
  of('rotation_completed', { original_message_id: uuid, new_key_id: id, rotation_timestamp: time }),
  of('cleanup_status_request', { original_message_id: uuid, new_key_id: id }),
  of('cleanup_status_response', {
    original_message_id: uuid,
    status: fc.constantFrom('success', 'failed'),
    rolled_keys_count: fc.integer({ min: 0, max: 0xffff_ffff }),
    service_status: orNull(text),
    error_message: orNull(text),
  }),
  of('cleanup_delete_request', { original_message_id: uuid, new_key_id: id, old_key_ids: ids(1) }),
  of('cleanup_delete_response', {
    original_message_id: uuid,
    status: fc.constantFrom('success', 'failed'),
    deleted_key_ids: ids(0).map((each) => each.filter((name) => !name.startsWith('-'))),
    failed_key_ids: ids(0).map((each) => each.map((name) => `-${name}`.slice(0, messageLimits.idBytes / 8))),
    error_message: orNull(text),
  }),
  of('cleanup_acknowledgment', {
    original_message_id: uuid,
    status: fc.constantFrom('completed', 'failed'),
  }),
  of('error', {
    original_message_id: orNull(uuid),
    error_code: fc.constantFrom(...errorCodes),
    error_message: text,
    details: orNull(
      fc.oneof(
        fc.constant({}),
        fc.constant({ roll_back: true as const }),
        fc.constant({ rolled_back: true as const }),
        ids(0).map((each) => ({ key_ids: each })),
      ),
    ),
  }),
);
