import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import {
  decodeClientMessage,
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
  heartbeatBytes,
  maxFrameBytes,
} from '../../../src/sessions/wire/codec.js';
import { type ClientMessage, limits, type ServerMessage } from '../../../src/sessions/wire/messages.js';
import { refusal } from '../../base/refusal.js';
import { fromHex } from '../../reference/bytes.js';
import { damaged, damagedAtRandom } from '../../sync/wire/arbitrary-messages.js';
import { clientMessages, serverMessages } from './arbitrary-messages.js';
import { clientFrames, serverFrames } from './golden.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
/** What a caller without types may give, and the part of it that is wrong. */
type Wrong = readonly [message: Readonly<Record<string, unknown>>, part: string];

const header = '7a726166740';

type Decode = (bytes: Uint8Array) => unknown;

const directions: readonly { readonly decode: Decode; readonly frames: readonly Uint8Array[] }[] = [
  { decode: decodeClientMessage, frames: clientFrames.map(({ bytes }) => bytes) },
  { decode: decodeServerMessage, frames: serverFrames.map(({ bytes }) => bytes) },
];

/** What it decodes to, or that it is refused; anything else that is thrown is a failure. */
function decodeOrRefuse<T>(decode: (bytes: Uint8Array) => T, bytes: Uint8Array): T | 'refused' {
  try {
    return decode(bytes);
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_PROTOCOL') return 'refused';
    throw error;
  }
}

/** The text of the refusal. */
function refused(decode: Decode, hex: string): string {
  try {
    decode(fromHex(hex));
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_PROTOCOL') return error.message;
    throw error;
  }
  throw new Error(`${hex} was not refused`);
}

/** The bytes in the midst of others that are no part of them. */
function embedded(bytes: Uint8Array): Uint8Array {
  const room = new Uint8Array(bytes.length + 48).fill(0xff);
  room.set(bytes, 24);
  return room.subarray(24, 24 + bytes.length);
}

describe('the frames of the original implementations', () => {
  test('are 18: eight of a client, ten of a server', () => {
    expect(clientFrames).toHaveLength(8);
    expect(serverFrames).toHaveLength(10);
  });

  test.each(clientFrames)('$name of a client, both ways', ({ bytes, message }) => {
    expect(decodeClientMessage(bytes)).toStrictEqual(message);
    expect(encodeClientMessage(message)).toStrictEqual(bytes);
  });

  test.each(serverFrames)('$name of a server, both ways', ({ bytes, message }) => {
    expect(decodeServerMessage(bytes)).toStrictEqual(message);
    expect(encodeServerMessage(message)).toStrictEqual(bytes);
  });
});

