// All metrics of a gateway for Prometheus.

import { loadPromClient } from '../../base/prom-client.js';
import { type MetricsRegistry, registerMetrics } from '../../base/prometheus.js';
import type { ObservedGateway } from '../observed-gateway.js';
import { allMetrics } from './tables.js';

/** The source of the answer to `GET /metrics`: a `Registry` of prom-client, to which you can add metrics. */
export interface GatewayRegistry extends MetricsRegistry {
  /** The media type of {@link GatewayRegistry.metrics}. */
  readonly contentType: string;
  /** @returns a promise of all metrics as text, as they are now. */
  metrics(): Promise<string>;
}

/**
 * Makes a registry with all metrics of a gateway; docs/observability.md lists them. Each reading of it takes one snapshot.
 *
 * @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING without the package `prom-client`.
 */
export async function gatewayRegistry(gateway: Pick<ObservedGateway, 'snapshot'>): Promise<GatewayRegistry> {
  const { Registry } = await loadPromClient();
  const registry = new Registry();
  registerGatewayMetrics(gateway, registry);
  return registry;
}

/** A registry that is made, and `prom-client` loaded, when it is read first. */
export class LazyRegistry implements Pick<GatewayRegistry, 'contentType' | 'metrics'> {
  /** The media type of a `Registry` by default. */
  readonly contentType = 'text/plain; version=0.0.4; charset=utf-8';
  readonly #gateway: Pick<ObservedGateway, 'snapshot'>;
  #registry: Promise<GatewayRegistry> | undefined;

  constructor(gateway: Pick<ObservedGateway, 'snapshot'>) {
    this.#gateway = gateway;
  }

  /** @throws HawserError (rejects) as `gatewayRegistry`. */
  async metrics(): Promise<string> {
    this.#registry ??= gatewayRegistry(this.#gateway);
    return (await this.#registry).metrics();
  }
}

/**
 * Puts all metrics of a gateway into a registry of your own.
 *
 * @param registry a `Registry` of prom-client 15, one for each gateway.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerGatewayMetrics(
  gateway: Pick<ObservedGateway, 'snapshot'>,
  registry: MetricsRegistry,
): void {
  registerMetrics(allMetrics, () => gateway.snapshot(), registry);
}
