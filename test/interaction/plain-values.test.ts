import { isDeepStrictEqual } from 'node:util';
import vm from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { limits } from '../../src/interaction/codec.js';
import { equalValues } from '../../src/interaction/equality.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import type { Message } from '../../src/interaction/messages.js';
import { subscribeResult } from '../../src/interaction/payloads.js';
import { fromWire, isPlainObject, toWire } from '../../src/interaction/plain-values.js';
import type { Value } from '../../src/interaction/values.js';

const numRuns = process.env.HAWSER_TEST_DEEP === '1' ? 20_000 : 500;

function refusal(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_ARGUMENT') return error.message;
    throw error;
  }
  throw new Error('it was not refused');
}

/** Strings with whole surrogate pairs only. */
const text = fc.string({ unit: 'grapheme' });
const inherited = fc.constantFrom('constructor', 'prototype', 'toString', 'hasOwnProperty', '0', '');
// The one name that objects are not to have; strings are made so as to find it.
const name = fc.oneof(text, inherited).filter((each) => each !== '__proto__');

function valuesWithin<T>(
  leaf: fc.Arbitrary<T>,
  containers: (child: fc.Arbitrary<unknown>) => fc.Arbitrary<unknown>[],
) {
  return fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 4, depthSize: 'small' }, leaf, ...containers(tie('value'))),
  })).value;
}

const leaf = fc.oneof(
  fc.constantFrom(null, true, false),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
  fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  text,
  fc.uint8Array({ maxLength: 8 }),
);

/** What comes back as it went: Maps that are neither empty nor have only strings for keys. */
const plain = valuesWithin(leaf, (child) => [
  fc.array(child, { maxLength: 4 }),
  fc.dictionary(name, child, { maxKeys: 4, noNullPrototype: true }),
  fc
    .tuple(fc.integer(), child, fc.array(fc.tuple(fc.oneof(fc.integer(), name), child), { maxLength: 3 }))
    .map(([key, value, more]) => new Map<unknown, unknown>([...more, [key, value]])),
]);

const wire = valuesWithin(leaf, (child) => [
  fc.array(child, { maxLength: 4 }),
  fc
    .array(fc.tuple(fc.oneof(fc.integer(), name, fc.constant('__proto__')), child), { maxLength: 4 })
    .map((entries) => new Map(entries)),
]) as fc.Arbitrary<Value>;

/** A value as it arrives in the response to a subscribe, the message with the deepest values. */
function carried(value: Value): Value | undefined {
  const codec = hawserCodec();
  const values = new Map([[7, value]]);
  const payload = subscribeResult({ subscriptionId: 1, values }, 'hawser');
  const message: Message = { type: 'response', messageId: 1, status: 'SUCCESS', payload };
  const decoded = codec.decode(codec.encode(message));
  if (decoded.type !== 'response' || !(decoded.payload instanceof Map)) throw new Error('no response');
  const arrived: unknown = decoded.payload.get(2);
  return arrived instanceof Map ? arrived.get(7) : undefined;
}

function withoutMinusZero(value: Value): Value {
  if (value === 0) return 0;
  if (value instanceof Map) {
    const entries: [number | string, Value][] = [...value];
    return new Map(entries.map(([key, each]) => [key, withoutMinusZero(each)]));
  }
  return Array.isArray(value) ? value.map(withoutMinusZero) : value;
}

// ---- Round trips ---------------------------------------------------------------------------------------------------

test('what is made for the wire comes back as it was', () => {
  fc.assert(
    fc.property(plain, (value) => {
      // Not toStrictEqual: it takes a name `constructor` for the constructor.
      expect(isDeepStrictEqual(fromWire(toWire(value)), value)).toBe(true);
    }),
    { numRuns },
  );
});

test('what comes from the wire goes there again unchanged', () => {
  fc.assert(
    fc.property(wire, (value) => {
      expect(equalValues(toWire(fromWire(value)), value)).toBe(true);
    }),
    { numRuns },
  );
});

