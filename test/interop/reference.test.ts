// The addon against an implementation of docs/protocol.md that shares no code with it (test/reference), over real sockets.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import {
  type Connection,
  type ConnectionState,
  connect,
  disconnectCodes,
  type Peer,
  Server,
  type ServerOptions,
  unreliable,
} from '../../src/index.js';
import { type MintTokenOptions, mintToken } from '../../src/token/index.js';
import { toHex, utf8, varint } from '../reference/bytes.js';
import {
  type Endpoint,
  ReferenceClient,
  type ReferencePeer,
  ReferenceServer,
  type ReferenceServerOptions,
} from '../reference/endpoints.js';
import type { AckRange, Frame } from '../reference/frames.js';
import * as reference from '../reference/hawser1.js';
import type { ReferenceSession } from '../reference/session.js';
import { next, patienceMs, protocolId, serverKey, text } from '../transport/support.js';

beforeAll(() => reference.ready);

const closing: (() => unknown)[] = [];
const closed: Promise<void>[] = [];

// Gateways linger for a second over farewells that nobody acknowledges: all of them at once, at the end.
afterEach(() => {
  const steps = closing.splice(0).reverse();
  const close = async (): Promise<void> => {
    for (const step of steps) await step();
  };
  closed.push(close());
});
afterAll(() => Promise.all(closed));

const sizes = [0, 1, 2, 24, 25, 64, 300, 1157, 1158];

function message(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => index * 7 + size);
}

/** A socket for a reference endpoint. */
class Wire {
  readonly endpoint: Endpoint;
  readonly sent: Uint8Array[] = [];
  /** What arrived, in order; while `deaf` nobody takes it. */
  readonly arrived: Uint8Array[] = [];
  deaf = false;
  receiver: ((datagram: Uint8Array, from: Endpoint) => void) | undefined;
  readonly #socket: ReturnType<typeof createSocket>;
  readonly #waiting = new Set<() => void>();

  private constructor(socket: ReturnType<typeof createSocket>) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.endpoint = { host: address, port };
    socket.on('message', (data, from) => {
      this.arrived.push(data);
      if (!this.deaf) this.receiver?.(data, { host: from.address, port: from.port });
      for (const check of this.#waiting) check();
    });
    closing.push(() => socket.close());
  }

