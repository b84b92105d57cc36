// The plain part of CBOR without detours: null, booleans, numbers, ASCII texts, bytes, and short lists and maps of them,
// with small integers or texts for keys. Whatever is not plain is given up, for cbor.ts to write, read or refuse: what is
// written here are the very bytes, and what is read is the very value, that cbor.ts makes of it by its strictest rules.

import { type CborValue, major } from './cbor.js';

/** The longest encoding that is plain, in bytes. */
export const maxPlainBytes = 2048;
/** The longest text and list, and the largest map. */
const maxLength = 0xff;
const maxKey = 0xffff;
/** Lists and maps within each other, the outermost of a value included. */
const maxDepth = 4;

const nullByte = 0xf6;
const falseByte = 0xf4;
const trueByte = 0xf5;
const floatByte = 0xfb;
/** No integer and no float takes more bytes. */
const longestNumber = 9;

/** Where floats are taken apart and put together. */
const floatBytes = new Uint8Array(8);
const floatView = new DataView(floatBytes.buffer);

/** Of a longer text that is put together from characters, V8 makes a tree. */
const maxSpelledLength = 12;

/** Writes values, each between `begin` and `finish`. Once a part is given up, the whole is. */
export class PlainWriter {
  readonly #bytes: Uint8Array = new Uint8Array(maxPlainBytes);
  #at = 0;
  #isPlain = true;

  begin(): void {
    this.#at = 0;
    this.#isPlain = true;
  }

  /** A copy of what was written since `begin`; undefined when it was given up. */
  finish(): Uint8Array | undefined {
    return this.#isPlain ? this.#bytes.slice(0, this.#at) : undefined;
  }

  giveUp(): void {
    this.#isPlain = false;
  }

  /** The head of a map with so many entries. */
  map(count: number): void {
    this.#head(major.map, count);
  }

  key(key: number): void {
    this.#head(major.unsigned, key);
  }

  /** A key and an integer, which is from `min` to `max`, neither negative, or given up. */
  field(key: number, value: number, min: number, max: number): void {
    this.#head(major.unsigned, key);
    this.#unsigned(value, min, max);
  }

  /** A list of at most so many integers from 0 to 65,535. */
  ids(ids: readonly number[], maxCount: number): void {
    const count = Array.isArray(ids) && ids.length <= maxCount ? ids.length : this.#none();
    this.#head(major.list, count);
    for (let index = 0; index < count; ++index) this.#unsigned(ids[index], 0, maxKey);
  }

  /** A map of at most so many entries, the keys of which are integers from 0 to 65,535. */
  numberedMap(map: ReadonlyMap<number, CborValue>, maxCount: number): void {
    if (map instanceof Map && map.size <= maxCount) this.#map(map, maxDepth, false);
    else this.giveUp();
  }

  value(value: CborValue): void {
    this.#value(value, maxDepth);
  }

