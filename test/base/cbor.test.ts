import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  CborError,
  type CborRules,
  type CborValue,
  checkCbor,
  decodeCbor,
  encodeCbor,
} from '../../src/base/cbor.js';
import { HawserError, type HawserErrorCode } from '../../src/base/errors.js';
import { mutations, values } from '../interaction/made-up-messages.js';
import { concat, fromHex, toHex, utf8 } from '../reference/bytes.js';

const limits = { maxBytes: 65_536, maxDepth: 8, maxContainers: 65_536 };
const strict: CborRules = { ...limits, allowIndefinite: false };
const lenient: CborRules = { ...limits, allowIndefinite: true, allowLongIntegers: true };

/** Why the bytes are refused, by the check alone and by the decoder alike. */
function refusal(bytes: Uint8Array, rules: CborRules = strict): string {
  const [checked, decoded] = [checkCbor, decodeCbor].map((run) => {
    try {
      run(bytes, rules);
      return undefined;
    } catch (error) {
      if (error instanceof CborError) return error.message;
      throw error;
    }
  });
  expect(decoded).toBe(checked);
  return checked ?? 'accepted';
}

/** The code that a value is refused with. */
function encodeRefusal(value: unknown, within = limits): HawserErrorCode | undefined {
  try {
    encodeCbor(value as CborValue, within);
    return undefined;
  } catch (error) {
    if (error instanceof HawserError) return error.code;
    throw error;
  }
}