describe('any message', () => {
  test('of a client is the same after it was encoded and decoded, wherever its bytes lie', () => {
    const property = fc.property(clientMessages, (message) => {
      const bytes = encodeClientMessage(message);
      expect(decodeClientMessage(bytes)).toStrictEqual(message);
      expect(decodeClientMessage(embedded(bytes))).toStrictEqual(message);
    });
    fc.assert(property, { numRuns: deep ? 50_000 : 1000 });
  });

  test('of a server is the same after it was encoded and decoded, wherever its bytes lie', () => {
    const property = fc.property(serverMessages, (message) => {
      const bytes = encodeServerMessage(message);
      expect(decodeServerMessage(bytes)).toStrictEqual(message);
      expect(decodeServerMessage(embedded(bytes))).toStrictEqual(message);
    });
    fc.assert(property, { numRuns: deep ? 50_000 : 1000 });
  });

  test('has payloads that are views of the frame, and memory of its own when it is encoded', () => {
    const payload = Uint8Array.of(1, 2, 3);
    const frame = encodeClientMessage({ type: 'Query', correlationId: 'c', payload, createdAt: 0 });
    payload.fill(0);
    const message = decodeClientMessage(frame);
    if (message.type !== 'Query') throw new Error(message.type);
    expect(message.payload).toStrictEqual(Uint8Array.of(1, 2, 3));
    frame.fill(9);
    expect(message.payload).toStrictEqual(Uint8Array.of(9, 9, 9));
  });

  test('keeps a byte order mark: two texts that differ are two', () => {
    const marked: ClientMessage = { type: 'ContinueSession', sessionId: '\ufeffs', nonce: 1n };
    expect(decodeClientMessage(encodeClientMessage(marked))).toStrictEqual(marked);
  });

  test('at the limits passes in both directions, in no more bytes than a frame may have', () => {
    const text = 'x'.repeat(limits.textBytes);
    const payload = new Uint8Array(limits.serverRequestBytes).fill(7);
    const query: ClientMessage = { type: 'Query', correlationId: text, payload, createdAt: 1 };
    const fromClient = encodeClientMessage(query);
    expect(fromClient.length).toBeLessThanOrEqual(maxFrameBytes);
    const decoded = decodeClientMessage(fromClient);
    expect(decoded.type === 'Query' && Buffer.compare(decoded.payload, payload)).toBe(0);

    const error: ServerMessage = {
      type: 'QueryError',
      correlationId: text,
      reason: 'UserError',
      error: payload,
      retryAfterMs: 0,
    };
    expect(encodeServerMessage(error).length).toBeLessThanOrEqual(maxFrameBytes);
    const closed: ServerMessage = { type: 'SessionClosed', reason: 'Shutdown', leaderId: text };
    expect(decodeServerMessage(encodeServerMessage(closed))).toStrictEqual(closed);
    const names = Array.from({ length: limits.capabilities }, (_, n) => [`c${n}`, 'v'] as const);
    const create: ClientMessage = { type: 'CreateSession', capabilities: new Map(names), nonce: 1n };
    expect(decodeClientMessage(encodeClientMessage(create))).toStrictEqual(create);
  });

  test('that is a heartbeat has the same few bytes at any time', () => {
    for (const timestamp of [0, -1, Date.now(), Number.MAX_SAFE_INTEGER]) {
      expect(encodeClientMessage({ type: 'KeepAlive', timestamp })).toHaveLength(heartbeatBytes);
      expect(encodeServerMessage({ type: 'KeepAliveResponse', timestamp })).toHaveLength(heartbeatBytes);
    }
  });
});

describe('what this package adds', () => {
  test('stands behind the reason of RequestError: an error, a time to wait, or nothing', () => {
    const empty = new Uint8Array(0);
    const head = { type: 'RequestError', requestId: 100 } as const;
    const frames: [ServerMessage, string][] = [
      [
        { ...head, reason: 'UserError', error: Uint8Array.of(0xab), retryAfterMs: 0 },
        `${header}1080000000000000064${'02'}${'00000001ab'}`,
      ],
      [
        { ...head, reason: 'StoreUnavailable', error: empty, retryAfterMs: 1500 },
        `${header}1080000000000000064${'03'}${'000005dc'}`,
      ],
      [{ ...head, reason: 'HandlerFailed', error: empty, retryAfterMs: 0 }, `${header}108000000000000006404`],
      [
        { ...head, reason: 'PayloadTooLong', error: empty, retryAfterMs: 0 },
        `${header}108000000000000006405`,
      ],
      [
        { ...head, reason: 'TooManyRequests', error: empty, retryAfterMs: 0xffff_ffff },
        `${header}1080000000000000064${'06'}${'ffffffff'}`,
      ],
      [
        {
          type: 'QueryError',
          correlationId: 'q',
          reason: 'UserError',
          error: Uint8Array.of(1, 2),
          retryAfterMs: 0,
        },
        `${header}10a000171${'02'}${'000000020102'}`,
      ],
    ];
    for (const [message, hex] of frames) {
      expect(Buffer.from(encodeServerMessage(message)).toString('hex')).toBe(hex);
      expect(decodeServerMessage(fromHex(hex))).toStrictEqual(message);
    }
  });

  test('is not read where the reason has none of it: what follows is ignored', () => {
    expect(decodeServerMessage(fromHex(`${header}108000000000000006401${'00000001ab'}`))).toStrictEqual({
      type: 'RequestError',
      requestId: 100,
      reason: 'ResponseEvicted',
      error: new Uint8Array(0),
      retryAfterMs: 0,
    });
  });

  test('has no QueryError whose reason is ResponseEvicted', () => {
    expect(refused(decodeServerMessage, `${header}10a00017101`)).toMatch(/reason/);
    const evicted = { reason: 'ResponseEvicted', error: new Uint8Array(0), retryAfterMs: 0 } as const;
    const message = { type: 'QueryError', correlationId: 'q', ...evicted } as unknown as ServerMessage;
    expect(refusal(() => encodeServerMessage(message))).toMatch(/^reason must be/);
  });
});

