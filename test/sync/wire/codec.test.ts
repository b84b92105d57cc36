import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { Builder, type Offset } from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import {
  decodeMessage,
  encodeMessage,
  SyncFormatError,
  type UnknownMessage,
} from '../../../src/sync/wire/codec.js';
import { limits, type Start, type SyncMessage } from '../../../src/sync/wire/messages.js';
import { type MessageType, messageTypes } from '../../../src/sync/wire/schema.js';
import { damaged, damagedAtRandom, messages } from './arbitrary-messages.js';
import { normal, ourFields, toJson } from './schema-json.js';
import { vectors } from './vectors.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';

const start: Start = {
  type: 'Start',
  module: 'fim',
  mode: 'DELTA',
  size: 3n,
  indices: ['files'],
  option: 'Sync',
  metadata: {},
  globalVersion: 0n,
  nonce: 1n,
  generation: 2n,
};
const item = { seq: 0n, session: 7n, operation: 'Upsert', id: 'a', index: 'files', version: 0n } as const;
const one = { type: 'DataValue', ...item, data: new Uint8Array(2) } as const;

/** What it decodes to, or that it is refused; anything else that is thrown is a failure. */
function decodeOrRefuse(bytes: Uint8Array): SyncMessage | UnknownMessage | 'refused' {
  try {
    return decodeMessage(bytes);
  } catch (error) {
    if (error instanceof SyncFormatError && error.code === 'ERR_HAWSER_PROTOCOL') return 'refused';
    throw error;
  }
}

/** The bytes in the midst of others that are no part of them. */
function embedded(bytes: Uint8Array): Uint8Array {
  const room = new Uint8Array(bytes.length + 48).fill(0x01);
  room.set(bytes, 24);
  return room.subarray(24, 24 + bytes.length);
}

/** A message whose content is written by hand. */
function madeBy(type: MessageType | undefined, write: (builder: Builder) => Offset): Uint8Array {
  const builder = new Builder();
  const content = write(builder);
  builder.startObject(2);
  builder.addFieldOffset(1, content, 0);
  builder.addFieldInt8(0, type === undefined ? 0 : messageTypes.indexOf(type) + 1, 0);
  builder.finish(builder.endObject());
  return builder.asUint8Array();
}

/** A table with one or more bytes, by field id. */
function bytesTable(builder: Builder, fields: Readonly<Record<number, number>>): Offset {
  builder.startObject(24);
  for (const [id, byte] of Object.entries(fields)) builder.addFieldInt8(Number(id), byte, 0);
  return builder.endObject();
}

function stringTable(type: MessageType, id: number, bytes: Uint8Array): Uint8Array {
  return madeBy(type, (builder) => {
    const text = builder.createString(bytes);
    builder.startObject(20);
    builder.addFieldOffset(id, text, 0);
    return builder.endObject();
  });
}

describe('the messages of schema g2', () => {
  test.each(vectors)('$name', ({ bytes, isMessage, meaning }) => {
    const message = decodeOrRefuse(bytes);
    expect(message !== 'refused').toBe(isMessage);
    if (message === 'refused') return;
    if (message.type === 'Unknown') {
      expect(meaning).toBeNull();
      expect(message.number).toBe(0);
      return;
    }
    expect(normal(toJson(message), ourFields)).toStrictEqual(normal(meaning));
    expect(decodeMessage(encodeMessage(message))).toStrictEqual(message);
  });
});