/** Bytes that count how often one of them is read. */
function counted(bytes: Uint8Array): { readonly bytes: Uint8Array; readonly reads: () => number } {
  let reads = 0;
  const proxy = new Proxy(bytes, {
    get(target, property) {
      if (typeof property === 'string' && /^\d+$/.test(property)) ++reads;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { bytes: proxy, reads: () => reads };
}

/** How many bytes the check reads before it refuses. */
function readsUntilRefused(bytes: Uint8Array, rules: CborRules = strict): number {
  const { bytes: watched, reads } = counted(bytes);
  expect(() => checkCbor(watched, rules)).toThrow(CborError);
  return reads();
}

const major = { bytes: 2, text: 3, list: 4, map: 5 } as const;

function head(kind: number, argument: number, size: 1 | 2 | 4 | 8): Uint8Array {
  const bytes = new Uint8Array(1 + size);
  bytes[0] = (kind << 5) | (24 + Math.log2(size));
  let rest = argument;
  for (let index = size; index > 0; --index) {
    bytes[index] = rest % 256;
    rest = Math.floor(rest / 256);
  }
  return bytes;
}

// From RFC 8949, appendix A, where it has them.
const deterministic: readonly (readonly [string, CborValue])[] = [
  ['00', 0],
  ['17', 23],
  ['1818', 24],
  ['18ff', 255],
  ['190100', 256],
  ['1a000f4240', 1_000_000],
  ['1affffffff', 4_294_967_295],
  ['1b0000000100000000', 4_294_967_296],
  ['1b000000e8d4a51000', 1_000_000_000_000],
  ['1b001fffffffffffff', Number.MAX_SAFE_INTEGER],
  ['1b0020000000000000', 2n ** 53n],
  ['1bffffffffffffffff', 18_446_744_073_709_551_615n],
  ['20', -1],
  ['3863', -100],
  ['3903e7', -1000],
  ['3b001ffffffffffffe', Number.MIN_SAFE_INTEGER],
  ['3b001fffffffffffff', -(2n ** 53n)],
  ['3bffffffffffffffff', -18_446_744_073_709_551_616n],
  ['fb3ff199999999999a', 1.1],
  ['fb7e37e43c8800759c', 1.0e300],
  ['fbc010666666666666', -4.1],
  ['fb0000000000000001', 5e-324],
  ['f4', false],
  ['f5', true],
  ['f6', null],
  ['40', new Uint8Array(0)],
  ['4401020304', Uint8Array.of(1, 2, 3, 4)],
  ['60', ''],
  ['6449455446', 'IETF'],
  ['62c3bc', '\u00fc'],
  ['63e6b0b4', '\u6c34'],
  ['64f0908591', '\u{10151}'],
  ['80', []],
  ['8301820203820405', [1, [2, 3], [4, 5]]],
  ['a0', new Map()],
  [
    'a201020304',
    new Map([
      [1, 2],
      [3, 4],
    ]),
  ],
  [
    'a26161016162820203',
    new Map<string, CborValue>([
      ['b', [2, 3]],
      ['a', 1],
    ]),
  ],
];

describe('the deterministic encoding', () => {
  test.each(deterministic)('%s, both ways', (hex, value) => {
    expect(toHex(encodeCbor(value, limits))).toBe(hex);
    expect(decodeCbor(fromHex(hex), strict)).toStrictEqual(value);
  });

  test('keys of maps come in the order of their encodings, whatever order they were set in', () => {
    const keys = [10, 100, -1, 'z', 'aa', 0, '', 70_000, -200, 'b'];
    const encodings = ['00', '0a', '1864', '1a00011170', '20', '38c7', '60', '6162', '617a', '626161'];
    for (const each of [keys, [...keys].reverse()]) {
      const bytes = encodeCbor(new Map(each.map((key) => [key, 0])), limits);
      expect(toHex(bytes)).toBe(`aa${encodings.map((key) => `${key}00`).join('')}`);
    }
  });

  test('integral numbers are integers up to 2^53 and floats beyond, -0 is 0, small bigints are integers', () => {
    expect(toHex(encodeCbor(5.0, limits))).toBe('05');
    expect(toHex(encodeCbor(-0, limits))).toBe('00');
    expect(toHex(encodeCbor(5n, limits))).toBe('05');
    expect(toHex(encodeCbor(-500n, limits))).toBe('3901f3');
    expect(toHex(encodeCbor(2 ** 53, limits))).toBe('fb4340000000000000');
    expect(toHex(encodeCbor([-(2 ** 60)], limits))).toBe('81fbc3b0000000000000');
    expect(toHex(encodeCbor(new Map([[1, 2 ** 60]]), limits))).toBe('a101fb43b0000000000000');
  });

  test('what is encoded is decoded to the same, and encoded again is the same bytes', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeCbor(value, limits);
        const decoded = decodeCbor(bytes, strict);
        expect(decoded).toStrictEqual(value);
        expect(toHex(encodeCbor(decoded, limits))).toBe(toHex(bytes));
      }),
    );
  });

  test.each([
    ['\ufeffmarked'],
    ['\ufeff'],
    [`\ufeff${'x'.repeat(100)}`],
    ['in the \ufeff middle'],
    ['\0'],
    ['x'.repeat(10_000)],
    ['\u{10ffff}'.repeat(1000)],
  ])('text keeps every character: %j', (text) => {
    const value = [text, new Map([[text, Uint8Array.of(1, 2)]])];
    expect(decodeCbor(encodeCbor(value, limits), strict)).toStrictEqual(value);
  });

  test('a text and the same text behind a U+FEFF are two keys', () => {
    const value = new Map([
      ['a', 1],
      ['\ufeffa', 2],
    ]);
    expect(decodeCbor(encodeCbor(value, limits), strict)).toStrictEqual(value);
  });
});

test.each([
  ['f90000', 0],
  ['f93c00', 1],
  ['f93e00', 1.5],
  ['f97bff', 65_504],
  ['f90001', 2 ** -24],
  ['f9c400', -4],
  ['fa47c35000', 100_000],
  ['fa7f7fffff', 3.4028234663852886e38],
  ['fb7fefffffffffffff', Number.MAX_VALUE],
])('a float of any width is read: %s', (hex, value) => {
  expect(decodeCbor(fromHex(hex), strict)).toBe(value);
});