test('every message carries what is made for the wire', () => {
  fc.assert(
    fc.property(plain, (value) => {
      const made = toWire(value);
      // An integer is sent for -0.
      expect(isDeepStrictEqual(carried(made), withoutMinusZero(made))).toBe(true);
    }),
    { numRuns },
  );
});

test.each([2 ** 32, 2 ** 40, 2 ** 51 + 4097, Number.MAX_SAFE_INTEGER - 1])(
  'messages carry integers around ±%d exactly',
  (around) => {
    const integers = [around - 1, around, around + 1].flatMap((each) => [each, -each]);
    expect(carried(toWire(integers))).toEqual(integers);
  },
);

// ---- To the wire ---------------------------------------------------------------------------------------------------

test('an object becomes a Map of its own names, without those that are undefined', () => {
  const inherited: object = Object.create(null, {
    own: { value: 1, enumerable: true },
    hidden: { value: 2 },
  });
  expect(toWire(inherited)).toEqual(new Map([['own', 1]]));
  expect(toWire({ a: 1, b: undefined, c: { d: [null] } })).toEqual(
    new Map<string, Value>([
      ['a', 1],
      ['c', new Map([['d', [null]]])],
    ]),
  );
  expect(toWire({})).toEqual(new Map());
  expect(toWire(vm.runInNewContext('({ a: new Map([[1, [2]]]) })'))).toEqual(
    new Map([['a', new Map([[1, [2]]])]]),
  );
});

test('a bigint that a number can hold becomes one, as it does on its way', () => {
  const least = BigInt(Number.MIN_SAFE_INTEGER);
  const greatest = BigInt(Number.MAX_SAFE_INTEGER);
  expect(toWire([5n, least, greatest])).toEqual([5, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER]);
  expect(toWire([least - 1n, greatest + 1n])).toEqual([least - 1n, greatest + 1n]);
});

test('what is made for the wire shares no memory with what it was made of', () => {
  const bytes = Buffer.from([1, 2]);
  const value = { bytes, list: [1], map: new Map([[1, 1]]) };
  const made = toWire(value);
  bytes[0] = 9;
  value.list.push(9);
  value.map.set(9, 9);
  expect(made).toEqual(
    new Map<string, Value>([
      ['bytes', Uint8Array.of(1, 2)],
      ['list', [1]],
      ['map', new Map([[1, 1]])],
    ]),
  );
});

const shared = [1];
const cycle: unknown[] = [];
cycle.push(cycle);

test.each<[string, unknown, RegExp]>([
  ['undefined', undefined, /^value must be .*; got undefined$/],
  ['a function', { run: () => 1 }, /^value\.run must be .*; got a function$/],
  ['a symbol', [Symbol('x')], /^value\[0\] must be .*; got a symbol$/],
  ['a Date', { at: new Date() }, /^value\.at must be .*; got a Date$/],
  ['a Set', new Set([1]), /^value must be .*; got a Set$/],
  ['a class instance', new (class Thing {})(), /^value must be .*; got a Thing$/],
  ['another typed array', new Float64Array(1), /^value must be .*; got a Float64Array$/],
  ['a promise', Promise.resolve(1), /^value must be .*; got a Promise$/],
  ['NaN', { a: [1, Number.NaN] }, /^value\.a\[1\] must be .*; got NaN$/],
  ['an infinity', Number.NEGATIVE_INFINITY, /got -Infinity$/],
  ['a bigint that is too large', 2n ** 64n, /got a bigint$/],
  ['a bigint that is too small', -(2n ** 64n) - 1n, /got a bigint$/],
  ['half a surrogate pair', 'secret \ud800', /got a string of 8 characters$/],
  ['a name with half a surrogate pair', { '\udc00': 1 }, /^a key of value must be/],
  ['a hole', new Array(1), /^value\[0\] must be .*; got undefined$/],
  ['undefined in a list', [undefined], /^value\[0\] must be/],
  ['undefined in a Map', new Map([[1, undefined]]), /^value\[1\] must be/],
  ['a fraction for a key', new Map([[0.5, 1]]), /^a key of value must be .*; got a number$/],
  ['an object for a key', new Map([[{}, 1]]), /^a key of value must be/],
  ['a name __proto__', JSON.parse('{"a": {"__proto__": 1}}'), /^value\.a must be without the name __proto__/],
  [
    'a list within itself',
    cycle,
    /^value\[0\]\[0\]\[0\]\[0\]\[0\] must be nested less deeply, and not in itself/,
  ],
  ['a long name', { ['x'.repeat(1000)]: Number.NaN }, /^value\["x{64}"\.\.\. \(1000 characters\)\] must be/],
])('%s is refused with the path to it', (_, value, message) => {
  expect(refusal(() => toWire(value))).toMatch(message);
});

