// Checks a whole configuration before anything is opened: names, types, ranges, and what has to agree.

import { resolve } from 'node:path';
import { parseAddress } from '../base/address.js';
import {
  argumentError,
  checkArray,
  checkBoolean,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkString,
  describeSecret,
} from '../base/check.js';
import { HawserError } from '../base/errors.js';
import type { CapturePlan } from './capture/captures.js';
import type { LayerName } from './config.js';
import { readListeners, readName } from './config-listeners.js';
import { readSessions, readSync } from './config-sections.js';
import {
  asConfig,
  configError,
  readAddress,
  readDestination,
  readSecretPlace,
  readU64,
} from './config-values.js';
import { checkHandlers } from './handler-module.js';
import { checkLogger } from './log/check-logger.js';
import { logLevels } from './log/logger.js';
import { type AdminPlan, type DrainPlan, type GatewayPlan, type LimitsPlan, serves } from './plan.js';
import { readGatewaySae } from './sae/config.js';

const names = [
  'name',
  'protocolId',
  'keys',
  'listeners',
  'handlers',
  'limits',
  'sync',
  'sessions',
  'sae',
  'tokens',
  'admin',
  'metrics',
  'control',
  'capture',
  'log',
  'openTelemetry',
  'drain',
];

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const maxPathLength = 4096;
const maxU32 = 0xffff_ffff;
export const defaultTokensAddress = '127.0.0.1:4480';
export const defaultAdminAddress = '127.0.0.1:4490';

/**
 * Checks a configuration, of which nothing is known.
 *
 * @param base the directory that its paths are relative to.
 * @throws HawserError ERR_HAWSER_CONFIG: the message begins with the path of what is wrong, and says what is allowed.
 */
export function checkGatewayConfig(value: unknown, base: string): GatewayPlan {
  try {
    return asConfig(() => check(value, base));
  } catch (error) {
    if (error instanceof HawserError) throw error;
    throw configError('the configuration cannot be read: a getter or a proxy in it throws', error);
  }
}

function check(value: unknown, base: string): GatewayPlan {
  const given = checkOptions('the configuration', value, names);
  const sections = { sync: given.sync, sessions: given.sessions, keys: given.sae };
  const configured = (['sync', 'sessions', 'keys'] as const).filter((layer) => sections[layer] !== undefined);
  const limits = readLimits(given.limits ?? {});
  const listeners = readListeners(given.listeners, { configured, limits });
  checkServed(configured, { listeners });
  const keys = given.keys === undefined ? undefined : readKeys(given.keys);
  const handlers = checkHandlers(given.handlers);
  const plan: GatewayPlan = {
    name: readName('name', given.name ?? 'gateway'),
    protocolId: readU64('protocolId', given.protocolId ?? 1),
    keys,
    listeners,
    handlers,
    limits,
    sync: serves({ listeners }, 'sync') ? readSync(given.sync, base) : undefined,
    sessions: serves({ listeners }, 'sessions') ? readSessions(given.sessions ?? {}, base) : undefined,
    sae: serves({ listeners }, 'keys') ? readGatewaySae(given.sae, base) : undefined,
    tokens: readTokens(given.tokens ?? false),
    admin: readAdmin(given.admin ?? true),
    metrics: given.metrics === undefined ? undefined : readMetrics(given.metrics),
    control: readControl(given.control ?? true, base),
    capture: readCapture(given.capture ?? {}),
    log: readLog(given.log ?? {}),
    openTelemetry: checkBoolean('openTelemetry', given.openTelemetry ?? false),
    drain: readDrain(given.drain ?? {}),
    base,
  };
  checkTogether(plan);
  return plan;
}

function checkServed(configured: readonly LayerName[], plan: Pick<GatewayPlan, 'listeners'>): void {
  const idle = configured.find((layer) => !serves(plan, layer));
  if (idle === undefined) return;
  throw configError(
    `${idle === 'keys' ? 'sae' : idle} is configured, but no listener has the layer '${idle}'`,
  );
}

function readLimits(value: unknown): LimitsPlan {
  const given = checkOptions('limits', value, [
    'maxPeers',
    'maxPacketsPerSecondPerPeer',
    'maxBytesPerSecondPerPeer',
  ]);
  const perPeer = (name: 'maxPacketsPerSecondPerPeer' | 'maxBytesPerSecondPerPeer'): number =>
    checkInteger(`limits.${name}`, given[name] ?? 0, 0, maxU32);
  return {
    maxPeers: checkInteger('limits.maxPeers', given.maxPeers ?? 10_000, 1, 1_000_000),
    maxPacketsPerSecondPerPeer: perPeer('maxPacketsPerSecondPerPeer'),
    maxBytesPerSecondPerPeer: perPeer('maxBytesPerSecondPerPeer'),
  };
}

function readKeys(value: unknown): NonNullable<GatewayPlan['keys']> {
  // One key in the place of an array of them is an easy slip.
  if (!Array.isArray(value)) throw argumentError('keys', 'an array of 1 to 64', describeSecret(value));
  return checkArray('keys', value, 1, 64).map((key, index) => readSecretPlace(`keys[${index}]`, key));
}

