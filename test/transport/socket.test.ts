import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { unhandledListenerErrors } from '../../src/base/isolate.js';
import { type Peer, Server, type ServerOptions } from '../../src/index.js';
import {
  batch,
  endpoints,
  type FakeEndpoint,
  type FakeEvent,
  failure,
  fakeAddon,
  transmitRecordsBytes,
} from './fake-addon.js';
import { bytes, protocolId, serverKey, text } from './support.js';

vi.mock('../../src/transport/native.js', async (original) => ({
  ...(await original()),
  loadAddon: () => fakeAddon(),
}));

const message = 1;
const connect = 2;
const disconnect = 3;
const drain = 6;

let server: Server;
let native: FakeEndpoint;
let peers: Peer[];

async function open(options: Partial<ServerOptions> = {}): Promise<void> {
  server = await Server.listen({ address: '127.0.0.1:5', protocolId, keys: [serverKey], ...options });
  native = endpoints.pop() ?? expect.fail('no endpoint');
  peers = [];
  server.on('connect', (peer) => peers.push(peer));
}

function deliver(...events: FakeEvent[]): void {
  const { slab, descriptors, count } = batch(events);
  native.onEvents(slab, descriptors, count);
}

/** The fixed part of a connect event, all zero but the address, and user data. */
function record(userData = ''): Uint8Array {
  return Buffer.concat([new Uint8Array(96), bytes(userData)]);
}

beforeEach(() => open());
afterEach(() => server.close());

describe('remoteTimeMs', () => {
  /** Reads the clock of the peer `peer` at `clockMs`, while the published offset is `offsetMs`. */
  function read(peer: Peer | undefined, clockMs: number, offsetMs: number): number | undefined {
    native.clockMs = clockMs;
    native.clockOffsetMs = offsetMs;
    return peer?.remoteTimeMs();
  }

  beforeEach(() => {
    native.generations[3] = 9;
    deliver([connect, 0, 3, 9, record()]);
  });

  test('does not run backwards when a new estimate is published late', () => {
    expect(read(peers[0], 1000, 500)).toBe(1500);
    expect(read(peers[0], 1010, 480)).toBe(1500);
    expect(read(peers[0], 1019, 480)).toBe(1500);
    expect(read(peers[0], 1030, 480)).toBe(1510);
    // An offset of 0 is an offset like others once there was a sample.
    expect(read(peers[0], 1031, 0)).toBe(1510);
  });

  test('follows the first sample, also to an earlier time', () => {
    expect(read(peers[0], 1_000_000, 0)).toBe(1_000_000);
    expect(read(peers[0], 1_000_010, -900_000)).toBe(100_010);
    expect(read(peers[0], 1_000_020, -900_020)).toBe(100_010);
  });

  test('is kept for each peer, and not for the next one in its slot', () => {
    native.generations[4] = 1;
    deliver([connect, 0, 4, 1, record()]);
    expect(read(peers[0], 1000, 500)).toBe(1500);
    expect(read(peers[1], 1000, 100)).toBe(1100);
    deliver([disconnect, 0, 3, 9]);
    native.generations[3] = 10;
    deliver([connect, 0, 3, 10, record()]);
    expect(read(peers[2], 1001, 200)).toBe(1201);
  });

  test('begins a new session after a reconnection', () => {
    // As a connection after a reset: the same object with another handle.
    const link = Object.create(Object.getPrototypeOf(peers[0] ?? null), {
      carrier: { value: peers[0]?.carrier },
      connected: { value: true, writable: true },
      slot: { value: 3 },
      generation: { value: 9, writable: true },
    });
    expect(read(link, 1000, 500)).toBe(1500);
    link.connected = false;
    native.generations[3] = 10;
    link.generation = 10;
    expect(read(link, 1001, 500)).toBe(1001);
    link.connected = true;
    expect(read(link, 1002, -300)).toBe(702);
    expect(read(link, 1003, -310)).toBe(702);
  });
});