describe('any message', () => {
  test('is the same after it was encoded and decoded, wherever its bytes lie', () => {
    const property = fc.property(messages, (message) => {
      const bytes = encodeMessage(message);
      expect(decodeMessage(bytes)).toStrictEqual(message);
      expect(decodeMessage(embedded(bytes))).toStrictEqual(message);
      expect(encodeMessage(message)).toStrictEqual(bytes);
    });
    fc.assert(property, { numRuns: deep ? 50_000 : 1000 });
  });

  test('keeps a byte order mark: two texts that differ are two', () => {
    const marked: Start = { ...start, module: '\ufefffim', indices: ['\ufefffiles'] };
    expect(decodeMessage(encodeMessage(marked))).toStrictEqual(marked);
  });

  test('at the limits passes in both directions', () => {
    const most: Start = {
      ...start,
      module: 'm'.repeat(limits.moduleBytes),
      indices: Array.from({ length: limits.indices }, (_, n) => `i${n}`),
      metadata: {
        hostname: 'é'.repeat(limits.metadataBytes / 2),
        groups: Array.from({ length: limits.groups }, (_, n) => `g${n}`),
      },
    };
    expect(decodeMessage(encodeMessage(most))).toStrictEqual(most);
    const ranges = Array.from({ length: limits.ranges }, (_, n) => ({ begin: BigInt(n), end: BigInt(n) }));
    const asked: SyncMessage = { type: 'ReqRet', ranges, session: 1n };
    expect(decodeMessage(encodeMessage(asked))).toStrictEqual(asked);
    const largest: SyncMessage = {
      ...one,
      id: 'i'.repeat(limits.idBytes),
      index: 'i'.repeat(limits.indexBytes),
      data: new Uint8Array(limits.dataBytes),
    };
    expect(decodeMessage(encodeMessage(largest))).toStrictEqual(largest);
  });
});

