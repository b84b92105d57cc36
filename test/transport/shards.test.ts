// A server with several sockets, one for each I/O thread, over an addon that only records.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { addressFromBinary } from '../../src/base/address.js';
import { Client, type Peer, Server, type ServerOptions } from '../../src/index.js';
import { consumeVerdict, eventKind, type NativeEndpointOptions } from '../../src/transport/native.js';
import { batch, endpoints, type FakeEndpoint, type FakeEvent, failure, fakeAddon } from './fake-addon.js';
import { bytes, protocolId, serverKey, text } from './support.js';

vi.mock('../../src/transport/native.js', async (original) => ({
  ...(await original()),
  loadAddon: () => fakeAddon(),
}));

const machine = vi.hoisted(() => ({ cores: 2 }));
vi.mock('node:os', async (original) => ({
  ...(await original()),
  availableParallelism: () => machine.cores,
}));

const { connect, consume, disconnect, drain, message, secretWanted } = eventKind;

let server: Server;
let shards: FakeEndpoint[];
let peers: Peer[];

async function open(options: Partial<ServerOptions> = {}): Promise<void> {
  endpoints.length = 0;
  server = await Server.listen({
    address: '127.0.0.1:0',
    protocolId,
    keys: [serverKey],
    driver: 'threads',
    threads: 3,
    ...options,
  });
  shards = endpoints.splice(0);
  peers = [];
  server.on('connect', (peer) => peers.push(peer));
}

function deliver(shard: number, ...events: FakeEvent[]): void {
  const { slab, descriptors, count } = batch(events);
  shards[shard]?.onEvents(slab, descriptors, count);
}

/** A client id in the fixed part of a connect event. */
function record(clientId: number): Uint8Array {
  const fixed = new Uint8Array(96);
  fixed[0] = clientId;
  return fixed;
}

/** Three peers with the same slot and generation, and one more in the last shard. */
function connectPeers(): void {
  deliver(0, [connect, 0, 5, 1, record(10)]);
  deliver(1, [connect, 0, 5, 1, record(11)]);
  deliver(2, [connect, 0, 5, 1, record(12)], [connect, 0, 6, 4, record(13)]);
}

beforeEach(() => open());
afterEach(() => server.close());

describe('opening', () => {
  test('one endpoint for each thread, at the port of the first, which the others share the gateway of', () => {
    expect(shards.map(({ options: { driver, shard, shards: of } }) => [driver, shard, of])).toEqual([
      ['threads', 0, 3],
      ['threads', 1, 3],
      ['threads', 2, 3],
    ]);
    expect(shards.map(({ options }) => addressFromBinary(options.bind)?.port)).toEqual([0, 7, 7]);
    expect(shards.map(({ options }) => options.gateway)).toEqual([undefined, shards[0], shards[0]]);
    expect(server.address).toBe('127.0.0.1:7');
  });

  test('threads look for work for 50 µs before they sleep, and for none where there is one core', async () => {
    const spins = async (options: Partial<ServerOptions>): Promise<(number | undefined)[]> => {
      await server.close();
      await open({ threads: 2, ...options });
      return shards.map(({ options: { spinMicros } }) => spinMicros);
    };
    expect(await spins({})).toEqual([50, 50]);
    expect(await spins({ spinMicros: 7 })).toEqual([7, 7]);
    machine.cores = 1;
    expect(await spins({})).toEqual([0, 0]);
    expect(await spins({ spinMicros: 1000 })).toEqual([1000, 1000]);
    machine.cores = 2;
  });

  test.each([
    ['ENOTSUP', 'I/O threads need Linux; leave driver out, for the event loop works everywhere'],
    ['EAGAIN', 'the system has no room for another I/O thread; raise "ulimit -u", or take fewer threads'],
  ])('a thread that cannot be had is a clear error: %s', async (code, advice) => {
    Object.assign(failure, { code, syscall: 'pthread_create' });
    await expect(open()).rejects.toMatchObject({
      code: 'ERR_HAWSER_SYSTEM',
      message: `cannot open a UDP socket on 127.0.0.1:0: ${advice}`,
    });
  });

  test('one that fails closes those that were opened, and tells why', async () => {
    failure.after = 2;
    failure.code = 'EMFILE';
    endpoints.length = 0;
    const options = { address: '127.0.0.1:0', protocolId, keys: [serverKey], driver: 'threads', threads: 3 };
    await expect(Server.listen(options as ServerOptions)).rejects.toMatchObject({
      code: 'ERR_HAWSER_TOO_MANY_FILES',
      message: expect.stringContaining('127.0.0.1:7'),
    });
    expect(endpoints.map(({ calls }) => calls)).toEqual([['close'], ['close']]);
  });
});

