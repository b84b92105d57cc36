// What requests and responses carry, which both codecs build and read alike. Whatever is named parse... throws
// ProtocolError. The result of an invoke is any value, so that nothing here builds or reads it; a write and an
// unsubscribe have none.

import { argumentError, checkInteger, describe, maxU8, maxU32 } from '../base/check.js';
import { limits, type MessageCodec, ProtocolError } from './codec.js';
import {
  attributeIds,
  attributeValues,
  type Fields,
  noFields,
  parseAttributeIds,
  parseAttributeValues,
  parseFields,
  parseInteger,
  parseOptionalU32,
} from './fields.js';
import type { Operation, Request, SubscribeRequest } from './messages.js';
import type { AttributeValues, Value } from './values.js';

/** What became of a subscribe. */
export interface SubscribeResult {
  /** 1 to 4,294,967,295. */
  readonly subscriptionId: number;
  /** The subscribed attributes as they are. */
  readonly values: AttributeValues;
  /**
   * In milliseconds, 0 to 4,294,967,295, as the side that has the attributes chose them; undefined where the codec does
   * not carry them.
   */
  readonly minIntervalMs?: number;
  readonly maxIntervalMs?: number;
}

/**
 * The payload of a successful read: `{attributeId: value}`.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for an id that is none.
 */
export function readResult(values: AttributeValues): Value {
  return attributeValues('values', values);
}

/** The values of a successful read. */
export function parseReadResult(payload: Value | undefined): AttributeValues {
  return parseAttributeValues(payload, 'the result of a read');
}

/**
 * The payload of a successful subscribe: `{1: subscriptionId, 2: {attributeId: value}, 3: minIntervalMs, 4:
 * maxIntervalMs}`. Without values it has no key 2, and for `mash`, which does not know them, no keys 3 and 4.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for a number out of its range.
 */
export function subscribeResult(result: SubscribeResult, codec: MessageCodec['name']): Value {
  const fields = new Map<number, Value>();
  fields.set(1, checkInteger('subscriptionId', result.subscriptionId, 1, maxU32));
  if (result.values.size > 0) fields.set(2, attributeValues('values', result.values));
  if (codec !== 'mash') putIntervals(fields, result, 3, 4);
  return fields;
}

/** What a successful subscribe says. */
export function parseSubscribeResult(payload: Value | undefined): SubscribeResult {
  const fields = parseFields(payload, 'the result of a subscribe');
  const subscriptionId = parseInteger(fields, 1, 'subscriptionId', 1, maxU32);
  return {
    subscriptionId,
    values: parseAttributeValues(orNone(fields.get(2)), 'the values of a subscribe'),
    ...parseIntervals(fields, 3, 4),
  };
}

/** The payload of a response whose status is not SUCCESS: `{1: message}`, for people. */
export function errorPayload(message: string): Value {
  return new Map([[1, message]]);
}

/** The message of such a response; undefined when it has none. */
export function parseErrorPayload(payload: Value | undefined): string | undefined {
  if (payload === undefined) return undefined;
  const message = parseFields(payload, 'the payload of an error').get(1);
  if (message === undefined || typeof message === 'string') return message;
  throw new ProtocolError(`the message of an error is ${describe(message)}, not a string`);
}

/**
 * What a request carries; undefined for a read of all attributes.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for a number out of its range, or more attributes than a message may have.
 */
export function requestPayload(request: Request): Value | undefined {
  switch (request.operation) {
    case 'read':
      return request.attributes.length === 0 ? undefined : new Map([[1, attributeIds(request.attributes)]]);
    case 'write':
      return attributeValues('values', request.values, limits.attributes);
    case 'subscribe': {
      const fields = new Map<number, Value>();
      if (request.attributes.length > 0) fields.set(1, attributeIds(request.attributes));
      putIntervals(fields, request, 2, 3);
      return fields;
    }
    case 'unsubscribe':
      return new Map([[1, checkInteger('subscriptionId', request.subscriptionId, 1, maxU32)]]);
    case 'invoke': {
      const fields = new Map<number, Value>([[1, checkInteger('command', request.command, 0, maxU8)]]);
      if (request.parameters !== undefined) fields.set(2, request.parameters);
      return fields;
    }
    default:
      throw argumentError('request', 'one with a known operation', describe(request satisfies never));
  }
}

/** Which request it is, and where it goes. */
export interface RequestHead {
  readonly messageId: number;
  readonly endpoint: number;
  readonly feature: number;
}

/** The request that a payload makes of its head. */
export function parseRequest(
  operation: Exclude<Operation, 'unsubscribe'>,
  { messageId, endpoint, feature }: RequestHead,
  payload: Value | undefined,
): Request {
  const type = 'request';
  // Each object is written out: to spread the head into it would take longer than all else here.
  switch (operation) {
    case 'read': {
      const fields = parseFields(orNone(payload), 'the payload of a read');
      const attributes = parseAttributeIds(fields.get(1));
      return { type, messageId, endpoint, feature, operation, attributes };
    }
    case 'write': {
      const values = parseAttributeValues(payload, 'the payload of a write', limits.attributes);
      return { type, messageId, endpoint, feature, operation, values };
    }
    case 'subscribe': {
      const fields = parseFields(orNone(payload), 'the payload of a subscribe');
      const attributes = parseAttributeIds(fields.get(1));
      const intervals = parseIntervals(fields, 2, 3);
      return { type, messageId, endpoint, feature, operation, attributes, ...intervals };
    }
    case 'invoke': {
      const fields = parseFields(payload, 'the payload of an invoke');
      const command = parseInteger(fields, 1, 'command', 0, maxU8);
      const parameters = fields.get(2);
      const invoke = { type, messageId, endpoint, feature, operation, command } as const;
      return parameters === undefined ? invoke : { ...invoke, parameters };
    }
  }
}

/** The request to end the subscription that a payload names. */
export function parseUnsubscribe(messageId: number, payload: Value | undefined): Request {
  const fields = parseFields(payload, 'the payload of an unsubscribe');
  const subscriptionId = parseInteger(fields, 1, 'subscriptionId', 1, maxU32);
  return { type: 'request', operation: 'unsubscribe', messageId, subscriptionId };
}

/** What is left out has nothing in it. Null is not left out. */
function orNone(value: Value | undefined): Value {
  return value === undefined ? noFields : value;
}

type Intervals = Pick<SubscribeRequest, 'minIntervalMs' | 'maxIntervalMs'>;

function putIntervals(
  fields: Map<number, Value>,
  intervals: Intervals,
  minKey: number,
  maxKey: number,
): void {
  const { minIntervalMs, maxIntervalMs } = intervals;
  if (minIntervalMs !== undefined)
    fields.set(minKey, checkInteger('minIntervalMs', minIntervalMs, 0, maxU32));
  if (maxIntervalMs !== undefined)
    fields.set(maxKey, checkInteger('maxIntervalMs', maxIntervalMs, 0, maxU32));
}

function parseIntervals(fields: Fields, minKey: number, maxKey: number): Intervals {
  const minIntervalMs = parseOptionalU32(fields, minKey, 'minIntervalMs', undefined);
  const maxIntervalMs = parseOptionalU32(fields, maxKey, 'maxIntervalMs', undefined);
  return {
    ...(minIntervalMs !== undefined && { minIntervalMs }),
    ...(maxIntervalMs !== undefined && { maxIntervalMs }),
  };
}
