// Netcode 1.02 through the public API: what its connections can, what they cannot, and who gets in.

import { describe, expect, expectTypeOf, test } from 'vitest';
import { parseAddress } from '../../src/base/address.js';
import {
  type ChannelMap,
  Client,
  type ConnectError,
  type Connection,
  type ConnectionState,
  type DefaultChannels,
  json,
  netcodeStates,
  type Peer,
  reliable,
  type Server,
  type ServerOptions,
  sequenced,
  unreliable,
  type Wire,
} from '../../src/index.js';
import {
  decodeNetcodeToken,
  encodeNetcodeToken,
  generateKey,
  type MintNetcodeTokenOptions,
  mintNetcodeToken,
  tokenId,
} from '../../src/token/index.js';
import {
  bytes,
  freshWorldForEachTest,
  next,
  patienceMs,
  protocolId,
  RealWorld,
  SimulatedWorld,
  serverKey,
  text,
  type World,
  worlds,
} from './support.js';

const channels = {
  chat: reliable(json<string>()),
  moves: unreliable(),
  state: sequenced(),
  other: unreliable(),
};

let lastClientId = 0n;

function tokenFor(
  world: World,
  server: { readonly publicAddresses: readonly string[] },
  overrides: Partial<MintNetcodeTokenOptions> = {},
): Promise<Uint8Array> {
  return mintNetcodeToken({
    protocolId,
    key: serverKey,
    clientId: ++lastClientId,
    addresses: server.publicAddresses,
    timeoutMs: patienceMs,
    now: () => world.clock.wallNow(),
    ...overrides,
  });
}

/** A gateway for both wire formats whose keys were made for it. */
function listenTo<C extends ChannelMap = DefaultChannels>(
  world: World,
  options: Partial<ServerOptions<C>> = {},
): Promise<Server<C>> {
  return world.listen<C>({ wires: ['hawser', 'netcode'], freshKeys: true, ...options });
}

/** For attempts that nobody answers. */
const limit = { timeoutMs: 300 };

async function errorOf(promise: Promise<unknown>): Promise<ConnectError> {
  return promise.then(
    () => expect.fail('connected'),
    (error) => error,
  );
}

/** The error of an attempt that nobody answers. However soon the client gave up, its REQUEST has been read. */
async function silenceFor(world: World, token: Uint8Array): Promise<ConnectError> {
  const error = await errorOf(world.connect(token, limit));
  await world.settle();
  return error;
}

/** Challenged, and no more: what `hasRefused` tells of has happened, and still the client waits. */
async function expectChallengedAlone(
  world: World,
  token: Uint8Array,
  hasRefused: () => boolean,
): Promise<void> {
  if (world instanceof SimulatedWorld) {
    expect(await errorOf(world.connect(token, limit))).toMatchObject({
      result: 'timedOut',
      netcodeState: netcodeStates.connectionResponseTimedOut,
    });
    expect(hasRefused()).toBe(true);
    return;
  }
  // How long a challenge takes nobody knows: the caller gives up when it is over.
  const controller = new AbortController();
  const states: ConnectionState[] = [];
  const options = { signal: controller.signal, onState: (state: ConnectionState) => states.push(state) };
  const error = errorOf(world.connect(token, options));
  while (!hasRefused()) await world.settle();
  await world.settle();
  expect(states).toEqual(['REQUESTING', 'RESPONDING']);
  controller.abort();
  expect(await error).toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
}

function echo(server: Server): void {
  server.on('message', (peer, data) => peer.send(data));
}

async function echoed(world: World, connection: Connection, message: Uint8Array): Promise<Uint8Array> {
  const answer = new Promise<Uint8Array>((resolve) => {
    connection.once('message', (data) => resolve(data.slice()));
  });
  expect(connection.send(message)).toBe(true);
  return world.until(answer);
}

