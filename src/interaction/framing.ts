// Messages in a byte stream, which keeps no boundaries: each has its length in front, an unsigned integer of 32 bits,
// big-endian. TCP and TLS need it; datagrams do not.

import { argumentError, checkInteger, describe, maxU32 } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { ProtocolError } from './codec.js';

/** Bytes of the length in front of a message. */
const headerBytes = 4;

/** What room for a message is made at first, before more of it has come. */
const firstRoomBytes = 1_024;
const noRoom: Uint8Array = new Uint8Array(0);

/**
 * A message with its length in front, in memory of its own.
 *
 * @param message 1 to `maxBytes` bytes.
 * @param maxBytes what the other side accepts.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the message is empty; ERR_HAWSER_MESSAGE_TOO_LONG.
 */
export function frame(message: Uint8Array, maxBytes: number): Uint8Array {
  if (message.length === 0) throw argumentError('message', 'at least one byte', describe(message));
  if (message.length > maxBytes) {
    const text = `the message takes ${message.length} bytes; at most ${maxBytes} are allowed`;
    throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', text);
  }
  const framed = new Uint8Array(headerBytes + message.length);
  new DataView(framed.buffer).setUint32(0, message.length);
  framed.set(message, headerBytes);
  return framed;
}

/**
 * Takes a byte stream apart into messages. It holds at most one message that is not whole yet, in no more than twice
 * the memory that has come of it, or 1 KiB; how the stream is cut into chunks makes no difference to what it yields.
 */
export class FrameDecoder {
  readonly #maxBytes: number;
  #headerLength = 0;
  /** What the header has said so far. */
  #length = 0;
  /** The first bytes of a message of which not all have come yet. */
  #room = noRoom;
  #filled = 0;
  #failure: ProtocolError | undefined;
  #taken = 0;

  /**
   * @param maxBytes the longest message that is accepted, 1 to 4,294,967,295.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  constructor(maxBytes: number) {
    this.#maxBytes = checkInteger('maxBytes', maxBytes, 1, maxU32);
  }

  /**
   * The messages that a chunk completes. A message may be a view into the chunk, so that it is to be decoded before the
   * chunk's memory is used again. The chunk is read on the way: whoever stops early pushes what is left of it, from
   * `taken` on, before anything else.
   *
   * @throws ProtocolError once a message declares to be empty or longer than `maxBytes`, after those in front of it,
   * and from then on at once: where the next message begins is not known any more.
   */
  *push(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    this.#taken = 0;
    while (this.#taken < chunk.length) {
      if (this.#failure !== undefined) throw this.#failure;
      const at = this.#taken;
      if (this.#headerLength < headerBytes) {
        ++this.#taken;
        this.#readHeader(chunk[at] ?? 0);
        continue;
      }
      this.#taken = Math.min(chunk.length, at + this.#length - this.#filled);
      const message = this.#take(chunk.subarray(at, this.#taken));
      if (message !== undefined) yield message;
    }
  }

  /** How many bytes of the last chunk have been read. */
  get taken(): number {
    return this.#taken;
  }

  /** Whether the stream, if it ends here, ends within a message or within the length in front of it. */
  end(): boolean {
    return this.#headerLength > 0;
  }

  #readHeader(byte: number): void {
    this.#length = this.#length * 256 + byte;
    ++this.#headerLength;
    if (this.#headerLength < headerBytes || (this.#length > 0 && this.#length <= this.#maxBytes)) return;
    this.#failure = new ProtocolError(
      `a message of ${this.#length} bytes; 1 to ${this.#maxBytes} are allowed`,
    );
    throw this.#failure;
  }

  /** Takes a part of a message, the last one or all that the chunk has; gives back the message once it is whole. */
  #take(part: Uint8Array): Uint8Array | undefined {
    const isWhole = this.#filled + part.length === this.#length;
    if (isWhole && this.#filled === 0) {
      this.#begin();
      return part;
    }
    this.#append(part);
    if (!isWhole) return undefined;
    const message = this.#room.subarray(0, this.#length);
    this.#begin();
    return message;
  }

  #append(part: Uint8Array): void {
    const needed = this.#filled + part.length;
    if (needed > this.#room.length) {
      // Twice as much each time: what is copied on the way stays below twice the message, however it comes.
      const room = new Uint8Array(Math.min(this.#length, Math.max(firstRoomBytes, 2 * this.#filled, needed)));
      room.set(this.#room.subarray(0, this.#filled));
      this.#room = room;
    }
    this.#room.set(part, this.#filled);
    this.#filled = needed;
  }

  #begin(): void {
    this.#headerLength = 0;
    this.#length = 0;
    this.#room = noRoom;
    this.#filled = 0;
  }
}