describe('refused, with the rules of our own format', () => {
  test.each([
    ['', 'cut off'],
    ['0000', '1 bytes follow the value'],
    ['a0a0', '1 bytes follow the value'],
    ['c074323031332d30332d32315432303a30343a30305a', 'a tag'],
    ['c249010000000000000000', 'a tag'],
    ['d9d9f700', 'a tag'],
    ['81c100', 'a tag'],
    ['f7', 'a simple value'],
    ['81f7', 'a simple value'],
    ['e0', 'a simple value'],
    ['f3', 'a simple value'],
    ['f818', 'a simple value'],
    ['f8ff', 'a simple value'],
    ['fc', 'a simple value'],
    ['f97e00', 'a NaN or an infinity'],
    ['f97c00', 'a NaN or an infinity'],
    ['f9fc00', 'a NaN or an infinity'],
    ['f97c01', 'a NaN or an infinity'],
    ['fa7f800000', 'a NaN or an infinity'],
    ['faffc00000', 'a NaN or an infinity'],
    ['fb7ff0000000000000', 'a NaN or an infinity'],
    ['fb7ff8000000000000', 'a NaN or an infinity'],
    ['fbfff0000000000001', 'a NaN or an infinity'],
    ['1c', 'a reserved length'],
    ['5d', 'a reserved length'],
    ['9e', 'a reserved length'],
    ['1f', 'an indefinite length'],
    ['5f4101ff', 'an indefinite length'],
    ['7f6161ff', 'an indefinite length'],
    ['9f01ff', 'an indefinite length'],
    ['bf0102ff', 'an indefinite length'],
    ['ff', 'a break outside of a list or map'],
    ['81ff', 'a break outside of a list or map'],
    ['a1f93c0001', 'a map key that is neither an integer nor text'],
    ['a1410001', 'a map key that is neither an integer nor text'],
    ['a18001', 'a map key that is neither an integer nor text'],
    ['a1a001', 'a map key that is neither an integer nor text'],
    ['a1f601', 'a map key that is neither an integer nor text'],
    ['a1f401', 'a map key that is neither an integer nor text'],
    ['a11b002000000000000001', 'a map key that is not below 2^53'],
    ['a13b001fffffffffffff01', 'a map key that is not below 2^53'],
    ['a11bffffffffffffffff01', 'a map key that is not below 2^53'],
    ['61ff', 'text that is not UTF-8'],
    ['62c328', 'text that is not UTF-8'],
    ['63eda080', 'text that is not UTF-8'],
    ['a162c32801', 'text that is not UTF-8'],
    ['1817', 'an integer or a length in more bytes than it needs'],
    ['1900ff', 'an integer or a length in more bytes than it needs'],
    ['1a0000ffff', 'an integer or a length in more bytes than it needs'],
    ['1b00000000ffffffff', 'an integer or a length in more bytes than it needs'],
    ['3800', 'an integer or a length in more bytes than it needs'],
    ['580100', 'an integer or a length in more bytes than it needs'],
    ['980100', 'an integer or a length in more bytes than it needs'],
    ['b8010000', 'an integer or a length in more bytes than it needs'],
    ['a1180100', 'an integer or a length in more bytes than it needs'],
  ])('%s: %s', (hex, reason) => {
    expect(refusal(fromHex(hex))).toBe(reason);
  });

  test('keys at the edge of what a number holds are taken', () => {
    expect(refusal(fromHex('a11b001fffffffffffff01'))).toBe('accepted');
    expect(refusal(fromHex('a13b001ffffffffffffe01'))).toBe('accepted');
  });

  test('a key that comes twice, at any depth, by the decoder', () => {
    for (const hex of ['a201000100', 'a2616100616100', '81a120a201000101', 'a3010002000100']) {
      expect(() => decodeCbor(fromHex(hex), strict)).toThrow(new CborError('duplicate map key'));
    }
    expect(() => decodeCbor(fromHex('a20100180100'), lenient)).toThrow('duplicate map key');
    const longKey = concat(fromHex('a279f000'), utf8('x'.repeat(0xf000)), fromHex('00'));
    const twice = concat(longKey, longKey.subarray(1));
    expect(() => decodeCbor(twice, { ...strict, maxBytes: 200_000 })).toThrow(/^duplicate map key$/);
  });

  test('every value that is cut off, wherever, or followed by anything', () => {
    fc.assert(
      fc.property(values, (value) => {
        const bytes = encodeCbor(value, limits);
        for (let length = 0; length < bytes.length; ++length) {
          expect(refusal(bytes.subarray(0, length))).not.toBe('accepted');
        }
        expect(refusal(concat(bytes, Uint8Array.of(0)))).toBe('1 bytes follow the value');
      }),
    );
  });

  test('more lists and maps than are allowed are refused both ways, however they are arranged', () => {
    for (const maxContainers of [1, 2, 9]) {
      const few = { ...strict, maxContainers };
      const flat = (count: number): CborValue => Array.from({ length: count - 1 }, () => new Map());
      expect(decodeCbor(encodeCbor(flat(maxContainers), few), few)).toEqual(flat(maxContainers));
      const tooMany = encodeCbor(flat(maxContainers + 1), limits);
      expect(refusal(tooMany, few)).toBe(`more than ${maxContainers} lists and maps`);
      expect(() => encodeCbor(flat(maxContainers + 1), few)).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
      );
    }
  });

  test('more bytes than are allowed, without one of them being read', () => {
    const bytes = concat(fromHex('5a00010000'), new Uint8Array(65_536));
    expect(readsUntilRefused(bytes)).toBe(0);
    expect(refusal(bytes, { ...strict, maxBytes: bytes.length })).toBe('accepted');
    expect(refusal(bytes, { ...strict, maxBytes: bytes.length - 1 })).toBe(
      '65541 bytes, of which 65540 are allowed',
    );
  });
});

