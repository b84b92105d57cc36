// Writes one frame: the signature, the version, the type, and the fields of a message, big-endian. Field by field into memory of the final
// size: no view of it is made, which would cost more than the bytes of a heartbeat do.

import { argumentError, checkBytes, checkInteger, checkText, describe } from '../../base/check.js';
import { limits } from './messages.js';

/** What every frame begins with: "zraft" and the version. The type follows. */
export const signature: Uint8Array = Uint8Array.of(0x7a, 0x72, 0x61, 0x66, 0x74, 0x01);
export const headerBytes: number = signature.length + 1;

const encoder = new TextEncoder();
const greatestI64 = 2n ** 63n - 1n;

/** The bytes of a text in a frame, without those of its length. @throws HawserError ERR_HAWSER_ARGUMENT for one that is empty or too long. */
export function textBytes(name: string, text: string, maxBytes: number): number {
  return Buffer.byteLength(checkText(name, text, maxBytes));
}

/** The bytes of a payload in a frame, without those of its length. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function payloadBytes(name: string, payload: Uint8Array): number {
  return checkBytes(name, payload, 0, limits.serverRequestBytes).length;
}

export class FrameWriter {
  readonly #bytes: Uint8Array;
  #at = headerBytes;

  /** @param fieldsBytes of everything that will be written, exactly. */
  constructor(type: number, fieldsBytes: number) {
    this.#bytes = new Uint8Array(headerBytes + fieldsBytes);
    this.#bytes.set(signature);
    this.#bytes[signature.length] = type;
  }

  u8(value: number): this {
    this.#bytes[this.#at++] = value;
    return this;
  }

  u16(value: number): this {
    return this.u8(value >>> 8).u8(value);
  }

  u32(value: number): this {
    return this.u16(value >>> 16).u16(value);
  }

  /** A request id. @throws HawserError ERR_HAWSER_ARGUMENT. */
  id(name: string, id: number, least = 0): this {
    return this.#integer(checkInteger(name, id, least, Number.MAX_SAFE_INTEGER));
  }

  /** Unix milliseconds. @throws HawserError ERR_HAWSER_ARGUMENT. */
  time(name: string, timeMs: number): this {
    return this.#integer(checkInteger(name, timeMs, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER));
  }

  #integer(value: number): this {
    const upper = Math.floor(value / 0x1_0000_0000);
    return this.u32(upper).u32(value - upper * 0x1_0000_0000);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  nonce(nonce: bigint): this {
    if (typeof nonce !== 'bigint' || nonce === 0n || nonce > greatestI64 || nonce < -greatestI64 - 1n) {
      throw argumentError('nonce', 'a bigint of 64 bits with a sign, and not 0n', describe(nonce));
    }
    return this.u32(Number(BigInt.asUintN(32, nonce >> 32n))).u32(Number(BigInt.asUintN(32, nonce)));
  }

  /** @param text one that was checked. */
  text8(text: string): this {
    const start = ++this.#at;
    this.#bytes[start - 1] = this.#utf8(text);
    return this;
  }

  /** @param text one that was checked. */
  text16(text: string): this {
    this.#at += 2;
    const start = this.#at;
    const length = this.#utf8(text);
    this.#bytes[start - 2] = length >>> 8;
    this.#bytes[start - 1] = length;
    return this;
  }

  #utf8(text: string): number {
    const { written } = encoder.encodeInto(text, this.#bytes.subarray(this.#at));
    this.#at += written;
    return written;
  }

  /** @param payload one that was checked. */
  bytes32(payload: Uint8Array): this {
    this.u32(payload.length);
    this.#bytes.set(payload, this.#at);
    this.#at += payload.length;
    return this;
  }

  /** The last field: one bit that says whether there is a text, and the text behind that bit. @param text one that was checked. */
  optional(text: string | undefined): this {
    const start = this.#at;
    if (text === undefined) return this.u8(0);
    this.text16(text);
    let carried = 1;
    for (let at = start; at < this.#at; ++at) {
      const byte = this.#bytes[at] ?? 0;
      this.#bytes[at] = (carried << 7) | (byte >>> 1);
      carried = byte & 1;
    }
    return this.u8(carried << 7);
  }

  finish(): Uint8Array {
    return this.#bytes;
  }
}
