import { describe, expect, it } from 'vitest';
import {
  alignedFigures,
  axisFigure,
  formatDuration,
  formatRatio,
  shortFigure,
} from '../../bench/lib/format.mjs';
import { barsPlot, quantilesPlot, seriesPlots, standingPlot } from '../../bench/lib/plots.mjs';
import {
  linearScale,
  linearTicks,
  logScale,
  logTicks,
  percentScale,
  spreadLabels,
} from '../../bench/lib/scales.mjs';
import { madeUpRow } from './made-up.js';

describe('scales', () => {
  it('map both ends, and the middle of their own kind', () => {
    expect([0, 5, 10].map(linearScale([0, 10], [100, 200]))).toEqual([100, 150, 200]);
    const log = [1, 10, 100].map(logScale([1, 100], [0, 8]));
    for (const [index, place] of [0, 4, 8].entries()) expect(log[index]).toBeCloseTo(place);
    const percent = [1, 50, 99].map(percentScale([1, 99], [0, 8]));
    for (const [index, place] of [0, 4, 8].entries()) expect(percent[index]).toBeCloseTo(place);
  });
});

describe('ticks', () => {
  it('of a linear axis are round, from zero, within it, and few', () => {
    expect(linearTicks(5.7e6)).toEqual([0, 2e6, 4e6]);
    expect(linearTicks(1)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
    expect(linearTicks(0.3)).toEqual([0, 0.1, 0.2, 0.3]);
    for (const end of [1e-7, 0.013, 3, 9.99, 12_345, 7e11]) {
      const ticks = linearTicks(end);
      expect(ticks.length).toBeGreaterThanOrEqual(3);
      expect(ticks.length).toBeLessThanOrEqual(6);
      expect(ticks.at(-1)).toBeLessThanOrEqual(end);
    }
  });

  it('of a logarithmic axis are powers of ten, finer where these are few', () => {
    expect(logTicks([50, 300])).toEqual([50, 100, 200]);
    expect(logTicks([0.5, 20_000])).toEqual([1, 10, 100, 1000, 10_000]);
    expect(logTicks([0.02, 0.5])).toEqual([0.02, 0.05, 0.1, 0.2, 0.5]);
  });
});

describe('labels', () => {
  it('move apart by no more than they must, in their order and within the range', () => {
    expect(spreadLabels([10, 50], 15, [0, 100])).toEqual([10, 50]);
    expect(spreadLabels([52, 50, 10], 15, [0, 100])).toEqual([65, 50, 10]);
    expect(spreadLabels([99, 98, 100], 15, [0, 100])).toEqual([85, 70, 100]);
  });
});

describe('figures', () => {
  it('are short where there is little room', () => {
    expect([4.374e6, 1.14e9, 999_000, 12.345, 0].map(shortFigure)).toEqual([
      '4.37 M',
      '1.14 G',
      '999,000',
      '12.3',
      '0',
    ]);
    expect([0, 500_000, 4e6].map((tick) => axisFigure(tick, 5e6))).toEqual(['0', '0.5 M', '4 M']);
    expect([0.974, 2, 24.61].map(formatRatio)).toEqual(['0.97×', '2.00×', '24.6×']);
    expect(formatDuration(187.4)).toBe('3:07');
  });

  it('of a column have their points below each other', () => {
    expect(alignedFigures([4.011, 12.3, 248])).toEqual(['4.01', '12.3\u2007', '248\u2008\u2007\u2007']);
    expect(alignedFigures([15.02, 15])).toEqual(['15.0', '15.0']);
    expect(alignedFigures([5, 12_345])).toEqual(['5', '12,300']);
  });
});

/** The value of an attribute in each element whose class begins with `style`. */
function attributes(svg: string, style: string, name: string): number[] {
  const elements = svg.match(new RegExp(`<[^>]* class="${style}[^>]*>`, 'g')) ?? [];
  return elements.map((text) => Number(new RegExp(` ${name}="([^"]*)"`).exec(text)?.[1]));
}

describe('a plot of bars', () => {
  const row = madeUpRow('x', { hawser: 20, slow: 80, fast: 40, raw: 10 }, { limit: 'raw' });

  it('has bars as long as the figures, from one zero', () => {
    const svg = barsPlot(row);
    const widths = attributes(svg, 'bar', 'width');
    const longest = Math.max(...widths);
    // Ours, the rivals, best first, and the limit.
    expect(widths.map((width) => width / longest)).toEqual([0.25, 0.5, 1, 0.125]);
    expect(new Set(attributes(svg, 'bar', 'x')).size).toBe(1);
  });

  it('has whiskers from the least run to the greatest, only where runs differ', () => {
    expect(barsPlot(row)).not.toContain('whisker');
    const spread = { ...row.spread, slow: { min: 40, max: 80 } };
    const svg = barsPlot({ ...row, spread });
    const [longest = 0] = attributes(svg, 'bar', 'width').sort((one, other) => other - one);
    const from = attributes(svg, 'whisker', 'x1')[0] ?? 0;
    const to = attributes(svg, 'whisker', 'x2')[0] ?? 0;
    expect(to - from).toBeCloseTo(longest / 2);
  });

  describe('with a limit', () => {
    const values = { hawser: 20, other: 40 };
    const withLimit = (raw: number, aim?: number): string => {
      const limited = madeUpRow('x', { ...values, raw }, { limit: 'raw' });
      if (aim === undefined) return barsPlot(limited);
      const condition = { is: 'atLeast' as const, value: aim, text: '', reached: false };
      return barsPlot({ ...limited, target: { reached: false, conditions: [condition] } });
    };
    const widths = (svg: string): number[] => attributes(svg, 'bar', 'width');

    it('has that on the same scale while the others keep half of it', () => {
      const svg = withLimit(80);
      const [ours = 0, other = 0, raw = 0] = widths(svg);
      expect([ours / raw, other / raw]).toEqual([0.25, 0.5]);
      expect(svg).not.toContain('beyond the scale');
      expect(attributes(svg, 'cut', 'x1')).toEqual([]);
    });

    it('breaks the bar of one that is longer, says so, and has its figure beside it', () => {
      const svg = withLimit(81);
      const [ours = 0, other = 0, raw = 0] = widths(svg);
      expect(ours / other).toBeCloseTo(0.5);
      // As far as the plot goes, which says nothing about its figure.
      expect(widths(withLimit(8e6))[2]).toBe(raw);
      expect(attributes(svg, 'cut', 'x1')).toHaveLength(2);
      for (const cut of attributes(svg, 'cut', 'x1')) {
        expect(cut).toBeGreaterThan((attributes(svg, 'bar', 'x')[0] ?? 0) + other);
      }
      expect(svg).toContain('raw 81, beyond the scale"');
      expect(svg).toContain('the bar with // goes on beyond the scale<');
      expect(svg).toContain('>81<');
    });

    it('counts the target and the whiskers as bars', () => {
      expect(withLimit(81, 60)).not.toContain('beyond the scale');
      const spread = { hawser: { min: 10, max: 60 }, raw: { min: 79, max: 130 } };
      const limited = madeUpRow('x', { ...values, raw: 80 }, { limit: 'raw' });
      expect(barsPlot({ ...limited, spread: { hawser: spread.hawser } })).not.toContain('beyond the scale');
      const broken = barsPlot({ ...limited, spread: { raw: spread.raw } });
      expect(broken).toContain('beyond the scale');
      expect(broken).not.toContain('whisker');
    });
  });

  it('marks figures that do not count', () => {
    expect(barsPlot({ ...row, missed: ['slow: too much was lost'] })).toContain('>slow†<');
    expect(barsPlot(row)).not.toContain('†');
  });

  it('says in words what it shows, and nothing in them is markup', () => {
    const svg = barsPlot({ ...row, title: 'a "b" <c> & d' });
    expect(svg).toContain(
      'aria-label="a &quot;b&quot; &lt;c&gt; &amp; d, µs: hawser 20, fast 40, slow 80, raw 10"',
    );
  });

  it('can show nothing but zeros', () => {
    expect(
      barsPlot(madeUpRow('x', { hawser: 0, 'hawser-loop': 0 }, { variants: ['hawser-loop'] })),
    ).not.toMatch(/NaN|Infinity/);
  });
});

describe('the other plots', () => {
  it('show quantiles upwards', () => {
    const quantiles = (factor: number): { percent: number; value: number }[] =>
      [1, 50, 99.9].map((percent, index) => ({ percent, value: factor * 10 ** index }));
    const row = {
      ...madeUpRow('x', { hawser: 1, other: 2 }),
      distribution: { hawser: quantiles(1), other: quantiles(2) },
    };
    const svg = quantilesPlot(row);
    const curve = /class="curve ours" points="([^"]*)"/.exec(svg)?.[1] ?? '';
    const places = curve.split(' ').map((point) => point.split(',').map(Number));
    expect(places).toHaveLength(3);
    for (const [index, [x = Number.NaN, y = Number.NaN]] of places.entries()) {
      const [beforeX = -1, beforeY = 1e6] = places[index - 1] ?? [];
      expect(x).toBeGreaterThan(beforeX);
      expect(y).toBeLessThan(beforeY);
    }
    expect(svg).toContain('hawser 50 % within 10');
    expect(svg).not.toContain('NaN');
  });

  it('show each line of a series by itself', () => {
    const point = (name: string, x: number, value: number): { name: string; x: number; value: number } => ({
      name,
      x,
      value,
    });
    const row = {
      ...madeUpRow('x', { hawser: 1 }),
      axes: {
        x: 'peers',
        lines: { cpu: { title: 'CPU', unit: 'µs' }, memory: { title: 'memory', unit: 'bytes' } },
      },
      series: {
        hawser: [
          point('cpu', 100, 4),
          point('memory', 100, 2000),
          point('cpu', 1000, 5),
          point('memory', 1000, 1500),
        ],
      },
    };
    const [cpu = '', memory = '', ...rest] = seriesPlots(row);
    expect(rest).toEqual([]);
    expect(cpu).toContain('CPU, µs, by peers: hawser 4 at 100, 5 at 1,000');
    expect(memory).toContain('memory, bytes, by peers: hawser 2,000 at 100, 1,500 at 1,000');
    expect(seriesPlots(madeUpRow('x', { hawser: 1 }))).toEqual([]);
  });

  it('have one scale for the lines of a series, though one of them begins later', () => {
    const axes = {
      x: 'peers',
      lines: { cpu: { title: 'CPU', unit: 'µs' }, memory: { title: 'memory', unit: 'bytes' } },
    };
    const point = (name: string, x: number): { name: string; x: number; value: number } => ({
      name,
      x,
      value: 1,
    });
    const series = { hawser: [point('cpu', 100), point('cpu', 1000), point('memory', 1000)] };
    const [cpu = '', memory = ''] = seriesPlots({ ...madeUpRow('x', { hawser: 1 }), axes, series });
    expect(attributes(memory, 'dot', 'cx')).toEqual([attributes(cpu, 'dot', 'cx')[1]]);
  });

  it('are logarithmic in x, unless the row says that equal steps are equally long', () => {
    const gaps = (even: boolean): number[] => {
      const axes = { x: 's', even, lines: { line: { title: 'clients', unit: 'clients' } } };
      const points = [1, 3, 5].map((x) => ({ name: 'line', x, value: 1 }));
      const [svg = ''] = seriesPlots({ ...madeUpRow('x', { hawser: 1 }), axes, series: { hawser: points } });
      const [first = 0, second = 0, third = 0] = attributes(svg, 'dot', 'cx');
      return [second - first, third - second];
    };
    const [before = 0, after = 0] = gaps(true);
    expect(after).toBeCloseTo(before);
    const [wide = 0, narrow = 0] = gaps(false);
    expect(wide / narrow).toBeCloseTo(Math.log(3) / Math.log(5 / 3));
  });

  it('break long titles of a series, and keep its figures off its curve', () => {
    const title = 'a title that is much longer than a small plot is wide';
    const axes = { x: 'peers', lines: { line: { title, unit: 'bytes' } } };
    const shown = (...values: number[]): string[] => {
      const points = values.map((value, index) => ({ name: 'line', x: 10 ** index, value }));
      const [svg = ''] = seriesPlots({ ...madeUpRow('x', { hawser: 1 }), axes, series: { hawser: points } });
      for (const text of svg.match(/>[^<>]+</g) ?? []) expect(text.length).toBeLessThan(50);
      const dots = attributes(svg, 'dot', 'cy');
      const sides = attributes(svg, 'figure', 'y').map((y, index) =>
        y < (dots[index] ?? 0) ? 'above' : 'below',
      );
      const anchors = [...svg.matchAll(/class="figure ours" text-anchor="(\w+)"/g)];
      return anchors.map(([, anchor], index) => `${sides[index]} ${anchor}`);
    };
    expect(shown(100, 98, 100)).toEqual(['above middle', 'above middle', 'above middle']);
    expect(shown(100, 40, 40)).toEqual(['above middle', 'above start', 'above middle']);
    expect(shown(40, 40, 100)).toEqual(['above middle', 'above end', 'above middle']);
    expect(shown(100, 1, 100)).toEqual(['above middle', 'below middle', 'above middle']);
  });

  it('put those that are worse to the left of hawser, whichever way the unit counts', () => {
    const values = { hawser: 10, less: 5, more: 20 };
    const places = (better: 'higher' | 'lower'): number[] =>
      attributes(standingPlot(madeUpRow('x', values, { better })), 'dot', 'cx');
    // Rivals are drawn first, best first.
    const [best = 0, worst = 0, hawser = 0] = places('lower');
    expect(worst).toBeLessThan(hawser);
    expect(best).toBeGreaterThan(hawser);
    expect(places('higher')).toEqual([best, worst, hawser]);
    expect(standingPlot(madeUpRow('x', { hawser: 10 }))).toBe('');
  });

  it('have an arrowhead for what is beyond the ends of a strip', () => {
    const strip = (raw: number, other: number): string =>
      standingPlot(madeUpRow('x', { hawser: 100, other, raw }, { limit: 'raw', better: 'higher' }));
    expect(strip(1000, 1)).not.toContain('beyond');
    expect(strip(1001, 1)).toContain('class="beyond limit"');
    expect(strip(1000, 0.9)).toContain('class="beyond rival"');
  });
});