describe('accepted where the rules allow it', () => {
  test.each<[string, CborValue]>([
    ['9fff', []],
    ['bfff', new Map()],
    ['9f018202039f0405ffff', [1, [2, 3], [4, 5]]],
    [
      'bf0102039f04ffff',
      new Map<number, CborValue>([
        [1, 2],
        [3, [4]],
      ]),
    ],
    ['1817', 23],
    ['1b0000000000000001', 1],
    ['3b0000000000000001', -2],
    ['5b000000000000000101', Uint8Array.of(1)],
    ['7a0000000161', 'a'],
    ['9b000000000000000101', [1]],
    ['bb00000000000000010102', new Map([[1, 2]])],
    ['a11b000000000000000102', new Map([[1, 2]])],
  ])('%s', (hex, value) => {
    expect(decodeCbor(fromHex(hex), lenient)).toStrictEqual(value);
    expect(refusal(fromHex(hex))).not.toBe('accepted');
  });

  test.each([
    ['9f01', 'cut off'],
    ['bf01', 'cut off'],
    ['bf0102', 'cut off'],
    ['bf01ff', 'a break outside of a list or map'],
    ['bfff00', '1 bytes follow the value'],
    ['ff', 'a break outside of a list or map'],
    ['a101ff', 'a break outside of a list or map'],
    ['a1ff00', 'a map key that is neither an integer nor text'],
    ['5f4101ff', 'an indefinite length'],
    ['7f6161ff', 'an indefinite length'],
    ['bf1fff', 'an indefinite length'],
  ])('but never %s: %s', (hex, reason) => {
    expect(refusal(fromHex(hex), lenient)).toBe(reason);
  });
});

describe('nesting', () => {
  const nested = (depth: number, open: string, close: string): Uint8Array =>
    fromHex(open.repeat(depth) + close);

  test.each([
    ['lists', '81', '80'],
    ['maps', 'a100', 'a0'],
    ['lists without length', '9f', ''],
  ])('%s are as deep as allowed, and no deeper', (_name, open, close) => {
    const whole = (depth: number): Uint8Array =>
      close === ''
        ? concat(nested(depth, open, ''), new Uint8Array(depth).fill(0xff))
        : nested(depth - 1, open, close);
    for (const maxDepth of [1, 2, 8, 100]) {
      const rules = { ...lenient, maxDepth };
      expect(refusal(whole(maxDepth), rules)).toBe('accepted');
      expect(refusal(whole(maxDepth + 1), rules)).toBe(`nested deeper than ${maxDepth}`);
    }
  });

  test('a scalar needs no depth', () => {
    expect(refusal(fromHex('00'), { ...strict, maxDepth: 0 })).toBe('accepted');
    expect(refusal(fromHex('80'), { ...strict, maxDepth: 0 })).toBe('nested deeper than 0');
  });

  test.each([
    ['lists of one', 0x81],
    ['lists without length', 0x9f],
    ['maps without length', 0xbf],
  ])('a million nested %s are refused after a few bytes', (_name, byte) => {
    const bomb = new Uint8Array(1_000_000).fill(byte);
    expect(readsUntilRefused(bomb, { ...lenient, maxBytes: bomb.length })).toBeLessThan(2 * 8 + 4);
  });

  test('a value nested in itself, or deeper than the other side accepts, is not encoded', () => {
    const list: CborValue[] = [];
    list.push(list);
    expect(encodeRefusal(list)).toBe('ERR_HAWSER_ARGUMENT');
    const map = new Map<number, CborValue>();
    map.set(1, [map]);
    expect(encodeRefusal(map)).toBe('ERR_HAWSER_ARGUMENT');

    const deep = (depth: number): CborValue => (depth === 1 ? new Map() : [deep(depth - 1)]);
    expect(encodeRefusal(deep(8))).toBeUndefined();
    expect(encodeRefusal(deep(9))).toBe('ERR_HAWSER_ARGUMENT');
  });
});

