import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCbor } from '../../src/base/cbor.js';
import { HawserError, type HawserErrorCode } from '../../src/base/errors.js';
import { limits, ProtocolError } from '../../src/interaction/codec.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import type { Message, Request } from '../../src/interaction/messages.js';
import type { Value } from '../../src/interaction/values.js';
import { concat, fromHex, toHex } from '../reference/bytes.js';
import { hawserMessages, mutations } from './made-up-messages.js';

const codec = hawserCodec();
const stringCodec = hawserCodec({ stringControl: true });

type Entries = readonly (readonly [number | string, Value])[];

function bytesOf(...entries: Entries): Uint8Array {
  return encodeCbor(new Map(entries), { maxBytes: 1_000_000, maxDepth: 100, maxContainers: 1_000_000 });
}

/** What the bytes are refused with. */
function refusal(bytes: Uint8Array): ProtocolError {
  try {
    codec.decode(bytes);
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

function encodeRefusal(message: unknown): HawserErrorCode | undefined {
  try {
    codec.encode(message as Message);
    return undefined;
  } catch (error) {
    if (error instanceof HawserError) return error.code;
    throw error;
  }
}

const head = { type: 'request', messageId: 1, endpoint: 0, feature: 1 } as const;
const invoke: Request = { ...head, operation: 'invoke', command: 1 };
const notification: Message = {
  type: 'notification',
  subscriptionId: 5001,
  endpoint: 1,
  feature: 2,
  changes: new Map([[1, 5_500_000]]),
  kind: 'change',
};

describe('the bytes of a message, both ways', () => {
  const messages: readonly (readonly [string, Message, string])[] = [
    ['read all', { ...head, operation: 'read', attributes: [] }, 'a500010101020103000401'],
    [
      'read some',
      { ...head, operation: 'read', attributes: [1, 2, 65_535] },
      'a60001010102010300040105a10183010219ffff',
    ],
    [
      'write',
      {
        ...head,
        operation: 'write',
        values: new Map([
          [21, 0],
          [22, null],
        ]),
      },
      'a60001010102020300040105a2150016f6',
    ],
    [
      'subscribe with the defaults of the other side',
      { ...head, operation: 'subscribe', attributes: [] },
      'a60001010102030300040105a0',
    ],
    [
      'subscribe with intervals',
      { ...head, operation: 'subscribe', attributes: [7], minIntervalMs: 0, maxIntervalMs: 5000 },
      'a60001010102030300040105a3018107020003191388',
    ],
    [
      'unsubscribe',
      { type: 'request', operation: 'unsubscribe', messageId: 7, subscriptionId: 9 },
      'a400010107020505a10109',
    ],
    ['invoke', invoke, 'a60001010102040300040105a10101'],
    [
      'invoke with parameters',
      { ...invoke, parameters: new Map([['limit', 5]]) },
      'a60001010102040300040105a2010102a1656c696d697405',
    ],
    ['success without payload', { type: 'response', messageId: 3, status: 'SUCCESS' }, 'a3000201030200'],
    [
      'success with null',
      { type: 'response', messageId: 3, status: 'SUCCESS', payload: null },
      'a400020103020003f6',
    ],
    [
      'an error',
      {
        type: 'response',
        messageId: 0xffff_ffff,
        status: 'RESOURCE_EXHAUSTED',
        payload: new Map([[1, 'm']]),
      },
      'a40002011affffffff020d03a101616d',
    ],
    ['a change', notification, 'a50003021913890301040205a1011a0053ec60'],
    [
      'an empty priming with a sequence',
      { ...notification, changes: new Map(), kind: 'priming', sequence: 1 },
      'a70003021913890301040205a006010701',
    ],
    [
      'a heartbeat whose sequence has wrapped',
      { ...notification, changes: new Map(), kind: 'heartbeat', sequence: 0 },
      'a70003021913890301040205a006020700',
    ],
    ['ping', { type: 'control', control: 'ping', sequence: 1 }, 'a3000401010201'],
    ['pong', { type: 'control', control: 'pong', sequence: 0xffff_ffff }, 'a300040102021affffffff'],
    ['close', { type: 'control', control: 'close', sequence: 0 }, 'a200040103'],
  ];

  test.each(messages)('%s', (_name, message, hex) => {
    expect(toHex(codec.encode(message))).toBe(hex);
    expect(codec.decode(fromHex(hex))).toStrictEqual(message);
  });

  test('of arbitrary messages', () => {
    fc.assert(
      fc.property(hawserMessages, fc.constantFrom(codec, stringCodec), (message, either) => {
        expect(codec.decode(either.encode(message))).toStrictEqual(message);
      }),
    );
  });
});

describe('control messages with the names of the source document, section 4.2', () => {
  const pings: readonly (readonly [Message, string])[] = [
    [{ type: 'control', control: 'ping', sequence: 1 }, 'a2637365710164747970656470696e67'],
    [{ type: 'control', control: 'pong', sequence: 42 }, 'a263736571182a647479706564706f6e67'],
    [{ type: 'control', control: 'close', sequence: 0 }, 'a26373657100647479706565636c6f7365'],
  ];

  test.each(pings)('%j is %s where the option is set, and is always understood', (message, hex) => {
    expect(toHex(stringCodec.encode(message))).toBe(hex);
    expect(toHex(codec.encode(message))).not.toBe(hex);
    for (const either of [codec, stringCodec]) {
      expect(either.decode(fromHex(hex))).toStrictEqual(message);
      expect(either.decode(codec.encode(message))).toStrictEqual(message);
    }
  });

  test('without a sequence it is 0, and other keys are ignored', () => {
    const message = { type: 'control', control: 'ping', sequence: 0 };
    expect(codec.decode(bytesOf(['type', 'ping']))).toStrictEqual(message);
    expect(codec.decode(bytesOf(['type', 'ping'], ['more', 1], [9, 1]))).toStrictEqual(message);
  });

  test.each<[Entries]>([
    [[['type', 'request']]],
    [[['type', 1]]],
    [
      [
        ['type', 'ping'],
        ['seq', -1],
      ],
    ],
    [
      [
        ['type', 'ping'],
        ['seq', 2 ** 32],
      ],
    ],
    [
      [
        ['type', 'ping'],
        ['seq', '1'],
      ],
    ],
    [
      [
        ['type', 'ping'],
        [0, 4],
        [1, 1],
      ],
    ],
    [[['seq', 1]]],
  ])('%j is refused', (entries) => {
    expect(refusal(bytesOf(...entries)).messageId).toBeUndefined();
  });

  test.each([{ stringcontrol: true }, { stringControl: 1 }, 1, null])(
    'the options %j are refused',
    (options) => {
      expect(() => hawserCodec(options as object)).toThrow(HawserError);
    },
  );
});

describe('CBOR', () => {
  const request: Entries = [
    [0, 1],
    [1, 77],
    [2, 1],
    [3, 1],
    [4, 2],
  ];
  const decodedRequest = {
    type: 'request',
    operation: 'read',
    messageId: 77,
    endpoint: 1,
    feature: 2,
    attributes: [],
  };

  test('keys in any order', () => {
    expect(codec.decode(fromHex('a5040203010201000101184d'))).toStrictEqual(decodedRequest);
  });

  test('a duplicate key is refused as INVALID_PARAMETER', () => {
    const error = refusal(fromHex('a6000101010102030104020201'));
    expect(error.message).toContain('duplicate map key');
    expect(error.status).toBe('INVALID_PARAMETER');
    expect(error.messageId).toBeUndefined();
    expect(refusal(fromHex('a60001010102020300040105a201000100')).message).toContain('duplicate map key');
  });

  test('unknown keys are ignored', () => {
    expect(
      codec.decode(bytesOf(...request, [99, 1], [200, new Map([['a', [1]]])], [-1, null])),
    ).toStrictEqual(decodedRequest);
    expect(codec.decode(bytesOf(...request, [5, new Map([[9, 1]])]))).toStrictEqual(decodedRequest);
  });

  test.each([
    ['string keys', 'a2696d657373616765496401696f7065726174696f6e01'],
    ['one string key', 'a600010101020103000401616101'],
    ['a float for a key', 'a1f93c0001'],
    ['NaN', 'a30004010102f97e00'],
    ['an infinity', 'a400020103020003fb7ff0000000000000'],
    ['the other infinity', 'a400020103020003f9fc00'],
    ['undefined', 'a400020103020003f7'],
    ['a tag', 'a400020103020003c100'],
    ['an indefinite length', 'bf00040101ff'],
    ['a long integer', 'a300040101021801'],
    ['bytes behind the message', 'a20004010300'],
    ['nothing', ''],
    ['a list', '80'],
    ['an integer', '01'],
    ['null', 'f6'],
  ])('%s is refused', (_name, hex) => {
    const error = refusal(fromHex(hex));
    expect([error.status, error.messageId]).toEqual(['INVALID_PARAMETER', undefined]);
  });

  test('the edges of integers pass', () => {
    const message: Message = {
      ...head,
      messageId: 4_294_967_295,
      endpoint: 255,
      feature: 255,
      operation: 'write',
      values: new Map<number, Value>([
        [0, -(2n ** 63n)],
        [65_535, 2n ** 63n - 1n],
      ]),
    };
    expect(codec.decode(codec.encode(message))).toStrictEqual(message);
  });

  test('null, absent and 0 are three things', () => {
    const payload = new Map<number, Value>([
      [1, null],
      [2, 0],
    ]);
    const write = codec.decode(bytesOf([0, 1], [1, 1], [2, 2], [3, 0], [4, 0], [5, payload]));
    expect(write).toMatchObject({ values: payload });

    const response = [
      [0, 2],
      [1, 9],
      [2, 0],
    ] as const;
    expect(codec.decode(bytesOf(...response))).not.toHaveProperty('payload');
    expect(codec.decode(bytesOf(...response, [3, null]))).toHaveProperty('payload', null);
    expect(codec.decode(bytesOf(...response, [3, 0]))).toHaveProperty('payload', 0);

    const subscribe = (...intervals: readonly [number, Value][]): Message =>
      codec.decode(bytesOf([0, 1], [1, 1], [2, 3], [3, 0], [4, 0], [5, new Map(intervals)]));
    expect(subscribe()).not.toHaveProperty('minIntervalMs');
    expect(subscribe()).not.toHaveProperty('maxIntervalMs');
    expect(subscribe([2, 0], [3, 0])).toMatchObject({ minIntervalMs: 0, maxIntervalMs: 0 });
    expect(() => subscribe([2, null])).toThrow(ProtocolError);
  });

  test('a subscribe or a read without payload is one of all attributes', () => {
    for (const [code, operation] of [
      [1, 'read'],
      [3, 'subscribe'],
    ] as const) {
      const message = codec.decode(bytesOf([0, 1], [1, 1], [2, code], [3, 0], [4, 1]));
      expect(message).toStrictEqual({ ...head, operation, attributes: [] });
    }
  });

  test('the 65,537th byte is one too many, both ways', () => {
    const of = (size: number): Message => ({
      type: 'response',
      messageId: 3,
      status: 'SUCCESS',
      payload: new Uint8Array(size),
    });
    // a40002010302000359 and two bytes of length go before the payload.
    const longest = codec.encode(of(65_525));
    expect(longest).toHaveLength(65_536);
    expect(codec.decode(longest)).toStrictEqual(of(65_525));
    expect(encodeRefusal(of(65_526))).toBe('ERR_HAWSER_MESSAGE_TOO_LONG');
    const longer = concat(fromHex('a40002010302000359fff6'), new Uint8Array(65_526));
    expect(refusal(longer).message).toContain('65537 bytes');
  });

  test('lists and maps are as deep as allowed, the message included, and no deeper', () => {
    const nested = (depth: number): Value => (depth === 0 ? 1 : [nested(depth - 1)]);
    const of = (depth: number): Message => ({
      type: 'response',
      messageId: 1,
      status: 'SUCCESS',
      payload: nested(depth),
    });
    const deepest = of(limits.depth - 1);
    expect(codec.decode(codec.encode(deepest))).toStrictEqual(deepest);
    expect(encodeRefusal(of(limits.depth))).toBe('ERR_HAWSER_ARGUMENT');
    expect(refusal(bytesOf([0, 2], [1, 1], [2, 0], [3, nested(limits.depth)])).message).toContain('nested');
  });

  test.each([
    ['a depth bomb', new Uint8Array(65_536).fill(0x81)],
    ['a list of 2^32 elements in five bytes', fromHex('9affffffff')],
    ['a map of 2^64 entries in the payload', fromHex('a400020103020003bbffffffffffffffff')],
    ['bytes that are not there', fromHex('a4000201030200035affffffff')],
    ['text that is not there', fromHex('a4000201030200037affffffff')],
    [
      'a map of 10^5 elements',
      bytesOf(...Array.from({ length: 100_000 }, (_, key) => [`${key}`, 0] as const)),
    ],
  ])('%s is refused', (_name, bytes) => {
    expect(refusal(bytes).messageId).toBeUndefined();
  });
});

describe('a message that breaks a rule is refused, with the id of the request if it is one', () => {
  const request: Entries = [
    [0, 1],
    [1, 77],
    [2, 1],
    [3, 1],
    [4, 2],
  ];
  const of = (base: Entries, changes: Entries): Uint8Array => {
    const fields = new Map(base);
    for (const [key, value] of changes) {
      if (value === 'absent') fields.delete(key);
      else fields.set(key, value);
    }
    return bytesOf(...fields);
  };
  const manyIds = Array.from({ length: limits.attributes + 1 }, (_, each) => each);
  const manyValues = new Map(manyIds.map((each) => [each, 0]));

  test.each<[string, Entries]>([
    ['without id', [[1, 'absent']]],
    ['with id 0', [[1, 0]]],
    ['with an id beyond 32 bits', [[1, 2 ** 32]]],
    ['with an id that is no integer', [[1, 1.5]]],
    ['with an id that is text', [[1, '1']]],
    ['with a negative id', [[1, -1]]],
    ['with an id of 64 bits', [[1, 2n ** 63n]]],
  ])('a request %s', (_name, changes) => {
    const error = refusal(of(request, changes));
    expect([error.status, error.messageId]).toEqual(['INVALID_PARAMETER', undefined]);
  });

  test.each<[string, Entries, string?]>([
    ['without operation', [[2, 'absent']]],
    ['with operation 0', [[2, 0]], 'UNSUPPORTED'],
    ['with operation 6', [[2, 6]], 'UNSUPPORTED'],
    ['with operation 99', [[2, 99]], 'UNSUPPORTED'],
    ['with operation 256', [[2, 256]]],
    ['with operation null', [[2, null]]],
    ['with an operation that is text', [[2, 'read']]],
    ['without endpoint', [[3, 'absent']]],
    ['with endpoint 256', [[3, 256]]],
    ['with endpoint -1', [[3, -1]]],
    ['without feature', [[4, 'absent']]],
    ['with feature 256', [[4, 256]]],
    ['to read, with a bare list', [[5, [1]]]],
    ['to read, with null', [[5, null]]],
    ['to read, with ids that are no list', [[5, new Map([[1, 1]])]]],
    ['to read attribute 65536', [[5, new Map([[1, [65_536]]])]]],
    ['to read attribute -1', [[5, new Map([[1, [-1]]])]]],
    ['to read attribute "1"', [[5, new Map([[1, ['1']]])]]],
    ['to read more attributes than allowed', [[5, new Map([[1, manyIds]])]], 'CONSTRAINT_ERROR'],
    ['to write without payload', [[2, 2]]],
    [
      'to write text keys',
      [
        [2, 2],
        [5, new Map([['a', 1]])],
      ],
    ],
    [
      'to write attribute 65536',
      [
        [2, 2],
        [5, new Map([[65_536, 1]])],
      ],
    ],
    [
      'to write more attributes than allowed',
      [
        [2, 2],
        [5, manyValues],
      ],
      'CONSTRAINT_ERROR',
    ],
    [
      'to subscribe to more attributes than allowed',
      [
        [2, 3],
        [5, new Map([[1, manyIds]])],
      ],
      'CONSTRAINT_ERROR',
    ],
    [
      'to subscribe with a negative interval',
      [
        [2, 3],
        [5, new Map([[2, -1]])],
      ],
    ],
    [
      'to subscribe with an interval beyond 32 bits',
      [
        [2, 3],
        [5, new Map([[3, 2 ** 32]])],
      ],
    ],
    [
      'to subscribe with a list',
      [
        [2, 3],
        [5, [1]],
      ],
    ],
    ['to invoke without payload', [[2, 4]]],
    [
      'to invoke without command',
      [
        [2, 4],
        [5, new Map([[2, 1]])],
      ],
    ],
    [
      'to invoke command 256',
      [
        [2, 4],
        [5, new Map([[1, 256]])],
      ],
    ],
    ['to unsubscribe without payload', [[2, 5]]],
    [
      'to unsubscribe from 0',
      [
        [2, 5],
        [5, new Map([[1, 0]])],
      ],
    ],
  ])('a request %s', (_name, changes, status = 'INVALID_PARAMETER') => {
    const error = refusal(of(request, changes));
    expect([error.status, error.messageId]).toEqual([status, 77]);
  });

  const response: Entries = [
    [0, 2],
    [1, 77],
    [2, 0],
  ];
  const notified: Entries = [
    [0, 3],
    [2, 1],
    [3, 0],
    [4, 0],
    [5, new Map()],
  ];
  const control: Entries = [
    [0, 4],
    [1, 1],
  ];
  test.each<[string, Entries, Entries]>([
    ['a message without type', request, [[0, 'absent']]],
    ['a message of type 0', request, [[0, 0]]],
    ['a message of type 5', request, [[0, 5]]],
    ['a message of type null', request, [[0, null]]],
    ['a response without id', response, [[1, 'absent']]],
    ['a response to 0', response, [[1, 0]]],
    ['a response without status', response, [[2, 'absent']]],
    ['a response with status 14', response, [[2, 14]]],
    ['a response with status -1', response, [[2, -1]]],
    ['a response with a status in words', response, [[2, 'SUCCESS']]],
    ['a notification without subscription', notified, [[2, 'absent']]],
    ['a notification of subscription 0', notified, [[2, 0]]],
    ['a notification without endpoint', notified, [[3, 'absent']]],
    ['a notification of endpoint 256', notified, [[3, 256]]],
    ['a notification without feature', notified, [[4, 'absent']]],
    ['a notification without changes', notified, [[5, 'absent']]],
    ['a notification with null for changes', notified, [[5, null]]],
    ['a notification with text keys', notified, [[5, new Map([['a', 1]])]]],
    ['a notification of more attributes than allowed', notified, [[5, manyValues]]],
    ['a notification that is priming and heartbeat', notified, [[6, 3]]],
    ['a notification with negative flags', notified, [[6, -1]]],
    ['a notification with a negative sequence', notified, [[7, -1]]],
    ['a notification with a long sequence', notified, [[7, 2 ** 32]]],
    ['a control message without control', control, [[1, 'absent']]],
    ['a control message 0', control, [[1, 0]]],
    ['a control message 4', control, [[1, 4]]],
    ['a control message with a negative sequence', control, [[2, -1]]],
    ['a control message with a long sequence', control, [[2, 2 ** 32]]],
    ['a control message with null for a sequence', control, [[2, null]]],
  ])('%s', (_name, base, changes) => {
    expect(() => codec.decode(of(base, []))).not.toThrow();
    expect(refusal(of(base, changes)).messageId).toBeUndefined();
  });

  test('flags above the two known ones are ignored', () => {
    expect(codec.decode(of(notified, [[6, 0xffff_fffd]]))).toMatchObject({ kind: 'priming' });
    expect(codec.decode(of(notified, [[6, 0xffff_fffc]]))).toMatchObject({ kind: 'change' });
  });
});

describe('what the format cannot say is not encoded', () => {
  const changes = new Map(Array.from({ length: limits.attributes + 1 }, (_, each) => [each, 0]));
  test.each<[string, unknown]>([
    ['id 0', { ...invoke, messageId: 0 }],
    ['an id beyond 32 bits', { ...invoke, messageId: 2 ** 32 }],
    ['endpoint 256', { ...invoke, endpoint: 256 }],
    ['feature -1', { ...invoke, feature: -1 }],
    ['command 256', { ...invoke, command: 256 }],
    ['an unknown operation', { ...invoke, operation: 'delete' }],
    ['an unknown type', { type: 'question' }],
    ['an unknown status', { type: 'response', messageId: 1, status: 'FINE' }],
    ['a response to 0', { type: 'response', messageId: 0, status: 'SUCCESS' }],
    ['a payload of NaN', { type: 'response', messageId: 1, status: 'SUCCESS', payload: Number.NaN }],
    ['attribute 65536', { ...head, operation: 'read', attributes: [65_536] }],
    ['too many attributes', { ...head, operation: 'read', attributes: [...changes.keys()] }],
    ['too many values', { ...head, operation: 'write', values: changes }],
    ['a value for -1', { ...head, operation: 'write', values: new Map([[-1, 0]]) }],
    ['a negative interval', { ...head, operation: 'subscribe', attributes: [], minIntervalMs: -1 }],
    ['a long interval', { ...head, operation: 'subscribe', attributes: [], maxIntervalMs: 2 ** 32 }],
    ['subscription 0', { type: 'request', operation: 'unsubscribe', messageId: 1, subscriptionId: 0 }],
    ['a notification of subscription 0', { ...notification, subscriptionId: 0 }],
    ['too many changes', { ...notification, changes }],
    ['an unknown kind', { ...notification, kind: 'greeting' }],
    ['a sequence beyond 32 bits', { ...notification, sequence: 2 ** 32 }],
    ['an unknown control message', { type: 'control', control: 'open', sequence: 1 }],
    ['a control message with sequence -1', { type: 'control', control: 'ping', sequence: -1 }],
  ])('%s', (_name, message) => {
    expect(encodeRefusal(message)).toBe('ERR_HAWSER_ARGUMENT');
  });

  test('nor with names', () => {
    expect(() => stringCodec.encode({ type: 'control', control: 'ping', sequence: -1 })).toThrow(HawserError);
    const unknown = { type: 'control', control: 'open', sequence: 1 } as unknown as Message;
    expect(() => stringCodec.encode(unknown)).toThrow(HawserError);
  });
});

test('random and altered bytes are refused with a ProtocolError or are a message that can be sent again', () => {
  const inputs = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    mutations(hawserMessages.map((message) => codec.encode(message))),
  );
  fc.assert(
    fc.property(inputs, (bytes) => {
      let message: Message;
      try {
        message = codec.decode(bytes);
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
        return;
      }
      const again = codec.encode(message);
      expect(toHex(codec.encode(codec.decode(again)))).toBe(toHex(again));
    }),
    { numRuns: 3000 },
  );
});
