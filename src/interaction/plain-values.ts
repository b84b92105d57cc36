// Values as programs and their schemas have them, with objects, and as messages carry them, with maps.

import { types } from 'node:util';
import { argumentError, describe, describeSecret } from '../base/check.js';
import { limits } from './codec.js';
import { type Fields, isFields, isList } from './fields.js';
import type { Value } from './values.js';

/**
 * Lists, maps and objects within each other that one value may have: three less than a message, which is what carries the
 * values of a new subscription.
 */
const maxDepth = limits.depth - 3;

const minInteger = -(2n ** 64n);
const maxInteger = 2n ** 64n - 1n;

const valueRule =
  'null, a boolean, a finite number, a bigint from -(2n ** 64n) to 2n ** 64n - 1n, a string without half a surrogate pair, ' +
  'a Uint8Array, an array, a Map or a plain object';

/**
 * A value as messages carry it: plain objects become Maps with their own enumerable names, without those that are
 * `undefined`, and bigints that a number can hold become numbers. Nothing of it shares memory with `value`.
 *
 * @param value null, a boolean, a finite number, a bigint from -(2n ** 64n) to 2n ** 64n - 1n, a well-formed string, a
 *   Uint8Array, or an array, Map (with strings and safe integers for keys) or plain object of such values, 5 of these
 *   within each other at most.
 * @param name what messages call it.
 * @throws HawserError ERR_HAWSER_ARGUMENT for anything else, with the path to it and without its content.
 */
export function toWire(value: unknown, name = 'value'): Value {
  return wireOf(value, name, maxDepth);
}

/** @param depth how many more containers may open; it ends cycles, too. */
function wireOf(value: unknown, path: string, depth: number): Value {
  switch (typeof value) {
    case 'boolean':
      return value;
    case 'number':
      if (Number.isFinite(value)) return value;
      throw argumentError(path, valueRule, describe(value));
    case 'bigint':
      // What is received is a number where that is exact.
      if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return Number(value);
      if (value >= minInteger && value <= maxInteger) return value;
      break;
    case 'string':
      if (value.isWellFormed()) return value;
      break;
    case 'object':
      if (value === null) return null;
      if (types.isUint8Array(value)) return new Uint8Array(value);
      return containerOf(value, path, depth);
    default:
  }
  throw argumentError(path, valueRule, describeSecret(value));
}

function containerOf(value: object, path: string, depth: number): Value {
  const isList = Array.isArray(value);
  const isMap = types.isMap(value);
  if (!isList && !isMap && !isPlainObject(value)) throw argumentError(path, valueRule, describe(value));
  if (depth === 0) {
    throw argumentError(path, 'nested less deeply, and not in itself', 'more arrays, Maps and objects');
  }
  // Holes are visited, too.
  if (isList) return Array.from(value, (each, index) => wireOf(each, `${path}[${index}]`, depth - 1));
  const entries: Iterable<[unknown, unknown]> = isMap ? value : namedEntries(value, path);
  const map = new Map<number | string, Value>();
  for (const [key, each] of entries) {
    const checked = checkKey(path, key);
    map.set(checked, wireOf(each, `${path}${stepTo(checked)}`, depth - 1));
  }
  return map;
}

function namedEntries(value: object, path: string): [string, unknown][] {
  // As a name of an object it would change the prototype of what it is copied to.
  if (Object.hasOwn(value, '__proto__')) throw argumentError(path, 'without the name __proto__', 'it');
  return Object.entries(value).filter(([, each]) => each !== undefined);
}

function checkKey(path: string, key: unknown): number | string {
  if (typeof key === 'string' && key.isWellFormed()) return key;
  // An integer is sent for -0.
  if (typeof key === 'number' && Number.isSafeInteger(key)) return key;
  const rule = 'a string without half a surrogate pair or a safe integer';
  throw argumentError(`a key of ${path}`, rule, describeSecret(key));
}

/** A part of a path: `.name`, `[3]` or `["any text"]`. */
export function stepTo(key: number | string): string {
  return typeof key === 'string' && /^[\w$]{1,64}$/.test(key) ? `.${key}` : `[${describe(key)}]`;
}

/** Whether an object has its names from nobody else: a literal, what JSON.parse makes, or one without a prototype. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // By its place rather than by identity: objects of another realm (node:vm) have another Object.prototype.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/**
 * A value as programs have it: Maps with nothing but strings for keys, and empty ones, become objects; others, and those
 * with the key `__proto__`, stay Maps. Nothing of it shares memory with `value`.
 *
 * @param value undefined for nothing, as parameters and results may be.
 * @throws HawserError ERR_HAWSER_ARGUMENT when it is nested deeper than a message can be, or in itself.
 */
export function fromWire(value: Value | undefined): unknown {
  return value === undefined ? undefined : plainOf(value, limits.depth);
}

function plainOf(value: Value, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Uint8Array) return new Uint8Array(value);
  if (depth === 0)
    throw argumentError('value', 'nested less deeply, and not in itself', 'more lists and maps');
  if (isList(value)) return value.map((each) => plainOf(each, depth - 1));
  if (!isFields(value)) throw argumentError('value', 'what a message carries', describe(value));
  const entries = Array.from(value, ([key, each]) => [key, plainOf(each, depth - 1)] as const);
  return hasNames(value) ? Object.fromEntries(entries) : new Map(entries);
}

function hasNames(fields: Fields): boolean {
  for (const key of fields.keys()) if (typeof key !== 'string' || key === '__proto__') return false;
  return true;
}
