// What `hawser gateway` says when it has begun.

import type { Gateway } from '../gateway/gateway.js';
import type { GatewaySnapshot, ListenerSnapshot } from '../gateway/snapshot.js';
import { driverText } from './driver.js';
import { refusalNotice, secondText } from './gateway-netcode.js';
import { impairmentNotice, type NetworkProfile } from './network-profile.js';
import { plural } from './sae-lines.js';
import { count, painter } from './terminal.js';

/** What of the start the gateway does not know. */
export interface Announced {
  /** Of a key that was made for this run. */
  readonly madeKey: string | undefined;
  readonly simulate: NetworkProfile | undefined;
}

/** For programs. */
export function listeningEvent(gateway: Gateway, { simulate }: Announced): Readonly<Record<string, unknown>> {
  const { listeners, layers, configFile } = gateway.snapshot();
  const [first] = listeners;
  const { tokens, admin, metrics, control } = gateway.urls;
  const tokensFrom = gateway.netcodeTokens(first?.name ?? '')?.tokensFromMs;
  return {
    event: 'listening',
    address: first?.address,
    ...(listeners.length > 1 && {
      listeners: listeners.map(({ name, address, layers: served }) => ({ name, address, layers: served })),
    }),
    wires: first?.wires,
    driver: first?.driver,
    ...(first?.driver === 'threads' && { threads: first.threads }),
    http: tokens ?? null,
    ...(layers.sessions && {
      store: layers.sessions.store,
      advertise: layers.sessions.gateway,
      cluster: layers.sessions.cluster,
    }),
    ...((layers.sessions !== undefined || metrics !== undefined) && { metrics: metrics ?? null }),
    ...(admin !== undefined && { admin }),
    ...(control !== undefined && { control }),
    ...(configFile !== null && { config: configFile }),
    ...(tokensFrom === undefined ? {} : { netcodeTokensFrom: secondText(tokensFrom) }),
    ...(simulate === undefined ? {} : { notice: impairmentNotice(simulate) }),
  };
}

/** For people. */
export function announce(gateway: Gateway, { madeKey, simulate }: Announced): void {
  const paint = painter(process.stdout);
  const snapshot = gateway.snapshot();
  const { tokens } = gateway.urls;
  const { ids, made } = gateway.keys;
  const isNew = made || madeKey !== undefined;
  const rows = [
    ...snapshot.listeners.flatMap((listener) =>
      transportRows(gateway, listener, snapshot.listeners.length > 1),
    ),
    ...layerRows(snapshot),
    ...endpointRows(gateway, snapshot),
    ['key', isNew ? `${ids[0]}, new, for this run only` : ids.join(', ')],
  ];
  // Only where nobody could get a token otherwise is a key that was made just now worth showing.
  if (madeKey !== undefined && tokens === undefined) rows.push(['', madeKey]);
  for (const [name = '', value = ''] of rows)
    process.stdout.write(`${paint('dim', name.padEnd(8))} ${value}\n`);
  for (const { name } of snapshot.listeners) {
    const netcode = gateway.netcodeTokens(name);
    if (netcode?.tokensFromMs !== undefined)
      process.stdout.write(`${refusalNotice(netcode, netcode.tokensFromMs)}\n`);
  }
  if (simulate !== undefined) process.stdout.write(`${impairmentNotice(simulate)}\n`);
}

type Row = readonly string[];

function transportRows(gateway: Gateway, listener: ListenerSnapshot, several: boolean): Row[] {
  const paint = painter(process.stdout);
  const { name, address, publicAddresses, maxPeers, driver, threads, wires, layers } = listener;
  const which = several ? `${name}: ` : '';
  return [
    [
      'gateway',
      `${which}udp ${paint('bold', address)}, protocol id ${gateway.protocolId}, up to ${count(maxPeers)} peers`,
    ],
    ...(several || layers.length > 1 ? [['layers', layers.join(', ')]] : []),
    ['driver', driverText({ driver, threads })],
    ...(wires.includes('netcode') ? [['speaks', wires.join(' and ')]] : []),
    ...(publicAddresses.join() === address ? [] : [['public', publicAddresses.join(', ')]]),
  ];
}

function layerRows({ layers }: GatewaySnapshot): Row[] {
  const { sessions, keys } = layers;
  const rows: Row[] = [];
  if (sessions !== undefined) {
    const where = sessions.store === 'memory' ? 'in memory' : `in ${sessions.store}`;
    const isShared = sessions.store.startsWith('etcd');
    rows.push([
      'sessions',
      `${where}${isShared ? `, as ${sessions.gateway}, cluster ${sessions.cluster}` : ''}`,
    ]);
  }
  if (keys !== undefined) rows.push(['keys', `SAE ${keys.saeId}, with ${plural(keys.peers.length, 'peer')}`]);
  return rows;
}

function endpointRows(gateway: Gateway, { configFile }: GatewaySnapshot): Row[] {
  const { tokens, admin, metrics } = gateway.urls;
  return [
    ...(configFile === null ? [] : [['config', configFile]]),
    ['tokens', tokens === undefined ? 'no endpoint' : `POST ${tokens}/token (for development)`],
    ...(tokens === undefined ? [] : [['health', `GET ${tokens}/healthz`]]),
    ...(admin === undefined ? [] : [['admin', `${admin} (dashboard, health, metrics)`]]),
    ...(metrics === undefined ? [] : [['metrics', `GET ${metrics}/metrics`]]),
  ];
}