describe.each(worlds)('netcode %s', (_name, makeWorld) => {
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  test('tells both sides of the connection and what the token says', async () => {
    const server = await listenTo(world, { maxPeers: 7 });
    const connecting = next(server, 'connect');
    const states: ConnectionState[] = [];
    const token = await tokenFor(world, server, {
      clientId: 0xffff_ffff_ffff_fff1n,
      userData: bytes('level 5'),
      timeoutMs: 65_000,
    });
    const connection = await world.connect(token, { onState: (state) => states.push(state) });
    const [peer] = await world.until(connecting);

    expect(peer.wire).toBe('netcode');
    expect(peer.clientId).toBe(0xffff_ffff_ffff_fff1n);
    expect(peer.userData).toHaveLength(256);
    expect(text(peer.userData)).toBe('level 5'.padEnd(256, '\0'));
    expect([peer.clientIndex, peer.maxClients, peer.timeoutMs]).toEqual([0, 7, 65_000]);
    expect(peer.tokenCreateTimeMs).toBe(0);
    expect(peer.tokenExpireTimeMs).toBe(decodeNetcodeToken(token).expireTimeMs);
    expect(peer.localAddress).toBe(server.address);
    expect(peer.rttMs).toBe(0);

    expect(connection.wire).toBe('netcode');
    expect([connection.clientIndex, connection.maxClients, connection.timeoutMs]).toEqual([0, 7, 65_000]);
    expect(connection.address).toBe(server.address);
    expect(parseAddress(connection.localAddress).port).toBe(parseAddress(peer.address).port);
    expect(connection.netcodeState).toBe(netcodeStates.connected);
    expect(states).toEqual(['REQUESTING', 'RESPONDING', 'CONNECTED']);
    expect(server.stats.counters.handshakesCompleted).toBe(1);

    const second = await world.connect(await tokenFor(world, server));
    expect(second.clientIndex).toBe(1);
    await world.settle();
    expect([...server.peers].map((each) => each.clientIndex).sort()).toEqual([0, 1]);
  });

  test('carries messages of 1 to 1,200 bytes both ways', async () => {
    const server = await listenTo(world);
    echo(server);
    const connection = await world.connect(await tokenFor(world, server));
    for (const size of [1, 2, 64, 1158, 1159, 1200]) {
      const message = Uint8Array.from({ length: size }, (_, index) => index * 7 + size);
      expect(await echoed(world, connection, message)).toEqual(message);
    }
    const [peer] = server.peers;
    for (const each of [connection, peer]) {
      expect(each?.maxUnreliableBytes).toBe(1200);
      expect(() => each?.send(new Uint8Array(1201))).toThrow(
        expect.objectContaining({
          code: 'ERR_HAWSER_MESSAGE_TOO_LONG',
          message:
            "a message of the channel 'default' must be at most 1200 bytes to fit into one datagram; got 1201",
        }),
      );
      expect(() => each?.send(new Uint8Array(0))).toThrow(
        expect.objectContaining({
          code: 'ERR_HAWSER_ARGUMENT',
          message: 'a message to a netcode connection must be 1 to 1,200 bytes; got 0',
        }),
      );
      const wrong: unknown = 'text';
      expect(() => each?.send(wrong as Uint8Array)).toThrow(
        expect.objectContaining({ message: 'data must be a Uint8Array; got "text"' }),
      );
    }
  });

  test('is spoken by one listener beside HAWSER, and by one client', async () => {
    const server = await listenTo<typeof channels>(world, { channels });
    server.on('message', (peer, value, channel) => {
      if (channel === 'moves') peer.send('moves', value);
    });
    const simulated = world instanceof SimulatedWorld ? { network: world.network } : {};
    const client = await Client.open({ address: '0.0.0.0:0', channels, ...simulated });
    const hawser = await world.connect<typeof channels>(await world.token(server), { client });
    const netcode = await world.connect<typeof channels>(await tokenFor(world, server), { client });
    expect([hawser.wire, netcode.wire]).toEqual(['hawser', 'netcode']);
    expect([hawser.clientIndex, hawser.maxClients, hawser.netcodeState]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
    await world.settle();
    expect([...server.peers].map((each) => each.wire).sort()).toEqual(['hawser', 'netcode']);
    expect(client.connections.size).toBe(2);

    const heard: string[] = [];
    for (const each of [hawser, netcode])
      each.on('message', (value, channel) => {
        heard.push(`${each.wire} ${channel} ${typeof value === 'string' ? value : text(value)}`);
      });
    hawser.send('moves', bytes('a'));
    netcode.send('moves', bytes('b'));
    await world.settle();
    expect(heard.splice(0).sort()).toEqual(['hawser moves a', 'netcode moves b']);

    expect(server.broadcast('moves', bytes('all'))).toBe(2);
    expect(server.broadcast('moves', new Uint8Array(0))).toBe(1);
    expect(server.broadcast('chat', 'some')).toBe(1);
    expect(server.broadcast('other', bytes('few'), { peers: server.peers })).toBe(1);
    await world.settle();
    expect(heard.sort()).toEqual([
      'hawser chat some',
      'hawser moves ',
      'hawser moves all',
      'hawser other few',
      'netcode moves all',
    ]);
    await world.until(client.close());
  });

  test('takes tokens as text too, and from functions', async () => {
    const server = await listenTo(world);
    const first = await world.connect(encodeNetcodeToken(await tokenFor(world, server)));
    const second = await world.connect(() => tokenFor(world, server));
    expect([first.wire, second.wire]).toEqual(['netcode', 'netcode']);
  });

  test('ends on both sides when the server disconnects, which needs no words', async () => {
    const server = await listenTo(world);
    const connection = await world.connect(await tokenFor(world, server));
    await world.settle();
    const [peer] = server.peers;
    const atServer = next(server, 'disconnect');
    const atClient = next(connection, 'disconnect');
    const states: [ConnectionState, number | undefined][] = [];
    connection.on('state', (state) => states.push([state, connection.netcodeState]));
    expect(peer?.disconnect(0x1_0005, 'bedtime', { reconnectSpreadMs: 1000 })).toBe(true);
    expect(peer?.disconnect()).toBe(false);
    expect(await world.until(atServer)).toEqual([
      peer,
      { result: 'closed', code: 0x1_0005, reason: '', reconnectSpreadMs: 0 },
    ]);
    expect(await world.until(atClient)).toEqual([
      { result: 'disconnected', code: 0, reason: '', reconnectSpreadMs: 0 },
    ]);
    expect(states).toEqual([['DISCONNECTED', netcodeStates.disconnected]]);
    expect(server.peers.size).toBe(0);
    // What a peer says about itself outlives it, and what is sent to it is dropped.
    expect(peer?.clientIndex).toBe(0);
    peer?.send(new Uint8Array(1200));
    connection.send(new Uint8Array(1200));
    await expect(connection.sent()).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  });

  test('ends on both sides when the client closes, and frees its slot', async () => {
    const server = await listenTo(world);
    const connection = await world.connect(await tokenFor(world, server));
    const atServer = next(server, 'disconnect');
    const atClient = next(connection, 'disconnect');
    await world.until(connection.close(0x2_0000, 'done'));
    expect(await atClient).toEqual([{ result: 'closed', code: 0x2_0000, reason: '', reconnectSpreadMs: 0 }]);
    const [, info] = await world.until(atServer);
    expect(info).toEqual({ result: 'disconnected', code: 0, reason: '', reconnectSpreadMs: 0 });
    const another = await world.connect(await tokenFor(world, server));
    expect(another.clientIndex).toBe(0);
  });

  test('refuses what the format has not, and says what to do', async () => {
    const server = await listenTo<typeof channels>(world, { channels });
    const connection = await world.connect<typeof channels>(await tokenFor(world, server), { channels });
    await world.settle();
    const [peer] = server.peers;
    if (peer === undefined) expect.fail('nobody is connected');
    const refused = (message: RegExp): unknown =>
      expect.objectContaining({
        name: 'HawserError',
        code: 'ERR_HAWSER_WIRE',
        message: expect.stringMatching(message),
      });
    const links: readonly (Peer<typeof channels> | Connection<typeof channels>)[] = [peer, connection];
    for (const link of links) {
      const other = /cannot carry the channel '\w+'.* use 'moves', the first unreliable one$/;
      expect(() => link.send('chat', 'hello')).toThrow(refused(other));
      expect(() => link.send('state', bytes('s'))).toThrow(refused(other));
      expect(() => link.send('other', bytes('o'))).toThrow(refused(other));
      // The first channel, which is not unreliable.
      const first: unknown = 'hello';
      expect(() => link.send(first as never)).toThrow(refused(other));
      expect(() => link.send('chat', 'hello', { ttlMs: 5 })).toThrow(refused(/has no ttlMs/));
      await expect(link.send('chat', 'hello', { confirm: true })).rejects.toEqual(
        refused(/acknowledges no messages/),
      );
      expect(() => link.pause('chat')).toThrow(refused(/can be paused/));
      expect(() => link.resume('chat')).toThrow(refused(/can be paused/));
      expect(() => link.exportKey('label')).toThrow(refused(/no keys to export/));
      await expect(link.updateKeys()).rejects.toEqual(refused(/no key updates/));
      expect(() => link.send('chatt' as 'chat', 'x')).toThrow(
        expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
      );
      expect(link.connected).toBe(true);
      expect(link.keyEpoch).toBe(0);
    }
    expect(() => connection.rebind()).toThrow(refused(/connect again with another token/));
    expect(peer.goaway({ reconnectSpreadMs: 1000 })).toBe(false);
    // None of it was sent, and nothing of it stands in the way.
    const heard = next(connection, 'message');
    expect(peer.send('moves', bytes('m'))).toBe(true);
    expect((await world.until(heard))[1]).toBe('moves');
    expect(connection.packetsLost).toBe(0);
  });

  test('says so where the client declares no channel for it', async () => {
    const server = await listenTo(world);
    const only = { chat: reliable() };
    const connection = await world.connect<typeof only>(await tokenFor(world, server), { channels: only });
    expect(() => connection.send(bytes('x'))).toThrow(
      expect.objectContaining({
        code: 'ERR_HAWSER_WIRE',
        message: expect.stringMatching(/declare an unreliable channel/),
      }),
    );
  });

  test('needs another address for each connection to one gateway', async () => {
    const server = await listenTo(world);
    const simulated = world instanceof SimulatedWorld ? { network: world.network } : {};
    const client = await Client.open({ address: '0.0.0.0:0', ...simulated });
    const first = await world.connect(await tokenFor(world, server), { client });
    const error = await errorOf(world.connect(await tokenFor(world, server), { client }));
    expect(error).toMatchObject({
      code: 'ERR_HAWSER_ADDRESS_IN_USE',
      result: 'addressInUse',
      netcodeState: netcodeStates.disconnected,
      message: expect.stringMatching(/open another Client, or give another localAddress$/),
    });
    expect(first.connected).toBe(true);
    expect(client.connections.size).toBe(1);
    await world.until(first.close());
    await world.connect(await tokenFor(world, server), { client });
    await world.until(client.close());
  });

  test('says so when the client has as many connections as it may', async () => {
    const servers = [await listenTo(world), await listenTo(world)];
    const simulated = world instanceof SimulatedWorld ? { network: world.network } : {};
    const client = await Client.open({ address: '0.0.0.0:0', maxConnections: 1, ...simulated });
    const [one, two] = await Promise.all(servers.map((server) => tokenFor(world, server)));
    if (one === undefined || two === undefined) expect.fail('no tokens');
    await world.connect(one, { client });
    expect(await errorOf(world.connect(two, { client }))).toMatchObject({
      result: 'aborted',
      message: 'the client has maxConnections connections already',
    });
    await world.until(client.close());
  });

  test('uses a token once, and calls it invalid (-5) when it is given again', async () => {
    const server = await listenTo(world);
    const token = await tokenFor(world, server);
    const connection = await world.connect(token);
    const used = {
      code: 'ERR_HAWSER_TOKEN_INVALID',
      message: expect.stringContaining('used before'),
      result: 'tokenInvalid',
      netcodeState: netcodeStates.invalidConnectToken,
    };
    expect(await errorOf(world.connect(encodeNetcodeToken(token)))).toMatchObject(used);
    await world.until(connection.close());
    expect(await errorOf(world.connect(token))).toMatchObject(used);
    expect(server.stats.counters.requestsReceived).toBe(1);
  });

  test('tries a token again that nobody has answered', async () => {
    const server = await world.listen();
    const token = await tokenFor(world, server);
    const silence = { result: 'timedOut', netcodeState: netcodeStates.connectionRequestTimedOut };
    expect(await errorOf(world.connect(token, limit))).toMatchObject(silence);
    expect(await errorOf(world.connect(token, limit))).toMatchObject(silence);
  });

  test('denies when the server is full, and tells the state before the error', async () => {
    const server = await listenTo(world, { maxPeers: 1 });
    await world.connect(await tokenFor(world, server));
    const states: ConnectionState[] = [];
    const error = await errorOf(
      world.connect(await tokenFor(world, server), { onState: (state) => states.push(state) }),
    );
    expect(error).toMatchObject({
      code: 'ERR_HAWSER_DENIED',
      result: 'denied',
      denied: 'SERVER_FULL',
      netcodeState: netcodeStates.connectionDenied,
    });
    expect(states).toEqual(['REQUESTING', 'DISCONNECTED']);
  });

  test('goes from server to server', async () => {
    const full = await listenTo(world, { maxPeers: 1 });
    await world.connect(await tokenFor(world, full));
    const server = await listenTo(world);
    const token = await tokenFor(world, server, {
      addresses: [...full.publicAddresses, ...server.publicAddresses],
    });
    const states: ConnectionState[] = [];
    const connection = await world.connect(token, { onState: (state) => states.push(state) });
    expect(connection.address).toBe(server.address);
    expect(states).toEqual(['REQUESTING', 'RESPONDING', 'CONNECTED']);
  });

  test('is not answered with a token for another application, or with one that breaks the rules', async () => {
    const server = await listenTo(world);
    const token = await tokenFor(world, server, { protocolId: protocolId + 1n });
    expect(await silenceFor(world, token)).toMatchObject({
      code: 'ERR_HAWSER_TIMED_OUT',
      netcodeState: netcodeStates.connectionRequestTimedOut,
    });
    expect(server.stats.drops.protocol).toBeGreaterThan(0);
    expect(await errorOf(world.connect(token, { protocolId }))).toMatchObject({
      name: 'HawserError',
      code: 'ERR_HAWSER_TOKEN_INVALID',
      result: 'tokenInvalid',
      netcodeState: netcodeStates.invalidConnectToken,
    });
    expect(await errorOf(world.connect(token.subarray(0, 2047)))).toMatchObject({
      code: 'ERR_HAWSER_TOKEN_INVALID',
      result: 'tokenInvalid',
      netcodeState: netcodeStates.invalidConnectToken,
      message: 'the connect token is invalid: 2047 bytes instead of 2048',
    });
  });

  test('knows when a token has expired, by its own clock alone', async () => {
    const server = await listenTo(world);
    const token = await tokenFor(world, server, {
      addresses: ['192.0.2.1:1'],
      lifetimeMs: 1000,
      timeoutMs: 15_000,
    });
    expect(await errorOf(world.connect(token))).toMatchObject({
      code: 'ERR_HAWSER_TOKEN_EXPIRED',
      netcodeState: netcodeStates.connectTokenExpired,
    });
  });

  test('can be given up while it is being made, by a limit or by a signal', async () => {
    const server = await listenTo(world);
    const nowhere = { addresses: ['192.0.2.1:1'], timeoutMs: 60_000 };
    expect(
      await errorOf(world.connect(await tokenFor(world, server, nowhere), { timeoutMs: 250 })),
    ).toMatchObject({
      code: 'ERR_HAWSER_TIMED_OUT',
      netcodeState: netcodeStates.connectionRequestTimedOut,
    });
    const controller = new AbortController();
    const states: ConnectionState[] = [];
    const attempt = world.connect(await tokenFor(world, server, nowhere), {
      signal: controller.signal,
      onState: (state) => {
        states.push(state);
        controller.abort('enough');
      },
    });
    expect(await errorOf(attempt)).toMatchObject({ code: 'ERR_HAWSER_ABORTED', cause: 'enough' });
  });

  test('asks a token history of the user once for each token', async () => {
    const asked: [Uint8Array, number][] = [];
    const failures: unknown[] = [];
    let answer: boolean | Error = true;
    const tokenHistory = {
      async consume(id: Uint8Array, expireMs: number): Promise<boolean> {
        asked.push([id, expireMs]);
        if (answer instanceof Error) throw answer;
        return answer;
      },
    };
    // With a history nothing is lost in a restart: the keys need not be fresh.
    const server = await listenTo(world, { tokenHistory, netcode: {} });
    server.on('listenerError', (error, source) => failures.push(source, error));
    const token = await tokenFor(world, server);
    await world.connect(token);
    expect(asked).toHaveLength(1);
    expect(asked[0]?.[0]).toEqual(await tokenId(token));
    expect(asked[0]?.[1]).toBe(decodeNetcodeToken(token).expireTimeMs);

    answer = false;
    const isUsed = (): boolean => server.stats.drops.tokenUsed > 0;
    await expectChallengedAlone(world, await tokenFor(world, server), isUsed);
    expect(server.stats.drops.tokenUsed).toBe(1);
    answer = new Error('the store is away');
    await expectChallengedAlone(world, await tokenFor(world, server), () => failures.length > 0);
    expect(failures).toEqual(['tokenHistory', answer]);
    expect(server.peers.size).toBe(1);
    expect(new Set(asked.map(([id]) => Buffer.from(id).toString('hex'))).size).toBe(3);
  });

  test('refuses after its start what may have been used before it', async () => {
    const server = await listenTo(world, { freshKeys: false });
    expect(await silenceFor(world, await tokenFor(world, server))).toMatchObject({
      netcodeState: netcodeStates.connectionRequestTimedOut,
    });
    expect(server.stats.drops.tokenPredates).toBeGreaterThan(0);
    expect(server.stats.counters.challengesSent).toBe(0);
  });

  test('refuses tokens that live longer than it was told', async () => {
    const server = await listenTo(world, {
      clockSkewMs: 1000,
      freshKeys: true,
      netcode: { tokenLifetimeMs: 60_000 },
    });
    const long = await tokenFor(world, server, { lifetimeMs: 120_000 });
    expect(await silenceFor(world, long)).toMatchObject({ result: 'timedOut' });
    expect(server.stats.drops.tokenLifetime).toBeGreaterThan(0);
    await world.connect(await tokenFor(world, server, { lifetimeMs: 60_000 }));
  });

  test('does not answer a client whose id is connected, by either format', async () => {
    const server = await listenTo(world);
    const first = await world.connect(await tokenFor(world, server, { clientId: 77n }));
    await world.settle();
    expect(await silenceFor(world, await tokenFor(world, server, { clientId: 77n }))).toMatchObject({
      result: 'timedOut',
    });
    expect(server.stats.drops.clientIdConnected).toBeGreaterThan(0);
    expect(first.connected).toBe(true);
    await world.connect(await world.token(server, { clientId: 78n }));
    await world.settle();
    expect(await silenceFor(world, await tokenFor(world, server, { clientId: 78n }))).toMatchObject({
      result: 'timedOut',
    });
    expect([...server.peers].map((peer) => peer.clientId).sort()).toEqual([77n, 78n]);
  });

  test('tries the first two keys', async () => {
    const keys = [1, 2, 3].map((id) => generateKey({ id }));
    const [first, second, third] = keys;
    if (first === undefined || second === undefined || third === undefined) expect.fail('no keys');
    const server = await listenTo(world, { keys });
    await world.connect(await tokenFor(world, server, { key: first }));
    await world.connect(await tokenFor(world, server, { key: second.key }));
    const token = await tokenFor(world, server, { key: third });
    expect(await silenceFor(world, token)).toMatchObject({ result: 'timedOut' });
    expect(server.stats.drops.tokenInvalid).toBeGreaterThan(0);
    server.setKeys([third, first]);
    await world.connect(await tokenFor(world, server, { key: third }));
  });

  test('is not spoken by a server that was not asked to, and may be all that one speaks', async () => {
    const usual = await world.listen();
    const netcodeOnly = await listenTo(world, { wires: ['netcode'] });
    expect(await silenceFor(world, await tokenFor(world, usual))).toMatchObject({
      result: 'timedOut',
    });
    expect(usual.stats.drops.unknownType).toBeGreaterThan(0);
    expect(await silenceFor(world, await world.token(netcodeOnly))).toMatchObject({
      result: 'timedOut',
      netcodeState: undefined,
    });
    expect(netcodeOnly.stats.drops.unknownType).toBeGreaterThan(0);
    await world.connect(await world.token(usual));
    await world.connect(await tokenFor(world, netcodeOnly));
  });

  test('is denied while the server drains', async () => {
    const server = await listenTo(world);
    const connection = await world.connect(await tokenFor(world, server));
    connection.on('goaway', () => expect.fail('netcode has no such thing'));
    const late = await tokenFor(world, server);
    const drained = server.drain({ deadlineMs: 60_000 });
    expect(await errorOf(world.connect(late))).toMatchObject({ result: 'denied' });
    expect(connection.connected).toBe(true);
    await world.until(connection.close());
    await world.until(drained);
    expect(server.state).toBe('STOPPED');
  });

  test('is drained at the deadline', async () => {
    const server = await listenTo(world);
    const connection = await world.connect(await tokenFor(world, server));
    const ended = next(connection, 'disconnect');
    const drained = server.drain({ deadlineMs: 600 });
    expect(connection.connected).toBe(true);
    await world.until(drained);
    expect((await world.until(ended))[0]).toMatchObject({ result: 'disconnected' });
    expect(server.state).toBe('STOPPED');
  });

  test('stays behind when the client goes over to another socket, and times out', async () => {
    const server = await listenTo(world);
    const simulated = world instanceof SimulatedWorld ? { network: world.network } : {};
    const client = await Client.open({ address: '0.0.0.0:0', ...simulated });
    // Short, for it is waited for. It may be over before the client goes, too.
    const atServer = next(server, 'disconnect');
    const netcode = await world.connect(await tokenFor(world, server, { timeoutMs: 3000 }), { client });
    const ended = next(netcode, 'disconnect');
    const hawser = await world.connect(await world.token(server), { client });
    await world.settle();
    client.rebind();
    expect((await world.until(ended))[0]).toEqual({
      result: 'timedOut',
      code: 0,
      reason: '',
      reconnectSpreadMs: 0,
    });
    expect(netcode.netcodeState).toBe(netcodeStates.connectionTimedOut);
    const [peer, info] = await world.until(atServer);
    expect([peer.wire, info.result]).toEqual(['netcode', 'timedOut']);
    expect(hawser.connected).toBe(true);
    await world.until(client.close());
  });
});

describe('netcode', () => {
  test('admits tokens of before the start as soon as none of them can be alive', async () => {
    const world = new SimulatedWorld();
    const server = await listenTo(world, {
      clockSkewMs: 60_000,
      restartGuardMs: 2000,
      freshKeys: false,
      netcode: { tokenLifetimeMs: 5000 },
    });
    const token = (): Promise<Uint8Array> => tokenFor(world, server, { lifetimeMs: 5000 });
    expect(await errorOf(world.connect(await token(), { timeoutMs: 500 }))).toMatchObject({
      result: 'timedOut',
    });
    await world.network.run(3000);
    await world.connect(await token());
    await world.close();
  });

  test('is tried for as long as the token says, unless the caller has a limit', async () => {
    const world = new SimulatedWorld();
    const nowhere = { addresses: ['192.0.2.1:1', '192.0.2.2:1', '192.0.2.3:1'], timeoutMs: 7000 };
    const started = world.clock.wallNow();
    const states: ConnectionState[] = [];
    const token = await tokenFor(world, { publicAddresses: [] }, nowhere);
    const error = await errorOf(world.connect(token, { onState: (state) => states.push(state) }));
    expect(error).toMatchObject({ netcodeState: netcodeStates.connectionRequestTimedOut });
    expect(world.clock.wallNow() - started).toBeGreaterThanOrEqual(21_000);
    expect(states).toEqual(['REQUESTING', 'DISCONNECTED']);
    await world.close();
  });

  test('is no way to go on with a connection of HAWSER that was reset', async () => {
    const world = new SimulatedWorld();
    const resetKey = new Uint8Array(32).fill(9);
    const server = await listenTo(world, { resetKey, clockSkewMs: 0 });
    await world.settle();
    let asked = 0;
    const connection = await world.connect(() =>
      ++asked === 1 ? world.token(server, { singleUse: true }) : tokenFor(world, server),
    );
    const ended = next(connection, 'disconnect');
    world.network.partition(server.address, connection.localAddress);
    await world.until(server.close());
    world.network.partition(server.address, connection.localAddress, false);
    await listenTo(world, { address: server.address, resetKey });
    connection.send(bytes('hello?'));
    expect(await world.until(ended)).toEqual([
      { result: 'reset', code: 0, reason: 'the new token is for another wire format', reconnectSpreadMs: 0 },
    ]);
    expect(asked).toBe(2);
    await world.close();
  });

  test('connects a client twice to one gateway from two addresses of its machine', async () => {
    const world = new RealWorld();
    const server = await listenTo(world);
    echo(server);
    const client = await Client.open({ address: '0.0.0.0:0' });
    const one = await world.connect(await tokenFor(world, server), { client, localAddress: '127.0.0.1' });
    const two = await world.connect(await tokenFor(world, server), { client, localAddress: '127.0.0.2' });
    expect(text(await echoed(world, one, bytes('one')))).toBe('one');
    expect(text(await echoed(world, two, bytes('two')))).toBe('two');
    await client.close();
    await world.close();
  });

  test('has its own names in the types', () => {
    expectTypeOf<Wire>().toEqualTypeOf<'hawser' | 'netcode'>();
    expectTypeOf<Connection['wire']>().toEqualTypeOf<Wire>();
    expectTypeOf<Peer['wire']>().toEqualTypeOf<Wire>();
    expectTypeOf<Peer['clientIndex']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Connection['maxClients']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Connection['netcodeState']>().toEqualTypeOf<number | undefined>();
    expectTypeOf<ConnectError['netcodeState']>().toEqualTypeOf<number | undefined>();
    expect(Object.values(netcodeStates)).toEqual([-6, -5, -4, -3, -2, -1, 0, 1, 2, 3]);
  });
});
