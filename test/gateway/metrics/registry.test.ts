import { Counter, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import {
  gatewayRegistry,
  LazyRegistry,
  registerGatewayMetrics,
} from '../../../src/gateway/metrics/registry.js';
import { allMetrics, gatewayTables } from '../../../src/gateway/metrics/tables.js';
import type { GatewaySnapshot } from '../../../src/gateway/snapshot.js';
import { madeUpSnapshot } from './made-up-snapshot.js';
import { checkMetrics, hasPromtool } from './promtool.js';

async function textOf(snapshot: GatewaySnapshot = madeUpSnapshot): Promise<string> {
  return (await gatewayRegistry({ snapshot: () => snapshot })).metrics();
}

test('every name has its layer in it, and by its end the unit and whether it is a counter', () => {
  for (const [layer, table] of Object.entries(gatewayTables)) {
    for (const { name, type, help } of table) {
      expect(name).toMatch(new RegExp(`^hawser_${layer}_[a-z][a-z_]*[a-z]$`));
      expect(name.endsWith('_total'), name).toBe(type === 'counter');
      expect(name).not.toMatch(/_(ms|milliseconds|micros|kb|kib|mb|count|bucket|sum)(_total)?$/);
      expect(help).toMatch(/^[A-Z][^\n]*\.$/);
    }
  }
  const names = allMetrics.map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});

test('each metric has the labels that it says, and no others', () => {
  for (const metric of allMetrics) {
    const samples = metric.read(madeUpSnapshot);
    expect(samples.length, metric.name).toBeGreaterThan(0);
    for (const { labels } of samples) expect(Object.keys(labels), metric.name).toEqual(metric.labels);
  }
});

test('no label has an address, a client, a session, a key or a peer of keys', () => {
  const labels = new Set(allMetrics.flatMap((metric) => metric.labels));
  expect([...labels].sort()).toEqual([
    'direction',
    'end',
    'event',
    // The name of the gateway in its store.
    'gateway',
    'kind',
    'listener',
    'name',
    'node',
    'outcome',
    'reason',
    'result',
    'state',
    'statistic',
    'status',
    'version',
    'wire',
  ]);
});

test.runIf(hasPromtool)('promtool has nothing to say against the metrics of a gateway', async () => {
  expect(checkMetrics(await textOf())).toBe('');
  expect(checkMetrics(await textOf({ ...madeUpSnapshot, layers: {} }))).toBe('');
  // It does find what is wrong.
  expect(checkMetrics('# TYPE a_total gauge\na_total 1\n')).toContain('a_total');
});

test('the metrics of a gateway are those of its process, its listeners and its layers', async () => {
  const text = await textOf();
  for (const line of [
    'hawser_gateway_info{name="north",version="1.2.3",node="20.19.0"} 1',
    'hawser_gateway_state{state="RUNNING"} 1',
    'hawser_gateway_state{state="DRAINING"} 0',
    'hawser_gateway_start_time_seconds 1799999000',
    'hawser_process_cpu_seconds_total 1.25',
    'hawser_process_resident_memory_bytes 200000000',
    'hawser_process_loop_delay_seconds{statistic="p99"} 0.012',
    'hawser_transport_peers{listener="udp2",wire="netcode"} 5',
    'hawser_transport_peers_limit{listener="udp"} 1000',
    'hawser_transport_peer_rtt_seconds_bucket{listener="udp",le="0.01"} 1',
    'hawser_transport_peer_rtt_seconds_bucket{listener="udp",le="1.0"} 6',
    'hawser_transport_peer_rtt_seconds_bucket{listener="udp",le="+Inf"} 7',
    'hawser_interaction_requests_total{result="success"} 891',
    'hawser_interaction_requests_total{result="error"} 9',
    'hawser_sync_waiting_agents{state="held"} 4',
    'hawser_sync_waiting_agents{state="postponed"} 7',
    'hawser_sessions_created_total 11',
    'hawser_keys_peers{state="linked"} 1',
    'hawser_keys_peers{state="unlinked"} 1',
    'hawser_keys_peers_not_ready 1',
    'hawser_keys_peers_failed_closed 1',
    'hawser_keys_peers_without_key 1',
    'hawser_keys_keys{status="available"} 4',
    'hawser_keys_rotations_total{result="completed"} 80',
    'hawser_keys_rotations_total{result="failed"} 4',
    'hawser_keys_next_expiry_timestamp_seconds 1800000600',
    'hawser_keys_next_rotation_timestamp_seconds 1800000300',
    'hawser_keys_clock_difference_seconds 1.5',
    'hawser_keys_messages_total{kind="unsent"} 8',
    'hawser_keys_messages_dropped_total{reason="replay"} 8',
    'hawser_keys_messages_dropped_total{reason="foreign"} 1',
  ]) {
    expect(text).toContain(`\n${line}\n`);
  }
});

test('every count of a manager is in one metric, and in no other', () => {
  const { sync } = madeUpSnapshot.layers;
  const found = (gatewayTables.sync ?? []).flatMap((metric) =>
    metric.type === 'histogram' ? [] : metric.read(madeUpSnapshot).map(({ value }) => value),
  );
  for (const [name, value] of Object.entries(sync?.counts ?? {})) {
    expect(
      found.filter((each) => each === value),
      name,
    ).toHaveLength(1);
  }
});

test('layers that a gateway does not have are not among its samples', async () => {
  const text = await textOf({ ...madeUpSnapshot, layers: {} });
  expect(text).toMatch(/^hawser_transport_peers\{/m);
  expect(text).not.toMatch(/^hawser_(interaction|sync|sessions|keys)_/m);
});

test('each reading takes one snapshot', async () => {
  let taken = 0;
  const registry = await gatewayRegistry({
    snapshot: () => ({ ...madeUpSnapshot, startedAtMs: 1000 * ++taken }),
  });
  expect(await registry.metrics()).toContain('\nhawser_gateway_start_time_seconds 1\n');
  expect(await registry.metrics()).toContain('\nhawser_gateway_start_time_seconds 2\n');
});

test('a registry of the user gets the same, or nothing when a name is taken', async () => {
  const gateway = { snapshot: () => madeUpSnapshot };
  const registry = new Registry();
  registerGatewayMetrics(gateway, registry);
  expect(await registry.metrics()).toBe(await textOf());
  const taken = new Registry();
  new Counter({ name: 'hawser_sync_messages_total', help: 'Mine.', registers: [taken] });
  expect(() => registerGatewayMetrics(gateway, taken)).toThrow(
    expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
  );
  expect(taken.getMetricsAsArray()).toHaveLength(1);
});

test('a lazy registry says the same as one that is made at once, and looks at nothing before it is read', async () => {
  let snapshots = 0;
  const gateway = {
    snapshot: () => {
      ++snapshots;
      return madeUpSnapshot;
    },
  };
  const lazy = new LazyRegistry(gateway);
  const registry = await gatewayRegistry({ snapshot: () => madeUpSnapshot });
  expect(lazy.contentType).toBe(registry.contentType);
  expect(snapshots).toBe(0);
  expect(await lazy.metrics()).toBe(await registry.metrics());
  expect(await lazy.metrics()).toContain('hawser_gateway_info');
  expect(snapshots).toBe(2);
});
