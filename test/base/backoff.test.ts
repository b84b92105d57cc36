import { describe, expect, test } from 'vitest';
import { Backoff, type BackoffOptions } from '../../src/base/backoff.js';
import { type Random, seededRandom, systemRandom } from '../../src/base/random.js';
import { refusal } from './refusal.js';

const noJitter: Random = () => 0;

/** The first numbers of the seed 7, times 2^32: they are the same for ever. */
const sequenceOf7: readonly number[] = [1837975287, 2099764152, 1321706041];

/** The next `count` values of a function. */
function draw(from: () => number, count: number): number[] {
  return Array.from({ length: count }, from);
}

/** How the numbers fall into `count` equal parts of [0, 1). */
function histogram(numbers: readonly number[], count: number): number[] {
  const parts = Array.from({ length: count }, () => 0);
  for (const each of numbers) parts[Math.floor(each * count)] = (parts[Math.floor(each * count)] ?? 0) + 1;
  return parts;
}

describe('random numbers', () => {
  const sources: readonly (readonly [string, Random])[] = [
    ['of the system', systemRandom],
    ['of a seed', seededRandom(0)],
    ['that are the first of neighbouring seeds', firstsOfSeeds()],
  ];

  function firstsOfSeeds(): Random {
    let seed = 0;
    return () => seededRandom(seed++)();
  }

  test.each(sources)('%s lie in [0, 1), all parts of it equally likely', (_, random) => {
    const numbers = draw(random, 10_000);
    for (const each of numbers) expect(each >= 0 && each < 1).toBe(true);
    // 1,000 each but for chance, whose standard deviation is 30.
    for (const count of histogram(numbers, 10)) expect(Math.abs(count - 1000)).toBeLessThan(200);
    expect(new Set(numbers).size).toBeGreaterThan(9_990);
  });

  test('one seed is one sequence, another seed another, and so it stays', () => {
    expect(draw(seededRandom(7), 100)).toEqual(draw(seededRandom(7), 100));
    expect(draw(seededRandom(7), 3).map((each) => each * 2 ** 32)).toEqual(sequenceOf7);
    const seeds = [0, 1, 2, 2 ** 31, 2 ** 32, 2 ** 32 + 1, Number.MAX_SAFE_INTEGER];
    expect(new Set(seeds.map((seed) => seededRandom(seed)())).size).toBe(seeds.length);
  });

  test('a seed that is not a safe integer from 0 is refused', () => {
    for (const bad of [-1, 1.5, Number.NaN, 2 ** 53]) {
      expect(refusal(() => seededRandom(bad))).toMatch(/^seed must be an integer from 0 to 9007199254740991/);
    }
  });
});

