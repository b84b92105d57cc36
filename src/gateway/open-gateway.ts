// Opens gateways.

import { checkSignal } from '../base/abort.js';
import { checkFunction, checkOptions } from '../base/check.js';
import type { GatewayConfig } from './config.js';
import { checkGatewayConfig } from './config-check.js';
import { ConfigFile } from './config-file.js';
import { Gateway } from './gateway.js';
import { jsonLogger } from './log/json-logger.js';
import { steadyLogger } from './log/steady-logger.js';
import { GatewaySource } from './source.js';

/** Options of {@link openGateway}. */
export interface OpenGatewayOptions {
  /** Gives up, or ends the gateway at once when it runs. */
  readonly signal?: AbortSignal;
  /** Called once the listeners and layers are there, before the gateway is RUNNING: for listeners of their events. */
  readonly prepared?: (gateway: Gateway) => void;
}

/**
 * Opens a gateway: everything that the configuration names, or nothing.
 *
 * @param config what `loadConfig` has read, or an object, whose paths are relative to the working directory.
 * @returns a promise of the gateway once it is RUNNING.
 * @throws HawserError (rejects) ERR_HAWSER_CONFIG before anything is opened where the configuration is wrong; as `Server.listen` and the stores
 * that it names; ERR_HAWSER_PACKAGE_MISSING; ERR_HAWSER_ABORTED. What a handler throws.
 */
export async function openGateway(
  config: GatewayConfig | ConfigFile = {},
  options: OpenGatewayOptions = {},
): Promise<Gateway> {
  checkOptions('options', options, ['signal', 'prepared']);
  const signal = checkSignal(options.signal);
  const prepared = options.prepared === undefined ? undefined : checkFunction('prepared', options.prepared);
  const gateway = new Gateway(sourceOf(config));
  await gateway.open(signal, prepared);
  signal?.addEventListener('abort', () => void gateway.close(), { once: true });
  return gateway;
}

function sourceOf(config: GatewayConfig | ConfigFile): GatewaySource {
  const isFile = config instanceof ConfigFile;
  const base = process.cwd();
  const plan = isFile ? config.plan : checkGatewayConfig(config, base);
  const { level, logger } = plan.log;
  const ownLog = logger === undefined ? jsonLogger({ level, name: plan.name }) : undefined;
  const log = ownLog ?? (logger && steadyLogger(logger));
  if (log === undefined) throw new Error('there is no logger');
  const read = async () => (isFile ? (await config.read()).plan : checkGatewayConfig(config, base));
  return new GatewaySource({ plan, file: isFile ? config.file : undefined, read, log, ownLog });
}
