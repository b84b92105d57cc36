// CBOR (RFC 8949) as the layers of this package write and read it: integers, floats, texts, byte strings, lists and
// maps, without tags. The encoding is the deterministic one of RFC 8949, section 4.2.1, but for floats, which are
// always 64 bits long.

import { isUtf8 } from 'node:buffer';
import { decode, encode, type Token, Tokenizer } from 'cborg';
import { argumentError, describe } from './check.js';
import { HawserError } from './errors.js';

/**
 * What CBOR says without tags: an integer (a bigint where a number would not be exact), a float, a string, bytes, a
 * list, or a map with integer or string keys. What is decoded has maps as `Map`, never as objects.
 */
export type CborValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly CborValue[]
  | ReadonlyMap<number | string, CborValue>;

/** How much one value may be. */
export interface CborLimits {
  /** Bytes of its encoding. */
  readonly maxBytes: number;
  /** Lists and maps within each other, the outermost included: 1 to 100, for reading and writing recurse. */
  readonly maxDepth: number;
  /** Lists and maps in all: an empty one is a byte long, and takes some hundred where it is kept. */
  readonly maxContainers: number;
}

/** What is accepted of the other side. */
export interface CborRules extends CborLimits {
  /** Lists and maps that end with a break instead of declaring a length. Texts and byte strings never may. */
  readonly allowIndefinite: boolean;
  /** Integers and lengths in more bytes than they need. Default false. */
  readonly allowLongIntegers?: boolean;
}

/** Bytes that are no CBOR, or CBOR that is not accepted here. */
export class CborError extends Error {
  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options);
    this.name = 'CborError';
  }
}

/** The kinds of items, as the first three bits of an item number them. */
export const major = { unsigned: 0, negative: 1, bytes: 2, text: 3, list: 4, map: 5, tag: 6 } as const;

/** In the other five bits: the item has no declared length. */
const indefinite = 31;
const breakByte = 0xff;

/**
 * How many integer keys beyond ±65,535 a map may have. The hash of a number is no secret of this process, so that
 * somebody can send keys that all fall into one bucket of a `Map`, where each is compared with all before it: 10,000 of
 * them would hold up the process for a quarter of a second. There are not enough smaller keys for that, and texts have
 * a secret hash.
 */
const maxScatteredKeys = 256;
const maxCompactKey = 0xffff;
const scatteredKeys = `integer keys beyond ±${maxCompactKey} in a map, of which ${maxScatteredKeys} are allowed`;

/** The least that deserves an argument of 1, 2, 4 and 8 bytes. */
const leastArguments = [24, 0x100, 0x1_0000, 0x1_0000_0000] as const;

/**
 * Looks at the bytes of one value before anything is made of them. What passes is one whole value without tags, NaN,
 * infinities, `undefined`, other simple values and text that is not UTF-8; every declared length is there; and map
 * keys are text or integers that a number holds, at most 256 of a map beyond ±65,535. Only that no key comes twice in
 * a map is left to {@link decodeCbor}.
 *
 * Takes time linear in the bytes that it reads, which are not more than there are, and memory for nothing that they
 * declare.
 *
 * @throws CborError when it does not pass.
 */
export function checkCbor(bytes: Uint8Array, rules: CborRules): void {
  walk(bytes, rules);
}

/**
 * The value that the bytes are, which shares no memory with them. Integers that a number does not hold become bigints;
 * a float with an integral value is not told from that integer.
 *
 * @throws CborError for all that {@link checkCbor} refuses, and for a key that comes twice in a map.
 */
export function decodeCbor(bytes: Uint8Array, rules: CborRules): CborValue {
  const { hasMark } = walk(bytes, rules);
  try {
    return hasMark ? decodeMarked(bytes) : decode(bytes, decodeOptions);
  } catch (error) {
    // Nothing else is left for cborg to refuse. Its message has the whole key in it, which may be long.
    throw new CborError('duplicate map key', { cause: error });
  }
}

/**
 * The deterministic encoding of a value: definite lengths, the shortest integers, the keys of maps in the order of
 * their encoding. A number with an integral value is an integer up to 2^53, -0 among them, and a float of 64 bits
 * beyond.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when CBOR cannot say a part of it (NaN, an infinity, `undefined`, a string
 * with half a surrogate pair, a bigint outside -2^64 to 2^64 - 1, any other object) or it is nested deeper than
 * `maxDepth`, or has more lists and maps than `maxContainers`; ERR_HAWSER_MESSAGE_TOO_LONG when it takes more than `maxBytes`.
 */
export function encodeCbor(value: CborValue, limits: CborLimits): Uint8Array {
  if (checkValue(value, limits.maxDepth) > limits.maxContainers) {
    throw argumentError('a value', `of at most ${limits.maxContainers} lists and maps`, 'more');
  }
  const bytes: Uint8Array = encode(value, encodeOptions);
  if (bytes.length <= limits.maxBytes) return bytes;
  throw new HawserError(
    'ERR_HAWSER_MESSAGE_TOO_LONG',
    `the message takes ${bytes.length} bytes; at most ${limits.maxBytes} are allowed`,
  );
}