describe('what cannot be encoded', () => {
  const long = 'x'.repeat(limits.metadataBytes + 1);
  const many = Array.from({ length: 1025 }, () => 'x');
  const refused: readonly (readonly [string, unknown])[] = [
    ['an unknown type', { ...start, type: 'Data' }],
    ['an unknown mode', { ...start, mode: 'ModuleFull' }],
    ['an unknown option', { ...start, option: 'First' }],
    ['a size that is no bigint', { ...start, size: 3 }],
    ['a negative size', { ...start, size: -1n }],
    ['a nonce beyond 64 bits', { ...start, nonce: 2n ** 64n }],
    ['a long module', { ...start, module: 'x'.repeat(limits.moduleBytes + 1) }],
    ['a long index', { ...start, indices: ['é'.repeat(limits.indexBytes / 2 + 1)] }],
    ['many indices', { ...start, indices: many }],
    ['indices that are no list', { ...start, indices: 'files' }],
    ['long metadata', { ...start, metadata: { hostname: long } }],
    ['metadata with half a surrogate pair', { ...start, metadata: { hostname: '\ud800' } }],
    ['many groups', { ...start, metadata: { groups: many } }],
    [
      'a Start that is too long in all',
      { ...start, metadata: { groups: Array.from({ length: 1024 }, () => 'x'.repeat(100)) } },
    ],
    ['an unknown operation', { ...one, operation: 'CREATE' }],
    ['a long id', { ...one, id: 'x'.repeat(limits.idBytes + 1) }],
    ['long data', { ...one, data: new Uint8Array(limits.dataBytes + 1) }],
    ['data that are no bytes', { ...one, data: '{}' }],
    ['an unknown status', { type: 'EndAck', status: 'Success', session: 1n, rejected: 0n, retryAfterMs: 0 }],
    ['many ranges', { type: 'ReqRet', session: 1n, ranges: many.map(() => ({ begin: 0n, end: 0n })) }],
    [
      'a batch that is too long in all',
      {
        type: 'DataBatch',
        values: Array.from({ length: 2 }, () => ({ ...item, data: new Uint8Array(40_000) })),
      },
    ],
  ];
  test.each(refused)('%s', (_, message) => {
    let thrown: unknown;
    try {
      encodeMessage(message as SyncMessage);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(HawserError);
    expect(thrown).toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  });
});

describe('bytes that are a message, but not as it should be', () => {
  const longText = 'x'.repeat(32);
  const refused: readonly (readonly [string, Uint8Array])[] = [
    ['an unknown mode', madeBy('Start', (builder) => bytesTable(builder, { 1: 7 }))],
    ['a negative mode', madeBy('Start', (builder) => bytesTable(builder, { 1: -1 }))],
    ['an unknown option', madeBy('Start', (builder) => bytesTable(builder, { 4: 3 }))],
    ['an unknown status', madeBy('EndAck', (builder) => bytesTable(builder, { 0: 5 }))],
    ['an unknown operation', madeBy('DataValue', (builder) => bytesTable(builder, { 2: 2 }))],
    ['a module that is no UTF-8', stringTable('Start', 0, Uint8Array.of(0x61, 0xff))],
    ['an overlong UTF-8 sequence', stringTable('Start', 0, Uint8Array.of(0xc0, 0x80))],
    ['half a surrogate pair', stringTable('ChecksumModule', 1, Uint8Array.of(0xed, 0xa0, 0x80))],
    ['a module that is too long', stringTable('Start', 0, new Uint8Array(limits.moduleBytes + 1))],
    ['an index that is too long', stringTable('DataClean', 2, new Uint8Array(limits.indexBytes + 1))],
    ['an id that is too long', stringTable('DataValue', 3, new Uint8Array(limits.idBytes + 1))],
    ['data that are too long', stringTable('DataValue', 6, new Uint8Array(limits.dataBytes + 1))],
    ['too many indices', listOf('Start', 3, limits.indices + 1)],
    ['too many groups', listOf('Start', 14, limits.groups + 1)],
    ['too many ranges', listOf('ReqRet', 0, limits.ranges + 1)],
  ];
  test.each(refused)('%s is refused', (_, bytes) => {
    expect(decodeOrRefuse(bytes)).toBe('refused');
  });

  /** A list that names one thing, a string as well as an empty table, many times. */
  function listOf(type: MessageType, id: number, count: number): Uint8Array {
    return madeBy(type, (builder) => {
      let element: Offset;
      if (type === 'Start') element = builder.createString(longText);
      else {
        builder.startObject(0);
        element = builder.endObject();
      }
      builder.startVector(4, count, 4);
      for (let n = 0; n < count; ++n) builder.addOffset(element);
      const list = builder.endVector();
      builder.startObject(20);
      builder.addFieldOffset(id, list, 0);
      return builder.endObject();
    });
  }

  test('indices and groups that are named more than once are decoded once, in the order of their first', () => {
    const indices = ['b', 'a', 'b', '', 'a', ''];
    const twice: Start = { ...start, indices, metadata: { groups: indices } };
    expect(decodeMessage(encodeMessage(twice))).toStrictEqual({
      ...start,
      indices: ['b', 'a', ''],
      metadata: { groups: ['b', 'a', ''] },
    });
    expect(decodeMessage(listOf('Start', 3, limits.indices))).toMatchObject({ indices: [longText] });
    expect(decodeMessage(listOf('Start', 14, limits.groups))).toMatchObject({
      metadata: { groups: [longText] },
    });
  });

  test('indices that lie on top of each other and together are longer than their message are refused', () => {
    const overlapping = (count: number) =>
      madeBy('Start', (builder) => {
        // Each word is the length of a text that begins behind it, and ends before a zero of a later word.
        const random = seededRandom(1);
        const lengths = Uint32Array.from({ length: count + 20 }, () => 61 + 4 * Math.floor(random() * 4));
        const words = builder.createByteVector(new Uint8Array(lengths.buffer));
        builder.startVector(4, count, 4);
        for (let n = 0; n < count; ++n) builder.addOffset(words - 4 - 4 * n);
        const list = builder.endVector();
        builder.startObject(20);
        builder.addFieldOffset(3, list, 0);
        return builder.endObject();
      });
    expect(decodeMessage(overlapping(2))).toMatchObject({ type: 'Start' });
    expect(() => decodeMessage(overlapping(limits.indices))).toThrow(/overlap/);
  });

  test('case 40: a type without content is refused', () => {
    for (const type of messageTypes) expect(decodeOrRefuse(madeBy(type, () => 0))).toBe('refused');
  });

  test('no type at all, and types of later schemas, are told by their number', () => {
    expect(decodeMessage(madeBy(undefined, () => 0))).toStrictEqual({ type: 'Unknown', number: 0 });
    const later = madeBy('DataBatch', (builder) => bytesTable(builder, { 0: 1 }));
    const typeAt = later.lastIndexOf(10, 24);
    for (const number of [11, 127, 128, 255]) {
      const copy = later.slice();
      copy[typeAt] = number;
      expect(decodeMessage(copy)).toStrictEqual({ type: 'Unknown', number });
    }
  });

  test('a message of a later schema that has the number of End and more fields is refused', () => {
    const session = madeBy('End', (builder) => {
      builder.startObject(3);
      builder.addFieldInt64(0, 5n, 0n);
      builder.addFieldInt64(2, 5n, 0n);
      return builder.endObject();
    });
    expect(decodeOrRefuse(session)).toBe('refused');
  });

  test('an unknown reason is none', () => {
    const ack = madeBy('EndAck', (builder) => bytesTable(builder, { 0: 1, 4: 99 }));
    expect(decodeMessage(ack)).toMatchObject({ status: 'Error', reason: 'None' });
    const started = madeBy('StartAck', (builder) => bytesTable(builder, { 0: 1, 6: -1 }));
    expect(decodeMessage(started)).toMatchObject({ status: 'Error', reason: 'None' });
  });

  test('what is absent is 0, empty or the first: case 39, ReqRet without ranges, and case 95, Data without id, index and data', () => {
    const absent = (type: MessageType): SyncMessage | UnknownMessage =>
      decodeMessage(madeBy(type, (builder) => bytesTable(builder, {})));
    expect(absent('ReqRet')).toStrictEqual({ type: 'ReqRet', ranges: [], session: 0n });
    const empty = { seq: 0n, session: 0n, id: '', index: '', data: new Uint8Array(0) };
    expect(absent('DataValue')).toStrictEqual({
      type: 'DataValue',
      ...empty,
      operation: 'Upsert',
      version: 0n,
    });
    expect(absent('DataContext')).toStrictEqual({ type: 'DataContext', ...empty });
    expect(absent('DataBatch')).toStrictEqual({ type: 'DataBatch', values: [] });
    expect(absent('Start')).toStrictEqual({
      ...start,
      module: '',
      mode: 'FULL',
      size: 0n,
      indices: [],
      nonce: 0n,
      generation: 0n,
    });
    expect(absent('StartAck')).toStrictEqual({
      type: 'StartAck',
      status: 'Ok',
      session: 0n,
      nonce: 0n,
      retryAfterMs: 0,
      resumed: false,
      generation: 0n,
      reason: 'None',
    });
  });

  test('a list that names one long text many times is not decoded many times', () => {
    const bytes = madeBy('Start', (builder) => {
      const text = builder.createString(new Uint8Array(40_000));
      builder.startVector(4, 1000, 4);
      for (let n = 0; n < 1000; ++n) builder.addOffset(text);
      const list = builder.endVector();
      builder.startObject(20);
      builder.addFieldOffset(3, list, 0);
      return builder.endObject();
    });
    expect(decodeOrRefuse(bytes)).toBe('refused');
  });
});

describe('damaged bytes', () => {
  const whole = [
    ...vectors.filter(({ isMessage }) => isMessage).map(({ bytes }) => bytes),
    ...fc.sample(messages, { numRuns: deep ? 100 : 10, seed: 7 }).map(encodeMessage),
  ];

  /** Reads nothing beyond the bytes, so what is behind them makes no difference; and throws nothing but SyncFormatError. */
  function expectHarmless(bytes: Uint8Array): void {
    const alone = decodeOrRefuse(bytes);
    const within = decodeOrRefuse(embedded(bytes));
    if (!isDeepStrictEqual(alone, within)) expect(within).toStrictEqual(alone);
  }

  test('with each bit turned over, and cut at each byte, are refused or decoded', () => {
    for (const bytes of whole) for (const each of damaged(bytes)) decodeOrRefuse(embedded(each));
  });

  test('with changes to offsets, lengths and vtables are refused or decoded', () => {
    const seed = Number(process.env.HAWSER_SEED ?? (deep ? Math.floor(Math.random() * 2 ** 32) : 1));
    const random = seededRandom(seed);
    for (let n = 0; n < (deep ? 500_000 : 20_000); ++n) {
      const bytes = whole[Math.floor(random() * whole.length)] ?? new Uint8Array(0);
      const each = damagedAtRandom(bytes, random);
      try {
        expectHarmless(each);
      } catch (error) {
        throw new Error(`HAWSER_SEED=${seed}, change ${n}: ${error}`, { cause: error });
      }
    }
  });
});
