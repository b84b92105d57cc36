// What I/O threads promise beyond what every session does (session.test.ts and others run on them too).

import { execFile, fork } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Client, type Connection, connect, type DisconnectInfo, type Peer, Server } from '../../src/index.js';
import { mintToken } from '../../src/token/index.js';
import { ChildGateway, child } from './child-gateway.js';
import {
  bytes,
  expectSlabsReplaced,
  next,
  protocolId,
  RealWorld,
  serverKey,
  text,
  threadedSockets,
} from './support.js';

const run = promisify(execFile);
const shardCount = 3;
const three = { driver: 'threads', threads: shardCount } as const;
const one = { driver: 'threads' } as const;
const ofChildren = JSON.stringify({ server: three, client: one });

/** A source address for each connection: another one is, for the kernel, another flow. */
const source = (index: number): string => `127.0.2.${index + 1}`;

describe.runIf(process.platform === 'linux')('three I/O threads', () => {
  let world: RealWorld;
  let client: Client;
  const closing: Promise<unknown>[] = [];

  beforeEach(async () => {
    world = new RealWorld(three);
    client = await Client.open({ address: '0.0.0.0:0', ...one });
  });
  afterEach(() => {
    closing.push(client.close(), world.close());
  });
  afterAll(() => Promise.all(closing));

  /** The peers as the server learns of them. */
  function peersOf(server: Server): { next(): Promise<Peer> } {
    const peers: Peer[] = [];
    const waiting: ((peer: Peer) => void)[] = [];
    server.on('connect', (peer) => {
      const resolve = waiting.shift();
      if (resolve === undefined) peers.push(peer);
      else resolve(peer);
    });
    return {
      next: () => {
        const peer = peers.shift();
        return peer === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(peer);
      },
    };
  }

  /** Connects `count` clients, each from its own address. */
  async function connectMany(server: Server, count: number): Promise<{ peers: Peer[]; ends: Connection[] }> {
    const arriving = peersOf(server);
    const peers: Peer[] = [];
    const ends: Connection[] = [];
    for (let index = 0; index < count; ++index) {
      const options = { client, localAddress: source(index) };
      ends.push(await world.connect(await world.token(server), options));
      peers.push(await arriving.next());
    }
    return { peers, ends };
  }

  test('share the peers, each of which is served by one', async () => {
    const server = await world.listen();
    server.on('message', (peer, data) => peer.send(data));
    const { peers, ends } = await connectMany(server, 48);
    // That one of them gets none of 48 happens once in a hundred million times.
    expect(new Set(peers.map(({ shard }) => shard))).toEqual(new Set([0, 1, 2]));
    expect(server.peers.size).toBe(48);
    for (const peer of peers) expect(server.peers.at(peer.slot, peer.generation, peer.shard)).toBe(peer);
    expect(server.stats.counters).toMatchObject({ peers: 48, handshakesCompleted: 48 });
    const echoes = ends.map((end) => next(end, 'message').then(([data]) => text(data)));
    for (const [index, end] of ends.entries()) end.send(bytes(`${index}`));
    expect(await Promise.all(echoes)).toEqual(ends.map((_, index) => `${index}`));
  });

  test('pass on what comes to another than the peer belongs to, and the peer stays where it is', async () => {
    const server = await world.listen();
    server.on('message', (peer, data) => peer.send(data));
    const arriving = next(server, 'connect');
    const connection = await world.connect(await world.token(server));
    const [peer] = await arriving;
    const { shard } = peer;
    const heard = new Set<string>();
    connection.on('message', (data) => heard.add(text(data)));
    // That all of 20 ports are for the same socket happens once in three thousand million times.
    for (let move = 0; move < 20; ++move) {
      connection.rebind();
      for (let round = 0; round < 200 && !heard.has(`${move}`); ++round) {
        connection.send(bytes(`${move}`));
        await world.settle();
      }
      expect(heard).toContain(`${move}`);
    }
    expect([...server.peers]).toEqual([peer]);
    expect(peer.shard).toBe(shard);
    expect(connection.connected).toBe(true);
    expect(server.stats.counters).toMatchObject({ peers: 1, peersConnected: 1, resetsSent: 0 });
  });

  test('let a client id replace its older session on another thread', async () => {
    const server = await world.listen();
    const arriving = peersOf(server);
    let before: { end: Connection; peer: Peer } | undefined;
    const pairs = new Set<string>();
    // Until a session was replaced from each thread to another: nine ways of which six count.
    for (let index = 0; index < 60; ++index) {
      const ended = before && Promise.all([next(before.end, 'disconnect'), next(server, 'disconnect')]);
      const token = await world.token(server, { clientId: 5n });
      const end = await world.connect(token, { client, localAddress: source(index) });
      const peer = await arriving.next();
      if (before !== undefined && ended !== undefined) {
        const [[atClient], [gone, atServer]] = await ended;
        expect(atClient.result).toBe('replaced');
        expect(gone).toBe(before.peer);
        expect(atServer.result).toBe('replaced');
        pairs.add(`${before.peer.shard} ${peer.shard}`);
      }
      expect([...server.peers]).toEqual([peer]);
      before = { end, peer };
    }
    expect([...pairs].filter((pair) => pair[0] !== pair.at(-1)).length).toBeGreaterThan(3);
    expect(server.stats.counters).toMatchObject({ peers: 1, peersConnected: 60, peersReplaced: 59 });
  });

  test('let nobody in twice where the newer one is rejected, on whatever thread', async () => {
    const server = await world.listen({ sameClient: 'reject' });
    await world.connect(await world.token(server, { clientId: 5n }), { client, localAddress: source(0) });
    for (let index = 1; index < 20; ++index) {
      const token = await world.token(server, { clientId: 5n });
      await expect(world.connect(token, { client, localAddress: source(index) })).rejects.toMatchObject({
        denied: 'CLIENT_ID_CONNECTED',
      });
    }
    expect(server.peers.size).toBe(1);
  });

  test('have room for maxPeers together', async () => {
    const server = await world.listen({ maxPeers: 5 });
    await connectMany(server, 5);
    for (let index = 5; index < 15; ++index) {
      const options = { client, localAddress: source(index) };
      await expect(world.connect(await world.token(server), options)).rejects.toMatchObject({
        denied: 'SERVER_FULL',
      });
    }
  });

  test('admit a single-use token once, whichever thread is asked', async () => {
    const server = await world.listen({ clockSkewMs: 0 });
    await world.settle();
    const token = await world.token(server, { singleUse: true });
    const first = await world.connect(token, { client, localAddress: source(0) });
    await first.close();
    for (let index = 1; index < 10; ++index) {
      await expect(world.connect(token, { client, localAddress: source(index) })).rejects.toMatchObject({
        denied: 'TOKEN_USED',
      });
    }
  });

  test('roll their keys together', async () => {
    const server = await world.listen();
    const fresh = { id: 8, key: new Uint8Array(32).fill(3) };
    server.setKeys([fresh]);
    for (let index = 0; index < 10; ++index) {
      const token = await world.token(server, { key: fresh });
      await world.connect(token, { client, localAddress: source(index) });
    }
    expect(server.stats.drops.unknownKey).toBe(0);
  });

  test('broadcast to the peers of all of them, or to some', async () => {
    const server = await world.listen();
    const { peers, ends } = await connectMany(server, 30);
    const heard: string[] = [];
    let onAll: () => void = () => undefined;
    const all = new Promise<void>((resolve) => {
      onAll = resolve;
    });
    for (const [index, end] of ends.entries()) {
      end.on('message', (data) => {
        if (heard.push(`${index} ${text(data)}`) === 45) onAll();
      });
    }
    expect(server.broadcast(bytes('all'))).toBe(30);
    const even = peers.filter((_, index) => index % 2 === 0);
    expect(server.broadcast('default', bytes('even'), { peers: even })).toBe(15);
    await all;
    await world.settle();
    expect(heard.toSorted()).toEqual(
      [
        ...peers.map((_, index) => `${index} all`),
        ...even.map((peer) => `${peers.indexOf(peer)} even`),
      ].toSorted(),
    );
  });

  test('have an address for themselves', async () => {
    const server = await world.listen();
    const { address } = server;
    for (const sockets of [three, one, {}]) {
      await expect(
        Server.listen({ address, protocolId, keys: [serverKey], ...sockets }),
      ).rejects.toMatchObject({ code: 'ERR_HAWSER_ADDRESS_IN_USE' });
    }
  });

  test('drain together', async () => {
    const server = await world.listen();
    const { ends } = await connectMany(server, 12);
    for (const end of ends) end.once('goaway', () => void end.close());
    const late = await world.token(server);
    const drained = server.drain({ deadlineMs: 60_000 });
    await expect(world.connect(late, { client, localAddress: source(99) })).rejects.toMatchObject({
      name: 'HawserError',
    });
    await drained;
    expect(server.state).toBe('STOPPED');
    expect(server.stats.counters).toMatchObject({ peers: 0, peersDisconnected: 12 });
  });
});

