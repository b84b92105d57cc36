import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeCbor } from '../../src/base/cbor.js';
import { maxPlainBytes } from '../../src/base/plain-cbor.js';
import { decodeAny, encodeAny } from '../../src/interaction/hawser-codec.js';
import type { Message } from '../../src/interaction/messages.js';
import { decodePlain, encodePlain } from '../../src/interaction/plain-messages.js';
import type { Value } from '../../src/interaction/values.js';
import { concat, fromHex, toHex } from '../reference/bytes.js';
import { hawserMessages, mutations } from './made-up-messages.js';

const numRuns = process.env.HAWSER_TEST_DEEP === '1' ? 200_000 : 3000;

/** The hex of what either way makes of a message, or that it makes nothing of it. */
function encodings(message: unknown): {
  readonly plain: string | undefined;
  readonly any: string | undefined;
} {
  const plain = encodePlain(message as Message);
  let any: Uint8Array | undefined;
  try {
    any = encodeAny(message as Message);
  } catch {
    any = undefined;
  }
  return { plain: plain && toHex(plain), any: any && toHex(any) };
}

function expectSameBytesOrNone(message: unknown): void {
  const { plain, any } = encodings(message);
  if (plain !== undefined) expect(plain).toBe(any);
}

/** Fails where `decodeAny` refuses what is not given up. */
function expectSameMessageOrNone(bytes: Uint8Array): void {
  const plain = decodePlain(bytes);
  if (plain !== undefined) expect(plain).toStrictEqual(decodeAny(bytes));
}

const head = { type: 'request', messageId: 70_000, endpoint: 1, feature: 255 } as const;
const subscribe = { ...head, operation: 'subscribe', attributes: [] } as const;
const notification = {
  type: 'notification',
  subscriptionId: 0xffff_ffff,
  endpoint: 0,
  feature: 24,
  changes: new Map([[1, 2100]]),
  kind: 'change',
} as const;

function response(payload: Value): Message {
  return { type: 'response', messageId: 1, status: 'SUCCESS', payload };
}

function numbered(count: number): Map<number, Value> {
  return new Map(Array.from({ length: count }, (_, key) => [key, key]));
}

const usualMessages: readonly (readonly [string, Message])[] = [
  ['read all', { ...head, operation: 'read', attributes: [] }],
  ['read some', { ...head, operation: 'read', attributes: [0, 23, 24, 255, 256, 65_535] }],
  ['read as many as allowed', { ...head, operation: 'read', attributes: [...numbered(100).keys()] }],
  [
    'write',
    {
      ...head,
      operation: 'write',
      values: new Map<number, Value>([
        [1, 21.5],
        [2, null],
      ]),
    },
  ],
  [
    'write out of order',
    {
      ...head,
      operation: 'write',
      values: new Map([
        [256, 1],
        [2, 2],
        [65_535, 3],
        [24, 4],
      ]),
    },
  ],
  ['write as many as allowed', { ...head, operation: 'write', values: numbered(100) }],
  ['subscribe', subscribe],
  ['subscribe to some', { ...subscribe, attributes: [1] }],
  ['subscribe with intervals', { ...subscribe, minIntervalMs: 0, maxIntervalMs: 0xffff_ffff }],
  [
    'subscribe to some with intervals',
    { ...subscribe, attributes: [1, 2], minIntervalMs: 1000, maxIntervalMs: 60_000 },
  ],
  ['unsubscribe', { type: 'request', operation: 'unsubscribe', messageId: 5, subscriptionId: 0xffff_ffff }],
  ['invoke', { ...head, operation: 'invoke', command: 0 }],
  [
    'invoke with parameters',
    {
      ...head,
      operation: 'invoke',
      command: 255,
      parameters: new Map([
        ['reason', 'overload'],
        ['limit', '5'],
      ]),
    },
  ],
  ['success', { type: 'response', messageId: 0xffff_ffff, status: 'SUCCESS' }],
  [
    'an error',
    {
      type: 'response',
      messageId: 1,
      status: 'RESOURCE_EXHAUSTED',
      payload: new Map([[1, 'there is no attribute 17']]),
    },
  ],
  [
    'a subscribed',
    response(
      new Map<number, Value>([
        [1, 9],
        [2, new Map([[1, 2]])],
        [3, 1000],
        [4, 60_000],
      ]),
    ),
  ],
  ['a change', notification],
  ['a priming', { ...notification, kind: 'priming', sequence: 1 }],
  ['a heartbeat', { ...notification, changes: new Map(), kind: 'heartbeat', sequence: 0 }],
  ['a change with sequence', { ...notification, sequence: 0xffff_ffff }],
];

