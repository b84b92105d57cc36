// The timers of docs/protocol.md as an independent implementation sees them, in virtual time: how often the addon says what, and
// when it gives up.

import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Connection, type ConnectOptions, connect, type Peer, Server } from '../../src/index.js';
import { SimulatedNetwork } from '../../src/testing/index.js';
import { type MintTokenOptions, mintToken } from '../../src/token/index.js';
import { type Endpoint, ReferenceClient, ReferenceServer } from '../reference/endpoints.js';
import type { Frame } from '../reference/frames.js';
import * as reference from '../reference/hawser1.js';
import { next, protocolId, serverKey } from '../transport/support.js';

beforeAll(() => reference.ready);

/** A datagram that the addon sent to the reference, and when. */
interface Heard {
  readonly atMs: number;
  readonly datagram: Uint8Array;
}

const delayMs = 5;

/** A place in the simulated network where the reference stands. Datagrams reach it at once; what it sends takes 5 ms. */
class Place {
  readonly address: string;
  readonly endpoint: Endpoint;
  readonly heard: Heard[] = [];
  /** While it is mute nothing that the reference sends leaves. */
  mute = false;
  receiver: ((datagram: Uint8Array, from: Endpoint) => void) | undefined;
  readonly #network: SimulatedNetwork;

  constructor(network: SimulatedNetwork, host: string) {
    this.#network = network;
    this.address = `${host}:5000`;
    this.endpoint = { host, port: 5000 };
  }