  static async bind(): Promise<Wire> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    return new Wire(socket);
  }

  readonly send = (datagram: Uint8Array, to: Endpoint): void => {
    this.sent.push(datagram);
    this.#socket.send(datagram, to.port, to.host);
  };

  /** Waits for something that a datagram brings about. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }
}

let lastClientId = 0n;

function mint(addresses: readonly string[], options: Partial<MintTokenOptions> = {}): Promise<Uint8Array> {
  return mintToken({
    protocolId,
    key: serverKey,
    clientId: ++lastClientId,
    addresses,
    timeoutMs: patienceMs,
    ...options,
  });
}

const addressOf = ({ host, port }: Endpoint): string => `${host}:${port}`;

function endpointOf(address: string): Endpoint {
  const [host = '', port] = address.split(':');
  return { host, port: Number(port) };
}

function sessionOf(end: { readonly session: ReferenceSession | undefined }): ReferenceSession {
  return end.session ?? expect.fail('no session yet');
}

function framesOf<Type extends Frame['type']>(
  session: ReferenceSession,
  type: Type,
): Extract<Frame, { readonly type: Type }>[] {
  const isOfType = (frame: Frame): frame is Extract<Frame, { readonly type: Type }> => frame.type === type;
  return session.received.filter(isOfType);
}

describe('a reference client at a gateway of the addon', () => {
  async function listen(options: Partial<ServerOptions> = {}): Promise<Server> {
    const server = await Server.listen({
      address: '127.0.0.1:0',
      protocolId,
      keys: [serverKey],
      ...options,
    });
    closing.push(() => server.close());
    return server;
  }

  async function clientOf(token: Uint8Array, features = 0): Promise<{ client: ReferenceClient; wire: Wire }> {
    const wire = await Wire.bind();
    const client = new ReferenceClient({ token, sendDatagram: wire.send, features });
    wire.receiver = (datagram, from) => client.receive(datagram, from);
    return { client, wire };
  }

  interface Joined {
    readonly server: Server;
    readonly peer: Peer;
    readonly client: ReferenceClient;
    readonly session: ReferenceSession;
    readonly wire: Wire;
  }

  async function join(
    server: Server,
    options: Partial<MintTokenOptions> = {},
    features = 0,
  ): Promise<Joined> {
    const { client, wire } = await clientOf(await mint(server.publicAddresses, options), features);
    const connecting = next(server, 'connect');
    client.start();
    const [peer] = await connecting;
    await wire.until(() => client.state === 'CONNECTED');
    return { server, peer, client, session: sessionOf(client), wire };
  }

  test('connects as its token says, and both hold the same exported keys', async () => {
    const { server, peer, session, client, wire } = await join(await listen(), {
      clientId: 0xffff_ffff_ffff_fff1n,
      userData: utf8('level 7'),
      timeoutMs: 67_000,
    });
    expect(peer.clientId).toBe(0xffff_ffff_ffff_fff1n);
    expect(text(peer.userData)).toBe('level 7');
    expect(peer.timeoutMs).toBe(67_000);
    expect(peer.address).toBe(addressOf(wire.endpoint));
    expect(peer.localAddress).toBe(server.address);
    for (const label of ['chat', 'ä', 'x'.repeat(255)]) {
      expect(toHex(peer.exportKey(label))).toBe(toHex(session.exportKey(label)));
    }
    expect(wire.arrived.slice(0, 2).map((datagram) => [datagram[0], datagram.length])).toEqual([
      [reference.kind.challenge, 94],
      [reference.kind.accept, 137],
    ]);
    expect([...client.drops, ...session.drops]).toEqual([]);
    expect(Object.values(server.stats.drops).every((count) => count === 0)).toBe(true);
  });

  test('a single-use token is admitted once', async () => {
    const server = await listen({ restartGuardMs: 0 });
    const token = await mint(server.publicAddresses, { singleUse: true });
    const first = await clientOf(token);
    first.client.start();
    await first.wire.until(() => first.client.state === 'CONNECTED');
    const second = await clientOf(token);
    second.client.start();
    await second.wire.until(() => second.client.state === 'DISCONNECTED');
    expect(second.client.denied).toEqual([reference.deniedReason.TOKEN_USED]);
  });

  test('messages of every size go both ways, one at a time and many in one turn', async () => {
    const { server, client, session, wire } = await join(await listen());
    server.on('message', (peer, data) => peer.send(data));
    for (const [index, size] of sizes.entries()) {
      client.sendMessage(message(size));
      await wire.until(() => session.messages.length > index);
    }
    for (const size of sizes) session.queueMessage(message(size));
    session.flush();
    await wire.until(() => session.messages.length === 2 * sizes.length);
    expect(session.messages).toEqual([...sizes, ...sizes].map(message));
    expect(server.stats.counters.messagesReceived).toBe(2 * sizes.length);
    expect([...client.drops, ...session.drops]).toEqual([]);
  });

  test('messages of one turn arrive bundled, in packets of at most 1,200 bytes', async () => {
    const { peer, session, wire } = await join(await listen());
    const before = wire.arrived.length;
    for (let index = 0; index < 100; ++index) peer.send(utf8(`message ${index}`));
    await wire.until(() => session.messages.length === 100);
    expect(session.messages.map(text)).toEqual(Array.from({ length: 100 }, (_, index) => `message ${index}`));
    const packets = wire.arrived.slice(before);
    expect(packets.length).toBeLessThan(10);
    for (const packet of packets) expect(packet.length).toBeLessThanOrEqual(1200);
  });

  test('messages that obey congestion control are acknowledged both ways', async () => {
    const server = await listen({
      channels: { default: unreliable(undefined, { congestionControlled: true }) },
    });
    const { peer, session, wire } = await join(server, {}, reference.feature.channels);
    const count = 50;
    for (let index = 0; index < count; ++index) peer.send(message(1000));
    await wire.until(() => session.messages.length === count);
    expect(framesOf(session, 'MESSAGE').every(({ acknowledged }) => acknowledged)).toBe(true);
    // More than the first window: the rest came because what was before was acknowledged.
    expect(peer.packets.received).toBeGreaterThan(1);
    const number = session.nextPacketNumber;
    session.queue({ type: 'MESSAGE', channel: 0, acknowledged: true, data: message(5), withLength: true });
    const heard = next(server, 'message');
    session.flush();
    const [, data] = await heard;
    expect(data).toEqual(message(5));
    const covers = ({ ranges }: { readonly ranges: readonly AckRange[] }): boolean =>
      ranges.some(({ smallest, largest }) => smallest <= number && number <= largest);
    await wire.until(() => framesOf(session, 'ACK').some(covers));
    expect(server.stats.counters.messagesLost).toBe(0);
  });

  test('PING is answered with PONG both ways, and both know the round trip', async () => {
    const { server, peer, client, session } = await join(await listen());
    // The first PING confirmed the session: its PONG came with the first packet of the gateway, and so did a PING.
    expect(session.roundTripsMicros.length).toBe(1);
    expect(framesOf(session, 'PONG')).toMatchObject([{ sequence: 0 }]);
    expect(framesOf(session, 'PING')).toMatchObject([{ sequence: 0 }]);
    const heard = next(server, 'message');
    client.sendMessage(utf8('behind the PONG'));
    await heard;
    expect(server.stats.counters.pongsReceived).toBe(1);
    expect(peer.rttMs).toBeGreaterThan(0);
    expect(peer.minRttMs).toBeLessThanOrEqual(peer.rttMs);
  });

  test('PONGs are sent at most 20 times a second', async () => {
    const { server, client, session } = await join(await listen());
    const heard = next(server, 'message');
    for (let index = 0; index < 50; ++index) {
      session.queuePing();
      session.flush();
    }
    client.sendMessage(utf8('behind the PINGs'));
    await heard;
    expect(server.stats.drops.pingRateLimited).toBeGreaterThanOrEqual(40);
  });

  test('its disconnect ends with code and reason at the gateway, and is acknowledged', async () => {
    const { server, peer, client, wire } = await join(await listen());
    const ended = next(server, 'disconnect');
    // Of a client's spread nothing is told.
    client.disconnect(0x1_0005, 'bedtime – gute Nacht', 5000);
    expect(await ended).toEqual([
      peer,
      { result: 'disconnected', code: 0x1_0005, reason: 'bedtime – gute Nacht', reconnectSpreadMs: 0 },
    ]);
    await wire.until(() => client.state === 'DISCONNECTED');
    expect(client.session?.unacknowledgedFrames).toEqual([]);
  });

  test("the gateway's disconnect reaches it with code and reason, and its acknowledgement ends the sending", async () => {
    const { server, peer, client, session, wire } = await join(await listen());
    const ended = next(server, 'disconnect');
    peer.send(utf8('farewell'));
    expect(peer.disconnect(0x2_0000, 'ça suffit', { reconnectSpreadMs: 66_000 })).toBe(true);
    expect((await ended)[1]).toEqual({
      result: 'closed',
      code: 0x2_0000,
      reason: 'ça suffit',
      reconnectSpreadMs: 66_000,
    });
    await wire.until(() => client.state === 'DISCONNECTED');
    expect(session.ended).toEqual({ by: 'peer', code: 0x2_0000 });
    expect(session.messages.map(text)).toEqual(['farewell']);
    await server.close();
    expect(framesOf(session, 'DISCONNECT')).toEqual([
      { type: 'DISCONNECT', code: 0x2_0000, reconnectSpread: 66_000, reason: utf8('ça suffit') },
    ]);
  });

  test('a full gateway denies a REQUEST', async () => {
    const server = await listen({ maxPeers: 1 });
    await join(server);
    const { client, wire } = await clientOf(await mint(server.publicAddresses));
    client.start();
    await wire.until(() => client.state === 'DISCONNECTED');
    expect(client.denied).toEqual([reference.deniedReason.SERVER_FULL]);
    expect(wire.arrived.map((datagram) => datagram.length)).toEqual([45]);
    expect(server.stats.counters.deniedSent).toBe(1);
  });

  test('a gateway that became full since its CHALLENGE denies the RESPONSE', async () => {
    const server = await listen({ maxPeers: 1 });
    const { client, wire } = await clientOf(await mint(server.publicAddresses));
    let held: Uint8Array | undefined;
    wire.receiver = (datagram) => {
      held = datagram;
    };
    client.start();
    await wire.until(() => held !== undefined);
    await join(server);
    wire.receiver = (datagram, from) => client.receive(datagram, from);
    client.receive(held ?? new Uint8Array(0), endpointOf(server.address));
    expect(client.state).toBe('RESPONDING');
    await wire.until(() => client.state === 'DISCONNECTED');
    expect(client.denied).toEqual([reference.deniedReason.SERVER_FULL]);
  });

  test('a second session of the same client replaces the first, which is told', async () => {
    const server = await listen();
    const first = await join(server, { clientId: 5n });
    await join(server, { clientId: 5n });
    await first.wire.until(() => first.client.state === 'DISCONNECTED');
    expect(first.session.ended).toEqual({ by: 'peer', code: disconnectCodes.REPLACED });
  });

  test('a lost ACCEPT comes again, byte for byte', async () => {
    const server = await listen();
    const { client, wire } = await clientOf(await mint(server.publicAddresses));
    wire.receiver = (datagram, from) => {
      if (datagram[0] !== reference.kind.accept) client.receive(datagram, from);
    };
    client.start();
    await wire.until(() => wire.arrived.length === 2);
    client.resend();
    await wire.until(() => wire.arrived.length === 3);
    expect(wire.arrived[2]).toEqual(wire.arrived[1]);
    wire.receiver = (datagram, from) => client.receive(datagram, from);
    client.resend();
    await wire.until(() => client.state === 'CONNECTED');
    expect(server.peers.size).toBe(1);
  });

  test('it is asked to go elsewhere', async () => {
    const { server, peer, client, session, wire } = await join(await listen());
    const request = { reason: 9, deadlineMs: 1234, reconnectSpreadMs: 5678, elsewhere: '192.0.2.1:4433' };
    expect(peer.goaway(request)).toBe(true);
    await wire.until(() => framesOf(session, 'GOAWAY').length > 0);
    expect(framesOf(session, 'GOAWAY')).toEqual([
      {
        type: 'GOAWAY',
        reason: 9,
        deadline: 1234,
        reconnectSpread: 5678,
        address: { ip: Uint8Array.of(192, 0, 2, 1), port: 4433 },
      },
    ]);
    const ended = next(server, 'disconnect');
    client.disconnect();
    await ended;
  });

  test('both give each other two spare ids; a retired one is replaced, and packets to the next are taken', async () => {
    const { server, client, session, wire } = await join(await listen());
    server.on('message', (peer, data) => peer.send(data));
    await wire.until(() => session.peerIds.size === 3);
    expect([...session.peerIds.keys()]).toEqual([0n, 1n, 2n]);
    for (const retired of [0n, 1n]) {
      session.retirePeerId(retired);
      client.sendMessage(utf8(`after ${retired}`));
      await wire.until(() => session.peerIds.has(retired + 3n));
    }
    await wire.until(() => session.messages.length === 2);
    expect([...session.peerIds.keys()]).toEqual([2n, 3n, 4n]);
    expect(session.messages.map(text)).toEqual(['after 0', 'after 1']);
    // Its own ids were acknowledged: nothing is left to say again.
    expect(session.unacknowledgedFrames).toEqual([]);
  });

  test.each<[string, Uint8Array]>([
    ['an unknown frame', Uint8Array.of(0x20)],
    ['half a PING', Uint8Array.of(0x01, 0)],
    ['an ACK of a number never sent', Uint8Array.of(0x03, ...varint(1_000_000), 0, 0, 0)],
    ['a RETIRE_ID of an id never issued', Uint8Array.of(0x08, ...varint(9))],
    ['a RETIRE_ID of the id that its packet was sent to', Uint8Array.of(0x08, 0)],
    ['a third spare id', Uint8Array.of(0x07, 3, 8, ...new Uint8Array(8).fill(9), ...new Uint8Array(16))],
    ['a message on a channel above 1,023', Uint8Array.of(0x11, ...varint(1024), 1)],
  ])('%s ends the session with PROTOCOL_ERROR', async (_name, plaintext) => {
    const { server, client, session, wire } = await join(await listen());
    const ended = next(server, 'disconnect');
    session.sendPlaintext(plaintext);
    expect((await ended)[1].result).toBe('protocolError');
    await wire.until(() => client.state === 'DISCONNECTED');
    expect(session.ended).toEqual({ by: 'peer', code: disconnectCodes.PROTOCOL_ERROR });
    expect(server.stats.counters.peersProtocolError).toBe(1);
  });

  test('replayed and altered packets change nothing, and are counted', async () => {
    const { server, client, wire } = await join(await listen());
    const heard: string[] = [];
    const twice = new Promise<void>((resolve) => {
      server.on('message', (_peer, data) => {
        if (heard.push(text(data)) === 2) resolve();
      });
    });
    const gateway = endpointOf(server.address);
    client.sendMessage(utf8('once'));
    const packet = wire.sent.at(-1) ?? expect.fail('nothing was sent');
    wire.send(packet, gateway);
    // The packet number is new and the tag is not: one bit of each byte behind the connection id.
    const altered = [...packet.keys()].slice(9 + 4).map((at) => packet.with(at, (packet[at] ?? 0) ^ 1));
    const unused = altered.map((each) => each.with(9, (each[9] ?? 0) + 100));
    for (const each of unused) wire.send(each, gateway);
    for (let length = 0; length < packet.length; ++length) wire.send(packet.subarray(0, length), gateway);
    client.sendMessage(utf8('twice'));
    await twice;
    expect(heard).toEqual(['once', 'twice']);
    const { drops } = server.stats;
    // 30 bytes are the least that a session packet has; what is as long and was cut has a number that came before.
    expect(drops.length).toBe(30);
    expect(drops.replayed).toBe(1 + packet.length - 30);
    expect(drops.authentication).toBe(unused.length);
    expect(server.peers.size).toBe(1);
  });

  test('a gateway that was started again resets it, and it believes the right token only', async () => {
    const resetKey = reference.random(32);
    const server = await listen({ address: await freeAddress(), resetKey });
    const { client, session, wire } = await join(server);
    await wire.until(() => session.peerIds.size === 3);
    wire.deaf = true;
    await server.close();
    await listen({ address: server.address, resetKey });
    wire.deaf = false;
    const resets = (): Uint8Array[] => wire.arrived.filter(([first]) => first === reference.kind.reset);
    client.sendMessage(message(64));
    await wire.until(() => resets().length > 0);
    expect(resets().map((datagram) => datagram.length)).toEqual([25]);
    expect(client).toMatchObject({ state: 'DISCONNECTED', wasReset: true });
  });

  test('a gateway with another reset key is not believed', async () => {
    const server = await listen({ address: await freeAddress(), resetKey: reference.random(32) });
    const { client, wire } = await join(server);
    wire.deaf = true;
    await server.close();
    await listen({ address: server.address, resetKey: reference.random(32) });
    wire.deaf = false;
    client.sendMessage(message(64));
    await wire.until(() => client.drops.length > 0);
    expect(client.drops).toEqual(['a RESET with another token']);
    expect(client).toMatchObject({ state: 'CONNECTED', wasReset: false });
  });
});

describe('connect() at a reference gateway', () => {
  interface Gateway {
    readonly wire: Wire;
    server: ReferenceServer;
    readonly address: string;
  }

  async function open(options: Partial<ReferenceServerOptions> = {}): Promise<Gateway> {
    const wire = await Wire.bind();
    const gateway: Gateway = { wire, server: make(wire, options), address: addressOf(wire.endpoint) };
    wire.receiver = (datagram, from) => gateway.server.receive(datagram, from);
    return gateway;
  }

  function make(wire: Wire, options: Partial<ReferenceServerOptions>): ReferenceServer {
    const server = new ReferenceServer({
      protocolId,
      keys: new Map([[serverKey.id, serverKey.key]]),
      addresses: [wire.endpoint],
      sendDatagram: wire.send,
      ...options,
    });
    server.echo = true;
    return server;
  }

  const firstPeer = ({ server }: Gateway): ReferencePeer => server.peers[0] ?? expect.fail('no peer');

  async function join(
    gateway: Gateway,
    options: Partial<MintTokenOptions> = {},
    onState?: (state: ConnectionState) => void,
  ): Promise<Connection> {
    const token = await mint([gateway.address], options);
    const connection = await connect(token, {
      address: '127.0.0.1:0',
      timeoutMs: patienceMs,
      ...(onState === undefined ? {} : { onState }),
    });
    closing.push(() => connection.close());
    return connection;
  }

  test('connects as its token says, and both hold the same exported keys', async () => {
    const gateway = await open();
    const states: ConnectionState[] = [];
    const connection = await join(gateway, { clientId: 77n, userData: utf8('level 8') }, (state) =>
      states.push(state),
    );
    const peer = firstPeer(gateway);
    expect(states).toEqual(['REQUESTING', 'RESPONDING', 'CONFIRMING', 'CONNECTED']);
    expect(peer).toMatchObject({ clientId: 77n, userData: utf8('level 8'), confirmed: true });
    expect(addressOf(peer.address)).toBe(connection.localAddress);
    expect(connection.address).toBe(gateway.address);
    for (const label of ['chat', 'ä', 'x'.repeat(255)]) {
      expect(toHex(connection.exportKey(label))).toBe(toHex(peer.session.exportKey(label)));
    }
    // Whoever has waited for long says it again.
    const asked = gateway.wire.arrived.map((datagram) => `${datagram[0]} ${datagram.length}`);
    expect([...new Set(asked)].slice(0, 2)).toEqual([
      `${reference.kind.request} 1200`,
      `${reference.kind.response} 1198`,
    ]);
    expect([...gateway.server.drops, ...peer.session.drops]).toEqual([]);
  });

  test('ids of 4 to 16 bytes of the other side are used', async () => {
    for (const idLength of [4, 16]) {
      const gateway = await open({ idLength });
      const connection = await join(gateway);
      const echoed = next(connection, 'message').then(([data]) => text(data));
      connection.send(utf8('echo'));
      expect(await echoed).toBe('echo');
    }
  });

  test('messages of every size go both ways, one at a time and many in one turn', async () => {
    const gateway = await open();
    const connection = await join(gateway);
    const heard: Uint8Array[] = [];
    const all = new Promise<void>((resolve) => {
      connection.on('message', (data) => {
        const size = sizes[heard.push(data.slice())];
        if (size !== undefined) connection.send(message(size));
        else if (heard.length === sizes.length) for (const each of sizes) connection.send(message(each));
        else if (heard.length === 2 * sizes.length) resolve();
      });
    });
    connection.send(message(0));
    await all;
    expect(heard).toEqual([...sizes, ...sizes].map(message));
    expect(firstPeer(gateway).session.messages).toEqual([...sizes, ...sizes].map(message));
  });

  test('PING and PONG tell both sides the round trip, and the client the clock of the gateway', async () => {
    // A clock that nobody could guess.
    const nowMicros = (): bigint => process.hrtime.bigint() / 1000n + 987_654_321_987n;
    const gateway = await open({ nowMicros });
    const connection = await join(gateway);
    expect(connection.rttMs).toBeGreaterThan(0);
    const before = Number(nowMicros()) / 1000;
    const told = connection.remoteTimeMs();
    const after = Number(nowMicros()) / 1000;
    // The error of one sample is at most half its round trip.
    const bound = connection.rttMs / 2 + 1;
    expect(told).toBeGreaterThan(before - bound);
    expect(told).toBeLessThan(after + bound);
    const { session } = firstPeer(gateway);
    await gateway.wire.until(() => session.roundTripsMicros.length > 0);
    expect(framesOf(session, 'PING').length).toBeGreaterThan(0);
  });

  test("the gateway's disconnect reaches it with code and reason", async () => {
    const gateway = await open();
    const connection = await join(gateway);
    const ended = next(connection, 'disconnect');
    const { session } = firstPeer(gateway);
    // More than this side would send: whatever the gateway says is told.
    session.disconnect(0x1_0005, 'bedtime – gute Nacht', 0xffff_ffff);
    expect(await ended).toEqual([
      {
        result: 'disconnected',
        code: 0x1_0005,
        reason: 'bedtime – gute Nacht',
        reconnectSpreadMs: 0xffff_ffff,
      },
    ]);
    await gateway.wire.until(() => session.unacknowledgedFrames.length === 0);
  });

  test('its disconnect reaches the gateway with code and reason', async () => {
    const gateway = await open();
    const connection = await join(gateway);
    await connection.close(0x2_0000, 'ça suffit');
    const { session } = firstPeer(gateway);
    expect(session.ended).toEqual({ by: 'peer', code: 0x2_0000 });
    expect(framesOf(session, 'DISCONNECT')).toEqual([
      { type: 'DISCONNECT', code: 0x2_0000, reconnectSpread: 0, reason: utf8('ça suffit') },
    ]);
  });

  test('a full gateway denies, and the error says why', async () => {
    const gateway = await open({ maxPeers: 0 });
    await expect(join(gateway)).rejects.toMatchObject({
      code: 'ERR_HAWSER_DENIED',
      result: 'denied',
      denied: 'SERVER_FULL',
    });
  });

  test('denied after the CHALLENGE, it begins a new attempt at the next address', async () => {
    const first = await open();
    const second = await open();
    // Full as soon as it has sent its CHALLENGE.
    first.wire.receiver = (datagram, from) => {
      first.server.receive(datagram, from);
      first.server.maxPeers = 0;
    };
    const token = await mint([first.address, second.address]);
    const states: ConnectionState[] = [];
    const connection = await connect(token, {
      address: '127.0.0.1:0',
      timeoutMs: patienceMs,
      onState: (state) => states.push(state),
    });
    closing.push(() => connection.close());
    expect(connection.address).toBe(second.address);
    expect(states).toEqual([
      'REQUESTING',
      'RESPONDING',
      'REQUESTING',
      'RESPONDING',
      'CONFIRMING',
      'CONNECTED',
    ]);
    expect(first.server.peers).toEqual([]);
  });

  test('a gateway that was started again resets it, and it connects anew with other keys', async () => {
    const resetKey = reference.random(32);
    const gateway = await open({ resetKey });
    const connection = await join(gateway);
    const key = toHex(connection.exportKey('x'));
    gateway.server = make(gateway.wire, { resetKey });
    const reset = next(connection, 'reset');
    const reconnected = next(connection, 'reconnected');
    connection.send(utf8('is anybody there?'));
    await reset;
    await reconnected;
    expect(toHex(connection.exportKey('x'))).not.toBe(key);
    expect(toHex(connection.exportKey('x'))).toBe(toHex(firstPeer(gateway).session.exportKey('x')));
  });

  test('it hears that it shall go elsewhere', async () => {
    const gateway = await open();
    const connection = await join(gateway);
    const asked = next(connection, 'goaway');
    const { session } = firstPeer(gateway);
    const address = { ip: Uint8Array.of(192, 0, 2, 1), port: 4433 };
    session.queue({ type: 'GOAWAY', reason: 9, deadline: 1234, reconnectSpread: 0xffff_ffff, address });
    session.flush();
    expect(await asked).toEqual([
      { reason: 9, deadlineMs: 1234, reconnectSpreadMs: 0xffff_ffff, elsewhere: '192.0.2.1:4433' },
    ]);
    await gateway.wire.until(() => session.unacknowledgedFrames.length === 0);
  });
});