describe('the usual messages are not given up', () => {
  test.each(usualMessages)('%s', (_name, message) => {
    const { plain, any } = encodings(message);
    expect(plain).toBe(any);
    const bytes = fromHex(plain ?? '');
    const decoded = decodePlain(bytes);
    expect(decoded).toStrictEqual(message);
    // The order of a map is that of its keys on the way.
    expect(toHex(encodeAny(decoded as Message))).toBe(any);
    expect(decodePlain(Buffer.from(bytes))).toStrictEqual(message);
  });

  const values: readonly Value[] = [
    ...[null, true, false, 0, -1, -24, -25, 0xff, 0x100, 0xffff, 0x1_0000, 0xffff_ffff, 2 ** 32],
    ...[
      -(2 ** 32),
      -(2 ** 32) - 1,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      0.1,
      -1.5,
      2 ** 53,
      -1e300,
      5e-324,
    ],
    ...['', 'heating', 'x'.repeat(12), 'y'.repeat(13), '\0\x7f'.repeat(127)],
    ...[
      new Uint8Array(),
      Uint8Array.of(0, 255),
      new Uint8Array(300),
      [],
      [1, [2, 'a']],
      [...Array(255).keys()],
    ],
    ...[
      new Map(),
      numbered(255),
      new Map<string | number, Value>([
        ['aa', 1],
        ['b', 2],
        [7, [3]],
        ['a', 4],
      ]),
    ],
  ];

  test.each(values.map((value) => [value]))('the value %j', (value) => {
    const { plain, any } = encodings(response(value));
    expect(plain).toBe(any);
    const bytes = fromHex(plain ?? '');
    expect(decodePlain(bytes)).toStrictEqual(decodeAny(bytes));
  });

  test('the negative zero is sent as 0, and is read as it comes', () => {
    expect(encodings(response(-0)).plain).toBe(encodings(response(0)).plain);
    const bytes = fromHex('a400020101020003fb8000000000000000');
    expect(decodePlain(bytes)).toStrictEqual(decodeAny(bytes));
    expect(decodePlain(bytes)).toHaveProperty('payload', -0);
  });
});

