// Checks of arguments from outside, used by every layer at its border. Each returns the value with its type narrowed, or
// throws a HawserError with the code ERR_HAWSER_ARGUMENT whose message names the argument, what was given and what is
// allowed. `name` is the argument as the caller knows it: `timeoutMs`, `addresses[3]`, `options.keys`.

import { types } from 'node:util';
import { HawserError } from './errors.js';

/** The greatest integers of 8, 16 and 32 bits without a sign. */
export const maxU8 = 0xff;
export const maxU16 = 0xffff;
export const maxU32 = 0xffff_ffff;
const maxU64 = 2n ** 64n - 1n;

/** The longest piece of a caller's string that a message repeats. */
const maxQuotedLength = 64;

/**
 * A short text for a value in a message. Byte arrays, functions and objects appear by type and size only: what is in them
 * may be secret.
 */
export function describe(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return value.length <= maxQuotedLength
        ? JSON.stringify(value)
        : `${JSON.stringify(value.slice(0, maxQuotedLength))}... (${value.length} characters)`;
    case 'bigint':
      return `${value}n`;
    case 'number':
      return Object.is(value, -0) ? '-0' : String(value);
    case 'undefined':
    case 'boolean':
      return String(value);
    case 'function':
      return 'a function';
    case 'symbol':
      return 'a symbol';
    default:
      return value === null ? 'null' : describeObject(value as object);
  }
}

/** As {@link describe} for a value that may be a key or a token: its type and its length, nothing of its content. */
export function describeSecret(value: unknown): string {
  if (typeof value === 'string') return `a string of ${value.length} characters`;
  if (typeof value === 'number' || typeof value === 'bigint') return `a ${typeof value}`;
  return describe(value);
}

function describeObject(value: object): string {
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (types.isUint8Array(value)) return `a Uint8Array of ${value.length} bytes`;
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' && name !== 'Object' ? `a ${name}` : 'an object';
}

/** The error of a wrong argument. `rule` completes "must be". */
export function argumentError(name: string, rule: string, got: string, cause?: unknown): HawserError {
  const message = `${name} must be ${rule}; got ${got}`;
  return new HawserError('ERR_HAWSER_ARGUMENT', message, cause === undefined ? undefined : { cause });
}

/** An integer from `min` to `max`, both included and both safe integers. */
export function checkInteger(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  throw argumentError(name, `an integer from ${min} to ${max}`, describe(value));
}

/** A finite number from `min` to `max`, both included. */
export function checkNumber(name: string, value: unknown, min: number, max: number): number {
  if (typeof value === 'number' && value >= min && value <= max && Number.isFinite(value)) return value;
  throw argumentError(name, `a number from ${min} to ${max}`, describe(value));
}

/** A bigint from 0 to 2^64 - 1. Numbers are refused: beyond 2^53 they would be another value than the caller wrote. */
export function checkU64(name: string, value: unknown): bigint {
  if (typeof value === 'bigint' && value >= 0n && value <= maxU64) return value;
  const hint = Number.isSafeInteger(value) && Number(value) >= 0 ? ` (write ${String(value)}n)` : '';
  throw argumentError(name, 'a bigint from 0n to 2n ** 64n - 1n', describe(value) + hint);
}

/** A Uint8Array (a Buffer is one) of `minLength` to `maxLength` bytes. */
export function checkBytes(name: string, value: unknown, minLength: number, maxLength: number): Uint8Array {
  if (types.isUint8Array(value) && value.length >= minLength && value.length <= maxLength) return value;
  const size = minLength === maxLength ? `${minLength}` : `${minLength} to ${maxLength}`;
  throw argumentError(name, `a Uint8Array of ${size} bytes`, describeSecret(value));
}

/** A string of `minLength` to `maxLength` UTF-16 code units. */
export function checkString(
  name: string,
  value: unknown,
  minLength = 0,
  maxLength: number = Number.MAX_SAFE_INTEGER,
): string {
  if (typeof value === 'string' && value.length >= minLength && value.length <= maxLength) return value;
  throw argumentError(name, stringRule(minLength, maxLength), describe(value));
}

