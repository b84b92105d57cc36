import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type Connection, type Peer, reliable, type Server, text as textCodec } from '../../../src/index.js';
import type { Persona } from '../../../src/keys/personas/persona.js';
import { deriveTransportKey } from '../../../src/keys/personas/transport-keys.js';
import {
  TransportPersona,
  type TransportPersonaOptions,
} from '../../../src/keys/personas/transport-persona.js';
import { bytes, next, RealWorld, SimulatedWorld } from '../../transport/support.js';
import { contextOf, deviceKey } from './support.js';

const device = expect.objectContaining({ code: 'ERR_HAWSER_DEVICE' });

/** One end: a persona and whom it speaks with. */
interface End {
  readonly persona: TransportPersona;
  readonly to: string;
  /** What `onPeerUses` told. */
  readonly seen: string[];
}

function endOf(world: SimulatedWorld, to: string, options: TransportPersonaOptions = {}): End {
  const persona = new TransportPersona({ clock: world.clock, random: () => 0.5, ...options });
  const seen: string[] = [];
  persona.onPeerUses((peerSaeId, keyId) => seen.push(`${peerSaeId} ${keyId}`));
  return { persona, to, seen };
}

const within = (end: End, signal = new AbortController().signal) => contextOf({ peerSaeId: end.to, signal });

const preConfigure = (end: End, keyId: string): Promise<void> =>
  end.persona.preConfigure(deviceKey(keyId), within(end));

const currentOf = async (end: End): Promise<unknown> => (await end.persona.status(within(end))).currentKeyId;

const underCurrent = async (end: End): Promise<string> => (await end.persona.status(within(end))).service;

