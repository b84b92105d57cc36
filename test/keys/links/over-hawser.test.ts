// SAEs over real connections of HAWSER, whose keys they rotate while messages flow.

import { generateKeyPairSync } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { MessageReceiver } from '../../../src/base/message-connection.js';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import type { PeerOptions } from '../../../src/keys/agent/peer-options.js';
import { Sae } from '../../../src/keys/agent/sae.js';
import {
  type KeysChannels,
  keysChannels,
  keysConnector,
  SaeConnection,
  serveKeys,
} from '../../../src/keys/links/over-hawser.js';
import type { Persona } from '../../../src/keys/personas/persona.js';
import { RecordingPersona } from '../../../src/keys/personas/recording-persona.js';
import { TransportPersona } from '../../../src/keys/personas/transport-persona.js';
import { MemoryKeyStore } from '../../../src/keys/store/memory-store.js';
import { type Channel, reliable } from '../../../src/transport/channels.js';
import type { Connection } from '../../../src/transport/connection.js';
import type { Server } from '../../../src/transport/server.js';
import { RealWorld } from '../../transport/support.js';
import { TestKeyPool } from '../agent/key-pool.js';
import { SaeTime } from '../agent/sae-time.js';
import { TurnTime } from '../turn-time.js';

type Channels = KeysChannels & { readonly numbers: Channel<Uint8Array, 'reliable'> };
const channels: Channels = { ...keysChannels, numbers: reliable() };

const keys = { SAE_M: generateKeyPairSync('ed25519'), SAE_S: generateKeyPairSync('ed25519') };
type Id = keyof typeof keys;

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

/** One time for all SAEs, so that nothing comes late where the machine stands still. */
let time: TurnTime;

beforeEach(() => {
  time = new TurnTime();
  opened.push(time);
});

async function openSae(
  saeId: Id,
  peer: Partial<PeerOptions>,
  pool: TestKeyPool,
  persona: Persona,
): Promise<Sae> {
  const other = saeId === 'SAE_M' ? 'SAE_S' : 'SAE_M';
  const sae = await Sae.open({
    saeId,
    signingKey: keys[saeId].privateKey,
    store: new MemoryKeyStore(),
    keySource: pool.source(),
    persona,
    testRanges: true,
    wheel: new TimingWheel(time.clock),
    peers: [
      {
        saeId: other,
        publicKey: keys[other].publicKey,
        role: saeId === 'SAE_M' ? 'master' : 'slave',
        leadMs: 200,
        graceMs: 50,
        // The I/O threads may stand still by themselves.
        maxRounds: 100,
        lateMs: 60_000,
        clockToleranceMs: 60_000,
        ...peer,
      },
    ],
  });
  opened.push(sae);
  return sae;
}

function connected(sae: Sae): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (sae.status().peers.every((peer) => peer.linked)) resolve();
      else setTimeout(look, 5);
    };
    look();
  });
}

