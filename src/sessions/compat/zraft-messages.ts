// Messages as the original TypeScript client has them: ids of requests are bigints, times are Dates, payloads are Buffers, and what is absent is left
// out.

import { types } from 'node:util';
import { argumentError, describe } from '../../base/check.js';
import type {
  Capabilities,
  ClientCloseReason,
  ClientMessage,
  CloseReason,
  RejectReason,
  ServerMessage,
} from '../wire/messages.js';

/** What the original client gives to its transport. */
export type ZraftClientMessage =
  | { readonly type: 'CreateSession'; readonly capabilities: Capabilities; readonly nonce: bigint }
  | { readonly type: 'ContinueSession'; readonly sessionId: string; readonly nonce: bigint }
  | { readonly type: 'KeepAlive'; readonly timestamp: Date }
  | {
      readonly type: 'ClientRequest';
      /** Counts the requests of the session, from 1. */
      readonly requestId: bigint;
      /** Results of requests before it are not needed any more. */
      readonly lowestPendingRequestId: bigint;
      /** What the application says. */
      readonly payload: Uint8Array;
      /** The client's clock. */
      readonly createdAt: Date;
    }
  | {
      readonly type: 'Query';
      /** The answer has it, too. */
      readonly correlationId: string;
      /** What the application says. */
      readonly payload: Uint8Array;
      /** The client's clock. */
      readonly createdAt: Date;
    }
  | { readonly type: 'ServerRequestAck'; readonly requestId: bigint }
  | { readonly type: 'CloseSession'; readonly reason: ClientCloseReason }
  | { readonly type: 'ConnectionClosed' };

/** What the original client takes from its transport. */
export type ZraftServerMessage =
  | { readonly type: 'SessionCreated'; readonly sessionId: string; readonly nonce: bigint }
  | { readonly type: 'SessionContinued'; readonly nonce: bigint }
  | {
      readonly type: 'SessionRejected';
      /** Why. */
      readonly reason: RejectReason;
      /** That of the message which it answers. */
      readonly nonce: bigint;
      /** The gateway to go to. */
      readonly leaderId?: string;
    }
  | { readonly type: 'SessionClosed'; readonly reason: CloseReason; readonly leaderId?: string }
  | { readonly type: 'KeepAliveResponse'; readonly timestamp: Date }
  | { readonly type: 'ClientResponse'; readonly requestId: bigint; readonly result: Buffer }
  | { readonly type: 'QueryResponse'; readonly correlationId: string; readonly result: Buffer }
  | {
      readonly type: 'ServerRequest';
      /** That of the request, or a number of the server's own. */
      readonly requestId: bigint;
      /** What the application says. */
      readonly payload: Buffer;
      /** The server's clock. */
      readonly createdAt: Date;
    }
  | { readonly type: 'RequestError'; readonly requestId: bigint; readonly reason: 'ResponseEvicted' };

/** @throws HawserError ERR_HAWSER_ARGUMENT for an id that is no bigint and a time that is no Date. The codec looks at the rest. */
export function toMessage(message: ZraftClientMessage): ClientMessage {
  switch (message.type) {
    case 'KeepAlive':
      return { type: message.type, timestamp: toTime('timestamp', message.timestamp) };
    case 'ClientRequest':
      return {
        type: message.type,
        requestId: toId('requestId', message.requestId),
        lowestPendingRequestId: toId('lowestPendingRequestId', message.lowestPendingRequestId),
        payload: message.payload,
        createdAt: toTime('createdAt', message.createdAt),
      };
    case 'Query': {
      const { type, correlationId, payload } = message;
      return { type, correlationId, payload, createdAt: toTime('createdAt', message.createdAt) };
    }
    case 'ServerRequestAck':
      return { type: message.type, requestId: toId('requestId', message.requestId) };
    default:
      return message;
  }
}

/** The codec refuses what no number holds exactly. */
function toId(name: string, id: bigint): number {
  if (typeof id === 'bigint') return Number(id);
  throw argumentError(name, 'a bigint', describe(id));
}

function toTime(name: string, time: Date): number {
  if (types.isDate(time)) return time.getTime();
  throw argumentError(name, 'a Date', describe(time));
}

/** @returns a message with memory of its own; undefined for what the original protocol does not have. */
export function fromMessage(message: ServerMessage): ZraftServerMessage | undefined {
  switch (message.type) {
    case 'SessionRejected': {
      const { type, reason, nonce } = message;
      return { type, reason, nonce, ...leaderOf(message) };
    }
    case 'SessionClosed':
      return { type: message.type, reason: message.reason, ...leaderOf(message) };
    case 'KeepAliveResponse':
      return { type: message.type, timestamp: new Date(message.timestamp) };
    case 'ClientResponse': {
      const { type, requestId, result } = message;
      return { type, requestId: BigInt(requestId), result: Buffer.from(result) };
    }
    case 'QueryResponse': {
      const { type, correlationId, result } = message;
      return { type, correlationId, result: Buffer.from(result) };
    }
    case 'ServerRequest': {
      const { type, requestId, payload, createdAt } = message;
      return {
        type,
        requestId: BigInt(requestId),
        payload: Buffer.from(payload),
        createdAt: new Date(createdAt),
      };
    }
    case 'RequestError': {
      const { type, requestId, reason } = message;
      return reason === 'ResponseEvicted' ? { type, requestId: BigInt(requestId), reason } : undefined;
    }
    case 'QueryError':
      return undefined;
    default:
      return message;
  }
}

function leaderOf({ leaderId }: { readonly leaderId: string | undefined }): { readonly leaderId?: string } {
  return leaderId === undefined ? {} : { leaderId };
}
