// What operators see and steer a gateway by: admin server, control socket, metrics. It is there before anything else, and until the end.
// Modules of what a configuration leaves out are not loaded.

import { HawserError } from '../base/errors.js';
import { hasPromClient } from '../base/prom-client.js';
import type { AdminServer } from './admin/admin-server.js';
import type { Closers } from './closers.js';
import { defaultAdminAddress } from './config-check.js';
import type { Gateway, GatewayUrls } from './gateway.js';
import type { MetricsRegistry } from './http/metrics-endpoint.js';
import type { Logger } from './log/logger.js';
import type { AdminPlan, GatewayPlan } from './plan.js';
import { readSecret } from './secrets.js';

export class OperatorSide {
  readonly #plan: GatewayPlan;
  readonly #log: Logger;
  #admin: AdminServer | undefined;
  #token: string | undefined;
  #metricsUrl: string | undefined;
  #controlPath: string | undefined;
  /** What stays until the gateway has stopped. */
  #close: (() => void | Promise<void>)[] = [];

  constructor(plan: GatewayPlan, log: Logger) {
    this.#plan = plan;
    this.#log = log;
  }

  get urls(): Omit<GatewayUrls, 'tokens'> {
    return { admin: this.#admin?.url, metrics: this.#metricsUrl, control: this.#controlPath };
  }

  /** @param closers of what ends with the sockets. @throws HawserError (rejects). */
  async open(gateway: Gateway, closers: Closers): Promise<void> {
    const { admin, metrics, control, openTelemetry } = this.#plan;
    if (openTelemetry) {
      const { startOpenTelemetry } = await import('./metrics/open-telemetry.js');
      const telemetry = await startOpenTelemetry(gateway);
      closers.add(() => telemetry[Symbol.dispose]());
    }
    const registry = await this.#registry(gateway);
    if (metrics !== undefined && registry !== undefined) {
      const advice = 'choose another with --metrics HOST:PORT';
      const { openMetricsEndpoint } = await import('./http/metrics-endpoint.js');
      const endpoint = await openMetricsEndpoint(metrics, registry, advice);
      this.#metricsUrl = endpoint.url;
      this.#close.push(() => endpoint.close());
    }
    if (admin !== undefined)
      await this.#openAdmin(gateway, admin, admin.metrics === false ? undefined : registry);
    if (control !== false) await this.#openControl(gateway, control);
  }

  /** The token that is needed now; undefined where none is. */
  get token(): string | undefined {
    return this.#token;
  }

  /** The token that asks of the admin server need from now on. @throws HawserError ERR_HAWSER_CONFIG. */
  setToken(token: string | undefined): void {
    this.#admin?.setToken(token);
    this.#token = token;
  }

  /** What is to be closed when the gateway has stopped. */
  closeLast(close: () => void): void {
    this.#close.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#close.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        this.#log.error({ err: error }, 'a part of the gateway could not be closed');
      }
    }
  }

  /** @returns undefined where `prom-client` is not installed and nothing demands it. */
  async #registry(gateway: Gateway): Promise<MetricsRegistry | undefined> {
    const { admin, metrics } = this.#plan;
    const isWanted = metrics !== undefined || admin?.metrics === true;
    if (!isWanted && (admin === undefined || admin.metrics === false || !hasPromClient())) return undefined;
    const { gatewayRegistry, LazyRegistry } = await import('./metrics/registry.js');
    // What nobody has asked for is loaded when somebody reads it.
    return isWanted ? gatewayRegistry(gateway) : new LazyRegistry(gateway);
  }

  async #openAdmin(gateway: Gateway, plan: AdminPlan, registry: MetricsRegistry | undefined): Promise<void> {
    const { address, token, hosts, dashboard } = plan;
    this.#token = token === undefined ? undefined : adminTokenOf(this.#plan, token, this.#log);
    const options = {
      hosts,
      dashboard,
      log: this.#log,
      ...(this.#token !== undefined && { token: this.#token }),
      ...(registry !== undefined && { registry }),
    };
    const asked = address ?? defaultAdminAddress;
    const { openAdmin } = await import('./admin/admin-server.js');
    try {
      this.#admin = await openAdmin(gateway, { ...options, address: asked });
    } catch (error) {
      if (address !== undefined || !isTaken(error)) throw error;
      // Another gateway of this machine: nobody asked for this very port.
      this.#admin = await openAdmin(gateway, { ...options, address: asked.replace(/:\d+$/, ':0') });
    }
    const { url } = this.#admin;
    if (address === undefined && !url.endsWith(asked)) {
      this.#log.warn({ url }, `${asked} is taken: the admin server is at ${url}`);
    }
    const opened = this.#admin;
    this.#close.push(() => opened.close());
  }

  async #openControl(gateway: Gateway, control: string | true): Promise<void> {
    const { defaultControlPath } = await import('./control/control-path.js');
    const path = control === true ? defaultControlPath(gateway.name) : control;
    try {
      await this.#openControlAt(gateway, path);
    } catch (error) {
      if (control !== true || !isTaken(error)) throw error;
      // Another gateway of that name and user.
      await this.#openControlAt(gateway, defaultControlPath(`${gateway.name}-${process.pid}`));
    }
  }

  async #openControlAt(gateway: Gateway, path: string): Promise<void> {
    const { openGatewayControl } = await import('./control/control-socket.js');
    const server = await openGatewayControl(gateway, path);
    this.#controlPath = path;
    this.#close.push(() => server.close());
  }
}

/** @throws HawserError ERR_HAWSER_CONFIG. */
export function adminTokenOf(
  { base }: GatewayPlan,
  token: NonNullable<AdminPlan['token']>,
  log: Logger,
): string {
  return readSecret('admin.token', token, base, (message) => log.warn({}, message));
}

function isTaken(error: unknown): boolean {
  return error instanceof HawserError && error.code === 'ERR_HAWSER_ADDRESS_IN_USE';
}