describe('declared lengths', () => {
  test.each([
    ['bytes', major.bytes],
    ['text', major.text],
    ['a list', major.list],
    ['a map', major.map],
  ])('%s that is not there is refused after its head', (_name, kind) => {
    for (const [argument, size] of [
      [2 ** 32 - 1, 4],
      [2 ** 32, 8],
      [2 ** 53, 8],
      [2 ** 64 - 2 ** 11, 8],
      [300, 2],
    ] as const) {
      const bytes = concat(head(kind, argument, size), new Uint8Array(16));
      expect(refusal(bytes)).toBe('cut off');
      expect(refusal(bytes, lenient)).toBe('cut off');
      expect(readsUntilRefused(bytes)).toBeLessThanOrEqual(2 + size);
    }
  });

  test('a map needs two bytes for each of its entries', () => {
    expect(refusal(fromHex('a2000001'))).toBe('cut off');
    expect(readsUntilRefused(concat(fromHex('b90100'), new Uint8Array(511)))).toBe(3);
  });
});

describe('time', () => {
  const big = (kind: 'list' | 'map', count: number): Uint8Array => {
    const numbers = Array.from({ length: count }, (_, index) => index);
    const value = kind === 'list' ? numbers : new Map(numbers.map((key) => [`key ${key} \u00fc`, key]));
    return encodeCbor(value, { ...limits, maxBytes: 100_000_000 });
  };

  test.each(['list', 'map'] as const)('a %s of 10^5 elements is read once', (kind) => {
    const bytes = big(kind, 100_000);
    const rules = { ...strict, maxBytes: bytes.length };
    const { bytes: watched, reads } = counted(bytes);
    checkCbor(watched, rules);
    expect(reads()).toBeLessThanOrEqual(bytes.length);

    const decoded = decodeCbor(bytes, rules);
    expect(
      kind === 'list' ? Array.isArray(decoded) && decoded.length : decoded instanceof Map && decoded.size,
    ).toBe(100_000);
    expect(refusal(bytes)).toBe(`${bytes.length} bytes, of which 65536 are allowed`);
  });

  test('a map has few large integers for keys: they could be chosen to be slow to look up', () => {
    const mapOf = (count: number, key: (index: number) => number | string): Uint8Array => {
      const keys = Array.from({ length: count }, (_, index) => encodeCbor(key(index), limits));
      return Buffer.concat([head(major.map, count, 4), ...keys.flatMap((each) => [each, Uint8Array.of(0)])]);
    };
    const encoded = (count: number, key: (index: number) => number | string): HawserErrorCode | undefined =>
      encodeRefusal(new Map(Array.from({ length: count }, (_, index) => [key(index), 0])), rules);
    const rules = { ...lenient, maxBytes: 1_000_000 };
    const many: readonly (readonly [number, (index: number) => number | string])[] = [
      [65_536, (index) => index],
      [65_535, (index) => -1 - index],
      [20_000, String],
      [256, (index) => 65_536 + index],
      [256, (index) => -65_536 - index],
      [256, (index) => 2 ** 40 + index],
    ];
    for (const [count, key] of many) {
      expect(refusal(mapOf(count, key), rules)).toBe('accepted');
      expect(encoded(count, key)).toBeUndefined();
    }
    for (const [, key] of many.slice(3)) {
      expect(refusal(mapOf(257, key), rules)).toContain('257 integer keys');
      expect(encoded(257, key)).toBe('ERR_HAWSER_ARGUMENT');
    }
    const entries = mapOf(257, (index) => 65_536 + index).subarray(5);
    const indefinite = concat(Uint8Array.of(0xbf), entries, Uint8Array.of(0xff));
    expect(refusal(indefinite, rules)).toContain('257 integer keys');
  });

  test('no byte of any input is read more than twice', () => {
    const inputs = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      mutations(values.map((value) => encodeCbor(value, limits))),
    );
    fc.assert(
      fc.property(inputs, (input) => {
        const { bytes, reads } = counted(input);
        try {
          checkCbor(bytes, lenient);
        } catch (error) {
          expect(error).toBeInstanceOf(CborError);
        }
        // Twice where a break may stand, past the end as well.
        expect(reads()).toBeLessThanOrEqual(2 * input.length + 2);
      }),
      { numRuns: 1000 },
    );
  });
});