describe('what is written', () => {
  const inItself: Value[] = [];
  inItself.push(inItself);

  test('is what the long way writes, or given up, for arbitrary messages', () => {
    fc.assert(fc.property(hawserMessages, expectSameBytesOrNone), { numRuns });
  });

  test('is given up where the long way refuses it, for messages with anything in them', () => {
    const anything = fc.oneof(
      fc.constantFrom(
        undefined,
        null,
        -1,
        -0,
        0,
        1.5,
        256,
        65_536,
        2 ** 32,
        Number.NaN,
        Number.POSITIVE_INFINITY,
      ),
      fc.constantFrom(
        'toString',
        '__proto__',
        'x'.repeat(256),
        'é',
        '\ufeffa',
        '\ud800',
        1n,
        2n ** 64n,
        new Date(0),
      ),
      fc.constantFrom(new Array(1), new Uint16Array(2), new Set([1]), new Map([[{}, 1]]), [undefined]),
      fc.constantFrom(
        new Map([[-1, 0]]),
        new Map([[1.5, 0]]),
        new Map([[Symbol.iterator, 0]]),
        new Map([['a', 0]]),
      ),
      fc.constantFrom(numbered(100), numbered(101), numbered(256), [...numbered(101).keys()]),
      fc.constantFrom(
        new Map([
          [1n, 0],
          [2n, 0],
        ]),
        new Map([
          ['é', 0],
          ['z', 1],
        ]),
        new Map([[70_000, 0]]),
      ),
      fc.anything({ withMap: true, withTypedArray: true, withBigInt: true, withSparseArray: true }),
    );
    const names = [
      'type',
      'messageId',
      'operation',
      'endpoint',
      'feature',
      'attributes',
      'values',
      'command',
    ];
    const more = ['parameters', 'subscriptionId', 'changes', 'kind', 'sequence', 'status', 'payload'];
    const intervals = ['minIntervalMs', 'maxIntervalMs'];
    const broken = fc
      .tuple(hawserMessages, fc.constantFrom(...names, ...more, ...intervals), anything)
      .map(([message, name, value]) => ({ ...message, [name]: value }));
    fc.assert(fc.property(broken, expectSameBytesOrNone), { numRuns });
  });

  test.each(usualMessages)('is the same or given up with any part of it replaced: %s', (_name, message) => {
    const numbers = [-1, -0, 0, 1, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32, 1.5, Number.NaN];
    const others = [
      undefined,
      null,
      true,
      '',
      '1',
      1n,
      [],
      [1],
      [-1],
      ['1'],
      [65_536],
      new Map(),
      new Uint8Array(1),
    ];
    for (const name of Object.keys(message)) {
      for (const part of [...numbers, ...others]) expectSameBytesOrNone({ ...message, [name]: part });
    }
  });

  test.each<[string, unknown]>([
    ['a control message', { type: 'control', control: 'ping', sequence: 1 }],
    ['one interval of two', { ...subscribe, minIntervalMs: 1 }],
    ['101 ids', { ...head, operation: 'read', attributes: [...numbered(101).keys()] }],
    ['101 values', { ...head, operation: 'write', values: numbered(101) }],
    ['101 changes', { ...notification, changes: numbered(101) }],
    ['a text with half a surrogate pair', response('\udc00')],
    ['a text with U+FEFF', response('\ufeff')],
    ['a key beyond 65,535', response(new Map([[65_536, 0]]))],
    ['a bigint', response(1n)],
    ['a text for an attribute', { ...head, operation: 'write', values: new Map([['a', 1]]) }],
    ['NaN', response(Number.NaN)],
    ['an infinity', response(Number.NEGATIVE_INFINITY)],
    ['a value in itself', response(inItself)],
  ])('is given up for %s', (_name, message) => {
    expect(encodings(message).plain).toBeUndefined();
  });

  test.each<[string, (size: number) => Value]>([
    ['bytes', (size) => new Uint8Array(size)],
    ['numbers', (size) => [new Uint8Array(size), 2 ** 40]],
    ['floats', (size) => [new Uint8Array(size), 1.5]],
    ['a text', (size) => [new Uint8Array(size), 'x'.repeat(100)]],
    ['simple values', (size) => [new Uint8Array(size), true, null]],
  ])('is given up from 2,049 bytes on: %s', (_name, of) => {
    for (let size = 1930; size < 2048; ++size) {
      const message = response(of(size));
      const any = Buffer.from(encodeAny(message));
      const plain = encodePlain(message);
      // Room is asked for before it is known how much of it an integer takes.
      if (plain === undefined) expect(any.length).toBeGreaterThan(maxPlainBytes - 9);
      else expect(any.equals(plain)).toBe(true);
      if (any.length > maxPlainBytes) expect(plain).toBeUndefined();
    }
  });

  test('stays as it is while other messages are written', () => {
    const written = Array.from({ length: 100 }, (_, index) => {
      const message = response([index, 'x'.repeat(index % 90)]);
      return { bytes: encodePlain(message), any: toHex(encodeAny(message)) };
    });
    for (const { bytes, any } of written) expect(bytes && toHex(bytes)).toBe(any);
  });
});

