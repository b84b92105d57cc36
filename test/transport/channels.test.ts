// What TypeScript does for channels on its side of the seam: what it hands to the addon, and what it makes of the addon's events.

import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { MessageConnection } from '../../src/base/message-connection.js';
import {
  bytes,
  type ChannelMap,
  type Codec,
  Connection,
  connect,
  disconnectCodes,
  type HawserError,
  json,
  type Peer,
  type QueueFullPolicy,
  reliable,
  reliableUnordered,
  Server,
  type ServerOptions,
  sequenced,
  text,
  unreliable,
} from '../../src/index.js';
import { createTokenMinter } from '../../src/token/index.js';
import { serveChannels } from '../../src/transport/message-channels.js';
import { peerFlag } from '../../src/transport/native.js';
import { batch, endpoints, type FakeEndpoint, type FakeEvent, fakeAddon } from './fake-addon.js';
import { next, protocolId, serverKey } from './support.js';

vi.mock('../../src/transport/native.js', async (original) => ({
  ...(await original()),
  loadAddon: () => fakeAddon(),
}));

const event = { message: 1, connect: 2, disconnect: 3, drain: 6, confirm: 9, peerDrain: 10 } as const;

interface Chat {
  readonly words: string;
}

/** Numbers as one byte each; refuses to read anything else. */
const byteCodec: Codec<number> = {
  name: 'byte',
  encode: (value) => Uint8Array.of(value),
  decode(data) {
    if (data.length !== 1) throw new RangeError(`${data.length} bytes`);
    return data[0] ?? 0;
  },
};

const channels = {
  moves: unreliable(),
  chat: reliable(json<Chat>()),
  names: sequenced(text(), { maxMessageBytes: 100_000, priority: 'critical' }),
  levels: reliableUnordered(byteCodec, { priority: 'low' }),
  files: reliable(bytes(), { maxMessageBytes: 200_000 }),
};
type Channels = typeof channels;

const encode = (value: string): Uint8Array => new TextEncoder().encode(value);
const ids = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer);

let server: Server<Channels>;
let native: FakeEndpoint;
let peer: Peer<Channels>;
let other: Peer<Channels>;

async function listen<C extends ChannelMap>(options: Partial<ServerOptions<C>>): Promise<Server<C>> {
  const listening = await Server.listen({
    address: '127.0.0.1:5',
    protocolId,
    keys: [serverKey],
    ...options,
  });
  native = endpoints.pop() ?? expect.fail('no endpoint');
  return listening;
}

function deliver(...events: FakeEvent[]): void {
  const { slab, descriptors, count } = batch(events);
  native.onEvents(slab, descriptors, count);
}

/** Lets promises that are settled say so. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What has become of a promise so far. */
async function stateOf(promise: Promise<unknown>): Promise<string> {
  const pending = Symbol('pending');
  const state = await Promise.race([promise, settled().then(() => pending)]).catch(
    (error: HawserError) => `${error.code}: ${error.message}`,
  );
  return state === pending ? 'pending' : String(state ?? 'resolved');
}

beforeEach(async () => {
  server = await listen({ channels });
  const peers: Peer<Channels>[] = [];
  server.on('connect', (each) => peers.push(each));
  native.generations[3] = 9;
  native.generations[4] = 1;
  deliver([event.connect, 0, 3, 9, new Uint8Array(96)], [event.connect, 0, 4, 1, new Uint8Array(96)]);
  [peer, other] = peers as [Peer<Channels>, Peer<Channels>];
});