describe('a leader that is named', () => {
  test('is read whatever the bits behind it, and is none when it is empty', () => {
    const named = { type: 'SessionClosed', reason: 'Shutdown', leaderId: 'node-1' };
    expect(decodeServerMessage(fromHex(`${header}1040180033737b2329698ff`))).toStrictEqual(named);
    const none = { type: 'SessionClosed', reason: 'Shutdown', leaderId: undefined };
    expect(decodeServerMessage(fromHex(`${header}104017f`))).toStrictEqual(none);
    expect(decodeServerMessage(fromHex(`${header}10401800000`))).toStrictEqual(none);
  });

  test('is refused when it ends early or is no UTF-8', () => {
    expect(refused(decodeServerMessage, `${header}10401`)).toMatch(/ends early/);
    expect(refused(decodeServerMessage, `${header}1040180`)).toMatch(/ends early/);
    expect(refused(decodeServerMessage, `${header}104018003`)).toMatch(/ends early/);
    expect(refused(decodeServerMessage, `${header}1040180033737b2329698`)).toMatch(/ends early/);
    expect(refused(decodeServerMessage, `${header}104018000ff80`)).toMatch(/UTF-8/);
  });
});

describe('case 24: what is no frame', () => {
  test('case 24: another signature, version or type is refused', () => {
    for (const { decode } of directions) {
      expect(refused(decode, '')).toMatch(/0 bytes/);
      expect(refused(decode, '7a72616674')).toMatch(/5 bytes/);
      expect(refused(decode, '7a726166740007')).toMatch(/signature or version/);
      expect(refused(decode, '7b726166740107')).toMatch(/signature or version/);
      expect(refused(decode, '7a726166740207')).toMatch(/signature or version/);
      expect(refused(decode, '7a726166740100')).toMatch(/type 0/);
    }
    expect(refused(decodeClientMessage, '7a726166740109')).toMatch(/type 9/);
    expect(refused(decodeServerMessage, '7a72616674010b')).toMatch(/type 11/);
    expect(refused(decodeServerMessage, '7a7261667401ff')).toMatch(/type 255/);
  });

  test('case 24: a frame that is cut off is refused at every length', () => {
    for (const { decode, frames } of directions) {
      for (const frame of frames) {
        for (let length = 0; length < frame.length; ++length) {
          expect(decodeOrRefuse(decode, frame.slice(0, length)), `${length} of ${frame.length}`).toBe(
            'refused',
          );
        }
      }
    }
  });

  test('case 24: bytes behind a frame are ignored', () => {
    for (const { decode, frames } of directions) {
      for (const frame of frames) {
        const longer = new Uint8Array(frame.length + 9).fill(0xff);
        longer.set(frame);
        expect(decode(longer)).toStrictEqual(decode(frame));
      }
    }
  });

  test('case 24: a frame with a bit turned over is another message or refused, whoever reads it', () => {
    for (const { frames } of directions) {
      for (const frame of frames) {
        for (const bytes of damaged(frame))
          for (const { decode } of directions) decodeOrRefuse(decode, bytes);
      }
    }
  });

  test('case 24: damaged frames and random bytes are refused or read, never anything else', () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = seededRandom(seed);
    try {
      for (let run = 0; run < (deep ? 250_000 : 10_000); ++run) {
        for (const { decode, frames } of directions) {
          const frame = frames[Math.floor(random() * frames.length)] ?? new Uint8Array(0);
          decodeOrRefuse(decode, damagedAtRandom(frame, random));
          const length = Math.floor(random() * 64);
          const noise = Uint8Array.from({ length }, () => Math.floor(random() * 256));
          noise.set(frame.subarray(0, Math.min(7, length)));
          decodeOrRefuse(decode, noise);
        }
      }
    } catch (error) {
      throw new Error(`with the seed ${seed}`, { cause: error });
    }
  });

  test('case 24: a refusal has nothing of the payload in it', () => {
    const secret = Buffer.from('a password').toString('hex');
    const refusals = [
      refused(decodeClientMessage, `${header}108ffff${secret}`),
      refused(decodeClientMessage, `${header}1080002ff41${secret}`),
      refused(decodeClientMessage, `${header}104${'00'.repeat(16)}ffffffff${secret}`),
    ];
    for (const text of refusals) expect(text).toMatch(/^not a frame of the session protocol: [a-zA-Z8 -]+$/);
  });
});