/** The head of an item. @param widen how many sizes larger than it needs. */
function headOf(kind: number, argument: number | bigint, widen = 0): Uint8Array {
  const least =
    argument < 24 ? 0 : argument < 0x100 ? 1 : argument < 0x1_0000 ? 2 : argument < 2 ** 32 ? 3 : 4;
  const size = Math.min(least + widen, 4);
  if (size === 0) return Uint8Array.of((kind << 5) | Number(argument));
  const wide = new Uint8Array(8);
  new DataView(wide.buffer).setBigUint64(0, BigInt(argument));
  return concat(Uint8Array.of((kind << 5) | (23 + size)), wide.subarray(8 - 2 ** (size - 1)));
}

/** Items as another side may make them up: most are right, some in too many bytes, with keys twice, or no CBOR at all. */
const rawItems = fc.letrec<{ item: Uint8Array; key: Uint8Array }>((tie) => {
  const widen = fc.oneof({ weight: 30, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 4 }));
  const argument = fc.oneof(
    fc.constantFrom(
      0,
      1,
      23,
      24,
      255,
      256,
      65_535,
      65_536,
      2 ** 32 - 1,
      2 ** 32,
      2n ** 53n - 2n,
      2n ** 53n - 1n,
      2n ** 53n,
    ),
    fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  );
  const integer = fc
    .tuple(fc.constantFrom(0, 1), argument, widen)
    .map(([kind, value, wider]) => headOf(kind, value, wider));
  const string = fc
    .tuple(
      fc.constantFrom(2, 3),
      fc.oneof(
        fc.string({ maxLength: 20 }).map((text) => new TextEncoder().encode(text)),
        fc.string({ unit: 'binary', maxLength: 4 }).map((text) => new TextEncoder().encode(text)),
        fc.uint8Array({ maxLength: 4 }),
        fc.constantFrom(fromHex('efbbbf61'), fromHex('eda080'), new Uint8Array(255), new Uint8Array(256)),
      ),
      widen,
    )
    .map(([kind, bytes, wider]) => concat(headOf(kind, bytes.length, wider), bytes));
  const float = fc
    .tuple(
      fc.constantFrom(fromHex('3ff8000000000000'), fromHex('8000000000000000'), fromHex('7ff0000000000000')),
      fc.uint8Array({ minLength: 8, maxLength: 8 }),
      fc.boolean(),
      fc.constantFrom(0xf9, 0xfa, 0xfb, 0xfb, 0xfb),
    )
    .map(([special, random, isSpecial, kind]) =>
      concat(Uint8Array.of(kind), (isSpecial ? special : random).subarray(0, 2 ** (kind - 0xf8))),
    );
  const simple = fc.constantFrom(
    0xf4,
    0xf5,
    0xf6,
    0xf4,
    0xf5,
    0xf6,
    0xf7,
    0xe0,
    0xff,
    0x1c,
    0x5f,
    0x9f,
    0xbf,
    0xc0,
  );
  const list = fc
    .tuple(fc.array(tie('item'), { maxLength: 3 }), widen)
    .map(([items, wider]) => concat(headOf(4, items.length, wider), ...items));
  const map = fc
    .tuple(fc.array(fc.tuple(tie('key'), tie('item')), { maxLength: 3 }), widen)
    .map(([entries, wider]) => concat(headOf(5, entries.length, wider), ...entries.flat()));
  const smallKeys = fc.integer({ min: 0, max: 3 }).map((key) => Uint8Array.of(key));
  return {
    item: fc.oneof(
      { maxDepth: 9, depthSize: 'xlarge' },
      integer,
      string,
      float,
      simple.map((byte) => Uint8Array.of(byte)),
      list,
      map,
    ),
    key: fc.oneof(
      { weight: 4, arbitrary: smallKeys },
      { weight: 4, arbitrary: string },
      integer,
      tie('item'),
    ),
  };
});

