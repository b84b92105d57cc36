// Reads the fields of one frame. Every read is checked here, once: what ends early, or is no such field, is a FrameError.

import { HawserError } from '../../base/errors.js';
import { headerBytes, signature } from './frame-writer.js';
import { limits } from './messages.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** The error of bytes that are no frame of the protocol. What the frame carries is not in it. */
export function frameError(text: string): HawserError {
  return new HawserError('ERR_HAWSER_PROTOCOL', `not a frame of the session protocol: ${text}`);
}

export class FrameReader {
  /** The number of the message's type. */
  readonly type: number;
  readonly #bytes: Uint8Array;
  #at = headerBytes;

  /** @throws HawserError ERR_HAWSER_PROTOCOL, as all that it reads by. */
  constructor(bytes: Uint8Array) {
    if (bytes.length < headerBytes) throw frameError(`it has ${bytes.length} bytes`);
    for (let at = 0; at < signature.length; ++at) {
      if (bytes[at] !== signature[at]) throw frameError('it begins with another signature or version');
    }
    this.#bytes = bytes;
    this.type = bytes[signature.length] ?? 0;
  }

  #take(length: number): number {
    const start = this.#at;
    if (length > this.#bytes.length - start) throw frameError('it ends early');
    this.#at = start + length;
    return start;
  }

  u8(): number {
    return this.#bytes[this.#take(1)] ?? 0;
  }

  u16(): number {
    return this.u8() * 0x100 + this.u8();
  }

  u32(): number {
    return this.u16() * 0x1_0000 + this.u16();
  }

  /** A request id of at least `least`. */
  id(least = 0): number {
    const id = this.#integer('an id');
    if (id < least) throw frameError('an id is too low');
    return id;
  }

  /** Unix milliseconds. */
  time(): number {
    return this.#integer('a time');
  }

  /** 64 bits with a sign, as a number that has them all. */
  #integer(what: string): number {
    const value = (this.u32() | 0) * 0x1_0000_0000 + this.u32();
    if (!Number.isSafeInteger(value)) throw frameError(`${what} is beyond 2^53 - 1`);
    return value;
  }

  nonce(): bigint {
    const nonce = BigInt.asIntN(64, (BigInt(this.u32()) << 32n) | BigInt(this.u32()));
    if (nonce === 0n) throw frameError('the nonce is 0');
    return nonce;
  }

  /** One of the names whose codes are 1, 2, and so on. */
  code<T extends string>(what: string, names: readonly T[]): T {
    const name = names[this.u8() - 1];
    if (name === undefined) throw frameError(`${what} is unknown`);
    return name;
  }

  text8(what: string): string {
    return this.#text(what, this.#view(this.u8()));
  }

  text16(what: string): string {
    return this.#text(what, this.#view(this.u16()));
  }

  #text(what: string, bytes: Uint8Array): string {
    if (bytes.length === 0) throw frameError(`${what} is empty`);
    try {
      return utf8.decode(bytes);
    } catch {
      throw frameError(`${what} is no UTF-8`);
    }
  }

  #view(length: number): Uint8Array {
    const start = this.#take(length);
    return this.#bytes.subarray(start, start + length);
  }

  /** A view. */
  bytes32(): Uint8Array {
    const length = this.u32();
    // With a sign it would be negative; no frame is that long either.
    if (length > limits.serverRequestBytes) throw frameError('a payload is too long');
    return this.#view(length);
  }

  /** A bit that says whether there is a text, and the text behind that bit; undefined for an empty one too, which says nothing. */
  optional(what: string): string | undefined {
    const first = this.u8();
    if (first < 0x80) return undefined;
    const length = ((first & 0x7f) << 9) | (this.u8() << 1);
    const last = this.#bytes[this.#at] ?? 0;
    return this.#optionalText(what, length | (last >>> 7));
  }

  #optionalText(what: string, length: number): string | undefined {
    // The text begins with the second bit of the byte that comes next, and so ends in one more.
    const shifted = this.#view(length + 1);
    if (length === 0) return undefined;
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ++at) {
      bytes[at] = ((shifted[at] ?? 0) << 1) | ((shifted[at + 1] ?? 0) >>> 7);
    }
    return this.#text(what, bytes);
  }
}
