// The format of mash-go, byte for byte: a CBOR map with numbered keys and nothing that says what the message is.
//
//   request       1: messageId, 2: operation, 3: endpoint, 4: feature, 5: payload
//   response      1: messageId, 2: status, 3: payload
//   notification  1: 0, 2: subscriptionId, 3: endpoint, 4: feature, 5: changes
//   control       1: control type, 2: sequence
//
// mash-go leaves out intervals and sequences of 0 and lists and maps without elements, and takes absence for them.

import { type CborRules, encodeCbor } from '../base/cbor.js';
import { argumentError, checkInteger, describe, maxU8, maxU32 } from '../base/check.js';
import { limits, type MessageCodec, ProtocolError } from './codec.js';
import {
  controls,
  decodeFields,
  type Fields,
  isFields,
  isList,
  noFields,
  parseControl,
  parseInteger,
  parseMessageId,
  parseNotification,
  parseResponse,
  parseRest,
  putControl,
  putNotification,
  putResponse,
  requireNumberedKeys,
} from './fields.js';
import type { InvokeRequest, Message, Request, Response, SubscribeRequest } from './messages.js';
import { parseRequest, parseUnsubscribe, type RequestHead, requestPayload } from './payloads.js';
import type { Value } from './values.js';

/** The longest message that mash-go sends or accepts. */
export const mashMessageBytes = 8_192;

const rules: CborRules = {
  maxBytes: mashMessageBytes,
  maxDepth: limits.depth,
  maxContainers: limits.containers,
  allowIndefinite: true,
  allowLongIntegers: true,
};

/** An unsubscribe has no number of its own: it is a subscribe to feature 0 of endpoint 0 that names a subscription. */
const operationCodes = { read: 1, write: 2, subscribe: 3, invoke: 4, unsubscribe: 3 } as const;
const operations = ['read', 'write', 'subscribe', 'invoke'] as const;

/** A response to a message id below it, and without a payload, cannot be told from a control message. */
const leastClearMessageId = controls.length + 1;

/**
 * The codec for devices and controllers that run mash-go. The kind and the sequence of a notification, which it cannot
 * say, are left out; intervals of 0, which mean the default there, and parameters that are not a map with string keys
 * are refused. A response to a `messageId` below 4 always has a payload: an empty map where none is given.
 *
 * What a message is follows from its keys as it does in mash-go. The first of these that holds decides: key 1 is 0, a
 * notification; key 3 is a map, a response; key 1 is 1 to 3, with neither key 3 nor key 4, a control message, even if
 * it was meant as a response; key 2 is above 4, a response; key 2 is 1 to 4, with key 4, a request; key 2 is 0 or
 * absent, with keys 3 and 4, a request, which is then refused; all else is a response.
 */
export function mashCodec(): MessageCodec {
  return {
    name: 'mash',
    encode: (message) => encodeCbor(fieldsOf(message), rules),
    decode(bytes) {
      const fields = decodeFields(bytes, rules);
      requireNumberedKeys(fields);
      return parseMessage(fields);
    },
  };
}

function fieldsOf(message: Message): Value {
  const fields = new Map<number, Value>();
  switch (message.type) {
    case 'request':
      putRequest(fields, message);
      break;
    case 'response':
      putResponse(fields, withPayload(message));
      break;
    case 'notification':
      fields.set(1, 0);
      putNotification(fields, message);
      break;
    case 'control':
      putControl(fields, message);
      break;
    default:
      throw argumentError('message', 'one with a known type', describe(message satisfies never));
  }
  return fields;
}

function putRequest(fields: Map<number, Value>, request: Request): void {
  const isUnsubscribe = request.operation === 'unsubscribe';
  fields.set(1, checkInteger('messageId', request.messageId, 1, maxU32));
  fields.set(2, operationCodes[request.operation]);
  fields.set(3, isUnsubscribe ? 0 : checkInteger('endpoint', request.endpoint, 0, maxU8));
  fields.set(4, isUnsubscribe ? 0 : checkInteger('feature', request.feature, 0, maxU8));
  if (request.operation === 'subscribe') refuseZeroIntervals(request);
  const payload = requestPayload(request.operation === 'invoke' ? withNamedParameters(request) : request);
  if (payload !== undefined) fields.set(5, payload);
}

