// What turns the values of a channel into bytes and back.

import { argumentError, checkFunction, describe } from '../base/check.js';

/**
 * Turns the values of a channel into bytes and back. Both sides of a connection must name the same codec: the names are compared
 * when they connect.
 */
export interface Codec<T> {
  /** 0 to 64 bytes of UTF-8: what the bytes mean, with a version if that may change: `json`, `chat-2`. */
  readonly name: string;
  /** The bytes of one message. They are copied at once, so that the same memory may be used for every message. */
  encode(value: T): Uint8Array;
  /**
   * The value of one message. Whatever it throws, the message is dropped and counted (`drops.undecodable`).
   *
   * @param bytes from the other side: check what they say. They are a view into memory that is used again once the message has been
   * handled, unless the option `copy` is set.
   */
  decode(bytes: Uint8Array): T;
}

const bytesCodec: Codec<Uint8Array> = {
  name: 'bytes',
  encode: (data) => data,
  decode: (data) => data,
};

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const textCodec: Codec<string> = {
  name: 'text',
  encode(value) {
    if (typeof value === 'string') return Buffer.from(value);
    throw argumentError('value', 'a string', describe(value));
  },
  decode: (bytes) => strictUtf8.decode(bytes),
};

/**
 * Messages are bytes as they are. What is received is a view into memory that is used again when the callback returns, unless the
 * option `copy` is set: `data.slice()` keeps it.
 */
export function bytes(): Codec<Uint8Array> {
  return bytesCodec;
}

/** Messages are strings, sent as UTF-8. Bytes that are no UTF-8 are refused. */
export function text(): Codec<string> {
  return textCodec;
}

/**
 * Messages are whatever JSON can say.
 *
 * @param check takes what was parsed and returns it as a `T`, or throws: then the message is dropped. Without it nothing makes sure
 * that the other side sends a `T`.
 */
export function json<T>(check?: (value: unknown) => T): Codec<T> {
  if (check !== undefined) checkFunction('check', check);
  return {
    name: 'json',
    encode: (value) => Buffer.from(jsonOf(value)),
    decode(bytes) {
      const value: unknown = JSON.parse(strictUtf8.decode(bytes));
      // Without a check the type is the caller's word.
      return check === undefined ? (value as T) : check(value);
    },
  };
}

function jsonOf(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (cause) {
    throw argumentError('value', 'what JSON can say', describe(value), cause);
  }
  if (text !== undefined) return text;
  throw argumentError('value', 'what JSON can say', describe(value));
}