/** Messages with such items in their places. */
const rawMessages = fc
  .tuple(
    fc.constantFrom(
      [
        'a40002010102 00 03',
        'a400020101020003',
        'a4000201010203 03',
        'a40002010102 0e 03',
        'a5000201010200 03',
      ],
      ['a600010101020203010401 05', 'a60001010102010301040105a101', 'a60001010102040301040105a2010102'],
      ['a5000302010301040205', 'a700030201030104020505a006020701', 'a600030201030104020505a007'],
      [
        'a4000101010205 05a101',
        'a600010101020303010401 05',
        'a60001010102030301040105a2020103',
        'a60001010102010301040105',
      ],
      ['a400020102', 'a300020102', 'a4000201', 'a500030201030104', 'a600030201030104020505a006', 'a6000101'],
    ),
    fc.nat(),
    rawItems.item,
    fc.constantFrom('', '', '', '', '00', '0300', '0505', '0203', '00f6'),
  )
  .map(([templates, which, item, rest]) => {
    const template = templates[which % templates.length] ?? '';
    return concat(fromHex(template.replaceAll(' ', '')), item, fromHex(rest));
  });

describe('what is read', () => {
  test('is what the long way reads, or given up, for items in whatever form', () => {
    let read = 0;
    fc.assert(
      fc.property(rawMessages, (bytes) => {
        expectSameMessageOrNone(bytes);
        if (decodePlain(bytes) !== undefined) ++read;
      }),
      { numRuns },
    );
    // Otherwise nothing was compared.
    expect(read).toBeGreaterThan(numRuns / 50);
  });

  test('is what the long way reads, or given up, for random and altered bytes', () => {
    const encoded = hawserMessages.map((message) => encodeAny(message));
    const inputs = fc.oneof(fc.uint8Array({ maxLength: 64 }), mutations(encoded), encoded);
    fc.assert(fc.property(inputs, expectSameMessageOrNone), { numRuns });
  });

  test.each(usualMessages)('is the same or given up with any byte of it replaced: %s', (_name, message) => {
    const larger = ['', '190100', '1a00010000', '1b0000000100000000', '6161', '0000', '0100', '0600', '0700'];
    const single = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
    const bytes = encodeAny(message);
    for (let at = 0; at < Math.min(bytes.length, 64); ++at) {
      for (const part of [...single, ...larger.map(fromHex)]) {
        const changed = concat(bytes.subarray(0, at), part, bytes.subarray(at + 1));
        const plain = decodePlain(changed);
        if (plain !== undefined && !isDeepStrictEqual(plain, decodeAny(changed)))
          expectSameMessageOrNone(changed);
      }
    }
  });

  const success = 'a400020101020003';
  const read = 'a60001010102010300040105';
  const changed = 'a5000302010300040005';
  test.each([
    ['nothing', ''],
    ['a message that is cut off', `${success}a10102`.slice(0, -2)],
    ['bytes behind the message', `${success}0000`],
    ['an id in too many bytes', 'a30002011801 0200'],
    ['an id of 0', 'a3000201000200'],
    ['a notification of subscription 0', 'a5000302000301040005a0'],
    ['an id beyond 32 bits', 'a30002011b00000001000000000200'],
    ['an integer in too many bytes', `${success}190017`],
    ['an integer in far too many bytes', `${success}1b00000000ffffffff`],
    ['an integer that no number holds', `${success}1b0020000000000000`],
    ['a negative integer that no number holds', `${success}3b001fffffffffffff`],
    ['a reserved length', `${success}1c`],
    ['an indefinite length', `${success}9fff`],
    ['a tag', `${success}c000`],
    ['undefined', `${success}f7`],
    ['a float of 16 bits', `${success}f93c00`],
    ['NaN', `${success}fb7ff8000000000000`],
    ['an infinity', `${success}fbfff0000000000000`],
    ['half a float', `${success}fb3ff800`],
    ['a text that is not UTF-8', `${success}61ff`],
    ['a text that begins with U+FEFF', `${success}63efbbbf`],
    ['a text that is not there', `${success}6261`],
    ['a long text that is not there', `${success}78ff61`],
    ['bytes that are not there', `${success}4200`],
    ['a list that is not there', `${success}8200`],
    ['a key twice', `${success}a201000100`],
    ['a text twice for a key', `${success}a261610061 6100`],
    ['a change twice', `${changed}a201000100`],
    ['a text for an attribute', `${changed}a1616100`],
    ['attribute 65,536', `${changed}a11a0001000000`],
    [
      '101 changes',
      `${changed}b865${[...numbered(101).keys()].map((key) => toHex(headOf(0, key))).join('00')}00`,
    ],
    ['101 ids', `${read}a1019865${'00'.repeat(101)}`],
    ['id 65,536', `${read}a101811a00010000`],
    ['a key that is bytes', `${success}a1410000`],
    ['a negative key', `${success}a12000`],
    ['nesting', `${success}818181818100`],
    ['nesting of maps', `${success}a100a100a100a100a10000`],
    ['fields out of order', 'a3000202000101'],
    ['a field twice', 'a400020101010 10200'.replaceAll(' ', '')],
    ['an unknown field', 'a40002010102000900'],
    ['a status beyond the last', 'a30002010102 0e'],
    ['flags beyond the kinds', `a6${changed.slice(2)}a00604`],
    ['flags of two kinds', `a6${changed.slice(2)}a00603`],
    ['operation 6', 'a500010101020603000400'],
    ['a write without payload', 'a500010101020203000400'],
    ['a write whose payload has no key', 'a500010101020203000400a0'],
    ['a read of more fields than come', 'a700010101020103000400'],
    ['a read of fewer fields than come', 'a400010101020103000400'],
    ['endpoint 256', 'a50001010102010319010004 00'],
    ['a control message', 'a3000401010201'],
    ['more fields than it says', 'a20002010102'],
    ['fewer fields than it says', 'a60002010102000300'],
  ])('is given up for %s', (_name, hex) => {
    const bytes = fromHex(hex.replaceAll(' ', ''));
    expect(decodePlain(bytes)).toBeUndefined();
    expect(decodePlain(Buffer.from(bytes))).toBeUndefined();
  });

  test('is given up from 2,049 bytes on', () => {
    const payload = new Uint8Array(maxPlainBytes - fromHex(`${success}590000`).length);
    const longest = encodeAny(response(payload));
    expect(longest).toHaveLength(maxPlainBytes);
    expect(decodePlain(longest)).toStrictEqual(response(payload));
    const longer = encodeCbor(
      new Map<number, Value>([
        [0, 2],
        [1, 1],
        [2, 0],
        [3, new Uint8Array([...payload, 0])],
      ]),
      {
        maxBytes: 10_000,
        maxDepth: 8,
        maxContainers: 1_000_000,
      },
    );
    expect(decodePlain(longer)).toBeUndefined();
  });

  test.each([
    ['Uint8Array', (bytes: Uint8Array) => bytes],
    ['Buffer', (bytes: Uint8Array) => Buffer.from(bytes)],
  ])('shares no memory with a %s', (_name, made) => {
    const message = response([Uint8Array.of(1, 2, 3), 'short', 'a text of some length', 1.5]);
    const bytes = made(encodeAny(message));
    const decoded = decodePlain(bytes);
    bytes.fill(0);
    expect(decoded).toStrictEqual(message);
  });

  test('is right from the middle of a larger piece of memory', () => {
    const message = response(['a text of some length', 1.5, Uint8Array.of(1)]);
    const whole = concat(fromHex('ffffff'), encodeAny(message), fromHex('ffff'));
    expect(decodePlain(whole.subarray(3, -2))).toStrictEqual(message);
    expect(decodePlain(whole.subarray(3, -1))).toBeUndefined();
    expect(decodePlain(whole.subarray(3, -3))).toBeUndefined();
  });
});
