// What is measured of a session server: the health metrics of the source document, "Health Metrics", by the conventions of Prometheus. The values
// of labels are the names that SessionServerStats has.

import { type HistogramSample, type Metric, MetricMaker, pick } from '../../base/metrics.js';
import { type MetricsRegistry, registerMetrics } from '../../base/prometheus.js';
import type { Histogram, SessionServerStats } from '../server/events.js';

/** Where the metrics come from: a `SessionServer`. */
export interface SessionMetricsSource {
  /** Its name among the gateways of its store. */
  readonly gateway: string;
  /** What the metrics are made of. */
  readonly stats: SessionServerStats;
}

/** Why a KeepAlive did not count; other reasons for which something is dropped are not about heartbeats. */
const keepAliveDrops = ['rateLimited', 'stale', 'skewed'] as const;
const otherDrops = ['undecodable', 'unexpected', 'createLimited', 'overloaded'] as const;

const make: MetricMaker<SessionMetricsSource> = new MetricMaker('sessions');

/** All metrics of a session server, each under its own name. */
export const sessionMetrics: readonly Metric<SessionMetricsSource>[] = [
  {
    name: 'hawser_sessions_active',
    help: 'Sessions that this gateway owns, by its name and by whether a client is connected.',
    type: 'gauge',
    labels: ['gateway', 'state'],
    read: ({ gateway, stats }) => [
      { labels: { gateway, state: 'connected' }, value: stats.connected },
      { labels: { gateway, state: 'disconnected' }, value: stats.sessions - stats.connected },
    ],
  },
  make.gauge('limit', 'Sessions that this gateway keeps at most.', ({ stats }) => stats.maxSessions),
  make.gauge(
    'in_custody',
    'Sessions of gateways that are gone, which this one expires when their grace is over.',
    ({ stats }) => stats.inCustody,
  ),
  make.gauge('pending', 'Creates and claims that wait for the store.', ({ stats }) => stats.pending),
  make.gauge('serving', 'Whether requests are served: 1 or 0.', ({ stats }) => Number(stats.serving)),
  make.gauge(
    'lease_valid',
    'Whether the lease of this gateway certainly holds: 1, or 0 while its store does not answer.',
    ({ stats }) => Number(stats.leaseValid),
  ),
  make.gauge('leader', 'Whether this gateway is the elected one: 1 or 0.', ({ stats }) =>
    Number(stats.isLeader),
  ),
  make.counter('created_total', 'Sessions created.', ({ stats }) => stats.created),
  make.counter('continued_total', 'Sessions continued by their clients.', ({ stats }) => stats.continued),
  make.counter(
    'claimed_total',
    'Sessions taken over from another gateway, or from before a restart.',
    ({ stats }) => stats.claimed,
  ),
  make.counterBy(
    'ended_total',
    'end',
    'Sessions that are over: expired without KeepAlive, or closed by their clients.',
    ({ stats }) => ({ expired: stats.expired, closed: stats.closed }),
  ),
  make.counter('moved_total', 'Sessions that another gateway has taken over.', ({ stats }) => stats.moved),
  make.counterBy(
    'rejected_total',
    'reason',
    'Creates and Continues that were rejected, by the reason that was given.',
    ({ stats }) => stats.rejected,
  ),
  make.counterBy(
    'keepalives_total',
    'result',
    'KeepAlives: ok if they were answered, or why they were dropped.',
    ({ stats }) => ({ ok: stats.keepAlives, ...pick(stats.dropped, keepAliveDrops) }),
  ),
  make.counter(
    'warnings_total',
    'Times that a session had no KeepAlive for the warning threshold.',
    ({ stats }) => stats.warnings,
  ),
  make.counterBy(
    'messages_dropped_total',
    'reason',
    'Messages that were dropped, other than KeepAlives, by reason.',
    ({ stats }) => pick(stats.dropped, otherDrops),
  ),
  make.counterBy(
    'requests_total',
    'outcome',
    'Requests: committed, answered again from what is kept, refused, or discarded since their commit lost.',
    ({ stats: { committed, repeated, refused, discarded } }) => ({ committed, repeated, refused, discarded }),
  ),
  make.counter('queries_total', 'Queries.', ({ stats }) => stats.queries),
  make.counter(
    'server_requests_sent_total',
    'Server requests sent, again included.',
    ({ stats }) => stats.serverRequestsSent,
  ),
  make.counter(
    'server_requests_acknowledged_total',
    'Server requests that their clients acknowledged.',
    ({ stats }) => stats.serverRequestsAcknowledged,
  ),
  make.histogram(
    'round_trip_seconds',
    'Round trip to the client, as the transport has measured it, at each KeepAlive.',
    ({ stats }) => observed(stats.roundTripMs),
  ),
  make.histogram(
    'clock_skew_seconds',
    "First timestamp of each connection less this machine's clock: negative when the client's is behind.",
    ({ stats }) => observed(stats.skewMs),
  ),
  make.histogram(
    'cleanup_duration_seconds',
    'How long the clean-up of expired sessions took, each slice of at most 5 ms.',
    ({ stats }) => observed(stats.cleanupMs),
  ),
];

/** Where observations can be negative, their sum would not only grow: OpenMetrics has none then. */
function observed({ bounds, counts, sum }: Histogram): Omit<HistogramSample, 'labels'> {
  const all = [...bounds, Number.POSITIVE_INFINITY];
  return { bounds: all, counts, sum: (bounds[0] ?? 0) < 0 ? undefined : sum };
}

/**
 * Puts all metrics of a session server into a registry: the health metrics of the source document, "Health Metrics", and what the alerts in
 * `docs/alerts/sessions.rules.yml` need. They are read when the registry is.
 *
 * @param server a `SessionServer`: its `gateway` and `stats`.
 * @param registry a `Registry` of prom-client 15, one for each server.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerSessionMetrics(server: SessionMetricsSource, registry: MetricsRegistry): void {
  registerMetrics(sessionMetrics, () => server, registry);
}
