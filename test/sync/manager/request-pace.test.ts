import { describe, expect, test } from 'vitest';
import { RequestPace } from '../../../src/sync/manager/request-pace.js';
import type { Pair } from '../../../src/sync/wire/messages.js';

/** Twice 40 items. */
const eighty: readonly Pair[] = [
  { begin: 0n, end: 39n },
  { begin: 60n, end: 99n },
];

describe('requests for what is missing', () => {
  test('do not wait before the first, nor when an eighth of what was asked for has come', () => {
    const pace = new RequestPace(100);
    expect(pace.pausedUntilMs(20)).toBe(0);
    pace.next(20, eighty, 1000);
    expect(pace.pausedUntilMs(29)).toBe(1100);
    expect(pace.pausedUntilMs(30)).toBe(0);
  });

  test('wait twice as long each time, up to two seconds, until what was asked for comes', () => {
    const pace = new RequestPace(0);
    const pauses: number[] = [];
    for (let round = 0; round < 7; ++round) {
      pace.next(0, eighty, 1000);
      pauses.push(pace.pausedUntilMs(0) - 1000);
    }
    expect(pauses).toEqual([100, 200, 400, 800, 1600, 2000, 2000]);
    pace.next(10, eighty, 1000);
    expect(pace.pausedUntilMs(10)).toBe(1100);
  });

  test('wait as long as was chosen, where that is longer', () => {
    const pace = new RequestPace(5000);
    for (let round = 0; round < 3; ++round) pace.next(0, eighty, 1000);
    expect(pace.pausedUntilMs(0)).toBe(6000);
  });

  test('are counted while nothing comes, and anew when something does', () => {
    const pace = new RequestPace(100);
    const rounds = [5, 5, 5, 6, 6].map((seen) => {
      pace.next(seen, eighty, 0);
      return pace.rounds;
    });
    expect(rounds).toEqual([0, 1, 2, 0, 1]);
  });
});
