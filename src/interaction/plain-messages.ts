// The usual messages of our own format, written and read without a map of their fields in between: requests, responses
// and notifications whose values are plain and whose fields are in order. For whatever else there is, these return
// undefined, and hawser-codec.ts goes the long way, which alone says what is refused, and why.

import { maxU8, maxU32 } from '../base/check.js';
import { PlainReader, PlainWriter } from '../base/plain-cbor.js';
import { limits } from './codec.js';

import { kindFlags, kinds, messageTypes, operationCodes, operations } from './hawser-format.js';
import type {
  InvokeRequest,
  Message,
  Notification,
  ReadRequest,
  Request,
  Response,
  SubscribeRequest,
  UnsubscribeRequest,
} from './messages.js';
import { statusCodes, statusOf } from './status.js';

const writer = new PlainWriter();

/** The bytes of a message; undefined when it is not plain. */
export function encodePlain(message: Message): Uint8Array | undefined {
  writer.begin();
  switch (message.type) {
    case 'request':
      writeRequest(message);
      break;
    case 'response':
      writeResponse(message);
      break;
    case 'notification':
      writeNotification(message);
      break;
    default:
      return undefined;
  }
  return writer.finish();
}

function writeRequest(request: Request): void {
  switch (request.operation) {
    case 'read':
      writeRead(request);
      break;
    case 'write':
      writeHead(request, 6);
      writer.key(5);
      writer.numberedMap(request.values, limits.attributes);
      break;
    case 'subscribe':
      writeSubscribe(request);
      break;
    case 'invoke':
      writeInvoke(request);
      break;
    case 'unsubscribe':
      writeUnsubscribe(request);
      break;
    default:
      writer.giveUp();
  }
}

function writeHead(request: Exclude<Request, UnsubscribeRequest>, count: number): void {
  writer.map(count);
  writer.field(0, messageTypes.request, 0, maxU8);
  writer.field(1, request.messageId, 1, maxU32);
  writer.field(2, operationCodes[request.operation], 0, maxU8);
  writer.field(3, request.endpoint, 0, maxU8);
  writer.field(4, request.feature, 0, maxU8);
}

function writeRead(request: ReadRequest): void {
  const isAll = isNone(request.attributes);
  writeHead(request, isAll ? 5 : 6);
  if (isAll) return;
  writer.key(5);
  writer.map(1);
  writer.key(1);
  writer.ids(request.attributes, limits.attributes);
}

function writeSubscribe(request: SubscribeRequest): void {
  const { attributes, minIntervalMs, maxIntervalMs } = request;
  const isAll = isNone(attributes);
  const hasIntervals = minIntervalMs !== undefined && maxIntervalMs !== undefined;
  // One interval without the other is not usual.
  if (!hasIntervals && minIntervalMs !== maxIntervalMs) writer.giveUp();
  writeHead(request, 6);
  writer.key(5);
  writer.map((isAll ? 0 : 1) + (hasIntervals ? 2 : 0));
  if (!isAll) {
    writer.key(1);
    writer.ids(attributes, limits.attributes);
  }
  if (hasIntervals) {
    writer.field(2, minIntervalMs, 0, maxU32);
    writer.field(3, maxIntervalMs, 0, maxU32);
  }
}

/** False for what is no list, too, which the writer gives up. */
function isNone(attributes: readonly number[]): boolean {
  return Array.isArray(attributes) && attributes.length === 0;
}

function writeInvoke(request: InvokeRequest): void {
  const { command, parameters } = request;
  writeHead(request, 6);
  writer.key(5);
  writer.map(parameters === undefined ? 1 : 2);
  writer.field(1, command, 0, maxU8);
  if (parameters === undefined) return;
  writer.key(2);
  writer.value(parameters);
}

function writeUnsubscribe({ messageId, subscriptionId }: UnsubscribeRequest): void {
  writer.map(4);
  writer.field(0, messageTypes.request, 0, maxU8);
  writer.field(1, messageId, 1, maxU32);
  writer.field(2, operationCodes.unsubscribe, 0, maxU8);
  writer.key(5);
  writer.map(1);
  writer.field(1, subscriptionId, 1, maxU32);
}

function writeResponse({ messageId, status, payload }: Response): void {
  writer.map(payload === undefined ? 3 : 4);
  writer.field(0, messageTypes.response, 0, maxU8);
  writer.field(1, messageId, 1, maxU32);
  writer.field(2, statusCodes[status], 0, maxU8);
  if (payload === undefined) return;
  writer.key(3);
  writer.value(payload);
}

function writeNotification(notification: Notification): void {
  const { kind, sequence } = notification;
  writer.map(5 + (kind === 'change' ? 0 : 1) + (sequence === undefined ? 0 : 1));
  writer.field(0, messageTypes.notification, 0, maxU8);
  writer.field(2, notification.subscriptionId, 1, maxU32);
  writer.field(3, notification.endpoint, 0, maxU8);
  writer.field(4, notification.feature, 0, maxU8);
  writer.key(5);
  writer.numberedMap(notification.changes, limits.attributes);
  if (kind !== 'change') writer.field(6, kindFlags[kind], 0, maxU8);
  if (sequence !== undefined) writer.field(7, sequence, 0, maxU32);
}