function refuseZeroIntervals({ minIntervalMs, maxIntervalMs }: SubscribeRequest): void {
  for (const [name, ms] of Object.entries({ minIntervalMs, maxIntervalMs })) {
    if (ms === 0) throw argumentError(name, 'above 0 or left out, for mash-go takes 0 for its default', '0');
  }
}

function withNamedParameters({ parameters, ...request }: InvokeRequest): InvokeRequest {
  if (parameters === undefined) return request;
  if (!isFields(parameters) || !isNamed(parameters)) {
    throw argumentError('parameters', 'a Map with string keys', describe(parameters));
  }
  return parameters.size === 0 ? request : { ...request, parameters };
}

function withPayload(response: Response): Response {
  const isClear = response.payload !== undefined || response.messageId >= leastClearMessageId;
  return isClear ? response : { ...response, payload: noFields };
}

function parseMessage(fields: Fields): Message {
  switch (typeOf(fields)) {
    case 'request':
      return parseRequestFields(fields);
    case 'response':
      return parseResponse(fields);
    case 'notification':
      return parseNotification(withEmptyChanges(fields), 'change', undefined);
    case 'control':
      return parseControl(fields);
  }
}

function typeOf(fields: Fields): Message['type'] {
  const first = fields.get(1);
  const second = fields.get(2) ?? 0;
  if (first === 0) return 'notification';
  if (isFields(fields.get(3))) return 'response';
  if (isWithin(first, 1, controls.length) && !fields.has(3) && !fields.has(4)) return 'control';
  if (isWithin(second, 1, operations.length)) return fields.has(4) ? 'request' : 'response';
  return second === 0 && fields.has(3) && fields.has(4) ? 'request' : 'response';
}

function parseRequestFields(fields: Fields): Request {
  const messageId = parseMessageId(fields);
  return parseRest(messageId, () => {
    const code = parseInteger(fields, 2, 'operation', 0, maxU8);
    const operation = operations[code - 1];
    if (operation === undefined) throw new ProtocolError(`there is no operation ${code}`, 'UNSUPPORTED');
    const endpoint = fields.has(3) ? parseInteger(fields, 3, 'endpoint', 0, maxU8) : 0;
    const feature = parseInteger(fields, 4, 'feature', 0, maxU8);
    // A payload of null is none to mash-go.
    return parsePayload(operation, { messageId, endpoint, feature }, fields.get(5) ?? undefined);
  });
}

function parsePayload(
  operation: (typeof operations)[number],
  head: RequestHead,
  payload: Value | undefined,
): Request {
  // A bare list of ids is how mash-go's own client reads.
  if (operation === 'read' && isList(payload)) return parseRequest(operation, head, new Map([[1, payload]]));
  if (!isFields(payload)) return parseRequest(operation, head, payload);
  if (operation === 'invoke') return parseRequest(operation, head, withoutNullParameters(payload));
  if (operation !== 'subscribe') return parseRequest(operation, head, payload);
  if (head.endpoint === 0 && head.feature === 0 && typeof payload.get(1) === 'number') {
    return parseUnsubscribe(head.messageId, payload);
  }
  return parseRequest(operation, head, without(payload, [2, 3], 0));
}

function withoutNullParameters(payload: Fields): Fields {
  const fields = without(payload, [2], null);
  const parameters = fields.get(2);
  if (parameters === undefined || (isFields(parameters) && isNamed(parameters))) return fields;
  throw new ProtocolError(`the parameters are ${describe(parameters)}, not a map with string keys`);
}

/** mash-go sends null for the changes of a heartbeat that has none. */
function withEmptyChanges(fields: Fields): Fields {
  return (fields.get(5) ?? null) === null ? new Map(fields).set(5, noFields) : fields;
}

/** The fields without those of `keys` that say no more than if they were absent. */
function without(fields: Fields, keys: readonly number[], absent: 0 | null): Fields {
  return new Map(
    [...fields].filter(([key, value]) => value !== absent || !keys.some((each) => each === key)),
  );
}

function isNamed(fields: Fields): boolean {
  return [...fields.keys()].every((key) => typeof key === 'string');
}

function isWithin(value: Value | undefined, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max;
}
