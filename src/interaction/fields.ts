// What both codecs have in common: a message is a CBOR map with numbered keys, and responses, notifications and control
// messages have the same things under the same numbers. Whatever is named parse... throws ProtocolError; whatever is
// named put..., HawserError ERR_HAWSER_ARGUMENT.

import { CborError, type CborRules, decodeCbor } from '../base/cbor.js';
import { argumentError, checkInteger, describe, maxU8, maxU32 } from '../base/check.js';
import { limits, ProtocolError } from './codec.js';
import type { Control, Notification, NotificationKind, Request, Response } from './messages.js';
import { statusCodes, statusOf } from './status.js';
import type { AttributeValues, Value } from './values.js';

/** What a message, or a map within it, is made of. */
export type Fields = ReadonlyMap<number | string, Value>;

const maxAttributeId = 0xffff;

export const noFields: Fields = new Map();

const controlCodes = { ping: 1, pong: 2, close: 3 } as const;

/** The kinds of control messages, in the order of their numbers from 1. */
export const controls: readonly Control['control'][] = ['ping', 'pong', 'close'];

/** The map that the bytes of a message are. */
export function decodeFields(bytes: Uint8Array, rules: CborRules): Fields {
  let value: Value;
  try {
    value = decodeCbor(bytes, rules);
  } catch (error) {
    throw error instanceof CborError
      ? new ProtocolError(`the bytes are no message: ${error.message}`)
      : error;
  }
  return parseFields(value, 'a message');
}

/** Refuses a message that has a string for a key. */
export function requireNumberedKeys(fields: Fields): void {
  for (const key of fields.keys()) {
    if (typeof key !== 'number') throw new ProtocolError(`a key of a message is ${describe(key)}`);
  }
}

/** @param what is said of the value when it is no map. */
export function parseFields(value: Value | undefined, what: string): Fields {
  if (isFields(value)) return value;
  throw new ProtocolError(
    value === undefined ? `${what} is missing` : `${what} is ${describe(value)}, not a map`,
  );
}

/** An integer from `min` to `max`, which must be there. */
export function parseInteger(
  fields: Fields,
  key: number | string,
  name: string,
  min: number,
  max: number,
): number {
  const value = fields.get(key);
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  if (value === undefined) throw new ProtocolError(`${name} is missing`);
  throw new ProtocolError(`${name} is ${describe(value)}, not an integer from ${min} to ${max}`);
}

/** An integer from 0 to 4,294,967,295, or what its absence means. */
export function parseOptionalU32<T>(
  fields: Fields,
  key: number | string,
  name: string,
  absent: T,
): number | T {
  return fields.has(key) ? parseInteger(fields, key, name, 0, maxU32) : absent;
}

export function parseMessageId(fields: Fields): number {
  return parseInteger(fields, 1, 'messageId', 1, maxU32);
}

/**
 * Runs what reads the rest of a request whose id is known already, so that what it throws says which request to answer.
 *
 * @throws ProtocolError as `read` throws it, with the id.
 */
export function parseRest(messageId: number, read: () => Request): Request {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    throw new ProtocolError(error.message, error.status, messageId);
  }
}

export function putResponse(fields: Map<number, Value>, { messageId, status, payload }: Response): void {
  fields.set(1, checkInteger('messageId', messageId, 1, maxU32));
  fields.set(2, statusCodes[status]);
  if (payload !== undefined) fields.set(3, payload);
}

export function parseResponse(fields: Fields): Response {
  const messageId = parseMessageId(fields);
  const code = parseInteger(fields, 2, 'status', 0, maxU8);
  const status = statusOf(code);
  if (status === undefined) throw new ProtocolError(`there is no status ${code}`, 'UNSUPPORTED');
  const payload = fields.get(3);
  if (payload === undefined) return { type: 'response', messageId, status };
  return { type: 'response', messageId, status, payload };
}

export function putNotification(fields: Map<number, Value>, notification: Notification): void {
  fields.set(2, checkInteger('subscriptionId', notification.subscriptionId, 1, maxU32));
  fields.set(3, checkInteger('endpoint', notification.endpoint, 0, maxU8));
  fields.set(4, checkInteger('feature', notification.feature, 0, maxU8));
  fields.set(5, attributeValues('changes', notification.changes, limits.attributes));
}