test('random and altered bytes are refused with a CborError or are a value that can be sent again', () => {
  const inputs = fc.oneof(
    fc.uint8Array({ maxLength: 64 }),
    mutations(values.map((value) => encodeCbor(value, limits))),
  );
  fc.assert(
    fc.property(inputs, fc.constantFrom(strict, lenient), (bytes, rules) => {
      let value: CborValue;
      try {
        value = decodeCbor(bytes, rules);
      } catch (error) {
        expect(error).toBeInstanceOf(CborError);
        return;
      }
      const again = encodeCbor(value, limits);
      expect(toHex(encodeCbor(decodeCbor(again, strict), limits))).toBe(toHex(again));
    }),
    { numRuns: 3000 },
  );
});

test('what was decoded shares no memory with the bytes, nor what was encoded with the value', () => {
  const value = [Uint8Array.of(1, 2, 3), '\ufefftext', new Map([[1, Uint8Array.of(4)]])];
  const expected = structuredClone(value);
  for (const text of ['\ufefftext', 'text']) {
    value[1] = text;
    expected[1] = text;
    const encoded = encodeCbor(value, limits);
    for (const bytes of [Uint8Array.from(encoded), Buffer.from(encoded)]) {
      const decoded = decodeCbor(bytes, strict);
      bytes.fill(0);
      expect(decoded).toStrictEqual(expected);
    }
  }
  for (const length of [2, 100, 10_000]) {
    const source = new Uint8Array(length).fill(7);
    const encoded = [encodeCbor(source, limits), encodeCbor([source, source], limits)];
    const copies = encoded.map(toHex);
    source.fill(0);
    encodeCbor('x'.repeat(300), limits);
    expect(encoded.map(toHex)).toEqual(copies);
    expect(copies[0]).toContain('07'.repeat(length));
  }
});

describe('not encoded', () => {
  test.each<[string, unknown]>([
    ['NaN', Number.NaN],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['the other infinity', Number.NEGATIVE_INFINITY],
    ['undefined', undefined],
    ['a hole in an array', new Array(1)],
    ['a symbol', Symbol('x')],
    ['a function', () => 1],
    ['an object', { a: 1 }],
    ['an object without prototype', Object.create(null)],
    ['a Date', new Date(0)],
    ['a Set', new Set([1])],
    ['an array of other numbers', Uint16Array.of(1)],
    ['an ArrayBuffer', new ArrayBuffer(1)],
    ['a string that ends in half a pair', 'a\ud800'],
    ['a string that begins with half a pair', '\udc00a'],
    ['a bigint above 64 bits', 2n ** 64n],
    ['a bigint below 64 bits', -(2n ** 64n) - 1n],
    ['a key that is not integral', new Map([[1.5, 1]])],
    ['a key beyond 2^53', new Map([[2 ** 53, 1]])],
    ['a key that is NaN', new Map([[Number.NaN, 1]])],
    ['a key that is a bigint', new Map([[1n, 1]])],
    ['a key that is a boolean', new Map([[true, 1]])],
    ['a key with half a pair', new Map([['\ud83d', 1]])],
  ])('%s, at any depth', (_name, value) => {
    expect(encodeRefusal(value)).toBe('ERR_HAWSER_ARGUMENT');
    expect(encodeRefusal([value])).toBe('ERR_HAWSER_ARGUMENT');
    expect(encodeRefusal(new Map([[1, [value]]]))).toBe('ERR_HAWSER_ARGUMENT');
  });

  test('what takes more bytes than are allowed', () => {
    const value = new Uint8Array(100);
    expect(encodeRefusal(value, { ...limits, maxBytes: 102 })).toBeUndefined();
    expect(encodeRefusal(value, { ...limits, maxBytes: 101 })).toBe('ERR_HAWSER_MESSAGE_TOO_LONG');
  });
});
