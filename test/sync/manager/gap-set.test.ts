import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { GapSet } from '../../../src/sync/manager/gap-set.js';

function setOf(size: number, seen: readonly number[]): GapSet {
  const set = new GapSet(size);
  for (const seq of seen) set.observe(seq);
  return set;
}

function gapsOf(set: GapSet, limit?: number): [number, number][] {
  return set.gaps(limit).map(({ begin, end }) => [Number(begin), Number(end)]);
}

/** The same by an array of bits. */
function expected(size: number, seen: ReadonlySet<number>): [number, number][] {
  const gaps: [number, number][] = [];
  for (let seq = 0; seq < size; ++seq) {
    if (seen.has(seq)) continue;
    const last = gaps.at(-1);
    if (last !== undefined && last[1] === seq - 1) last[1] = seq;
    else gaps.push([seq, seq]);
  }
  return gaps;
}

describe('case 96: the numbers that are missing', () => {
  test('of none', () => {
    const set = new GapSet(0);
    expect(set.complete).toBe(true);
    expect(gapsOf(set)).toEqual([]);
    expect(set.observe(0)).toBe('beyond');
  });

  test('of one', () => {
    const set = new GapSet(1);
    expect(set.complete).toBe(false);
    expect(gapsOf(set)).toEqual([[0, 0]]);
    expect(set.observe(0)).toBe('new');
    expect(set.complete).toBe(true);
    expect(gapsOf(set)).toEqual([]);
  });

  test('of ten of which the fifth was seen', () => {
    expect(gapsOf(setOf(10, [5]))).toEqual([
      [0, 4],
      [6, 9],
    ]);
  });

  test('at both ends', () => {
    expect(gapsOf(setOf(10, [0]))).toEqual([[1, 9]]);
    expect(gapsOf(setOf(10, [9]))).toEqual([[0, 8]]);
    expect(gapsOf(setOf(10, [9, 0, 1, 8]))).toEqual([[2, 7]]);
  });

  test('when numbers come twice', () => {
    const set = setOf(10, [3, 4]);
    expect(set.observe(3)).toBe('duplicate');
    expect(set.observe(4)).toBe('duplicate');
    expect(set.seen).toBe(2);
    expect(gapsOf(set)).toEqual([
      [0, 2],
      [5, 9],
    ]);
  });

  test('of a million of which six were seen, without taking memory for each', () => {
    const seen = [0, 10, 500_000, 500_001, 750_000, 999_999];
    const gaps = gapsOf(setOf(1_000_000, seen));
    expect(gaps).toEqual([
      [1, 9],
      [11, 499_999],
      [500_002, 749_999],
      [750_001, 999_998],
    ]);
    expect(gapsOf(setOf(1_000_000, [1, 3, 5, 7, 9, 999_999]))).toHaveLength(6);
  });

  test('of 2,000 of which 200 came by chance are those of a bitmap', () => {
    for (let seed = 1; seed <= 20; ++seed) {
      const random = seededRandom(seed);
      const seen = new Set<number>();
      const set = new GapSet(2000);
      for (let n = 0; n < 200; ++n) {
        const seq = Math.floor(random() * 2000);
        expect(set.observe(seq), `seed ${seed}`).toBe(seen.has(seq) ? 'duplicate' : 'new');
        seen.add(seq);
      }
      expect(gapsOf(set), `seed ${seed}`).toEqual(expected(2000, seen));
      expect(set.seen, `seed ${seed}`).toBe(seen.size);
      for (let seq = 0; seq < 2000; ++seq) expect(set.has(seq)).toBe(seen.has(seq));
    }
  });
});

describe('many intervals', () => {
  test('every second number, and then all others, in any order', () => {
    for (let seed = 1; seed <= 4; ++seed) {
      const random = seededRandom(seed);
      const size = 10_000 + seed;
      const numbers = Array.from({ length: size }, (_, n) => n);
      const evens = numbers.filter((n) => n % 2 === 0);
      const odds = numbers.filter((n) => n % 2 === 1).sort(() => random() - 0.5);
      const set = setOf(size, evens);
      expect(gapsOf(set), `seed ${seed}`).toEqual(odds.toSorted((a, b) => a - b).map((n) => [n, n]));
      const half = odds.slice(0, odds.length >> 1);
      for (const seq of half) expect(set.observe(seq)).toBe('new');
      const seen = new Set([...evens, ...half]);
      expect(gapsOf(set), `seed ${seed}`).toEqual(expected(size, seen));
      for (let seq = 0; seq < size; ++seq) expect(set.has(seq)).toBe(seen.has(seq));
      for (const seq of odds.slice(half.length)) expect(set.observe(seq)).toBe('new');
      for (const seq of [0, 31, 32, size - 1]) expect(set.observe(seq)).toBe('duplicate');
      expect(set.complete).toBe(true);
      expect(gapsOf(set)).toEqual([]);
      expect(set.observe(size)).toBe('beyond');
    }
  });

  test('long intervals are kept when they become bits', () => {
    const size = 20_000;
    const seen = new Set<number>();
    const set = new GapSet(size);
    const see = (seq: number): void => {
      set.observe(seq);
      seen.add(seq);
    };
    // Of all lengths, at all places of a word.
    for (let seq = 0, length = 1; seq < 9000; seq += length + 1, length = (length * 7 + 1) % 101) {
      for (let n = 0; n < length && seq + n < 9000; ++n) see(seq + n);
    }
    for (let seq = 10_000; seq < size; seq += 2) see(seq);
    expect(gapsOf(set)).toEqual(expected(size, seen));
  });

  test('only as many gaps are listed as are asked for, those that come first', () => {
    for (const size of [100, 10_000]) {
      const set = setOf(
        size,
        Array.from({ length: size / 2 }, (_, n) => 2 * n),
      );
      expect(gapsOf(set, 3)).toEqual([
        [1, 1],
        [3, 3],
        [5, 5],
      ]);
      set.observe(1);
      set.observe(3);
      expect(gapsOf(set, 1)).toEqual([[5, 5]]);
      expect(gapsOf(set, 0)).toEqual([]);
    }
  });

  test('the greatest session takes no memory while its numbers come in order, or few', () => {
    const size = 2 ** 32;
    const set = setOf(size, [0, 1, 2, size - 1, size - 2, 2 ** 31, 2 ** 31 - 1]);
    expect(gapsOf(set)).toEqual([
      [3, 2 ** 31 - 2],
      [2 ** 31 + 1, size - 3],
    ]);
    expect(set.has(size - 1)).toBe(true);
    expect(set.has(size - 3)).toBe(false);
  });
});
