// Arbitrary messages for fast-check, each in the one form that it has after it was sent.

import fc from 'fast-check';
import {
  type ClientMessage,
  clientCloseReasons,
  closeReasons,
  rejectReasons,
  type ServerMessage,
} from '../../../src/sessions/wire/messages.js';

const safe = Number.MAX_SAFE_INTEGER;
const id = fc.oneof(fc.constantFrom(0, 1, 2 ** 32 - 1, 2 ** 32, safe), fc.maxSafeNat());
const serverRequestId = fc.oneof(fc.constantFrom(1, safe), fc.integer({ min: 1, max: safe }));
const time = fc.oneof(
  fc.constantFrom(0, -1, 1, -(2 ** 32), 1 - 2 ** 32, safe, -safe),
  fc.maxSafeInteger().map((value) => value + 0),
);
const nonce = fc
  .oneof(
    fc.constantFrom(1n, -1n, 2n ** 32n, -(2n ** 32n), 2n ** 63n - 1n, -(2n ** 63n)),
    fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  )
  .filter((value) => value !== 0n);
const text = fc
  .oneof(
    fc.string({ minLength: 1, maxLength: 12 }),
    fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
  )
  .filter((value) => value.isWellFormed());
const sessionId = fc.oneof(text, fc.uuid(), fc.constantFrom('s'.repeat(255), 'é'.repeat(127)));
const leaderId = fc.option(text, { nil: undefined });
const payload = fc.uint8Array({ maxLength: 24 });
const name = fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/);
const capabilities = fc
  .array(fc.tuple(name, text), { minLength: 1, maxLength: 6 })
  .map((entries): ReadonlyMap<string, string> => new Map(entries));

function record<T>(arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(arbitraries, { noNullPrototype: true });
}

export const clientMessages: fc.Arbitrary<ClientMessage> = fc.oneof(
  record({ type: fc.constant('CreateSession'), capabilities, nonce }),
  record({ type: fc.constant('ContinueSession'), sessionId, nonce }),
  record({ type: fc.constant('KeepAlive'), timestamp: time }),
  record({
    type: fc.constant('ClientRequest'),
    requestId: id,
    lowestPendingRequestId: id,
    payload,
    createdAt: time,
  }),
  record({ type: fc.constant('ServerRequestAck'), requestId: id }),
  record({ type: fc.constant('CloseSession'), reason: fc.constantFrom(...clientCloseReasons) }),
  record({ type: fc.constant('ConnectionClosed') }),
  record({ type: fc.constant('Query'), correlationId: text, payload, createdAt: time }),
);

/** Why there is no result, but for `ResponseEvicted`, which queries do not have. */
const refusals = fc.oneof(
  record({ reason: fc.constant('UserError'), error: payload, retryAfterMs: fc.constant(0) }),
  record({
    reason: fc.constantFrom('StoreUnavailable', 'TooManyRequests'),
    error: fc.constant(new Uint8Array(0)),
    retryAfterMs: fc.integer({ min: 0, max: 0xffff_ffff }),
  }),
  record({
    reason: fc.constantFrom('HandlerFailed', 'PayloadTooLong'),
    error: fc.constant(new Uint8Array(0)),
    retryAfterMs: fc.constant(0),
  }),
);
const evicted = { reason: 'ResponseEvicted', error: new Uint8Array(0), retryAfterMs: 0 } as const;

export const serverMessages: fc.Arbitrary<ServerMessage> = fc.oneof(
  record({ type: fc.constant('SessionCreated'), sessionId, nonce }),
  record({ type: fc.constant('SessionContinued'), nonce }),
  record({
    type: fc.constant('SessionRejected'),
    reason: fc.constantFrom(...rejectReasons),
    nonce,
    leaderId,
  }),
  record({ type: fc.constant('SessionClosed'), reason: fc.constantFrom(...closeReasons), leaderId }),
  record({ type: fc.constant('KeepAliveResponse'), timestamp: time }),
  record({ type: fc.constant('ClientResponse'), requestId: id, result: payload }),
  record({ type: fc.constant('ServerRequest'), requestId: serverRequestId, payload, createdAt: time }),
  fc
    .tuple(id, fc.oneof(refusals, fc.constant(evicted)))
    .map(([requestId, refusal]) => ({ type: 'RequestError', requestId, ...refusal }) as const),
  record({ type: fc.constant('QueryResponse'), correlationId: text, result: payload }),
  fc
    .tuple(text, refusals)
    .map(([correlationId, refusal]) => ({ type: 'QueryError', correlationId, ...refusal }) as const),
);
