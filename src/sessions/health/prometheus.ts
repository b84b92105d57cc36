// The metrics of a session server in a registry of the optional package `prom-client`. Nothing of that package is needed here: a registry asks
// each metric for its values whenever it is read, and a metric is whatever can answer.

import { argumentError, describe } from '../../base/check.js';
import type { Histogram } from '../server/events.js';
import { type SessionMetric, type SessionMetricsSource, sessionMetrics } from './metrics.js';

/** What is needed of a `Registry` of prom-client. */
export interface MetricsRegistry {
  getSingleMetric(name: string): unknown;
  registerMetric(metric: CollectedMetric): void;
}

/** A metric as a registry of prom-client asks for it. */
export interface CollectedMetric {
  /** @returns a promise of the values as they are now, in the form of that package. */
  get(): Promise<object>;
  reset(): void;
}

/** The values of a metric as prom-client writes them. */
interface CollectedValues {
  readonly name: string;
  readonly help: string;
  readonly type: SessionMetric['type'];
  readonly values: readonly CollectedValue[];
  /** How several processes are put together. */
  readonly aggregator: 'sum';
}

interface CollectedValue {
  readonly value: number;
  readonly labels: Readonly<Record<string, string>>;
  /** Where it is not that of the metric. */
  readonly metricName?: string;
}

/**
 * Puts all metrics of a session server into a registry: the health metrics of the source document, "Health Metrics", and what the alerts in
 * `docs/alerts/sessions.rules.yml` need. They are read when the registry is.
 *
 * @param server a `SessionServer`: its `gateway` and `stats`.
 * @param registry a `Registry` of prom-client 15, one for each server.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerSessionMetrics(server: SessionMetricsSource, registry: MetricsRegistry): void {
  checkRegistry(registry);
  for (const { name } of sessionMetrics) {
    if (registry.getSingleMetric(name) === undefined) continue;
    throw argumentError('registry', 'one without metrics of a session server', `one that has ${name}`);
  }
  for (const metric of sessionMetrics) registry.registerMetric(new Collected(metric, server));
}

function checkRegistry(registry: MetricsRegistry): void {
  const isRegistry =
    typeof registry?.registerMetric === 'function' && typeof registry.getSingleMetric === 'function';
  if (!isRegistry) throw argumentError('registry', 'a Registry of prom-client', describe(registry));
}

class Collected implements CollectedMetric {
  /** A registry that writes OpenMetrics takes `_total` away from it, and adds it again itself. */
  name: string;
  readonly type: SessionMetric['type'];
  readonly #metric: SessionMetric;
  readonly #source: SessionMetricsSource;

  constructor(metric: SessionMetric, source: SessionMetricsSource) {
    this.name = metric.name;
    this.type = metric.type;
    this.#metric = metric;
    this.#source = source;
  }

  async get(): Promise<CollectedValues> {
    const { help, type } = this.#metric;
    return { name: this.name, help, type, values: this.#values(), aggregator: 'sum' };
  }

  reset(): void {
    // The counts are those of the server.
  }

  #values(): readonly CollectedValue[] {
    const metric = this.#metric;
    if (metric.type !== 'histogram') return metric.read(this.#source);
    return histogramValues(metric.name, metric.read(this.#source));
  }
}

const msPerSecond = 1000;

function histogramValues(name: string, { bounds, counts, sum }: Histogram): readonly CollectedValue[] {
  const values: CollectedValue[] = bounds.map((bound, index) => ({
    metricName: `${name}_bucket`,
    labels: { le: upperBound(bound / msPerSecond) },
    value: counts[index] ?? 0,
  }));
  // OpenMetrics: where observations can be negative there is no sum, since it would not only grow, and no count without a sum.
  if ((bounds[0] ?? 0) < 0) return values;
  values.push({ metricName: `${name}_sum`, labels: {}, value: sum / msPerSecond });
  values.push({ metricName: `${name}_count`, labels: {}, value: counts.at(-1) ?? 0 });
  return values;
}

/** As OpenMetrics writes it, also in Prometheus' own format: version 3 of Prometheus would rename the others. */
function upperBound(seconds: number): string {
  if (seconds === Number.POSITIVE_INFINITY) return '+Inf';
  return Number.isInteger(seconds) ? seconds.toFixed(1) : String(seconds);
}
