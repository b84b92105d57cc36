// Messages to frames and back: the format of the protocol that the source document belongs to, byte for byte (docs/sessions.md), and what this
// package adds behind it: more reasons of RequestError, and QueryError.

import {
  argumentError,
  checkArray,
  checkInteger,
  checkOneOf,
  describe,
  isText,
  maxU32,
} from '../../base/check.js';
import { FrameReader, frameError } from './frame-reader.js';
import { FrameWriter, headerBytes, payloadBytes, textBytes } from './frame-writer.js';
import {
  type Capabilities,
  type ClientMessage,
  clientCloseReasons,
  closeReasons,
  limits,
  type RequestErrorReason,
  rejectReasons,
  requestErrorReasons,
  type ServerMessage,
} from './messages.js';

/** The numbers of the types: 1 and on, in this order. */
const clientTypes = [
  'CreateSession',
  'ContinueSession',
  'KeepAlive',
  'ClientRequest',
  'ServerRequestAck',
  'CloseSession',
  'ConnectionClosed',
  'Query',
] as const satisfies readonly ClientMessage['type'][];
const serverTypes = [
  'SessionCreated',
  'SessionContinued',
  'SessionRejected',
  'SessionClosed',
  'KeepAliveResponse',
  'ClientResponse',
  'ServerRequest',
  'RequestError',
  'QueryResponse',
  'QueryError',
] as const satisfies readonly ServerMessage['type'][];

/** No frame that this package writes is longer: one with a payload, a correlation id and what is around them. */
export const maxFrameBytes: number = limits.serverRequestBytes + limits.textBytes + 64;
/** No frame of what may be lost, KeepAlive and its response, is longer. */
export const heartbeatBytes: number = headerBytes + 8;

const noBytes: Uint8Array = new Uint8Array(0);
const capabilityName = /^[A-Za-z0-9_-]+$/;

// ---- To bytes --------------------------------------------------------------------------------------------------------

/**
 * The frame of a message of a client, in memory of its own.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when a part is not what messages.ts allows.
 */
export function encodeClientMessage(message: ClientMessage): Uint8Array {
  const type = clientTypes.indexOf(message.type) + 1;
  switch (message.type) {
    case 'CreateSession':
      return encodeCreateSession(type, message.capabilities, message.nonce);
    case 'ContinueSession': {
      const bytes = textBytes('sessionId', message.sessionId, limits.sessionIdBytes);
      return new FrameWriter(type, 9 + bytes).text8(message.sessionId).nonce(message.nonce).finish();
    }
    case 'KeepAlive':
      return new FrameWriter(type, 8).time('timestamp', message.timestamp).finish();
    case 'ClientRequest':
      return new FrameWriter(type, 28 + payloadBytes('payload', message.payload))
        .id('requestId', message.requestId)
        .id('lowestPendingRequestId', message.lowestPendingRequestId)
        .bytes32(message.payload)
        .time('createdAt', message.createdAt)
        .finish();
    case 'ServerRequestAck':
      return new FrameWriter(type, 8).id('requestId', message.requestId).finish();
    case 'CloseSession':
      return new FrameWriter(type, 1).u8(codeOf('reason', message.reason, clientCloseReasons)).finish();
    case 'ConnectionClosed':
      return new FrameWriter(type, 0).finish();
    case 'Query': {
      const bytes = correlationBytes(message.correlationId) + payloadBytes('payload', message.payload);
      return new FrameWriter(type, 14 + bytes)
        .text16(message.correlationId)
        .bytes32(message.payload)
        .time('createdAt', message.createdAt)
        .finish();
    }
    default:
      throw argumentError('message', 'one with a known type', describe(message satisfies never));
  }
}

/**
 * The frame of a message of a server, in memory of its own.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when a part is not what messages.ts allows.
 */