describe('what is meant for all peers together', () => {
  const plan = async (options: Partial<ServerOptions>): Promise<NativeEndpointOptions> => {
    await server.close();
    await open(options);
    return shards[1]?.options ?? expect.fail('one shard');
  };

  test('is divided among the shards', async () => {
    const {
      maxReassemblyBytes,
      server: gateway,
      simulate,
    } = await plan({
      creditBytes: 100_000,
      maxReassemblyBytes: 3_000_001,
      maxHalfOpen: 10,
      simulate: { bytesPerSecond: 1000, queueBytes: 500 },
    });
    expect(maxReassemblyBytes).toBe(1_000_001);
    expect(gateway?.maxHalfOpen).toBe(4);
    expect(simulate).toMatchObject({ bytesPerSecond: 334, queueBytes: 167 });
  });

  test('a bandwidth without limit stays without', async () => {
    expect((await plan({ simulate: { lossRate: 0.5 } })).simulate?.bytesPerSecond).toBe(0);
  });

  test('leaves each thread eight times the credit, however many there are', async () => {
    for (const threads of [1, 3, 9, 64]) {
      await server.close();
      shards.length = 0;
      await open({ threads });
      for (const { options } of shards)
        expect(options.maxReassemblyBytes).toBeGreaterThanOrEqual(8 * options.creditBytes);
      expect(shards).toHaveLength(threads);
    }
  });

  test('but every shard has room for all peers', async () => {
    const { maxSessions, server: gateway } = await plan({ maxPeers: 100, maxHalfOpen: 30 });
    expect([maxSessions, gateway?.maxPeers]).toEqual([210, 100]);
  });
});

describe('peers', () => {
  beforeEach(connectPeers);

  test('of all shards are the peers of the server, told apart although their slots are the same', () => {
    expect(server.peers.size).toBe(4);
    expect([...server.peers].map(({ clientId, shard, slot }) => [clientId, shard, slot])).toEqual([
      [10n, 0, 5],
      [11n, 1, 5],
      [12n, 2, 5],
      [13n, 2, 6],
    ]);
    expect(server.peers.at(5, 1)?.clientId).toBe(10n);
    expect(server.peers.at(5, 1, 2)?.clientId).toBe(12n);
    expect(server.peers.at(6, 4, 1)).toBeUndefined();
    expect(server.peers.at(5, 1, 3)).toBeUndefined();
  });

  test('hear and are heard through their own socket', () => {
    const heard: [bigint, string][] = [];
    server.on('message', (peer, data) => {
      heard.push([peer.clientId, text(data)]);
      peer.send(data);
    });
    deliver(1, [message, 0, 5, 1, bytes('one')]);
    deliver(2, [message, 0, 5, 1, bytes('two')], [message, 0, 6, 4, bytes('three')]);
    expect(heard).toEqual([
      [11n, 'one'],
      [12n, 'two'],
      [13n, 'three'],
    ]);
    for (const shard of shards) if (shard.arms > 0) shard.flush();
    expect(shards.map(({ sent }) => sent)).toEqual([
      [],
      [[5, 1, 0, 'one']],
      [
        [5, 1, 0, 'two'],
        [6, 4, 0, 'three'],
      ],
    ]);
  });

  test('end in their own shard', () => {
    const ended: bigint[] = [];
    server.on('disconnect', (peer) => ended.push(peer.clientId));
    deliver(1, [disconnect, 3, 5, 1, new Uint8Array(8)]);
    expect(ended).toEqual([11n]);
    expect(peers.map(({ connected }) => connected)).toEqual([true, false, true, true]);
    peers[2]?.disconnect();
    expect(shards.map(({ disconnected }) => disconnected)).toEqual([[], [], [[5, 1]]]);
  });

  test('wait for room in their own socket', () => {
    const drained = vi.fn();
    server.on('drain', drained);
    for (const shard of shards) {
      shard.generations[5] = 1;
      shard.setWritable(false);
    }
    for (const peer of peers.slice(0, 3)) expect(peer.send(bytes('x'))).toBe(false);
    shards[1]?.setWritable(true);
    deliver(1, [drain, 0, 0, 0]);
    expect(drained.mock.calls).toEqual([[peers[1]]]);
  });

  test('are answered where they ask: tokens and secrets', async () => {
    const tokenHistory = { consume: () => true };
    const secretOf = (): Uint8Array => new Uint8Array(32);
    await server.close();
    await open({ tokenHistory, secretOf });
    connectPeers();
    deliver(1, [consume, 0, 9, 3, new Uint8Array(40)]);
    deliver(2, [secretWanted, 0, 5, 1, new Uint8Array(16)]);
    await new Promise((resolve) => setImmediate(resolve));
    expect(shards.map(({ calls }) => calls)).toEqual([
      [],
      [`completeConsumption 9 3 ${consumeVerdict.consumed}`],
      ['provideSecret 5 1'],
    ]);
  });
});

