import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { ConnectError, type Connection, connect, type Peer, Server } from '../../src/index.js';
import {
  type LinkSettings,
  SimulatedNetwork,
  type SimulatedNetworkOptions,
} from '../../src/testing/index.js';
import { mintToken } from '../../src/token/index.js';
import { bytes, next, protocolId, serverKey, text } from '../transport/support.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 500 : 40 }, (_, seed) => seed) : [Number(only)];

async function listen(network: SimulatedNetwork, address?: string): Promise<Server> {
  const at = address === undefined ? {} : { address };
  return Server.listen({ protocolId, keys: [serverKey], network, ...at });
}

/** Tokens that do not depend on chance outside the network. */
function token(network: SimulatedNetwork, server: Server, clientId = 1n, addresses = server.publicAddresses) {
  let counter = Number(clientId) % 251;
  return mintToken({
    protocolId,
    key: serverKey,
    clientId,
    addresses,
    now: () => network.clock.wallNow(),
    random: (target) => target.fill(++counter),
  });
}

describe('virtual time', () => {
  test('moves only while the network runs, and exactly as far', async () => {
    const network = new SimulatedNetwork({ startWallMs: 5000 });
    expect(network.clock.now()).toBe(0);
    await network.run(1234.5);
    expect(network.clock.now()).toBe(1234.5);
    expect(network.clock.wallNow()).toBe(6234.5);
  });

  test('has whole microseconds: a part of one is rounded', async () => {
    const network = new SimulatedNetwork();
    await network.run(1000 / 3);
    expect(network.clock.now()).toBe(333.333);
  });

  test('makes planned calls in their order, and promises settle in between', async () => {
    const network = new SimulatedNetwork();
    const { clock } = network;
    const happened: string[] = [];
    const say = (what: string): void => void happened.push(`${what} at ${clock.now()}`);
    clock.setTimeout(() => say('second'), 20);
    clock.setTimeout(() => say('third'), 20);
    clock.setTimeout(() => say('first'), 10);
    const cleared = clock.setTimeout(() => say('never'), 15);
    cleared.clear();
    clock.setTimeout(() => cleared.clear(), 16);
    const story = (async () => {
      await clock.sleep(30);
      say('slept');
      await clock.sleep(5);
      say('slept again');
      clock.setTimeout(() => say('at once'), 0);
    })();
    await network.run(34);
    expect(happened).toEqual(['first at 10', 'second at 20', 'third at 20', 'slept at 30']);
    await network.run(1);
    await story;
    expect(happened.slice(4)).toEqual(['slept again at 35', 'at once at 35']);
  });

  test('stops when a promise settles or a function returns true, or at the limit', async () => {
    const network = new SimulatedNetwork();
    await expect(network.runUntil(network.clock.sleep(50).then(() => 'value'))).resolves.toBe('value');
    expect(network.clock.now()).toBe(50);
    const failed = network.clock.sleep(10).then(() => Promise.reject(new Error('no')));
    await expect(network.runUntil(failed)).rejects.toThrow('no');
    await network.runUntil(() => network.clock.now() >= 100, { limitMs: 500 });
    await expect(network.runUntil(() => false, { limitMs: 40 })).rejects.toMatchObject({
      code: 'ERR_HAWSER_TIMED_OUT',
    });
    const running = network.run(1);
    await expect(network.run(1)).rejects.toThrow('the network runs already');
    await running;
  });

  test('passes quickly: an hour of keep-alive', async () => {
    const network = new SimulatedNetwork();
    const server = await listen(network);
    const connection = await network.runUntil(connect(await token(network, server), { network }));
    await network.run(3_600_000);
    expect(connection.connected).toBe(true);
    expect(connection.clockSettled).toBe(true);
    await network.runUntil(Promise.all([connection.close(), server.close()]));
  });
});

