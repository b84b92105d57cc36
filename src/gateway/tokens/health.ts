// What the token endpoint says of its gateway: for development, where nobody opens the admin server.

import type { GatewaySnapshot } from '../snapshot.js';

export type Health = Readonly<Record<string, unknown>> & { readonly status: 'ok' | 'draining' };

/** @param protocolId of the gateway. */
export function healthOf(
  { state, listeners, layers, startedAtMs, process }: GatewaySnapshot,
  protocolId: bigint,
): Health {
  const [first] = listeners;
  const { driver, threads, wires = [], peersByWire, maxPeers = 0 } = first ?? {};
  return {
    status: state === 'RUNNING' || state === 'STARTING' ? 'ok' : 'draining',
    address: first?.address,
    ...(listeners.length > 1 && { addresses: listeners.map(({ address }) => address) }),
    protocolId: String(protocolId),
    peers: listeners.reduce((sum, { peers }) => sum + peers, 0),
    ...(wires.length > 1 && { peersByWire }),
    maxPeers,
    driver,
    ...(driver === 'threads' && { threads }),
    uptimeSeconds: Math.round((Date.now() - startedAtMs) / 1000),
    rssBytes: process.rssBytes,
    ...(layers.sessions !== undefined && { sessions: sessionCounts(layers.sessions) }),
  };
}

/** Without the distributions. */
export function sessionCounts(
  sessions: NonNullable<GatewaySnapshot['layers']['sessions']>,
): Readonly<Record<string, unknown>> {
  const { skewMs: _skew, cleanupMs: _cleanup, roundTripMs: _roundTrip, ...counts } = sessions;
  const { gateway: _gateway, store: _store, cluster: _cluster, members: _members, ...rest } = counts;
  return rest;
}
