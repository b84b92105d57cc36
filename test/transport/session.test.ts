import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../src/base/address.js';
import {
  Client,
  type ConnectionState,
  disconnectCodes,
  type HawserError,
  type Peer,
  reliable,
  type ServerOptions,
  text as textCodec,
} from '../../src/index.js';
import {
  bytes,
  freshWorldForEachTest,
  next,
  protocolId,
  SimulatedWorld,
  type TokenOverrides,
  text,
  type World,
  worlds,
} from './support.js';

describe.each(worlds)('a session %s', (_name, makeWorld) => {
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  test('tells both sides of the connection and what the token says', async () => {
    const server = await world.listen();
    const connecting = next(server, 'connect');
    const states: ConnectionState[] = [];
    const token = await world.token(server, {
      clientId: 0xffff_ffff_ffff_fff1n,
      userData: bytes('level 5'),
      timeoutMs: 67_000,
    });
    const connection = await world.connect(token, { onState: (state) => states.push(state) });
    const [peer] = await world.until(connecting);

    expect(peer.clientId).toBe(0xffff_ffff_ffff_fff1n);
    expect(text(peer.userData)).toBe('level 5');
    expect(peer.timeoutMs).toBe(67_000);
    expect(peer.tokenExpireTimeMs - peer.tokenCreateTimeMs).toBe(3_600_000);
    expect(peer.connected).toBe(true);
    expect(peer.localAddress).toBe(server.address);
    expect(connection.address).toBe(server.address);
    // Bound to a wildcard, the client may not know which of its addresses is used.
    expect(parseAddress(connection.localAddress).port).toBe(parseAddress(peer.address).port);
    expect(connection.timeoutMs).toBe(67_000);
    expect(connection.state).toBe('CONNECTED');
    expect(states).toEqual(['REQUESTING', 'RESPONDING', 'CONFIRMING', 'CONNECTED']);
    expect(server.state).toBe('RUNNING');
    expect(server.peers.size).toBe(1);
    expect([...server.peers]).toEqual([peer]);
    expect(server.stats.counters.handshakesCompleted).toBe(1);
  });

  test('carries messages of every size both ways', async () => {
    const server = await world.listen();
    server.on('message', (peer, data) => server.send(peer, data));
    const connection = await world.connect(await world.token(server));
    for (const size of [0, 1, 3, 4, 23, 24, 25, 64, 1157, 1158]) {
      const message = Uint8Array.from({ length: size }, (_, index) => index * 7 + size);
      const echoed = next(connection, 'message').then(([data]) => data.slice());
      const received = new Promise<Uint8Array>((resolve) => {
        connection.once('message', (data) => resolve(data.slice()));
      });
      expect(connection.send(message)).toBe(true);
      expect(await world.until(received)).toEqual(message);
      await world.until(echoed);
    }
    expect(server.stats.drops.length).toBe(0);
  });

  test('keeps the order of what was sent in one turn', async () => {
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    const heard: string[] = [];
    const all = new Promise<void>((resolve) => {
      server.on('message', (_peer, data, channel) => {
        expect(channel).toBe('default');
        if (heard.push(text(data)) === 100) resolve();
      });
    });
    for (let index = 0; index < 100; ++index) connection.send(bytes(`message ${index}`));
    await world.until(all);
    expect(heard).toEqual(Array.from({ length: 100 }, (_, index) => `message ${index}`));
  });

  test('what a gateway says as soon as it can waits for whoever awaits the connection, in its order', async () => {
    const channels = { chat: reliable(textCodec()) };
    const server = await world.listen({ channels });
    server.on('connect', (peer) => {
      peer.send('chat', 'welcome');
      peer.goaway({ deadlineMs: 5 });
      peer.send('chat', 'that is all');
    });
    for (let count = 0; count < 10; ++count) {
      const connection = await world.connect(await world.token(server), { channels });
      const heard: string[] = [];
      const all = new Promise<void>((resolve) => {
        const hear = (what: string): void => {
          if (heard.push(what) === 3) resolve();
        };
        connection.on('message', hear);
        connection.on('goaway', () => hear('goaway'));
      });
      await world.until(all);
      expect(heard.filter((each) => each !== 'goaway')).toEqual(['welcome', 'that is all']);
      await world.until(connection.close());
    }
  });

  test('hears goaway before the disconnect, even if the gateway drains with a deadline of 0', async () => {
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    const heard: unknown[] = [];
    connection.on('goaway', ({ elsewhere }) => heard.push(['goaway', elsewhere]));
    const ended = next(connection, 'disconnect').then(([{ result }]) => heard.push([result]));
    await world.until(Promise.all([server.drain({ deadlineMs: 0, elsewhere: '192.0.2.1:9' }), ended]));
    expect(heard).toEqual([['goaway', '192.0.2.1:9'], ['disconnected']]);
  });

  test('refuses a message that does not fit and one that is no Uint8Array', async () => {
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    expect(() => connection.send(new Uint8Array(1159))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_MESSAGE_TOO_LONG' }),
    );
    const wrong: unknown = 'text';
    expect(() => connection.send(wrong as Uint8Array)).toThrow(
      expect.objectContaining({
        code: 'ERR_HAWSER_ARGUMENT',
        message: 'data must be a Uint8Array; got "text"',
      }),
    );
  });

  test('ends with the code and the reason of the server', async () => {
    const server = await world.listen();
    const connecting = next(server, 'connect');
    const connection = await world.connect(await world.token(server));
    const [peer] = await world.until(connecting);
    const atServer = next(server, 'disconnect');
    const atClient = next(connection, 'disconnect');
    expect(peer.disconnect(0x1_0005, 'bedtime – gute Nacht', { reconnectSpreadMs: 3_600_000 })).toBe(true);
    expect(peer.disconnect(0x1_0005, 'again')).toBe(false);
    expect(peer.connected).toBe(false);
    expect(await world.until(atServer)).toEqual([
      peer,
      { result: 'closed', code: 0x1_0005, reason: 'bedtime – gute Nacht', reconnectSpreadMs: 3_600_000 },
    ]);
    expect(await world.until(atClient)).toEqual([
      {
        result: 'disconnected',
        code: 0x1_0005,
        reason: 'bedtime – gute Nacht',
        reconnectSpreadMs: 3_600_000,
      },
    ]);
    expect(connection.state).toBe('DISCONNECTED');
    expect(server.peers.size).toBe(0);
    // What a peer says about itself outlives it.
    expect(peer.clientId).toBeGreaterThan(1000n);
    expect(parseAddress(peer.address).port).toBe(parseAddress(connection.localAddress).port);
    expect(peer.rttMs).toBe(0);
  });

  test('ends with the code and the reason of the client', async () => {
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    const atServer = next(server, 'disconnect');
    const atClient = next(connection, 'disconnect');
    await world.until(Promise.all([connection.close(0x2_0000, 'done'), connection.close()]));
    expect(await atClient).toEqual([
      { result: 'closed', code: 0x2_0000, reason: 'done', reconnectSpreadMs: 0 },
    ]);
    const [, info] = await world.until(atServer);
    expect(info).toEqual({ result: 'disconnected', code: 0x2_0000, reason: 'done', reconnectSpreadMs: 0 });
  });

  test('delivers no message of a peer after it was disconnected', async () => {
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    const heard: string[] = [];
    server.on('message', (peer, data) => {
      heard.push(text(data));
      peer.disconnect();
    });
    const ended = next(connection, 'disconnect');
    for (const message of ['first', 'second', 'third']) connection.send(bytes(message));
    await world.until(ended);
    expect(heard).toEqual(['first']);
  });

  test('exports equal keys on both sides, different by label and by session', async () => {
    const server = await world.listen();
    const peers: Peer[] = [];
    server.on('connect', (peer) => peers.push(peer));
    const one = await world.connect(await world.token(server));
    const two = await world.connect(await world.token(server));
    await world.settle();
    const keys = [one, two].flatMap((each) => [each.exportKey('a'), each.exportKey('b')]);
    expect(keys.map((key) => key.length)).toEqual([32, 32, 32, 32]);
    expect(new Set(keys.map((key) => Buffer.from(key).toString('hex'))).size).toBe(4);
    // Which of the peers is told of first is chance where each has an I/O thread of its own.
    const pairOf = (each: Peer | typeof one): string =>
      ['a', 'b'].map((label) => Buffer.from(each.exportKey(label)).toString('hex')).join(' ');
    expect(new Set(peers.map(pairOf))).toEqual(new Set([one, two].map(pairOf)));
    expect(() => one.exportKey('')).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }));
    expect(() => one.exportKey('ä'.repeat(128))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
    await world.until(one.close());
    expect(() => one.exportKey('a')).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_NOT_CONNECTED' }));
  });

  test('broadcasts to all peers, or to some', async () => {
    const server = await world.listen();
    const connections = [];
    for (let index = 0; index < 5; ++index) connections.push(await world.connect(await world.token(server)));
    await world.settle();
    const heard = connections.map((connection) => {
      const messages: string[] = [];
      connection.on('message', (data) => messages.push(text(data)));
      return messages;
    });
    expect(server.broadcast(bytes('all'))).toBe(5);
    const some = [...server.peers].slice(1, 3);
    expect(server.broadcast('default', bytes('some'), { peers: some })).toBe(2);
    expect(server.broadcast('default', bytes('none'), { peers: [] })).toBe(0);
    await world.settle();
    expect(heard.flat().filter((message) => message === 'all')).toHaveLength(5);
    expect(heard.flat().filter((message) => message === 'some')).toHaveLength(2);
    expect(heard.flat()).toHaveLength(7);
  });

  test('asks a client to go elsewhere', async () => {
    const server = await world.listen();
    const connecting = next(server, 'connect');
    const connection = await world.connect(await world.token(server));
    const [peer] = await world.until(connecting);
    const asked = next(connection, 'goaway');
    const request = { reason: 9, deadlineMs: 1234, reconnectSpreadMs: 5678, elsewhere: '192.0.2.1:4433' };
    expect(peer.goaway(request)).toBe(true);
    expect(await world.until(asked)).toEqual([request]);
    const other = await world.connect(await world.token(server));
    const again = next(other, 'goaway');
    for (const each of server.peers) each.goaway();
    expect(await world.until(again)).toEqual([
      {
        reason: disconnectCodes.SHUTTING_DOWN,
        deadlineMs: 10_000,
        reconnectSpreadMs: 0,
        elsewhere: undefined,
      },
    ]);
  });

  test('accepts peers in a for-await loop until the server closes', async () => {
    const server = await world.listen();
    const accepted: bigint[] = [];
    const loop = (async () => {
      for await (const peer of server) accepted.push(peer.clientId);
    })();
    await world.connect(await world.token(server, { clientId: 1n }));
    await world.connect(await world.token(server, { clientId: 2n }));
    await world.settle();
    await world.until(server.close());
    await loop;
    expect(accepted).toEqual([1n, 2n]);
    for await (const peer of server) throw new Error(`a closed server accepted ${peer.clientId}`);
  });

  test('is measured: round trip, clock, packets', async () => {
    const server = await world.listen();
    const connecting = next(server, 'connect');
    const connection = await world.connect(await world.token(server));
    const [peer] = await world.until(connecting);
    await world.settle();
    expect(connection.rttMs).toBeGreaterThan(0);
    expect(connection.minRttMs).toBeLessThanOrEqual(connection.rttMs);
    expect(connection.rttVariationMs).toBeGreaterThanOrEqual(0);
    expect(connection.packets.sent).toBeGreaterThan(0);
    expect(peer.packets.received).toBeGreaterThan(0);
    const apart = peer.clockOffsetMs + connection.clockOffsetMs;
    expect(Math.abs(apart)).toBeLessThanOrEqual(connection.rttMs + peer.rttMs);
    const remote = connection.remoteTimeMs();
    expect(connection.remoteTimeMs()).toBeGreaterThanOrEqual(remote);
  });

  test('shares one socket with others of the same client', async () => {
    const server = await world.listen();
    const simulated = world instanceof SimulatedWorld ? { network: world.network } : {};
    const client = await Client.open({ address: '0.0.0.0:0', ...simulated });
    const one = await world.connect(await world.token(server), { client });
    const two = await world.connect(await world.token(server), { client });
    expect(client.connections.size).toBe(2);
    expect(one.localAddress).toBe(two.localAddress);
    server.on('message', (peer, data) => peer.send(data));
    const heard: string[] = [];
    one.on('message', (data) => heard.push(`one ${text(data)}`));
    two.on('message', (data) => heard.push(`two ${text(data)}`));
    one.send(bytes('a'));
    two.send(bytes('b'));
    await world.settle();
    expect(heard.sort()).toEqual(['one a', 'two b']);
    const ended = next(two, 'disconnect');
    await world.until(one.close());
    expect(client.state).toBe('RUNNING');
    await world.until(client.close());
    expect((await ended)[0].result).toBe('closed');
    expect(client.state).toBe('STOPPED');
    await expect(client.connect(await world.token(server))).rejects.toMatchObject({
      code: 'ERR_HAWSER_CLOSED',
    });
  });

  test('is refused with the reason when the server is full', async () => {
    const server = await world.listen({ maxPeers: 1 });
    await world.connect(await world.token(server));
    const error: HawserError = await world.connect(await world.token(server)).then(
      () => expect.fail('connected'),
      (reason) => reason,
    );
    expect(error).toMatchObject({
      code: 'ERR_HAWSER_DENIED',
      result: 'denied',
      denied: 'SERVER_FULL',
      message: 'the gateway does not admit this client: SERVER_FULL',
    });
  });

  test('replaces the older session of the same client, or rejects the newer one', async () => {
    const replacing = await world.listen();
    const first = await world.connect(await world.token(replacing, { clientId: 5n }));
    const ended = next(first, 'disconnect');
    const atServer = next(replacing, 'disconnect');
    await world.connect(await world.token(replacing, { clientId: 5n }));
    expect((await world.until(ended))[0].result).toBe('replaced');
    expect((await world.until(atServer))[1].result).toBe('replaced');
    await world.settle();
    expect(replacing.peers.size).toBe(1);

    const rejecting = await world.listen({ sameClient: 'reject' });
    await world.connect(await world.token(rejecting, { clientId: 5n }));
    await expect(world.connect(await world.token(rejecting, { clientId: 5n }))).rejects.toMatchObject({
      code: 'ERR_HAWSER_DENIED',
      denied: 'CLIENT_ID_CONNECTED',
    });
  });

  test('admits a single-use token once', async () => {
    const server = await world.listen({ restartGuardMs: 0 });
    await world.settle();
    const token = await world.token(server, { singleUse: true });
    const connection = await world.connect(token);
    await world.until(connection.close());
    await expect(world.connect(token)).rejects.toMatchObject({ denied: 'TOKEN_USED' });
  });

  /** A token whose issuer's clock differs from that of the gateway. */
  const aged = (ms: number): { readonly now: () => number } => ({ now: () => world.clock.wallNow() + ms });

  test.each<[string, Partial<ServerOptions>, TokenOverrides, string, RegExp]>([
    ['expired', {}, { ...aged(-7_200_000), lifetimeMs: 60_000 }, 'TOKEN_EXPIRED', /get a new connect token/],
    ['from the future', {}, aged(61_000), 'TOKEN_FUTURE', /synchronise the clocks/],
    ['that lives too long', { maxTokenLifetimeMs: 1000 }, {}, 'TOKEN_LIFETIME', /maxTokenLifetimeMs/],
    ['for another protocol', { protocolId: 99n }, {}, 'PROTOCOL_MISMATCH', /another protocolId/],
    ['for other gateways', { publicAddresses: ['192.0.2.1:1'] }, {}, 'WRONG_ADDRESS', /publicAddresses/],
    [
      'for one use, and from before the start',
      {},
      { singleUse: true },
      'SINGLE_USE_REFUSED',
      /restartGuardMs/,
    ],
  ])('refuses a token at once, and says why: %s', async (_, options, overrides, denied, advice) => {
    const server = await world.listen(options);
    const token = await world.token({ publicAddresses: [server.address] }, overrides);
    const error: unknown = await world.connect(token).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_HAWSER_DENIED', result: 'denied', denied });
    expect(error).toMatchObject({ message: expect.stringMatching(advice) });
  });

  test('takes tokens of an issuer whose clock is 20 s ahead or behind', async () => {
    const server = await world.listen();
    await world.connect(await world.token(server, { clientId: 1n, ...aged(20_000) }));
    await world.connect(await world.token(server, { clientId: 2n, ...aged(-20_000), lifetimeMs: 10_000 }));
    // A client may be connected before the event loop of the gateway knows.
    await expect.poll(() => server.peers.size).toBe(2);
  });

  test('asks a token source once more when its token has expired', async () => {
    const server = await world.listen();
    let asked = 0;
    const source = (): Promise<Uint8Array> =>
      world.token(server, ++asked === 1 ? { ...aged(-7_200_000), lifetimeMs: 60_000 } : {});
    const connection = await world.connect(source);
    expect([asked, connection.connected]).toEqual([2, true]);
    asked = 0;
    const expired = (): Promise<Uint8Array> => {
      ++asked;
      return world.token(server, { ...aged(-7_200_000), lifetimeMs: 60_000 });
    };
    await expect(world.connect(expired)).rejects.toMatchObject({ denied: 'TOKEN_EXPIRED' });
    expect(asked).toBe(2);
  });

  test('asks a token history of the user', async () => {
    const used = new Set<string>();
    const failures: unknown[] = [];
    let broken = false;
    const tokenHistory = {
      async consume(tokenId: Uint8Array, expireMs: number): Promise<boolean> {
        if (broken) throw new Error('the store is away');
        expect(tokenId).toHaveLength(32);
        expect(expireMs).toBeGreaterThan(world.clock.wallNow());
        const id = Buffer.from(tokenId).toString('hex');
        const isNew = !used.has(id);
        used.add(id);
        return isNew;
      },
    };
    const server = await world.listen({ tokenHistory });
    server.on('listenerError', (error, source) => failures.push(source, error));
    const token = await world.token(server, { singleUse: true });
    const connection = await world.connect(token);
    await world.until(connection.close());
    expect(used.size).toBe(1);
    // The gateway itself remembers nothing: the session is made, asks the history, and is closed.
    await expect(world.connect(token)).rejects.toMatchObject({ name: 'HawserError' });
    broken = true;
    const other = await world.token(server, { singleUse: true });
    await expect(world.connect(other)).rejects.toMatchObject({ name: 'HawserError' });
    expect(failures).toEqual(expect.arrayContaining(['tokenHistory', new Error('the store is away')]));
  });

  test('needs a key that the server has, and keys can be rolled', async () => {
    const server = await world.listen();
    const old = await world.token(server);
    const connection = await world.connect(old);
    const fresh = { id: 8, key: new Uint8Array(32).fill(3) };
    const token = await world.token(server, { key: fresh });
    await expect(world.connect(token, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'ERR_HAWSER_TIMED_OUT',
    });
    // However soon the client gave up, its REQUEST has been read then.
    await world.settle();
    expect(server.stats.drops.unknownKey).toBeGreaterThan(0);
    server.setKeys([fresh]);
    await world.connect(token);
    await expect(world.connect(old, { timeoutMs: 300 })).rejects.toMatchObject({
      code: 'ERR_HAWSER_TIMED_OUT',
    });
    expect(connection.connected).toBe(true);
  });

  test('drains: no new clients, the old ones are asked to go, then it closes', async () => {
    const server = await world.listen();
    const stays = await world.connect(await world.token(server));
    const goes = await world.connect(await world.token(server));
    goes.once('goaway', () => void goes.close());
    const asked = next(stays, 'goaway');
    const ended = next(stays, 'disconnect');
    const closed = next(server, 'close');
    const late = await world.token(server);
    // Long enough to ask and be denied in, and waited for.
    const drained = server.drain({ deadlineMs: 3000, elsewhere: '192.0.2.9:1' });
    expect(server.drain()).toBe(drained);
    const denied = expect(world.connect(late)).rejects.toMatchObject({ denied: 'SHUTTING_DOWN' });
    await denied;
    await world.until(drained);
    expect(await asked).toEqual([
      { reason: 3, deadlineMs: 3000, reconnectSpreadMs: 0, elsewhere: '192.0.2.9:1' },
    ]);
    expect((await world.until(ended))[0]).toEqual({
      result: 'disconnected',
      code: 3,
      reason: '',
      reconnectSpreadMs: 0,
    });
    await closed;
    expect(server.state).toBe('STOPPED');
  });

  test('drains with a spread, which those who are asked to go are told, and those who stay too', async () => {
    const server = await world.listen();
    const stays = await world.connect(await world.token(server));
    await world.settle();
    const atServer = next(server, 'disconnect');
    const asked = next(stays, 'goaway');
    const ended = next(stays, 'disconnect');
    await world.until(server.drain({ deadlineMs: 100, reconnectSpreadMs: 10_000 }));
    expect((await asked)[0].reconnectSpreadMs).toBe(10_000);
    expect((await atServer)[1].reconnectSpreadMs).toBe(10_000);
    expect((await world.until(ended))[0]).toEqual({
      result: 'disconnected',
      code: disconnectCodes.SHUTTING_DOWN,
      reason: '',
      reconnectSpreadMs: 10_000,
    });
  });

  test('drains at once when the last peer leaves', async () => {
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    connection.once('goaway', () => void connection.close());
    const started = world.clock.wallNow();
    await world.until(server.drain({ deadlineMs: 60_000 }));
    expect(world.clock.wallNow() - started).toBeLessThan(30_000);
  });

  test('tells its peers when the server closes', async () => {
    const server = await world.listen();
    const connection = await world.connect(await world.token(server));
    await world.settle();
    const ended = next(connection, 'disconnect');
    const atServer = next(server, 'disconnect');
    const closing = server.close({ code: 0x1_0001, reason: 'maintenance', reconnectSpreadMs: 30_000 });
    expect(server.state).toBe('STOPPING');
    await world.until(Promise.all([closing, server.close()]));
    expect(server.state).toBe('STOPPED');
    expect((await world.until(ended))[0]).toEqual({
      result: 'disconnected',
      code: 0x1_0001,
      reason: 'maintenance',
      reconnectSpreadMs: 30_000,
    });
    expect((await atServer)[1].result).toBe('closed');
    expect(server.peers.size).toBe(0);
    expect(server.broadcast(bytes('nobody'))).toBe(0);
    expect(() => server.setKeys([{ id: 1, key: new Uint8Array(32) }])).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' }),
    );
  });

  test('is not made with a wrong token, and the error says which way it is wrong', async () => {
    const server = await world.listen();
    const token = await world.token(server);
    const cut = token.subarray(0, 500);
    const attempt = (source: unknown, options = {}): Promise<unknown> =>
      world.connect(source as Uint8Array, options);
    await expect(attempt(cut)).rejects.toMatchObject({ code: 'ERR_HAWSER_TOKEN_INVALID' });
    await expect(attempt('not a token')).rejects.toMatchObject({ code: 'ERR_HAWSER_TOKEN_INVALID' });
    await expect(attempt(5)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    await expect(attempt(token, { protocolId: protocolId + 1n })).rejects.toMatchObject({
      code: 'ERR_HAWSER_TOKEN_INVALID',
    });
    const brief = await world.token(server, { lifetimeMs: 200, addresses: ['192.0.2.1:1'] });
    await expect(attempt(brief)).rejects.toMatchObject({ code: 'ERR_HAWSER_TOKEN_EXPIRED' });
    const failing = new Error('the backend is away');
    await expect(attempt(() => Promise.reject(failing))).rejects.toBe(failing);
  });

  test('can be given up while it is being made', async () => {
    const server = await world.listen();
    const token = await world.token(server, { addresses: ['192.0.2.1:1'] });
    const controller = new AbortController();
    const attempt = world.connect(token, { signal: controller.signal });
    const refused = expect(attempt).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED', cause: 'enough' });
    controller.abort('enough');
    await refused;
    await expect(world.connect(token, { signal: controller.signal })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ABORTED',
    });
    const waiting = new AbortController();
    const never = world.connect(() => new Promise<Uint8Array>(() => undefined), { signal: waiting.signal });
    const gaveUp = expect(never).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    waiting.abort();
    await gaveUp;
    await expect(world.connect(token, { timeoutMs: 250 })).rejects.toMatchObject({
      code: 'ERR_HAWSER_TIMED_OUT',
      result: 'timedOut',
    });
  });
});
