import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { limits } from '../../src/interaction/codec.js';
import { equalValues } from '../../src/interaction/equality.js';
import type { Value } from '../../src/interaction/values.js';

/** Different from each other in every pair. */
const different: readonly Value[] = [
  null,
  false,
  true,
  0,
  1,
  -1,
  1.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
  2 ** 53,
  2n ** 53n + 1n,
  2n ** 64n - 1n,
  '',
  '1',
  'NaN',
  new Uint8Array(0),
  Uint8Array.of(1),
  Uint8Array.of(1, 2),
  Uint8Array.of(2, 1),
  [],
  [1],
  [null],
  [1, 2],
  [2, 1],
  [[1, 2]],
  new Map(),
  new Map([[1, 2]]),
  new Map([['1', 2]]),
  new Map([[2, 1]]),
  new Map([[1, null]]),
  new Map([
    [1, 2],
    [2, 1],
  ]),
];

const values = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: limits.depth - 3, depthSize: 'small' },
    fc.constantFrom(...different),
    fc.double(),
    fc.bigInt(),
    fc.string(),
    fc.uint8Array({ maxLength: 8 }),
    fc.array(tie('value'), { maxLength: 4 }),
    fc
      .array(fc.tuple(fc.oneof(fc.integer(), fc.string()), tie('value')), { maxLength: 4 })
      .map((entries) => new Map(entries)),
  ),
})).value;

/** The same in other objects, and with the keys of every map the other way round. */
function rewritten(value: Value): Value {
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (value instanceof Map) {
    const entries: [number | string, Value][] = [...value];
    return new Map(entries.reverse().map(([key, each]) => [key, rewritten(each)]));
  }
  return Array.isArray(value) ? value.map(rewritten) : value;
}

test('every value equals itself written again, the keys of maps in another order', () => {
  fc.assert(
    fc.property(values, (value) => {
      expect(equalValues(value, value)).toBe(true);
      expect(equalValues(value, rewritten(value))).toBe(true);
    }),
  );
});

test('it is the same in both directions', () => {
  fc.assert(
    fc.property(values, values, (a, b) => {
      expect(equalValues(a, b)).toBe(equalValues(b, a));
    }),
  );
});

test('values that say different things differ, in a list and in a map, too', () => {
  for (const [row, a] of different.entries()) {
    for (const [column, b] of different.entries()) {
      const isSame = row === column;
      expect(equalValues(a, b), `${row} and ${column}`).toBe(isSame);
      expect(equalValues([0, a], [0, b]), `${row} and ${column}`).toBe(isSame);
      expect(equalValues(new Map([[7, a]]), new Map([[7, b]])), `${row} and ${column}`).toBe(isSame);
    }
  }
});

describe('numbers', () => {
  test('NaN equals NaN', () => {
    expect(equalValues(Number.NaN, Number.NaN)).toBe(true);
    expect(equalValues([Number.NaN], [Number.NaN])).toBe(true);
  });

  test('0 equals -0, also as a bigint', () => {
    expect(equalValues(0, -0)).toBe(true);
    expect(equalValues(-0, 0n)).toBe(true);
  });

  test('an integer is the same as number and as bigint, exactly', () => {
    expect(equalValues(1, 1n)).toBe(true);
    expect(equalValues(-5n, -5)).toBe(true);
    expect(equalValues(2n ** 53n, 2 ** 53)).toBe(true);
    expect(equalValues(2n ** 53n + 1n, 2 ** 53)).toBe(false);
    expect(equalValues(1.5, 1n)).toBe(false);
    expect(equalValues(Number.NaN, 0n)).toBe(false);
    expect(equalValues(Number.POSITIVE_INFINITY, 2n ** 64n)).toBe(false);
  });
});

test('bytes are compared by content, whatever holds them', () => {
  const part = new Uint8Array(Uint8Array.of(9, 1, 2, 9).buffer, 1, 2);
  expect(equalValues(part, Buffer.from([1, 2]))).toBe(true);
  expect(equalValues(Uint8Array.of(1, 2), [1, 2])).toBe(false);
});

test('beyond the nesting of messages nothing is equal, so that cycles end', () => {
  const nested = (depth: number): Value => (depth === 0 ? 1 : [nested(depth - 1)]);
  expect(equalValues(nested(limits.depth), nested(limits.depth))).toBe(true);
  expect(equalValues(nested(limits.depth + 1), nested(limits.depth + 1))).toBe(false);
  const cycle: Value[] = [];
  cycle.push(cycle);
  const other: Value[] = [];
  other.push(other);
  expect(equalValues(cycle, other)).toBe(false);
  const map = new Map<number, Value>();
  map.set(1, map);
  expect(equalValues(map, new Map([[1, map]]))).toBe(false);
});
