// The reference implementation of netcode 1.02 against itself, in memory with a clock by hand and over real sockets: what the
// interop tests rest on.

import { beforeAll, describe, expect, test } from 'vitest';
import { concat, toHex, u32, u64, utf8 } from '../reference/bytes.js';
import { type Endpoint, fromEndpoint } from '../reference/endpoints.js';
import * as netcode from '../reference/netcode.js';
import {
  clientState,
  type HandMade,
  NetcodeClient,
  NetcodeServer,
  type NetcodeServerClient,
  type NetcodeServerOptions,
  NetcodeWire,
} from '../reference/netcode-endpoints.js';

const { packetType } = netcode;
const protocolId = 0x1122_3344_5566_7788n;
const privateKey = new Uint8Array(32).fill(0x5a);
const startMs = 1_700_000_000_000;
const serverEndpoint: Endpoint = { host: '192.0.2.1', port: 40_000 };
const otherEndpoint: Endpoint = { host: '2001:db8::2', port: 40_001 };
const clientEndpoint: Endpoint = { host: '198.51.100.7', port: 50_000 };
const nothing = new Uint8Array(0);

beforeAll(() => netcode.ready);

interface Minting extends Partial<Omit<netcode.TokenOptions, 'addresses'>> {
  readonly servers?: readonly Endpoint[];
  readonly key?: Uint8Array;
}

function mint({ servers = [serverEndpoint], key = privateKey, ...options }: Minting = {}): Uint8Array {
  const create = options.create ?? BigInt(startMs / 1000);
  return netcode.mintToken(key, {
    protocolId,
    create,
    expire: create + 60n,
    nonce: netcode.random(24),
    clientId: 42n,
    timeout: 5,
    c2s: netcode.random(32),
    s2c: netcode.random(32),
    userData: utf8('level 7'),
    ...options,
    addresses: servers.map(fromEndpoint),
  });
}

/** Clients and one server on one wire and one clock. */
class World {
  nowMs = startMs;
  readonly server: NetcodeServer;
  readonly #clients: { readonly client: NetcodeClient; readonly address: Endpoint }[] = [];
  /** Every datagram ever sent, and where to. */
  readonly log: { readonly datagram: Uint8Array; readonly from: Endpoint; readonly to: Endpoint }[] = [];
  /** How many of the log were delivered. */
  #delivered = 0;
  /** Datagrams for these ports are lost. */
  readonly deaf = new Set<number>();

  constructor(options: Partial<NetcodeServerOptions> = {}) {
    this.server = new NetcodeServer({
      protocolId,
      privateKey,
      addresses: [serverEndpoint],
      sendDatagram: (datagram, to) => this.log.push({ datagram, from: serverEndpoint, to }),
      ...options,
    });
    this.server.tick(this.nowMs);
  }

  client(token: Uint8Array = mint(), address: Endpoint = clientEndpoint): NetcodeClient {
    const sendDatagram = (datagram: Uint8Array, to: Endpoint): void => {
      this.log.push({ datagram, from: address, to });
    };
    const client = new NetcodeClient({ token, sendDatagram });
    this.#clients.push({ client, address });
    return client;
  }

  connected(token?: Uint8Array, address?: Endpoint): { client: NetcodeClient; peer: NetcodeServerClient } {
    const client = this.client(token, address);
    client.start(this.nowMs);
    this.run();
    expect(client.state).toBe(clientState.connected);
    return { client, peer: this.server.clients.at(-1) ?? expect.fail('no client') };
  }

