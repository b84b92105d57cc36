import { describe, expect, it } from 'vitest';
import { summarize } from '../../bench/lib/rows.mjs';
import { median, percentile, ratioToBest, slope, spread } from '../../bench/lib/statistics.mjs';
import { tableLines } from '../../bench/lib/table.mjs';
import type { Row, Sample } from '../../bench/rows/row.mjs';

describe('median', () => {
  it('is the middle of an odd number of values, whatever their order', () => {
    expect(median([10, 9, 100])).toBe(10);
  });

  it('is the mean of the two in the middle of an even number', () => {
    expect(median([4, 1, 3, 100])).toBe(3.5);
  });

  it('leaves its argument as it was and refuses to make something of nothing', () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
    expect(() => median([])).toThrow(RangeError);
  });
});

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  it('is the nearest rank', () => {
    expect(percentile(hundred, 50)).toBe(50);
    expect(percentile(hundred, 99)).toBe(99);
    expect(percentile(hundred, 100)).toBe(100);
    expect(percentile(hundred, 0.1)).toBe(1);
    expect(percentile(Float64Array.of(7), 99)).toBe(7);
  });

  it('refuses percentages that mean nothing', () => {
    for (const percent of [0, -1, 101, Number.NaN]) {
      expect(() => percentile(hundred, percent)).toThrow(RangeError);
    }
  });
});

describe('spread, slope, ratio', () => {
  it('spread is the least and the greatest value', () => {
    expect(spread([9, 10, -1])).toEqual({ min: -1, max: 10 });
  });

  it('slope is that of the line through points on a line, and the least-squares one otherwise', () => {
    const line = [2, 4, 10].map((x) => ({ x, y: 1000 + 3 * x }));
    expect(slope(line)).toBeCloseTo(3);
    const bent = [
      { x: 0, y: 0 },
      { x: 1, y: 2 },
      { x: 2, y: 1 },
    ];
    expect(slope(bent)).toBeCloseTo(0.5);
    expect(() => slope([{ x: 1, y: 1 }])).toThrow(RangeError);
  });

  it('the ratio compares with the best rival and is above 1 when ours is better, whichever way the unit counts', () => {
    expect(ratioToBest(200, [50, 100], 'higher')).toBe(2);
    expect(ratioToBest(50, [200, 100], 'lower')).toBe(2);
    expect(ratioToBest(50, [], 'lower')).toBeNull();
  });
});

describe('a row', () => {
  const row: Row = {
    id: 'made-up',
    title: 'made up',
    unit: 'µs',
    better: 'lower',
    rivals: ['rival'],
    target: { value: 1, is: 'noWorseThanRival' },
    note: '',
    measure: () => Promise.reject(new Error('not measured here')),
  };
  const sample = (value: number): Sample => ({
    value,
    details: { twice: 2 * value },
  });
  const summary = (ours: number[], rivals: number[], of: Row = row): ReturnType<typeof summarize> =>
    summarize(
      of,
      new Map([
        ['hawser', ours.map(sample)],
        ['rival', rivals.map(sample)],
      ]),
    );

  it('is made of medians, with the spread and the details of each contender', () => {
    const result = summary([30, 10, 20], [40, 60, 50]);
    expect(result).toMatchObject({
      runs: 3,
      ours: 20,
      rivals: { rival: 50 },
      ratio: 2.5,
      spread: { hawser: { min: 10, max: 30 }, rival: { min: 40, max: 60 } },
      details: { hawser: { twice: 40 }, rival: { twice: 100 } },
      target: { reached: true },
    });
  });

  it('says whether its target was reached', () => {
    expect(summary([51], [50]).target?.reached).toBe(false);
    const atMost: Row = { ...row, target: { value: 20, is: 'atMost' } };
    expect(summary([20], [1], atMost).target?.reached).toBe(true);
    expect(summary([20.1], [1], atMost).target?.reached).toBe(false);
    const atLeast: Row = { ...row, better: 'higher', target: { value: 20, is: 'atLeast' } };
    expect(summary([20], [1], atLeast).target?.reached).toBe(true);
    expect(summary([19.9], [1], atLeast).target?.reached).toBe(false);
  });

  it('does not reach its target when a run of ours missed a condition, whatever its figure', () => {
    const bad = { value: 1, missed: ['half of it was lost'] };
    const runs = (ours: Sample, rival: Sample): Map<string, Sample[]> =>
      new Map([
        ['hawser', [ours]],
        ['rival', [rival]],
      ]);
    const ours = summarize(row, runs(bad, sample(50)));
    expect(ours.target?.reached).toBe(false);
    expect(ours.missed).toEqual(['hawser: half of it was lost']);
    expect(tableLines([ours]).at(-1)).toContain('MISSED by hawser: half of it was lost');
    expect(summarize(row, runs(sample(1), bad)).target?.reached).toBe(true);
  });

  it('becomes a line of the table, and its details another', () => {
    const lines = tableLines([summary([1234.5], [5000])]);
    expect(lines[1]).toMatch(
      /^made-up {2}µs +1,230 +1,230\.\.1,230 +rival 5,000 +4\.05x +no worse.*reached$/,
    );
    expect(lines).toContain('  made-up, hawser: twice 2,470');
  });
});