describe('backoff', () => {
  test('the base delays are 1, 2, 4, 8, 16, 32 s and then 60 s', () => {
    const backoff = new Backoff({}, noJitter);
    const seconds = [1, 2, 4, 8, 16, 32, 60, 60, 60];
    expect(draw(() => backoff.next(), 9)).toEqual(seconds.map((each) => each * 1000));
  });

  test('TC-PROTO-011: 1000 delays at the base of 8 s lie in [8, 10] s and differ', () => {
    const seed = 11;
    const backoff = new Backoff({}, seededRandom(seed));
    draw(() => backoff.next(), 3);
    const delays = draw(() => backoff.peek(), 1000);
    for (const each of delays) expect(each >= 8000 && each <= 10_000, `${each} with seed ${seed}`).toBe(true);
    expect(new Set(delays).size).toBeGreaterThan(990);
    // They fill the whole of it.
    for (const count of histogram(
      delays.map((each) => (each - 8000) / 2000.001),
      4,
    )) {
      expect(count).toBeGreaterThan(150);
    }
    const other = new Backoff({}, seededRandom(seed + 1));
    draw(() => other.next(), 3);
    expect(other.next()).not.toBe(backoff.next());
  });

  test('the jitter comes on top of the base delay, also of the greatest one', () => {
    const most = new Backoff({}, () => 1 - 2 ** -32);
    const delays = draw(() => most.next(), 8);
    const bases = [1, 2, 4, 8, 16, 32, 60, 60];
    for (const [index, base] of bases.entries()) {
      expect(delays[index]).toBeCloseTo(base * 1250, 3);
      expect(delays[index]).toBeLessThan(base * 1250);
    }
  });

  test('peek draws new jitter each time and changes nothing', () => {
    const backoff = new Backoff({}, seededRandom(3));
    backoff.next();
    const peeked = draw(() => backoff.peek(), 50);
    expect(new Set(peeked).size).toBe(50);
    for (const each of peeked) expect(each >= 2000 && each <= 2500).toBe(true);
    expect(backoff.attempts()).toBe(1);
    const next = backoff.next();
    expect(next >= 2000 && next <= 2500).toBe(true);
    expect(peeked).not.toContain(next);
  });

  test('attempts counts the delays since the last reset', () => {
    const backoff = new Backoff();
    expect(backoff.attempts()).toBe(0);
    for (let count = 1; count <= 20; ++count) {
      backoff.next();
      expect(backoff.attempts()).toBe(count);
    }
    backoff.reset();
    expect(backoff.attempts()).toBe(0);
  });

  test('reset begins again with the first delay', () => {
    const backoff = new Backoff({}, noJitter);
    draw(() => backoff.next(), 10);
    expect(backoff.peek()).toBe(60_000);
    backoff.reset();
    expect(backoff.peek()).toBe(1000);
    expect(draw(() => backoff.next(), 3)).toEqual([1000, 2000, 4000]);
  });

  test('initial delay, greatest delay, growth and jitter can be chosen', () => {
    const backoff = new Backoff({ initialMs: 200, maxMs: 1000, multiplier: 1.5, jitter: 0.5 }, () => 0.5);
    expect(draw(() => backoff.next(), 6)).toEqual([250, 375, 562.5, 843.75, 1250, 1250]);
    const constant = new Backoff({ initialMs: 500, maxMs: 500, jitter: 0 });
    expect(draw(() => constant.next(), 4)).toEqual([500, 500, 500, 500]);
  });

  test('without a source of chance the delays still differ', () => {
    expect(new Set(draw(() => new Backoff().next(), 20)).size).toBeGreaterThan(15);
  });

  const refused: readonly (readonly [string, unknown])[] = [
    ['initialMs must be a number from 1 to 86400000; got 0', { initialMs: 0 }],
    ['initialMs must be a number from 1 to 86400000; got -1000', { initialMs: -1000 }],
    ['initialMs must be a number from 1 to 86400000; got "1s"', { initialMs: '1s' }],
    ['maxMs must be a number from 1000 to 86400000; got 0', { maxMs: 0 }],
    ['maxMs must be a number from 5000 to 86400000; got 4999', { initialMs: 5000, maxMs: 4999 }],
    ['maxMs must be a number from 1000 to 86400000; got Infinity', { maxMs: Number.POSITIVE_INFINITY }],
    ['multiplier must be a number greater than 1, at most 100; got 1', { multiplier: 1 }],
    ['multiplier must be a number greater than 1, at most 100; got NaN', { multiplier: Number.NaN }],
    ['multiplier must be a number greater than 1, at most 100; got 101', { multiplier: 101 }],
    ['jitter must be a number from 0 to 1; got -0.1', { jitter: -0.1 }],
    ['jitter must be a number from 0 to 1; got 1.1', { jitter: 1.1 }],
    ["unknown option 'initialMS' in backoff; did you mean 'initialMs'?", { initialMS: 1000 }],
    ['backoff must be an object; got 1000', 1000],
  ];

  test.each(refused)('%s', (message, options) => {
    expect(refusal(() => new Backoff(options as BackoffOptions))).toBe(message);
  });

  test('a source of chance must be a function', () => {
    expect(refusal(() => new Backoff({}, 5 as unknown as Random))).toBe('random must be a function; got 5');
  });
});
