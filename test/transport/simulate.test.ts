// Bad networks on purpose, over real sockets. Bounds are those of the option from below; from above only those of the best of many tries,
// for a machine may be busy with something else.

import { Worker } from 'node:worker_threads';
import { afterEach, describe, expect, test } from 'vitest';
import { type ImpairmentOptions, Server } from '../../src/index.js';
import { SimulatedNetwork } from '../../src/testing/index.js';
import { encodeToken, mintToken } from '../../src/token/index.js';
import { child } from './child-gateway.js';
import { bytes, next, protocolId, RealWorld, realSockets, serverKey, text } from './support.js';

describe.each(realSockets)('bad networks %s', (_name, sockets) => {
  let world = new RealWorld(sockets);
  afterEach(async () => {
    await world.close();
    world = new RealWorld(sockets);
  });

  async function listen(simulate: ImpairmentOptions): Promise<Server> {
    const server = await world.listen({ simulate });
    server.on('message', (peer, data) => peer.send(data));
    return server;
  }

  test('what loses everything lets nobody connect', async () => {
    const server = await listen({ lossRate: 1 });
    const controller = new AbortController();
    const connecting = world.connect(await world.token(server), { signal: controller.signal });
    const refused = expect(connecting).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    // It asks again and again.
    while ((server.stats.socket.dropImpairedLoss ?? 0) < 3) await world.settle();
    controller.abort();
    await refused;
    await world.settle();
    const { counters, socket: cells, drops } = server.stats;
    expect(counters.datagramsReceived).toBe(0);
    expect(cells.datagramsIn).toBe(cells.dropImpairedLoss);
    expect(Object.values(drops).every((count) => count === 0)).toBe(true);
  });

  test.each(['server', 'client'] as const)('a delay at the %s counts once each way', async (where) => {
    const simulate = { delayMs: 60, jitterMs: 5 };
    const server = await listen(where === 'server' ? simulate : {});
    const token = await world.token(server);
    const connection = await world.connect(token, where === 'client' ? { simulate } : {});
    const began = performance.now();
    connection.send(bytes('echo'));
    expect(text((await next(connection, 'message'))[0])).toBe('echo');
    const elapsedMs = performance.now() - began;
    expect(elapsedMs).toBeGreaterThanOrEqual(119);
    expect(connection.minRttMs).toBeGreaterThanOrEqual(119);
    // Twice the delay each way would be 240.
    await expect.poll(() => connection.minRttMs).toBeLessThan(235);
    // Goodbyes pass the delay too, and both ends hear of them.
    const left = next(server, 'disconnect');
    await connection.close();
    expect((await left)[1].result).toBe('disconnected');
  });

  test('a server that closes still tells its peers', async () => {
    const server = await listen({ delayMs: 40 });
    const connection = await world.connect(await world.token(server));
    const ended = next(connection, 'disconnect');
    await server.close({ reason: 'maintenance' });
    expect((await ended)[0]).toMatchObject({ result: 'disconnected', reason: 'maintenance' });
  });

  test('each datagram twice is each message once', async () => {
    const server = await listen({ duplicateRate: 1, reorderRate: 0.5 });
    const connection = await world.connect(await world.token(server));
    const got: string[] = [];
    const sent = Array.from({ length: 50 }, (_, index) => `message ${index}`);
    const all = new Promise<void>((resolve) => {
      connection.on('message', (data) => {
        got.push(text(data));
        if (got.length === sent.length) resolve();
      });
    });
    for (const message of sent) {
      connection.send(bytes(message));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await all;
    expect([...got].sort()).toEqual([...sent].sort());
    const { socket: cells, drops } = server.stats;
    expect(cells.impairedDuplicated).toBeGreaterThan(0);
    expect(cells.impairedHeldBack).toBeGreaterThan(0);
    expect(drops.replayed).toBeGreaterThan(0);
  });

  test('what is held back comes as late as the options say', async () => {
    const simulate = { reorderRate: 1, leastHoldBackMs: 60, mostHoldBackMs: 60 };
    const server = await listen(simulate);
    const connection = await world.connect(await world.token(server));
    const began = performance.now();
    connection.send(bytes('echo'));
    expect(text((await next(connection, 'message'))[0])).toBe('echo');
    expect(performance.now() - began).toBeGreaterThanOrEqual(119);
    expect(connection.minRttMs).toBeGreaterThanOrEqual(119);
    // By default a datagram is held back by at most 10 ms.
    await expect.poll(() => connection.minRttMs).toBeLessThan(235);
  });

  test.each([true, false])('jitter reorders what is sent at one time: %s', async (jitterReorders) => {
    const server = await listen({});
    const simulate = { jitterMs: 50, jitterReorders };
    const connection = await world.connect(await world.token(server), { simulate });
    const arrived: number[] = [];
    const all = new Promise<void>((resolve) => {
      server.on('message', (_, data) => {
        arrived.push(data[0] ?? 0);
        if (arrived.length === 50) resolve();
      });
    });
    // Each fills a datagram of its own.
    for (let index = 0; index < 50; ++index) connection.send(new Uint8Array(1000).fill(index));
    await all;
    const inOrder = [...arrived].sort((a, b) => a - b);
    expect(inOrder).toEqual(Array.from({ length: 50 }, (_, index) => index));
    if (jitterReorders) expect(arrived).not.toEqual(inOrder);
    else expect(arrived).toEqual(inOrder);
  });

  test('a rate passes what its queue holds, one after the other, and loses the rest', async () => {
    const server = await listen({});
    const simulate = { bytesPerSecond: 50_000, queueBytes: 5000 };
    const connection = await world.connect(await world.token(server), { simulate });
    const arrived: number[] = [];
    const last = new Promise<void>((resolve) => {
      server.on('message', (_, data) => {
        arrived.push(data[0] ?? 0);
        if (data[0] === 255) resolve();
      });
    });
    const began = performance.now();
    for (let index = 0; index < 20; ++index) connection.send(new Uint8Array(1000).fill(index));
    const finale = setInterval(() => connection.send(Uint8Array.of(255)), 100);
    await last;
    clearInterval(finale);
    // Four fit into 5,000 bytes, perhaps behind a PING, or a fifth where the first has begun to leave.
    const passed = arrived.filter((first) => first !== 255);
    expect(passed.length).toBeGreaterThanOrEqual(3);
    expect(passed.length).toBeLessThanOrEqual(6);
    expect(passed).toEqual([...passed].sort((a, b) => a - b));
    expect(performance.now() - began).toBeGreaterThanOrEqual(60);
  });

  test('what is in flight when a socket is closed is gone with it', async () => {
    const server = await listen({});
    const connecting = world.connect(await world.token(server), {
      simulate: { delayMs: 30_000 },
      signal: AbortSignal.timeout(300),
    });
    await expect(connecting).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    expect(server.stats.counters.datagramsReceived).toBe(0);
  });
});

test('what arrived while the process stood still is delivered before deadlines count, whatever the delay', async () => {
  await using server = await Server.listen({
    address: '127.0.0.1:0',
    protocolId,
    keys: [serverKey],
    simulate: { delayMs: 100 },
  });
  const timeoutMs = 4000;
  const options = { protocolId, key: serverKey, clientId: 1n, addresses: server.publicAddresses };
  const token = encodeToken(await mintToken({ ...options, timeoutMs }));
  const sent = new Int32Array(new SharedArrayBuffer(4));
  // As long again as a keep-alive may have come before.
  const talker = new Worker(child('talker'), { workerData: { token, sent, restMs: timeoutMs / 2 } });
  try {
    const ended = next(server, 'disconnect');
    let delivered = 0;
    await new Promise<void>((resolve) => {
      server.on('message', () => {
        ++delivered;
        resolve();
      });
    });
    // Nothing is in flight when it begins; the talker talks, hears nothing, and ends. Then the timeout has passed here too.
    expect(Atomics.wait(sent, 0, 0, 60_000)).toBe('ok');
    expect((await ended)[1].result).toBe('timedOut');
    expect(sent[0]).toBeGreaterThan(3);
    expect(delivered).toBe(sent[0]);
  } finally {
    await talker.terminate();
  }
});

test('a simulated network has links of its own', async () => {
  const network = new SimulatedNetwork();
  const options = { protocolId, keys: [serverKey], network, simulate: { lossRate: 0.1 } };
  await expect(Server.listen(options)).rejects.toMatchObject({
    code: 'ERR_HAWSER_ARGUMENT',
    message: 'simulate must be left out where network is given, whose links have these settings; got both',
  });
});