  /** Delivers one datagram. */
  step(): boolean {
    const next = this.log[this.#delivered];
    if (next === undefined) return false;
    ++this.#delivered;
    if (this.deaf.has(next.to.port)) return true;
    if (next.to.port === serverEndpoint.port) this.server.receive(next.datagram, next.from);
    for (const { client, address } of this.#clients)
      if (address.port === next.to.port) client.receive(next.datagram, next.from);
    return true;
  }

  run(): void {
    while (this.step());
  }

  /** Lets time pass in steps of 50 ms, with everything delivered at once. */
  pass(milliseconds: number): void {
    for (const end = this.nowMs + milliseconds; this.nowMs < end; ) {
      this.nowMs += 50;
      this.server.tick(this.nowMs);
      for (const { client } of this.#clients) client.tick(this.nowMs);
      this.run();
    }
  }

  /** First byte and length of what was sent since `from`. */
  shapes(from = 0): [number | undefined, number][] {
    return this.log.slice(from).map(({ datagram }) => [datagram[0], datagram.length]);
  }
}

describe('connecting', () => {
  test('takes the datagrams of the standard, of its sizes', () => {
    const world = new World({ maxClients: 64 });
    const { client, peer } = world.connected();
    expect(client.states).toEqual([0, 1, 2, 3]);
    expect(world.shapes()).toEqual([
      [0x00, 1078],
      [0x82, 333],
      [0x13, 326],
      [0x14, 26],
    ]);
    expect(client.slot).toEqual({ clientIndex: 0, maxClients: 64 });
    expect(peer).toMatchObject({ index: 0, clientId: 42n, confirmed: false });
    expect(toHex(peer.userData)).toBe(toHex(concat(utf8('level 7'), new Uint8Array(249))));
    world.pass(100);
    expect(peer.confirmed).toBe(true);
    expect([...client.drops, ...world.server.drops]).toEqual([]);
  });

  test('requests and responses are repeated every 100 ms', () => {
    const world = new World();
    world.deaf.add(serverEndpoint.port);
    const client = world.client();
    client.start(world.nowMs);
    world.pass(1000);
    expect(world.shapes()).toEqual(new Array(11).fill([0, 1078]));
    world.deaf.clear();
    const before = world.log.length;
    world.pass(50);
    expect(client.state).toBe(clientState.sendingRequest);
    world.pass(50);
    expect(client.state).toBe(clientState.connected);
    expect(world.shapes(before)).toHaveLength(4);
  });

  test('a repeated REQUEST is challenged again, with fresh sequence numbers', () => {
    const world = new World();
    const client = world.client();
    client.start(world.nowMs);
    world.deaf.add(clientEndpoint.port);
    world.pass(200);
    const sequences = world.log
      .filter(({ from }) => from === serverEndpoint)
      .map(({ datagram }) => netcode.decodeHeader(datagram, netcode.takenByClient).sequence);
    expect(sequences).toEqual([0n, 1n, 2n].map((count) => (1n << 63n) + count));
    expect(world.server.challengeSequence).toBe(3n);
  });

  test('a full server denies, and the next server is asked', () => {
    const world = new World({ maxClients: 0 });
    const client = world.client(mint({ servers: [serverEndpoint, otherEndpoint] }));
    client.start(world.nowMs);
    world.run();
    expect(client.server?.port).toBe(otherEndpoint.port);
    expect(client.states).toEqual([0, 1, 1]);
    expect(world.shapes()).toEqual([
      [0x00, 1078],
      [0x81, 25],
      [0x00, 1078],
    ]);
    const alone = world.client(mint({ clientId: 43n }), { host: '198.51.100.8', port: 50_001 });
    alone.start(world.nowMs);
    world.run();
    expect(alone.states).toEqual([0, 1, clientState.denied]);
  });

  test('a server that fills up between REQUEST and RESPONSE denies the RESPONSE, and the counter goes on', () => {
    const world = new World({ maxClients: 1 });
    const early = world.client();
    const late = world.client(mint({ clientId: 43n, servers: [serverEndpoint, otherEndpoint] }), {
      host: '198.51.100.8',
      port: 50_001,
    });
    early.start(world.nowMs);
    late.start(world.nowMs);
    world.run();
    expect(early.states).toEqual([0, 1, 2, 3]);
    expect(late.states).toEqual([0, 1, 2, 1]);
    expect(late.sequence).toBe(1n);
  });

  test('no answer: each server for the timeout, then the state of the phase', () => {
    const world = new World();
    world.deaf.add(serverEndpoint.port);
    const client = world.client(mint({ servers: [otherEndpoint, serverEndpoint] }));
    client.start(world.nowMs);
    world.pass(4950);
    expect(client.states).toEqual([0, 1]);
    world.pass(50);
    expect(client.states).toEqual([0, 1, 1]);
    world.pass(5000);
    expect(client.states).toEqual([0, 1, 1, clientState.requestTimedOut]);

    const second = world.client(mint({ clientId: 43n, create: BigInt(world.nowMs / 1000) }));
    world.deaf.clear();
    second.start(world.nowMs);
    world.step();
    world.step();
    world.deaf.add(serverEndpoint.port);
    world.pass(5000);
    expect(second.states).toEqual([0, 1, 2, clientState.responseTimedOut]);
  });

  test('a token without a timeout is tried until it expires', () => {
    const world = new World();
    world.deaf.add(serverEndpoint.port);
    const client = world.client(mint({ timeout: -1 }));
    client.start(world.nowMs);
    world.pass(59_950);
    expect(client.state).toBe(clientState.sendingRequest);
    world.pass(50);
    expect(client.states).toEqual([0, 1, clientState.tokenExpired]);
  });

  test.each<[string, (token: Uint8Array) => Uint8Array]>([
    ['a byte short', (token) => token.slice(1)],
    ['another version', (token) => token.with(11, 0x33)],
    ['expired before it was created', (token) => concat(token.slice(0, 29), u64(0n), token.slice(37))],
    ['no address', (token) => concat(token.slice(0, 1089), u32(0), token.slice(1093))],
    ['33 addresses', (token) => concat(token.slice(0, 1089), u32(33), token.slice(1093))],
    ['address type 3', (token) => token.with(1093, 3)],
  ])('an invalid token: %s', (_, spoil) => {
    const world = new World();
    const client = world.client(spoil(mint()));
    client.start(world.nowMs);
    expect(client.states).toEqual([0, clientState.invalidToken]);
    expect(world.log).toEqual([]);
  });
});

describe('what a server ignores, in silence', () => {
  test.each<[string, Minting]>([
    ['protocol id', { protocolId: 5n }],
    ['expired', { create: BigInt(startMs / 1000) - 60n }],
    ['does not decrypt', { key: new Uint8Array(32) }],
    ['another server', { servers: [otherEndpoint] }],
  ])('%s', (reason, options) => {
    const world = new World();
    world.server.receive(netcode.encodeRequest(netcode.decodeToken(mint(options))), clientEndpoint);
    expect(world.server.drops).toEqual([reason]);
    expect(world.log).toEqual([]);
  });

  test('address connected, client id connected, token used elsewhere', () => {
    const world = new World();
    const token = mint();
    world.connected(token);
    const before = world.log.length;
    const elsewhere = { ...clientEndpoint, port: 50_001 };
    const request = (bytes: Uint8Array): Uint8Array => netcode.encodeRequest(netcode.decodeToken(bytes));
    world.server.receive(request(mint({ clientId: 43n })), clientEndpoint);
    world.server.receive(request(mint()), elsewhere);
    const [first] = world.server.connected;
    if (first !== undefined) world.server.disconnect(first);
    world.server.receive(request(token), elsewhere);
    expect(world.server.drops).toEqual(['address connected', 'client id connected', 'token used']);
    expect(world.log).toHaveLength(before + 10);
  });

  test('a private part with no address, properly sealed', () => {
    const world = new World();
    const token = netcode.decodeToken(mint());
    const plaintext = netcode.openPrivate(privateKey, token, token.sealed);
    plaintext.set(u32(0), 12);
    const sealed = netcode.sealPrivate(privateKey, token, plaintext);
    world.server.receive(netcode.encodeRequest({ ...token, sealed }), clientEndpoint);
    expect(world.server.drops).toEqual(['number of addresses']);
  });

  test('an encryption mapping that was not used in time', () => {
    const world = new World();
    const client = world.client();
    client.start(world.nowMs);
    world.deaf.add(clientEndpoint.port);
    world.run();
    world.server.tick(world.nowMs + 5000);
    world.server.receive(client.makePacket(packetType.response, new Uint8Array(308)), clientEndpoint);
    expect(world.server.drops).toEqual(['unknown address']);
  });
});

describe('connected', () => {
  test('payloads of every size go both ways', () => {
    const world = new World();
    const { client, peer } = world.connected();
    world.server.echo = true;
    const sizes = [1, 2, 64, 1199, 1200];
    for (const size of sizes) client.send(new Uint8Array(size).fill(size));
    world.run();
    expect(peer.messages.map((data) => data.length)).toEqual(sizes);
    expect(client.messages).toEqual(peer.messages);
    expect([...client.drops, ...world.server.drops]).toEqual([]);
  });

  test('until the client is confirmed, a keep-alive precedes each payload', () => {
    const world = new World();
    const { client, peer } = world.connected();
    const before = world.log.length;
    world.server.send(peer, utf8('one'));
    client.send(utf8('here'));
    world.run();
    world.server.send(peer, utf8('two'));
    expect(world.shapes(before).map(([first]) => first)).toEqual([0x14, 0x15, 0x15, 0x15]);
    world.run();
    expect(client.messages).toEqual([utf8('one'), utf8('two')]);
  });

  test('keep-alives fill the silence, and payloads take their place', () => {
    const world = new World();
    const { client } = world.connected();
    const before = world.log.length;
    world.pass(1000);
    expect(world.shapes(before)).toEqual(new Array(20).fill([0x14, 26]));
    const quiet = world.log.length;
    for (let count = 0; count < 20; ++count) {
      client.send(utf8('busy'));
      world.pass(50);
    }
    const sent = world.log.slice(quiet).filter(({ from }) => from === clientEndpoint);
    expect(sent.map(({ datagram }) => (datagram[0] ?? 0) & 15)).toEqual(new Array(20).fill(5));
  });

  test('silence ends it on both sides after the timeout', () => {
    const world = new World();
    const { client, peer } = world.connected();
    world.deaf.add(serverEndpoint.port).add(clientEndpoint.port);
    world.pass(4950);
    expect([client.state, peer.ended]).toEqual([clientState.connected, undefined]);
    world.pass(50);
    expect([client.state, peer.ended]).toEqual([clientState.timedOut, 'timed out']);
    expect(world.server.connected).toEqual([]);
  });

  test('either end disconnects with ten packets, and the slot is free again', () => {
    const world = new World({ maxClients: 1 });
    const first = world.connected();
    let before = world.log.length;
    first.client.disconnect();
    world.run();
    expect(world.shapes(before)).toEqual(new Array(10).fill([0x16, 18]));
    expect([first.client.state, first.peer.ended]).toEqual([clientState.disconnected, 'disconnected']);
    // The first one freed the slot and the keys with it.
    expect(world.server.drops).toEqual(new Array(9).fill('unknown address'));

    const second = world.connected(mint({ clientId: 43n }), { host: '198.51.100.8', port: 50_001 });
    before = world.log.length;
    world.server.disconnect(second.peer);
    world.run();
    expect(world.shapes(before)).toEqual(new Array(10).fill([0x16, 18]));
    expect([second.client.state, second.peer.ended]).toEqual([clientState.disconnected, 'by server']);
  });

  test('several clients have slots of their own', () => {
    const world = new World();
    const indices = [0, 1, 2].map((count) => {
      const address = { host: '198.51.100.7', port: 50_000 + count };
      return world.connected(mint({ clientId: BigInt(count) }), address).client.slot?.clientIndex;
    });
    expect(indices).toEqual([0, 1, 2]);
  });

  test('a client heeds its server only', () => {
    const world = new World();
    const { client, peer } = world.connected();
    const datagram = world.server.sendPacket(peer, packetType.payload, utf8('x'));
    client.receive(datagram, otherEndpoint);
    expect(client.drops).toEqual(['not the server']);
    world.run();
    expect(client.messages).toEqual([utf8('x')]);
  });
});

describe('packets made by hand', () => {
  test.each<[string, number, Uint8Array, HandMade]>([
    ['type', 7, nothing, {}],
    ['not for this end', packetType.challenge, new Uint8Array(308), {}],
    ['not for this end', packetType.denied, nothing, {}],
    ['sequence bytes', packetType.payload, utf8('x'), { sequenceBytes: 9 }],
    ['sequence bytes', packetType.payload, utf8('xyz'), { sequenceBytes: 0 }],
    ['size', packetType.disconnect, nothing, { sequenceBytes: 1, prefix: 0x26, sequence: 9n }],
    ['does not decrypt', packetType.payload, utf8('x'), { key: new Uint8Array(32) }],
    ['does not decrypt', packetType.payload, utf8('x'), { protocolId: 5n }],
    ['does not decrypt', packetType.payload, utf8('x'), { sealedPrefix: 0x16 }],
    ['body size', packetType.payload, nothing, {}],
    ['body size', packetType.payload, new Uint8Array(1201), {}],
    ['body size', packetType.keepAlive, new Uint8Array(7), {}],
    ['body size', packetType.disconnect, utf8('x'), {}],
    ['body size', packetType.response, new Uint8Array(307), {}],
    ['does not decrypt', packetType.response, new Uint8Array(308), {}],
  ])('ignored, %s: type %i', (reason, type, body, handMade) => {
    const world = new World();
    const { client, peer } = world.connected();
    client.sendPacket(type, body, handMade);
    world.run();
    expect(world.server.drops).toEqual([reason]);
    client.send(utf8('still here'));
    world.run();
    expect(peer.messages).toEqual([utf8('still here')]);
  });

  test('sequence numbers need not be in the shortest form', () => {
    const world = new World();
    const { client, peer } = world.connected();
    for (let sequenceBytes = 1; sequenceBytes <= 8; ++sequenceBytes)
      client.sendPacket(packetType.payload, Uint8Array.of(sequenceBytes), { sequenceBytes });
    world.run();
    expect(peer.messages.map(([count]) => count)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  test('the replay buffer holds 256 sequence numbers, up to the highest there is', () => {
    const world = new World();
    const { client, peer } = world.connected();
    const top = (1n << 64n) - 1n;
    for (const sequence of [256n, 256n, 1n, 0n, 1n, top - 256n, top, top, top - 255n, top - 256n, top - 255n])
      client.sendPacket(packetType.payload, u64(sequence), { sequence });
    world.run();
    expect(peer.messages.map(toHex)).toEqual(
      [256n, 1n, top - 256n, top, top - 255n].map((sequence) => toHex(u64(sequence))),
    );
    expect(world.server.drops).toEqual([
      'replayed',
      'older than the replay buffer',
      'replayed',
      'replayed',
      'older than the replay buffer',
      'replayed',
    ]);
  });

  test('a forged packet with the highest sequence number does not move the replay buffer', () => {
    const world = new World();
    const { client, peer } = world.connected();
    const forged = { sequence: (1n << 64n) - 1n, key: new Uint8Array(32) };
    client.sendPacket(packetType.payload, utf8('x'), forged);
    client.send(utf8('y'));
    world.run();
    expect(peer.messages).toEqual([utf8('y')]);
  });
});

test('over real sockets and the real clock', async () => {
  await using serverWire = await NetcodeWire.bind();
  await using clientWire = await NetcodeWire.bind('127.0.0.1');
  const server = new NetcodeServer({
    protocolId,
    privateKey,
    addresses: [serverWire.endpoint],
    sendDatagram: serverWire.send,
  });
  const create = BigInt(Math.floor(Date.now() / 1000));
  const token = mint({ create, servers: [serverWire.endpoint], timeout: 60 });
  const client = new NetcodeClient({ token, sendDatagram: clientWire.send });
  serverWire.attach(server);
  clientWire.attach(client);
  server.echo = true;
  client.start(Date.now());
  await clientWire.until(() => client.state === clientState.connected);
  client.send(utf8('hello'));
  await clientWire.until(() => client.messages.length === 1);
  expect(client.messages).toEqual([utf8('hello')]);
  client.disconnect();
  await serverWire.until(() => server.connected.length === 0);
  expect(server.clients).toMatchObject([{ clientId: 42n, ended: 'disconnected' }]);
});