describe('goaway', () => {
  test.each(['loop', 'threads'] as const)(
    'does not reach the addon with an unusable address, driver %s',
    async (driver) => {
      await server.close();
      await open({ driver });
      native.generations[3] = 9;
      deliver([connect, 0, 3, 9, record()]);
      for (const elsewhere of ['192.0.2.1:0', '0.0.0.0:1', '[::]:1']) {
        expect(() => peers[0]?.goaway({ elsewhere })).toThrow(
          expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
        );
      }
      // Once only: another drain would return the same promise.
      const draining = server.drain({ elsewhere: '[::]:1' });
      await expect(draining).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
      expect(native.calls).toEqual([]);
      expect(peers[0]?.goaway({ elsewhere: '192.0.2.1:1' })).toBe(true);
      expect(native.calls).toEqual(['goaway 3 9']);
    },
  );
});

describe('send', () => {
  beforeEach(() => {
    native.generations[3] = 9;
    native.generations[4] = 1;
    deliver([connect, 0, 3, 9, record()], [connect, 0, 4, 1, record()]);
  });

  test('writes records and arms once a turn', () => {
    const sizes = [0, 1, 5, 24, 25, 100];
    for (const [index, size] of sizes.entries()) peers[index % 2]?.send(bytes('x'.repeat(size)));
    expect(native.arms).toBe(1);
    native.flush();
    expect(native.sent).toEqual(
      sizes.map((size, index) => [index % 2 ? 4 : 3, index % 2 ? 1 : 9, 0, 'x'.repeat(size)]),
    );
    peers[0]?.send(bytes('next turn'));
    expect(native.arms).toBe(2);
  });

  test('flushes records that fill their memory and loses nothing', () => {
    const size = 1000;
    const room = Math.floor(transmitRecordsBytes / (size + 16));
    for (let index = 0; index <= room; ++index) peers[0]?.send(bytes(`${index}`.padStart(size)));
    expect(native.flushes).toBe(1);
    native.flush();
    expect(native.sent.map(([, , , sent]) => Number(sent))).toEqual(
      Array.from({ length: room + 1 }, (_, i) => i),
    );
  });

  test('takes turns with other sockets, and none loses what it has written', async () => {
    const [first, firstNative, [firstPeer]] = [server, native, peers];
    await open();
    native.generations[7] = 2;
    deliver([connect, 0, 7, 2, record()]);
    const rounds = [0, 1, 2].map((round) => [`first ${round}`, `second ${round}`] as const);
    for (const [one, other] of rounds) {
      firstPeer?.send(bytes(one));
      peers[0]?.send(bytes(other));
    }
    firstNative.flush();
    native.flush();
    expect(firstNative.sent.map(([, , , sent]) => sent)).toEqual(rounds.map(([one]) => one));
    expect(native.sent.map(([, , , sent]) => sent)).toEqual(rounds.map(([, other]) => other));
    // What is written last in a turn is not handed over before its end.
    expect(firstNative.calls.filter((call) => call === 'takeRecords')).toHaveLength(3);
    expect(native.calls.filter((call) => call === 'takeRecords')).toHaveLength(2);
    await first.close();
  });

  test('says false while the endpoint is not writable, and drain says when to go on', () => {
    const drained = vi.fn();
    server.on('drain', drained);
    expect(server.send(peers[0] as Peer, bytes('a'))).toBe(true);
    native.setWritable(false);
    expect(server.send(peers[0] as Peer, bytes('b'))).toBe(false);
    expect(drained).not.toHaveBeenCalled();
    native.setWritable(true);
    deliver([drain, 0, 0, 0]);
    // Only the peer that was told to wait.
    expect(drained.mock.calls).toEqual([[peers[0]]]);
    deliver([drain, 0, 0, 0]);
    expect(drained).toHaveBeenCalledOnce();
    expect(server.send(peers[0] as Peer, bytes('c'))).toBe(true);
  });

  test('sends what was sent before a disconnect before it', () => {
    peers[0]?.send(bytes('farewell'));
    peers[0]?.disconnect();
    expect(native.sent).toEqual([[3, 9, 0, 'farewell']]);
    expect(native.disconnected).toEqual([[3, 9]]);
  });

  test('does nothing once the server has stopped', async () => {
    peers[0]?.send(bytes('unsent'));
    await server.close();
    const { arms, flushes } = native;
    expect(peers[0]?.send(bytes('late'))).toBe(false);
    expect([native.arms, native.flushes]).toEqual([arms, flushes]);
    expect(peers[0]?.rttMs).toBe(0);
    expect(() => peers[0]?.exportKey('x')).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_NOT_CONNECTED' }),
    );
  });
});

