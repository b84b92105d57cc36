// Metrics and traces of a gateway through the global providers of OpenTelemetry.

import { loadOpenTelemetry, observeMetrics } from '../../base/open-telemetry.js';
import type { ObservedGateway } from '../observed-gateway.js';
import { type TraceOptions, traceHawser } from '../trace/trace.js';
import { allMetrics } from './tables.js';

/**
 * Observes all metrics of a gateway, by the global meter provider, and traces what its process does, by the global tracer provider; both are to be
 * set before. docs/observability.md says how, and lists metrics and spans.
 *
 * @returns a promise of what ends it.
 * @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING without the package `@opentelemetry/api`; ERR_HAWSER_ARGUMENT.
 */
export async function startOpenTelemetry(
  gateway: Pick<ObservedGateway, 'snapshot'>,
  options: TraceOptions = {},
): Promise<Disposable> {
  const { metrics } = await loadOpenTelemetry();
  const tracing = await traceHawser(options);
  const end = observeMetrics(allMetrics, () => gateway.snapshot(), metrics.getMeter('hawser'));
  return {
    [Symbol.dispose]: () => {
      end();
      tracing[Symbol.dispose]();
    },
  };
}
