import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { type Metric, MetricMaker, metricOf, metricOfEach, unitOf } from '../../src/base/metrics.js';
import { registerMetrics } from '../../src/base/prometheus.js';

interface Source {
  readonly value: number;
}

const make: MetricMaker<Source> = new MetricMaker('layer');
const gauge = make.gauge('things', 'Things.', ({ value }) => value);
const by = make.counterBy('things_total', 'kind', 'Things.', ({ value }) => ({ a: value, b: 0 }));
const levels = make.levels('wait_seconds', 'Waits.', ({ value }) => ({
  bounds: [1, 2000],
  counts: [value, 2, 4],
}));

async function series<S>(table: readonly Metric<S>[], source: S): Promise<readonly string[]> {
  const registry = new Registry();
  registerMetrics(table, () => source, registry);
  return (await registry.metrics()).split('\n').filter((line) => /^\w/.test(line));
}

test('counts in ranges become cumulative buckets in seconds, without a sum, and so without a count', async () => {
  expect(await series([levels], { value: 1 })).toEqual([
    'hawser_layer_wait_seconds_bucket{le="0.001"} 1',
    'hawser_layer_wait_seconds_bucket{le="2.0"} 3',
    'hawser_layer_wait_seconds_bucket{le="+Inf"} 7',
  ]);
});

test('of several sources each has its label, before those of the metric', async () => {
  const both = [gauge, by, levels].map((metric) =>
    metricOfEach(metric, 'listener', (sources: readonly Source[]) =>
      sources.map((source, index) => ({ name: `udp${index}`, source })),
    ),
  );
  expect(both.map(({ labels }) => labels)).toEqual([['listener'], ['listener', 'kind'], ['listener']]);
  expect(await series(both, [{ value: 1 }, { value: 5 }])).toEqual([
    'hawser_layer_things{listener="udp0"} 1',
    'hawser_layer_things{listener="udp1"} 5',
    'hawser_layer_things_total{listener="udp0",kind="a"} 1',
    'hawser_layer_things_total{listener="udp0",kind="b"} 0',
    'hawser_layer_things_total{listener="udp1",kind="a"} 5',
    'hawser_layer_things_total{listener="udp1",kind="b"} 0',
    'hawser_layer_wait_seconds_bucket{listener="udp0",le="0.001"} 1',
    'hawser_layer_wait_seconds_bucket{listener="udp0",le="2.0"} 3',
    'hawser_layer_wait_seconds_bucket{listener="udp0",le="+Inf"} 7',
    'hawser_layer_wait_seconds_bucket{listener="udp1",le="0.001"} 5',
    'hawser_layer_wait_seconds_bucket{listener="udp1",le="2.0"} 7',
    'hawser_layer_wait_seconds_bucket{listener="udp1",le="+Inf"} 11',
  ]);
});

test('without its source a metric has no samples, and a gauge has none without a value', async () => {
  const inner = metricOf(by, (outer: { readonly inner?: Source }) => outer.inner);
  expect(await series([inner], {})).toEqual([]);
  expect(await series([inner], { inner: { value: 3 } })).toHaveLength(2);
  const absent = make.gauge('other', 'Other.', () => undefined);
  expect(await series([absent], { value: 1 })).toEqual([]);
});

test.each([
  ['hawser_a_b_bytes', 'bytes'],
  ['hawser_a_b_bytes_total', 'bytes'],
  ['hawser_a_cpu_seconds_total', 'seconds'],
  ['hawser_a_b_total', undefined],
  ['hawser_a_bytes_kept', undefined],
])('the unit of %s is %s', (name, unit) => {
  expect(unitOf({ name })).toBe(unit);
});

test('the source is called once for all metrics of one reading, and again for the next', async () => {
  let reads = 0;
  const registry = new Registry();
  registerMetrics([gauge, by, levels], () => ({ value: ++reads }), registry);
  expect(reads).toBe(0);
  const first = await registry.metrics();
  expect(reads).toBe(1);
  expect(first).toContain('hawser_layer_things 1\n');
  expect(first).toContain('hawser_layer_things_total{kind="a"} 1\n');
  expect(await registry.metrics()).toContain('hawser_layer_things 2\n');
  expect(reads).toBe(2);
});

test('the event loop turns between the call of the source and the reading of the metrics', async () => {
  const order: string[] = [];
  const registry = new Registry();
  const noted = make.gauge('noted', 'Noted.', ({ value }) => {
    order.push('metric');
    return value;
  });
  const source = (): Source => {
    order.push('source');
    setImmediate(() => order.push('turn'));
    return { value: 1 };
  };
  registerMetrics([noted], source, registry);
  await registry.metrics();
  expect(order).toEqual(['source', 'turn', 'metric']);
});

test('a reading whose source fails is refused, and the next one calls the source again', async () => {
  let reads = 0;
  const registry = new Registry();
  const source = (): Source => {
    throw new Error(`read ${++reads}`);
  };
  registerMetrics([gauge, by], source, registry);
  await expect(registry.metrics()).rejects.toThrow('read 1');
  await expect(registry.metrics()).rejects.toThrow('read 2');
});