  readonly send = (datagram: Uint8Array, { host, port }: Endpoint): void => {
    if (this.mute) return;
    const { clock } = this.#network;
    clock.setTimeout(() => this.#network.inject(this.address, `${host}:${port}`, datagram), delayMs);
  };

  take(from: string, datagram: Uint8Array): void {
    this.heard.push({ atMs: this.#network.clock.now(), datagram });
    const [host = '', port] = from.split(':');
    this.receiver?.(datagram, { host, port: Number(port) });
  }

  /** When datagrams that begin so arrived. */
  timesOf(kind: number): number[] {
    return this.heard.filter(({ datagram }) => datagram[0] === kind).map(({ atMs }) => atMs);
  }
}

let network: SimulatedNetwork;
let places: Place[];
let lastClientId = 0n;

beforeEach(() => {
  network = new SimulatedNetwork({ delayMs });
  places = [];
  network.capture((from, to, datagram) => {
    places.find(({ address }) => address === to)?.take(from, datagram);
  });
});
afterEach(() => network.capture(undefined));

function place(): Place {
  const made = new Place(network, `10.99.0.${places.length + 1}`);
  places.push(made);
  return made;
}

function mint(addresses: readonly string[], options: Partial<MintTokenOptions> = {}): Promise<Uint8Array> {
  return mintToken({
    protocolId,
    key: serverKey,
    clientId: ++lastClientId,
    addresses,
    now: () => network.clock.wallNow(),
    ...options,
  });
}

const nowMicros = (): bigint => BigInt(Math.round(network.clock.now() * 1000));

/** Milliseconds between one time and the next, to the microsecond. */
function intervals(times: readonly number[]): number[] {
  return times.slice(1).map((time, index) => Math.round((time - (times[index] ?? 0)) * 1000) / 1000);
}

/** 10 Hz with 10 % jitter. The engine's timers have ticks of a millisecond. */
function expectTenHertz(times: readonly number[], least: number): void {
  expect(times.length).toBeGreaterThanOrEqual(least);
  for (const interval of intervals(times)) {
    expect(interval).toBeGreaterThanOrEqual(90);
    expect(interval).toBeLessThanOrEqual(111);
  }
}

describe('connect() says', () => {
  function serverAt(at: Place, clock: () => bigint = nowMicros): ReferenceServer {
    const server = new ReferenceServer({
      protocolId,
      keys: new Map([[serverKey.id, serverKey.key]]),
      addresses: [at.endpoint],
      sendDatagram: at.send,
      nowMs: () => Math.floor(network.clock.wallNow()),
      nowMicros: clock,
    });
    at.receiver = (datagram, from) => server.receive(datagram, from);
    return server;
  }

  async function join(
    at: Place,
    tokenOptions: Partial<MintTokenOptions> = {},
    options: ConnectOptions = {},
  ): Promise<Connection> {
    const token = await mint([at.address], tokenOptions);
    return network.runUntil(connect(token, { network, ...options }));
  }

  /** When the frames of that type arrived, one time for each. */
  function watch(at: Place, server: ReferenceServer, type: Frame['type']): number[] {
    const times: number[] = [];
    const before = at.receiver;
    at.receiver = (datagram, from) => {
      const session = server.peers[0]?.session;
      const seen = session?.received.length ?? 0;
      before?.(datagram, from);
      const frames = server.peers[0]?.session.received.slice(seen) ?? [];
      for (const frame of frames) if (frame.type === type) times.push(network.clock.now());
    };
    return times;
  }

  test('REQUEST at 10 Hz, the same each time, and to the next address every 300 ms', async () => {
    const [first, second, third] = [place(), place(), place()];
    const started = network.clock.now();
    const token = await mint([first.address, second.address, third.address]);
    const attempt = connect(token, { network, timeoutMs: 2000 });
    await network.runUntil(expect(attempt).rejects.toMatchObject({ code: 'ERR_HAWSER_TIMED_OUT' }));
    expectTenHertz(first.timesOf(reference.kind.request), 18);
    for (const [index, { heard }] of [first, second, third].entries()) {
      expect((heard[0]?.atMs ?? 0) - started).toBeGreaterThanOrEqual(300 * index);
      expect((heard[0]?.atMs ?? 0) - started).toBeLessThanOrEqual(300 * index + 3);
      for (const { datagram } of heard) expect(datagram).toEqual(first.heard[0]?.datagram);
    }
    expect(network.clock.now() - started).toBeLessThan(2010);
  });

  test('RESPONSE at 10 Hz, the same each time, and begins a new attempt after a second without ACCEPT', async () => {
    const at = place();
    const server = serverAt(at);
    at.receiver = (datagram, from) => {
      if (datagram[0] === reference.kind.request) server.receive(datagram, from);
    };
    const attempt = connect(await mint([at.address]), { network, timeoutMs: 3000 });
    await network.runUntil(expect(attempt).rejects.toMatchObject({ result: 'timedOut' }));
    const requests = at.timesOf(reference.kind.request);
    expect(requests).toHaveLength(3);
    for (const interval of intervals(requests)) {
      expect(interval).toBeGreaterThanOrEqual(1000);
      expect(interval).toBeLessThanOrEqual(1020);
    }
    const shares = at.heard.filter(({ datagram }) => datagram[0] === reference.kind.request);
    expect(new Set(shares.map(({ datagram }) => datagram.slice(1041, 1073).join())).size).toBe(3);
    for (const [index, from] of requests.entries()) {
      const until = requests[index + 1] ?? Number.POSITIVE_INFINITY;
      const responses = at.heard.filter(
        ({ atMs, datagram }) => datagram[0] === reference.kind.response && atMs >= from && atMs < until,
      );
      expectTenHertz(
        responses.map(({ atMs }) => atMs),
        9,
      );
      for (const { datagram } of responses) expect(datagram).toEqual(responses[0]?.datagram);
    }
  });

  test('PING at 10 Hz until the gateway confirms, each in a packet of its own', async () => {
    const at = place();
    const server = serverAt(at);
    const { receiver } = at;
    at.receiver = (datagram, from) => {
      if (datagram[0] !== reference.kind.session) receiver?.(datagram, from);
    };
    const token = await mint([at.address]);
    const attempt = connect(token, { network, timeoutMs: 900 });
    await network.runUntil(expect(attempt).rejects.toMatchObject({ result: 'timedOut' }));
    expectTenHertz(at.timesOf(reference.kind.session), 8);
    expect(server.peers).toHaveLength(1);
    expect(server.peers[0]?.confirmed).toBe(false);
  });

  test('PING at 10 Hz until its clock has settled, then as keep-alive every third of the timeout', async () => {
    const at = place();
    const server = serverAt(at);
    const pings = watch(at, server, 'PING');
    const connection = await join(at, { timeoutMs: 9000 });
    await network.run(2000);
    expect(connection.clockSettled).toBe(true);
    const fast = pings.length;
    expect(fast).toBeGreaterThanOrEqual(4);
    expect(fast).toBeLessThanOrEqual(8);
    for (const interval of intervals(pings)) {
      expect(interval).toBeGreaterThanOrEqual(75);
      expect(interval).toBeLessThanOrEqual(111);
    }
    await network.run(60_000);
    // The first is put off by a quarter more, because the gateway's own PING was answered.
    const [first = 0, ...slow] = intervals(pings.slice(fast - 1));
    expect(first).toBeLessThanOrEqual(3752);
    expect(slow.length).toBeGreaterThanOrEqual(18);
    for (const interval of slow) {
      expect(interval).toBeGreaterThanOrEqual(2250);
      expect(interval).toBeLessThanOrEqual(3002);
    }
    expect(connection.connected).toBe(true);
  });

  test('PING at 1 Hz after eight samples while the clock does not settle, but not for ever', async () => {
    const at = place();
    // A clock that is somewhere else at each PING.
    const server = serverAt(at, () => nowMicros() + ((nowMicros() / 37_000n) ** 2n % 101n) * 1000n);
    const pings = watch(at, server, 'PING');
    const connection = await join(at, { timeoutMs: 60_000 });
    await network.run(40_000);
    expect(connection.clockSettled).toBe(false);
    for (const interval of intervals(pings.slice(0, 8))) expect(interval).toBeLessThanOrEqual(111);
    const slow = intervals(pings.slice(8, 28));
    for (const interval of slow) {
      expect(interval).toBeGreaterThanOrEqual(750);
      expect(interval).toBeLessThanOrEqual(1002);
    }
    expect(pings.length).toBeGreaterThanOrEqual(28);
    expect(pings.length).toBeLessThanOrEqual(31);
  });

  test('PING every 25 s at least, however long the timeout', async () => {
    const at = place();
    const server = serverAt(at);
    const pings = watch(at, server, 'PING');
    const connection = await join(at, { timeoutMs: 3_600_000 });
    await network.run(2000);
    const fast = pings.length;
    await network.run(300_000);
    const [first = 0, ...slow] = intervals(pings.slice(fast - 1));
    expect(first).toBeLessThanOrEqual(31_252);
    expect(slow.length).toBeGreaterThanOrEqual(10);
    for (const interval of slow) expect(interval).toBeLessThanOrEqual(25_002);
    expect(connection.connected).toBe(true);
  });

  test('PING again every second without an answer, and times out when the timeout has passed', async () => {
    const at = place();
    const server = serverAt(at);
    const pings = watch(at, server, 'PING');
    const connection = await join(at, { timeoutMs: 6000 });
    await network.run(3000);
    at.mute = true;
    const last = pings.at(-1) ?? 0;
    const seen = pings.length;
    const [info] = await network.runUntil(next(connection, 'disconnect'));
    expect(info).toEqual({ result: 'timedOut', code: 0, reason: '', reconnectSpreadMs: 0 });
    // The last answer left when the last PING came, and took 5 ms.
    expect(network.clock.now() - last).toBeGreaterThanOrEqual(6000);
    expect(network.clock.now() - last).toBeLessThanOrEqual(6010);
    for (const interval of intervals(pings.slice(seen))) expect(interval).toBeLessThanOrEqual(1002);
    expect(pings.length - seen).toBeGreaterThanOrEqual(3);
  });

  test('DISCONNECT at 10 Hz until it is acknowledged, ten times at most', async () => {
    const at = place();
    const server = serverAt(at);
    const farewells = watch(at, server, 'DISCONNECT');
    const connection = await join(at);
    await network.run(2000);
    at.mute = true;
    const closed = connection.close();
    await network.runUntil(closed);
    expect(farewells).toHaveLength(10);
    for (const interval of intervals(farewells)) {
      expect(interval).toBeGreaterThanOrEqual(99);
      expect(interval).toBeLessThanOrEqual(102);
    }
  });

  test('DISCONNECT once where it is acknowledged', async () => {
    const at = place();
    const server = serverAt(at);
    const farewells = watch(at, server, 'DISCONNECT');
    const connection = await join(at);
    await network.runUntil(connection.close());
    expect(farewells).toHaveLength(1);
  });
});

describe('a gateway says', () => {
  interface Joined {
    readonly server: Server;
    readonly peer: Peer;
    readonly client: ReferenceClient;
    readonly at: Place;
    /** When frames of a type arrived. */
    times(type: Frame['type']): number[];
  }

  async function join(options: Partial<MintTokenOptions> = {}): Promise<Joined> {
    const server = await Server.listen({ protocolId, keys: [serverKey], network });
    const at = place();
    const client = new ReferenceClient({
      token: await mint(server.publicAddresses, options),
      sendDatagram: at.send,
      nowMicros,
    });
    const arrivals: { readonly type: Frame['type']; readonly atMs: number }[] = [];
    at.receiver = (datagram, from) => {
      const seen = client.session?.received.length ?? 0;
      client.receive(datagram, from);
      for (const { type } of client.session?.received.slice(seen) ?? [])
        arrivals.push({ type, atMs: network.clock.now() });
    };
    const connecting = next(server, 'connect');
    client.start();
    const [peer] = await network.runUntil(connecting);
    await network.runUntil(() => client.state === 'CONNECTED');
    const times = (type: Frame['type']): number[] =>
      arrivals.filter((each) => each.type === type).map(({ atMs }) => atMs);
    return { server, peer, client, at, times };
  }

  test('PONG at 20 Hz at most, and counts the PINGs beyond', async () => {
    const { server, client, times } = await join();
    await network.run(100);
    const before = times('PONG').length;
    for (let round = 0; round < 100; ++round) {
      client.session?.queuePing();
      client.session?.flush();
      await network.run(10);
    }
    const pongs = times('PONG').slice(before);
    expect(pongs.length).toBeGreaterThanOrEqual(19);
    expect(pongs.length).toBeLessThanOrEqual(21);
    for (const interval of intervals(pongs)) expect(interval).toBeGreaterThanOrEqual(50);
    expect(server.stats.drops.pingRateLimited).toBe(100 - pongs.length);
  });

  test('PING at 1 Hz until its clock has settled, then leaves the keep-alive to a client that sends it', async () => {
    const { peer, client, times } = await join({ timeoutMs: 9000 });
    await network.run(3900);
    expect(peer.clockSettled).toBe(true);
    for (const interval of intervals(times('PING'))) {
      expect(interval).toBeGreaterThanOrEqual(750);
      expect(interval).toBeLessThanOrEqual(1002);
    }
    const before = times('PING').length;
    expect(before).toBeGreaterThanOrEqual(4);
    const keepAlive = async (): Promise<void> => {
      client.session?.queuePing();
      client.session?.flush();
      await network.run(3000);
    };
    for (let round = 0; round < 9; ++round) await keepAlive();
    expect(times('PING').length).toBe(before);
    // Its last sample is 30 s old: another is asked for with the next answer.
    for (let round = 0; round < 5; ++round) await keepAlive();
    expect(times('PING').length).toBe(before + 1);
    // The client falls silent but for its answers: now the gateway does it.
    await network.run(15_000);
    expect(times('PING').length).toBeGreaterThanOrEqual(before + 4);
    expect(peer.connected).toBe(true);
  });

  test('DISCONNECT at 10 Hz until it is acknowledged, ten times at most', async () => {
    const { server, peer, at, times } = await join();
    await network.run(1000);
    at.mute = true;
    peer.disconnect();
    await network.run(2000);
    expect(times('DISCONNECT')).toHaveLength(10);
    for (const interval of intervals(times('DISCONNECT'))) {
      expect(interval).toBeGreaterThanOrEqual(99);
      expect(interval).toBeLessThanOrEqual(102);
    }
    expect(server.stats.counters.peers).toBe(0);
  });

  test('ACK to a repeated DISCONNECT for a second, and no longer', async () => {
    const { server, client, times } = await join();
    await network.run(1000);
    const farewell = {
      type: 'DISCONNECT',
      code: 0,
      reconnectSpread: 0,
      reason: new Uint8Array(0),
    } as const;
    const acknowledged = async (): Promise<number> => {
      client.session?.sendPacket([farewell]);
      await network.run(50);
      return times('ACK').length;
    };
    const first = await acknowledged();
    await network.run(900);
    expect(await acknowledged()).toBe(first + 1);
    await network.run(100);
    expect(await acknowledged()).toBe(first + 1);
    expect(server.stats.drops.unknownConnection).toBe(1);
  });

  test('CHALLENGE to a REQUEST and ACCEPT to a RESPONSE once each, and nothing of its own accord', async () => {
    const server = await Server.listen({ protocolId, keys: [serverKey], network });
    const at = place();
    const client = new ReferenceClient({
      token: await mint(server.publicAddresses),
      sendDatagram: at.send,
      nowMicros,
    });
    client.start();
    await network.run(10_000);
    expect(at.heard.map(({ datagram }) => datagram[0])).toEqual([reference.kind.challenge]);
    expect(server.stats.counters.halfOpen).toBe(0);
    const [challenge] = at.heard;
    const [host = '', port] = server.address.split(':');
    client.receive(challenge?.datagram ?? new Uint8Array(0), { host, port: Number(port) });
    await network.run(1000);
    // The cookie was five seconds too old.
    expect(at.heard).toHaveLength(1);
    expect(server.stats.drops.cookieExpired).toBe(1);
    client.start();
    await network.run(100);
    client.receive(at.heard[1]?.datagram ?? new Uint8Array(0), { host, port: Number(port) });
    await network.run(100);
    expect(server.stats.counters.halfOpen).toBe(1);
    await network.run(10_000);
    expect(at.heard.map(({ datagram }) => datagram[0])).toEqual([
      reference.kind.challenge,
      reference.kind.challenge,
      reference.kind.accept,
    ]);
    expect(server.stats.counters).toMatchObject({ halfOpen: 0, halfOpenExpired: 1, handshakesCompleted: 0 });
  });
});