/** The message that the bytes are, which shares no memory with them; undefined when it is not plain. */
export function decodePlain(bytes: Uint8Array): Message | undefined {
  const reader = new PlainReader(bytes);
  const count = reader.map();
  switch (reader.field(0, 0, maxU8)) {
    case messageTypes.request:
      return readRequest(reader, count);
    case messageTypes.response:
      return readResponse(reader, count);
    case messageTypes.notification:
      return readNotification(reader, count);
    default:
      return undefined;
  }
}

function readRequest(reader: PlainReader, count: number): Request | undefined {
  const type = 'request';
  const messageId = reader.field(1, 1, maxU32);
  const operation = operations[reader.field(2, 0, maxU8) - 1];
  if (operation === 'unsubscribe') return readUnsubscribe(reader, count, messageId);
  const endpoint = reader.field(3, 0, maxU8);
  const feature = reader.field(4, 0, maxU8);
  if (count === 6) reader.key(5);
  else reader.require(count === 5 && operation === 'read');
  switch (operation) {
    case 'read': {
      const attributes = count === 6 ? readAttributes(reader) : [];
      return reader.finish() ? { type, messageId, endpoint, feature, operation, attributes } : undefined;
    }
    case 'write': {
      const values = reader.numberedMap(limits.attributes);
      return reader.finish() ? { type, messageId, endpoint, feature, operation, values } : undefined;
    }
    case 'subscribe':
      return readSubscribe(reader, messageId, endpoint, feature);
    case 'invoke':
      return readInvoke(reader, messageId, endpoint, feature);
    default:
      return undefined;
  }
}

function readAttributes(reader: PlainReader): readonly number[] {
  reader.require(reader.map() === 1);
  reader.key(1);
  return reader.ids(limits.attributes);
}

function readSubscribe(
  reader: PlainReader,
  messageId: number,
  endpoint: number,
  feature: number,
): Request | undefined {
  const type = 'request';
  const operation = 'subscribe';
  const count = reader.map();
  const hasAttributes = count > 0 && reader.hasKey(1);
  const attributes = hasAttributes ? reader.ids(limits.attributes) : [];
  const left = hasAttributes ? count - 1 : count;
  if (left === 0) {
    return reader.finish() ? { type, messageId, endpoint, feature, operation, attributes } : undefined;
  }
  reader.require(left === 2);
  const minIntervalMs = reader.field(2, 0, maxU32);
  const maxIntervalMs = reader.field(3, 0, maxU32);
  if (!reader.finish()) return undefined;
  return { type, messageId, endpoint, feature, operation, attributes, minIntervalMs, maxIntervalMs };
}

function readInvoke(
  reader: PlainReader,
  messageId: number,
  endpoint: number,
  feature: number,
): Request | undefined {
  const type = 'request';
  const operation = 'invoke';
  const count = reader.map();
  const command = reader.field(1, 0, maxU8);
  if (count === 1) {
    return reader.finish() ? { type, messageId, endpoint, feature, operation, command } : undefined;
  }
  reader.require(count === 2);
  reader.key(2);
  const parameters = reader.value();
  return reader.finish() ? { type, messageId, endpoint, feature, operation, command, parameters } : undefined;
}

function readUnsubscribe(reader: PlainReader, count: number, messageId: number): Request | undefined {
  reader.require(count === 4);
  reader.key(5);
  reader.require(reader.map() === 1);
  const subscriptionId = reader.field(1, 1, maxU32);
  if (!reader.finish()) return undefined;
  return { type: 'request', operation: 'unsubscribe', messageId, subscriptionId };
}

function readResponse(reader: PlainReader, count: number): Response | undefined {
  const messageId = reader.field(1, 1, maxU32);
  const status = statusOf(reader.field(2, 0, maxU8));
  if (status === undefined) return undefined;
  if (count === 3) return reader.finish() ? { type: 'response', messageId, status } : undefined;
  reader.require(count === 4);
  reader.key(3);
  const payload = reader.value();
  return reader.finish() ? { type: 'response', messageId, status, payload } : undefined;
}

function readNotification(reader: PlainReader, count: number): Notification | undefined {
  const type = 'notification';
  const subscriptionId = reader.field(2, 1, maxU32);
  const endpoint = reader.field(3, 0, maxU8);
  const feature = reader.field(4, 0, maxU8);
  reader.key(5);
  const changes = reader.numberedMap(limits.attributes);
  const hasKind = count > 5 && reader.hasKey(6);
  const kind = kinds[hasKind ? reader.integer(0, maxU8) : kindFlags.change];
  if (kind === undefined) return undefined;
  const left = count - (hasKind ? 6 : 5);
  if (left === 0) {
    return reader.finish() ? { type, subscriptionId, endpoint, feature, changes, kind } : undefined;
  }
  reader.require(left === 1);
  const sequence = reader.field(7, 0, maxU32);
  return reader.finish() ? { type, subscriptionId, endpoint, feature, changes, kind, sequence } : undefined;
}