describe('the declaration', () => {
  test('goes to the addon by number', () => {
    expect(native.options.channels).toEqual([
      {
        name: 'moves',
        codec: 'bytes',
        mode: 0,
        priority: 2,
        maxMessageBytes: 0,
        congestionControlled: false,
        redundancy: 0,
      },
      {
        name: 'chat',
        codec: 'json',
        mode: 2,
        priority: 2,
        maxMessageBytes: 65_536,
        congestionControlled: false,
        redundancy: 4,
      },
      {
        name: 'names',
        codec: 'text',
        mode: 1,
        priority: 0,
        maxMessageBytes: 100_000,
        congestionControlled: false,
        redundancy: 4,
      },
      {
        name: 'levels',
        codec: 'byte',
        mode: 3,
        priority: 3,
        maxMessageBytes: 65_536,
        congestionControlled: false,
        redundancy: 4,
      },
      {
        name: 'files',
        codec: 'bytes',
        mode: 2,
        priority: 2,
        maxMessageBytes: 200_000,
        congestionControlled: false,
        redundancy: 4,
      },
    ]);
  });

  test('is one unreliable channel of bytes by default, and so are the limits', async () => {
    await listen({});
    expect(native.options).toMatchObject({
      channels: [
        {
          name: 'default',
          codec: 'bytes',
          mode: 0,
          priority: 2,
          maxMessageBytes: 0,
          congestionControlled: false,
          redundancy: 0,
        },
      ],
      congestion: 'bbr',
      creditBytes: 1024 * 1024,
      channelCreditBytes: 512 * 1024,
      maxCreditBytes: 32 * 1024 * 1024,
      maxGrownCreditBytes: 1024 * 1024 * 1024,
      maxReassemblyBytes: 256 * 1024 * 1024,
      highWaterBytes: 256 * 1024,
      maxQueuedBytes: 16 * 1024 * 1024,
      onQueueFull: 'disconnect',
      dscp: 0,
      server: { maxSendMemoryBytes: 256 * 1024 * 1024 },
    });
  });

  test('says which unreliable channels obey congestion control', async () => {
    await listen({
      channels: { bulk: unreliable(bytes(), { congestionControlled: true, priority: 'low' }) },
    });
    expect(native.options.channels).toEqual([
      {
        name: 'bulk',
        codec: 'bytes',
        mode: 0,
        priority: 3,
        maxMessageBytes: 0,
        congestionControlled: true,
        redundancy: 0,
      },
    ]);
  });

  test('raises the credit to what its longest message needs', async () => {
    await listen({ channels: { files: reliable(undefined, { maxMessageBytes: 16_777_216 }) } });
    expect(native.options).toMatchObject({
      creditBytes: 33_554_432,
      channelCreditBytes: 33_554_432,
      maxCreditBytes: 33_554_432,
    });
  });

  test('has names that no object could have by itself', async () => {
    const strange = { ['__proto__']: unreliable(text()), constructor: reliable(text()), '5a': reliable() };
    const listening = await listen({ channels: strange });
    expect(native.options.channels.map(({ name }) => name)).toEqual(['__proto__', 'constructor', '5a']);
    expect(() => listening.broadcast('toString' as 'constructor', '')).toThrow(
      "channel must be one of '__proto__', 'constructor', '5a'; got \"toString\"",
    );
    await listening.close();
  });
});

