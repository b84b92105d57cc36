// What I/O threads promise beyond what every session does (session.test.ts and others run on them too).

import { execFile, fork } from 'node:child_process';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { promisify } from 'node:util';
import { Worker } from 'node:worker_threads';
import { afterAll, afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { Client, type Connection, connect, type DisconnectInfo, type Peer, Server } from '../../src/index.js';
import { mintToken } from '../../src/token/index.js';
import type { DropMessage } from '../../src/transport/diagnostics.js';
import { ChildGateway, child } from './child-gateway.js';
import {
  bytes,
  expectSlabsReplaced,
  next,
  patienceMs,
  protocolId,
  RealWorld,
  serverKey,
  type TokenOverrides,
  text,
  threadedSockets,
} from './support.js';

const run = promisify(execFile);
const shardCount = 3;
const three = { driver: 'threads', threads: shardCount } as const;
const allShards = new Set(Array.from({ length: shardCount }, (_, shard) => shard));
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
  async function connectMany(
    server: Server,
    count: number,
    overrides: TokenOverrides = {},
  ): Promise<{ peers: Peer[]; ends: Connection[] }> {
    const arriving = peersOf(server);
    const peers: Peer[] = [];
    const ends: Connection[] = [];
    for (let index = 0; index < count; ++index) {
      const options = { client, localAddress: source(index) };
      ends.push(await world.connect(await world.token(server, overrides), options));
      peers.push(await arriving.next());
    }
    return { peers, ends };
  }

  test('share the peers, each of which is served by one', async () => {
    const server = await world.listen();
    server.on('message', (peer, data) => peer.send(data));
    const { peers, ends } = await connectMany(server, 48);
    // That one of them gets none of 48 happens once in a hundred million times.
    expect(new Set(peers.map(({ shard }) => shard))).toEqual(allShards);
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
    const server = await world.listen({ restartGuardMs: 0 });
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

  test('roll their keys together: the old one opens none of them any more, and the new one every one', async () => {
    const drops: DropMessage[] = [];
    const onDrop = (message: unknown): void => void drops.push(message as DropMessage);
    subscribe('hawser:drop', onDrop);
    onTestFinished(() => void unsubscribe('hawser:drop', onDrop));
    const server = await world.listen();
    const { ends } = await connectMany(server, 6);
    const fresh = { id: 8, key: new Uint8Array(32).fill(3) };
    server.setKeys([fresh]);
    // That one of the three is asked by none of 48 happens once in a hundred million times.
    const refused = Array.from({ length: 48 }, async (_, index) => {
      const options = { client, localAddress: source(6 + index), timeoutMs: 300 };
      await expect(world.connect(await world.token(server), options)).rejects.toMatchObject({
        result: 'timedOut',
      });
    });
    await Promise.all(refused);
    expect([...server.peers]).toHaveLength(6);
    const { peers } = await connectMany(server, 48, { key: fresh });
    expect(new Set(peers.map(({ shard }) => shard))).toEqual(allShards);
    expect(ends.every(({ connected }) => connected)).toBe(true);
    // What each of them dropped is told at the latest when it stops.
    await server.close();
    const refusing = drops.filter(
      ({ address, reason }) => address === server.address && reason === 'unknownKey',
    );
    expect(new Set(refusing.map(({ shard }) => shard))).toEqual(allShards);
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

  test('drain together: whoever comes afterwards is denied by each of them', async () => {
    const server = await world.listen();
    const { ends } = await connectMany(server, 12);
    const asked = Promise.all(ends.map((end) => next(end, 'goaway')));
    const drained = server.drain({ deadlineMs: 60_000 });
    await asked;
    // From 48 addresses, so that each of the three is asked; by one that did not know, they would be let in.
    for (let index = 12; index < 60; ++index) {
      const options = { client, localAddress: source(index) };
      await expect(world.connect(await world.token(server), options)).rejects.toMatchObject({
        denied: 'SHUTTING_DOWN',
      });
    }
    expect(server.stats.counters).toMatchObject({ peers: 12 });
    for (const end of ends) void end.close();
    await drained;
    expect(server.state).toBe('STOPPED');
    expect(server.stats.counters).toMatchObject({ peers: 0, peersDisconnected: 12 });
  });
});

// Together, because they wait more than they work.
describe.concurrent.each(threadedSockets)('a gateway %s', (_name, sockets) => {
  const key = new Uint8Array(32).fill(7);
  const hex = Buffer.from(key).toString('hex');

  const token = (address: string, clientId: bigint, timeoutMs: number): Promise<Uint8Array> =>
    mintToken({ protocolId: 1n, key: { id: 1, key }, clientId, addresses: [address], timeoutMs });

  test('whose JavaScript stands still loses nobody, and goes on to answer the PINGs of every peer', async () => {
    // Whoever is silent for so long is given up, by either side. It is more than any of the processes stands still without being told to.
    const timeoutMs = 20_000;
    const gateway = fork(child('stalled'), [JSON.stringify({ key: hex, sockets })], {
      stdio: ['pipe', 'inherit', 'inherit', 'ipc'],
    });
    // One each, so that what is counted is of one peer.
    const clients = await Promise.all(
      Array.from({ length: 20 }, (_, index) => Client.open({ address: `${source(index)}:0` })),
    );
    const ends: DisconnectInfo[] = [];
    try {
      const [{ address }] = await once(gateway, 'message');
      const connections: Connection[] = [];
      for (const [index, client] of clients.entries()) {
        const options = { timeoutMs: patienceMs };
        const connection = await client.connect(await token(address, BigInt(index + 1), timeoutMs), options);
        connection.on('disconnect', (info) => ends.push(info));
        connections.push(connection);
      }
      const begun = once(gateway, 'message');
      gateway.send('stall');
      await begun;
      const beganAt = performance.now();
      const before = clients.map((client) => client.stats.counters.pongsReceived);
      for (const connection of connections) connection.send(bytes('meanwhile'));
      // It goes on only when it is told to: what is answered until then is answered by a thread. Of each peer's PINGs that is every one but
      // the one that may be on its way.
      const answered = (): boolean =>
        clients.every((client, index) => {
          const { pingsSent, pongsReceived } = client.stats.counters;
          return pongsReceived > (before[index] ?? 0) && pingsSent - pongsReceived <= 1;
        });
      while (ends.length === 0 && (performance.now() < beganAt + timeoutMs + 1000 || !answered())) {
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      expect(ends).toEqual([]);
      expect(connections.every(({ connected }) => connected)).toBe(true);
      const told = once(gateway, 'message');
      gateway.stdin?.end();
      expect((await told)[0]).toEqual({ peers: 20, ended: 0, heard: 20 });
    } finally {
      await Promise.all(clients.map((client) => client.close()));
      const exit = once(gateway, 'exit');
      gateway.kill('SIGKILL');
      await exit;
    }
  });

  test('that is killed and started again is found again by all its clients', async () => {
    const options = { key: hex, resetKey: '22'.repeat(32), sockets };
    const first = await ChildGateway.start({ address: await freeAddress(), ...options });
    const client = await Client.open({ address: '0.0.0.0:0', ...one });
    const connections: Connection[] = [];
    for (let index = 0; index < 12; ++index) {
      const connection = await client.connect(await token(first.address, BigInt(index + 1), patienceMs), {
        localAddress: source(index),
        timeoutMs: patienceMs,
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
    // The process itself may open one of each; a thread left in each cycle would be 200.
    expect(descriptors).toBeLessThan(5);
    expect(threads).toBeLessThan(5);
    expect(grown.heapUsed + grown.external).toBeLessThan(4 * 1024 * 1024);
    expect(grown.rss).toBeLessThan(128 * 1024 * 1024);
  });

  test('with too few files for all of them none is opened, and nothing is left behind', async () => {
    const program = [process.execPath, child('few-files'), JSON.stringify({ driver: 'threads', threads: 4 })];
    const { stdout } = await run('sh', ['-c', 'ulimit -n 64 && exec "$@"', 'sh', ...program]);
    const { address, attempts, ...report } = JSON.parse(stdout);
    const advice = 'the process has no file descriptor left; raise "ulimit -n"';
    expect(report).toEqual({
      failures: [['ERR_HAWSER_TOO_MANY_FILES', `cannot open a UDP socket on ${address}: ${advice}`]],
      left: { files: 0, threads: 0 },
      alone: address,
    });
    // The socket of each of the four at least.
    expect(attempts).toBeGreaterThanOrEqual(4);
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
