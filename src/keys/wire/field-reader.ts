// Reads the members of a message. Every rule of a field's form is here, once.

import { isText } from '../../base/check.js';
import { messageLimits } from './messages.js';
import type { JsonObject, JsonValue } from './strict-json.js';

/** A message that is none: which field, and why; what it holds is not in it. */
export class FieldError extends Error {}

/** What is done about members that no field is read for, and about fields that may be null and are absent. */
export type Strictness = 'exact' | 'lenient';

// As RFC 9562 section 4 writes them, in lower case: one id has one form, since ids are compared as texts.
const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The last second of the year 9999: no time of a message is later, and each fits in milliseconds too. */
export const maxUnixSeconds = 253_402_300_799;

/** Whether it is a UUID in lower case. */
export function isUuid(value: unknown): value is string {
  return typeof value === 'string' && uuidPattern.test(value);
}

/** Whether it is an id of an SAE or of a key: 1 to 256 bytes of UTF-8 that are not all blank. */
export function isId(value: unknown): value is string {
  return isText(value, messageLimits.idBytes) && value.trim() !== '';
}

export class FieldReader {
  readonly #members: JsonObject;
  readonly #strictness: Strictness;
  #count = 0;

  /** Reads of the members of one object. */
  constructor(members: JsonObject, strictness: Strictness) {
    this.#members = members;
    this.#strictness = strictness;
  }

  /** To be called when all is read. @throws FieldError, as all reads: something else is there, unless the reader is lenient. */
  end(): void {
    if (this.#strictness === 'exact' && this.#count !== this.#members.size) {
      throw new FieldError('it has a field that is none of its type');
    }
  }

  #take(name: string): JsonValue {
    const value = this.#members.get(name);
    if (value === undefined) throw new FieldError(`${name} is missing`);
    ++this.#count;
    return value;
  }

  /** Whether a field that may be null is; only one that is not is to be read. A lenient reader takes what is absent for null. */
  isNull(name: string): boolean {
    const value = this.#members.get(name);
    if (value === null) ++this.#count;
    return value === null || (value === undefined && this.#strictness === 'lenient');
  }

  uuid(name: string): string {
    const value = this.#take(name);
    if (!isUuid(value)) throw new FieldError(`${name} is no UUID in lower case`);
    return value;
  }

  /** An id of an SAE or of a key. */
  id(name: string): string {
    const value = this.#take(name);
    if (!isId(value)) throw new FieldError(`${name} is no text of 1 to ${messageLimits.idBytes} bytes`);
    return value;
  }

  /** Different ids of keys, at least so many. */
  ids(name: string, atLeast: 0 | 1): readonly string[] {
    const value = this.#take(name);
    if (!Array.isArray(value) || value.length < atLeast || value.length > messageLimits.keyIds) {
      throw new FieldError(`${name} is no array of ${atLeast} to ${messageLimits.keyIds}`);
    }
    const ids: string[] = [];
    for (const id of value) {
      if (!isId(id)) throw new FieldError(`${name} has what is no id`);
      if (ids.includes(id)) throw new FieldError(`${name} has an id twice`);
      ids.push(id);
    }
    return ids;
  }

  /** Unix seconds, from 1 to the end of the year 9999. */
  time(name: string): number {
    return this.integer(name, 1, maxUnixSeconds);
  }

  integer(name: string, min: number, max: number): number {
    const value = this.#take(name);
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) {
      return value + 0; // 0 for -0, which JSON has too.
    }
    throw new FieldError(`${name} is no integer from ${min} to ${max}`);
  }

  /** A text for people, which may be empty. */
  text(name: string): string {
    const value = this.#take(name);
    if (value === '' || isText(value, messageLimits.textBytes)) return value;
    throw new FieldError(`${name} is no text of at most ${messageLimits.textBytes} bytes`);
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.#take(name);
    const found = allowed.find((each) => each === value);
    if (found === undefined) throw new FieldError(`${name} is none of its values`);
    return found;
  }

  /** True, where it is there at all. */
  flag(name: string): true | undefined {
    if (!this.#members.has(name)) return undefined;
    if (this.#take(name) !== true) throw new FieldError(`${name} is not true`);
    return true;
  }

  has(name: string): boolean {
    return this.#members.has(name);
  }

  /** An object within this one. */
  object(name: string): FieldReader {
    const value = this.#take(name);
    if (value instanceof Map) return new FieldReader(value, this.#strictness);
    throw new FieldError(`${name} is no object`);
  }
}
