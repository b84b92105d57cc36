import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { generateKey } from '../../src/token/server-key.js';
import {
  type ListenerMetricsSource,
  listenerMetrics,
  registerTransportMetrics,
} from '../../src/transport/metrics.js';
import { Server } from '../../src/transport/server.js';
import { counterNames, dropReasons } from '../../src/transport/stats.js';
import { madeUpStats, socketNames } from '../gateway/metrics/made-up-snapshot.js';
import { SimulatedWorld } from './support.js';

const { all, ...stats } = madeUpStats(1_000_000);

const source: ListenerMetricsSource = {
  ...stats,
  peersByWire: { hawser: 7, netcode: 5 },
  maxPeers: 100,
  memoryBytes: 17,
  rttMs: undefined,
};

function values(): readonly number[] {
  return listenerMetrics.flatMap((metric) =>
    metric.type === 'histogram' ? [] : metric.read(source).map(({ value }) => value),
  );
}

test('every count of a listener is in one metric, and in no other', () => {
  const found = values();
  // The peers are there by wire format.
  const expected = all.filter((each) => each !== stats.counters.peers);
  for (const each of expected) {
    expect(
      found.filter((value) => value === each),
      `${each - 1_000_000}`,
    ).toHaveLength(1);
  }
  expect(found).not.toContain(stats.counters.peers);
});

test('the names of the counts are those of the addon', async () => {
  const server = await Server.listen({ address: '127.0.0.1:0', protocolId: 1n, keys: [generateKey()] });
  const { counters, drops, socket } = server.stats;
  await server.close();
  expect(Object.keys(counters)).toEqual([...counterNames]);
  expect(Object.keys(drops)).toEqual([...dropReasons]);
  expect(Object.keys(socket)).toEqual([...socketNames]);
});

test('servers have their names as the label listener; what they did is read when the registry is', async () => {
  const world = new SimulatedWorld();
  const server = await world.listen();
  const registry = new Registry();
  registerTransportMetrics({ inside: server }, registry);
  expect(await registry.metrics()).toContain('hawser_transport_peers{listener="inside",wire="hawser"} 0\n');
  const connection = await world.connect(await world.token(server));
  await world.settle();
  const text = await registry.metrics();
  expect(text).toContain('hawser_transport_peers{listener="inside",wire="hawser"} 1\n');
  expect(text).toContain('hawser_transport_peers_connected_total{listener="inside"} 1\n');
  expect(text).toContain('hawser_transport_handshakes_total{listener="inside",result="completed"} 1\n');
  const { bytesSent } = server.stats.counters;
  expect(text).toContain(
    `hawser_transport_datagram_bytes_total{listener="inside",direction="sent"} ${bytesSent}\n`,
  );
  // Nobody looked at each peer, and nobody said how many there may be.
  expect(text).not.toMatch(/^hawser_transport_(peer_rtt|peers_limit)/m);
  await world.until(connection.close());
  await world.close();
});
