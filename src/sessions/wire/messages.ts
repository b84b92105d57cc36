// What clients and servers of sessions say to each other. One message is one frame; `codec.ts` has their bytes.

/** Bounds of what a message may carry; the payloads' are those of the source document's contracts. */
export const limits = {
  /** Bytes of UTF-8 of a session id. */
  sessionIdBytes: 255,
  /** Bytes of UTF-8 of a correlation id, a member id, a capability's name or value. */
  textBytes: 65_535,
  /** Capabilities of a client that this implementation takes; the wire could carry 65,535. */
  capabilities: 64,
  /** Bytes of UTF-8 of all names and values of a session's capabilities: they are kept, and read by every gateway. */
  capabilitiesBytes: 16_384,
  /** Bytes of the payload of a request or query of a client. */
  requestBytes: 1_048_576,
  /** Bytes of a result, an error, or the payload of a server request. */
  serverRequestBytes: 10_485_760,
} as const;

/** The bytes that count for `limits.capabilitiesBytes`. */
export function capabilitiesBytes(capabilities: Capabilities): number {
  let bytes = 0;
  for (const [name, value] of capabilities) bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
  return bytes;
}

/** Names to values; not empty. A name has the letters A-Z, a-z, digits, `-` and `_`; a value is not empty. */
export type Capabilities = ReadonlyMap<string, string>;

/** The capability of clients that know what this package adds to the protocol, and its value. */
export const hawserCapability = { name: 'hawser', value: '1' } as const;
/** The capability by which a client declares how its requests count; `exactly-once` without it. */
export const deliveryCapability = 'hawser-delivery';
/** What a session promises about requests that may have been sent twice. */
export const deliveries = ['exactly-once', 'at-most-once'] as const;
/**
 * - `exactly-once`: the effects of a request in the store happen once, however often it is sent; its result is kept until the client has it.
 * - `at-most-once`: nothing is kept. A request whose response is lost is not sent again.
 */
export type Delivery = (typeof deliveries)[number];

/** Why a session was not begun or continued. `SessionExpired` also stands for one that is unknown, or another's. */
export const rejectReasons = ['NotLeader', 'SessionExpired', 'InvalidCapabilities', 'Other'] as const;
/** One of `rejectReasons`. */
export type RejectReason = (typeof rejectReasons)[number];

/** Why a server is done with a connection. `ConnectionClosed` is never sent: a client says it to itself when its connection is lost. */
export const closeReasons = [
  'Shutdown',
  'NotLeaderAnymore',
  'SessionError',
  'ConnectionClosed',
  'SessionExpired',
] as const;
/** One of `closeReasons`. */
export type CloseReason = (typeof closeReasons)[number];

/** Why a client ends its session. */
export const clientCloseReasons = ['ClientShutdown'] as const;
export type ClientCloseReason = (typeof clientCloseReasons)[number];

/** Reasons of RequestError: the first is that of the protocol, the others are sent only to clients with {@link hawserCapability}. */
export const requestErrorReasons = [
  /** The result is not kept any more; the request is never carried out again. */
  'ResponseEvicted',
  /** The application answered with an error: that is the outcome, which is kept as a result is. */
  'UserError',
  /** The store cannot be reached: nothing was committed. The same request may be sent again, after a while. */
  'StoreUnavailable',
  /** The handler failed: nothing was committed. */
  'HandlerFailed',
  /** The payload is longer than the server takes. */
  'PayloadTooLong',
  /** Too many requests are under way in the session, or write what this one reads: the same request may be sent again, after a while. */
  'TooManyRequests',
] as const;
export type RequestErrorReason = (typeof requestErrorReasons)[number];

/** What a client says. Ids of requests are 0 to 2^53 - 1; times are Unix milliseconds, integers within +-(2^53 - 1). */
export type ClientMessage =
  /** @property nonce int64, not 0, another one for each attempt. */
  | { readonly type: 'CreateSession'; readonly capabilities: Capabilities; readonly nonce: bigint }
  | { readonly type: 'ContinueSession'; readonly sessionId: string; readonly nonce: bigint }
  | { readonly type: 'KeepAlive'; readonly timestamp: number }
  | {
      readonly type: 'ClientRequest';
      readonly requestId: number;
      /** The client has the results of all requests below. */
      readonly lowestPendingRequestId: number;
      readonly payload: Uint8Array;
      readonly createdAt: number;
    }
  /** Acknowledges all server requests up to this one. */
  | { readonly type: 'ServerRequestAck'; readonly requestId: number }
  | { readonly type: 'CloseSession'; readonly reason: ClientCloseReason }
  | { readonly type: 'ConnectionClosed' }
  | {
      readonly type: 'Query';
      /** Not empty. */
      readonly correlationId: string;
      readonly payload: Uint8Array;
      readonly createdAt: number;
    };

/** What a server says. */
export type ServerMessage =
  | { readonly type: 'SessionCreated'; readonly sessionId: string; readonly nonce: bigint }
  | { readonly type: 'SessionContinued'; readonly nonce: bigint }
  | {
      readonly type: 'SessionRejected';
      readonly reason: RejectReason;
      readonly nonce: bigint;
      /** Where to go: the address that the leader advertises. */
      readonly leaderId: string | undefined;
    }
  | {
      readonly type: 'SessionClosed';
      readonly reason: CloseReason;
      readonly leaderId: string | undefined;
    }
  /** @property timestamp that of the KeepAlive. */
  | { readonly type: 'KeepAliveResponse'; readonly timestamp: number }
  | { readonly type: 'ClientResponse'; readonly requestId: number; readonly result: Uint8Array }
  | {
      readonly type: 'ServerRequest';
      /** From 1 on, consecutive in a session. */
      readonly requestId: number;
      readonly payload: Uint8Array;
      readonly createdAt: number;
    }
  | {
      readonly type: 'RequestError';
      readonly requestId: number;
      readonly reason: RequestErrorReason;
      /** Of `UserError`: what the application answered. Empty otherwise. */
      readonly error: Uint8Array;
      /** Of reasons after which the request may be sent again: in how many milliseconds, 0 to 2^32 - 1. 0 otherwise. */
      readonly retryAfterMs: number;
    }
  | { readonly type: 'QueryResponse'; readonly correlationId: string; readonly result: Uint8Array }
  /** Only to clients with {@link hawserCapability}. */
  | {
      readonly type: 'QueryError';
      readonly correlationId: string;
      readonly reason: Exclude<RequestErrorReason, 'ResponseEvicted'>;
      readonly error: Uint8Array;
      readonly retryAfterMs: number;
    };