function walk(bytes: Uint8Array, rules: CborRules): Walk {
  if (bytes.length > rules.maxBytes) {
    throw new CborError(`${bytes.length} bytes, of which ${rules.maxBytes} are allowed`);
  }
  const pass = new Walk(bytes, rules);
  pass.whole();
  return pass;
}

/** One pass over the bytes of a value. It recurses as deep as `maxDepth` allows and makes nothing of what it passes. */
class Walk {
  /** A text begins with U+FEFF. */
  hasMark = false;
  readonly #bytes: Uint8Array;
  readonly #rules: CborRules;
  #at = 0;
  #containers = 0;

  constructor(bytes: Uint8Array, rules: CborRules) {
    this.#bytes = bytes;
    this.#rules = rules;
  }

  whole(): void {
    this.#item(this.#rules.maxDepth);
    const left = this.#left();
    if (left > 0) throw new CborError(`${left} bytes follow the value`);
  }

  /** @param depth how many more lists and maps may open. */
  #item(depth: number): void {
    const head = this.#next();
    const info = head & 0x1f;
    switch (head >> 5) {
      case major.unsigned:
      case major.negative:
        this.#argument(info);
        return;
      case major.bytes:
        this.#skip(this.#count(info, 1));
        return;
      case major.text:
        this.#text(info);
        return;
      case major.list:
        this.#list(info, depth);
        return;
      case major.map:
        this.#map(info, depth);
        return;
      case major.tag:
        throw new CborError('a tag');
      default:
        this.#simple(info);
    }
  }

  #list(info: number, depth: number): void {
    this.#open(info, depth);
    if (info === indefinite) {
      while (!this.#atBreak()) this.#item(depth - 1);
      return;
    }
    const count = this.#count(info, 1);
    for (let index = 0; index < count; ++index) this.#item(depth - 1);
  }

  #map(info: number, depth: number): void {
    this.#open(info, depth);
    let scattered = 0;
    if (info === indefinite) {
      while (!this.#atBreak()) {
        scattered += this.#key();
        this.#item(depth - 1);
      }
    } else {
      const count = this.#count(info, 2);
      for (let index = 0; index < count; ++index) {
        scattered += this.#key();
        this.#item(depth - 1);
      }
    }
    if (scattered > maxScatteredKeys) throw new CborError(`${scattered} ${scatteredKeys}`);
  }

  /** A key of a map: 1 when it is scattered, or 0. */
  #key(): number {
    const head = this.#next();
    const kind = head >> 5;
    const info = head & 0x1f;
    if (kind === major.text) {
      this.#text(info);
      return 0;
    }
    if (kind > major.negative) throw new CborError('a map key that is neither an integer nor text');
    // The integer is -1 - argument where it is negative.
    const distance = this.#argument(info) + kind;
    if (distance > Number.MAX_SAFE_INTEGER) throw new CborError('a map key that is not below 2^53');
    return distance > maxCompactKey ? 1 : 0;
  }

  #open(info: number, depth: number): void {
    if (depth === 0) throw new CborError(`nested deeper than ${this.#rules.maxDepth}`);
    if (++this.#containers > this.#rules.maxContainers) {
      throw new CborError(`more than ${this.#rules.maxContainers} lists and maps`);
    }
    if (info === indefinite && !this.#rules.allowIndefinite) throw new CborError('an indefinite length');
  }

  #atBreak(): boolean {
    if (this.#bytes[this.#at] !== breakByte) return false;
    ++this.#at;
    return true;
  }

  #text(info: number): void {
    const length = this.#count(info, 1);
    const start = this.#at;
    this.#skip(length);
    let bits = 0;
    for (let index = start; index < this.#at; ++index) bits |= this.#bytes[index] ?? 0;
    if (bits < 0x80) return;
    const text = this.#bytes.subarray(start, this.#at);
    if (!isUtf8(text)) throw new CborError('text that is not UTF-8');
    if (text[0] === 0xef && text[1] === 0xbb && text[2] === 0xbf) this.hasMark = true;
  }

  /** What is left of the seventh kind once integers are gone: false, true, null and floats with a value. */
  #simple(info: number): void {
    if (info >= 20 && info <= 22) return;
    if (info < 25 || info > 27) {
      throw new CborError(info === indefinite ? 'a break outside of a list or map' : 'a simple value');
    }
    const start = this.#at;
    this.#at += 1 << (info - 24);
    if (this.#left() < 0) throw cutOff();
    const exponent = ((this.#bytes[start] ?? 0) << 8) | (this.#bytes[start + 1] ?? 0);
    const allOnes = exponentMasks[info - 25] ?? 0;
    if ((exponent & allOnes) === allOnes) throw new CborError('a NaN or an infinity');
  }

  /** The number of elements that an item declares, each of which takes so many bytes at least and must be there. */
  #count(info: number, bytesEach: number): number {
    const count = this.#argument(info);
    if (count * bytesEach > this.#left()) throw cutOff();
    return count;
  }

  /** The number that the head of an item says; rounded from 2^53 on. */
  #argument(info: number): number {
    if (info < 24) return info;
    if (info > 27) throw new CborError(info === indefinite ? 'an indefinite length' : 'a reserved length');
    const end = this.#at + (1 << (info - 24));
    let value = 0;
    while (this.#at < end) value = value * 256 + this.#next();
    if (value < (leastArguments[info - 24] ?? 0) && this.#rules.allowLongIntegers !== true) {
      throw new CborError('an integer or a length in more bytes than it needs');
    }
    return value;
  }

  #skip(count: number): void {
    this.#at += count;
  }

  #next(): number {
    const byte = this.#bytes[this.#at];
    if (byte === undefined) throw cutOff();
    ++this.#at;
    return byte;
  }

  /** Bytes that are not passed yet; negative when more were passed than there are. */
  #left(): number {
    return this.#bytes.length - this.#at;
  }
}

