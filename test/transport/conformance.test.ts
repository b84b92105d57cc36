// Lines of the source document about what a user can watch (docs/conformance/transport.md).

import { expect, test } from 'vitest';
import { next, RealWorld, SimulatedWorld } from './support.js';

test('the use of resources can be watched while peers come and go', async () => {
  const world = new RealWorld();
  const server = await world.listen({ maxPeers: 50 });
  expect(server.buffers.receiveBytes).toBeGreaterThan(0);
  expect(server.buffers.sendBytes).toBeGreaterThan(0);
  const empty = server.memoryBytes;
  expect(empty).toBeGreaterThan(0);
  const gone: Promise<unknown>[] = [];
  for (let index = 0; index < 50; ++index) {
    const connection = await world.connect(await world.token(server));
    gone.push(next(connection, 'disconnect'));
  }
  const busy = server.stats.counters;
  expect(busy).toMatchObject({ peers: 50, halfOpen: 0, handshakesCompleted: 50, handshakeQueueLength: 0 });
  expect(busy.packetBuffersPeak).toBeGreaterThan(0);
  expect(server.memoryBytes).toBeGreaterThan(empty);
  await world.close();
  await Promise.all(gone);
  expect(server.stats.counters).toMatchObject({ peers: 0, peersDisconnected: 50, packetBuffersInUse: 0 });
  // Nothing is held by a socket that is closed.
  expect(server.memoryBytes).toBe(0);
});

test('the health of a connection can be watched until it is lost', async () => {
  const world = new SimulatedWorld({ delayMs: 10 });
  const server = await world.listen();
  const connecting = next(server, 'connect');
  const connection = await world.connect(await world.token(server, { timeoutMs: 3000 }));
  const [peer] = await world.until(connecting);
  await world.network.run(5000);
  for (const end of [connection, peer]) {
    expect(end.connected).toBe(true);
    expect(end.rttMs).toBeGreaterThanOrEqual(20);
    expect(end.rttMs).toBeLessThan(22);
    expect(end.rttVariationMs).toBeLessThan(end.rttMs);
    expect(end.clockSettled).toBe(true);
    expect(end.packets.sent).toBeGreaterThan(0);
    expect(end.packets.received).toBeGreaterThan(0);
  }
  const before = world.network.clock.now();
  world.network.partition(server.address, connection.localAddress);
  const lost = { result: 'timedOut', code: 0, reason: '', reconnectSpreadMs: 0 };
  const ended = Promise.all([next(connection, 'disconnect'), next(server, 'disconnect')]);
  expect(await world.until(ended)).toEqual([[lost], [peer, lost]]);
  // The last sign of life was a keep-alive, sent every third of the timeout.
  expect(world.network.clock.now() - before).toBeGreaterThanOrEqual(1900);
  expect(world.network.clock.now() - before).toBeLessThanOrEqual(3010);
  expect(connection.state).toBe('DISCONNECTED');
  expect(peer.connected).toBe(false);
  await world.close();
});
