// Which gateway of the token a client comes to: in a simulated network, where no machine is so busy that an answer takes 300 ms.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { Client } from '../../src/index.js';
import { mintNetcodeToken } from '../../src/token/index.js';
import { protocolId, SimulatedWorld, serverKey } from './support.js';

let world: SimulatedWorld;
beforeEach(() => {
  world = new SimulatedWorld();
});
afterEach(() => world.close());

async function three(): Promise<{ token: Uint8Array; addresses: readonly [string, string, string] }> {
  const [a, b, c] = [await world.listen(), await world.listen(), await world.listen()];
  const addresses = [a.address, b.address, c.address] as const;
  return { token: await world.token(a, { addresses }), addresses };
}

test('firstAddress is the gateway that a client comes to, and the first of the token without it', async () => {
  const { token, addresses } = await three();
  expect((await world.connect(token)).address).toBe(addresses[0]);
  for (const firstAddress of addresses) {
    expect((await world.connect(token, { firstAddress })).address).toBe(firstAddress);
  }
});

test('after lastAddress a client comes to the one behind it in the token', async () => {
  const { token, addresses } = await three();
  for (const [n, lastAddress] of addresses.entries()) {
    expect((await world.connect(token, { lastAddress })).address).toBe(addresses[(n + 1) % 3]);
  }
  const [firstAddress, , lastAddress] = addresses;
  expect((await world.connect(token, { firstAddress, lastAddress })).address).toBe(firstAddress);
});

test('an address that the token does not list is passed over', async () => {
  const { token, addresses } = await three();
  const options = { firstAddress: '192.0.2.9:9', lastAddress: '192.0.2.9:8' };
  expect((await world.connect(token, options)).address).toBe(addresses[0]);
});

test('a connection of a client that has others goes where it is to', async () => {
  const { token, addresses } = await three();
  const [, firstAddress] = addresses;
  const client = await Client.open({ network: world.network });
  expect((await world.connect(token, { client, firstAddress })).address).toBe(firstAddress);
  expect((await world.until(client.connect(token, { lastAddress: firstAddress }))).address).toBe(
    addresses[2],
  );
  await world.until(client.close());
});

test('what is no address is refused', async () => {
  const { token } = await three();
  await expect(world.connect(token, { firstAddress: 'gateway:1' })).rejects.toThrow(/^firstAddress must be/);
  await expect(world.connect(token, { lastAddress: '' })).rejects.toThrow(/^lastAddress must be/);
});

test('a gateway that is dead costs 300 ms', async () => {
  const [alive, spare, dead] = [await world.listen(), await world.listen(), await world.listen()];
  const token = await world.token(alive, { addresses: [alive.address, spare.address, dead.address] });
  await world.until(dead.close());
  const before = world.clock.now();
  const connection = await world.connect(token, { firstAddress: dead.address });
  expect(connection.address).toBe(alive.address);
  const tookMs = world.clock.now() - before;
  expect(tookMs).toBeGreaterThanOrEqual(300);
  expect(tookMs).toBeLessThan(400);
});

test('netcode clients keep to the order of their token', async () => {
  const listen = () => world.listen({ wires: ['hawser', 'netcode'], freshKeys: true });
  const [a, b] = [await listen(), await listen()];
  const token = await mintNetcodeToken({
    protocolId,
    key: serverKey,
    clientId: 7n,
    addresses: [a.address, b.address],
    timeoutMs: 1000,
    now: () => world.clock.wallNow(),
  });
  expect((await world.connect(token, { firstAddress: b.address, lastAddress: a.address })).address).toBe(
    a.address,
  );
});
