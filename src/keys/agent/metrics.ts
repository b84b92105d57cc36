// What is measured of an SAE, by the conventions of Prometheus. Of its peers there are sums only: ids of SAEs are no labels, nor are those of keys.

import { type Metric, MetricMaker } from '../../base/metrics.js';
import { type MetricsRegistry, registerMetrics } from '../../base/prometheus.js';
import type { DropCounts, PeerStatus, SaeStatus } from './status.js';

const make: MetricMaker<SaeStatus> = new MetricMaker('keys');

/** All metrics of an SAE. */
export const keysMetrics: readonly Metric<SaeStatus>[] = [
  make.gaugeBy('peers', 'state', 'Peers of this SAE, by whether there is a way to them.', ({ peers }) => {
    const linked = peers.filter((peer) => peer.linked).length;
    return { linked, unlinked: peers.length - linked };
  }),
  make.gauge(
    'peers_not_ready',
    'Peers whose device has not been set up.',
    countOf((peer) => !peer.ready),
  ),
  make.gauge(
    'peers_failed_closed',
    'Peers with which traffic is stopped for want of a key.',
    countOf((peer) => peer.failedClosed),
  ),
  make.gauge(
    'peers_without_key',
    'Peers with which no key is in production.',
    countOf((peer) => peer.productionKeyId === null),
  ),
  make.gauge(
    'sessions',
    'Sessions of key rotation that are under way.',
    countOf((peer) => peer.session !== undefined),
  ),
  make.gaugeBy('keys', 'status', 'Keys in the store, by status.', ({ peers }) =>
    sumOf(peers.map(({ keys }) => keys)),
  ),
  make.counterBy(
    'rotations_total',
    'result',
    'Rotations that came about, and that did not. Goes back when a peer is removed.',
    ({ peers }) => ({
      completed: total(peers, (peer) => peer.rotations),
      failed: total(peers, (peer) => peer.failures),
    }),
  ),
  make.gauge(
    'next_expiry_timestamp_seconds',
    'When the first of the keys in production expires, in Unix seconds; none while no key does.',
    ({ peers }) => earliest(peers.map((peer) => peer.productionExpiresAtMs)),
  ),
  make.gauge(
    'next_rotation_timestamp_seconds',
    'When the next rotation begins by itself, in Unix seconds; none when none will.',
    ({ peers }) => earliest(peers.map((peer) => peer.nextBeginAtMs)),
  ),
  make.gauge(
    'clock_difference_seconds',
    'The greatest difference to the clock of a peer, as measured in its last session.',
    ({ peers }) => greatest(peers.map(({ clock }) => Math.abs(clock?.offsetMs ?? 0))) / msPerSecond,
  ),
  make.counterBy(
    'messages_total',
    'kind',
    'Messages: received, sent, or not sent since there was no way.',
    ({ peers }) => ({
      received: total(peers, (peer) => peer.received),
      sent: total(peers, (peer) => peer.sent),
      unsent: total(peers, (peer) => peer.unsent),
    }),
  ),
  make.counterBy('messages_dropped_total', 'reason', 'Messages without an effect, by reason.', (status) =>
    sumOf([status.dropped, ...status.peers.map(({ dropped }) => dropped)]),
  ),
];

const msPerSecond = 1000;

function countOf(isCounted: (peer: PeerStatus) => boolean): (status: SaeStatus) => number {
  return ({ peers }) => peers.filter(isCounted).length;
}

function total(peers: readonly PeerStatus[], value: (peer: PeerStatus) => number): number {
  return peers.reduce((sum, peer) => sum + value(peer), 0);
}

function sumOf(counts: readonly (DropCounts | PeerStatus['keys'])[]): Record<string, number> {
  const sums = new Map<string, number>();
  for (const each of counts) {
    for (const [name, count] of Object.entries(each)) sums.set(name, (sums.get(name) ?? 0) + count);
  }
  return Object.fromEntries(sums);
}

function greatest(values: readonly number[]): number {
  return values.reduce((most, each) => Math.max(most, each), 0);
}

/** @returns in Unix seconds; undefined where there is none. */
function earliest(instantsMs: readonly (number | null)[]): number | undefined {
  const known = instantsMs.filter((each) => each !== null);
  if (known.length === 0) return undefined;
  return known.reduce((first, each) => Math.min(first, each)) / msPerSecond;
}

/**
 * Puts all metrics of an SAE into a registry of prom-client. They are read when the registry is.
 *
 * @param sae an `Sae`: its `status()`.
 * @param registry a `Registry` of prom-client 15, one for each SAE.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerKeysMetrics(sae: { status(): SaeStatus }, registry: MetricsRegistry): void {
  registerMetrics(keysMetrics, () => sae.status(), registry);
}