describe('delivery', () => {
  test('tells the users of a slot apart by generation', () => {
    const heard: [bigint, string][] = [];
    server.on('message', (peer, data) => heard.push([peer.clientId, text(data)]));
    const first = record();
    first[0] = 1;
    const second = record();
    second[0] = 2;
    deliver([connect, 0, 0, 1, first], [message, 0, 0, 1, bytes('one')]);
    deliver([disconnect, 1, 0, 1, new Uint8Array(8)], [connect, 0, 0, 2, second]);
    deliver([message, 0, 0, 1, bytes('a ghost')], [message, 0, 0, 2, bytes('two')]);
    expect(heard).toEqual([
      [1n, 'one'],
      [2n, 'two'],
    ]);
    expect(peers[0]?.clientId).toBe(1n);
    expect(peers[1]?.clientId).toBe(2n);
    expect(server.peers.size).toBe(1);
    expect(server.peers.at(0, 1)).toBeUndefined();
    expect(server.peers.at(0, 2)).toBe(peers[1]);
  });

  test('survives a slab that a listener transfers away, and counts what was lost with it', () => {
    const heard: string[] = [];
    server.on('message', (_peer, data) => {
      heard.push(text(data));
      if (heard.length === 2) structuredClone(data.buffer, { transfer: [data.buffer as ArrayBuffer] });
    });
    deliver([connect, 0, 0, 1, record()], [connect, 0, 1, 1, record()]);
    deliver(
      [message, 0, 0, 1, bytes('first')],
      [message, 0, 0, 1, bytes('second')],
      [message, 0, 0, 1, bytes('third')],
      [connect, 0, 2, 1, record()],
      [disconnect, 1, 1, 1, Buffer.concat([new Uint8Array([1, 0, 0, 0, 0, 0, 0, 0]), bytes('gone')])],
    );
    expect(heard).toEqual(['first', 'second']);
    expect(server.stats.drops.slabDetached).toBe(1);
    // A peer that nobody can name must not stay.
    expect(native.disconnected).toEqual([[2, 1]]);
    expect(server.peers.size).toBe(1);
    deliver([message, 0, 0, 1, bytes('fourth')]);
    expect(heard).toEqual(['first', 'second', 'fourth']);
  });

  test('overwrites views after the callback in debug mode', async () => {
    await open({ debug: true });
    let kept = new Uint8Array();
    server.on('message', (_peer, data) => {
      expect(text(data)).toBe('mine');
      kept = data as Uint8Array<ArrayBuffer>;
    });
    deliver([connect, 0, 0, 1, record()], [message, 0, 0, 1, bytes('mine')]);
    expect([...kept]).toEqual([0xdd, 0xdd, 0xdd, 0xdd]);
  });

  test('gives copies where asked', async () => {
    await open({ copy: true, debug: true });
    let kept = new Uint8Array();
    server.on('message', (_peer, data) => {
      kept = data as Uint8Array<ArrayBuffer>;
    });
    deliver([connect, 0, 0, 1, record()], [message, 0, 0, 1, bytes('mine')]);
    expect(text(kept)).toBe('mine');
    expect(kept.buffer.byteLength).toBe(4);
  });

  test('gives raw batches where asked, and the other kinds as events', async () => {
    const heard: [bigint | undefined, string][] = [];
    await open({
      onBatch: (slab, descriptors, count) => {
        for (let at = 0; at < 6 * count; at += 6) {
          const [head = 0, slot = 0, generation = 0, offset = 0, length = 0] = descriptors.subarray(
            at,
            at + 5,
          );
          if ((head & 0xff) !== message) continue;
          heard.push([
            server.peers.at(slot, generation)?.clientId,
            text(slab.subarray(offset, offset + length)),
          ]);
        }
      },
    });
    const emitted = vi.fn();
    server.on('message', emitted);
    deliver([connect, 0, 0, 1, record()]);
    deliver([message, 0, 0, 1, bytes('raw')], [disconnect, 1, 0, 1, new Uint8Array(8)]);
    expect(heard).toEqual([[0n, 'raw']]);
    expect(emitted).not.toHaveBeenCalled();
    expect(peers[0]?.connected).toBe(false);
  });

  test('keeps peers until they end exactly once, also when the server stops', async () => {
    const ended = vi.fn();
    server.on('disconnect', ended);
    deliver([connect, 0, 0, 1, record('data')], [connect, 0, 1, 1, record()]);
    deliver([disconnect, 3, 0, 1, new Uint8Array(8)], [disconnect, 3, 0, 1, new Uint8Array(8)]);
    expect(ended).toHaveBeenCalledTimes(1);
    expect(ended).toHaveBeenCalledWith(peers[0], {
      result: 'timedOut',
      code: 0,
      reason: '',
      reconnectSpreadMs: 0,
    });
    await server.close();
    expect(ended).toHaveBeenCalledTimes(2);
    expect(ended).toHaveBeenLastCalledWith(peers[1], {
      result: 'closed',
      code: 3,
      reason: '',
      reconnectSpreadMs: 0,
    });
    expect(text(peers[0]?.userData ?? new Uint8Array())).toBe('data');
  });
});

