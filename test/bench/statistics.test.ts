import { describe, expect, it } from 'vitest';
import {
  jainIndex,
  median,
  percentile,
  quantiles,
  ratioToBest,
  slope,
  spread,
} from '../../bench/lib/statistics.mjs';
import { contendersIn, summarize } from '../../bench/lib/summary.mjs';
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

describe('the Jain index', () => {
  it('is 1 for equal values, and 1 / n where one of n has everything', () => {
    expect(jainIndex([3, 3, 3])).toBe(1);
    expect(jainIndex([0, 8, 0, 0])).toBe(0.25);
    expect(jainIndex([1, 3])).toBe(0.8);
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

describe('quantiles', () => {
  it('are the percentiles that are asked for', () => {
    const values = Array.from({ length: 1000 }, (_, index) => 1000 - index);
    expect(quantiles(values, [1, 50, 99.9])).toEqual([
      { percent: 1, value: 10 },
      { percent: 50, value: 500 },
      { percent: 99.9, value: 999 },
    ]);
    expect(() => quantiles(values, [0])).toThrow(RangeError);
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
    target: [{ is: 'timesRival', value: 1 }],
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
    const atMost: Row = { ...row, target: [{ is: 'atMost', value: 20 }] };
    expect(summary([20], [1], atMost).target?.reached).toBe(true);
    expect(summary([20.1], [1], atMost).target?.reached).toBe(false);
    const atLeast: Row = { ...row, better: 'higher', target: [{ is: 'atLeast', value: 20 }] };
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
  });

  it('is not judged by a rival or a limit of which a run missed a condition, and marks their figures', () => {
    const bad = { value: 1000, missed: ['half of it was lost'] };
    const target: Row['target'] = [
      { is: 'timesRival', value: 1 },
      { is: 'atMostAboveLimit', value: 9 },
    ];
    const judged = (rival: Sample, raw: Sample): ReturnType<typeof summarize> =>
      summarize(
        { ...row, limit: 'raw', target },
        new Map([
          ['hawser', [sample(1)]],
          ['rival', [rival]],
          ['raw', [raw]],
        ]),
      );
    const verdicts = (result: ReturnType<typeof summarize>): unknown =>
      result.target?.conditions.map(({ reached }) => reached);
    expect(verdicts(judged(sample(1000), sample(1000)))).toEqual([true, true]);
    const result = judged(bad, bad);
    expect(verdicts(result)).toEqual([null, null]);
    expect(result).toMatchObject({ rivals: { rival: 1000 }, limit: 1000, target: { reached: null } });
    expect(tableLines([result])[1]).toMatch(/ 1 .*rival 1,000† .*raw 1,000† /);
  });

  it('has the spread of the parts that its runs consist of', () => {
    const run = { value: 5, least: 2, greatest: 7 };
    const result = summarize(row, new Map([['hawser', [run, { value: 8 }]]]));
    expect(result.spread).toEqual({ hawser: { min: 2, max: 8 } });
  });

  it('keeps a limit and variants apart from the rivals, and out of the ratio', () => {
    const result = summarize(
      { ...row, limit: 'raw', variants: ['hawser-loop'], target: [{ is: 'atMostAboveLimit', value: 9 }] },
      new Map([
        ['hawser', [sample(20)]],
        ['hawser-loop', [sample(1)]],
        ['rival', [sample(40)]],
        ['raw', [sample(10)]],
      ]),
    );
    expect(result).toMatchObject({ limit: 10, limitName: 'raw', ratio: 2, rivals: { rival: 40 } });
    expect(result.variants).toEqual({ 'hawser-loop': 1 });
    expect(result.target?.reached).toBe(false);
    expect(contendersIn(result).map(({ name }) => name)).toEqual(['hawser', 'hawser-loop', 'rival', 'raw']);
  });

  it('has no limit where that could not be measured, and no ratio to or of nothing', () => {
    expect(summarize({ ...row, limit: 'raw' }, new Map([['hawser', [sample(1)]]])).limit).toBeNull();
    expect(summary([0], [50]).ratio).toBeNull();
    expect(summary([50], [0]).ratio).toBeNull();
  });

  it('has the medians of distributions and series, point by point', () => {
    const run = (value: number): Sample => ({
      value,
      distribution: [
        { percent: 50, value },
        { percent: 99, value: 100 - value },
      ],
      series: [{ name: 'bytes', x: 100, value: 2 * value }],
    });
    const all = [run(1), run(5), run(3)];
    const axes = { x: 'peers', lines: { bytes: { title: 'memory', unit: 'bytes' } } };
    const result = summarize({ ...row, series: axes }, new Map([['hawser', all]]));
    expect(result.distribution.hawser).toEqual([
      { percent: 50, value: 3 },
      { percent: 99, value: 97 },
    ]);
    expect(result.series).toEqual({ hawser: [{ name: 'bytes', x: 100, value: 6 }] });
    expect(result.axes).toBe(axes);
    expect(summary([1], [1]).distribution).toEqual({});
  });

  it('becomes a line of the table, and its details another', () => {
    const lines = tableLines([summary([1234.5], [5000])]);
    expect(lines[1]).toMatch(
      /^made-up {2}µs +1,230 +1,230\.\.1,230 +rival 5,000 +4\.05× +- +no worse.*reached$/,
    );
    expect(lines).toContain('  made-up, hawser: twice 2,470');
  });
});
