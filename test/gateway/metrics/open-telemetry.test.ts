import { metrics, trace } from '@opentelemetry/api';
import {
  AggregationTemporality,
  DataPointType,
  InMemoryMetricExporter,
  MeterProvider,
  type MetricData,
  PeriodicExportingMetricReader,
} from '@opentelemetry/sdk-metrics';
import { afterEach, expect, test, vi } from 'vitest';
import { unitOf } from '../../../src/base/metrics.js';
import { instrumentName } from '../../../src/base/open-telemetry.js';
import { startOpenTelemetry } from '../../../src/gateway/metrics/open-telemetry.js';
import { allMetrics } from '../../../src/gateway/metrics/tables.js';
import { madeUpSnapshot } from './made-up-snapshot.js';

afterEach(() => {
  metrics.disable();
  trace.disable();
  vi.doUnmock('@opentelemetry/api');
});

/** A global meter provider, as an application has it. */
class Collector {
  readonly #exporter = new InMemoryMetricExporter(AggregationTemporality.CUMULATIVE);
  readonly #provider: MeterProvider;

  constructor() {
    const reader = new PeriodicExportingMetricReader({
      exporter: this.#exporter,
      exportIntervalMillis: 86_400_000,
      exportTimeoutMillis: 86_400_000,
    });
    this.#provider = new MeterProvider({ readers: [reader] });
    metrics.setGlobalMeterProvider(this.#provider);
  }

  /** What is exported now, by name. */
  async collect(): Promise<ReadonlyMap<string, MetricData>> {
    this.#exporter.reset();
    await this.#provider.forceFlush();
    const all = this.#exporter.getMetrics().flatMap(({ scopeMetrics }) => scopeMetrics);
    expect(all.every(({ scope }) => scope.name === 'hawser')).toBe(true);
    return new Map(all.flatMap((scope) => scope.metrics).map((each) => [each.descriptor.name, each]));
  }

  async close(): Promise<void> {
    await this.#provider.shutdown();
  }
}

/** The values of a metric by their attributes. */
function values(data: MetricData | undefined): Record<string, unknown> {
  const entries = (data?.dataPoints ?? []).map(({ attributes, value }) => [
    JSON.stringify(attributes),
    value,
  ]);
  return Object.fromEntries(entries);
}

test('every metric is an instrument with its unit, its kind and its values', async () => {
  const collector = new Collector();
  const telemetry = await startOpenTelemetry({ snapshot: () => madeUpSnapshot });
  const exported = await collector.collect();
  for (const metric of allMetrics) {
    if (metric.type === 'histogram') continue;
    const data = exported.get(instrumentName(metric));
    expect(data, metric.name).toBeDefined();
    const isCounter = data?.dataPointType === DataPointType.SUM && data.isMonotonic;
    expect(isCounter, metric.name).toBe(metric.type === 'counter');
    expect(data?.descriptor.unit).toBe({ bytes: 'By', seconds: 's', none: '' }[unitOf(metric) ?? 'none']);
    expect(data?.descriptor.description).toBe(metric.help);
    const samples = metric.read(madeUpSnapshot).map(({ labels, value }) => [JSON.stringify(labels), value]);
    expect(values(data)).toEqual(Object.fromEntries(samples));
  }
  telemetry[Symbol.dispose]();
  await collector.close();
});

test('names have dots, and neither the unit nor the kind: an exporter to Prometheus adds these', () => {
  const names = new Map(allMetrics.map((metric) => [metric.name, instrumentName(metric)]));
  expect(names.get('hawser_transport_datagram_bytes_total')).toBe('hawser.transport.datagram');
  expect(names.get('hawser_process_cpu_seconds_total')).toBe('hawser.process.cpu');
  expect(names.get('hawser_keys_peers_failed_closed')).toBe('hawser.keys.peers_failed_closed');
  expect(new Set(names.values()).size).toBe(names.size);
});

test('histograms are counters by upper bound; what is a level is a gauge', async () => {
  const collector = new Collector();
  const telemetry = await startOpenTelemetry({ snapshot: () => madeUpSnapshot });
  const exported = await collector.collect();
  const roundTrip = exported.get('hawser.sessions.round_trip.bucket');
  expect(roundTrip).toMatchObject({ dataPointType: DataPointType.SUM, isMonotonic: true });
  expect(values(roundTrip)).toEqual({
    '{"le":"0.001"}': 0,
    '{"le":"0.05"}': 8,
    '{"le":"1.0"}': 9,
    '{"le":"+Inf"}': 9,
  });
  expect(values(exported.get('hawser.sessions.round_trip.sum'))).toEqual({ '{}': 0.1495 });
  expect(values(exported.get('hawser.sessions.round_trip.count'))).toEqual({ '{}': 9 });
  expect(exported.get('hawser.sessions.clock_skew.sum')?.dataPoints ?? []).toEqual([]);
  const rtt = exported.get('hawser.transport.peer_rtt.bucket');
  expect(rtt?.dataPointType).toBe(DataPointType.GAUGE);
  expect(values(rtt)).toMatchObject({
    '{"listener":"udp","le":"0.01"}': 1,
    '{"listener":"udp2","le":"+Inf"}': 7,
  });
  telemetry[Symbol.dispose]();
  await collector.close();
});

test('each collection takes one snapshot, and none is taken when it is over', async () => {
  let taken = 0;
  const snapshot = (): typeof madeUpSnapshot => ({ ...madeUpSnapshot, startedAtMs: 1000 * ++taken });
  const collector = new Collector();
  const telemetry = await startOpenTelemetry({ snapshot });
  expect(values((await collector.collect()).get('hawser.gateway.start_time'))).toEqual({ '{}': 1 });
  expect(values((await collector.collect()).get('hawser.gateway.start_time'))).toEqual({ '{}': 2 });
  telemetry[Symbol.dispose]();
  await collector.collect();
  expect(taken).toBe(2);
  await collector.close();
});

test('without the package there is an error that says what to install', async () => {
  vi.doMock('@opentelemetry/api', () => {
    throw new Error('it is not there');
  });
  await expect(startOpenTelemetry({ snapshot: () => madeUpSnapshot })).rejects.toMatchObject({
    code: 'ERR_HAWSER_PACKAGE_MISSING',
    message: expect.stringContaining('npm install @opentelemetry/api'),
  });
});
