import { createHash, randomBytes } from 'node:crypto';
import sodium from 'libsodium-wrappers';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type {
  Connection,
  ConnectOptions,
  KeyUpdateInfo,
  Peer,
  PeerSecretUser,
  ServerOptions,
} from '../../src/index.js';
import { bytes, freshWorldForEachTest, next, SimulatedWorld, text, type World, worlds } from './support.js';

const refused = expect.objectContaining({ code: 'ERR_HAWSER_KEY_UPDATE_REFUSED' });
const busy = expect.objectContaining({ code: 'ERR_HAWSER_KEY_UPDATE_BUSY' });
const notConnected = expect.objectContaining({ code: 'ERR_HAWSER_NOT_CONNECTED' });
const argument = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });

async function pair(
  world: World,
  serverOptions: Partial<ServerOptions> = {},
  connectOptions: ConnectOptions = {},
): Promise<{ readonly peer: Peer; readonly connection: Connection }> {
  const server = await world.listen(serverOptions);
  const connecting = next(server, 'connect');
  const connection = await world.connect(await world.token(server), connectOptions);
  const [peer] = await world.until(connecting);
  return { peer, connection };
}

describe.each(worlds)('a key update %s', (_name, makeWorld) => {
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  test('gives both sides the next epoch, while messages go on', async () => {
    const { peer, connection } = await pair(world);
    const heard: string[] = [];
    connection.on('message', (data) => heard.push(text(data)));
    expect([peer.keyEpoch, connection.keyEpoch]).toEqual([0, 0]);
    const exported = connection.exportKey('a');
    peer.send(bytes('before'));
    const updating = connection.updateKeys();
    peer.send(bytes('meanwhile'));
    expect(await world.until(updating)).toBe(1);
    peer.send(bytes('after'));
    await world.settle();
    expect([peer.keyEpoch, connection.keyEpoch]).toEqual([1, 1]);
    expect(heard).toEqual(['before', 'meanwhile', 'after']);
    expect(connection.exportKey('a')).toEqual(exported);
  });

  test('with a secret asks the other side for it', async () => {
    const secret = randomBytes(32);
    const asked: [string, PeerSecretUser][] = [];
    const { peer, connection } = await pair(world, {
      secretOf: async (secretId, from) => {
        asked.push([Buffer.from(secretId).toString('hex'), from]);
        return secret;
      },
    });
    expect(await world.until(connection.updateKeys({ secret }))).toBe(1);
    await sodium.ready;
    const id = sodium.crypto_generichash(
      16,
      Buffer.concat([Buffer.from('HAWSER 1 secret id\0'), secret]),
      null,
    );
    expect(asked).toEqual([[Buffer.from(id).toString('hex'), peer]]);
  });
});

describe('the event keyUpdate', () => {
  let world: SimulatedWorld;

  beforeEach(() => {
    world = new SimulatedWorld();
  });
  afterEach(() => world.close());

  async function told(secretOf?: ServerOptions['secretOf']): Promise<{
    readonly peer: Peer;
    readonly connection: Connection;
    readonly heard: Record<'client' | 'server', KeyUpdateInfo[]>;
  }> {
    const heard = { client: [] as KeyUpdateInfo[], server: [] as KeyUpdateInfo[] };
    const server = await world.listen(secretOf === undefined ? {} : { secretOf });
    const connecting = next(server, 'connect');
    const connection = await world.connect(await world.token(server));
    const [peer] = await world.until(connecting);
    connection.on('keyUpdate', (info) => heard.client.push(info));
    server.on('keyUpdate', (of, info) => {
      expect(of).toBe(peer);
      heard.server.push(info);
    });
    return { peer, connection, heard };
  }

  test('tells both ends of an update, and of the secret in it', async () => {
    const secret = randomBytes(32);
    const secretId = Uint8Array.from(randomBytes(16));
    const { peer, connection, heard } = await told(() => secret);
    await world.until(connection.updateKeys({ secret, secretId }));
    await world.network.run(5000);
    await world.until(peer.updateKeys());
    await world.settle();
    const [first, second] = [
      { epoch: 1, secretId },
      { epoch: 2, secretId: undefined },
    ];
    expect(heard.client).toEqual([
      { ...first, byPeer: false },
      { ...second, byPeer: true },
    ]);
    expect(heard.server).toEqual([
      { ...first, byPeer: true },
      { ...second, byPeer: false },
    ]);
  });

  test('does not name a secret that was asked for and refused', async () => {
    const { connection, heard } = await told(() => new Uint8Array(32));
    await expect(world.until(connection.updateKeys({ secret: randomBytes(32) }))).rejects.toEqual(refused);
    expect(heard).toEqual({ client: [], server: [] });
    await world.until(connection.updateKeys());
    await world.settle();
    expect(heard.server).toEqual([{ epoch: 1, secretId: undefined, byPeer: true }]);
  });

  test('names the secret of the update that was done, of two that crossed', async () => {
    const secret = randomBytes(32);
    const secretId = Uint8Array.from(randomBytes(16));
    const heard: KeyUpdateInfo[] = [];
    const { peer, connection } = await pair(world, {}, { secretOf: () => secret });
    connection.on('keyUpdate', (info) => heard.push(info));
    await world.until(Promise.all([peer.updateKeys({ secret, secretId }), connection.updateKeys()]));
    expect(heard).toEqual([{ epoch: 1, secretId, byPeer: true }]);
  });
});