function readTokens(value: unknown): string | undefined {
  if (typeof value === 'boolean') return value ? defaultTokensAddress : undefined;
  const { address } = checkOptions('tokens', value, ['address']);
  return readAddress('tokens.address', address ?? defaultTokensAddress);
}

function readAdmin(value: unknown): AdminPlan | undefined {
  if (value === false) return undefined;
  // Whoever writes a text here means the token.
  if (typeof value === 'string')
    throw argumentError('admin', 'an object, true or false', describeSecret(value));
  const given = checkOptions('admin', value === true ? {} : value, [
    'address',
    'token',
    'hosts',
    'dashboard',
    'metrics',
  ]);
  const address = given.address === undefined ? undefined : readAddress('admin.address', given.address);
  const token = given.token === undefined ? undefined : readSecretPlace('admin.token', given.token);
  if (address !== undefined && token === undefined && !isLoopback(address)) {
    throw configError(
      `admin.token is missing: ${address} can be reached from elsewhere, where everything but health needs one`,
    );
  }
  return {
    address,
    token,
    hosts: checkArray('admin.hosts', given.hosts ?? [], 0, 64).map((host, index) =>
      checkString(`admin.hosts[${index}]`, host, 1, 255),
    ),
    dashboard: checkBoolean('admin.dashboard', given.dashboard ?? true),
    metrics: given.metrics === undefined ? undefined : checkBoolean('admin.metrics', given.metrics),
  };
}

/** Whether only this machine can reach it. */
export function isLoopback(address: string): boolean {
  const { host } = parseAddress(address);
  return host === '::1' || host.startsWith('127.');
}

function readMetrics(value: unknown): string {
  return readAddress('metrics.address', checkOptions('metrics', value, ['address']).address);
}

function readControl(value: unknown, base: string): string | boolean {
  if (typeof value === 'boolean') return value;
  const path = checkString('control', value, 1, maxPathLength);
  return process.platform === 'win32' ? path : resolve(base, path);
}

function readCapture(value: unknown): CapturePlan {
  const given = checkOptions('capture', value, ['plaintext']);
  return { plaintext: checkBoolean('capture.plaintext', given.plaintext ?? false) };
}

function readLog(value: unknown): GatewayPlan['log'] {
  const given = checkOptions('log', value, ['level', 'events', 'logger']);
  return {
    level: checkOneOf('log.level', given.level ?? 'info', logLevels),
    events: checkBoolean('log.events', given.events ?? true),
    logger: given.logger === undefined ? undefined : checkLogger('log.logger', given.logger),
  };
}

function readDrain(value: unknown): DrainPlan {
  const given = checkOptions('drain', value, ['deadlineMs', 'elsewhere', 'reconnectSpreadMs']);
  return {
    deadlineMs: checkInteger('drain.deadlineMs', given.deadlineMs ?? 10_000, 0, dayMs),
    elsewhere:
      given.elsewhere === undefined ? undefined : readDestination('drain.elsewhere', given.elsewhere),
    reconnectSpreadMs: checkInteger('drain.reconnectSpreadMs', given.reconnectSpreadMs ?? 0, 0, hourMs),
  };
}

// ---- What has to agree ---------------------------------------------------------------------------------------------

function checkTogether(plan: GatewayPlan): void {
  checkPorts(plan);
  const { sessions, listeners } = plan;
  if (sessions?.store.type === 'etcd') {
    if (plan.keys === undefined && !process.env.HAWSER_KEY) {
      throw configError(
        'keys is missing: gateways of a cluster (sessions.store) need the same; a key that is made for this run is of this gateway alone',
      );
    }
    const reached = listeners.find(({ layers }) => layers.includes('sessions'));
    if (
      sessions.advertise === undefined &&
      reached?.publicAddresses.length === 0 &&
      isWildcard(reached.address)
    ) {
      throw configError(
        `sessions.advertise is missing: ${reached.address} names every interface of this machine, and clients of other gateways have to be told one`,
      );
    }
  }
  const interaction = listeners.findIndex(({ layers }) => layers.includes('interaction'));
  if (interaction < 0) return;
  const { handlers } = plan;
  if (handlers === undefined || (typeof handlers === 'object' && handlers.interaction === undefined)) {
    throw configError(
      `handlers.interaction is missing: listeners[${interaction}] has the layer 'interaction', which needs it`,
    );
  }
}

/** Two HTTP servers at one address. */
function checkPorts({ tokens, admin, metrics }: GatewayPlan): void {
  const used = new Map<string, string>();
  for (const [name, address] of [
    ['tokens', tokens],
    ['admin', admin?.address],
    ['metrics', metrics],
  ] as const) {
    if (address === undefined || address.endsWith(':0')) continue;
    const other = used.get(address);
    if (other !== undefined) throw configError(`${name}.address: ${address} is that of ${other}`);
    used.set(address, name);
  }
}

/** Whether a server that is bound there is reached by every address of the machine. */
function isWildcard(address: string): boolean {
  return ['0.0.0.0', '::'].includes(parseAddress(address).host);
}
