// Figures of peers are read from memory that the endpoint publishes, and commands about peers need no answer: neither waits for an I/O thread.

import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Client, type Connection, type Peer, reliable, type Server } from '../../src/index.js';
import { loadAddon, peerFigureNames, statusCell, statusCells } from '../../src/transport/native.js';
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
    const answers: boolean[] = [];
    const turns = turnsDuring(server, () => {
      for (let count = 0; count < reads; ++count) {
        for (const peer of peers) answers.push(peer.goaway({ reason: 0x10001 }));
      }
    });
    expect(turns).toBeLessThan(reads / 4);
    // Later requests find the queue of control frames full: with the event loop's driver they return false.
    expect(answers.slice(0, peers.length)).toEqual([true, true, true, true]);
    for (const [{ reason }] of await Promise.all(asked)) expect(reason).toBe(0x10001);
  });

  test('disconnecting in a loop takes no turn of a thread each, and all peers hear of it', async () => {
    const server = await world.listen({ channels });
    const { peers, ends } = await connectTo(server, 48);
    const ended = ends.map((end) => next(end, 'disconnect'));
    await world.settle();
    let withTurn = 0;
    for (const peer of peers) {
      const turns = turnsDuring(server, () => {
        expect(peer.disconnect(0x10002, 'enough')).toBe(true);
      });
      if (turns > 0) ++withTurn;
    }
    // PINGs of the clients cause turns too. A pause of this process counts once, however many turns it has.
    expect(withTurn).toBeLessThan(peers.length / 2);
    for (const [info] of await Promise.all(ended)) {
      expect(info).toMatchObject({ result: 'disconnected', code: 0x10002, reason: 'enough' });
    }
  });

  test('after close all figures are 0, and reading them does not throw', async () => {
    const server = await world.listen({ channels });
    const { peers, ends } = await connectTo(server, 4);
    expect(Math.min(...figuresOf(peers, statusCell.maxDatagram))).toBeGreaterThan(0);
    await server.close();
    await client.close();
    for (const link of [...peers, ...ends]) {
      expect(link.connected).toBe(false);
      const { rttMs, minRttMs, rttVariationMs, clockOffsetMs, packetsLost, keyEpoch } = link;
      const { queuedBytes, heldBytes, bytesInFlight, maxDatagramBytes, pacingRate } = link;
      expect([rttMs, minRttMs, rttVariationMs, clockOffsetMs, packetsLost, keyEpoch]).toEqual(
        Array(6).fill(0),
      );
      expect([queuedBytes, heldBytes, bytesInFlight, maxDatagramBytes, pacingRate]).toEqual(Array(5).fill(0));
      expect([link.packets, link.clockSettled]).toEqual([{ sent: 0, received: 0 }, false]);
      expect(link.maxUnreliableBytes).toBe(1158);
      expect(link.carrier.status(link.slot, link.generation)).toEqual(new Float64Array(statusCells));
      expect(link.remoteTimeMs()).toBe(0);
    }
    expect(figuresOf(peers, statusCell.maxDatagram)).toEqual(new Float64Array(4));
    expect(peers.map((peer) => peer.address)).toEqual(
      [1, 2, 3, 4].map((n) => expect.stringMatching(`^127.0.3.${n}:`)),
    );
    expect(server.memoryBytes).toBe(0);
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
