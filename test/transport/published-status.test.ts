// Figures of peers are read from memory that the endpoint publishes, and commands about peers need no answer: neither waits for an I/O thread.

import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Client, type Connection, type Peer, reliable, type Server } from '../../src/index.js';
import { loadAddon, peerFigureNames, statusCell } from '../../src/transport/native.js';
import { figuresOf } from '../../src/transport/peer-figures.js';
import { bytes, next, RealWorld } from './support.js';

const one = { driver: 'threads' } as const;
const channels = { data: reliable() };
type Channels = typeof channels;
const reads = 2000;

test('the figures of the addon are those that TypeScript knows, in the same order', () => {
  expect(loadAddon().peerFigureNames).toEqual(peerFigureNames);
});

describe.runIf(process.platform === 'linux')('with I/O threads', () => {
  let world: RealWorld;
  let client: Client<Channels>;
  const closing: Promise<unknown>[] = [];

  beforeEach(async () => {
    world = new RealWorld({ driver: 'threads', threads: 2 });
    client = await Client.open({ address: '0.0.0.0:0', channels, ...one });
  });
  afterEach(() => {
    closing.push(client.close(), world.close());
  });
  afterAll(() => Promise.all(closing));

  async function connectTo(
    server: Server<Channels>,
    count: number,
  ): Promise<{ peers: Peer<Channels>[]; ends: Connection<Channels>[] }> {
    const peers: Peer<Channels>[] = [];
    const ends: Connection<Channels>[] = [];
    for (let index = 0; index < count; ++index) {
      const arriving = next(server, 'connect');
      ends.push(await client.connect(await world.token(server), { localAddress: `127.0.3.${index + 1}` }));
      peers.push((await arriving)[0]);
    }
    return { peers, ends };
  }

  /** How many turns the threads of a server have while `work` runs. Each call that a thread answers takes one. */
  function turnsDuring(server: Server<Channels>, work: () => void): number {
    const before = server.stats.socket.turns ?? 0;
    work();
    return (server.stats.socket.turns ?? 0) - before;
  }

  test('reading figures takes no turn of a thread', async () => {
    const server = await world.listen({ channels });
    const { peers, ends } = await connectTo(server, 4);
    for (const end of ends) end.send('data', bytes('x'));
    await next(server, 'message');
    const turns = turnsDuring(server, () => {
      for (let count = 0; count < reads; ++count) {
        for (const peer of peers) {
          expect(peer.connected && peer.address !== '' && peer.maxDatagramBytes > 0).toBe(true);
          void [peer.rttMs, peer.packets, peer.queuedBytes, peer.clockOffsetMs, peer.maxUnreliableBytes];
        }
        void server.memoryBytes;
      }
    });
    // Their own PINGs and acknowledgements.
    expect(turns).toBeLessThan(reads / 4);
  });

  test('figures of many peers are those of each, and 0 for a peer that has left', async () => {
    const server = await world.listen({ channels });
    const { peers, ends } = await connectTo(server, 12);
    expect(figuresOf(peers, statusCell.maxDatagram)).toEqual(
      Float64Array.from(peers, (peer) => peer.maxDatagramBytes),
    );
    const [peer] = peers;
    if (peer === undefined) throw new Error('no peer');
    const ended = next(server, 'disconnect');
    await ends[0]?.close();
    await ended;
    expect(figuresOf(peers, statusCell.maxDatagram)[0]).toBe(0);
    expect(figuresOf(peers.slice(1), statusCell.connected)).toEqual(new Float64Array(11).fill(1));
    expect(peer.rttMs).toBe(0);
    // Not the address of another peer, and not nothing.
    expect(peer.address).toMatch(/^127\.0\.3\.1:/);
  });

  test('goaway in a loop takes no turn of a thread each, and all peers hear of it', async () => {
    const server = await world.listen({ channels });
    const { peers, ends } = await connectTo(server, 4);
    const asked = ends.map((end) => next(end, 'goaway'));
    const turns = turnsDuring(server, () => {
      for (let count = 0; count < reads; ++count) {
        for (const peer of peers) expect(peer.goaway({ reason: 0x10001 })).toBe(true);
      }
    });
    expect(turns).toBeLessThan(reads / 4);
    for (const [{ reason }] of await Promise.all(asked)) expect(reason).toBe(0x10001);
  });

  test('disconnecting in a loop takes no turn of a thread each, and all peers hear of it', async () => {
    const server = await world.listen({ channels });
    const { peers, ends } = await connectTo(server, 48);
    const ended = ends.map((end) => next(end, 'disconnect'));
    await world.settle();
    const turns = turnsDuring(server, () => {
      for (const peer of peers) {
        expect(peer.disconnect(0x10002, 'enough')).toBe(true);
      }
    });
    expect(turns).toBeLessThan(peers.length / 2);
    for (const [info] of await Promise.all(ended)) {
      expect(info).toMatchObject({ result: 'disconnected', code: 0x10002, reason: 'enough' });
    }
  });

  test('a status is no older than the event that is being handled', async () => {
    const server = await world.listen({ channels });
    const connected: boolean[] = [];
    server.on('connect', (peer) => connected.push(peer.maxDatagramBytes > 0));
    const { peers } = await connectTo(server, 4);
    expect(connected).toEqual([true, true, true, true]);
    for (const peer of peers) {
      const epoch = await peer.updateKeys();
      expect(peer.keyEpoch).toBe(epoch);
    }
  });
});
