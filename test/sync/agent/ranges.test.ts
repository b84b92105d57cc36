import { expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { itemsIn, requestedRanges } from '../../../src/sync/agent/ranges.js';

const pairs = (...ranges: [number | bigint, number | bigint][]) =>
  ranges.map(([begin, end]) => ({ begin: BigInt(begin), end: BigInt(end) }));

test('ranges that overlap, touch or repeat are one', () => {
  expect(requestedRanges(pairs([5, 6], [0, 2], [2, 3], [4, 4], [5, 5], [9, 9]), 20)).toEqual([
    { begin: 0, end: 6 },
    { begin: 9, end: 9 },
  ]);
});

test('what lies beyond the session is left out', () => {
  expect(requestedRanges(pairs([3, 2n ** 64n - 1n]), 5)).toEqual([{ begin: 3, end: 4 }]);
  expect(requestedRanges(pairs([0, 0], [5, 9]), 5)).toEqual([{ begin: 0, end: 0 }]);
});

test('none, one that is reversed, or none of the session is no request', () => {
  expect(requestedRanges([], 5)).toBeUndefined();
  expect(requestedRanges(pairs([0, 1], [4, 3]), 5)).toBeUndefined();
  expect(requestedRanges(pairs([2n ** 64n - 1n, 0]), 5)).toBeUndefined();
  expect(requestedRanges(pairs([5, 5], [100, 200]), 5)).toBeUndefined();
  expect(requestedRanges(pairs([0, 0]), 0)).toBeUndefined();
});

test('any ranges are the same items as in a set', () => {
  const seed = Number(process.env.HAWSER_SEED ?? 1);
  const random = seededRandom(seed);
  const draw = (below: number): number => Math.floor(random() * below);
  for (let round = 0; round < 500; ++round) {
    const size = 1 + draw(60);
    const expected = new Set<number>();
    const asked = pairs(
      ...Array.from({ length: 1 + draw(12) }, (): [number, number] => {
        const begin = draw(80);
        const end = begin + draw(10);
        for (let seq = begin; seq <= end && seq < size; ++seq) expected.add(seq);
        return [begin, end];
      }),
    );
    const ranges = requestedRanges(asked, size) ?? [];
    const got = ranges.flatMap(({ begin, end }) =>
      Array.from({ length: end - begin + 1 }, (_, n) => begin + n),
    );
    expect(got, `seed ${seed}`).toEqual([...expected].sort((a, b) => a - b));
    expect(itemsIn(ranges), `seed ${seed}`).toBe(expected.size);
  }
});