describe('case 24: parts that no message has', () => {
  const create = (count: string, rest: string): string => `${header}101${count}${rest}000000000000002a`;
  const texts = (...parts: string[]): string =>
    parts
      .map(
        (part) => Buffer.byteLength(part).toString(16).padStart(4, '0') + Buffer.from(part).toString('hex'),
      )
      .join('');

  test.each([
    ['an empty session id', decodeClientMessage, `${header}10200000000000000002a`, /session id is empty/],
    ['an empty session id of a server', decodeServerMessage, `${header}10100000000000000002a`, /is empty/],
    ['a zero nonce', decodeClientMessage, `${header}10201730000000000000000`, /nonce is 0/],
    ['a zero nonce of a server', decodeServerMessage, `${header}1020000000000000000`, /nonce is 0/],
    ['a negative request id', decodeClientMessage, `${header}105ffffffffffffffff`, /too low/],
    ['a request id of 2^53', decodeClientMessage, `${header}1050020000000000000`, /beyond 2\^53/],
    ['the least request id', decodeClientMessage, `${header}1058000000000000000`, /beyond 2\^53/],
    ['a server request 0', decodeServerMessage, `${header}1070000000000000000`, /too low/],
    ['a time of 2^53', decodeClientMessage, `${header}1030020000000000000`, /beyond 2\^53/],
    ['a time of -2^53', decodeClientMessage, `${header}103ffe0000000000000`, /beyond 2\^53/],
    ['no capabilities', decodeClientMessage, create('0000', ''), /0 capabilities/],
    ['too many capabilities', decodeClientMessage, create('0041', texts('a', 'b').repeat(65)), /65 capab/],
    ['a capability without a name', decodeClientMessage, create('0001', texts('', 'v')), /name .*empty/],
    ['a capability without a value', decodeClientMessage, create('0001', texts('a', '')), /value .*empty/],
    ['a name with a space', decodeClientMessage, create('0001', texts('a b', 'v')), /other characters/],
    ['a name with a line end', decodeClientMessage, create('0001', texts('a\n', 'v')), /other characters/],
    ['a name that is not ASCII', decodeClientMessage, create('0001', texts('é', 'v')), /other characters/],
    ['an empty correlation id', decodeClientMessage, `${header}1080000${'00'.repeat(12)}`, /is empty/],
    ['a text that is no UTF-8', decodeClientMessage, `${header}10202c0af000000000000002a`, /no UTF-8/],
    ['half a surrogate pair', decodeClientMessage, `${header}10203eda080000000000000002a`, /no UTF-8/],
    ['a negative length', decodeServerMessage, `${header}106000000000000000080000000`, /too long/],
    ['a payload beyond the limit', decodeServerMessage, `${header}106000000000000000000a00001`, /too long/],
    ['the close reason 0', decodeClientMessage, `${header}10600`, /reason is unknown/],
    ['the close reason 2 of a client', decodeClientMessage, `${header}10602`, /reason is unknown/],
    ['the close reason 6', decodeServerMessage, `${header}1040600`, /reason is unknown/],
    ['the reject reason 5', decodeServerMessage, `${header}10305000000000000002a00`, /reason is unknown/],
    ['the error reason 7', decodeServerMessage, `${header}108000000000000006407`, /reason is unknown/],
  ] as const)('case 24: %s is refused', (_, decode, hex, text) => {
    expect(refused(decode, hex)).toMatch(text);
  });

  test('case 24: of a capability that is named twice the last value counts', () => {
    const frame = fromHex(create('0002', texts('a', '1', 'a', '2')));
    expect(decodeClientMessage(frame)).toMatchObject({ capabilities: new Map([['a', '2']]) });
  });

  const payload = new Uint8Array(0);
  const request = { type: 'ClientRequest', requestId: 1, lowestPendingRequestId: 1, payload, createdAt: 0 };
  const one = new Map([['a', 'b']]);
  const many = new Map(Array.from({ length: 65 }, (__, n) => [`c${n}`, 'v']));
  const wrongOfClient: readonly Wrong[] = [
    [{ type: 'Nonsense' }, 'message'],
    [{ type: 'CreateSession', capabilities: new Map(), nonce: 1n }, 'capabilities'],
    [{ type: 'CreateSession', capabilities: { a: 'b' }, nonce: 1n }, 'capabilities'],
    [{ type: 'CreateSession', capabilities: many, nonce: 1n }, 'capabilities'],
    [{ type: 'CreateSession', capabilities: new Map([['a b', 'c']]), nonce: 1n }, 'capabilities'],
    [{ type: 'CreateSession', capabilities: new Map([['a', '']]), nonce: 1n }, 'the capability "a"'],
    [{ type: 'CreateSession', capabilities: one, nonce: 0n }, 'nonce'],
    [{ type: 'CreateSession', capabilities: one, nonce: 2n ** 63n }, 'nonce'],
    [{ type: 'CreateSession', capabilities: one, nonce: 1 }, 'nonce'],
    [{ type: 'ContinueSession', sessionId: '', nonce: 1n }, 'sessionId'],
    [{ type: 'ContinueSession', sessionId: 's'.repeat(256), nonce: 1n }, 'sessionId'],
    [{ type: 'ContinueSession', sessionId: '\ud800', nonce: 1n }, 'sessionId'],
    [{ type: 'KeepAlive', timestamp: 0.5 }, 'timestamp'],
    [{ type: 'KeepAlive', timestamp: 2 ** 53 }, 'timestamp'],
    [{ ...request, requestId: -1 }, 'requestId'],
    [{ ...request, lowestPendingRequestId: -1 }, 'lowestPendingRequestId'],
    [{ ...request, payload: 'text' }, 'payload'],
    [{ ...request, payload: new Uint8Array(limits.serverRequestBytes + 1) }, 'payload'],
    [{ ...request, createdAt: Number.NaN }, 'createdAt'],
    [{ type: 'ServerRequestAck', requestId: 2 ** 53 }, 'requestId'],
    [{ type: 'CloseSession', reason: 'Shutdown' }, 'reason'],
    [{ type: 'Query', correlationId: '', payload, createdAt: 0 }, 'correlationId'],
  ];
  const clientParts = wrongOfClient.map(([message, part]) => ({ message, part }));
  test.each(clientParts)(
    'case 24: $message.type of a client with a wrong $part is not written',
    ({ message, part }) => {
      const text = refusal(() => encodeClientMessage(message as unknown as ClientMessage));
      expect(text.startsWith(`${part} must be`), text).toBe(true);
    },
  );

  const error = { type: 'RequestError', requestId: 1, error: payload, retryAfterMs: 0 };
  const wrongOfServer: readonly Wrong[] = [
    [{ type: 'SessionCreated', sessionId: '', nonce: 1n }, 'sessionId'],
    [{ type: 'SessionContinued', nonce: 0n }, 'nonce'],
    [{ type: 'SessionRejected', reason: 'Nothing', nonce: 1n, leaderId: undefined }, 'reason'],
    [{ type: 'SessionClosed', reason: 'Shutdown', leaderId: '' }, 'leaderId'],
    [{ type: 'ServerRequest', requestId: 0, payload, createdAt: 0 }, 'requestId'],
    [{ ...error, reason: 'Nothing' }, 'reason'],
    [{ ...error, reason: 'ResponseEvicted', retryAfterMs: 1 }, 'retryAfterMs'],
    [{ ...error, reason: 'StoreUnavailable', retryAfterMs: 2 ** 32 }, 'retryAfterMs'],
    [{ ...error, reason: 'HandlerFailed', error: new Uint8Array(1) }, 'error'],
    [{ type: 'KeepAlive', timestamp: 0 }, 'message'],
  ];
  const serverParts = wrongOfServer.map(([message, part]) => ({ message, part }));
  test.each(serverParts)(
    'case 24: $message.type of a server with a wrong $part is not written',
    ({ message, part }) => {
      const text = refusal(() => encodeServerMessage(message as unknown as ServerMessage));
      expect(text.startsWith(`${part} must be`), text).toBe(true);
    },
  );
});