describe('SAEs over connections of HAWSER', () => {
  it('rotate the keys of the connection that they speak by, and no message is lost', async () => {
    const world = new RealWorld();
    opened.push(world);
    const pool = new TestKeyPool();
    const personas = { master: new TransportPersona(), slave: new TransportPersona() };
    const master = await openSae('SAE_M', {}, pool, personas.master);
    const slave = await openSae('SAE_S', {}, pool, personas.slave);
    const server: Server<Channels> = await world.listen({ channels, secretOf: personas.master.secretOf });
    personas.master.serve(server, () => 'SAE_S');
    serveKeys(server, master, { saeOf: () => 'SAE_S' });
    const numbers: number[] = [];
    server.on('message', (_, message, channel) => {
      if (channel === 'numbers') numbers.push(Buffer.from(message).readUInt32LE());
    });
    let link: Connection<Channels> | undefined;
    const token = () => world.token(server);
    const options = { channels, secretOf: personas.slave.secretOf };
    const connector = keysConnector<Channels>(token, options, (connection) => {
      link = connection;
      personas.slave.attach('SAE_M', connection);
    });
    const connection = new SaeConnection({ sae: slave, peerSaeId: 'SAE_M', connector });
    opened.push(connection);
    connection.connect();
    await connected(slave);
    await connected(master);
    const slaveEnded = new Promise<void>((resolve) => {
      slave.on('rotation', () => {
        if (slave.status().peers[0]?.rotations === 2) resolve();
      });
    });
    let sent = 0;
    const traffic = setInterval(() => {
      for (let count = 0; count < 20; ++count) {
        const message = Buffer.alloc(4);
        message.writeUInt32LE(sent++);
        link?.send('numbers', message);
      }
    }, 2);
    const first = await master.rotate('SAE_S');
    const second = await master.rotate('SAE_S');
    clearInterval(traffic);
    await slaveEnded;
    while (numbers.length < sent) await new Promise((resolve) => setTimeout(resolve, 5));
    expect([first.outcome, second.outcome]).toEqual(['completed', 'completed']);
    expect(link?.keyEpoch).toBe(2);
    expect(numbers).toEqual(Array.from({ length: sent }, (_, n) => n));
    expect(slave.status().peers[0]).toMatchObject({ productionKeyId: second.newKeyId, rotations: 2 });
  });

  it('go on by the newest connection when one takes the place of another', async () => {
    const world = new RealWorld();
    opened.push(world);
    const pool = new TestKeyPool();
    const master = await openSae('SAE_M', {}, pool, new RecordingPersona());
    const slave = await openSae('SAE_S', {}, pool, new RecordingPersona());
    const server: Server<KeysChannels> = await world.listen({ channels: keysChannels });
    serveKeys(server, master, { saeOf: () => 'SAE_S' });
    const connection = new SaeConnection({
      sae: slave,
      peerSaeId: 'SAE_M',
      connector: keysConnector(() => world.token(server)),
      reconnection: { firstAttemptAtOnce: true },
    });
    opened.push(connection);
    connection.connect();
    await connected(slave);
    await connected(master);
    const call = master.rotate('SAE_S');
    // In the middle of it all connections are ended, and made anew.
    for (const peer of server.peers) void peer.disconnect();
    expect(await call).toMatchObject({ outcome: 'completed' });
    expect(slave.status().peers[0]?.dropped).toEqual({});
  });

  it('refuse a connection of nobody that they know', async () => {
    const world = new RealWorld();
    opened.push(world);
    const master = await openSae('SAE_M', {}, new TestKeyPool(), new RecordingPersona());
    const server: Server<KeysChannels> = await world.listen({ channels: keysChannels });
    const errors: unknown[] = [];
    server.on('listenerError', (error) => errors.push(error));
    serveKeys(server, master, { saeOf: () => 'SAE_X' });
    const link = await world.connect<KeysChannels>(await world.token(server), { channels: keysChannels });
    const info = await new Promise((resolve) => link.once('disconnect', resolve));
    expect(info).toMatchObject({ result: 'disconnected', reason: 'not accepted' });
    expect(errors).toEqual([expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' })]);
    expect(master.status().peers[0]?.linked).toBe(false);
  });

  /** A connection to nobody, what its connections were told, and how many it has ended. */
  function lonely() {
    const ours = new SaeTime();
    const receivers: MessageReceiver[] = [];
    const ends: string[] = [];
    const connection = new SaeConnection({
      sae: {
        accept: () => ({ message: () => undefined, drained: () => undefined, closed: () => undefined }),
      },
      peerSaeId: 'SAE_M',
      connector: async (attach) => {
        const close = (reason: string): void => void ends.push(reason);
        receivers.push(attach({ send: () => true, close, detectsLoss: true }));
      },
      wheel: new TimingWheel(ours.machine()),
      random: () => 0.5,
    });
    opened.push(connection);
    connection.connect();
    return { ours, receivers, ends, connection };
  }

  it('leave a gateway that will go before its deadline, and come back', async () => {
    const { ours, receivers, ends, connection } = lonely();
    await ours.pass(0);
    receivers[0]?.farewell?.({ deadlineMs: 10_000, reconnectSpreadMs: 4000, elsewhere: undefined });
    await ours.pass(1999);
    expect([connection.state, ends]).toEqual(['CONNECTED', []]);
    await ours.pass(1);
    expect([connection.state, ends]).toEqual(['RECONNECTING', ['released']]);
    await ours.pass(30_000);
    expect([connection.state, receivers.length]).toEqual(['CONNECTED', 2]);
  });

  it('come back after another took the place of their connection, though not at once', async () => {
    const { ours, receivers, connection } = lonely();
    await ours.pass(0);
    receivers[0]?.closed(new HawserError('ERR_HAWSER_REPLACED', 'another connection took its place'));
    await ours.pass(30_000);
    expect([connection.state, receivers.length]).toEqual(['RECONNECTING', 1]);
    await ours.pass(60_000);
    expect([connection.state, receivers.length]).toEqual(['CONNECTED', 2]);
  });
});
