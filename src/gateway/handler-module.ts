// The user's module: what a gateway does with messages, and what the layers ask of it.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { argumentError, checkString, describe } from '../base/check.js';
import type { LayerName } from './config.js';
import { configError } from './config-values.js';
import type { GatewayHandlers } from './handlers.js';

const names = [
  'setup',
  'interaction',
  'agentOf',
  'identityOf',
  'saeOf',
  'onRequest',
  'onQuery',
  'onExpire',
  'allowIndex',
  'onMetadata',
  'onContext',
] as const;
const maxPathLength = 4096;

/** The setting `handlers`. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkHandlers(value: unknown): string | GatewayHandlers | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'string') return checkString('handlers', value, 1, maxPathLength);
  if (typeof value !== 'object' || value === null) {
    throw argumentError('handlers', 'the path of a module, or an object of functions', describe(value));
  }
  for (const key of Object.keys(value)) {
    if (!names.some((name) => name === key))
      throw argumentError('handlers', `an object with ${names.join(', ')}`, `${describe(key)} in it`);
  }
  return functionsOf(value, 'handlers');
}

/**
 * Loads them, where they are a module.
 *
 * @param base the directory that its path is relative to.
 * @throws HawserError (rejects) ERR_HAWSER_CONFIG when it cannot be loaded, or exports nothing that a gateway calls.
 */
export async function loadHandlers(
  given: string | GatewayHandlers | undefined,
  base: string,
): Promise<GatewayHandlers> {
  if (given === undefined) return {};
  if (typeof given === 'object') return given;
  const exported = await importModule(given, base);
  const handlers = functionsOf(exported, `the handler ${given}`);
  const { default: main } = exported;
  if (main !== undefined && typeof main === 'object' && main !== null) {
    return { ...functionsOf(main, `the default export of the handler ${given}`), ...handlers };
  }
  if (main !== undefined && typeof main !== 'function') {
    throw configError(
      `the handler ${given} must export a function (server, context) => void, or an object of functions, as its default; got ${describe(main)}`,
    );
  }
  const setup = handlers.setup ?? functionsOf({ setup: main }, `the handler ${given}`).setup;
  if (setup === undefined && Object.keys(handlers).length === 0) {
    throw configError(
      `the handler ${given} must export a function (server, context) => void as its default, or some of ${names.join(', ')}`,
    );
  }
  return { ...handlers, ...(setup !== undefined && { setup }) };
}

/** Which functions are of which layer. */
const layerOf = {
  interaction: 'interaction',
  agentOf: 'sync',
  allowIndex: 'sync',
  onMetadata: 'sync',
  onContext: 'sync',
  identityOf: 'sessions',
  onRequest: 'sessions',
  onQuery: 'sessions',
  onExpire: 'sessions',
  saeOf: 'keys',
} as const;

/** @throws HawserError ERR_HAWSER_CONFIG for a function that nobody would call. */
export function checkCalled(handlers: GatewayHandlers, isServed: (layer: LayerName) => boolean): void {
  for (const [name, layer] of Object.entries(layerOf)) {
    if (!(name in handlers) || isServed(layer)) continue;
    throw configError(`handlers.${name} is of the layer '${layer}', which no listener has`);
  }
}

async function importModule(path: string, base: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(resolve(base, path)).href);
  } catch (error) {
    // A module that is not there is a slip; one that throws needs its stack to be mended.
    const missing = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    const reason = error instanceof Error ? (missing ? error.message : error.stack) : String(error);
    throw configError(`cannot load the handler ${path}: ${reason}`, error);
  }
}

/** Those that are there. What they take and return is checked by who calls them. */
function functionsOf(exported: object, what: string): GatewayHandlers {
  const found: Record<string, unknown> = {};
  for (const name of names) {
    const value: unknown = Reflect.get(exported, name);
    if (value === undefined) continue;
    if (typeof value !== 'function')
      throw configError(`${what}: ${name} must be a function; got ${describe(value)}`);
    found[name] = value.bind(exported);
  }
  return found;
}
