import { expect, test } from 'vitest';
import { LatencyHistogram } from '../../src/cli/latency.js';
import { type ProcessStatus, RateWindow } from '../../src/cli/status.js';

test('percentiles are within a thousandth of the exact ones', () => {
  const histogram = new LatencyHistogram();
  for (let micros = 1; micros <= 10_000; ++micros) histogram.record(micros);
  const { p50, p90, p99, max } = histogram.latency();
  for (const [found, exact] of [
    [p50, 5000],
    [p90, 9000],
    [p99, 9900],
    [max, 10_000],
  ] as const) {
    expect(Math.abs(found - exact) / exact).toBeLessThan(0.001);
  }
  expect(histogram.count).toBe(10_000);
});

test('an empty histogram says 0, and takes what lies outside of it as its ends', () => {
  const histogram = new LatencyHistogram();
  expect(histogram.latency()).toEqual({ p50: 0, p90: 0, p99: 0, max: 0 });
  expect([histogram.minMicros, histogram.meanMicros, histogram.deviationMicros]).toEqual([0, 0, 0]);
  histogram.record(-5);
  histogram.record(1e12);
  expect(histogram.count).toBe(2);
  expect(histogram.minMicros).toBe(1);
  histogram.reset();
  expect(histogram.latency().max).toBe(0);
});

test('rates are of the last second only', () => {
  const rates = new RateWindow<ProcessStatus & { total: number }>();
  const at = (timeMs: number, total: number): ProcessStatus & { total: number } => ({
    timeMs,
    total,
    cpuMicros: timeMs * 500,
    rssBytes: 0,
  });
  expect(rates.perSecond(({ total }) => total)).toBe(0);
  for (const timeMs of [0, 250, 500, 750, 1000]) rates.push(at(timeMs, timeMs));
  expect(rates.perSecond(({ total }) => total)).toBe(1000);
  for (const timeMs of [1250, 1500, 1750, 2000]) rates.push(at(timeMs, 1000));
  expect(rates.perSecond(({ total }) => total)).toBe(0);
  expect(rates.cpuShare()).toBeCloseTo(0.5);
});
