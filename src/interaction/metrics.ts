// What is measured of the interaction layer, by the conventions of Prometheus.

import { type Metric, MetricMaker } from '../base/metrics.js';
import { type MetricsRegistry, registerMetrics } from '../base/prometheus.js';
import type { InteractionStats } from './stats.js';

const make: MetricMaker<InteractionStats> = new MetricMaker('interaction');

/** All metrics of the connections of a device, or of a gateway. */
export const interactionMetrics: readonly Metric<InteractionStats>[] = [
  make.gauge('connections', 'Connections of the interaction protocol.', ({ connections }) => connections),
  make.counterBy(
    'requests_total',
    'result',
    'Requests of the other sides that were answered: with SUCCESS, or with another status.',
    ({ requests, errors }) => ({ success: requests - errors, error: errors }),
  ),
  make.counter('notifications_total', 'Notifications that were sent.', ({ notifications }) => notifications),
];

/**
 * Puts all metrics of a device into a registry of prom-client. They are read when the registry is.
 *
 * @param device a `Device`: its `stats`.
 * @param registry a `Registry` of prom-client 15, one for each device.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerInteractionMetrics(
  device: { readonly stats: InteractionStats },
  registry: MetricsRegistry,
): void {
  registerMetrics(interactionMetrics, () => device.stats, registry);
}