function stringRule(minLength: number, maxLength: number): string {
  if (maxLength !== Number.MAX_SAFE_INTEGER) return `a string of ${minLength} to ${maxLength} characters`;
  return minLength === 0 ? 'a string' : `a string of at least ${minLength} characters`;
}

/**
 * Whether it is a string of 1 to `maxBytes` bytes of UTF-8. Half a surrogate pair has no form in UTF-8: two names that differ
 * would be one.
 */
export function isText(value: unknown, maxBytes: number): value is string {
  if (typeof value !== 'string' || value === '' || value.length > maxBytes) return false;
  // UTF-8 has at most three bytes for each code unit.
  if (value.length * 3 > maxBytes && Buffer.byteLength(value) > maxBytes) return false;
  return value.isWellFormed();
}

/** A string for which {@link isText} holds. */
export function checkText(name: string, value: unknown, maxBytes: number): string {
  if (isText(value, maxBytes)) return value;
  throw textError(name, value, maxBytes);
}

/** The error of a value for which {@link isText} does not hold. */
export function textError(name: string, value: unknown, maxBytes: number): HawserError {
  const rule = `a string of 1 to ${maxBytes} bytes of UTF-8, without half a surrogate pair`;
  return argumentError(name, rule, describe(value));
}

export function checkBoolean(name: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw argumentError(name, 'true or false', describe(value));
}

/** Only that it can be called: what it takes and returns is the caller's promise, so the type is kept as declared. */
export function checkFunction<T>(name: string, value: T): T {
  if (typeof value === 'function') return value;
  throw argumentError(name, 'a function', describe(value));
}

export function checkArray(
  name: string,
  value: unknown,
  minLength: number,
  maxLength: number,
): readonly unknown[] {
  if (Array.isArray(value) && value.length >= minLength && value.length <= maxLength) return value;
  throw argumentError(name, `an array of ${minLength} to ${maxLength}`, describe(value));
}

/** One of a few strings. */
export function checkOneOf<const T extends string | number>(
  name: string,
  value: unknown,
  allowed: readonly T[],
): T {
  const found = allowed.find((candidate) => candidate === value);
  if (found !== undefined) return found;
  const texts = allowed.filter((each): each is T & string => typeof each === 'string');
  const rule = `one of ${allowed.map((each) => (typeof each === 'string' ? `'${each}'` : each)).join(', ')}`;
  const close = typeof value === 'string' ? nearest(value, texts) : undefined;
  throw argumentError(
    name,
    rule,
    describe(value) + (close === undefined ? '' : `; did you mean '${close}'?`),
  );
}

/**
 * An object of options: not an array, a byte array or null, and without any key that `known` does not list. A misspelt
 * option would otherwise silently leave its default in force.
 */
export function checkOptions(
  name: string,
  value: unknown,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (!isRecord(value)) throw argumentError(name, 'an object', describe(value));
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    const close = nearest(key, known);
    const hint = close === undefined ? `; known are ${known.join(', ')}` : `; did you mean '${close}'?`;
    throw new HawserError('ERR_HAWSER_ARGUMENT', `unknown option '${key}' in ${name}${hint}`);
  }
  return value;
}

// By tag rather than by prototype, so that objects of another realm (node:vm) and class instances are options too.
function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return Object.prototype.toString.call(value) === '[object Object]';
}

/** The candidate that `text` most likely meant: two letters wrong (as when two are swapped) or a third of them, case aside. */
export function nearest<T extends string>(text: string, candidates: readonly T[]): T | undefined {
  let best: T | undefined;
  let bestDistance = Math.min(text.length, Math.max(3, Math.floor(text.length / 3) + 1));
  for (const candidate of candidates) {
    const distance = editDistance(text.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Levenshtein's distance: the least number of letters to insert, delete or replace. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; ++row) {
    const current = [row];
    for (let column = 1; column <= b.length; ++column) {
      const replaced = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(replaced, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
