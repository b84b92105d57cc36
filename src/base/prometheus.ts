// Tables of metrics in a registry of the optional package `prom-client`. Nothing of that package is needed here: a registry asks each metric for
// its values whenever it is read, and a metric is whatever can answer.

import { argumentError, describe } from './check.js';
import type { HistogramSample, Metric, Sample } from './metrics.js';

/** What is needed of a `Registry` of prom-client. */
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
  /** Does nothing: the counts are those of the source. */
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
  /** Where it is not that of the metric. */
  readonly metricName?: string;
}

type MetricType = Metric<unknown>['type'];

/**
 * Puts all metrics of a table into a registry. They are read when the registry is.
 *
 * @param source called for each metric each time; where it takes long, it keeps what it returned for as long as one reading lasts.
 * @param registry a `Registry` of prom-client 15, one for each source.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerMetrics<Source>(
  table: readonly Metric<Source>[],
  source: () => Source | Promise<Source>,
  registry: MetricsRegistry,
): void {
  checkRegistry(registry);
  for (const { name } of table) {
    if (registry.getSingleMetric(name) === undefined) continue;
    throw argumentError('registry', 'one that has none of these metrics', `one that has ${name}`);
  }
  for (const metric of table) registry.registerMetric(new Collected(metric, source));
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
  readonly #source: () => Source | Promise<Source>;

  constructor(metric: Metric<Source>, source: () => Source | Promise<Source>) {
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
    // The counts are those of the source.
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
