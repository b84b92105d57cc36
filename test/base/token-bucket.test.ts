import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { TokenBucket } from '../../src/base/token-bucket.js';

describe('a token bucket', () => {
  test('is full at first, and fills at its rate up to its burst', () => {
    const bucket = new TokenBucket(10, 5, 1000);
    expect(bucket.available(1000)).toBe(5);
    expect(bucket.take(5, 1000)).toBe(true);
    expect(bucket.take(1, 1000)).toBe(false);
    expect(bucket.available(1099)).toBe(0);
    expect(bucket.available(1100)).toBe(1);
    expect(bucket.available(1450)).toBe(4);
    expect(bucket.available(60_000)).toBe(5);
  });

  test('takes all or none', () => {
    const bucket = new TokenBucket(10, 5, 0);
    expect(bucket.take(6, 0)).toBe(false);
    expect(bucket.available(0)).toBe(5);
  });

  test('says in how many milliseconds there are so many, which is then so', () => {
    const bucket = new TokenBucket(3, 10, 0);
    bucket.take(10, 0);
    for (let nowMs = 0, n = 1; n < 200; ++n) {
      const count = 1 + (n % 9);
      const delayMs = bucket.delayMs(count, nowMs);
      expect(bucket.available(nowMs + delayMs * 0.999)).toBeLessThan(count);
      nowMs += delayMs;
      expect(bucket.delayMs(count, nowMs)).toBe(0);
      expect(bucket.take(count, nowMs)).toBe(true);
    }
  });

  test('more than it holds are waited for as long as it takes to fill', () => {
    const bucket = new TokenBucket(10, 5, 0);
    expect(bucket.delayMs(100, 0)).toBe(0);
    bucket.take(5, 0);
    expect(bucket.delayMs(100, 0)).toBeCloseTo(500);
    expect(bucket.available(500)).toBe(5);
  });

  test('a portion is what comes in a time, at least one', () => {
    expect(new TokenBucket(75, 75, 0).portion(100)).toBe(7);
    expect(new TokenBucket(1, 1, 0).portion(100)).toBe(1);
    expect(new TokenBucket(1000, 20, 0).portion(100)).toBe(20);
  });

  test('a clock that steps back takes nothing away and gives nothing twice', () => {
    const bucket = new TokenBucket(10, 10, 10_000);
    bucket.take(10, 10_000);
    expect(bucket.available(9000)).toBe(0);
    expect(bucket.available(10_000)).toBe(0);
    expect(bucket.available(10_500)).toBe(5);
  });

  test('however it is asked, no more are taken than burst and rate allow, and hardly fewer', () => {
    const seed = Math.floor(Math.random() * 2 ** 32);
    const random = seededRandom(seed);
    for (let round = 0; round < 50; ++round) {
      const rate = 0.5 + random() * 5000;
      const burst = 1 + Math.floor(random() * 100);
      const bucket = new TokenBucket(rate, burst, 0);
      let taken = 0;
      let nowMs = 0;
      for (let n = 0; n < 500; ++n) {
        const want = 1 + Math.floor(random() * burst);
        if (bucket.take(want, nowMs)) taken += want;
        expect(taken, `seed ${seed}`).toBeLessThanOrEqual(burst + (rate * nowMs) / 1000 + 1e-3);
        if (random() < 0.5) nowMs += bucket.delayMs(want, nowMs);
        else nowMs += random() * 3;
      }
    }
  });

  test.each([
    [0, 1],
    [-1, 1],
    [Number.NaN, 1],
    [1, 0],
    [1, 2e9],
    [2e9, 1],
  ])('a rate of %d with a burst of %d is refused', (rate, burst) => {
    expect(() => new TokenBucket(rate, burst, 0)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
  });
});