describe('a key update', () => {
  let world: SimulatedWorld;

  beforeEach(() => {
    world = new SimulatedWorld();
  });
  afterEach(() => world.close());

  test('finds the secret by the id that it is given, on the client too', async () => {
    const secret = createHash('sha256').update('secret').digest();
    const secretId = Uint8Array.from({ length: 16 }, (_, index) => index);
    const asked: unknown[] = [];
    const { peer, connection } = await pair(
      world,
      {},
      {
        secretOf: (id, of) => {
          asked.push([...id], of);
          return secret;
        },
      },
    );
    expect(await world.until(peer.updateKeys({ secret, secretId }))).toBe(1);
    expect(asked).toEqual([[...secretId], connection]);
    await world.settle();
    expect(connection.keyEpoch).toBe(1);
  });

  test.each([
    ['no secretOf', undefined],
    ['an unknown secret', () => undefined],
    ['another secret', () => new Uint8Array(32)],
    ['no answer', () => new Promise<undefined>(() => undefined)],
    ['an answer of another size', () => new Uint8Array(31)],
    [
      'an error',
      () => {
        throw new Error('the store is away');
      },
    ],
  ])('with %s is refused, and the connection stays', async (name, secretOf) => {
    const errors: unknown[] = [];
    const server = await world.listen(secretOf === undefined ? {} : { secretOf });
    server.on('listenerError', (error, source) => errors.push(source, error));
    const connection = await world.connect(await world.token(server));
    const secret = randomBytes(32);
    await expect(world.until(connection.updateKeys({ secret }))).rejects.toEqual(refused);
    expect(connection.keyEpoch).toBe(0);
    expect(connection.connected).toBe(true);
    expect(await world.until(connection.updateKeys())).toBe(1);
    expect(errors[0]).toBe(
      name === 'an error' || name === 'an answer of another size' ? 'secretOf' : undefined,
    );
  });

  test('cannot follow another at once, and says so', async () => {
    const { peer, connection } = await pair(world);
    const first = connection.updateKeys();
    await expect(world.until(connection.updateKeys())).rejects.toEqual(busy);
    expect(await world.until(first)).toBe(1);
    await expect(world.until(connection.updateKeys())).rejects.toEqual(busy);
    await world.network.run(5000);
    expect(await world.until(peer.updateKeys())).toBe(2);
  });

  test('that crosses that of the gateway gives way to it', async () => {
    const { peer, connection } = await pair(world);
    const crossing = [peer.updateKeys(), connection.updateKeys()];
    expect(await world.until(Promise.all(crossing))).toEqual([1, 1]);
    await world.network.run(5000);
    const gateways = peer.updateKeys();
    await expect(world.until(connection.updateKeys({ secret: randomBytes(32) }))).rejects.toEqual(busy);
    expect(await world.until(gateways)).toBe(2);
  });

  test('ends with the connection', async () => {
    const { peer, connection } = await pair(world, { secretOf: () => new Promise(() => undefined) });
    const updating = connection.updateKeys({ secret: randomBytes(32) });
    await world.settle();
    peer.disconnect();
    await expect(world.until(updating)).rejects.toEqual(notConnected);
    await expect(world.until(connection.updateKeys())).rejects.toEqual(notConnected);
    await expect(world.until(peer.updateKeys())).rejects.toEqual(notConnected);
  });

  test('refuses bad arguments', async () => {
    const { connection } = await pair(world);
    const secret = randomBytes(32);
    for (const options of [
      { secret: new Uint8Array(31) },
      { secret, secretId: new Uint8Array(15) },
      { secret, secretId: new Uint8Array(16) },
      { secretId: randomBytes(16) },
      { secrets: secret } as object,
    ]) {
      await expect(world.until(connection.updateKeys(options))).rejects.toEqual(argument);
    }
    await expect(world.listen({ secretOf: 5 as never })).rejects.toEqual(argument);
  });
});
