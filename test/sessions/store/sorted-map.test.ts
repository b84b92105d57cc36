// A map in the order of its keys.

import { describe, expect, test } from 'vitest';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { SortedMap } from '../../../src/sessions/store/sorted-map.js';

const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 32));

function keyOf(n: number): string {
  return `${n}`.padStart(6, '0');
}

describe('a sorted map', () => {
  test(`is as a plain one, whatever is put in and taken out (seed ${seed})`, () => {
    const random: Random = seededRandom(seed);
    const map = new SortedMap<number>();
    const plain = new Map<string, number>();
    const draw = (): string => keyOf(Math.floor(random() * 5000));
    const expectSame = (): void => {
      const sorted = Array.from(plain.entries()).sort(([a], [b]) => (a < b ? -1 : 1));
      expect(map.range('', ':')).toEqual(sorted.map(([, value]) => value));
      const [from, to] = [draw(), draw()];
      const within = sorted.filter(([key]) => from <= key && key < to);
      expect(map.range(from, to)).toEqual(within.map(([, value]) => value));
      expect(map.range(from, to, 7)).toEqual(within.slice(0, 7).map(([, value]) => value));
    };
    for (let round = 0; round < 20; ++round) {
      for (let n = 0; n < 2000; ++n) {
        const key = draw();
        map.set(key, n);
        plain.set(key, n);
        expect(map.get(key)).toBe(n);
      }
      // In one piece, so that blocks become empty.
      const first = Math.floor(random() * 5000);
      for (let n = first; n < first + 3000; ++n) {
        map.delete(keyOf(n));
        plain.delete(keyOf(n));
        expect(map.get(keyOf(n))).toBeUndefined();
      }
      for (let n = 0; n < 100; ++n) {
        const key = draw();
        expect(map.get(key)).toBe(plain.get(key));
      }
      expectSame();
    }
    for (const key of Array.from(plain.keys())) map.delete(key);
    expect(map.range('', ':')).toEqual([]);
    map.set('a', 1);
    expect(map.get('a')).toBe(1);
  });

  test.each(['in their order', 'backwards'])('takes keys %s', (order) => {
    const map = new SortedMap<number>();
    const numbers = Array.from({ length: 3000 }, (_, n) => n);
    for (const n of order === 'backwards' ? numbers.toReversed() : numbers) map.set(keyOf(n), n);
    expect(map.range('', ':')).toEqual(numbers);
  });

  test('compares a key with few of the others to find it', () => {
    const map = new SortedMap<number>();
    for (let n = 0; n < 50_000; ++n) map.set(keyOf(n), n);
    let comparisons = 0;
    // A comparison with it asks it for its text.
    const key = {
      toString: () => {
        ++comparisons;
        return '025000';
      },
    };
    map.range(key as unknown as string, '025001');
    map.delete(key as unknown as string);
    expect(comparisons).toBeGreaterThan(0);
    expect(comparisons).toBeLessThan(100);
  });
});
