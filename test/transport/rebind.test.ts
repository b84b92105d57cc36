import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../src/base/address.js';
import { Client, type Connection, type HawserError, type Server } from '../../src/index.js';
import {
  bytes,
  freshWorldForEachTest,
  next,
  RealWorld,
  SimulatedWorld,
  text,
  type World,
  worlds,
} from './support.js';

const portOf = (address: string): number => parseAddress(address).port;

/** An echo comes back: what is said until the gateway has followed is answered to where nobody is any more. */
async function hearsAgain(world: World, connection: Connection): Promise<void> {
  let heard = false;
  const listener = (data: Uint8Array): void => {
    heard ||= text(data) === 'after';
  };
  connection.on('message', listener);
  for (let round = 0; round < 100 && !heard; ++round) {
    connection.send(bytes('after'));
    await world.settle();
  }
  connection.off('message', listener);
  expect(heard).toBe(true);
}

async function echoServer(world: World): Promise<Server> {
  const server = await world.listen();
  server.on('message', (peer, data) => server.send(peer, data));
  return server;
}

describe.each(worlds)('rebind %s', (_name, makeWorld) => {
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  test('goes on over another port, in the same session', async () => {
    const server = await echoServer(world);
    const connection = await world.connect(await world.token(server));
    const key = connection.exportKey('session');
    const before = connection.localAddress;
    connection.rebind();
    expect(portOf(connection.localAddress)).not.toBe(portOf(before));
    await hearsAgain(world, connection);
    expect(connection.connected).toBe(true);
    expect(connection.exportKey('session')).toEqual(key);
    expect(server.peers.size).toBe(1);
    expect(server.stats.counters.movesCompleted).toBe(1);
    expect(server.stats.counters.peersConnected).toBe(1);
    expect(server.stats.drops.outputFull).toBe(0);
  });

  test('of a client takes all its connections along', async () => {
    const servers = [await echoServer(world), await echoServer(world)];
    const options = world instanceof SimulatedWorld ? { network: world.network } : {};
    const client = await Client.open(options);
    const connections = [];
    for (const server of servers)
      connections.push(await world.connect(await world.token(server), { client }));
    const before = client.address;
    connections[1]?.rebind();
    expect(client.address).not.toBe(before);
    for (const connection of connections) {
      expect(portOf(connection.localAddress)).toBe(portOf(client.address));
      await hearsAgain(world, connection);
    }
    for (const server of servers) expect(server.stats.counters.movesCompleted).toBe(1);
    await world.until(client.close());
  });

  test('from a listener, and many times in one turn', async () => {
    const server = await echoServer(world);
    const connection = await world.connect(await world.token(server));
    const rebound = new Promise<void>((resolve) => {
      connection.once('message', () => {
        for (let time = 0; time < 20; ++time) connection.rebind();
        resolve();
      });
    });
    for (let count = 0; count < 200; ++count) connection.send(bytes('before'));
    await world.until(rebound);
    await hearsAgain(world, connection);
    expect(connection.connected).toBe(true);
    expect(server.peers.size).toBe(1);
  });

  test('right before the end is harmless, and after it refused', async () => {
    const server = await echoServer(world);
    const connection = await world.connect(await world.token(server));
    const ended = next(connection, 'disconnect');
    connection.rebind();
    const closed = connection.close();
    connection.rebind();
    await world.until(closed);
    const [info] = await ended;
    expect(info.result).toBe('closed');
    expect(() => connection.rebind()).toThrow(
      expect.objectContaining<Partial<HawserError>>({ code: 'ERR_HAWSER_CLOSED' }),
    );
  });
});

test('a socket that is replaced gives its descriptor back, and statistics go on', async () => {
  const world = new RealWorld();
  const server = await echoServer(world);
  const client = await Client.open();
  const connection = await world.connect(await world.token(server), { client });
  await hearsAgain(world, connection);
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const open = descriptors();
  let sent = client.stats.socket.datagramsOut ?? 0;
  for (let time = 0; time < 10; ++time) {
    client.rebind();
    await hearsAgain(world, connection);
    const now = client.stats.socket.datagramsOut ?? 0;
    expect(now).toBeGreaterThan(sent);
    sent = now;
  }
  expect(sent).toBe(client.stats.counters.datagramsSent);
  expect(descriptors()).toBe(open);
  await client.close();
  await world.close();
});

test('a simulated network knows a rebound socket by its new address', async () => {
  const world = new SimulatedWorld();
  const server = await echoServer(world);
  const connection = await world.connect(await world.token(server));
  const before = connection.localAddress;
  connection.rebind();
  expect(() => world.network.moveAddress(before, '10.9.9.9:1')).toThrow();
  world.network.moveAddress(connection.localAddress, '10.9.9.9:1');
  await hearsAgain(world, connection);
  // A socket behind a NAT is rebound too.
  connection.rebind();
  await hearsAgain(world, connection);
  expect(server.stats.counters.movesCompleted).toBe(2);
  await world.close();
});