export function encodeServerMessage(message: ServerMessage): Uint8Array {
  const type = serverTypes.indexOf(message.type) + 1;
  switch (message.type) {
    case 'SessionCreated': {
      const bytes = textBytes('sessionId', message.sessionId, limits.sessionIdBytes);
      return new FrameWriter(type, 9 + bytes).text8(message.sessionId).nonce(message.nonce).finish();
    }
    case 'SessionContinued':
      return new FrameWriter(type, 8).nonce(message.nonce).finish();
    case 'SessionRejected':
      return new FrameWriter(type, 9 + leaderBytes(message.leaderId))
        .u8(codeOf('reason', message.reason, rejectReasons))
        .nonce(message.nonce)
        .optional(message.leaderId)
        .finish();
    case 'SessionClosed':
      return new FrameWriter(type, 1 + leaderBytes(message.leaderId))
        .u8(codeOf('reason', message.reason, closeReasons))
        .optional(message.leaderId)
        .finish();
    case 'KeepAliveResponse':
      return new FrameWriter(type, 8).time('timestamp', message.timestamp).finish();
    case 'ClientResponse':
      return new FrameWriter(type, 12 + payloadBytes('result', message.result))
        .id('requestId', message.requestId)
        .bytes32(message.result)
        .finish();
    case 'ServerRequest':
      return new FrameWriter(type, 20 + payloadBytes('payload', message.payload))
        .id('requestId', message.requestId, 1)
        .bytes32(message.payload)
        .time('createdAt', message.createdAt)
        .finish();
    case 'RequestError': {
      const writer = new FrameWriter(type, 9 + refusalBytes(message)).id('requestId', message.requestId);
      return writeRefusal(writer, message).finish();
    }
    case 'QueryResponse': {
      const bytes = correlationBytes(message.correlationId) + payloadBytes('result', message.result);
      return new FrameWriter(type, 6 + bytes).text16(message.correlationId).bytes32(message.result).finish();
    }
    case 'QueryError': {
      checkQueryReason(message.reason);
      const bytes = 3 + correlationBytes(message.correlationId) + refusalBytes(message);
      return writeRefusal(new FrameWriter(type, bytes).text16(message.correlationId), message).finish();
    }
    default:
      throw argumentError('message', 'one with a known type', describe(message satisfies never));
  }
}

function encodeCreateSession(type: number, capabilities: Capabilities, nonce: bigint): Uint8Array {
  if (!(capabilities instanceof Map)) throw argumentError('capabilities', 'a Map', describe(capabilities));
  const entries = Array.from(capabilities);
  checkArray('capabilities', entries, 1, limits.capabilities);
  let bytes = 0;
  for (const [name, value] of entries) {
    if (!isText(name, limits.textBytes) || !capabilityName.test(name)) {
      throw argumentError('capabilities', "with names of letters, digits, '-' and '_'", describe(name));
    }
    bytes += 4 + name.length + textBytes(`the capability ${describe(name)}`, value, limits.textBytes);
  }
  const writer = new FrameWriter(type, 10 + bytes).u16(entries.length);
  for (const [name, value] of entries) writer.text16(name).text16(value);
  return writer.nonce(nonce).finish();
}

function codeOf<const T extends string>(name: string, value: T, names: readonly T[]): number {
  return names.indexOf(checkOneOf(name, value, names)) + 1;
}

function correlationBytes(correlationId: string): number {
  return textBytes('correlationId', correlationId, limits.textBytes);
}

function leaderBytes(leaderId: string | undefined): number {
  return leaderId === undefined ? 1 : 3 + textBytes('leaderId', leaderId, limits.textBytes);
}

/** Why a request or a query has no result. */
interface Refusal {
  readonly reason: RequestErrorReason;
  readonly error: Uint8Array;
  readonly retryAfterMs: number;
}

/** What stands behind the reason. */
type Tail = 'error' | 'retryAfterMs' | 'nothing';

function tailOf(reason: RequestErrorReason): Tail {
  switch (reason) {
    case 'UserError':
      return 'error';
    case 'StoreUnavailable':
    case 'TooManyRequests':
      return 'retryAfterMs';
    default:
      return 'nothing';
  }
}

/** Of its tail; what is not written has to be as it will be read. */
function refusalBytes({ reason, error, retryAfterMs }: Refusal): number {
  const tail = tailOf(reason);
  const bytes = payloadBytes('error', error);
  if (tail !== 'error' && bytes > 0) {
    throw argumentError('error', `empty with the reason ${describe(reason)}`, describe(error));
  }
  checkInteger('retryAfterMs', retryAfterMs, 0, tail === 'retryAfterMs' ? maxU32 : 0);
  if (tail === 'error') return 4 + bytes;
  return tail === 'retryAfterMs' ? 4 : 0;
}

function writeRefusal(writer: FrameWriter, { reason, error, retryAfterMs }: Refusal): FrameWriter {
  writer.u8(codeOf('reason', reason, requestErrorReasons));
  const tail = tailOf(reason);
  if (tail === 'error') return writer.bytes32(error);
  return tail === 'retryAfterMs' ? writer.u32(retryAfterMs) : writer;
}

