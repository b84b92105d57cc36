// All metrics of a gateway, layer by layer: the tables of the layers, read from one snapshot.

import { type Metric, metricOf } from '../../base/metrics.js';
import { interactionMetrics } from '../../interaction/metrics.js';
import { keysMetrics } from '../../keys/agent/metrics.js';
import { sessionMetrics } from '../../sessions/health/metrics.js';
import { syncMetrics } from '../../sync/manager/metrics.js';
import { transportMetrics } from '../../transport/metrics.js';
import type { GatewaySnapshot } from '../snapshot.js';
import { gatewayMetrics, processMetrics } from './process-metrics.js';

/** The tables, by the layer that stands in the names. */
export const gatewayTables: Readonly<Record<string, readonly Metric<GatewaySnapshot>[]>> = {
  gateway: gatewayMetrics,
  process: processMetrics,
  transport: of(transportMetrics, ({ listeners }) =>
    listeners.map((source) => ({ name: source.name, source })),
  ),
  interaction: of(interactionMetrics, ({ layers }) => layers.interaction),
  sync: of(syncMetrics, ({ layers }) => layers.sync),
  sessions: of(sessionMetrics, ({ layers: { sessions } }) =>
    sessions === undefined ? undefined : { gateway: sessions.gateway, stats: sessions },
  ),
  keys: of(keysMetrics, ({ layers }) => layers.keys),
};

/** All of them. */
export const allMetrics: readonly Metric<GatewaySnapshot>[] = Object.values(gatewayTables).flat();

/** A table, read from a snapshot; without its layer there are no samples. */
function of<Source>(
  table: readonly Metric<Source>[],
  source: (snapshot: GatewaySnapshot) => Source | undefined,
): readonly Metric<GatewaySnapshot>[] {
  return table.map((metric) => metricOf(metric, source));
}