describe('listeners that throw', () => {
  beforeEach(() => deliver([connect, 0, 0, 1, record()]));

  test('break nothing: the error is reported and the rest of the batch is delivered', () => {
    const heard: string[] = [];
    const errors: [unknown, string][] = [];
    server.on('listenerError', (error, source) => errors.push([error, source]));
    server.on('message', (_peer, data) => {
      heard.push(text(data));
      if (heard.length === 1) throw new Error('first');
    });
    server.on('disconnect', () => {
      throw new Error('second');
    });
    deliver(
      [message, 0, 0, 1, bytes('a')],
      [message, 0, 0, 1, bytes('b')],
      [disconnect, 1, 0, 1, new Uint8Array(8)],
    );
    expect(heard).toEqual(['a', 'b']);
    expect(errors).toEqual([
      [new Error('first'), 'message'],
      [new Error('second'), 'disconnect'],
    ]);
  });

  test('are reported when they are async', async () => {
    const reported = new Promise<unknown[]>((resolve) => {
      server.on('listenerError', (...args) => resolve(args));
    });
    server.on('message', async () => {
      throw new Error('later');
    });
    deliver([message, 0, 0, 1, bytes('a')]);
    expect(await reported).toEqual([new Error('later'), 'message']);
  });

  test('are counted, and the process continues, without a listener of listenerError and with one that throws', () => {
    const before = unhandledListenerErrors();
    server.on('message', () => {
      throw new Error('nobody listens');
    });
    deliver([message, 0, 0, 1, bytes('a')]);
    expect(unhandledListenerErrors()).toBe(before + 1);
    server.on('listenerError', () => {
      throw new Error('the listener of listenerError');
    });
    deliver([message, 0, 0, 1, bytes('a')]);
    expect(unhandledListenerErrors()).toBe(before + 2);
  });
});

describe('a socket that the system refuses', () => {
  test.each([
    ['EADDRINUSE', 'ERR_HAWSER_ADDRESS_IN_USE', 'another socket is bound to it'],
    ['EACCES', 'ERR_HAWSER_PERMISSION', 'choose a port of 1024 or above'],
    ['EADDRNOTAVAIL', 'ERR_HAWSER_ADDRESS_NOT_AVAILABLE', 'it does not belong to any interface'],
    ['EMFILE', 'ERR_HAWSER_TOO_MANY_FILES', 'raise "ulimit -n"'],
    ['ENFILE', 'ERR_HAWSER_TOO_MANY_FILES', 'raise fs.file-max'],
    ['EAFNOSUPPORT', 'ERR_HAWSER_SYSTEM', 'bind EAFNOSUPPORT'],
  ])('%s is %s, and says what to do', async (code, ours, advice) => {
    failure.code = code;
    await expect(open()).rejects.toMatchObject({
      code: ours,
      message: expect.stringMatching(/^cannot open a UDP socket on 127\.0\.0\.1:5: /),
      cause: { code },
    });
    failure.code = code;
    await expect(open()).rejects.toThrow(advice);
  });
});