function checkQueryReason(reason: RequestErrorReason): void {
  if (reason !== 'ResponseEvicted') return;
  throw argumentError('reason', 'one that queries have: their results are not kept', describe(reason));
}

// ---- From bytes ------------------------------------------------------------------------------------------------------

/**
 * The message of a client that the frame is. Payloads are views of the bytes, valid as long as those are; what lies behind the last field is
 * ignored, as the original implementations do. Takes time linear in the length.
 *
 * @throws HawserError ERR_HAWSER_PROTOCOL for anything else: another signature, version or type, a frame that ends early, and parts that are
 *   not what messages.ts allows.
 */
export function decodeClientMessage(bytes: Uint8Array): ClientMessage {
  const reader = new FrameReader(bytes);
  const type = clientTypes[reader.type - 1];
  switch (type) {
    case 'CreateSession':
      return { type, capabilities: decodeCapabilities(reader), nonce: reader.nonce() };
    case 'ContinueSession':
      return { type, sessionId: reader.text8('the session id'), nonce: reader.nonce() };
    case 'KeepAlive':
      return { type, timestamp: reader.time() };
    case 'ClientRequest':
      return {
        type,
        requestId: reader.id(),
        lowestPendingRequestId: reader.id(),
        payload: reader.bytes32(),
        createdAt: reader.time(),
      };
    case 'ServerRequestAck':
      return { type, requestId: reader.id() };
    case 'CloseSession':
      return { type, reason: reader.code('the reason', clientCloseReasons) };
    case 'ConnectionClosed':
      return { type };
    case 'Query':
      return {
        type,
        correlationId: reader.text16('the correlation id'),
        payload: reader.bytes32(),
        createdAt: reader.time(),
      };
    default:
      throw frameError(`no message of a client has the type ${reader.type}`);
  }
}

/**
 * The message of a server that the frame is.
 *
 * @returns and throws as {@link decodeClientMessage}.
 */
export function decodeServerMessage(bytes: Uint8Array): ServerMessage {
  const reader = new FrameReader(bytes);
  const type = serverTypes[reader.type - 1];
  switch (type) {
    case 'SessionCreated':
      return { type, sessionId: reader.text8('the session id'), nonce: reader.nonce() };
    case 'SessionContinued':
      return { type, nonce: reader.nonce() };
    case 'SessionRejected': {
      const reason = reader.code('the reason', rejectReasons);
      return { type, reason, nonce: reader.nonce(), leaderId: reader.optional('the leader') };
    }
    case 'SessionClosed': {
      const reason = reader.code('the reason', closeReasons);
      return { type, reason, leaderId: reader.optional('the leader') };
    }
    case 'KeepAliveResponse':
      return { type, timestamp: reader.time() };
    case 'ClientResponse':
      return { type, requestId: reader.id(), result: reader.bytes32() };
    case 'ServerRequest':
      return { type, requestId: reader.id(1), payload: reader.bytes32(), createdAt: reader.time() };
    case 'RequestError':
      return { type, requestId: reader.id(), ...decodeRefusal(reader) };
    case 'QueryResponse':
      return { type, correlationId: reader.text16('the correlation id'), result: reader.bytes32() };
    case 'QueryError': {
      const correlationId = reader.text16('the correlation id');
      const { reason, error, retryAfterMs } = decodeRefusal(reader);
      if (reason === 'ResponseEvicted') throw frameError('the reason is none of a query');
      return { type, correlationId, reason, error, retryAfterMs };
    }
    default:
      throw frameError(`no message of a server has the type ${reader.type}`);
  }
}

function decodeCapabilities(reader: FrameReader): Capabilities {
  const count = reader.u16();
  if (count === 0 || count > limits.capabilities) throw frameError(`it has ${count} capabilities`);
  const capabilities = new Map<string, string>();
  for (let n = 0; n < count; ++n) {
    const name = reader.text16('the name of a capability');
    if (!capabilityName.test(name)) throw frameError('the name of a capability has other characters');
    capabilities.set(name, reader.text16('the value of a capability'));
  }
  return capabilities;
}

function decodeRefusal(reader: FrameReader): Refusal {
  const reason = reader.code('the reason', requestErrorReasons);
  const tail = tailOf(reason);
  return {
    reason,
    error: tail === 'error' ? reader.bytes32() : noBytes,
    retryAfterMs: tail === 'retryAfterMs' ? reader.u32() : 0,
  };
}
