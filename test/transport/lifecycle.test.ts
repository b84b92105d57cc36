import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { describe, expect, test } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { Client, type Connection, connect, Server } from '../../src/index.js';
import { mintToken } from '../../src/token/index.js';
import { ChildGateway, child } from './child-gateway.js';
import {
  bytes,
  expectSlabsReplaced,
  next,
  patienceMs,
  protocolId,
  RealWorld,
  SimulatedWorld,
  serverKey,
  text,
} from './support.js';

const run = promisify(execFile);
const local = { address: '127.0.0.1:0', protocolId, keys: [serverKey] };

describe('opening', () => {
  test('an address in use fails with one clear line', async () => {
    const server = await Server.listen({ ...local, address: await freeAddress() });
    await expect(Server.listen({ ...local, address: server.address })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ADDRESS_IN_USE',
      message: `cannot open a UDP socket on ${server.address}: another socket is bound to it; choose another port, or see who holds it with "ss -ulpn"`,
      cause: { code: 'EADDRINUSE' },
    });
    await server.close();
    const again = await Server.listen({ ...local, address: server.address });
    await again.close();
  });

  test('an address of another machine fails likewise', async () => {
    await expect(Server.listen({ ...local, address: '192.0.2.1:0' })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ADDRESS_NOT_AVAILABLE',
    });
  });

  test('a wildcard advertises every address of this machine, with the port that was bound', async () => {
    const server = await Server.listen({ ...local, address: '0.0.0.0:0' });
    const port = server.address.split(':').at(-1);
    const own = Object.values(networkInterfaces())
      .flatMap((each) => each ?? [])
      .filter((each) => each.family === 'IPv4')
      .map((each) => `${each.address}:${port}`);
    expect(port).not.toBe('0');
    expect([...server.publicAddresses].sort()).toEqual(own.sort());
    await server.close();
  });

  test('a signal that aborts closes the server', async () => {
    const controller = new AbortController();
    const server = await Server.listen({ ...local, signal: controller.signal });
    const closed = next(server, 'close');
    controller.abort();
    await closed;
    expect(server.state).toBe('STOPPED');
    await expect(Server.listen({ ...local, signal: controller.signal })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ABORTED',
    });
  });

  test('it disposes of itself', async () => {
    let kept: Server;
    {
      await using server = await Server.listen(local);
      await using client = await Client.open();
      expect(client.state).toBe('RUNNING');
      kept = server;
    }
    expect(kept.state).toBe('STOPPED');
  });
});

async function exchange(connection: Connection): Promise<string> {
  const heard = new Promise<string>((resolve) => {
    connection.once('message', (data) => resolve(text(data)));
  });
  connection.send(bytes('over'));
  return heard;
}

describe('addresses', () => {
  test.each([
    ['IPv6', '[::1]:0', ['[::1]']],
    ['dual stack', '[::]:0', ['127.0.0.1', '[::1]']],
    ['another loopback address', '127.1.2.3:0', ['127.1.2.3']],
  ])('%s', async (_name, address, hosts) => {
    const world = new RealWorld();
    const server = await world.listen({ address });
    server.on('message', (peer, data) => peer.send(data));
    const port = server.address.split(':').at(-1);
    for (const host of hosts) {
      const connection = await world.connect(await world.token(server, { addresses: [`${host}:${port}`] }));
      expect(connection.address).toBe(`${host}:${port}`);
      expect(await exchange(connection)).toBe('over');
    }
    await world.close();
  });

  test('each connection of a client may have its own source address', async () => {
    const world = new RealWorld();
    const server = await world.listen({ address: '0.0.0.0:0', publicAddresses: ['127.0.0.77:0'] });
    server.on('message', (peer, data) => peer.send(data));
    const client = await Client.open({ address: '0.0.0.0:0' });
    const seen: string[] = [];
    server.on('connect', (peer) => seen.push(peer.address.split(':')[0] ?? ''));
    for (const localAddress of ['127.0.1.1', '127.0.1.2']) {
      const connection = await world.connect(await world.token(server), { client, localAddress });
      expect(await exchange(connection)).toBe('over');
      expect(connection.localAddress.split(':')[0]).toBe(localAddress);
    }
    expect(seen).toEqual(['127.0.1.1', '127.0.1.2']);
    await Promise.all([client.close(), world.close()]);
  });
});

describe('a gateway that is killed and started again', () => {
  const key = '11'.repeat(32);
  const resetKey = '22'.repeat(32);

  test('tells its clients by RESET, and they reconnect', async () => {
    const first = await ChildGateway.start({ address: await freeAddress(), key, resetKey });
    const token = await mintToken({
      protocolId: 1n,
      key: { id: 1, key: Buffer.from(key, 'hex') },
      clientId: 5n,
      addresses: [first.address],
      timeoutMs: patienceMs,
    });
    const connection = await connect(token, { timeoutMs: patienceMs });
    expect(await first.next()).toEqual({ connect: '5' });
    const exported = connection.exportKey('test');
    // A PING may tell the client before it says anything.
    const reset = next(connection, 'reset');
    const reconnected = next(connection, 'reconnected');
    await first.kill();
    const second = await ChildGateway.start({ address: first.address, key, resetKey });
    connection.send(bytes('is anybody there?'));
    await reset;
    await reconnected;
    expect(await second.next()).toEqual({ connect: '5' });
    expect(connection.state).toBe('CONNECTED');
    expect(connection.exportKey('test')).not.toEqual(exported);
    expect(await exchange(connection)).toBe('over');
    const closed = connection.close();
    await second.kill();
    await closed;
  });
});