describe('links', () => {
  test('delay, lose, cut off and join', async () => {
    const network = new SimulatedNetwork({ delayMs: 25 });
    const server = await listen(network);
    server.on('message', (peer, data) => peer.send(data));
    const connection = await network.runUntil(connect(await token(network, server), { network }));
    await network.run(1000);
    expect(connection.rttMs).toBeGreaterThanOrEqual(50);
    expect(connection.rttMs).toBeLessThan(55);
    let echoed = 0;
    connection.on('message', () => {
      ++echoed;
    });
    const exchange = async (): Promise<number> => {
      echoed = 0;
      for (let count = 0; count < 50; ++count) {
        connection.send(bytes('x'));
        await network.run(10);
      }
      await network.run(200);
      return echoed;
    };
    expect(await exchange()).toBe(50);
    network.setLink(connection.localAddress, server.address, { lossRate: 0.5, delayMs: 25 });
    const half = await exchange();
    expect(half).toBeGreaterThan(5);
    expect(half).toBeLessThan(45);
    network.setLink(connection.localAddress, server.address, { up: false });
    expect(await exchange()).toBe(0);
    network.setLink(connection.localAddress, server.address, {});
    network.partition(connection.localAddress, server.address);
    expect(await exchange()).toBe(0);
    network.partition(connection.localAddress, server.address, false);
    expect(await exchange()).toBe(50);
    await network.runUntil(Promise.all([connection.close(), server.close()]));
  });

  /** When the messages of one side arrive, in milliseconds after each was sent, in the order of arrival. One is sent each 2 ms. */
  async function delaysOf(settings: LinkSettings): Promise<{ index: number; delayMs: number }[]> {
    const network = new SimulatedNetwork();
    const server = await listen(network);
    const connection = await network.runUntil(connect(await token(network, server), { network }));
    network.setLink(connection.localAddress, server.address, settings);
    const sentAtMs: number[] = [];
    const arrived: { index: number; delayMs: number }[] = [];
    server.on('message', (_, data) => {
      const index = Number(text(data));
      arrived.push({ index, delayMs: network.clock.now() - (sentAtMs[index] ?? Number.NaN) });
    });
    for (let index = 0; index < 200; ++index) {
      sentAtMs.push(network.clock.now());
      connection.send(bytes(`${index}`));
      await network.run(2);
    }
    await network.run(200);
    expect(arrived).toHaveLength(200);
    await network.runUntil(Promise.all([connection.close(), server.close()]));
    return arrived;
  }

  const overtaken = (arrived: readonly { index: number }[]): number =>
    arrived.filter(({ index }, place) => index < (arrived[place - 1]?.index ?? 0)).length;

  test('keep the order whatever the jitter, unless the jitter may reorder', async () => {
    const jitter = { delayMs: 20, jitterMs: 30 };
    expect(overtaken(await delaysOf(jitter))).toBe(0);
    expect(overtaken(await delaysOf({ ...jitter, jitterReorders: false }))).toBe(0);
    const reordered = await delaysOf({ ...jitter, jitterReorders: true });
    expect(overtaken(reordered)).toBeGreaterThan(50);
    const delays = reordered.map(({ delayMs }) => delayMs);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(20);
    expect(Math.max(...delays)).toBeLessThanOrEqual(50);
  });

  test('hold datagrams back exactly as long as the settings say', async () => {
    const heldBack = { delayMs: 20, reorderRate: 0.2, leastHoldBackMs: 4.007, mostHoldBackMs: 4.007 };
    const delays = (await delaysOf(heldBack)).map(({ delayMs }) => Math.round(delayMs * 1000));
    expect([...new Set(delays)].sort()).toEqual([20_000, 24_007]);
    const held = delays.filter((each) => each > 20_000).length;
    expect(held).toBeGreaterThan(20);
    expect(held).toBeLessThan(70);

    // Where jitter keeps the order, all of it is added, so that later datagrams overtake.
    const slow = await delaysOf({ ...heldBack, reorderRate: 1, jitterMs: 30 });
    expect(Math.min(...slow.map(({ delayMs }) => delayMs))).toBeGreaterThanOrEqual(54.007);
    const fast = await delaysOf({ ...heldBack, reorderRate: 1, jitterMs: 30, jitterReorders: true });
    expect(Math.min(...fast.map(({ delayMs }) => delayMs))).toBeLessThan(40);
    expect(Math.max(...fast.map(({ delayMs }) => delayMs))).toBeLessThanOrEqual(54.007);
  });

  test('hold datagrams back between the two bounds, by 10 ms at most by default', async () => {
    const range = { delayMs: 20, reorderRate: 1, leastHoldBackMs: 30, mostHoldBackMs: 60 };
    const delays = (await delaysOf(range)).map(({ delayMs }) => delayMs - 20);
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(30);
    expect(Math.min(...delays)).toBeLessThan(35);
    expect(Math.max(...delays)).toBeLessThanOrEqual(60);
    expect(Math.max(...delays)).toBeGreaterThan(55);
    const usual = (await delaysOf({ delayMs: 20, reorderRate: 1 })).map(({ delayMs }) => delayMs - 20);
    expect(Math.min(...usual)).toBeGreaterThan(0);
    expect(Math.max(...usual)).toBeLessThanOrEqual(10);
    expect(Math.max(...usual)).toBeGreaterThan(9);
  });

  test.each([true, false])('limit the rate of all that they cover together: %s', async (sharedBottleneck) => {
    const network = new SimulatedNetwork({ seed: 3 });
    const server = await listen(network);
    const connections = [];
    for (const clientId of [1n, 2n]) {
      connections.push(await network.runUntil(connect(await token(network, server, clientId), { network })));
    }
    let received = 0;
    server.on('message', (_, data) => {
      received += data.length;
    });
    network.setLink(undefined, server.address, {
      bytesPerSecond: 20_000,
      queueBytes: 5000,
      ecnMarkBytes: 1000,
      sharedBottleneck,
    });
    for (let count = 0; count < 200; ++count) {
      for (const connection of connections) connection.send(new Uint8Array(1000));
      await network.run(10);
    }
    // Two seconds at the rate, and what was in the queues; each message has about 35 bytes of a packet around it.
    const links = sharedBottleneck ? 1 : 2;
    expect(received).toBeLessThanOrEqual(links * 40_000);
    expect(received).toBeGreaterThanOrEqual(links * 36_000);
    network.setLink(undefined, server.address, {});
    const ends = connections.map((connection) => connection.close());
    await network.runUntil(Promise.all([...ends, server.close()]));
  });

  test.each([
    [{ ecnMarkBytes: -1 }, 'ecnMarkBytes must be an integer from 0 to 1099511627776; got -1'],
    [{ sharedBottleneck: 1 }, 'sharedBottleneck must be true or false; got 1'],
    [{ up: 'no' }, 'up must be true or false; got "no"'],
    [{ lossRate: 2 }, 'lossRate must be a number from 0 to 1; got 2'],
    [{ jitterReorders: 0 }, 'jitterReorders must be true or false; got 0'],
    [{ leastHoldBackMs: 0.0009 }, 'leastHoldBackMs must be a number from 0.001 to 60000; got 0.0009'],
    [
      { leastHoldBackMs: Number.POSITIVE_INFINITY },
      'leastHoldBackMs must be a number from 0.001 to 60000; got Infinity',
    ],
    [{ mostHoldBackMs: -1 }, 'mostHoldBackMs must be a number from 0.001 to 60000; got -1'],
    [{ leastHoldBackMs: 2, mostHoldBackMs: 1 }, 'mostHoldBackMs must be leastHoldBackMs (2) or more; got 1'],
  ])('refuse %j', (settings, message) => {
    const network = new SimulatedNetwork();
    expect(() => network.setLink(undefined, undefined, settings as SimulatedNetworkOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT', message }),
    );
  });

  test('show their datagrams, and take foreign ones', async () => {
    const network = new SimulatedNetwork();
    const server = await listen(network);
    const seen: [string, string, number][] = [];
    network.capture((from, to, datagram) => seen.push([from, to, datagram[0] ?? 0]));
    const connection = await network.runUntil(connect(await token(network, server), { network }));
    const there = [connection.localAddress, server.address];
    const back = [...there].reverse();
    expect(seen.slice(0, 4)).toEqual([
      [...there, 0xa0],
      [...back, 0xa1],
      [...there, 0xa2],
      [...back, 0xa3],
    ]);
    network.capture(undefined);
    const count = seen.length;
    network.inject('192.0.2.66:666', server.address, bytes('not a datagram of this protocol'));
    await network.run(100);
    expect(server.stats.drops.unknownType).toBe(1);
    expect(seen).toHaveLength(count);
    await network.runUntil(Promise.all([connection.close(), server.close()]));
  });

  test('lead to another address when a NAT forgets its mapping', async () => {
    const network = new SimulatedNetwork();
    const server = await listen(network);
    const connection = await network.runUntil(connect(await token(network, server), { network }));
    const froms = new Set<string>();
    network.capture((from) => froms.add(from));
    network.moveAddress(connection.localAddress, '10.9.9.9:999');
    const heard = next(server, 'message');
    connection.send(bytes('from elsewhere'));
    const [, data] = await network.runUntil(heard);
    expect(data).toHaveLength(14);
    expect(froms).toContain('10.9.9.9:999');
    expect(() => network.moveAddress('10.7.7.7:7', '10.9.9.9:998')).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
    await network.runUntil(Promise.all([connection.close(), server.close()]));
  });
});

describe('arguments', () => {
  test.each([
    [{ seed: -1 }, 'seed must be an integer from 0'],
    [{ seed: 2n ** 64n }, 'seed must be an integer from 0 to 2 ** 64 - 1'],
    [{ lossRate: 1.1 }, 'lossRate must be a number from 0 to 1; got 1.1'],
    [{ loss: 1 }, "unknown option 'loss' in options"],
    [{ delayMs: -1 }, 'delayMs must be a number from 0 to 60000; got -1'],
    [{ leastHoldBackMs: 10.5 }, 'mostHoldBackMs must be leastHoldBackMs (10.5) or more; got 10'],
  ])('%o is refused', (options, message) => {
    expect(() => new SimulatedNetwork(options as SimulatedNetworkOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT', message: expect.stringContaining(message) }),
    );
  });
});

/** A hostile network's whole story as one hash. */
async function story(seed: number): Promise<string> {
  const network = new SimulatedNetwork({
    seed,
    lossRate: 0.2,
    duplicateRate: 0.1,
    reorderRate: 0.1,
    delayMs: 20,
    jitterMs: 30,
  });
  const hash = createHash('sha256');
  network.capture((from, to, datagram) =>
    hash.update(`${network.clock.now()} ${from} ${to}`).update(datagram),
  );
  const server = await listen(network, '10.1.0.1:4000');
  server.on('message', (peer, data) => peer.send(data));
  const attempt = connect(await token(network, server), { network });
  const connection = await network.runUntil(attempt.catch((error: unknown) => error));
  if (connection instanceof Error) return `${connection.message} ${hash.digest('hex')}`;
  await network.run(2000);
  await network.runUntil(server.close());
  return hash.digest('hex');
}

test('one seed is one exact run, another seed another', async () => {
  const first = await story(11);
  expect(await story(11)).toBe(first);
  expect(await story(12)).not.toBe(first);
});

describe('whatever the network does', () => {
  test.each(seeds)(
    'seed %i: connecting ends in a stated result, both sides agree, nothing is left',
    async (seed) => {
      const network = new SimulatedNetwork({
        seed,
        lossRate: (seed % 11) / 20,
        duplicateRate: (seed % 3) / 10,
        reorderRate: (seed % 5) / 10,
        delayMs: seed % 90,
        jitterMs: seed % 40,
      });
      const server = await listen(network);
      // By peer: an attempt that the network broke off late may have been a peer for a while.
      const connected = new Map<Peer, boolean>();
      const heardTwice: string[] = [];
      const heard = new Set<string>();
      server.on('connect', (peer) => {
        expect(connected.get(peer)).toBeUndefined();
        connected.set(peer, true);
      });
      server.on('message', (peer, data) => {
        expect(connected.get(peer)).toBe(true);
        const message = `${peer.clientId} ${text(data)}`;
        if (heard.has(message)) heardTwice.push(message);
        heard.add(message);
      });
      server.on('disconnect', (peer) => {
        expect(connected.get(peer)).toBe(true);
        connected.set(peer, false);
      });
      // Every other token lists a gateway first that does not exist.
      const attempts = Array.from({ length: 4 }, async (_, index) => {
        const addresses = index % 2 ? ['10.255.0.1:1', ...server.publicAddresses] : server.publicAddresses;
        return connect(await token(network, server, BigInt(index + 1), addresses), { network });
      });
      const results = await network.runUntil(Promise.allSettled(attempts));
      const connections: Connection[] = [];
      for (const result of results) {
        if (result.status === 'fulfilled') connections.push(result.value);
        else expect(result.reason).toMatchObject({ result: expect.stringMatching(/timedOut|denied/) });
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(ConnectError);
      }
      if (seed % 11 === 0) expect(connections).toHaveLength(4);
      for (let round = 0; round < 20; ++round) {
        for (const connection of connections) connection.send(bytes(`${round}`));
        await network.run(100);
      }
      // A datagram that others overtake is on its way for longer than that.
      await network.run(200);
      expect(heardTwice).toEqual([]);
      if (seed % 11 === 0) expect(heard.size).toBe(80);
      for (const connection of connections) expect(connection.clockOffsetMs).not.toBeNaN();
      await network.runUntil(Promise.all([server.close(), ...connections.map((each) => each.close())]));
      expect(server.peers.size).toBe(0);
      expect([...connected.values()].every((is) => !is)).toBe(true);
    },
  );
});
