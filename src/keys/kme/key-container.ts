// Reads the keys out of an answer of a KME (Key container, ETSI GS QKD 014 clause 6.3) without a JavaScript string of any of them: strings
// cannot be overwritten. The values of `key` are found among the bytes and decoded into secret memory; once they are overwritten, the rest is
// read as any other JSON.

import { isText } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { decodeBase64Secret, type SecretBytes } from '../../base/secret-bytes.js';
import { JsonError, type JsonObject, type JsonValue, parseJson } from '../wire/strict-json.js';
import type { DeliveredKey } from './key-source.js';
import { maxIdBytes } from './methods.js';

const maxDepth = 32;
/** What overwrites a key: any character that may stand in a string. */
const filler = 0x30;

const quote = 0x22;
const backslash = 0x5c;
const slash = 0x2f;

/** Where the value of a `key` is: its bytes from `start` to before `end`, without the quotes. */
interface KeyText {
  /** Which of the objects of `keys` it is of, from 0. */
  readonly element: number;
  readonly start: number;
  readonly end: number;
}

/**
 * The keys of a container, in its order. Both spellings of the standard are taken, `keys` and `Keys`; extensions are passed over.
 *
 * @param bytes an answer, which is overwritten with zeros, whatever comes of it.
 * @param maxKeys how many were asked for: more are refused before any is decoded.
 * @returns keys with different ids, each 1 to 1024 bytes; the caller wipes them.
 * @throws HawserError ERR_HAWSER_PROTOCOL, with nothing of the answer in its message.
 */
export function readKeyContainer(bytes: Uint8Array, maxKeys: number): readonly DeliveredKey[] {
  const materials = new Map<number, SecretBytes>();
  try {
    const texts = findKeys(bytes);
    if (texts.length > maxKeys) throw malformed(`${texts.length} keys instead of ${maxKeys}`);
    for (const { element, start, end } of texts) {
      const text = bytes.subarray(start, end);
      const length = unescapeInPlace(text);
      const material = length === undefined ? undefined : decodeBase64Secret(text.subarray(0, length));
      text.fill(filler);
      if (material === undefined) throw malformed('a key is no base64');
      materials.set(element, material);
    }
    return join(parseRest(bytes), materials);
  } catch (error) {
    for (const material of materials.values()) material.wipe();
    throw error;
  } finally {
    bytes.fill(0);
  }
}

function malformed(why: string): HawserError {
  return new HawserError('ERR_HAWSER_PROTOCOL', `the KME's answer is no key container: ${why}`);
}

/** Puts what was found among the bytes together with what the JSON says. */
function join(container: JsonObject, materials: ReadonlyMap<number, SecretBytes>): readonly DeliveredKey[] {
  const lower = container.get('keys');
  const upper = container.get('Keys');
  if (lower !== undefined && upper !== undefined) throw malformed('it has both "keys" and "Keys"');
  const list = lower ?? upper;
  if (!isArray(list)) throw malformed('"keys" is missing or no array');
  const ids = new Set<string>();
  const keys = list.map((entry, element) => {
    if (!(entry instanceof Map)) throw malformed('a key is no object');
    const keyId = entry.get('key_ID');
    const material = materials.get(element);
    if (!isText(keyId, maxIdBytes)) throw malformed('a "key_ID" is missing or no text');
    // What is found by both readers has been overwritten in between.
    if (material === undefined || !overwritten(entry.get('key')))
      throw malformed('a "key" is missing or no text');
    if (ids.has(keyId)) throw malformed('two keys have the same id');
    ids.add(keyId);
    return { keyId, material };
  });
  // Otherwise something passed for a key that the JSON does not have.
  if (keys.length !== materials.size) throw malformed('it is no JSON');
  return keys;
}

function overwritten(value: JsonValue | undefined): boolean {
  return typeof value === 'string' && /^0+$/.test(value);
}

