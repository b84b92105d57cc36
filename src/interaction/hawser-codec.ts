// The codec of our own format of messages, which hawser-format.ts describes.

import { type CborRules, encodeCbor } from '../base/cbor.js';
import {
  argumentError,
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  describe,
  maxU8,
  maxU32,
} from '../base/check.js';
import { limits, type MessageCodec, ProtocolError } from './codec.js';
import {
  controls,
  decodeFields,
  type Fields,
  parseControl,
  parseInteger,
  parseMessageId,
  parseNotification,
  parseOptionalU32,
  parseResponse,
  parseRest,
  putControl,
  putNotification,
  putResponse,
  requireNumberedKeys,
} from './fields.js';
import { kindFlags, kindMask, kinds, messageTypes, operationCodes, operations } from './hawser-format.js';
import type { Control, Message, Notification, NotificationKind, Request } from './messages.js';
import { parseRequest, parseUnsubscribe, requestPayload } from './payloads.js';
import { decodePlain, encodePlain } from './plain-messages.js';
import type { Value } from './values.js';

/** How the codec `hawser` writes. */
export interface HawserCodecOptions {
  /**
   * Sends control messages as the source document shows them (section 4.2), `{"type": "ping", "seq": 1}`, instead of
   * with numbered keys. Both forms are always understood. Default false.
   */
  readonly stringControl?: boolean;
}

const rules: CborRules = {
  maxBytes: limits.messageBytes,
  maxDepth: limits.depth,
  maxContainers: limits.containers,
  allowIndefinite: false,
};

/**
 * The codec of our own format, for both sides that run this package. Keys that it does not know are ignored.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for a wrong option.
 */
export function hawserCodec(options: HawserCodecOptions = {}): MessageCodec {
  checkOptions('options', options, ['stringControl']);
  const stringControl = checkBoolean('options.stringControl', options.stringControl ?? false);
  return {
    name: 'hawser',
    encode(message) {
      if (stringControl && message.type === 'control') return encodeCbor(namedControl(message), rules);
      return encodePlain(message) ?? encodeAny(message);
    },
    decode: (bytes) => decodePlain(bytes) ?? decodeAny(bytes),
  };
}

/** As `encode` of the codec, for whatever message. */
export function encodeAny(message: Message): Uint8Array {
  return encodeCbor(fieldsOf(message), rules);
}

/** As `decode` of the codec, for whatever bytes. */
export function decodeAny(bytes: Uint8Array): Message {
  return parseMessage(decodeFields(bytes, rules));
}

function fieldsOf(message: Message): Value {
  const fields = new Map<number, Value>([[0, messageTypes[message.type]]]);
  switch (message.type) {
    case 'request':
      putRequest(fields, message);
      break;
    case 'response':
      putResponse(fields, message);
      break;
    case 'notification':
      putNotification(fields, message);
      putKind(fields, message);
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
  fields.set(1, checkInteger('messageId', request.messageId, 1, maxU32));
  fields.set(2, operationCodes[request.operation]);
  if (request.operation !== 'unsubscribe') {
    fields.set(3, checkInteger('endpoint', request.endpoint, 0, maxU8));
    fields.set(4, checkInteger('feature', request.feature, 0, maxU8));
  }
  const payload = requestPayload(request);
  if (payload !== undefined) fields.set(5, payload);
}

function putKind(fields: Map<number, Value>, { kind, sequence }: Notification): void {
  if (kind !== 'change') fields.set(6, kindFlags[kind]);
  if (sequence !== undefined) fields.set(7, checkInteger('sequence', sequence, 0, maxU32));
}

function namedControl({ control, sequence }: Control): Value {
  return new Map<string, Value>([
    ['type', checkOneOf('control', control, controls)],
    ['seq', checkInteger('sequence', sequence, 0, maxU32)],
  ]);
}

function parseMessage(fields: Fields): Message {
  if (fields.has('type') && !fields.has(0)) return parseNamedControl(fields);
  requireNumberedKeys(fields);
  switch (fields.get(0)) {
    case messageTypes.request:
      return parseRequestFields(fields);
    case messageTypes.response:
      return parseResponse(fields);
    case messageTypes.notification:
      return parseNotification(fields, parseKind(fields), parseOptionalU32(fields, 7, 'sequence', undefined));
    case messageTypes.control:
      return parseControl(fields);
    default:
      throw new ProtocolError(wrongType(fields.get(0)), 'UNSUPPORTED');
  }
}

function wrongType(type: Value | undefined): string {
  if (type === undefined) return 'no type (key 0): does the other side use another codec?';
  return `the type of a message is ${describe(type)}`;
}

function parseRequestFields(fields: Fields): Request {
  const messageId = parseMessageId(fields);
  return parseRest(messageId, () => {
    const code = parseInteger(fields, 2, 'operation', 0, maxU8);
    const operation = operations[code - 1];
    if (operation === undefined) throw new ProtocolError(`there is no operation ${code}`, 'UNSUPPORTED');
    const payload = fields.get(5);
    if (operation === 'unsubscribe') return parseUnsubscribe(messageId, payload);
    const endpoint = parseInteger(fields, 3, 'endpoint', 0, maxU8);
    const feature = parseInteger(fields, 4, 'feature', 0, maxU8);
    return parseRequest(operation, { messageId, endpoint, feature }, payload);
  });
}

function parseKind(fields: Fields): NotificationKind {
  const kind = kinds[parseOptionalU32(fields, 6, 'flags', 0) & kindMask];
  if (kind === undefined) throw new ProtocolError('a notification is priming and heartbeat at once');
  return kind;
}

function parseNamedControl(fields: Fields): Control {
  const type = fields.get('type');
  const control = controls.find((each) => each === type);
  if (control === undefined)
    throw new ProtocolError(`the type of a message is ${describe(type)}`, 'UNSUPPORTED');
  return { type: 'control', control, sequence: parseOptionalU32(fields, 'seq', 'seq', 0) };
}
