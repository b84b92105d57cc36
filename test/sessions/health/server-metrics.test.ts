import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { registerSessionMetrics } from '../../../src/sessions/health/metrics.js';
import { type Gateway, World } from '../server/world.js';

/** The values of a gateway by series. */
async function metricsOf(gateway: Gateway): Promise<ReadonlyMap<string, number>> {
  const registry = new Registry();
  registerSessionMetrics(gateway.server, registry);
  const lines = (await registry.metrics()).split('\n').filter((line) => /^\w/.test(line));
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(' ');
      return [line.slice(0, space).replace('hawser_sessions_', ''), Number(line.slice(space + 1))];
    }),
  );
}

test('a server tells its sessions by node and state, its heartbeats that count or fail, its timeouts, and latencies', async () => {
  const world = new World();
  const gateway = await world.gateway('north', { maxSessions: 10 });
  const first = await gateway.session('first');
  const second = await gateway.session('second');
  await gateway.session('third');
  first.roundTripMs = 80;
  first.keepAlive();
  first.keepAlive();
  second.lose();
  await world.pass(80_000);
  first.keepAlive();
  await world.pass(20_000);

  const metrics = await metricsOf(gateway);
  expect(metrics.get('active{gateway="north",state="connected"}')).toBe(1);
  expect(metrics.get('active{gateway="north",state="disconnected"}')).toBe(0);
  expect(metrics.get('limit')).toBe(10);
  expect(metrics.get('created_total')).toBe(3);
  expect(metrics.get('ended_total{end="expired"}')).toBe(2);
  expect(metrics.get('warnings_total')).toBe(3);
  expect(metrics.get('keepalives_total{result="ok"}')).toBe(2);
  expect(metrics.get('keepalives_total{result="stale"}')).toBe(1);
  expect(metrics.get('round_trip_seconds_bucket{le="0.05"}')).toBe(0);
  expect(metrics.get('round_trip_seconds_bucket{le="0.1"}')).toBe(2);
  expect(metrics.get('cleanup_duration_seconds_count')).toBeGreaterThan(0);
  expect([metrics.get('serving'), metrics.get('lease_valid')]).toEqual([1, 1]);
});

test('a disconnected session is one, and a gateway whose store is away says so', async () => {
  const world = new World();
  const gateway = await world.gateway('north');
  (await gateway.session('first')).lose();
  gateway.cutOff();
  await world.pass(15_000);
  const metrics = await metricsOf(gateway);
  expect(metrics.get('active{gateway="north",state="connected"}')).toBe(0);
  expect(metrics.get('active{gateway="north",state="disconnected"}')).toBe(1);
  expect([metrics.get('serving'), metrics.get('lease_valid')]).toEqual([0, 0]);
});

test('a follower has its lease, and does not serve: no alert is about that', async () => {
  const world = new World();
  const leader = await metricsOf(await world.gateway('north', { cluster: 'leader' }));
  const follower = await metricsOf(await world.gateway('south', { cluster: 'leader' }));
  const standing = (metrics: ReadonlyMap<string, number>): unknown[] =>
    ['serving', 'lease_valid', 'leader'].map((name) => metrics.get(name));
  expect(standing(leader)).toEqual([1, 1, 1]);
  expect(standing(follower)).toEqual([0, 1, 0]);
});

test('clock skew is counted once for each connection, in buckets that the alert takes', async () => {
  const world = new World();
  const gateway = await world.gateway('north');
  for (const aheadMs of [-20_000, 50, 5000, 20_000]) {
    const peer = gateway.connect(`device ${aheadMs}`, () => world.nowMs);
    peer.create();
    await world.settle();
    for (const laterMs of [0, 1]) peer.keepAlive(world.clock.wallNow() + aheadMs + laterMs);
  }
  await world.settle();
  const metrics = await metricsOf(gateway);
  const upTo = (bound: string): number | undefined => metrics.get(`clock_skew_seconds_bucket{le="${bound}"}`);
  expect([upTo('-10.0'), upTo('0.1'), upTo('10.0'), upTo('+Inf')]).toEqual([1, 2, 3, 4]);
});