/** @param sequence where the codec carries it. */
export function parseNotification(
  fields: Fields,
  kind: NotificationKind,
  sequence: number | undefined,
): Notification {
  const type = 'notification';
  const subscriptionId = parseInteger(fields, 2, 'subscriptionId', 1, maxU32);
  const endpoint = parseInteger(fields, 3, 'endpoint', 0, maxU8);
  const feature = parseInteger(fields, 4, 'feature', 0, maxU8);
  const changes = parseAttributeValues(fields.get(5), 'changes', limits.attributes);
  if (sequence === undefined) return { type, subscriptionId, endpoint, feature, changes, kind };
  return { type, subscriptionId, endpoint, feature, changes, kind, sequence };
}

/** A sequence of 0 is left out: absent means 0. */
export function putControl(fields: Map<number, Value>, { control, sequence }: Control): void {
  fields.set(1, controlCodes[control]);
  if (checkInteger('sequence', sequence, 0, maxU32) !== 0) fields.set(2, sequence);
}

export function parseControl(fields: Fields): Control {
  const code = parseInteger(fields, 1, 'the control type', 0, maxU8);
  const control = controls[code - 1];
  if (control === undefined) throw new ProtocolError(`there is no control type ${code}`, 'UNSUPPORTED');
  return { type: 'control', control, sequence: parseOptionalU32(fields, 2, 'sequence', 0) };
}

/** The same values, once their ids and their number are checked. */
export function attributeValues(
  name: string,
  values: AttributeValues,
  maxCount: number = Number.MAX_SAFE_INTEGER,
): AttributeValues {
  if (!(values instanceof Map))
    throw argumentError(name, 'a Map of values by the ids of attributes', describe(values));
  checkCount(name, values.size, maxCount);
  const what = `a key of ${name}`;
  for (const id of values.keys()) checkInteger(what, id, 0, maxAttributeId);
  return values;
}

export function parseAttributeValues(
  value: Value | undefined,
  what: string,
  maxCount: number = Number.MAX_SAFE_INTEGER,
): AttributeValues {
  const fields = parseFields(value, what);
  if (fields.size > maxCount) throw tooMany(fields.size);
  if (hasAttributeIds(fields)) return fields;
  throw new ProtocolError(`${what} has a key that is not an attribute id from 0 to ${maxAttributeId}`);
}

/** The same ids, once they and their number are checked. */
export function attributeIds(ids: readonly number[]): readonly number[] {
  checkCount('attributes', ids.length, limits.attributes);
  for (const id of ids) checkInteger('an element of attributes', id, 0, maxAttributeId);
  return ids;
}

/** None where there is no list, which means all of them. */
export function parseAttributeIds(value: Value | undefined): readonly number[] {
  if (value === undefined) return [];
  if (!isList(value)) throw new ProtocolError(`the attributes are ${describe(value)}, not a list`);
  if (value.length > limits.attributes) throw tooMany(value.length);
  if (value.every(isAttributeId)) return value;
  throw new ProtocolError(`an element of the attributes is not an id from 0 to ${maxAttributeId}`);
}

function checkCount(name: string, count: number, max: number): void {
  if (count > max) throw argumentError(name, `at most ${max}`, `${count}`);
}

function tooMany(count: number): ProtocolError {
  const message = `${count} attributes, of which ${limits.attributes} are allowed`;
  return new ProtocolError(message, 'CONSTRAINT_ERROR');
}

export function isFields(value: Value | undefined): value is Fields {
  return value instanceof Map;
}

export function isList(value: Value | undefined): value is readonly Value[] {
  return Array.isArray(value);
}

function isAttributeId(value: Value): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= maxAttributeId;
}

// The keys of what is decoded are integers or strings.
function hasAttributeIds(fields: Fields): fields is AttributeValues {
  for (const key of fields.keys()) {
    if (typeof key !== 'number' || key < 0 || key > maxAttributeId) return false;
  }
  return true;
}
