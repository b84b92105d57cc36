// What is measured of a session server: the health metrics of the source document, "Health Metrics", by the conventions of Prometheus: base units,
// counters end in `_total`. The values of labels are the names that SessionServerStats has.

import type { Histogram, SessionServerStats } from '../server/events.js';

/** Where the metrics come from: a `SessionServer`. */
export interface SessionMetricsSource {
  /** Its name among the gateways of its store. */
  readonly gateway: string;
  readonly stats: SessionServerStats;
}

/** One value of a metric. */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** A metric, and how it is read. */
export type SessionMetric = { readonly name: string; readonly help: string } & (
  | {
      readonly type: 'gauge' | 'counter';
      readonly labels: readonly string[];
      readonly read: (source: SessionMetricsSource) => readonly Sample[];
    }
  /** @property read observations in milliseconds; they are exported in seconds. */
  | { readonly type: 'histogram'; readonly read: (source: SessionMetricsSource) => Histogram }
);

/** Why a KeepAlive did not count; other reasons for which something is dropped are not about heartbeats. */
const keepAliveDrops = ['rateLimited', 'stale', 'skewed'] as const;
const otherDrops = ['undecodable', 'unexpected', 'createLimited', 'overloaded'] as const;

/** All metrics of a session server, each under its own name. */
export const sessionMetrics: readonly SessionMetric[] = [
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
  single('gauge', 'limit', 'Sessions that this gateway keeps at most.', (stats) => stats.maxSessions),
  single(
    'gauge',
    'in_custody',
    'Sessions of gateways that are gone, which this one expires when their grace is over.',
    (stats) => stats.inCustody,
  ),
  single('gauge', 'pending', 'Creates and claims that wait for the store.', (stats) => stats.pending),
  single('gauge', 'serving', 'Whether requests are served: 1 or 0.', (stats) => Number(stats.serving)),
  single(
    'gauge',
    'lease_valid',
    'Whether the lease of this gateway certainly holds: 1, or 0 while its store does not answer.',
    (stats) => Number(stats.leaseValid),
  ),
  single('gauge', 'leader', 'Whether this gateway is the elected one: 1 or 0.', (stats) =>
    Number(stats.isLeader),
  ),
  single('counter', 'created_total', 'Sessions created.', (stats) => stats.created),
  single('counter', 'continued_total', 'Sessions continued by their clients.', (stats) => stats.continued),
  single(
    'counter',
    'claimed_total',
    'Sessions taken over from another gateway, or from before a restart.',
    (stats) => stats.claimed,
  ),
  counterBy(
    'ended_total',
    'end',
    'Sessions that are over: expired without KeepAlive, or closed by their clients.',
    (stats) => ({ expired: stats.expired, closed: stats.closed }),
  ),
  single('counter', 'moved_total', 'Sessions that another gateway has taken over.', (stats) => stats.moved),
  counterBy(
    'rejected_total',
    'reason',
    'Creates and Continues that were rejected, by the reason that was given.',
    (stats) => stats.rejected,
  ),
  counterBy(
    'keepalives_total',
    'result',
    'KeepAlives: ok if they were answered, or why they were dropped.',
    (stats) => ({ ok: stats.keepAlives, ...pick(stats.dropped, keepAliveDrops) }),
  ),
  single(
    'counter',
    'warnings_total',
    'Times that a session had no KeepAlive for the warning threshold.',
    (stats) => stats.warnings,
  ),
  counterBy(
    'messages_dropped_total',
    'reason',
    'Messages that were dropped, other than KeepAlives, by reason.',
    (stats) => pick(stats.dropped, otherDrops),
  ),
  counterBy(
    'requests_total',
    'outcome',
    'Requests: committed, answered again from what is kept, refused, or discarded since their commit lost.',
    ({ committed, repeated, refused, discarded }) => ({ committed, repeated, refused, discarded }),
  ),
  single('counter', 'queries_total', 'Queries.', (stats) => stats.queries),
  single(
    'counter',
    'server_requests_sent_total',
    'Server requests sent, again included.',
    (stats) => stats.serverRequestsSent,
  ),
  single(
    'counter',
    'server_requests_acknowledged_total',
    'Server requests that their clients acknowledged.',
    (stats) => stats.serverRequestsAcknowledged,
  ),
  {
    name: 'hawser_sessions_round_trip_seconds',
    help: 'Round trip to the client, as the transport has measured it, at each KeepAlive.',
    type: 'histogram',
    read: ({ stats }) => stats.roundTripMs,
  },
  {
    name: 'hawser_sessions_clock_skew_seconds',
    help: "First timestamp of each connection less this machine's clock: negative when the client's is behind.",
    type: 'histogram',
    read: ({ stats }) => stats.skewMs,
  },
  {
    name: 'hawser_sessions_cleanup_duration_seconds',
    help: 'How long the clean-up of expired sessions took, each slice of at most 5 ms.',
    type: 'histogram',
    read: ({ stats }) => stats.cleanupMs,
  },
];

/** Without labels. */
function single(
  type: 'gauge' | 'counter',
  name: string,
  help: string,
  value: (stats: SessionServerStats) => number,
): SessionMetric {
  const read = ({ stats }: SessionMetricsSource): Sample[] => [{ labels: {}, value: value(stats) }];
  return { name: `hawser_sessions_${name}`, help, type, labels: [], read };
}

/** A counter with one label. @param values by the values of the label. */
function counterBy(
  name: string,
  label: string,
  help: string,
  values: (stats: SessionServerStats) => Readonly<Record<string, number>>,
): SessionMetric {
  const read = ({ stats }: SessionMetricsSource): Sample[] =>
    Object.entries(values(stats)).map(([each, value]) => ({ labels: { [label]: each }, value }));
  return { name: `hawser_sessions_${name}`, help, type: 'counter', labels: [label], read };
}

function pick<Name extends string>(
  counts: Readonly<Record<Name, number>>,
  names: readonly Name[],
): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, counts[name]]));
}