  #value(value: unknown, depth: number): void {
    if (typeof value === 'number') this.#number(value);
    else if (typeof value === 'string') this.#text(value);
    else if (typeof value === 'boolean') this.#byte(value ? trueByte : falseByte);
    else if (value === null) this.#byte(nullByte);
    else if (value instanceof Map) this.#map(value, depth, true);
    else if (Array.isArray(value)) this.#list(value, depth);
    else if (value instanceof Uint8Array) this.#byteString(value);
    else this.giveUp();
  }

  #map(map: ReadonlyMap<unknown, unknown>, depth: number, allowTexts: boolean): void {
    const keys = depth > 0 && map.size <= maxLength ? plainKeys(map, allowTexts) : undefined;
    if (keys === undefined) {
      this.giveUp();
      return;
    }
    this.#head(major.map, keys.length);
    for (const key of keys) {
      if (typeof key === 'number') this.#head(major.unsigned, key);
      else this.#text(key);
      this.#value(map.get(key), depth - 1);
    }
  }

  #list(list: readonly unknown[], depth: number): void {
    const count = depth > 0 && list.length <= maxLength ? list.length : this.#none();
    this.#head(major.list, count);
    for (let index = 0; index < count; ++index) this.#value(list[index], depth - 1);
  }

  #byteString(bytes: Uint8Array): void {
    this.#head(major.bytes, bytes.length);
    if (!this.#hasRoom(bytes.length)) return;
    this.#bytes.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #text(text: string): void {
    const length = text.length <= maxLength ? text.length : this.#none();
    this.#head(major.text, length);
    if (!this.#hasRoom(length)) return;
    let bits = 0;
    for (let index = 0; index < length; ++index) {
      const unit = text.charCodeAt(index);
      bits |= unit;
      this.#bytes[this.#at++] = unit;
    }
    if (bits >= 0x80) this.giveUp();
  }

  #number(value: number): void {
    if (!Number.isSafeInteger(value)) this.#float(value);
    else if (value >= 0) this.#head(major.unsigned, value);
    else this.#head(major.negative, -1 - value);
  }

  #float(value: number): void {
    if (!Number.isFinite(value)) this.giveUp();
    if (!this.#hasRoom(longestNumber)) return;
    floatView.setFloat64(0, value);
    this.#bytes[this.#at++] = floatByte;
    for (let index = 0; index < 8; ++index) this.#bytes[this.#at++] = floatBytes[index] ?? 0;
  }

  #unsigned(value: unknown, min: number, max: number): void {
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
      this.#head(major.unsigned, value);
    } else {
      this.giveUp();
    }
  }

  #head(kind: number, argument: number): void {
    if (!this.#hasRoom(longestNumber)) return;
    const to = this.#bytes;
    const bits = kind << 5;
    if (argument < 24) {
      to[this.#at++] = bits | argument;
    } else if (argument < 0x100) {
      to[this.#at++] = bits | 24;
      to[this.#at++] = argument;
    } else if (argument < 0x1_0000) {
      to[this.#at++] = bits | 25;
      to[this.#at++] = argument >>> 8;
      to[this.#at++] = argument;
    } else if (argument < 0x1_0000_0000) {
      to[this.#at++] = bits | 26;
      this.#word(argument);
    } else {
      to[this.#at++] = bits | 27;
      this.#word(argument / 2 ** 32);
      this.#word(argument);
    }
  }

  /** The 32 lowest bits of the integral part. */
  #word(value: number): void {
    const to = this.#bytes;
    to[this.#at++] = value >>> 24;
    to[this.#at++] = value >>> 16;
    to[this.#at++] = value >>> 8;
    to[this.#at++] = value;
  }

  /** The length of what is given up. */
  #none(): number {
    this.giveUp();
    return 0;
  }

  #byte(byte: number): void {
    if (this.#hasRoom(1)) this.#bytes[this.#at++] = byte;
  }

  /** Gives up where so many bytes more would be too many. */
  #hasRoom(count: number): boolean {
    if (this.#at + count <= maxPlainBytes) return true;
    this.#isPlain = false;
    return false;
  }
}

/** The keys of a map in the order of their encoding, or undefined when one of them is not plain. */
function plainKeys(
  map: ReadonlyMap<unknown, unknown>,
  allowTexts: boolean,
): readonly (number | string)[] | undefined {
  const keys: (number | string)[] = [];
  let last: number | string = -1;
  let isSorted = true;
  for (const key of map.keys()) {
    if (!isPlainKey(key) || (!allowTexts && typeof key === 'string')) return undefined;
    if (byEncoding(last, key) > 0) isSorted = false;
    keys.push(key);
    last = key;
  }
  return isSorted ? keys : keys.sort(byEncoding);
}

function isPlainKey(key: unknown): key is number | string {
  if (typeof key === 'number') return Number.isInteger(key) && key >= 0 && key <= maxKey;
  return typeof key === 'string';
}

/** Numbers before texts, and shorter texts before longer ones; right for texts that are plain. */
function byEncoding(a: number | string, b: number | string): number {
  if (typeof a === 'number') return typeof b === 'number' ? a - b : -1;
  if (typeof b === 'number') return 1;
  return a.length - b.length || (a < b ? -1 : 1);
}

/** Reads one value, part by part. Once a part is given up, the whole is, and what was read means nothing. */
export class PlainReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #isPlain = true;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    if (bytes.length > maxPlainBytes) this.giveUp();
  }

  /** Whether all of the bytes were read and nothing was given up. */
  finish(): boolean {
    return this.#isPlain && this.#at === this.#bytes.length;
  }

  giveUp(): void {
    this.#isPlain = false;
    // Nothing is left to read, so that this ends soon.
    this.#at = this.#bytes.length;
  }

  /** Gives up unless it is so. */
  require(isSo: boolean): void {
    if (!isSo) this.giveUp();
  }

  /** The head of a map: how many entries it has. */
  map(): number {
    return this.#count(major.map, maxLength);
  }

  /** Whether a key, 0 to 23, comes next; then it is read. */
  hasKey(key: number): boolean {
    if (this.#bytes[this.#at] !== key) return false;
    ++this.#at;
    return true;
  }

  key(key: number): void {
    if (!this.hasKey(key)) this.giveUp();
  }

  /** A key, 0 to 23, and an integer from `min` to `max`, neither negative. */
  field(key: number, min: number, max: number): number {
    this.key(key);
    return this.integer(min, max);
  }

  integer(min: number, max: number): number {
    const value = this.#unsigned(max);
    if (value < min) this.giveUp();
    return value;
  }

  /** A list of at most so many integers from 0 to 65,535. */
  ids(maxCount: number): readonly number[] {
    const ids: number[] = [];
    for (let left = this.#count(major.list, maxCount); left > 0; --left) ids.push(this.#unsigned(maxKey));
    return ids;
  }

  /** A map of at most so many entries, the keys of which are integers from 0 to 65,535. */
  numberedMap(maxCount: number): ReadonlyMap<number, CborValue> {
    const map = new Map<number, CborValue>();
    const count = this.#count(major.map, maxCount);
    for (let left = count; left > 0; --left) map.set(this.#unsigned(maxKey), this.#value(maxDepth - 1));
    // Unless a key came twice.
    if (map.size !== count) this.giveUp();
    return map;
  }

  value(): CborValue {
    return this.#value(maxDepth);
  }

  /** @param depth how many more lists and maps may open. */
  #value(depth: number): CborValue {
    const head = this.#next();
    const info = head & 0x1f;
    switch (head >> 5) {
      case major.unsigned:
        return this.#argument(info, Number.MAX_SAFE_INTEGER);
      case major.negative:
        return -1 - this.#argument(info, Number.MAX_SAFE_INTEGER - 1);
      case major.bytes:
        return this.#byteString(info);
      case major.text:
        return this.#text(info);
      case major.list:
        return this.#list(info, depth);
      case major.map:
        return this.#map(info, depth);
      default:
        return this.#simple(head);
    }
  }

  #list(info: number, depth: number): CborValue {
    const list: CborValue[] = [];
    for (let left = this.#elements(info, depth); left > 0; --left) list.push(this.#value(depth - 1));
    return list;
  }

  #map(info: number, depth: number): CborValue {
    const map = new Map<number | string, CborValue>();
    const count = this.#elements(info, depth);
    for (let left = count; left > 0; --left) map.set(this.#key(), this.#value(depth - 1));
    if (map.size !== count) this.giveUp();
    return map;
  }

  #elements(info: number, depth: number): number {
    if (depth === 0) this.giveUp();
    return depth === 0 ? 0 : this.#argument(info, maxLength);
  }

  #key(): number | string {
    const head = this.#next();
    if (head >> 5 === major.text) return this.#text(head & 0x1f);
    if (head >> 5 !== major.unsigned) this.giveUp();
    return this.#argument(head & 0x1f, maxKey);
  }

  #text(info: number): string {
    const bytes = this.#bytes;
    const start = this.#skip(this.#argument(info, maxLength));
    const end = this.#at;
    let bits = 0;
    for (let index = start; index < end; ++index) bits |= bytes[index] ?? 0;
    if (bits >= 0x80) this.giveUp();
    if (end - start > maxSpelledLength) {
      return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    }
    let text = '';
    for (let index = start; index < end; ++index) text += String.fromCharCode(bytes[index] ?? 0);
    return text;
  }

  #byteString(info: number): Uint8Array {
    const start = this.#skip(this.#argument(info, maxPlainBytes));
    // A slice of a Buffer would share its memory.
    return new Uint8Array(this.#bytes.subarray(start, this.#at));
  }

  #simple(head: number): CborValue {
    if (head === falseByte) return false;
    if (head === trueByte) return true;
    if (head === floatByte) return this.#float();
    if (head !== nullByte) this.giveUp();
    return null;
  }

  #float(): number {
    const start = this.#skip(8);
    for (let index = 0; index < 8; ++index) floatBytes[index] = this.#bytes[start + index] ?? 0;
    const value = floatView.getFloat64(0);
    if (!Number.isFinite(value)) this.giveUp();
    return value;
  }

  #unsigned(max: number): number {
    return this.#count(major.unsigned, max);
  }

  /** What an item of that kind says in its head. */
  #count(kind: number, max: number): number {
    const head = this.#next();
    if (head >> 5 !== kind) this.giveUp();
    return this.#argument(head & 0x1f, max);
  }

  /** What a head says, in no more bytes than it needs and at most `max`, which a number holds; 0 when it is given up. */
  #argument(info: number, max: number): number {
    let value = info;
    let least = 0;
    if (info === 24) {
      value = this.#next();
      least = 24;
    } else if (info === 25) {
      value = this.#next() * 0x100 + this.#next();
      least = 0x100;
    } else if (info === 26) {
      value = this.#word();
      least = 0x1_0000;
    } else if (info === 27) {
      value = this.#word() * 2 ** 32 + this.#word();
      least = 2 ** 32;
    }
    if (value >= least && value <= max && info <= 27) return value;
    this.giveUp();
    return 0;
  }

  #word(): number {
    return ((this.#next() << 24) | (this.#next() << 16) | (this.#next() << 8) | this.#next()) >>> 0;
  }

  #next(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) {
      this.giveUp();
      return 0;
    }
    ++this.#at;
    return byte;
  }

  /** Passes so many bytes. @returns where they begin. */
  #skip(count: number): number {
    const start = this.#at;
    if (count > this.#bytes.length - start) {
      this.giveUp();
      return this.#at;
    }
    this.#at = start + count;
    return start;
  }
}