/** The exponent in the first 16 bits of a float of 2, 4 and 8 bytes. */
const exponentMasks = [0x7c00, 0x7f80, 0x7ff0] as const;

function cutOff(): CborError {
  return new CborError('cut off');
}

// The walk has refused what is to be refused, by the rules of the caller; these only keep cborg from giving way.
const decodeOptions = {
  allowIndefinite: true,
  allowUndefined: false,
  allowInfinity: false,
  allowNaN: false,
  useMaps: true,
  rejectDuplicateMapKeys: true,
} as const;

const encodeOptions = { float64: true } as const;

const utf8 = new TextDecoder('utf-8', { ignoreBOM: true });

/** Keeps the U+FEFF that a text begins with: cborg's own drops it, so that another text arrives or two keys are one. */
class MarkKeepingTokenizer extends Tokenizer {
  override next(): Token {
    const token = super.next();
    if (token.byteValue !== undefined) token.value = utf8.decode(token.byteValue);
    return token;
  }
}

function decodeMarked(bytes: Uint8Array): CborValue {
  // No Buffer: its slices would share its memory.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  const tokenizer = new MarkKeepingTokenizer(plain, { ...decodeOptions, retainStringBytes: true });
  return decode(plain, { ...decodeOptions, tokenizer });
}

const minInteger = -(2n ** 64n);
const maxInteger = 2n ** 64n - 1n;
const halfPair = /\p{Surrogate}/u;

/**
 * @param depth how many more lists and maps may open; it ends cycles, too.
 * @returns how many lists and maps there are.
 */
function checkValue(value: unknown, depth: number): number {
  switch (typeof value) {
    case 'boolean':
      return 0;
    case 'number':
      if (!Number.isFinite(value)) throw argumentError('a value', 'a finite number', describe(value));
      return 0;
    case 'string':
      checkText(value);
      return 0;
    case 'bigint':
      if (value < minInteger || value > maxInteger) {
        throw argumentError('a value', 'a bigint from -(2n ** 64n) to 2n ** 64n - 1n', describe(value));
      }
      return 0;
    default:
      return value === null || value instanceof Uint8Array ? 0 : checkContainer(value, depth);
  }
}

function checkContainer(value: unknown, depth: number): number {
  const isMap = value instanceof Map;
  if (!isMap && !Array.isArray(value)) {
    throw argumentError(
      'a value',
      'null, a boolean, number, bigint, string, Uint8Array, array or Map',
      describe(value),
    );
  }
  if (depth === 0) {
    throw argumentError('a value', 'nested less deeply, and not in itself', 'more lists and maps');
  }
  if (isMap) checkKeys(value);
  let containers = 1;
  for (const element of value.values()) containers += checkValue(element, depth - 1);
  return containers;
}

function checkKeys(map: ReadonlyMap<unknown, unknown>): void {
  let scattered = 0;
  for (const key of map.keys()) {
    if (typeof key === 'string') {
      checkText(key);
      continue;
    }
    if (typeof key !== 'number' || !Number.isSafeInteger(key)) {
      throw argumentError('a key of a Map', 'a string or a safe integer', describe(key));
    }
    if (key > maxCompactKey || key < -maxCompactKey) ++scattered;
  }
  if (scattered <= maxScatteredKeys) return;
  throw argumentError('a Map', 'one that the other side accepts', `${scattered} ${scatteredKeys}`);
}

function checkText(text: string): void {
  if (halfPair.test(text)) throw argumentError('a string', 'without half a surrogate pair', describe(text));
}
