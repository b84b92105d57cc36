import { Counter, type OpenMetricsContentType, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { registerSessionMetrics, sessionMetrics } from '../../../src/sessions/health/metrics.js';
import { dropReasons, type SessionServerStats } from '../../../src/sessions/server/events.js';
import { madeUpServer } from './made-up-server.js';

async function textOf(stats: SessionServerStats = madeUpServer.stats): Promise<string> {
  const registry = new Registry();
  registerSessionMetrics({ ...madeUpServer, stats }, registry);
  return await registry.metrics();
}

/** The lines with values. */
async function seriesOf(stats?: SessionServerStats): Promise<readonly string[]> {
  return (await textOf(stats)).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('every count of a server is a metric, by the conventions of Prometheus', async () => {
  expect(await seriesOf()).toEqual([
    'hawser_sessions_active{gateway="gateway \\"1\\"",state="connected"} 101',
    'hawser_sessions_active{gateway="gateway \\"1\\"",state="disconnected"} 6',
    'hawser_sessions_limit 1009',
    'hawser_sessions_in_custody 3',
    'hawser_sessions_pending 5',
    'hawser_sessions_serving 1',
    'hawser_sessions_lease_valid 1',
    'hawser_sessions_leader 0',
    'hawser_sessions_created_total 11',
    'hawser_sessions_continued_total 13',
    'hawser_sessions_claimed_total 17',
    'hawser_sessions_ended_total{end="expired"} 19',
    'hawser_sessions_ended_total{end="closed"} 29',
    'hawser_sessions_moved_total 31',
    'hawser_sessions_rejected_total{reason="NotLeader"} 37',
    'hawser_sessions_rejected_total{reason="SessionExpired"} 41',
    'hawser_sessions_rejected_total{reason="InvalidCapabilities"} 43',
    'hawser_sessions_rejected_total{reason="Other"} 47',
    'hawser_sessions_keepalives_total{result="ok"} 53',
    'hawser_sessions_keepalives_total{result="rateLimited"} 61',
    'hawser_sessions_keepalives_total{result="stale"} 67',
    'hawser_sessions_keepalives_total{result="skewed"} 71',
    'hawser_sessions_warnings_total 23',
    'hawser_sessions_messages_dropped_total{reason="undecodable"} 59',
    'hawser_sessions_messages_dropped_total{reason="unexpected"} 73',
    'hawser_sessions_messages_dropped_total{reason="createLimited"} 79',
    'hawser_sessions_messages_dropped_total{reason="overloaded"} 83',
    'hawser_sessions_requests_total{outcome="committed"} 89',
    'hawser_sessions_requests_total{outcome="repeated"} 97',
    'hawser_sessions_requests_total{outcome="refused"} 103',
    'hawser_sessions_requests_total{outcome="discarded"} 109',
    'hawser_sessions_queries_total 113',
    'hawser_sessions_server_requests_sent_total 127',
    'hawser_sessions_server_requests_acknowledged_total 131',
    'hawser_sessions_round_trip_seconds_bucket{le="0.001"} 0',
    'hawser_sessions_round_trip_seconds_bucket{le="0.05"} 8',
    'hawser_sessions_round_trip_seconds_bucket{le="1.0"} 9',
    'hawser_sessions_round_trip_seconds_bucket{le="+Inf"} 9',
    'hawser_sessions_round_trip_seconds_sum 0.1495',
    'hawser_sessions_round_trip_seconds_count 9',
    'hawser_sessions_clock_skew_seconds_bucket{le="-10.0"} 1',
    'hawser_sessions_clock_skew_seconds_bucket{le="-0.1"} 2',
    'hawser_sessions_clock_skew_seconds_bucket{le="0.0"} 4',
    'hawser_sessions_clock_skew_seconds_bucket{le="10.0"} 7',
    'hawser_sessions_clock_skew_seconds_bucket{le="+Inf"} 9',
    'hawser_sessions_cleanup_duration_seconds_bucket{le="0.0001"} 2',
    'hawser_sessions_cleanup_duration_seconds_bucket{le="0.005"} 3',
    'hawser_sessions_cleanup_duration_seconds_bucket{le="+Inf"} 5',
    'hawser_sessions_cleanup_duration_seconds_sum 0.139',
    'hawser_sessions_cleanup_duration_seconds_count 5',
  ]);
});

test('every metric says what it is and of which type', async () => {
  const text = await textOf();
  for (const { name, help, type } of sessionMetrics) {
    expect(help).toMatch(/^[A-Z].*\.$/);
    expect(text).toContain(`# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`);
    expect(name.endsWith('_total'), name).toBe(type === 'counter');
  }
});

test('whatever is dropped is counted under one metric', async () => {
  const series = (await seriesOf()).join('\n');
  for (const reason of dropReasons) expect(series.split(`="${reason}"`).length - 1, reason).toBe(1);
});

test('values are those of the moment at which the registry is read', async () => {
  const registry = new Registry();
  const server = { gateway: 'a', stats: madeUpServer.stats };
  registerSessionMetrics(server, registry);
  await registry.metrics();
  server.stats = { ...server.stats, created: 12 };
  expect(await registry.metrics()).toContain('\nhawser_sessions_created_total 12\n');
});

test.each([
  { serving: true, leaseValid: false, isLeader: false },
  { serving: false, leaseValid: true, isLeader: false },
  { serving: false, leaseValid: false, isLeader: true },
])('whether it serves, has its lease and leads are three things: %j', async (state) => {
  const series = await seriesOf({ ...madeUpServer.stats, ...state });
  expect(series).toContain(`hawser_sessions_serving ${Number(state.serving)}`);
  expect(series).toContain(`hawser_sessions_lease_valid ${Number(state.leaseValid)}`);
  expect(series).toContain(`hawser_sessions_leader ${Number(state.isLeader)}`);
});

test('a registry that writes OpenMetrics has the same series, again and again', async () => {
  const registry = new Registry<OpenMetricsContentType>();
  registry.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  registerSessionMetrics(madeUpServer, registry);
  for (const text of [await registry.metrics(), await registry.metrics()]) {
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    expect(lines).toEqual(await seriesOf());
    expect(text).toContain('# TYPE hawser_sessions_created counter\n');
  }
});

test('labels of the registry are added, and resetting it takes nothing away from the counts of the server', async () => {
  const registry = new Registry();
  registry.setDefaultLabels({ site: 'north' });
  registerSessionMetrics(madeUpServer, registry);
  registry.resetMetrics();
  const text = await registry.metrics();
  expect(text).toContain('\nhawser_sessions_created_total{site="north"} 11\n');
  expect(text).toContain(
    '\nhawser_sessions_active{gateway="gateway \\"1\\"",state="connected",site="north"} 101\n',
  );
});

test('metrics as objects have their values, too', async () => {
  const registry = new Registry();
  registerSessionMetrics(madeUpServer, registry);
  const metrics = await registry.getMetricsAsJSON();
  expect(metrics.map(({ name }) => name)).toEqual(sessionMetrics.map(({ name }) => name));
  expect(metrics.find(({ name }) => name === 'hawser_sessions_queries_total')?.values).toEqual([
    { labels: {}, value: 113 },
  ]);
});

test('a registry that has one of the metrics is refused, and stays as it is', async () => {
  const registry = new Registry();
  new Counter({ name: 'hawser_sessions_queries_total', help: 'Mine.', registers: [registry] });
  const before = await registry.metrics();
  expect(() => registerSessionMetrics(madeUpServer, registry)).toThrow(
    expect.objectContaining({
      code: 'ERR_HAWSER_ARGUMENT',
      message: expect.stringContaining('queries_total'),
    }),
  );
  expect(await registry.metrics()).toBe(before);
});

test.each([undefined, null, {}, { registerMetric: 1 }, 'registry'])(
  'what is no registry is refused: %j',
  (registry) => {
    const call: unknown = Reflect.apply.bind(undefined, registerSessionMetrics, undefined, [
      madeUpServer,
      registry,
    ]);
    expect(call).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }));
  },
);
