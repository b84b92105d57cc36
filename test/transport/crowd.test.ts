import { expect, test } from 'vitest';
import { Client, type Peer } from '../../src/index.js';
import { createTokenMinter } from '../../src/token/index.js';
import { bytes, protocolId, SimulatedWorld, serverKey } from './support.js';

test('thousands of peers that vanish at once end once each, and as many come back', async () => {
  const count = process.env.HAWSER_TEST_DEEP === '1' ? 10_000 : 2000;
  const world = new SimulatedWorld({ delayMs: 1 });
  const { network } = world;
  const server = await world.listen({ maxPeers: count });
  const client = await Client.open({ network });
  const minter = await createTokenMinter({
    protocolId,
    key: serverKey,
    addresses: server.publicAddresses,
    timeoutMs: 5000,
    now: () => network.clock.wallNow(),
  });
  const crowd = () =>
    world.until(
      Promise.all(
        Array.from({ length: count }, (_, index) =>
          client.connect(minter.mint({ clientId: BigInt(index) }), { timeoutMs: 60_000 }),
        ),
      ),
    );
  const ended = new Map<Peer, string>();
  server.on('disconnect', (peer, info) => {
    expect(ended.has(peer)).toBe(false);
    ended.set(peer, info.result);
  });
  await crowd();
  await world.settle();
  expect(server.peers.size).toBe(count);
  expect(server.broadcast(bytes('to all'))).toBe(count);
  network.partition(server.address, client.address);
  await network.run(40_000);
  expect(server.peers.size).toBe(0);
  expect(client.connections.size).toBe(0);
  expect([...ended.values()].filter((result) => result === 'timedOut')).toHaveLength(count);
  network.partition(server.address, client.address, false);
  await crowd();
  await world.settle();
  expect(server.peers.size).toBe(count);
  expect(server.stats.drops.eventQueueFull).toBe(0);
  await world.until(Promise.all([server.close(), client.close()]));
  expect(ended.size).toBe(2 * count);
});
