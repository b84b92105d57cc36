// Closing while more is to be told than one batch of events has room for: a batch has 8,192 descriptors.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import { Client, type DisconnectInfo, type Server } from '../../src/index.js';
import { createTokenMinter } from '../../src/token/index.js';
import { child } from './child-gateway.js';
import {
  patienceMs,
  protocolId,
  type RealSockets,
  RealWorld,
  serverKey,
  threadedSockets,
} from './support.js';

const run = promisify(execFile);
const crowd = 8_192 + 8;
const onEventLoop: readonly [string, RealSockets] = ['on the event loop', {}];
const [oneThread] = threadedSockets;
const closing: Promise<void>[] = [];
afterAll(() => Promise.all(closing));

/** Resolves when the server knows of that many peers. */
function peersConnected(server: Server, count: number): Promise<void> {
  return new Promise((resolve) => {
    server.on('connect', () => {
      if (server.peers.size === count) resolve();
    });
  });
}

/** Connects `crowd` peers. `told`: how the connection of each ended, once all have. */
async function connectCrowd(client: Client, server: Server): Promise<{ told: Promise<DisconnectInfo[]> }> {
  const { publicAddresses: addresses } = server;
  const minter = await createTokenMinter({
    protocolId,
    key: serverKey,
    addresses,
    timeoutMs: patienceMs,
  });
  const known = peersConnected(server, crowd);
  const endings: Promise<DisconnectInfo>[] = [];
  let clientId = 0n;
  const connectInTurn = async (): Promise<void> => {
    while (clientId < crowd) {
      const connection = await client.connect(minter.mint({ clientId: ++clientId }), {
        timeoutMs: patienceMs,
      });
      endings.push(new Promise((resolve) => connection.once('disconnect', resolve)));
    }
  };
  // As many at a time as a gateway keeps up with.
  await Promise.all(Array.from({ length: 64 }, connectInTurn));
  await known;
  return { told: Promise.all(endings) };
}

// With several threads, the batches of each would have room for its share of the peers.
test.each(oneThread === undefined ? [onEventLoop] : [onEventLoop, oneThread])(
  'a gateway %s that closes tells every one of more peers than fit into one batch',
  async (_, sockets) => {
    const world = new RealWorld(sockets);
    const server = await world.listen({ address: await freeAddress() });
    // On a thread, so that two cores share the handshakes. It has a second to read the farewells, however busy JavaScript is with the ends.
    const client = await Client.open({ address: '0.0.0.0:0', ...oneThread?.[1] });
    const { told } = await connectCrowd(client, server);
    const peers = new Set(server.peers);
    const ended: DisconnectInfo[] = [];
    server.on('disconnect', (peer, info) => {
      expect(peers.delete(peer)).toBe(true);
      ended.push(info);
    });
    const farewell = { code: 0x1_0005, reason: 'bedtime', reconnectSpreadMs: 60_000 };
    await server.close(farewell);
    expect(ended).toEqual(new Array(crowd).fill({ result: 'closed', ...farewell }));
    expect(await told).toEqual(new Array(crowd).fill({ result: 'disconnected', ...farewell }));
    expect([server.state, server.peers.size, client.connections.size]).toEqual(['STOPPED', 0, 0]);
    expect(server.stats.counters).toMatchObject({ peers: 0, halfOpen: 0, packetBuffersInUse: 0 });
    await world.listen({ address: server.address });
    closing.push(client.close(), world.close());
  },
);

test.each([onEventLoop, ...threadedSockets])(
  'a gateway %s that a listener closes tells what came before, and nothing after close',
  async (_, sockets) => {
    const { threads: _threads, ...client } = sockets;
    const { stdout } = await run(process.execPath, [
      child('closes'),
      JSON.stringify({ server: sockets, client }),
    ]);
    const { told, heard, received, atClient } = JSON.parse(stdout);
    expect(told).toEqual(['connect', 'message', 'disconnect closed', 'close', 'closed']);
    expect(received).toBeGreaterThan(sockets.driver === 'threads' ? 2 * 8_192 : 1);
    expect(heard).toBeGreaterThanOrEqual(received);
    expect(atClient).toEqual({ result: 'disconnected', code: 3, reason: '', reconnectSpreadMs: 0 });
  },
);
