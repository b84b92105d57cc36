// The ten messages of the source document, with its names, and what HAWSER adds to them (docs/keys.md, "Messages").

/** The types, as `message_type` has them. */
export const messageTypes = [
  'key_notification',
  'key_acknowledgment',
  'sync_confirmation',
  'rotation_completed',
  'cleanup_status_request',
  'cleanup_status_response',
  'cleanup_delete_request',
  'cleanup_delete_response',
  'cleanup_acknowledgment',
  'error',
] as const;

/** One of `messageTypes`. */
export type MessageType = (typeof messageTypes)[number];

/** Why a message was refused, or a session given up: `error_code`. */
export const errorCodes = [
  'bad_format',
  'bad_signature',
  'unknown_peer',
  'unknown_session',
  'bad_state',
  'replay',
  'stale_timestamp',
  'key_unavailable',
  'kme_unavailable',
  'device_failure',
  'too_late',
  'busy',
  'unsupported_version',
] as const;

/** One of `errorCodes`. */
export type ErrorCode = (typeof errorCodes)[number];

/** Bounds of what a message may hold; a longer one is `bad_format`. */
export const messageLimits = {
  /** A datagram or a message of the channel `keys`. */
  bytes: 8192,
  /** Objects and arrays within each other, the message itself included. */
  depth: 4,
  /** Ids of SAEs and keys, in bytes of UTF-8. */
  idBytes: 256,
  /** Keys of one notification, and of one cleanup. */
  keyIds: 16,
  /** Texts for people, in bytes of UTF-8. */
  textBytes: 1024,
  /** 2^48: far beyond what counts sessions, or seconds since 1970, and the one after it is still exact. */
  epoch: 281_474_976_710_656,
} as const;

/** What every message has. */
export interface CommonFields {
  /** A UUID. A message that is sent again keeps it. */
  readonly message_id: string;
  /** When it was sent, in Unix seconds: of this copy. */
  readonly timestamp: number;
  /** The `message_id` of the first notification of the session. */
  readonly session_id: string;
  /** The SAE ids keep their role in both directions. */
  readonly master_sae_id: string;
  readonly slave_sae_id: string;
}

/** Master to slave: there are keys, and a time to rotate to one of them. */
export interface KeyNotification extends CommonFields {
  readonly message_type: 'key_notification';
  /** 1 to 16 different ones. */
  readonly key_ids: readonly string[];
  /** Unix seconds of the master's clock, in the future, at most an hour. */
  readonly rotation_timestamp: number;
  /** Grows with every session of the pair, from 1. */
  readonly epoch: number;
  /** The key that the master has in production for this slave; null for none. */
  readonly current_key_id: string | null;
}

/** Slave to master: the selected key is fetched and preconfigured, or there is not enough time. */
export interface KeyAcknowledgment extends CommonFields {
  readonly message_type: 'key_acknowledgment';
  /** Of the notification that it answers. */
  readonly original_message_id: string;
  /** Null with `need_more_time`. */
  readonly selected_key_id: string | null;
  readonly status: 'ready' | 'need_more_time';
  /** With `need_more_time`: Unix seconds of the master's clock; otherwise null. */
  readonly suggested_rotation_timestamp: number | null;
}

/** Master to slave: rotate at that time. */
export interface SyncConfirmation extends CommonFields {
  readonly message_type: 'sync_confirmation';
  /** Of the last notification. */
  readonly original_message_id: string;
  /** Unix seconds of the master's clock. */
  readonly final_rotation_timestamp: number;
}

/** Slave to master: it sends under the new key. */
export interface RotationCompleted extends CommonFields {
  readonly message_type: 'rotation_completed';
  /** Of the last notification. */
  readonly original_message_id: string;
  readonly new_key_id: string;
  /** When it did, in Unix seconds. */
  readonly rotation_timestamp: number;
}

/** Master to slave: it sends under the new key too; how does it look there? */
export interface CleanupStatusRequest extends CommonFields {
  readonly message_type: 'cleanup_status_request';
  /** Of the last notification. */
  readonly original_message_id: string;
  readonly new_key_id: string;
}

export interface CleanupStatusResponse extends CommonFields {
  readonly message_type: 'cleanup_status_response';
  /** Of the status request. */
  readonly original_message_id: string;
  readonly status: 'success' | 'failed';
  readonly rolled_keys_count: number;
  /** What the persona says of the device, for people: `operational`. */
  readonly service_status: string | null;
  readonly error_message: string | null;
}

/** Master to slave: delete these keys, which both have proved to use no more. */
export interface CleanupDeleteRequest extends CommonFields {
  readonly message_type: 'cleanup_delete_request';
  /** Of the last notification. */
  readonly original_message_id: string;
  readonly new_key_id: string;
  /** 1 to 16 different ones. */
  readonly old_key_ids: readonly string[];
}

export interface CleanupDeleteResponse extends CommonFields {
  readonly message_type: 'cleanup_delete_response';
  /** Of the delete request. */
  readonly original_message_id: string;
  readonly status: 'success' | 'failed';
  readonly deleted_key_ids: readonly string[];
  readonly failed_key_ids: readonly string[];
  readonly error_message: string | null;
}

/** Master to slave: the session is over. */
export interface CleanupAcknowledgment extends CommonFields {
  readonly message_type: 'cleanup_acknowledgment';
  /** Of the last notification. */
  readonly original_message_id: string;
  readonly status: 'completed' | 'failed';
}

/** What an error says beyond its code. */
export interface ErrorDetails {
  /** With `key_unavailable`: which keys the slave cannot get. */
  readonly key_ids?: readonly string[];
  /** From the master, which could not rotate: the slave is to go back to the old key, and to say so. Asked again until it has. */
  readonly roll_back?: true;
  /** From the slave, the answer: it sends under the old key again. */
  readonly rolled_back?: true;
}

/** Either way. None is ever answered by another, but for `roll_back` by `rolled_back`. */
export interface ErrorMessage extends CommonFields {
  readonly message_type: 'error';
  /** Of the message that it refuses, or of the last notification; null when that could not be read. */
  readonly original_message_id: string | null;
  /** Why. */
  readonly error_code: ErrorCode;
  /** For people; it says nothing of keys but their ids. */
  readonly error_message: string;
  /** What belongs to some codes; null for nothing. */
  readonly details: ErrorDetails | null;
}

/** Everything that one side says to the other. */
export type Message =
  | KeyNotification
  | KeyAcknowledgment
  | SyncConfirmation
  | RotationCompleted
  | CleanupStatusRequest
  | CleanupStatusResponse
  | CleanupDeleteRequest
  | CleanupDeleteResponse
  | CleanupAcknowledgment
  | ErrorMessage;

/** What an SAE is towards a peer, in one session. */
export type Role = 'master' | 'slave';

/** The same message without what is put into each copy that is sent. */
export type Unstamped<M extends Message = Message> = M extends Message ? Omit<M, 'timestamp'> : never;

/** Who sends a message of each type. */
const senderOf: Readonly<Record<MessageType, Role | 'either'>> = {
  key_notification: 'master',
  key_acknowledgment: 'slave',
  sync_confirmation: 'master',
  rotation_completed: 'slave',
  cleanup_status_request: 'master',
  cleanup_status_response: 'slave',
  cleanup_delete_request: 'master',
  cleanup_delete_response: 'slave',
  cleanup_acknowledgment: 'master',
  error: 'either',
};

/** Whether an SAE in that role sends messages of the type. */
export function maySend(role: Role, type: MessageType): boolean {
  const sender = senderOf[type];
  return sender === role || sender === 'either';
}
