// What is measured of a manager, by the conventions of Prometheus.

import { type Metric, MetricMaker } from '../../base/metrics.js';
import { type MetricsRegistry, registerMetrics } from '../../base/prometheus.js';
import type { Counts, SyncManagerStats } from './events.js';

const make: MetricMaker<SyncManagerStats> = new MetricMaker('sync');

/** All metrics of a manager. */
export const syncMetrics: readonly Metric<SyncManagerStats>[] = [
  make.gauge('connections', 'Connections of agents.', ({ connections }) => connections),
  make.gauge('sessions', 'Sessions that have begun and not ended.', ({ sessions }) => sessions),
  make.gauge('committing', 'Sessions that are being applied.', ({ committing }) => committing),
  make.gauge('announced_items', 'Items that the sessions under way have announced.', ({ items }) => items),
  make.gauge('staged_bytes', 'Bytes that are staged of the sessions under way.', ({ bytes }) => bytes),
  make.gaugeBy(
    'waiting_agents',
    'state',
    'Agents that wait for their turn to begin a session: held, if their Start is kept, or told to come again.',
    ({ waiting, held }) => ({ held, postponed: waiting - held }),
  ),
  make.counter('messages_total', 'Messages that came.', count('messages')),
  make.counterBy(
    'messages_refused_total',
    'reason',
    'Messages that had no effect, by reason.',
    ({ counts }) => ({
      malformed: counts.malformed,
      unexpected: counts.unexpected,
      unknownSession: counts.unknownSession,
      foreignSession: counts.foreignSession,
    }),
  ),
  make.counterBy(
    'starts_total',
    'result',
    'Starts of agents: a new session, one that went on, postponed (Offline) or refused (Error).',
    ({ counts: { started, resumed, postponed, refused } }) => ({ started, resumed, postponed, refused }),
  ),
  make.counterBy(
    'sessions_ended_total',
    'result',
    'Sessions that are over: applied or answered with Ok, failed, forgotten after a silence, or superseded by a newer Start.',
    ({ counts: { succeeded, failed, expired, superseded } }) => ({ succeeded, failed, expired, superseded }),
  ),
  make.counter(
    'sessions_gave_way_total',
    'Times that a session was put off while others waited, for hardly anything came of it.',
    count('gaveWay'),
  ),
  make.counterBy('items_total', 'kind', 'Items that arrived, by whether they were of use.', ({ counts }) => ({
    received: counts.itemsReceived,
    duplicate: counts.itemsDuplicate,
    beyond: counts.itemsBeyond,
    withoutRoom: counts.itemsWithoutRoom,
  })),
  make.counterBy(
    'items_committed_total',
    'result',
    'Items of sessions that are over: applied, or rejected since they were invalid or not allowed.',
    ({ counts: { itemsApplied, itemsRejected } }) => ({ applied: itemsApplied, rejected: itemsRejected }),
  ),
  make.counter('retransmissions_requested_total', 'Retransmissions that were asked for.', count('reqRets')),
  make.counter('answers_lost_total', 'Answers that could not be sent.', count('answersLost')),
  make.counter('store_failures_total', 'Failures of the store.', count('storeFailures')),
  make.counter('hook_failures_total', 'Failures of functions of the application.', count('hookFailures')),
  make.counter('lines_suppressed_total', 'Lines of the log that were not told.', count('suppressed')),
];

function count(name: keyof Counts): (stats: SyncManagerStats) => number {
  return ({ counts }) => counts[name];
}

/**
 * Puts all metrics of a manager into a registry of prom-client. They are read when the registry is.
 *
 * @param manager a `SyncManager`: its `stats`.
 * @param registry a `Registry` of prom-client 15, one for each manager.
 * @throws HawserError ERR_HAWSER_ARGUMENT when the registry has a metric of that name already: nothing is put into it.
 */
export function registerSyncMetrics(
  manager: { readonly stats: SyncManagerStats },
  registry: MetricsRegistry,
): void {
  registerMetrics(syncMetrics, () => manager.stats, registry);
}