describe.each(threadedSockets)('a gateway %s', (_name, sockets) => {
  const key = new Uint8Array(32).fill(7);
  const hex = Buffer.from(key).toString('hex');

  const token = (address: string, clientId: bigint, timeoutMs: number): Promise<Uint8Array> =>
    mintToken({ protocolId: 1n, key: { id: 1, key }, clientId, addresses: [address], timeoutMs });

  test('whose JavaScript stands still for 5 s loses nobody, and answers every PING on time', async () => {
    const stallMs = 5000;
    const gateway = fork(child('stalled'), [JSON.stringify({ key: hex, stallMs, sockets })]);
    const client = await Client.open({ address: '0.0.0.0:0' });
    const ends: DisconnectInfo[] = [];
    try {
      const [{ address }] = await once(gateway, 'message');
      const connections: Connection[] = [];
      for (let index = 0; index < 20; ++index) {
        // Whoever is silent for so long is given up, by either side.
        const options = { localAddress: source(index) };
        const connection = await client.connect(await token(address, BigInt(index + 1), 1500), options);
        connection.on('disconnect', (info) => ends.push(info));
        connections.push(connection);
      }
      gateway.send('stall');
      await once(gateway, 'message');
      const before = client.stats.counters;
      for (const connection of connections) connection.send(bytes('meanwhile'));
      // Not as long as JavaScript stands still: what is answered now was answered by a thread.
      await new Promise((resolve) => setTimeout(resolve, stallMs - 800));
      const { pingsSent, pongsReceived } = client.stats.counters;
      expect(ends).toEqual([]);
      // A keep-alive every third of the timeout.
      expect(pongsReceived - before.pongsReceived).toBeGreaterThanOrEqual(4 * connections.length);
      // At most what is on its way at this moment has not been answered.
      expect(pingsSent - pongsReceived).toBeLessThanOrEqual(connections.length);
      for (const { rttMs } of connections) expect(rttMs).toBeLessThan(1000);
      const [after] = await once(gateway, 'message');
      expect(after).toEqual({ peers: 20, ended: 0, heard: 20 });
      expect(connections.every(({ connected }) => connected)).toBe(true);
    } finally {
      await client.close();
      gateway.kill();
      await once(gateway, 'exit');
    }
  });

  test('that is killed and started again is found again by all its clients', async () => {
    const options = { key: hex, resetKey: '22'.repeat(32), sockets };
    const first = await ChildGateway.start({ address: '127.0.0.1:0', ...options });
    const client = await Client.open({ address: '0.0.0.0:0', ...one });
    const connections: Connection[] = [];
    for (let index = 0; index < 12; ++index) {
      const connection = await client.connect(await token(first.address, BigInt(index + 1), 15_000), {
        localAddress: source(index),
      });
      connections.push(connection);
      await first.next();
    }
    const exported = connections.map((connection) => connection.exportKey('test'));
    // A PING may tell a client before it says anything.
    const reconnected = Promise.all(connections.map((connection) => next(connection, 'reconnected')));
    await first.kill();
    const second = await ChildGateway.start({ address: first.address, ...options });
    for (const connection of connections) connection.send(bytes('is anybody there?'));
    await reconnected;
    for (const [index, connection] of connections.entries()) {
      expect(connection.exportKey('test')).not.toEqual(exported[index]);
      const answer = next(connection, 'message').then(([data]) => text(data));
      connection.send(bytes(`over ${index}`));
      expect(await answer).toBe(`over ${index}`);
    }
    const closed = client.close();
    await second.kill();
    await closed;
  });
});