function isArray(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

function parseRest(bytes: Uint8Array): JsonObject {
  let value: JsonValue;
  try {
    value = parseJson(bytes, { bytes: bytes.length, depth: maxDepth });
  } catch (error) {
    if (error instanceof JsonError) throw malformed(error.message);
    throw error;
  }
  if (!(value instanceof Map)) throw malformed('it is no object');
  return value;
}

/** An object or array that is not closed yet. */
interface Open {
  readonly object: boolean;
  /** Of the member that is being read, as far as it matters here. */
  name: 'keys' | 'key' | undefined;
  /** Which element of the array is being read. */
  element: number;
}

/**
 * Finds every string that is the value of a `key` in an object in the array `keys` of the outermost object. It takes more than JSON for
 * JSON, which is then refused when the rest is read.
 */
function findKeys(bytes: Uint8Array): readonly KeyText[] {
  const found: KeyText[] = [];
  const open: Open[] = [];
  let expectsName = false;
  for (let at = 0; at < bytes.length; ++at) {
    const top = open.at(-1);
    switch (bytes[at]) {
      case 0x7b: // {
      case 0x5b: // [
        if (open.length === maxDepth) throw malformed('too deep');
        expectsName = bytes[at] === 0x7b;
        open.push({ object: expectsName, name: undefined, element: 0 });
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        expectsName = false;
        break;
      case 0x2c: // ,
        if (top?.object === true) expectsName = true;
        else if (top !== undefined) ++top.element;
        break;
      case quote: {
        const start = at + 1;
        at = endOfString(bytes, start);
        if (expectsName && top !== undefined) top.name = nameOf(bytes.subarray(start, at));
        else if (isKey(open)) found.push({ element: open[1]?.element ?? 0, start, end: at });
        expectsName = false;
        break;
      }
    }
  }
  // One object with two: the second would take the place of the first.
  if (new Set(found.map(({ element }) => element)).size !== found.length) {
    throw malformed('a name comes twice');
  }
  return found;
}

/** Whether a value that begins here is a key. */
function isKey([container, list, entry, deeper]: readonly Open[]): boolean {
  if (container?.name !== 'keys' || list?.object !== false) return false;
  return entry?.name === 'key' && deeper === undefined;
}

/** @param start behind the first quote. @returns where the other one is. */
function endOfString(bytes: Uint8Array, start: number): number {
  for (let at = start; at < bytes.length; ++at) {
    if (bytes[at] === quote) return at;
    if (bytes[at] === backslash) ++at;
  }
  throw malformed('a text does not end');
}

const names = new Map([
  ['keys', 'keys'],
  ['Keys', 'keys'],
  ['key', 'key'],
] as const);
/** Of the longest of them, with every character as \uXXXX. */
const longestName = 24;

function nameOf(quoted: Uint8Array): Open['name'] {
  if (quoted.length > longestName) return undefined;
  const copy = Buffer.from(quoted);
  const length = unescapeInPlace(copy);
  if (length === undefined) return undefined;
  const text = copy.toString('latin1', 0, length);
  for (const [name, meaning] of names) if (name === text) return meaning;
  return undefined;
}

/**
 * Resolves the escapes that writers of JSON put into base64 (`\/` and `\u002B` for `+`), in place.
 *
 * @returns the length that is left; undefined when there is another escape, or one of no ASCII character.
 */
function unescapeInPlace(text: Uint8Array): number | undefined {
  let to = 0;
  for (let from = 0; from < text.length; ++from, ++to) {
    let byte = text[from] ?? 0;
    if (byte === backslash) {
      ++from;
      if (text[from] === 0x75) {
        byte = hexadecimal(text.subarray(from + 1, from + 5));
        from += 4;
      } else {
        byte = text[from] === slash ? slash : -1;
      }
      if (byte < 0x20 || byte > 0x7e) return undefined;
    }
    text[to] = byte;
  }
  return to;
}

/** @returns -1 when it is not four digits. */
function hexadecimal(digits: Uint8Array): number {
  if (digits.length !== 4) return -1;
  let value = 0;
  for (const digit of digits) {
    const letter = digit | 0x20;
    if (digit >= 0x30 && digit <= 0x39) value = value * 16 + digit - 0x30;
    else if (letter >= 0x61 && letter <= 0x66) value = value * 16 + letter - 0x57;
    else return -1;
  }
  return value;
}
