// Tables of metrics in a registry of the optional package `prom-client`. This file does not import that package: whenever a registry is read,
// it asks each metric for its values, and any object with that method can be a metric.

import { setImmediate } from 'node:timers/promises';
import { argumentError, describe } from './check.js';
import type { HistogramSample, Metric, Sample } from './metrics.js';

/** The part of a `Registry` of prom-client that is used here. */
export interface MetricsRegistry {
  /** @returns the metric of that name, or undefined. */
  getSingleMetric(name: string): unknown;
  /** Adds a metric. */
  registerMetric(metric: CollectedMetric): void;
}

/** A metric as a registry of prom-client asks for it. */
export interface CollectedMetric {
  /** @returns a promise of the values as they are now, in the form of that package. */
  get(): Promise<object>;
  /** Does nothing, because the source counts. */
  reset(): void;
}

/** The values of a metric as prom-client writes them. */
interface CollectedValues {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly values: readonly CollectedValue[];
  /** How several processes are put together. */
  readonly aggregator: 'sum';
}

interface CollectedValue extends Sample {
  /** Absent when it is the name of the metric. */
  readonly metricName?: string;
}

type MetricType = Metric<unknown>['type'];

/**
 * Puts all metrics of a table into a registry. They are read when the registry is. The event loop turns between the call of `source` and the
 * reading of the metrics: with very many peers each takes some milliseconds.
 *
 * @param source called once each time the registry is read.
 * @param registry a `Registry` of prom-client 15, one for each source.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerMetrics<Source>(
  table: readonly Metric<Source>[],
  source: () => Source,
  registry: MetricsRegistry,
): void {
  checkRegistry(registry);
  for (const { name } of table) {
    if (registry.getSingleMetric(name) === undefined) continue;
    throw argumentError('registry', 'one that has none of these metrics', `one that has ${name}`);
  }
  const sourceOfReading = oncePerReading(source);
  for (const metric of table) registry.registerMetric(new Collected(metric, sourceOfReading));
}

/**
 * A registry asks all of its metrics before anything else happens, and their values are to be of one moment.
 *
 * @returns a function that calls `read`, and returns the same promise to all who ask until the code that runs has ended.
 */
function oncePerReading<T>(read: () => T): () => Promise<T> {
  let kept: Promise<T> | undefined;
  const readOnce = async (): Promise<T> => {
    const value = read();
    await setImmediate();
    return value;
  };
  return () => {
    if (kept === undefined) {
      kept = readOnce();
      queueMicrotask(() => {
        kept = undefined;
      });
    }
    return kept;
  };
}

function checkRegistry(registry: MetricsRegistry): void {
  const isRegistry =
    typeof registry?.registerMetric === 'function' && typeof registry.getSingleMetric === 'function';
  if (!isRegistry) throw argumentError('registry', 'a Registry of prom-client', describe(registry));
}

class Collected<Source> implements CollectedMetric {
  /** A registry that writes OpenMetrics takes `_total` away from it, and adds it again itself. */
  name: string;
  readonly type: MetricType;
  readonly #metric: Metric<Source>;
  readonly #source: () => Promise<Source>;

  constructor(metric: Metric<Source>, source: () => Promise<Source>) {
    this.name = metric.name;
    this.type = metric.type;
    this.#metric = metric;
    this.#source = source;
  }

  async get(): Promise<CollectedValues> {
    const { help, type } = this.#metric;
    const values = this.#values(await this.#source());
    return { name: this.name, help, type, values, aggregator: 'sum' };
  }

  reset(): void {
    // The source counts.
  }

  #values(source: Source): readonly CollectedValue[] {
    const metric = this.#metric;
    if (metric.type !== 'histogram') return metric.read(source);
    return metric.read(source).flatMap((sample) => histogramValues(metric.name, sample));
  }
}

const msPerSecond = 1000;

function histogramValues(
  name: string,
  { labels, bounds, counts, sum }: HistogramSample,
): readonly CollectedValue[] {
  const values: CollectedValue[] = bounds.map((bound, index) => ({
    metricName: `${name}_bucket`,
    labels: { ...labels, le: upperBound(bound / msPerSecond) },
    value: counts[index] ?? 0,
  }));
  // OpenMetrics: there is no count without a sum.
  if (sum === undefined) return values;
  values.push({ metricName: `${name}_sum`, labels, value: sum / msPerSecond });
  values.push({ metricName: `${name}_count`, labels, value: counts.at(-1) ?? 0 });
  return values;
}

/** A bound as OpenMetrics writes it, also in Prometheus' own format: version 3 of Prometheus would rename the others. */
export function upperBound(seconds: number): string {
  if (seconds === Number.POSITIVE_INFINITY) return '+Inf';
  return Number.isInteger(seconds) ? seconds.toFixed(1) : String(seconds);
}