describe.each(threadedSockets)('memory %s', (_name, sockets) => {
  test('a slab that a listener transfers away is replaced', async () => {
    await expectSlabsReplaced(new RealWorld(sockets));
  });
});

describe.runIf(process.platform === 'linux')('the life of I/O threads', () => {
  test('200 times opened and closed leave nothing behind', async () => {
    const { stdout } = await run(process.execPath, ['--expose-gc', child('cycles'), '200', ofChildren]);
    const { grown, descriptors, threads } = JSON.parse(stdout);
    console.log(stdout);
    // The process itself may open one of each; a thread left in each cycle would be 200.
    expect(descriptors).toBeLessThan(5);
    expect(threads).toBeLessThan(5);
    expect(grown.heapUsed + grown.external).toBeLessThan(4 * 1024 * 1024);
    expect(grown.rss).toBeLessThan(128 * 1024 * 1024);
  });

  test('a worker thread that ends while they run ends them', async () => {
    for (let round = 0; round < 40; ++round) {
      const worker = new Worker(child('worker'), { workerData: { server: three, client: one } });
      const [message] = await once(worker, 'message');
      expect(message).toBe('busy');
      expect(await worker.terminate()).toBe(1);
    }
    const world = new RealWorld(three);
    const server = await world.listen();
    await world.connect(await world.token(server));
    await world.close();
  });

  test.each([
    ['exit', { code: 7, signal: null }],
    ['throw', { code: 1, signal: null }],
    ['kill', { code: null, signal: 'SIGTERM' }],
  ])('a process that ends in the middle of traffic ends as it would without them: %s', async (how, end) => {
    for (let round = 0; round < 8; ++round) {
      const outcome = await run(process.execPath, [child('exits'), ofChildren, how]).then(
        () => expect.fail('no error'),
        ({ code, signal, stdout }) => ({ code, signal, stdout }),
      );
      expect(outcome).toEqual({ ...end, stdout: 'busy\n' });
    }
  });

  test('a server without ref lets the process end', async () => {
    const { stdout } = await run(process.execPath, [child('unref'), JSON.stringify(three)]);
    expect(stdout).toBe('open');
  });

  test('what is open is not collected, and keeps the process alive', async () => {
    const { stdout } = await run(process.execPath, ['--expose-gc', child('collected'), ofChildren]);
    expect(stdout).toBe('alive\n');
  });

  test('a client on a thread and a server on the event loop understand each other, and the reverse', async () => {
    for (const [serverOptions, clientOptions] of [
      [{}, one],
      [three, {}],
    ]) {
      const world = new RealWorld();
      const server = await world.listen(serverOptions);
      server.on('message', (peer, data) => peer.send(data));
      const connection = await connect(await world.token(server), clientOptions);
      const answer = next(connection, 'message').then(([data]) => text(data));
      connection.send(bytes('over'));
      expect(await answer).toBe('over');
      await connection.close();
      await world.close();
    }
  });
});
