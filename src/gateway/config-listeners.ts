// The listeners of a configuration: each checked on its own, then all of them together.

import { argumentError, checkArray, checkOneOf, checkOptions, describe } from '../base/check.js';
import { wires as knownWires } from '../base/wire.js';
import { type ChannelMap, defaultChannels } from '../transport/channels.js';
import { checkServerOptions } from '../transport/options.js';
import type { LayerName } from './config.js';
import { readChannels } from './config-channels.js';
import { asConfig, configError, readAddress, readSecretPlace } from './config-values.js';
import { gatewayChannels, layerNames } from './layers/channels.js';
import type { LimitsPlan, ListenerOptions, ListenerPlan } from './plan.js';

/** Options of the transport that are checked by it, and passed on. */
const passedNames = [
  'maxHalfOpen',
  'serverIndex',
  'sameClient',
  'clockSkewMs',
  'restartGuardMs',
  'freshKeys',
  'maxTokenLifetimeMs',
  'netcode',
  'driver',
  'threads',
  'spinMicros',
  'congestion',
  'creditBytes',
  'channelCreditBytes',
  'maxCreditBytes',
  'maxGrownCreditBytes',
  'maxReassemblyBytes',
  'highWaterBytes',
  'maxQueuedBytes',
  'onQueueFull',
  'maxSendMemoryBytes',
  'dscp',
  'receiveBufferBytes',
  'sendBufferBytes',
  'ipv6Only',
  'connectionIdLength',
  'maxDatagramBytes',
  'reusePort',
  'simulate',
] as const;
const names = [
  'name',
  'address',
  'publicAddresses',
  'wires',
  'layers',
  'channels',
  'resetKey',
  ...passedNames,
];

const maxListeners = 64;
const defaultAddress = '127.0.0.1:4433';
const namePattern = /^[A-Za-z0-9_-]{1,64}$/;
/** For the checks of the transport: the real ones are secrets, which are read later. */
const anyKey = { id: 0, key: new Uint8Array(32) };

/** What of the rest of the configuration a listener goes by. */
export interface ListenerSurroundings {
  /** The layers that are configured, of those that have a section. */
  readonly configured: readonly LayerName[];
  readonly limits: LimitsPlan;
}

/** @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_CONFIG. */
export function readListeners(value: unknown, around: ListenerSurroundings): GatewayListeners {
  const given = checkArray('listeners', value ?? [{}], 1, maxListeners);
  const [first, ...others] = given.map((each, index) =>
    readListener(`listeners[${index}]`, each, index, around),
  );
  if (first === undefined)
    throw argumentError('listeners', `an array of 1 to ${maxListeners}`, 'an array of 0');
  const listeners: GatewayListeners = [first, ...others];
  listeners.forEach(({ name, address, options }, index) => {
    const twin = listeners.findIndex((other) => other.name === name);
    if (twin < index) throw configError(`listeners[${index}].name: '${name}' is that of listeners[${twin}]`);
    const other = listeners.findIndex((each) => each.address === address && !address.endsWith(':0'));
    if (other < 0 || other >= index || options.reusePort === true) return;
    throw configError(`listeners[${index}].address: ${address} is that of listeners[${other}]`);
  });
  return listeners;
}

type GatewayListeners = readonly [ListenerPlan, ...ListenerPlan[]];

function readListener(
  path: string,
  value: unknown,
  index: number,
  { configured, limits }: ListenerSurroundings,
): ListenerPlan {
  const given = checkOptions(path, value, names);
  if (given.address === undefined && index > 0) {
    throw configError(`${path}.address is missing: only the first listener has one by default`);
  }
  const address = readAddress(`${path}.address`, given.address ?? defaultAddress);
  const wires = checkArray(`${path}.wires`, given.wires ?? ['hawser'], 1, knownWires.length).map((wire, at) =>
    checkOneOf(`${path}.wires[${at}]`, wire, knownWires),
  );
  const layers = readLayers(path, given.layers, given.channels !== undefined, configured);
  if (wires.includes('netcode') && layers.some((layer) => layer !== 'messages')) {
    const other = layers.find((layer) => layer !== 'messages');
    throw configError(`${path}.wires: the layer '${other}' needs reliable channels, which netcode has not`);
  }
  const messageChannels = readMessageChannels(path, given.channels, layers);
  const channels = asConfig(() => gatewayChannels(layers, messageChannels), `${path}.`);
  const publicAddresses = checkArray(`${path}.publicAddresses`, given.publicAddresses ?? [], 0, 1024).map(
    (each, at) => readAddress(`${path}.publicAddresses[${at}]`, each),
  );
  const passed = passedNames.filter((name) => given[name] !== undefined);
  // The transport looks at each of them below.
  const options: ListenerOptions = Object.fromEntries([
    ...passed.map((name) => [name, given[name]]),
    ['address', address],
    ['wires', wires],
    ...(publicAddresses.length > 0 ? [['publicAddresses', publicAddresses]] : []),
  ]);
  asConfig(
    () => checkServerOptions({ ...options, ...limits, channels, protocolId: 1n, keys: [anyKey] }),
    `${path}.`,
  );
  return {
    name: readName(`${path}.name`, given.name ?? (index === 0 ? 'udp' : `udp${index + 1}`)),
    address,
    publicAddresses,
    wires,
    layers,
    messageChannels,
    channels,
    resetKey: given.resetKey === undefined ? undefined : readSecretPlace(`${path}.resetKey`, given.resetKey),
    options,
  };
}

/** The names of listeners, and of gateways. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function readName(path: string, value: unknown): string {
  if (typeof value === 'string' && namePattern.test(value)) return value;
  throw argumentError(path, '1 to 64 letters, digits, - and _', describe(value));
}

function readLayers(
  path: string,
  value: unknown,
  hasChannels: boolean,
  configured: readonly LayerName[],
): readonly LayerName[] {
  if (value === undefined) {
    const messages = hasChannels || configured.length === 0;
    return messages ? ['messages', ...configured] : configured;
  }
  const layers = checkArray(`${path}.layers`, value, 1, layerNames.length).map((layer, at) =>
    checkOneOf(`${path}.layers[${at}]`, layer, layerNames),
  );
  const twice = layers.findIndex((layer, at) => layers.indexOf(layer) < at);
  if (twice >= 0) throw configError(`${path}.layers[${twice}]: '${layers[twice]}' is there twice`);
  for (const layer of ['sync', 'keys'] as const) {
    if (!layers.includes(layer) || configured.includes(layer)) continue;
    const section = layer === 'keys' ? 'sae' : layer;
    throw configError(
      `${path}.layers[${layers.indexOf(layer)}]: the layer '${layer}' needs the section '${section}'`,
    );
  }
  return layers;
}

function readMessageChannels(path: string, value: unknown, layers: readonly LayerName[]): ChannelMap {
  if (layers.includes('messages')) {
    return value === undefined ? defaultChannels : readChannels(`${path}.channels`, value);
  }
  if (value === undefined) return {};
  throw configError(`${path}.channels goes with the layer 'messages', which ${path}.layers has not`);
}
