// Against messages of mash-go itself (test/vectors/interaction.json), and against whatever else may come.

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeCbor, encodeCbor } from '../../src/base/cbor.js';
import { HawserError, type HawserErrorCode } from '../../src/base/errors.js';
import { limits, ProtocolError } from '../../src/interaction/codec.js';
import { mashCodec, mashMessageBytes } from '../../src/interaction/mash-codec.js';
import type { Message, Response } from '../../src/interaction/messages.js';
import type { ErrorStatus } from '../../src/interaction/status.js';
import type { Value } from '../../src/interaction/values.js';
import { concat, fromHex, toHex } from '../reference/bytes.js';
import { mashMessages, mutations } from './made-up-messages.js';

interface Vector {
  readonly name: string;
  readonly hex: string;
  readonly len: number;
  readonly peek_type: Message['type'] | 'unknown';
  readonly meaning: unknown;
}

const file = readFileSync(new URL('../vectors/interaction.json', import.meta.url), 'utf8');
const { vectors } = JSON.parse(file) as { readonly vectors: readonly Vector[] };

const codec = mashCodec();

function bytesOf(...entries: readonly (readonly [number | string, Value])[]): Uint8Array {
  return encodeCbor(new Map(entries), { maxBytes: 1_000_000, maxDepth: 100, maxContainers: 1_000_000 });
}