describe('send', () => {
  test('writes the number of the channel and what its codec makes of the value', () => {
    expect(peer.send('chat', { words: 'hello' })).toBe(true);
    expect(other.send('names', 'äh')).toBe(true);
    peer.send('levels', 65);
    peer.send('moves', encode('raw'));
    native.flush();
    expect(native.sent).toEqual([
      [3, 9, 1, '{"words":"hello"}'],
      [4, 1, 2, 'äh'],
      [3, 9, 3, 'A'],
      [3, 9, 0, 'raw'],
    ]);
  });

  test('without a channel means the first one', async () => {
    const first = await listen({ channels: { lines: reliable(text()) } });
    const peers: Peer<{ lines: ReturnType<typeof reliable<string>> }>[] = [];
    first.on('connect', (each) => peers.push(each));
    deliver([event.connect, 0, 0, 1, new Uint8Array(96)]);
    peers[0]?.send('lines');
    peers[0]?.send('lines', 'a line');
    native.flush();
    expect(native.sent).toEqual([
      [0, 1, 0, 'lines'],
      [0, 1, 0, 'a line'],
    ]);
    await first.close();
  });

  test('tells the addon how long a message is worth sending, and what to confirm', () => {
    const confirmed = peer.send('chat', { words: '1' }, { confirm: true });
    peer.send('chat', { words: '2' }, { ttlMs: 2 ** 31 });
    void peer.send('levels', 66, { confirm: true, ttlMs: 5 });
    peer.send('levels', 67, {});
    native.flush();
    expect(native.messages.map(({ text: sent, ttlMs, confirm }) => [sent, ttlMs, confirm])).toEqual([
      ['{"words":"1"}', 0, 1],
      ['{"words":"2"}', 2 ** 31, 0],
      ['B', 5, 2],
      ['C', 0, 0],
    ]);
    expect(confirmed).toBeInstanceOf(Promise);
  });

  test('hands long messages over directly, after what was sent before', async () => {
    peer.send('files', encode('before'));
    const long = new Uint8Array(65_537).fill(0x61);
    const confirmed = peer.send('files', long, { confirm: true, ttlMs: 7 });
    expect(native.messages).toHaveLength(2);
    expect(native.messages[0]?.text).toBe('before');
    expect(native.messages[1]).toMatchObject({ slot: 3, generation: 9, channel: 4, ttlMs: 7, confirm: 1 });
    expect(native.messages[1]?.text).toHaveLength(65_537);
    deliver([event.confirm, 0, 3, 9, ids(1)]);
    await confirmed;
  });

  test.each<[string, () => unknown, string]>([
    ['no such channel', () => peer.send('chats' as 'chat', { words: '' }), 'got "chats"'],
    [
      'ttlMs without acknowledgement',
      () => peer.send('moves' as 'chat', encode('') as never, { ttlMs: 5 }),
      'channel must be a reliable channel: only those have ttlMs; got "moves", which is unreliable',
    ],
    [
      'ttlMs 0',
      () => peer.send('chat', { words: '' }, { ttlMs: 0 }),
      'ttlMs must be an integer from 1 to 2147483648',
    ],
    [
      'an option that is none',
      () => peer.send('chat', { words: '' }, { ttl: 5 } as object),
      "unknown option 'ttl'",
    ],
    ['bytes that are none', () => peer.send('moves', 'x' as never), 'data must be a Uint8Array; got "x"'],
    ['text that is none', () => peer.send('names', 5 as never), 'value must be a string; got 5'],
    [
      'nothing as JSON',
      () => peer.send('chat', undefined as never),
      'value must be what JSON can say; got undefined',
    ],
    ['a bigint as JSON', () => peer.send('chat', 5n as never), 'value must be what JSON can say; got 5n'],
    ['pausing what is not acknowledged', () => peer.pause('names' as 'chat'), 'only those can be paused'],
  ])('refuses %s', (_name, run, message) => {
    expect(run).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT', message: expect.stringContaining(message) }),
    );
    native.flush();
    expect(native.sent).toEqual([]);
  });

  test('refuses a codec that makes no bytes', async () => {
    const broken: Codec<string> = { name: 'broken', encode: () => 'text' as never, decode: () => '' };
    const listening = await listen({ channels: { one: reliable(broken) } });
    expect(() => listening.broadcast('')).toThrow(
      `encode of the codec 'broken' must return a Uint8Array; got "text"`,
    );
    await listening.close();
  });

  test('rejects instead of throwing where a promise was asked for', async () => {
    const unconfirmed = peer.send('names' as 'chat', 'x' as never, { confirm: true });
    expect(await stateOf(unconfirmed)).toContain('only those can be confirmed');
    const long = peer.send('files', new Uint8Array(200_001), { confirm: true });
    expect(await stateOf(long)).toContain('ERR_HAWSER_MESSAGE_TOO_LONG');
  });

  test('refuses what is too long, by the channel', () => {
    const refused = (run: () => unknown): unknown => {
      try {
        return run();
      } catch (error) {
        return (error as HawserError).message;
      }
    };
    expect(refused(() => peer.send('files', new Uint8Array(200_001)))).toBe(
      "a message of the channel 'files' must be at most 200000 bytes; got 200001",
    );
    expect(refused(() => peer.send('moves', new Uint8Array(1159)))).toBe(
      "a message of the channel 'moves' must be at most 1158 bytes to fit into one datagram; got 1159",
    );
    // The path carries more than every path does.
    native.maxDatagram = 1452;
    native.peerMaxUnreliable[3] = 1410;
    expect(peer.maxUnreliableBytes).toBe(1410);
    expect(refused(() => peer.send('moves', new Uint8Array(1410)))).toBe(true);
    expect(refused(() => peer.send('moves', new Uint8Array(1411)))).toContain('at most 1410 bytes');
    // The addon has written that the path carries less, and has not published it yet.
    native.peerMaxUnreliable[3] = 1200;
    expect(peer.maxUnreliableBytes).toBe(1200);
    expect(refused(() => peer.send('moves', new Uint8Array(peer.maxUnreliableBytes)))).toBe(true);
    // Another peer in the same slot.
    native.generations[3] = 10;
    expect(peer.maxUnreliableBytes).toBe(1158);
    native.generations[3] = 9;
    // But not that to every peer.
    expect(refused(() => server.broadcast('moves', new Uint8Array(1159)))).toContain('at most 1158 bytes');
  });
});

