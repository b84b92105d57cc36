import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  fromMessage,
  toMessage,
  type ZraftClientMessage,
} from '../../../src/sessions/compat/zraft-messages.js';
import { decodeServerMessage, encodeClientMessage } from '../../../src/sessions/wire/codec.js';
import { refusal } from '../../base/refusal.js';
import { serverMessages } from '../wire/arbitrary-messages.js';
import { clientFrames, serverFrames } from '../wire/golden.js';

const timeMs = 1_705_680_000_000;
const payload = Buffer.from('test-payload');

/** The messages of the golden vectors as the original client has them. */
const originals: Readonly<Record<string, ZraftClientMessage>> = {
  ClientRequest: {
    type: 'ClientRequest',
    requestId: 100n,
    lowestPendingRequestId: 100n,
    payload,
    createdAt: new Date(timeMs),
  },
  CloseSession: { type: 'CloseSession', reason: 'ClientShutdown' },
  ConnectionClosed: { type: 'ConnectionClosed' },
  ContinueSession: { type: 'ContinueSession', sessionId: 'test-session-123', nonce: 42n },
  CreateSession: {
    type: 'CreateSession',
    capabilities: new Map([
      ['capability1', 'value1'],
      ['capability2', 'value2'],
    ]),
    nonce: 42n,
  },
  KeepAlive: { type: 'KeepAlive', timestamp: new Date(timeMs) },
  Query: { type: 'Query', correlationId: 'corr-123', payload, createdAt: new Date(timeMs) },
  ServerRequestAck: { type: 'ServerRequestAck', requestId: 100n },
};

describe('what the original client sends', () => {
  test.each(clientFrames)('$name has the bytes that it has there', ({ name, bytes }) => {
    const original = originals[name];
    if (original === undefined) throw new Error(`there is no ${name}`);
    expect(encodeClientMessage(toMessage(original))).toStrictEqual(bytes);
  });

  test('is refused where an id is no bigint, a time no Date, or either is more than a number holds', () => {
    const written = (message: unknown) => () => encodeClientMessage(toMessage(message as ZraftClientMessage));
    const request = originals.ClientRequest;
    expect(refusal(written({ ...request, requestId: 100 }))).toMatch(/^requestId must be a bigint/);
    expect(refusal(written({ ...request, requestId: -1n }))).toMatch(/^requestId must be/);
    expect(refusal(written({ ...request, lowestPendingRequestId: 2n ** 53n + 1n }))).toMatch(/^lowestPend/);
    expect(refusal(written({ ...request, createdAt: timeMs }))).toMatch(/^createdAt must be a Date/);
    expect(refusal(written({ type: 'KeepAlive', timestamp: new Date('never') }))).toMatch(/^timestamp must/);
    expect(refusal(written({ type: 'Nonsense' }))).toMatch(/^message must be/);
  });
});

describe('what the original client receives', () => {
  test('has bigints, Dates and Buffers, and no property for a leader that is not named', () => {
    const received = Object.fromEntries(
      serverFrames.map(({ name, bytes }) => [name, fromMessage(decodeServerMessage(bytes))]),
    );
    expect(received).toStrictEqual({
      ClientResponse: { type: 'ClientResponse', requestId: 100n, result: payload },
      KeepAliveResponse: { type: 'KeepAliveResponse', timestamp: new Date(timeMs) },
      QueryResponse: { type: 'QueryResponse', correlationId: 'corr-123', result: payload },
      RequestError: { type: 'RequestError', requestId: 100n, reason: 'ResponseEvicted' },
      ServerRequest: { type: 'ServerRequest', requestId: 100n, payload, createdAt: new Date(timeMs) },
      SessionClosed: { type: 'SessionClosed', reason: 'Shutdown', leaderId: 'node-1' },
      SessionContinued: { type: 'SessionContinued', nonce: 42n },
      SessionCreated: { type: 'SessionCreated', sessionId: 'test-session-123', nonce: 42n },
      SessionRejected: { type: 'SessionRejected', reason: 'NotLeader', nonce: 42n, leaderId: 'node-1' },
      SessionRejectedNoLeader: { type: 'SessionRejected', reason: 'InvalidCapabilities', nonce: 42n },
    });
  });

  test('has memory of its own', () => {
    const frame = serverFrames.find(({ name }) => name === 'ClientResponse')?.bytes.slice();
    if (frame === undefined) throw new Error('there is none');
    const message = fromMessage(decodeServerMessage(frame));
    frame.fill(0);
    expect(message).toMatchObject({ result: payload });
  });

  test('is nothing that the original protocol does not have', () => {
    const property = fc.property(serverMessages, (message) => {
      const added =
        message.type === 'QueryError' ||
        (message.type === 'RequestError' && message.reason !== 'ResponseEvicted');
      expect(fromMessage(message) === undefined).toBe(added);
    });
    fc.assert(property, { numRuns: 500 });
  });
});
