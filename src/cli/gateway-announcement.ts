// What `hawser gateway` says when it has begun.

import type { Wire } from '../base/wire.js';
import { formatKey, type ServerKey } from '../token/server-key.js';
import { driverReport, driverText, type GatewayDriverValues } from './driver.js';
import { type NetcodePlan, refusalNotice, secondText } from './gateway-netcode.js';
import type { GatewaySessions } from './gateway-sessions.js';
import type { AnyServer } from './gateway-status.js';
import type { HttpEndpoint } from './http.js';
import { impairmentNotice, type NetworkProfile } from './network-profile.js';
import { count, painter } from './terminal.js';

/** A gateway that listens, and what it was started with. */
export interface Announced {
  readonly server: AnyServer;
  readonly values: GatewayDriverValues & {
    readonly maxPeers: number;
    readonly simulate: NetworkProfile | undefined;
  };
  readonly wires: readonly Wire[];
  readonly key: ServerKey;
  /** The key was made for this run. */
  readonly madeKey: boolean;
  /** undefined where netcode is not spoken. */
  readonly netcode: NetcodePlan | undefined;
  readonly sessions: GatewaySessions | undefined;
}

/** The HTTP servers beside it. */
export interface Endpoints {
  readonly http: HttpEndpoint | undefined;
  readonly metrics: HttpEndpoint | undefined;
}

/** For programs. */
export function listeningEvent(
  { server, values, wires, sessions }: Announced,
  tokensFrom: number | undefined,
  { http, metrics }: Endpoints,
): Readonly<Record<string, unknown>> {
  return {
    event: 'listening',
    address: server.address,
    wires,
    ...driverReport(values),
    http: http?.url ?? null,
    ...(sessions && {
      store: sessions.plan.store.text,
      advertise: sessions.advertise,
      cluster: sessions.plan.cluster,
      metrics: metrics?.url ?? null,
    }),
    ...(tokensFrom === undefined ? {} : { netcodeTokensFrom: secondText(tokensFrom) }),
    ...(values.simulate === undefined ? {} : { notice: impairmentNotice(values.simulate) }),
  };
}

/** For people. */
export function announce(announced: Announced, tokensFrom: number | undefined, endpoints: Endpoints): void {
  const { values, key, madeKey, netcode } = announced;
  const paint = painter(process.stdout);
  const rows = [
    ...transportRows(announced),
    ...sessionRows(announced),
    ...endpointRows(endpoints),
    ['key', madeKey ? `${key.id}, new, for this run only` : String(key.id)],
  ];
  // Only where nobody could get a token otherwise is a key that was made just now worth showing.
  if (madeKey && endpoints.http === undefined) rows.push(['', formatKey(key)]);
  for (const [name = '', value = ''] of rows)
    process.stdout.write(`${paint('dim', name.padEnd(8))} ${value}\n`);
  if (netcode !== undefined && tokensFrom !== undefined)
    process.stdout.write(`${refusalNotice(netcode, tokensFrom)}\n`);
  if (values.simulate !== undefined) process.stdout.write(`${impairmentNotice(values.simulate)}\n`);
}

type Row = readonly string[];

function transportRows({ server, values, wires, netcode }: Announced): Row[] {
  const paint = painter(process.stdout);
  const { address, protocolId, publicAddresses } = server;
  return [
    [
      'gateway',
      `udp ${paint('bold', address)}, protocol id ${protocolId}, up to ${count(values.maxPeers)} peers`,
    ],
    ['driver', driverText(values)],
    ...(netcode === undefined ? [] : [['speaks', wires.join(' and ')]]),
    ...(publicAddresses.join() === address ? [] : [['public', publicAddresses.join(', ')]]),
  ];
}

function sessionRows({ sessions }: Announced): Row[] {
  if (sessions === undefined) return [];
  const { store, cluster } = sessions.plan;
  const where = store.type === 'memory' ? 'in memory' : `in ${store.text}`;
  const shared = store.type === 'etcd' ? `, as ${sessions.advertise}, cluster ${cluster}` : '';
  return [['sessions', `${where}${shared}`]];
}

function endpointRows({ http, metrics }: Endpoints): Row[] {
  return [
    ['tokens', http === undefined ? 'no endpoint (--http off)' : `POST ${http.url}/token (for development)`],
    ...(http === undefined ? [] : [['health', `GET ${http.url}/healthz`]]),
    ...(metrics === undefined ? [] : [['metrics', `GET ${metrics.url}/metrics`]]),
  ];
}