/** What the bytes are refused with; undefined when they are not. */
function refusal(bytes: Uint8Array): ProtocolError | undefined {
  try {
    codec.decode(bytes);
    return undefined;
  } catch (error) {
    if (error instanceof ProtocolError) return error;
    throw error;
  }
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

const request = { type: 'request', messageId: 5, endpoint: 1, feature: 2 } as const;
const change = {
  type: 'notification',
  subscriptionId: 5001,
  endpoint: 1,
  feature: 2,
  kind: 'change',
} as const;

function errorResponse(messageId: number, status: ErrorStatus): Response {
  return { type: 'response', messageId, status, payload: new Map([[1, 'm']]) };
}

/** What each vector is; a string where it is refused, with what its reason contains. */
const meanings: Readonly<Record<string, Message | string>> = {
  read_array_payload: { ...request, operation: 'read', messageId: 12_345, attributes: [1, 2, 3] },
  read_map_payload: { ...request, operation: 'read', messageId: 12_346, attributes: [1, 2, 3] },
  read_msgid_1: { ...request, operation: 'read', messageId: 1, endpoint: 0, feature: 1, attributes: [] },
  write: {
    ...request,
    operation: 'write',
    messageId: 12_347,
    feature: 5,
    values: new Map([
      [21, 5_000_000],
      [22, null],
      [23, -1],
    ]),
  },
  subscribe_all_defaults: { ...request, operation: 'subscribe', messageId: 12_349, attributes: [] },
  subscribe_min0: {
    ...request,
    operation: 'subscribe',
    messageId: 12_350,
    attributes: [],
    maxIntervalMs: 5000,
  },
  invoke: {
    ...request,
    operation: 'invoke',
    messageId: 12_352,
    feature: 5,
    command: 1,
    parameters: new Map([['limit', 5_000_000]]),
  },
  invoke_no_params: { ...request, operation: 'invoke', messageId: 12_353, feature: 5, command: 2 },
  read_ok_types: {
    type: 'response',
    messageId: 12_346,
    status: 'SUCCESS',
    payload: new Map<number, Value>([
      [1, -5],
      [2, 'text'],
      [3, true],
      [4, null],
      [5, 3.5],
      [6, Uint8Array.of(1, 2, 3)],
      [7, [1, 2]],
      [8, 18_446_744_073_709_551_615n],
      [9, -9_223_372_036_854_775_808n],
    ]),
  },
  subscribe_ok: {
    type: 'response',
    messageId: 12_348,
    status: 'SUCCESS',
    payload: new Map<number, Value>([
      [1, 5001],
      [
        2,
        new Map([
          [1, 5_000_000],
          [2, 200_000],
        ]),
      ],
    ]),
  },
  unsubscribe_ok: { type: 'response', messageId: 12_351, status: 'SUCCESS' },
  empty_ok_id2_AMBIGUOUS: { type: 'control', control: 'pong', sequence: 0 },
  error_INVALID_ENDPOINT: errorResponse(20_001, 'INVALID_ENDPOINT'),
  error_INVALID_FEATURE: errorResponse(20_002, 'INVALID_FEATURE'),
  error_INVALID_COMMAND: errorResponse(20_004, 'INVALID_COMMAND'),
  error_INVALID_PARAMETER: errorResponse(20_005, 'INVALID_PARAMETER'),
  error_WRITE_ONLY: errorResponse(20_007, 'WRITE_ONLY'),
  error_NOT_AUTHORIZED: errorResponse(20_008, 'NOT_AUTHORIZED'),
  error_UNSUPPORTED: errorResponse(20_010, 'UNSUPPORTED'),
  error_CONSTRAINT_ERROR: errorResponse(20_011, 'CONSTRAINT_ERROR'),
  error_RESOURCE_EXHAUSTED: errorResponse(20_013, 'RESOURCE_EXHAUSTED'),
  // A notification by its id, and none that anybody can read.
  error_id0: 'endpoint is a Map',
  change: { ...change, changes: new Map([[1, 5_500_000]]) },
  heartbeat_full: {
    ...change,
    changes: new Map([
      [1, 5_500_000],
      [2, 200_000],
    ]),
  },
  heartbeat_empty_nil: { ...change, changes: new Map() },
  ping_1: { type: 'control', control: 'ping', sequence: 1 },
  ping_max: { type: 'control', control: 'ping', sequence: 4_294_967_295 },
  pong_42: { type: 'control', control: 'pong', sequence: 42 },
  raw_request_keys_out_of_order: {
    ...request,
    operation: 'read',
    messageId: 1,
    endpoint: 0,
    feature: 1,
    attributes: [],
  },
  raw_dup_key: 'duplicate map key',
  raw_string_keys: 'a key of a message is "messageId"',
  raw_nan_real: 'a NaN or an infinity',
  raw_indefinite_map_ok: { ...request, operation: 'read', attributes: [] },
  raw_op_missing: 'operation is missing',
  raw_float_key: 'a map key that is neither an integer nor text',
};

/** The vectors that are decoded and are not encoded to the same bytes again, with those that they are encoded to. */
const encodedOtherwise: Readonly<Record<string, string>> = {
  // The map form, which mash-go's server understands as well as it understands the list.
  read_array_payload: 'a50119303902010301040205a10183010203',
  // What it was taken for, a pong, leaves a sequence of 0 out.
  empty_ok_id2_AMBIGUOUS: 'a10102',
  heartbeat_empty_nil: 'a50100021913890301040205a0',
  raw_request_keys_out_of_order: 'a40101020103000401',
  raw_indefinite_map_ok: 'a40105020103010402',
};

/** A JSON value of the vectors as the value that it stands for. */
function meant(json: unknown): Value {
  if (Array.isArray(json)) return json.map(meant);
  if (typeof json === 'object' && json !== null) {
    const entries = Object.entries(json);
    const [[key, text] = ['', '']] = entries;
    if (key === '$bytes') return fromHex(String(text));
    if (key === '$uint' || key === '$int') return BigInt(String(text));
    return new Map(entries.map(([name, value]) => [/^\d+$/.test(name) ? Number(name) : name, meant(value)]));
  }
  if (json === null || typeof json === 'boolean' || typeof json === 'number' || typeof json === 'string')
    return json;
  throw new Error(`no JSON value: ${String(json)}`);
}

const rules = { maxBytes: mashMessageBytes, maxDepth: 8, maxContainers: 1_000_000, allowIndefinite: true };

describe('messages of mash-go', () => {
  test('are 35', () => {
    expect(vectors).toHaveLength(35);
    expect(Object.keys(meanings)).toEqual(vectors.map(({ name }) => name));
  });

  test.each(vectors)('$name is what it means, as CBOR', ({ name, hex, len, meaning }) => {
    const bytes = fromHex(hex);
    expect(bytes).toHaveLength(len);
    const unreadable = ['raw_dup_key', 'raw_nan_real', 'raw_float_key'];
    if (unreadable.includes(name)) expect(() => decodeCbor(bytes, rules)).toThrow();
    else expect(decodeCbor(bytes, rules)).toStrictEqual(meant(meaning));
  });

  test.each(vectors)(
    '$name is decoded, or refused as mash-go refuses it',
    ({ name, hex, peek_type: type }) => {
      const expected = meanings[name];
      if (typeof expected === 'string') {
        expect(refusal(fromHex(hex))?.message).toContain(expected);
        return;
      }
      expect(codec.decode(fromHex(hex))).toStrictEqual(expected);
      expect(expected?.type).toBe(type);
    },
  );

  test.each(vectors.filter(({ name }) => typeof meanings[name] !== 'string'))(
    '$name is encoded to the bytes of mash-go, or to those that it understands as well',
    ({ name, hex }) => {
      const bytes = codec.encode(codec.decode(fromHex(hex)));
      expect(toHex(bytes)).toBe(encodedOtherwise[name] ?? hex);
      expect(codec.decode(bytes)).toStrictEqual(meanings[name]);
    },
  );

  test('a request that is refused says which, one without operation among them', () => {
    const error = refusal(fromHex('a3010503010402'));
    expect([error?.status, error?.messageId]).toEqual(['INVALID_PARAMETER', 5]);
  });
});

describe('what a message is', () => {
  test.each<[string, readonly (readonly [number, Value])[], Message['type']]>([
    [
      'key 1 is 0: a notification, whatever else it has',
      [
        [1, 0],
        [2, 1],
        [3, 0],
        [4, 0],
        [5, new Map()],
      ],
      'notification',
    ],
    [
      'key 3 is a map: a response',
      [
        [1, 1],
        [2, 1],
        [3, new Map()],
        [4, 0],
      ],
      'response',
    ],
    ['key 1 is 1 to 3, without keys 3 and 4: a control message', [[1, 3]], 'control'],
    [
      'even with key 2',
      [
        [1, 3],
        [2, 0],
      ],
      'control',
    ],
    [
      'key 1 is 4: a response',
      [
        [1, 4],
        [2, 0],
      ],
      'response',
    ],
    [
      'key 1 is 3 with key 3: a response',
      [
        [1, 3],
        [2, 0],
        [3, 1],
      ],
      'response',
    ],
    [
      'key 2 is above 4: a response, in spite of key 4',
      [
        [1, 9],
        [2, 5],
        [3, 1],
        [4, 1],
      ],
      'response',
    ],
    [
      'key 2 is 1 to 4, with key 4: a request',
      [
        [1, 1],
        [2, 1],
        [4, 1],
      ],
      'request',
    ],
    [
      'key 2 is 1 to 4, without key 4: a response',
      [
        [1, 9],
        [2, 4],
        [3, 1],
      ],
      'response',
    ],
  ])('%s', (_name, entries, type) => {
    expect(codec.decode(bytesOf(...entries)).type).toBe(type);
  });

  test('key 2 is 0 or absent, with keys 3 and 4: a request, which is refused', () => {
    for (const second of [[], [[2, 0] as const]]) {
      const error = refusal(bytesOf([1, 9], ...second, [3, 1], [4, 1]));
      expect([error?.messageId, error?.message]).toEqual([9, expect.stringContaining('operation')]);
    }
  });

  test('a response to the ids 1 to 3 has a payload, and so is never taken for a control message', () => {
    for (const status of ['SUCCESS', 'BUSY'] as const) {
      for (const messageId of [1, 2, 3]) {
        const bytes = codec.encode({ type: 'response', messageId, status });
        expect(toHex(bytes)).toBe(`a3010${messageId}020${status === 'BUSY' ? 9 : 0}03a0`);
        expect(codec.decode(bytes)).toStrictEqual({
          type: 'response',
          messageId,
          status,
          payload: new Map(),
        });
      }
    }
    expect(toHex(codec.encode({ type: 'response', messageId: 4, status: 'SUCCESS' }))).toBe('a201040200');
  });

  test('a response to 0 is never encoded', () => {
    expect(encodeRefusal({ type: 'response', messageId: 0, status: 'INVALID_PARAMETER' })).toBe(
      'ERR_HAWSER_ARGUMENT',
    );
  });
});

describe('what mash-go leaves out', () => {
  test('a sequence of 0', () => {
    const ping: Message = { type: 'control', control: 'ping', sequence: 0 };
    expect(toHex(codec.encode(ping))).toBe('a10101');
    expect(codec.decode(fromHex('a10101'))).toStrictEqual(ping);
    expect(codec.decode(fromHex('a201010200'))).toStrictEqual(ping);
  });

  test('an interval of 0 means the default, so that it cannot be asked for', () => {
    const subscribe = { ...request, operation: 'subscribe', attributes: [] } as const;
    expect(encodeRefusal({ ...subscribe, minIntervalMs: 0 })).toBe('ERR_HAWSER_ARGUMENT');
    expect(encodeRefusal({ ...subscribe, maxIntervalMs: 0 })).toBe('ERR_HAWSER_ARGUMENT');
    const payload = new Map([
      [2, 0],
      [3, 0],
    ]);
    expect(codec.decode(bytesOf([1, 5], [2, 3], [3, 1], [4, 2], [5, payload]))).toStrictEqual(subscribe);
    const intervals: Message = { ...subscribe, minIntervalMs: 1000, maxIntervalMs: 60_000 };
    expect(toHex(codec.encode(intervals))).toBe('a5010502030301040205a2021903e80319ea60');
  });

  test('parameters without content', () => {
    const invoke: Message = { ...request, operation: 'invoke', command: 7 };
    const bytes = 'a5010502040301040205a10107';
    expect(toHex(codec.encode(invoke))).toBe(bytes);
    expect(toHex(codec.encode({ ...invoke, parameters: new Map() }))).toBe(bytes);
    const payload = new Map([
      [1, 7],
      [2, null],
    ]);
    expect(codec.decode(bytesOf([1, 5], [2, 4], [3, 1], [4, 2], [5, payload]))).toStrictEqual(invoke);
  });

  test('what a notification is sent for, and its sequence', () => {
    const priming: Message = { ...change, changes: new Map([[1, 5_500_000]]), kind: 'priming', sequence: 1 };
    expect(toHex(codec.encode(priming))).toBe('a50100021913890301040205a1011a0053ec60');
  });

  test('the operation of an unsubscribe, which is a subscribe to feature 0 of endpoint 0', () => {
    const unsubscribe: Message = {
      type: 'request',
      operation: 'unsubscribe',
      messageId: 12_351,
      subscriptionId: 5001,
    };
    const bytes = 'a50119303f02030300040005a101191389';
    expect(toHex(codec.encode(unsubscribe))).toBe(bytes);
    expect(codec.decode(fromHex(bytes))).toStrictEqual(unsubscribe);

    const there = { ...request, endpoint: 0, feature: 0, operation: 'subscribe' } as const;
    for (const attributes of [[], [5001]]) {
      expect(codec.decode(codec.encode({ ...there, attributes }))).toStrictEqual({ ...there, attributes });
    }
    const elsewhere = refusal(bytesOf([1, 5], [2, 3], [3, 1], [4, 0], [5, new Map([[1, 5001]])]));
    expect([elsewhere?.status, elsewhere?.messageId]).toEqual(['INVALID_PARAMETER', 5]);
  });

  test('endpoint 0 is sent, and is what a request without endpoint goes to', () => {
    expect(codec.decode(fromHex('a3010502010402'))).toStrictEqual({
      ...request,
      endpoint: 0,
      operation: 'read',
      attributes: [],
    });
  });

  test('a payload that is null', () => {
    const read = codec.decode(bytesOf([1, 5], [2, 1], [3, 1], [4, 2], [5, null]));
    expect(read).toStrictEqual({ ...request, operation: 'read', attributes: [] });
    expect(refusal(bytesOf([1, 5], [2, 2], [3, 1], [4, 2], [5, null]))?.messageId).toBe(5);
  });
});

test('parameters that are not a map with string keys are not encoded and not accepted', () => {
  for (const parameters of [5, [1], null, new Map([[1, 1]]), 'text']) {
    expect(encodeRefusal({ ...request, operation: 'invoke', command: 1, parameters })).toBe(
      'ERR_HAWSER_ARGUMENT',
    );
  }
  for (const parameters of [5, [1], new Map([[1, 1]]), 'text']) {
    const payload = new Map<number, Value>([
      [1, 1],
      [2, parameters],
    ]);
    const error = refusal(bytesOf([1, 5], [2, 4], [3, 1], [4, 2], [5, payload]));
    expect([error?.status, error?.messageId]).toEqual(['INVALID_PARAMETER', 5]);
  }
});

describe('CBOR', () => {
  test('unknown keys are ignored', () => {
    const bytes = bytesOf([1, 5], [2, 1], [3, 1], [4, 2], [99, 1], [200, new Map([['a', 1]])]);
    expect(codec.decode(bytes)).toStrictEqual({ ...request, operation: 'read', attributes: [] });
  });

  test('the greatest id and the edges of 64 bits pass', () => {
    const message: Message = {
      ...request,
      messageId: 4_294_967_295,
      operation: 'write',
      values: new Map([
        [1, -(2n ** 63n)],
        [2, 2n ** 63n - 1n],
      ]),
    };
    expect(codec.decode(codec.encode(message))).toStrictEqual(message);
    expect(refusal(bytesOf([1, 2 ** 32], [2, 1], [3, 1], [4, 2]))).toBeDefined();
  });

  test.each<[string, readonly (readonly [number, Value])[], string]>([
    ['endpoint 256', [[3, 256]], 'INVALID_PARAMETER'],
    ['feature 256', [[4, 256]], 'INVALID_PARAMETER'],
    ['a feature that is text', [[4, 'a']], 'INVALID_PARAMETER'],
    [
      'a bare list to write',
      [
        [2, 2],
        [5, [1]],
      ],
      'INVALID_PARAMETER',
    ],
    ['a list of text to read', [[5, ['a']]], 'INVALID_PARAMETER'],
    [
      'too many attributes',
      [[5, Array.from({ length: limits.attributes + 1 }, (_, each) => each)]],
      'CONSTRAINT_ERROR',
    ],
  ])('a request with %s is refused', (_name, changes, status) => {
    const base: readonly (readonly [number, Value])[] = [
      [1, 5],
      [2, 1],
      [3, 1],
      [4, 2],
    ];
    const error = refusal(bytesOf(...new Map([...base, ...changes])));
    expect([error?.status, error?.messageId]).toEqual([status, 5]);
  });

  test('null, absent and 0 are three things', () => {
    const write = codec.decode(
      bytesOf(
        [1, 5],
        [2, 2],
        [3, 1],
        [4, 2],
        [
          5,
          new Map([
            [1, null],
            [2, 0],
          ]),
        ],
      ),
    );
    const values = new Map([
      [1, null],
      [2, 0],
    ]);
    expect(write).toStrictEqual({ ...request, operation: 'write', values });
  });

  test('an infinity, a tag, undefined and text of indefinite length are refused', () => {
    for (const payload of ['f97c00', 'fbfff0000000000000', 'c100', 'f7', '7f6161ff']) {
      const bytes = fromHex(`a30109020003a101${payload}`);
      expect(refusal(bytes)?.messageId).toBeUndefined();
      expect(refusal(bytes)?.status).toBe('INVALID_PARAMETER');
    }
  });

  test('integers in more bytes than they need and lists of indefinite length are taken', () => {
    expect(codec.decode(fromHex('bf01190005021a0000000118030118040205bf019f01180203ffffff'))).toStrictEqual({
      ...request,
      operation: 'read',
      attributes: [1, 2, 3],
    });
  });

  test('the 8,193rd byte is one too many, both ways', () => {
    const of = (size: number): Message => ({
      type: 'response',
      messageId: 4,
      status: 'SUCCESS',
      payload: new Uint8Array(size),
    });
    // a30104020003 and 59 with two bytes of length go before the payload.
    const longest = codec.encode(of(8_183));
    expect(longest).toHaveLength(8_192);
    expect(codec.decode(longest)).toStrictEqual(of(8_183));
    expect(encodeRefusal(of(8_184))).toBe('ERR_HAWSER_MESSAGE_TOO_LONG');
    const longer = concat(fromHex('a30104020003591ff8'), new Uint8Array(8_184));
    expect(refusal(longer)?.message).toContain('8193 bytes');
  });

  test.each([
    ['a depth bomb', new Uint8Array(8_192).fill(0x81)],
    ['a depth bomb without lengths', new Uint8Array(8_192).fill(0x9f)],
    ['a list of 2^32 elements in five bytes', fromHex('9affffffff')],
    ['a payload of 2^64 entries', fromHex('a30104020003bbffffffffffffffff')],
    [
      'a map of 10^5 elements',
      bytesOf(...Array.from({ length: 100_000 }, (_, key) => [`${key}`, 0] as const)),
    ],
  ])('%s is refused', (_name, bytes) => {
    expect(refusal(bytes)).toBeInstanceOf(ProtocolError);
  });
});

test('arbitrary messages come out as they went in', () => {
  fc.assert(
    fc.property(mashMessages, (message) => {
      expect(codec.decode(codec.encode(message))).toStrictEqual(message);
    }),
  );
});

test('random and altered bytes are refused with a ProtocolError or are a message that can be sent again', () => {
  const inputs = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    mutations(mashMessages.map((message) => codec.encode(message))),
    mutations(fc.constantFrom(...vectors.map(({ hex }) => fromHex(hex)))),
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
