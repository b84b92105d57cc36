import { describe, expect, it } from 'vitest';
import { conditionSign, type Figures, judge } from '../../bench/lib/targets.mjs';
import type { Condition } from '../../bench/rows/row.mjs';

const figures: Figures = {
  unit: 'messages/s',
  better: 'higher',
  ours: 400,
  rivals: { slow: 100, fast: 250 },
  limit: 500,
  missed: new Set(),
};
const reached = (condition: Condition, of: Partial<Figures> = {}): boolean | null =>
  judge([condition], { ...figures, ...of }, true).reached;

describe('a condition of a target', () => {
  it('may fix the figure itself, its bound included', () => {
    expect(reached({ is: 'atLeast', value: 400 })).toBe(true);
    expect(reached({ is: 'atLeast', value: 401 })).toBe(false);
    expect(reached({ is: 'atMost', value: 400 })).toBe(true);
    expect(reached({ is: 'atMost', value: 399 })).toBe(false);
  });

  it('may compare with the best rival, or with one of them', () => {
    expect(reached({ is: 'timesRival', value: 1.6 })).toBe(true);
    expect(reached({ is: 'timesRival', value: 1.7 })).toBe(false);
    expect(reached({ is: 'timesRival', value: 4, rival: 'slow' })).toBe(true);
    expect(reached({ is: 'timesRival', value: 4.1, rival: 'slow' })).toBe(false);
  });

  it('counts times the way the unit counts', () => {
    const lower = { better: 'lower', ours: 50 } as const;
    expect(reached({ is: 'timesRival', value: 2 }, lower)).toBe(true);
    expect(reached({ is: 'timesRival', value: 2.1 }, lower)).toBe(false);
  });

  it('may compare with the limit', () => {
    expect(reached({ is: 'shareOfLimit', value: 0.8 })).toBe(true);
    expect(reached({ is: 'shareOfLimit', value: 0.81 })).toBe(false);
    expect(reached({ is: 'atMostAboveLimit', value: 2 }, { ours: 502 })).toBe(true);
    expect(reached({ is: 'atMostAboveLimit', value: 2 }, { ours: 503 })).toBe(false);
  });

  it('is unknown where the rival or the limit was not measured', () => {
    expect(reached({ is: 'timesRival', value: 1 }, { rivals: {} })).toBeNull();
    expect(reached({ is: 'timesRival', value: 1, rival: 'absent' })).toBeNull();
    expect(reached({ is: 'shareOfLimit', value: 0.8 }, { limit: null })).toBeNull();
    expect(reached({ is: 'atMostAboveLimit', value: 1 }, { limit: null })).toBeNull();
  });
});

describe('a rival that missed a condition of the row', () => {
  const missed = (...names: string[]): Partial<Figures> => ({ missed: new Set(names) });

  it('decides no comparison with it', () => {
    expect(reached({ is: 'timesRival', value: 4, rival: 'slow' }, missed('slow'))).toBeNull();
    expect(reached({ is: 'timesRival', value: 5, rival: 'slow' }, missed('slow'))).toBeNull();
    expect(reached({ is: 'timesRival', value: 4, rival: 'slow' }, missed('fast'))).toBe(true);
  });

  it('decides none with the best, but leaves the others to fail it', () => {
    expect(reached({ is: 'timesRival', value: 1.6 }, missed('fast'))).toBeNull();
    expect(reached({ is: 'timesRival', value: 1.7 }, missed('fast'))).toBeNull();
    expect(reached({ is: 'timesRival', value: 4.1 }, missed('fast'))).toBe(false);
    expect(reached({ is: 'timesRival', value: 1.6 }, missed('slow'))).toBe(true);
    expect(reached({ is: 'timesRival', value: 1.7 }, missed('slow'))).toBe(false);
  });
});

describe('a target', () => {
  const holds: Condition = { is: 'atLeast', value: 1 };
  const fails: Condition = { is: 'atLeast', value: 1e9 };
  const unknown: Condition = { is: 'timesRival', value: 1, rival: 'absent' };

  it('is reached when all its conditions hold', () => {
    expect(judge([holds, holds], figures, true).reached).toBe(true);
    expect(judge([holds, fails], figures, true).reached).toBe(false);
    expect(judge([unknown, fails], figures, true).reached).toBe(false);
    expect(judge([holds, unknown], figures, true).reached).toBeNull();
  });

  it('is missed when our figure does not count', () => {
    expect(judge([holds], figures, false).conditions).toMatchObject([{ ...holds, reached: false }]);
    expect(judge([unknown], figures, false).reached).toBe(false);
  });

  it('says its conditions in words and in signs', () => {
    const say = (condition: Condition): unknown[] => [
      judge([condition], figures, true).conditions[0]?.text,
      conditionSign(condition),
    ];
    expect(say({ is: 'atLeast', value: 4e6 })).toEqual(['at least 4,000,000 messages/s', '≥ 4,000,000']);
    expect(say({ is: 'atMost', value: 2048 })).toEqual(['at most 2,048 messages/s', '≤ 2,048']);
    expect(say({ is: 'timesRival', value: 2, rival: 'udx' })).toEqual(['at least 2 times udx', '≥ 2× udx']);
    expect(say({ is: 'timesRival', value: 1 })).toEqual(['no worse than the best rival', '≥ 1× best rival']);
    expect(say({ is: 'shareOfLimit', value: 0.8 })).toEqual([
      'at least 80 % of the limit',
      '≥ 80 % of limit',
    ]);
    expect(say({ is: 'atMostAboveLimit', value: 0.6 })).toEqual([
      'at most 0.6 messages/s above the limit',
      '≤ limit + 0.6',
    ]);
  });
});