describe('after a reset in a simulated network', () => {
  const resetKey = new Uint8Array(32).fill(9);

  /** A gateway that vanished without a farewell and is back at the same address. */
  async function restart(world: SimulatedWorld, server: Server, connection: Connection): Promise<void> {
    world.network.partition(server.address, connection.localAddress);
    await world.until(server.close());
    world.network.partition(server.address, connection.localAddress, false);
    await world.listen({ address: server.address, resetKey, clockSkewMs: 0 });
  }

  test('a single-use token is not used again: the source is asked for another', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen({ resetKey, clockSkewMs: 0 });
    await world.settle();
    let asked = 0;
    const source = (): Promise<Uint8Array> => {
      ++asked;
      return world.token(server, { clientId: 3n, singleUse: true });
    };
    const connection = await world.connect(source);
    const reconnected = next(connection, 'reconnected');
    await restart(world, server, connection);
    connection.send(bytes('hello?'));
    await world.until(reconnected);
    expect(asked).toBe(2);
    expect(connection.connected).toBe(true);
    await world.close();
  });

  test('without another token the connection ends', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen({ resetKey, clockSkewMs: 0 });
    await world.settle();
    const connection = await world.connect(await world.token(server, { singleUse: true }));
    const ended = next(connection, 'disconnect');
    await restart(world, server, connection);
    connection.send(bytes('hello?'));
    expect(await world.until(ended)).toEqual([
      { result: 'reset', code: 0, reason: 'the token cannot be used again', reconnectSpreadMs: 0 },
    ]);
    await world.close();
  });

  test('it ends where reconnecting is off', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen({ resetKey, clockSkewMs: 0 });
    const connection = await world.connect(await world.token(server), { reconnectOnReset: false });
    const ended = next(connection, 'disconnect');
    await restart(world, server, connection);
    connection.send(bytes('hello?'));
    expect((await world.until(ended))[0].result).toBe('reset');
    await world.close();
  });

  test('closing while it reconnects ends it as closed', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen({ resetKey, clockSkewMs: 0 });
    const connection = await world.connect(await world.token(server));
    const ended = next(connection, 'disconnect');
    const reset = next(connection, 'reset');
    await restart(world, server, connection);
    connection.send(bytes('hello?'));
    await world.until(reset);
    await world.until(connection.close(0x1_0000, 'enough'));
    expect(await ended).toEqual([
      { result: 'closed', code: 0x1_0000, reason: 'enough', reconnectSpreadMs: 0 },
    ]);
    await world.close();
  });

  test('without a reset key that survived, it times out', async () => {
    const world = new SimulatedWorld();
    const server = await world.listen();
    const connection = await world.connect(await world.token(server, { timeoutMs: 5000 }));
    const ended = next(connection, 'disconnect');
    await restart(world, server, connection);
    expect((await world.until(ended))[0].result).toBe('timedOut');
    await world.close();
  });
});

describe('memory', () => {
  test('a worker thread that ends while sockets are open takes nothing with it', async () => {
    // One in a hundred ends in the middle of a call of the addon.
    for (let round = 0; round < 40; ++round) {
      const worker = new Worker(child('worker'));
      const [message] = await once(worker, 'message');
      expect(message).toBe('busy');
      expect(await worker.terminate()).toBe(1);
    }
    const world = new RealWorld();
    const server = await world.listen();
    await world.connect(await world.token(server));
    await world.close();
  });

  test('what is open is not collected', async () => {
    const { stdout } = await run(process.execPath, ['--expose-gc', child('collected')]);
    expect(stdout).toBe('alive\n');
  });

  test('a server without ref lets the process end', async () => {
    const { stdout } = await run(process.execPath, [child('unref')]);
    expect(stdout).toBe('open');
  });

  test('1,000 times opened and closed leave nothing behind', async () => {
    const { stdout } = await run(process.execPath, ['--expose-gc', child('cycles'), '1000']);
    const { grown, descriptors } = JSON.parse(stdout);
    // One may be opened by the process itself; a socket left in each cycle would be 2,000.
    expect(descriptors).toBeLessThan(5);
    expect(grown.heapUsed + grown.external).toBeLessThan(4 * 1024 * 1024);
    // A slab left in each cycle would be 256 MiB; the allocator keeps some of what was freed.
    expect(grown.rss).toBeLessThan(128 * 1024 * 1024);
  });

  test('a slab that a listener transfers away is replaced', async () => {
    await expectSlabsReplaced(new RealWorld());
  });
});
