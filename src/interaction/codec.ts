// What turns messages into bytes and back, and what is thrown when the bytes of the other side are none.

import { HawserError } from '../base/errors.js';
import type { Message } from './messages.js';
import type { ErrorStatus } from './status.js';

/**
 * Bytes of the other side that are no message, or none that it may send. The connection that they came by is closed. Its code is
 * ERR_HAWSER_PROTOCOL.
 */
export class ProtocolError extends HawserError {
  /** What a request is answered with whose `messageId` could be read, before the connection is closed or instead. */
  readonly status: ErrorStatus;
  /** That `messageId`; undefined when it could not be read or the message is no request. */
  readonly messageId: number | undefined;

  constructor(message: string, status: ErrorStatus = 'INVALID_PARAMETER', messageId?: number) {
    super('ERR_HAWSER_PROTOCOL', message);
    this.name = 'ProtocolError';
    this.status = status;
    this.messageId = messageId;
  }
}

/** The least and the greatest of what messages may say. */
export const limits = {
  /** Bytes of an encoded message. */
  messageBytes: 65_536,
  /** Lists and maps within each other, the message itself included. */
  depth: 8,
  /** Lists and maps in all. Whatever is plain (plain-cbor.ts) has fewer. */
  containers: 4096,
  /** Ids or values of one request or notification. */
  attributes: 100,
} as const;

/** One format of messages. */
export interface MessageCodec {
  /** Which format it is. */
  readonly name: 'hawser' | 'mash';
  /**
   * The bytes of a message.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT when it has something that the format cannot say; ERR_HAWSER_MESSAGE_TOO_LONG.
   */
  encode(message: Message): Uint8Array;
  /**
   * The message that the bytes are; nothing of it shares their memory.
   *
   * @throws ProtocolError for all else. Never anything else, and in time linear in the length.
   */
  decode(bytes: Uint8Array): Message;
}
