// The reference implementation's own reader and writer. They share no code with the package on purpose: a slip made twice
// is only found by somebody who did not make it the first time.

/** Thrown for every input that docs/protocol.md says to refuse. */
export class Refused extends Error {
  override readonly name = 'Refused';
}

export type Bytes = Uint8Array;

export function refuse(reason: string): never {
  throw new Refused(reason);
}

export function require(condition: boolean, reason: string): asserts condition {
  if (!condition) refuse(reason);
}

export function concat(...parts: readonly Bytes[]): Uint8Array {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    result.set(part, offset);
    offset += part.length;
  }
  return result;
}

export function toHex(bytes: Bytes): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function fromHex(text: string): Uint8Array {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new Error(`not lower-case hex: ${text}`);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function utf8(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

/** "label" of section 1: the ASCII bytes and one zero byte. */
export function label(text: string): Uint8Array {
  return concat(utf8(text), Uint8Array.of(0));
}

export function equal(a: Bytes, b: Bytes): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

export function isZero(bytes: Bytes): boolean {
  return bytes.every((byte) => byte === 0);
}

/** `count` bytes of `value`, least significant first. */
export function littleEndian(value: bigint | number, count: number): Uint8Array {
  let rest = BigInt(value);
  return Uint8Array.from({ length: count }, () => {
    const byte = Number(rest & 0xffn);
    rest >>= 8n;
    return byte;
  });
}

export const u8 = (value: number): Uint8Array => littleEndian(value, 1);
export const u16 = (value: number): Uint8Array => littleEndian(value, 2);
export const u32 = (value: number): Uint8Array => littleEndian(value, 4);
export const u64 = (value: bigint): Uint8Array => littleEndian(value, 8);

/** RFC 9000 section 16, in the shortest form. */
export function varint(value: bigint | number): Uint8Array {
  const wide = BigInt(value);
  const exponent = wide < 1n << 6n ? 0 : wide < 1n << 14n ? 1 : wide < 1n << 30n ? 2 : 3;
  if (wide < 0n || wide >= 1n << 62n) throw new Error(`no varint: ${value}`);
  const bytes = littleEndian(wide, 1 << exponent).reverse();
  bytes[0] = (bytes[0] ?? 0) | (exponent << 6);
  return bytes;
}

/** Reads fields one after another and refuses to read beyond the end. */
export class Reader {
  readonly #bytes: Bytes;
  #offset = 0;

  constructor(bytes: Bytes) {
    // slice() of a Buffer would share its memory.
    this.#bytes = Uint8Array.from(bytes);
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  take(count: number): Uint8Array {
    require(count <= this.remaining, 'a field beyond the end');
    this.#offset += count;
    return this.#bytes.slice(this.#offset - count, this.#offset);
  }

  rest(): Uint8Array {
    return this.take(this.remaining);
  }

  unsigned(count: number): bigint {
    return this.take(count).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  }

  u8(): number {
    return Number(this.unsigned(1));
  }

  u16(): number {
    return Number(this.unsigned(2));
  }

  u32(): number {
    return Number(this.unsigned(4));
  }

  u64(): bigint {
    return this.unsigned(8);
  }

  varint(): bigint {
    const first = this.u8();
    const more = this.take((1 << (first >> 6)) - 1);
    return more.reduce((value, byte) => (value << 8n) | BigInt(byte), BigInt(first & 0x3f));
  }

  /** A varint that counts or measures something in this datagram; anything larger cannot be true. */
  length(): number {
    const value = this.varint();
    require(value <= 0xffffn, 'a length beyond any datagram');
    return Number(value);
  }
}
