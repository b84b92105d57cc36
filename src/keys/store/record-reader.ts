// Records of a key store as JSON: objects by the names of their fields. What is read is checked field by field, and nothing else may be there.

import { describe, isText } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';

/** A session with all that was answered in it is the longest record. */
const maxRecordBytes = 2 ** 18;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const u64Text = /^(?:0|[1-9][0-9]{0,19})$/;

/**
 * A record as bytes. Properties that are undefined are left out. That it can be read again is for the caller to check, who has a reader for it:
 * to write each record and to read it back would take most of the time of a commit.
 *
 * @param what names the record in errors.
 * @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG.
 */
export function encodeRecord(what: string, record: object): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(record));
  if (bytes.length <= maxRecordBytes) return bytes;
  const message = `${what} has ${bytes.length} bytes; ${maxRecordBytes} are allowed`;
  throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', message);
}

/**
 * Reads a record that was encoded.
 *
 * @param what names the record in errors.
 * @throws HawserError ERR_HAWSER_STORE_FORMAT when it is no object in JSON.
 */
export function readRecord(what: string, bytes: Uint8Array): RecordReader {
  let value: unknown;
  try {
    value = JSON.parse(utf8.decode(bytes));
  } catch {
    // What these say has parts of the record in it.
    throw formatError(what, 'it is no JSON');
  }
  return new RecordReader(what, value);
}

/**
 * The fields of one object. Each method takes a field, each field is taken once, and ERR_HAWSER_STORE_FORMAT is thrown when it is not as
 * asked for. A field that is undefined is not there.
 */
export class RecordReader {
  readonly #what: string;
  readonly #fields: Readonly<Record<string, unknown>>;
  #taken = 0;

  constructor(what: string, value: unknown) {
    if (!isRecord(value)) throw formatError(what, 'it is no object');
    this.#what = what;
    this.#fields = value;
  }

  /** To be called last: no field may be left. */
  end(): void {
    if (this.names().length !== this.#taken) throw formatError(this.#what, 'it has a field too many');
  }

  has(name: string): boolean {
    return this.#get(name) !== undefined;
  }

  /** The names of all fields. */
  names(): string[] {
    return Object.keys(this.#fields).filter((name) => this.#fields[name] !== undefined);
  }

  /** A text of 1 to `maxBytes` bytes. */
  text(name: string, maxBytes: number): string {
    return this.#isText(name, this.#take(name), maxBytes);
  }

  /** The same, or an empty one. */
  anyText(name: string, maxBytes: number): string {
    const value = this.#take(name);
    return value === '' ? value : this.#isText(name, value, maxBytes);
  }

  anyTextOrNull(name: string, maxBytes: number): string | null {
    return this.#skipNull(name) ? null : this.anyText(name, maxBytes);
  }

  textOrNull(name: string, maxBytes: number): string | null {
    return this.#skipNull(name) ? null : this.text(name, maxBytes);
  }

  /** A list of at most `maxCount` different texts. */
  texts(name: string, maxCount: number, maxBytes: number): string[] {
    const value = this.#take(name);
    if (!Array.isArray(value) || value.length > maxCount) throw this.#error(name);
    const texts = Array.from(value, (each: unknown) => this.#isText(name, each, maxBytes));
    if (texts.length > 1 && new Set(texts).size !== texts.length) throw this.#error(name);
    return texts;
  }

  oneOf<const T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.#take(name);
    const found = allowed.find((each) => each === value);
    if (found === undefined) throw this.#error(name);
    return found;
  }

  oneOfOrNull<const T extends string>(name: string, allowed: readonly T[]): T | null {
    return this.#skipNull(name) ? null : this.oneOf(name, allowed);
  }

  integer(name: string, min = 0, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.number(name);
    if (!Number.isInteger(value) || value < min || value > max) throw this.#error(name);
    return value;
  }

  integerOrNull(name: string): number | null {
    return this.#skipNull(name) ? null : this.integer(name);
  }

  /** A finite number that is not negative. */
  number(name: string): number {
    const value = this.#take(name);
    if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) throw this.#error(name);
    return value;
  }

  numberOrNull(name: string): number | null {
    return this.#skipNull(name) ? null : this.number(name);
  }

  /** An integer below 2^64, which is kept as its decimal digits. */
  u64(name: string): bigint {
    const value = this.#take(name);
    const integer = typeof value === 'string' && u64Text.test(value) ? BigInt(value) : undefined;
    if (integer === undefined || integer >= 2n ** 64n) throw this.#error(name);
    return integer;
  }

  flag(name: string): boolean {
    const value = this.#take(name);
    if (typeof value !== 'boolean') throw this.#error(name);
    return value;
  }

  /** The field has to be `true`. */
  isTrue(name: string): true {
    if (!this.flag(name)) throw this.#error(name);
    return true;
  }

  record(name: string): RecordReader {
    return new RecordReader(`${name} of ${this.#what}`, this.#take(name));
  }

  recordOrNull(name: string): RecordReader | null {
    return this.#skipNull(name) ? null : this.record(name);
  }

  #get(name: string): unknown {
    return Object.hasOwn(this.#fields, name) ? this.#fields[name] : undefined;
  }

  #take(name: string): unknown {
    const value = this.#get(name);
    if (value === undefined) throw this.#error(name);
    ++this.#taken;
    return value;
  }

  /** Takes the field when it is null. */
  #skipNull(name: string): boolean {
    if (this.#get(name) !== null) return false;
    ++this.#taken;
    return true;
  }

  #isText(name: string, value: unknown, maxBytes: number): string {
    if (!isText(value, maxBytes)) throw this.#error(name);
    return value;
  }

  #error(field: string): HawserError {
    return formatError(this.#what, `${describe(field)} is not as it has to be`);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The error of a record that is damaged. */
export function formatError(what: string, reason: string): HawserError {
  return new HawserError('ERR_HAWSER_STORE_FORMAT', `${what} is damaged: ${reason}`);
}
