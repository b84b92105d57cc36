// Tables of metrics as instruments of OpenTelemetry, which the optional package `@opentelemetry/api` brings.

import type { BatchObservableResult, Meter, Observable } from '@opentelemetry/api';
import { HawserError } from './errors.js';
import { type HistogramSample, type Metric, unitOf } from './metrics.js';
import { upperBound } from './prometheus.js';

/** @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING without the package. */
export async function loadOpenTelemetry(): Promise<typeof import('@opentelemetry/api')> {
  try {
    return await import('@opentelemetry/api');
  } catch (cause) {
    const message = 'OpenTelemetry needs the package @opentelemetry/api: npm install @opentelemetry/api';
    throw new HawserError('ERR_HAWSER_PACKAGE_MISSING', message, { cause });
  }
}

/**
 * The name of a metric for OpenTelemetry, which has the unit and the kind apart: `hawser_transport_datagram_bytes_total` is
 * `hawser.transport.datagram`, in bytes. An exporter to Prometheus makes the first of the second again.
 */
export function instrumentName(metric: Pick<Metric<unknown>, 'name'>): string {
  const bare = metric.name.replace(/_total$/, '');
  const unit = unitOf(metric);
  const what = unit === undefined ? bare : bare.slice(0, -unit.length - 1);
  return what.replace(/^(hawser)_([a-z]+)_/, '$1.$2.');
}

/** By UCUM, as OpenTelemetry wants them. */
const ucum = { bytes: 'By', seconds: 's' } as const;
const msPerSecond = 1000;

/**
 * Makes instruments of all metrics of a table: observable counters and gauges. There are no observable histograms; theirs are counters (gauges
 * where they are levels) named `<name>.bucket` with the attribute `le` as in Prometheus, `<name>.sum` and `<name>.count`.
 *
 * @param source called once for each collection.
 * @returns what takes them away again.
 */
export function observeMetrics<Source>(
  table: readonly Metric<Source>[],
  source: () => Source,
  meter: Meter,
): () => void {
  const observers = table.map((metric) => observerOf(metric, meter));
  const observables = observers.flatMap((each) => each.observables);
  const observe = (result: BatchObservableResult): void => {
    const read = source();
    for (const { observe } of observers) observe(result, read);
  };
  meter.addBatchObservableCallback(observe, observables);
  return () => meter.removeBatchObservableCallback(observe, observables);
}

interface Observer<Source> {
  readonly observables: readonly Observable[];
  observe(result: BatchObservableResult, source: Source): void;
}

function observerOf<Source>(metric: Metric<Source>, meter: Meter): Observer<Source> {
  const name = instrumentName(metric);
  const unit = unitOf(metric);
  const options = { description: metric.help, ...(unit !== undefined && { unit: ucum[unit] }) };
  if (metric.type === 'histogram') return histogramObserver(metric, name, options, meter);
  const instrument =
    metric.type === 'counter'
      ? meter.createObservableCounter(name, options)
      : meter.createObservableGauge(name, options);
  return {
    observables: [instrument],
    observe: (result, source) => {
      for (const { labels, value } of metric.read(source)) result.observe(instrument, value, { ...labels });
    },
  };
}

function histogramObserver<Source>(
  metric: Extract<Metric<Source>, { readonly type: 'histogram' }>,
  name: string,
  options: { readonly description: string; readonly unit?: string },
  meter: Meter,
): Observer<Source> {
  const { description } = options;
  const bucket = metric.level
    ? meter.createObservableGauge(`${name}.bucket`, { description })
    : meter.createObservableCounter(`${name}.bucket`, { description });
  const sum = meter.createObservableCounter(`${name}.sum`, options);
  const count = meter.createObservableCounter(`${name}.count`, { description });
  const observeOne = (result: BatchObservableResult, sample: HistogramSample): void => {
    sample.bounds.forEach((bound, index) => {
      const attributes = { ...sample.labels, le: upperBound(bound / msPerSecond) };
      result.observe(bucket, sample.counts[index] ?? 0, attributes);
    });
    if (sample.sum === undefined) return;
    result.observe(sum, sample.sum / msPerSecond, { ...sample.labels });
    result.observe(count, sample.counts.at(-1) ?? 0, { ...sample.labels });
  };
  return {
    observables: [bucket, sum, count],
    observe: (result, source) => {
      for (const sample of metric.read(source)) observeOne(result, sample);
    },
  };
}