describe('the transport persona', () => {
  let world: SimulatedWorld;
  /** SAE_M serves, SAE_S connects. */
  let master: End;
  let slave: End;
  let server: Server;

  beforeEach(async () => {
    world = new SimulatedWorld();
    await begin();
  });
  afterEach(async () => {
    await Promise.all([master.persona.close(), slave.persona.close()]);
    await world.close();
  });

  async function begin(options: TransportPersonaOptions = {}): Promise<void> {
    master = endOf(world, 'SAE_S', options);
    slave = endOf(world, 'SAE_M', options);
    server = await world.listen({ secretOf: master.persona.secretOf });
    master.persona.serve(server, () => master.to);
  }

  async function connect(): Promise<{ readonly connection: Connection; readonly peer: Peer }> {
    const connecting = next(server, 'connect');
    const token = await world.token(server);
    const connection = await world.connect(token, { secretOf: slave.persona.secretOf });
    slave.persona.attach(slave.to, connection);
    const [peer] = await world.until(connecting);
    return { connection, peer };
  }

  const rotate = (end: End, keyId: string | undefined, signal?: AbortSignal): Promise<void> =>
    world.until(end.persona.rotate(keyId === undefined ? undefined : deviceKey(keyId), within(end, signal)));

  /** A rotation as the protocol has it: both have the key live, the slave rotates, then the master. */
  async function rotateBoth(keyId: string): Promise<void> {
    await Promise.all([preConfigure(slave, keyId), preConfigure(master, keyId)]);
    await rotate(slave, keyId);
    await rotate(master, keyId);
  }

  test('mixes the key in once, whichever end rotates first: the other finds it done', async () => {
    const { connection, peer } = await connect();
    await rotateBoth('one');
    expect([connection.keyEpoch, peer.keyEpoch]).toEqual([1, 1]);
    expect(await underCurrent(slave)).toBe('transport: 1 connections, 1 of them under the current key');
    expect(await underCurrent(master)).toBe('transport: 1 connections, 1 of them under the current key');
    await Promise.all([preConfigure(slave, 'two'), preConfigure(master, 'two')]);
    await rotate(master, 'two');
    await rotate(slave, 'two');
    expect([connection.keyEpoch, peer.keyEpoch]).toEqual([2, 2]);
  });

  test('tells of the first use by the other end, and not of its own', async () => {
    await connect();
    await rotateBoth('one');
    expect(master.seen).toEqual(['SAE_S one']);
    expect(slave.seen).toEqual([]);
  });

  test('lets both ends rotate at the same time', async () => {
    const { connection } = await connect();
    for (const keyId of ['one', 'two', 'three']) {
      await Promise.all([preConfigure(slave, keyId), preConfigure(master, keyId)]);
      const both = [slave, master].map((end) => end.persona.rotate(deviceKey(keyId), within(end)));
      await world.until(Promise.all(both));
    }
    expect(connection.keyEpoch).toBe(3);
    expect(await currentOf(master)).toBe('three');
  });

  test('fails when the other end does not have the key in time, and stays as it was; then it succeeds', async () => {
    const { connection } = await connect();
    await rotateBoth('one');
    await preConfigure(slave, 'two');
    const ending = new AbortController();
    const rotating = slave.persona.rotate(deviceKey('two'), within(slave, ending.signal));
    const failed = expect(world.until(rotating)).rejects.toEqual(device);
    world.clock.setTimeout(() => ending.abort(), 3000);
    await failed;
    expect(await currentOf(slave)).toBe('one');
    expect(connection.connected).toBe(true);
    await preConfigure(master, 'two');
    await rotate(slave, 'two');
    expect(await currentOf(slave)).toBe('two');
  });

  test('without a connection takes a key for the next one, which has it at once', async () => {
    await rotateBoth('one');
    const { connection, peer } = await connect();
    await world.settle();
    expect([connection.keyEpoch, peer.keyEpoch]).toEqual([1, 1]);
    expect(await underCurrent(master)).toBe('transport: 1 connections, 1 of them under the current key');
  });

  test('while one end has rotated and the other not, a new connection has a live key and comes to rest', async () => {
    await rotateBoth('old');
    await Promise.all([preConfigure(slave, 'new'), preConfigure(master, 'new')]);
    await rotate(slave, 'new');
    expect([await currentOf(slave), await currentOf(master)]).toEqual(['new', 'old']);
    const { connection } = await connect();
    await world.network.run(10_000);
    const epoch = connection.keyEpoch;
    expect(epoch).toBeGreaterThan(0);
    await world.network.run(60_000);
    expect(connection.keyEpoch).toBe(epoch);
    await rotate(master, 'new');
    expect(await underCurrent(slave)).toBe('transport: 1 connections, 1 of them under the current key');
    expect(await underCurrent(master)).toBe('transport: 1 connections, 1 of them under the current key');
  });

  test('deletes no key that is in use, and none that is not there', async () => {
    await connect();
    await rotateBoth('one');
    await expect(slave.persona.deleteKey('one', within(slave))).rejects.toEqual(device);
    await slave.persona.deleteKey('none', within(slave));
  });

  test('brings each connection to the current key before it deletes the one that it has', async () => {
    const first = await connect();
    // The peer's second gateway, which gets its keys later.
    const other = endOf(world, 'SAE_S');
    const second = await world.listen({ secretOf: other.persona.secretOf });
    other.persona.serve(second, () => other.to);
    const token = await world.token(second);
    const connection = await world.connect(token, { secretOf: slave.persona.secretOf });
    slave.persona.attach(slave.to, connection);
    await Promise.all([slave, master, other].map((end) => preConfigure(end, 'old')));
    await rotate(slave, 'old');
    await world.network.run(5000);
    expect([first.connection.keyEpoch, connection.keyEpoch]).toEqual([1, 1]);

    await Promise.all([slave, master].map((end) => preConfigure(end, 'new')));
    await rotate(slave, 'new');
    const ending = new AbortController();
    const deleting = slave.persona.deleteKey('old', within(slave, ending.signal));
    const failed = expect(world.until(deleting)).rejects.toEqual(device);
    world.clock.setTimeout(() => ending.abort(), 3000);
    await failed;
    await preConfigure(other, 'new');
    await world.until(slave.persona.deleteKey('old', within(slave)));
    expect((await slave.persona.status(within(slave))).liveKeyIds).toEqual(['new']);
    expect(await underCurrent(slave)).toBe('transport: 2 connections, 2 of them under the current key');
    await other.persona.close();
  });

  test('gives a live key to connections with its peer only', async () => {
    const { peer } = await connect();
    const { secretId, secret } = deriveTransportKey(deviceKey('one'));
    await preConfigure(master, 'one');
    expect(master.persona.secretOf(secretId, peer)).toEqual(secret.bytes);
    expect(master.persona.secretOf(new Uint8Array(16), peer)).toBeUndefined();
    const stranger = { address: '', data: undefined };
    expect(master.persona.secretOf(secretId, stranger)).toBeUndefined();
    await master.persona.preConfigure(deviceKey('two'), contextOf({ peerSaeId: 'SAE_X' }));
    const other = deriveTransportKey(deviceKey('two'));
    expect(master.persona.secretOf(other.secretId, peer)).toBeUndefined();
    await world.until(master.persona.deleteKey('one', within(master)));
    expect(master.persona.secretOf(secretId, peer)).toBeUndefined();
  });

  test('refuses another key under the id of one that is live', async () => {
    await preConfigure(master, 'one');
    await preConfigure(master, 'one');
    const other = { keyId: 'one', material: deviceKey('two').material };
    await expect(master.persona.preConfigure(other, within(master))).rejects.toEqual(device);
  });

  test('with requireKeyMs leaves a connection alone for which there is no key to be used', async () => {
    await begin({ requireKeyMs: 2000 });
    const { connection } = await connect();
    await Promise.all([preConfigure(master, 'one')]);
    await world.network.run(60_000);
    expect(connection.connected).toBe(true);
  });

  test('with requireKeyMs disconnects what has no live key in time', async () => {
    await begin({ requireKeyMs: 2000 });
    await preConfigure(master, 'one');
    await rotate(master, 'one');
    const { connection } = await connect();
    const ended = new Promise((resolve) => connection.once('disconnect', resolve));
    await world.network.run(1500);
    expect(connection.connected).toBe(true);
    await world.network.run(1000);
    expect(await world.until(ended)).toMatchObject({
      result: 'disconnected',
      reason: 'no key is in use on this connection',
    });
    await preConfigure(slave, 'one');
    const { connection: good } = await connect();
    await world.network.run(60_000);
    expect(good.connected).toBe(true);
  });

  test('an update without a secret does not pass for one with the key', async () => {
    await begin({ requireKeyMs: 2000 });
    await preConfigure(master, 'one');
    await rotate(master, 'one');
    const connection = await world.connect(await world.token(server));
    const { secretId } = deriveTransportKey(deviceKey('one'));
    // Knows the id, which somebody may have seen, and not the key.
    const guess = connection.updateKeys({ secret: new Uint8Array(32), secretId });
    await expect(world.until(guess)).rejects.toThrow();
    // Between the attempts of the master's end.
    while (connection.keyEpoch === 0) {
      await world.network.run(10);
      await world.until(connection.updateKeys().catch(() => undefined));
    }
    expect(connection.connected).toBe(true);
    await world.network.run(3000);
    expect(connection.connected).toBe(false);
    expect(master.seen).toEqual([]);
  });

  test('once failed closed disconnects, and lets none in before the next rotation', async () => {
    const { connection, peer } = await connect();
    await rotateBoth('one');
    const { secretId } = deriveTransportKey(deviceKey('one'));
    expect(master.persona.secretOf(secretId, peer)).toBeDefined();
    const ended = new Promise((resolve) => connection.once('disconnect', resolve));
    await master.persona.failClosed(within(master));
    expect(master.persona.secretOf(secretId, peer)).toBeUndefined();
    await world.until(ended);
    const again = await connect();
    await world.settle();
    expect(again.connection.connected).toBe(false);
    await rotateBoth('two');
    const { connection: good } = await connect();
    await world.settle();
    expect(good.connected).toBe(true);
    expect(await underCurrent(master)).toBe('transport: 1 connections, 1 of them under the current key');
  });

  test('of several connections one is enough; the others follow', async () => {
    const first = await connect();
    const second = await connect();
    await rotateBoth('one');
    await world.network.run(5000);
    expect([first.connection.keyEpoch, second.connection.keyEpoch]).toEqual([1, 1]);
    expect(await underCurrent(slave)).toBe('transport: 2 connections, 2 of them under the current key');
  });

  test('rotates to no key without touching the connection, whose keys only ever gain', async () => {
    const { connection } = await connect();
    await rotateBoth('one');
    await rotate(slave, undefined);
    await rotate(master, undefined);
    expect([await currentOf(slave), await currentOf(master)]).toEqual([null, null]);
    expect([connection.connected, connection.keyEpoch]).toEqual([true, 1]);
  });

  test('a peer that cannot be named is disconnected, and the error is told', async () => {
    const errors: unknown[] = [];
    const strict = await world.listen();
    strict.on('listenerError', (error) => errors.push(error));
    master.persona.serve(strict, () => {
      throw new Error('who is it?');
    });
    const connection = await world.connect(await world.token(strict));
    await world.settle();
    expect(connection.connected).toBe(false);
    expect(errors).toEqual([new Error('who is it?')]);
  });

  test('closed, it has no secret any more, and leaves connections alone', async () => {
    const { connection, peer } = await connect();
    await rotateBoth('one');
    const { secretId } = deriveTransportKey(deviceKey('one'));
    await master.persona.close();
    expect(master.persona.secretOf(secretId, peer)).toBeUndefined();
    expect(connection.connected).toBe(true);
    expect(server.listenerCount('keyUpdate')).toBe(0);
    const closed = expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' });
    await expect(preConfigure(master, 'two')).rejects.toEqual(closed);
  });

  test.each([0, 64, 127, 16_384, 1.5])('takes no keys of %d bits', (bits) => {
    const persona: Persona = new TransportPersona();
    expect(() => persona.validate(bits)).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }));
  });
});