test('5 containers within each other are allowed, 6 are not; one that comes twice side by side is no cycle', () => {
  expect(toWire([[[[[1]]]]])).toEqual([[[[[1]]]]]);
  expect(refusal(() => toWire([[[[[[1]]]]]], 'target'))).toMatch(
    /^target\[0\]\[0\]\[0\]\[0\]\[0\] must be nested/,
  );
  expect(toWire([shared, shared])).toEqual([[1], [1]]);
});

test('a plain object is a literal, one without a prototype, or one of another realm', () => {
  for (const value of [{}, Object.create(null), vm.runInNewContext('({})')])
    expect(isPlainObject(value)).toBe(true);
  for (const value of [null, [], new Map(), new (class {})(), Object.create({}), () => 1, 'x']) {
    expect(isPlainObject(value)).toBe(false);
  }
});

// ---- From the wire -------------------------------------------------------------------------------------------------

describe('a Map of the wire', () => {
  test('becomes an object when all its keys are strings, or it has none', () => {
    expect(fromWire(new Map())).toStrictEqual({});
    expect(fromWire(new Map([['a', new Map([['b', 1]])]]))).toStrictEqual({ a: { b: 1 } });
  });

  test('stays a Map when it has an integer for a key', () => {
    const mixed = new Map<number | string, Value>([
      ['a', new Map([['b', 1]])],
      [1, 2],
    ]);
    expect(fromWire(mixed)).toStrictEqual(
      new Map<unknown, unknown>([
        ['a', { b: 1 }],
        [1, 2],
      ]),
    );
  });

  test('stays a Map when it has the key __proto__, and changes no prototype', () => {
    const hostile = new Map([['__proto__', new Map([['polluted', 1]])]]);
    const value = fromWire(new Map([['inner', hostile]])) as { inner: unknown; polluted?: unknown };
    expect(value.inner).toStrictEqual(new Map([['__proto__', { polluted: 1 }]]));
    expect(value.polluted).toBeUndefined();
    expect('polluted' in {}).toBe(false);
  });

  test('may name what every object inherits: that is its own, and nothing else changes', () => {
    const inherited = Object.getOwnPropertyNames(Object.prototype).filter((each) => each !== '__proto__');
    const before = inherited.map((each) => Object.getOwnPropertyDescriptor(Object.prototype, each));
    const value = fromWire(new Map(inherited.map((each) => [each, new Map([['prototype', 'x']])]))) as object;
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(Object.keys(value)).toEqual(inherited);
    expect(inherited.map((each) => Object.getOwnPropertyDescriptor(Object.prototype, each))).toEqual(before);
  });
});

test('what comes from the wire shares no memory with it', () => {
  const bytes = Uint8Array.of(1);
  const made = fromWire([bytes]);
  bytes[0] = 9;
  expect(made).toEqual([Uint8Array.of(1)]);
});

test('nothing stays nothing', () => {
  expect(fromWire(undefined)).toBeUndefined();
});

test('what no message can carry is refused in place of a crash', () => {
  let deep: Value = 1;
  for (let depth = 0; depth < 100_000; ++depth) deep = depth % 2 === 0 ? [deep] : new Map([['x', deep]]);
  expect(refusal(() => fromWire(deep))).toMatch(/nested less deeply/);
  let allowed: Value = 1;
  for (let depth = 0; depth < limits.depth; ++depth) allowed = [allowed];
  expect(fromWire(allowed)).toEqual([[[[[[[[1]]]]]]]]);
  expect(refusal(() => fromWire(new Date() as never))).toMatch(/got a Date$/);
});