describe('confirmations', () => {
  test('resolve each promise once, and tell expiry from delivery', async () => {
    const promises = [1, 2, 3].map((each) => peer.send('levels', each, { confirm: true }));
    const [, expired] = promises;
    const outcome = Promise.allSettled(promises);
    native.flush();
    deliver([event.confirm, 0, 3, 9, ids(3, 1)], [event.confirm, 1, 3, 9, ids(2)]);
    // Those of nobody: another generation, another id.
    deliver([event.confirm, 0, 3, 8, ids(1)], [event.confirm, 0, 3, 9, ids(1, 99)]);
    expect((await outcome).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await expect(expired).rejects.toMatchObject({ code: 'ERR_HAWSER_EXPIRED' });
  });

  test('are rejected when the connection ends, with the reason', async () => {
    const mine = peer.send('levels', 1, { confirm: true });
    const theirs = other.send('levels', 2, { confirm: true });
    deliver([event.disconnect, 1, 3, 9, Buffer.concat([ids(0x1_0005, 0), encode('bedtime')])]);
    await expect(mine).rejects.toMatchObject({
      code: 'ERR_HAWSER_NOT_CONNECTED',
      message: 'the connection ended (disconnected: bedtime) before the message was acknowledged',
      cause: { result: 'disconnected', code: 0x1_0005, reason: 'bedtime', reconnectSpreadMs: 0 },
    });
    expect(await stateOf(theirs)).toBe('pending');
    expect(await stateOf(peer.send('levels', 3, { confirm: true }))).toBe(
      'ERR_HAWSER_NOT_CONNECTED: it is not connected',
    );
    const closed = expect(theirs).rejects.toMatchObject({ cause: { result: 'closed' } });
    await server.close();
    await closed;
  });

  test('come although a listener transferred the memory of their batch away', async () => {
    const confirmed = peer.send('levels', 1, { confirm: true });
    server.on('message', (_peer, value, _channel) => {
      if (value instanceof Uint8Array)
        structuredClone(value.buffer, { transfer: [value.buffer as ArrayBuffer] });
    });
    deliver([event.message, 0, 3, 9, encode('x')], [event.confirm, 0, 3, 9, ids(1)]);
    await confirmed;
  });
});

describe('backpressure', () => {
  test('of a peer stops that peer only, and drain tells when to go on', () => {
    const drained = vi.fn();
    server.on('drain', drained);
    native.peerFlags[3] = peerFlag.wait;
    expect(peer.send('chat', { words: '' })).toBe(false);
    expect(peer.send('chat', { words: '' })).toBe(false);
    expect(other.send('chat', { words: '' })).toBe(true);
    // Unreliable messages never wait for reliable ones.
    expect(peer.send('moves', encode(''))).toBe(true);
    deliver([event.peerDrain, 0, 4, 1]);
    expect(drained).not.toHaveBeenCalled();
    native.peerFlags[3] = 0;
    deliver([event.peerDrain, 0, 3, 9], [event.peerDrain, 0, 3, 9]);
    expect(drained.mock.calls).toEqual([[peer]]);
    expect(peer.send('chat', { words: '' })).toBe(true);
  });

  test('of socket and peer together lasts until the last of both ends', () => {
    const drained = vi.fn();
    server.on('drain', drained);
    native.setWritable(false);
    native.peerFlags[3] = peerFlag.wait;
    expect(peer.send('chat', { words: '' })).toBe(false);
    expect(other.send('chat', { words: '' })).toBe(false);
    native.peerFlags[3] = 0;
    deliver([event.peerDrain, 0, 3, 9]);
    expect(drained).not.toHaveBeenCalled();
    native.peerFlags[3] = peerFlag.wait;
    native.setWritable(true);
    deliver([event.drain, 0, 0, 0]);
    expect(drained.mock.calls).toEqual([[other]]);
    native.peerFlags[3] = 0;
    deliver([event.peerDrain, 0, 3, 9]);
    expect(drained.mock.calls).toEqual([[other], [peer]]);
  });

  test('resolves sent() likewise, without a drain that nobody asked for', async () => {
    const drained = vi.fn();
    server.on('drain', drained);
    await peer.sent();
    native.peerFlags[3] = peerFlag.wait;
    const waiting = [peer.sent(), peer.sent()];
    expect(await stateOf(Promise.race(waiting))).toBe('pending');
    native.peerFlags[3] = 0;
    deliver([event.peerDrain, 0, 3, 9]);
    await Promise.all(waiting);
    expect(drained).not.toHaveBeenCalled();
    native.peerFlags[3] = peerFlag.wait;
    const lost = peer.sent();
    deliver([event.disconnect, 3, 3, 9, ids(0, 0)]);
    expect(await stateOf(lost)).toBe(
      'ERR_HAWSER_NOT_CONNECTED: the connection ended (timedOut) before there was room to send',
    );
    expect(await stateOf(peer.sent())).toBe('ERR_HAWSER_NOT_CONNECTED: it is not connected');
  });

  describe('beyond the limit', () => {
    const full = peerFlag.wait | peerFlag.full;
    const code = 'ERR_HAWSER_QUEUE_FULL';

    async function listenWith(onQueueFull?: QueueFullPolicy): Promise<Peer<Channels>> {
      server = await listen({ channels, ...(onQueueFull === undefined ? {} : { onQueueFull }) });
      const connecting = next(server, 'connect');
      native.generations[3] = 9;
      deliver([event.connect, 0, 3, 9, new Uint8Array(96)]);
      [peer] = await connecting;
      return peer;
    }

    test.each(['disconnect', 'throw', 'drop'] as const)(
      'takes the first message that finds the queue full, by which its sender learns to wait: %s',
      async (onQueueFull) => {
        await listenWith(onQueueFull);
        native.peerFlags[3] = full;
        expect(peer.send('files', encode('one'))).toBe(false);
        native.flush();
        expect(native.sent).toEqual([[3, 9, 4, 'one']]);
        expect(server.stats.drops.queueFull).toBe(0);
        expect(native.disconnected).toEqual([]);
      },
    );

    test('disconnects the peer by default, and throws nothing', async () => {
      await listenWith();
      native.peerFlags[3] = full;
      peer.send('files', encode('one'));
      expect(peer.send('files', encode('two'))).toBe(false);
      expect(native.disconnected).toEqual([[3, 9]]);
      expect(native.lastDisconnectCode).toBe(disconnectCodes.SLOW_CONSUMER);
      native.flush();
      expect(native.sent).toEqual([[3, 9, 4, 'one']]);
      expect(server.stats.drops.queueFull).toBe(1);
      // The addon disconnects it itself where a long message finds the queue full.
      expect(peer.send('files', new Uint8Array(70_000))).toBe(false);
      const confirmed = peer.send('files', encode('three'), { confirm: true });
      await expect(confirmed).rejects.toMatchObject({ code });
    });

    test('throws where that is wanted, and drain follows', async () => {
      await listenWith('throw');
      const drained = vi.fn();
      server.on('drain', drained);
      native.peerFlags[3] = full;
      peer.send('files', encode('one'));
      for (const data of [encode('short'), new Uint8Array(70_000)]) {
        expect(() => peer.send('files', data)).toThrow(
          expect.objectContaining({
            code,
            message:
              'more than 16777216 bytes (maxQueuedBytes) are queued or unacknowledged for the peer; wait for drain or sent()',
          }),
        );
      }
      expect(peer.send('moves', encode(''))).toBe(true);
      native.flush();
      expect(native.sent).toEqual([
        [3, 9, 4, 'one'],
        [3, 9, 0, ''],
      ]);
      expect(native.disconnected).toEqual([]);
      native.peerFlags[3] = 0;
      deliver([event.peerDrain, 0, 3, 9]);
      expect(drained.mock.calls).toEqual([[peer]]);
    });

    test('drops the new message where that is wanted, counts it, and drain follows', async () => {
      await listenWith('drop');
      const drained = vi.fn();
      server.on('drain', drained);
      native.peerFlags[3] = full;
      peer.send('files', encode('one'));
      expect(peer.send('files', encode('two'))).toBe(false);
      expect(peer.send('files', new Uint8Array(70_000))).toBe(false);
      await expect(peer.send('files', encode('three'), { confirm: true })).rejects.toMatchObject({ code });
      native.flush();
      expect(native.sent).toEqual([[3, 9, 4, 'one']]);
      expect(server.stats.drops.queueFull).toBe(3);
      expect(native.disconnected).toEqual([]);
      native.peerFlags[3] = 0;
      deliver([event.peerDrain, 0, 3, 9]);
      expect(drained.mock.calls).toEqual([[peer]]);
      expect(peer.send('files', encode('four'))).toBe(true);
    });

    test('a protocol over channels hears of each message that was dropped', async () => {
      server = await listen({ channels, onQueueFull: 'drop' });
      const connections: MessageConnection[] = [];
      serveChannels(server, { reliable: 'files', unreliable: 'moves' }, (connection) => {
        connections.push(connection);
        return { message: () => undefined, drained: () => undefined, closed: () => undefined };
      });
      native.generations[3] = 9;
      deliver([event.connect, 0, 3, 9, new Uint8Array(96)]);
      const connection = connections[0] ?? expect.fail('no connection');
      expect(connection.send(encode('one'))).toBe(true);
      native.peerFlags[3] = full;
      expect(connection.send(encode('two'))).toBe(false);
      expect(() => connection.send(encode('three'))).toThrow(expect.objectContaining({ code }));
      expect(connection.sendUnreliable?.(encode('four'))).toBe(true);
      native.flush();
      expect(native.sent.map(([, , , text]) => text)).toEqual(['one', 'two', 'four']);
    });
  });

  test('is for unreliable messages too where they obey congestion control', async () => {
    const declared = { bulk: unreliable(bytes(), { congestionControlled: true }), moves: unreliable() };
    const listening = await listen({ channels: declared, onQueueFull: 'throw' });
    const connecting = next(listening, 'connect');
    native.generations[3] = 9;
    deliver([event.connect, 0, 3, 9, new Uint8Array(96)]);
    const [only] = await connecting;
    const drained = vi.fn();
    listening.on('drain', drained);
    expect(only.send('bulk', encode('1'))).toBe(true);
    native.peerFlags[3] = peerFlag.wait;
    expect(only.send('bulk', encode('2'))).toBe(false);
    expect(only.send('moves', encode('3'))).toBe(true);
    native.peerFlags[3] = peerFlag.wait | peerFlag.full;
    expect(() => only.send('bulk', encode('4'))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_QUEUE_FULL' }),
    );
    expect(only.send('moves', encode('5'))).toBe(true);
    native.flush();
    expect(native.sent).toEqual([
      [3, 9, 0, '1'],
      [3, 9, 0, '2'],
      [3, 9, 1, '3'],
      [3, 9, 1, '5'],
    ]);
    native.peerFlags[3] = 0;
    deliver([event.peerDrain, 0, 3, 9]);
    expect(drained.mock.calls).toEqual([[only]]);
  });

  test('of who has the slot now is no affair of who had it before', () => {
    deliver([event.disconnect, 1, 3, 9, ids(0, 0)]);
    native.generations[3] = 10;
    native.peerFlags[3] = peerFlag.wait | peerFlag.full;
    const drained = vi.fn();
    server.on('drain', drained);
    expect(peer.send('chat', { words: 'to nobody' })).toBe(false);
    native.peerFlags[3] = 0;
    deliver([event.peerDrain, 0, 3, 10], [event.drain, 0, 0, 0]);
    expect(drained).not.toHaveBeenCalled();
  });

  test('pause and resume go to the addon', () => {
    peer.pause('files');
    other.pause('chat');
    peer.resume('files');
    expect(native.paused).toEqual([
      [3, 9, 4, true],
      [4, 1, 1, true],
      [3, 9, 4, false],
    ]);
  });
});

describe('delivery', () => {
  test('decodes by the channel and says its name', () => {
    const heard: unknown[] = [];
    server.on('message', (from, value, channel) => {
      heard.push([from.slot, value instanceof Uint8Array ? Buffer.from(value).toString() : value, channel]);
    });
    deliver(
      [event.message, 0, 3, 9, encode('raw')],
      [event.message, 1, 4, 1, encode('{"words":"hi"}')],
      [event.message, 2, 3, 9, encode('\ufeffäh')],
      [event.message, 3, 3, 9, Uint8Array.of(7)],
    );
    expect(heard).toEqual([
      [3, 'raw', 'moves'],
      [4, { words: 'hi' }, 'chat'],
      [3, '\ufeffäh', 'names'],
      [3, 7, 'levels'],
    ]);
  });

  test('drops and counts what a codec refuses, and goes on', () => {
    const heard: unknown[] = [];
    const invalid: unknown[] = [];
    server.on('message', (_from, value, channel) => heard.push([value, channel]));
    const garbage: FakeEvent[] = [
      [event.message, 1, 3, 9, encode('{')],
      [event.message, 2, 3, 9, Uint8Array.of(0xff)],
      [event.message, 3, 4, 1, encode('two')],
    ];
    deliver(...garbage);
    expect(server.stats.drops.undecodable).toBe(3);
    server.on('invalidMessage', (from, error, channel) => invalid.push([from, error, channel]));
    deliver(...garbage, [event.message, 3, 3, 9, Uint8Array.of(8)]);
    expect(server.stats.drops.undecodable).toBe(6);
    expect(invalid).toEqual([
      [peer, expect.any(SyntaxError), 'chat'],
      [peer, expect.any(TypeError), 'names'],
      [other, new RangeError('3 bytes'), 'levels'],
    ]);
    expect(heard).toEqual([[8, 'levels']]);
  });

  test('lets json check what it parsed', () => {
    const checked = json((value) => {
      if (typeof value === 'number') return value;
      throw new TypeError('not a number');
    });
    expect(checked.decode(encode('5'))).toBe(5);
    expect(() => checked.decode(encode('"5"'))).toThrow('not a number');
  });
});

describe('broadcast', () => {
  test('is one call with one encoded value', () => {
    const encoded = vi.spyOn(byteCodec, 'encode');
    expect(server.broadcast('levels', 65)).toBe(2);
    expect(server.broadcast('levels', 66, { peers: [other], ttlMs: 5 })).toBe(1);
    expect(server.broadcast('levels', 67, { peers: [] })).toBe(0);
    expect(encoded).toHaveBeenCalledTimes(3);
    encoded.mockRestore();
    expect(native.broadcasts).toEqual([
      [3, 'A', null, 0],
      [3, 'B', [4, 1], 5],
      [3, 'C', [], 0],
    ]);
  });

  test('goes after what was sent before, and without a channel to the first', async () => {
    const lone = await listen({ channels: { lines: unreliable(text()) } });
    lone.on('connect', (each) => each.send('before'));
    deliver([event.connect, 0, 0, 1, new Uint8Array(96)]);
    native.generations[0] = 1;
    expect(lone.broadcast('all')).toBe(1);
    expect(native.sent).toEqual([[0, 1, 0, 'before']]);
    expect(native.broadcasts).toEqual([[0, 'all', null, 0]]);
    await lone.close();
  });

  test('takes ttlMs for reliable channels only', () => {
    expect(() => server.broadcast('moves', encode(''), { ttlMs: 5 })).toThrow('only those have ttlMs');
  });
});

describe('a connection', () => {
  test('that is denied for its channels says what this side declares', async () => {
    const minter = await createTokenMinter({ protocolId, key: serverKey, addresses: ['127.0.0.1:5'] });
    const connecting = connect(minter.mint({ clientId: 1n }), { address: '127.0.0.1:6', channels });
    await settled();
    native = endpoints.pop() ?? expect.fail('no endpoint');
    deliver([4, 1, 0, 1, ids(6)]);
    await expect(connecting).rejects.toMatchObject({
      code: 'ERR_HAWSER_DENIED',
      denied: 'CHANNELS_MISMATCH',
      message:
        'the gateway does not admit this client: CHANNELS_MISMATCH; this side declares moves: unreliable(bytes), chat: reliable(json), ' +
        "names: sequenced(text, 100000 bytes), levels: reliableUnordered(byte), files: reliable(bytes, 200000 bytes): compare it with the gateway's",
    });
  });

  test('has everything that a peer has', async () => {
    const shared = [
      'send',
      'sent',
      'pause',
      'resume',
      'exportKey',
      'remoteTimeMs',
      'rttMs',
      'maxUnreliableBytes',
    ];
    for (const name of shared) expect(name in Connection.prototype, name).toBe(true);
    expect(Object.keys(peer)).not.toContain('carrier');
  });

  test('stays paused when it is made anew', async () => {
    const minter = await createTokenMinter({ protocolId, key: serverKey, addresses: ['127.0.0.1:5'] });
    const connecting = connect(minter.mint({ clientId: 1n }), { address: '127.0.0.1:6', channels });
    await settled();
    native = endpoints.pop() ?? expect.fail('no endpoint');
    deliver([event.connect, 0, 0, 1, new Uint8Array(96)]);
    const connection = await connecting;
    connection.pause('chat');
    connection.pause('files');
    connection.resume('chat');
    native.paused.length = 0;
    native.handles.push({ slot: 1, generation: 1 });
    const confirmed = connection.send('levels', 1, { confirm: true });
    deliver([event.disconnect, 4, 0, 1, ids(0, 0)]);
    await expect(confirmed).rejects.toMatchObject({ cause: { result: 'reset' } });
    await settled();
    deliver([event.connect, 0, 1, 1, new Uint8Array(96)]);
    expect(native.paused).toEqual([[1, 1, 4, true]]);
    expect([connection.slot, connection.generation]).toEqual([1, 1]);
    const heard: unknown[] = [];
    connection.on('message', (value, channel) => heard.push([value, channel]));
    connection.on('invalidMessage', (error, channel) => heard.push([error, channel]));
    deliver([event.message, 1, 1, 1, encode('{"words":"hi"}')], [event.message, 3, 1, 1, encode('xyz')]);
    // What comes with a session waits until those who were told of it have had their turn.
    for (let turn = 0; turn < 2; ++turn) await settled();
    expect(heard).toEqual([
      [{ words: 'hi' }, 'chat'],
      [new RangeError('3 bytes'), 'levels'],
    ]);
    const closing = connection.close();
    deliver([event.disconnect, 2, 1, 1, ids(0, 0)]);
    await closing;
  });
});