describe('a key for the transport', () => {
  test.each([16, 32, 64])('of %d bytes is derived as RFC 5869 says', (length) => {
    const key = deviceKey('a key', length);
    const hmac = (secret: Uint8Array, ...parts: Uint8Array[]): Buffer =>
      createHmac('sha256', secret).update(Buffer.concat(parts)).digest();
    const pseudorandom = hmac(bytes('HAWSER 1 keys transport'), key.material.bytes);
    const first = hmac(pseudorandom, bytes('a key'), Uint8Array.of(1));
    const second = hmac(pseudorandom, first, bytes('a key'), Uint8Array.of(2));
    const derived = deriveTransportKey(key);
    expect(Buffer.from(derived.secret.bytes)).toEqual(first);
    expect(Buffer.from(derived.secretId)).toEqual(second.subarray(0, 16));
  });
});

describe('over real sockets', () => {
  test('fifty rotations lose, repeat, and reorder no reliable message, in either direction', async () => {
    const world = new RealWorld();
    const channels = { data: reliable(textCodec()) };
    const [master, slave] = [new TransportPersona(), new TransportPersona()];
    const [ofMaster, ofSlave] = [contextOf({ peerSaeId: 'SAE_S' }), contextOf({ peerSaeId: 'SAE_M' })];
    const server = await world.listen({ channels, secretOf: master.secretOf });
    master.serve(server, () => 'SAE_S');
    const heard = { server: [] as string[], client: [] as string[] };
    server.on('message', (_peer, value) => heard.server.push(value));
    const connecting = next(server, 'connect');
    const connection = await world.connect(await world.token(server), { channels, secretOf: slave.secretOf });
    connection.on('message', (value) => heard.client.push(value));
    slave.attach('SAE_M', connection);
    const [peer] = await connecting;

    let rotating = true;
    let sent = 0;
    const traffic = (async (): Promise<void> => {
      while (rotating) {
        await Promise.all([
          connection.send('data', `message ${sent}`, { confirm: true }),
          peer.send('data', `message ${sent}`, { confirm: true }),
        ]);
        ++sent;
      }
    })();
    let before: string | undefined;
    for (let round = 0; round < 50; ++round) {
      const keyId = `key ${round}`;
      await Promise.all([
        slave.preConfigure(deviceKey(keyId), ofSlave),
        master.preConfigure(deviceKey(keyId), ofMaster),
      ]);
      await slave.rotate(deviceKey(keyId), ofSlave);
      await master.rotate(deviceKey(keyId), ofMaster);
      if (before !== undefined) {
        await Promise.all([slave.deleteKey(before, ofSlave), master.deleteKey(before, ofMaster)]);
      }
      before = keyId;
    }
    rotating = false;
    await traffic;
    const all = Array.from({ length: sent }, (_, index) => `message ${index}`);
    expect(sent).toBeGreaterThan(50);
    expect(heard.server).toEqual(all);
    expect(heard.client).toEqual(all);
    expect([connection.keyEpoch, peer.keyEpoch]).toEqual([50, 50]);
    expect((await slave.status(ofSlave)).liveKeyIds).toEqual(['key 49']);
    await Promise.all([slave.close(), master.close()]);
    await world.close();
  });
});