describe('a broadcast', () => {
  beforeEach(() => {
    connectPeers();
    for (const shard of shards) shard.generations[5] = 1;
  });

  test('goes to the peers of all shards', () => {
    expect(server.broadcast(bytes('all'))).toBe(3);
    expect(shards.map(({ broadcasts }) => broadcasts)).toEqual([
      [[0, 'all', null, 0]],
      [[0, 'all', null, 0]],
      [[0, 'all', null, 0]],
    ]);
  });

  test('to some goes to each through its own shard', () => {
    const some = [peers[3], peers[1], peers[2]] as Peer[];
    expect(server.broadcast('default', bytes('some'), { peers: some })).toBe(3);
    expect(shards.map(({ broadcasts }) => broadcasts.map(([, , handles]) => handles))).toEqual([
      [[]],
      [[5, 1]],
      [[6, 4, 5, 1]],
    ]);
  });

  test('refuses peers of another server', async () => {
    const [stranger] = peers;
    const first = server;
    await open();
    expect(() => server.broadcast('default', bytes('x'), { peers: [stranger as Peer] })).toThrow(
      expect.objectContaining({
        code: 'ERR_HAWSER_ARGUMENT',
        message: 'peers must be peers of this server; got a peer of another server',
      }),
    );
    await first.close();
  });
});

describe('what is counted', () => {
  test('is the sum of the shards, and of peaks the highest', async () => {
    const names = fakeAddon().counterNames;
    const set = (shard: number, name: string, value: bigint): void => {
      const { counters } = shards[shard] ?? expect.fail();
      counters[names.indexOf(name)] = value;
    };
    for (const [shard, value] of [3n, 5n, 4n].entries()) {
      set(shard, 'messagesReceived', value);
      set(shard, 'packetBuffersPeak', value);
      set(shard, 'dropReplayed', value);
      (shards[shard] ?? expect.fail()).socketCounters[0] = value;
    }
    const { counters, drops, socket } = server.stats;
    expect(counters.messagesReceived).toBe(12);
    expect(counters.packetBuffersPeak).toBe(5);
    expect(drops.replayed).toBe(12);
    expect(socket).toEqual({ datagramsIn: 12 });
    expect(server.memoryBytes).toBe(3000);
    expect(server.buffers).toEqual({ receiveBytes: 90, sendBytes: 60 });
  });
});

describe('onBatch', () => {
  test('says which shard the slots are of', async () => {
    await server.close();
    const heard: [bigint | undefined, string][] = [];
    await open({
      onBatch: (slab, descriptors, count, shard) => {
        for (let at = 0; at < 6 * count; at += 6) {
          const [head = 0, slot = 0, generation = 0, offset = 0, length = 0] = descriptors.subarray(
            at,
            at + 5,
          );
          if ((head & 0xff) !== message) continue;
          const data = slab.subarray(offset, offset + length);
          heard.push([server.peers.at(slot, generation, shard)?.clientId, text(data)]);
        }
      },
    });
    connectPeers();
    deliver(2, [message, 0, 5, 1, bytes('c')]);
    deliver(0, [message, 0, 5, 1, bytes('a')]);
    expect(heard).toEqual([
      [12n, 'c'],
      [10n, 'a'],
    ]);
  });

  test('of a client is told that it has one', async () => {
    endpoints.length = 0;
    const told: number[] = [];
    const client = await Client.open({
      address: '127.0.0.1:0',
      driver: 'threads',
      onBatch: (_slab, _descriptors, _count, shard) => told.push(shard),
    });
    const { onEvents, options } = endpoints.pop() ?? expect.fail();
    const { slab, descriptors, count } = batch([[message, 0, 0, 1, bytes('x')]]);
    onEvents(slab, descriptors, count);
    expect(told).toEqual([0]);
    expect([options.driver, options.shard, options.shards]).toEqual(['threads', 0, 1]);
    await client.close();
  });
});

describe('the life of a server', () => {
  const calls = (): string[][] => shards.map(({ calls: each }) => each);

  test('keys and draining are the gateway’s: once is enough', async () => {
    connectPeers();
    server.setKeys([serverKey]);
    const drained = server.drain({ deadlineMs: 0 });
    expect(calls()).toEqual([
      ['setKeys', 'startDraining', 'goaway 5 1'],
      ['goaway 5 1'],
      ['goaway 5 1', 'goaway 6 4'],
    ]);
    await drained;
    expect(server.state).toBe('STOPPED');
  });

  test('who had connected before a drain, without it having been told, is asked to go too', async () => {
    connectPeers();
    const drained = server.drain({ deadlineMs: 86_400_000 });
    deliver(1, [connect, 0, 7, 1, record(14)]);
    expect(calls()[1]).toEqual(['goaway 5 1', 'goaway 7 1']);
    await server.close();
    await drained;
  });

  test('a drain ends when the last peer of any shard has left', async () => {
    connectPeers();
    const drained = server.drain({ deadlineMs: 86_400_000 });
    deliver(2, [disconnect, 2, 5, 1, new Uint8Array(8)], [disconnect, 2, 6, 4, new Uint8Array(8)]);
    deliver(0, [disconnect, 2, 5, 1, new Uint8Array(8)]);
    expect(server.state).toBe('RUNNING');
    deliver(1, [disconnect, 2, 5, 1, new Uint8Array(8)]);
    await drained;
    expect(server.state).toBe('STOPPED');
  });

  test('ref and unref are of every socket', () => {
    server.unref().ref();
    expect(calls()).toEqual([
      ['unref', 'ref'],
      ['unref', 'ref'],
      ['unref', 'ref'],
    ]);
  });

  test('it is STOPPING until the last socket has stopped, and its peers end once each', async () => {
    connectPeers();
    const events: string[] = [];
    server.on('disconnect', ({ clientId }) => events.push(`${clientId} ${server.state}`));
    server.on('close', () => events.push(`close ${server.state}`));
    for (const shard of shards) shard.stopsAtOnce = false;
    let closed = false;
    const closing = server.close().then(() => {
      closed = true;
    });
    expect(calls()).toEqual([['stop'], ['stop'], ['stop']]);
    expect(server.state).toBe('STOPPING');
    // The one that the state is read from first.
    shards[0]?.onStopped();
    shards[2]?.onStopped();
    expect(server.state).toBe('STOPPING');
    expect(server.peers.size).toBe(1);
    expect(server.broadcast(bytes('late'))).toBe(0);
    await new Promise((resolve) => setImmediate(resolve));
    expect(closed).toBe(false);
    shards[1]?.onStopped();
    await closing;
    expect(events).toEqual(['10 STOPPING', '12 STOPPING', '13 STOPPING', '11 STOPPED', 'close STOPPED']);
  });

  test('a signal that aborts stops all of it', async () => {
    await server.close();
    const controller = new AbortController();
    await open({ signal: controller.signal });
    controller.abort();
    expect(calls()).toEqual([['stop'], ['stop'], ['stop']]);
    expect(server.state).toBe('STOPPED');
  });
});
