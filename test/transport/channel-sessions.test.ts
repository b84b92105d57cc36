// Channels between a gateway and its clients, through the engine.

import { describe, expect, test } from 'vitest';
import {
  bytes,
  type ChannelMap,
  type Codec,
  type Connection,
  type ConnectOptions,
  disconnectCodes,
  type HawserError,
  json,
  type Peer,
  reliable,
  reliableUnordered,
  type Server,
  type ServerOptions,
  sequenced,
  text,
  unreliable,
} from '../../src/index.js';
import { freshWorldForEachTest, next, SimulatedWorld, type World, worlds } from './support.js';

interface Chat {
  readonly from: string;
  readonly words: string;
}

/** One float. */
const floatCodec: Codec<number> = {
  name: 'f32',
  encode: (value) => new Uint8Array(Float32Array.of(value).buffer),
  decode(data) {
    if (data.length !== 4) throw new RangeError(`${data.length} bytes are no float`);
    return new DataView(data.buffer, data.byteOffset).getFloat32(0, true);
  },
};

const longestFile = 1024 * 1024;
/** What the longest message costs: with it, one at a time is sent. */
const leastCredit = longestFile + 64;
const channels = {
  chat: reliable(json<Chat>()),
  moves: unreliable(),
  state: sequenced(text()),
  level: reliableUnordered(floatCodec),
  files: reliable(bytes(), { maxMessageBytes: longestFile, priority: 'low' }),
};
type Game = typeof channels;

/** Bytes that tell where they belong. */
function pattern(length: number, seed: number): Uint8Array {
  const data = new Uint8Array(length);
  for (let at = 0, word = seed; at < length; ++at) {
    word = (Math.imul(word, 1_103_515_245) + 12_345) >>> 0;
    data[at] = word >>> 16;
  }
  return data;
}

interface Pair<C extends ChannelMap> {
  readonly server: Server<C>;
  readonly peer: Peer<C>;
  readonly connection: Connection<C>;
}

async function pair<C extends ChannelMap>(
  world: World,
  declared: C,
  serverOptions: Partial<ServerOptions<C>> = {},
  connectOptions: ConnectOptions<C> = {},
): Promise<Pair<C>> {
  const server = await world.listen<C>({ channels: declared, ...serverOptions });
  const connecting = new Promise<Peer<C>>((resolve) => server.once('connect', resolve));
  const token = await world.token(server);
  const connection = await world.connect<C>(token, { channels: declared, ...connectOptions });
  return { server, peer: await world.until(connecting), connection };
}

/** The code of the error that a promise rejects with. */
const codeOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'resolved',
    (error: HawserError) => error.code,
  );

describe.each(worlds)('channels %s', (name, makeWorld) => {
  /** How much more than a limit may be queued for one peer with messages of 20,000 bytes: docs/channels.md. */
  const aheadBytes = name.includes('I/O thread') ? 1.25 * 1024 * 1024 : 0;
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  test('carry their values both ways', async () => {
    const { server, peer, connection } = await pair(world, channels);
    const heard = (count: number, listen: (hear: (line: unknown[]) => void) => void): Promise<unknown[][]> =>
      new Promise((resolve) => {
        const lines: unknown[][] = [];
        listen((line) => {
          if (lines.push(line) === count) resolve(lines);
        });
      });
    const atServer = heard(5, (hear) => {
      server.on('message', (from, value, channel) => {
        expect(from).toBe(peer);
        hear([channel, value instanceof Uint8Array ? value.slice() : value]);
      });
    });
    const atClient = heard(5, (hear) => {
      connection.on('message', (value, channel) => {
        hear([channel, value instanceof Uint8Array ? value.slice() : value]);
      });
    });
    for (const side of [peer, connection]) {
      side.send('chat', { from: 'ann', words: 'grüß dich' });
      side.send('moves', Uint8Array.of(1, 2, 3));
      side.send('state', 'up');
      side.send('level', 0.5);
      side.send('files', Uint8Array.of());
    }
    const expected = [
      ['chat', { from: 'ann', words: 'grüß dich' }],
      ['files', Uint8Array.of()],
      ['level', 0.5],
      ['moves', Uint8Array.of(1, 2, 3)],
      ['state', 'up'],
    ];
    const sorted = (lines: unknown[][]): unknown[][] =>
      lines.toSorted(([a], [b]) => (`${a}` < `${b}` ? -1 : 1));
    expect(sorted(await world.until(atServer))).toEqual(expected);
    expect(sorted(await world.until(atClient))).toEqual(expected);
  });

  test('keep the order of a reliable channel for thousands of messages', async () => {
    const { server, connection } = await pair(world, channels);
    const count = 5000;
    const heard: string[] = [];
    const all = new Promise<void>((resolve) => {
      server.on('message', (_peer, value, channel) => {
        if (channel === 'chat' && heard.push(value.words) === count) resolve();
      });
    });
    const send = async (): Promise<void> => {
      for (let index = 0; index < count; ++index) {
        if (!connection.send('chat', { from: 'bob', words: `${index}` })) await connection.sent();
      }
    };
    await world.until(Promise.all([send(), all]));
    expect(heard).toEqual(Array.from({ length: count }, (_, index) => `${index}`));
  });

  test('carry messages of a mebibyte, and every length around the edges of packets', async () => {
    const { peer, connection } = await pair(world, channels);
    const lengths = [0, 1, 1100, 1157, 1158, 1159, 1200, 2400, 65_535, 65_536, 65_537, longestFile];
    const heard = new Promise<Uint8Array[]>((resolve) => {
      const files: Uint8Array[] = [];
      connection.on('message', (value, channel) => {
        if (channel === 'files' && files.push(value.slice()) === lengths.length) resolve(files);
      });
    });
    const confirmed = lengths.map((length) => peer.send('files', pattern(length, length), { confirm: true }));
    const files = await world.until(heard);
    for (const [index, length] of lengths.entries()) {
      expect(files[index]?.length).toBe(length);
      expect(Buffer.compare(files[index] ?? new Uint8Array(), pattern(length, length))).toBe(0);
    }
    await world.until(Promise.all(confirmed));
    expect(peer.queuedBytes).toBe(0);
  });

  test('that differ are found when the client connects, with what this side declares', async () => {
    const server = await world.listen({ channels });
    const token = await world.token(server);
    const attempt = world.connect(token, { channels: { chat: reliable(text()), moves: unreliable() } });
    await expect(attempt).rejects.toMatchObject({
      code: 'ERR_HAWSER_DENIED',
      denied: 'CHANNELS_MISMATCH',
      message:
        'the gateway does not admit this client: CHANNELS_MISMATCH; this side declares chat: reliable(text), moves: unreliable(bytes): ' +
        "compare it with the gateway's",
    });
    await expect(world.connect(token)).rejects.toMatchObject({ denied: 'CHANNELS_MISMATCH' });
    // Priorities are each side's own.
    const own = { ...channels, chat: reliable(json<Chat>(), { priority: 'critical' }) };
    const connection = await world.connect(await world.token(server), { channels: own });
    expect(connection.connected).toBe(true);
  });

  test('confirm what was acknowledged, and reject what a disconnect prevents', async () => {
    const { server, peer, connection } = await pair(world, channels);
    const heard: string[] = [];
    server.on('message', (_peer, value, channel) => {
      if (channel === 'chat') heard.push(value.words);
    });
    const first = connection.send('chat', { from: 'ann', words: 'one' }, { confirm: true });
    await world.until(first);
    await world.settle();
    expect(heard).toEqual(['one']);
    // As many as use up the credit, so that the next one cannot leave.
    peer.pause('files');
    for (let count = 0; count < 3; ++count) connection.send('files', pattern(longestFile, count));
    const late = connection.send('files', pattern(longestFile, 1), { confirm: true });
    const outcome = codeOf(late);
    peer.disconnect(0x1_0000, 'enough');
    expect(await world.until(outcome)).toBe('ERR_HAWSER_NOT_CONNECTED');
    await expect(late).rejects.toMatchObject({
      cause: { result: 'disconnected', code: 0x1_0000, reason: 'enough', reconnectSpreadMs: 0 },
    });
    expect(await codeOf(connection.send('chat', { from: '', words: '' }, { confirm: true }))).toBe(
      'ERR_HAWSER_NOT_CONNECTED',
    );
    expect(await codeOf(connection.sent())).toBe('ERR_HAWSER_NOT_CONNECTED');
  });

  test('tell a fast sender to wait, and when to go on', async () => {
    const highWaterBytes = 100_000;
    const { server, peer, connection } = await pair(world, channels, {}, { highWaterBytes });
    let received = 0;
    const told: string[] = [];
    // Much more than may be queued.
    const total = 200;
    const all = new Promise<void>((resolve) => {
      server.on('message', (_peer, value, channel) => {
        if (channel === 'files' && value.length === 20_000 && ++received === total) resolve();
      });
    });
    connection.on('drain', () => told.push('drain'));
    server.on('drain', () => told.push('drain of the server'));
    // Until there is no credit left, so that there is something to wait for however fast it is sent.
    peer.pause('files');
    const send = async (): Promise<void> => {
      for (let index = 0; index < total; ++index) {
        if (connection.send('files', pattern(20_000, index))) continue;
        told.push('wait');
        peer.resume('files');
        await connection.sent();
        // What this turn had sent before it was told to wait may arrive at an I/O thread only now.
        expect(connection.queuedBytes).toBeLessThanOrEqual(highWaterBytes + aheadBytes);
      }
    };
    await world.until(Promise.all([send(), all]));
    await world.settle();
    const drains = told.filter((each) => each === 'drain');
    const waits = told.filter((each) => each === 'wait');
    expect(told).toHaveLength(drains.length + waits.length);
    // A drain may be for several waits, of which none is left without one.
    expect(drains.length).toBeLessThanOrEqual(waits.length);
    expect(waits.length).toBeGreaterThan(0);
    expect(told.at(-1)).toBe('drain');
    expect(peer.connected).toBe(true);
  });

  test('send bulk that may be lost under congestion control, each message once', async () => {
    const declared = { bulk: unreliable(bytes(), { congestionControlled: true }), moves: unreliable() };
    const { server, connection } = await pair(world, declared, {}, { highWaterBytes: 100_000 });
    const total = 3000;
    const heard = new Set<number>();
    let moves = 0;
    server.on('message', (_peer, value, channel) => {
      if (channel === 'moves') return void ++moves;
      const number = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
      expect(heard.has(number)).toBe(false);
      heard.add(number);
    });
    const send = async (): Promise<void> => {
      for (let number = 0; number < total; ++number) {
        const message = pattern(1000, number);
        new DataView(message.buffer).setUint32(0, number, true);
        if (!connection.send('bulk', message)) await connection.sent();
        if (number % 100 === 0) connection.send('moves', message);
      }
    };
    await world.until(send());
    // What is missing was in packets that are known to be lost, none of which holds nine of them.
    const missing = (): number =>
      total - heard.size - server.stats.drops.eventQueueFull - 8 * connection.packetsLost;
    while (connection.queuedBytes > 0 || connection.bytesInFlight > 0 || missing() > 0) await world.settle();
    expect(heard.size).toBeGreaterThan(total / 2);
    expect(moves).toBeGreaterThan(0);
    expect(connection.connected).toBe(true);
  });

  test('have room for long messages that are not repeated, from the first on', async () => {
    const length = 300_000;
    const declared = { states: sequenced(bytes(), { maxMessageBytes: length }), moves: unreliable() };
    const { server, connection } = await pair(world, declared);
    let states = 0;
    server.on('message', (_peer, value, channel) => {
      if (channel === 'states') expect(value.length).toBe(length);
      if (channel === 'states') ++states;
    });
    for (let round = 1; round <= 2; ++round) {
      // Real sockets may lose a part.
      while (states < round) {
        connection.send('states', pattern(length, round));
        await world.settle();
      }
      for (let turn = 0; turn < 10; ++turn) {
        for (let move = 0; move < 10; ++move) connection.send('moves', pattern(100, move));
        await world.settle();
      }
    }
    expect(server.stats.drops.eventQueueFull).toBe(0);
  });

  test('refuse what would wait for ever', async () => {
    const { server, peer } = await pair(
      world,
      channels,
      { maxQueuedBytes: 300_000, highWaterBytes: 50_000, onQueueFull: 'throw' },
      { channelCreditBytes: leastCredit, creditBytes: leastCredit },
    );
    let accepted = 0;
    let refused: unknown;
    while (refused === undefined && accepted < 1000) {
      try {
        peer.send('files', new Uint8Array(100_000));
        ++accepted;
      } catch (error) {
        refused = error;
      }
    }
    expect(refused).toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
    expect(accepted * 100_000).toBeGreaterThanOrEqual(300_000);
    expect(peer.queuedBytes).toBeLessThan(700_000);
    // Nothing that was accepted is lost, and the queue empties.
    await world.until(peer.sent());
    await world.until(peer.send('files', new Uint8Array(1), { confirm: true }));
    expect(server.stats.drops.queueFull).toBe(0);
  });

  test('deliver every message that send has taken, however small and however many in one turn', async () => {
    const { server, peer, connection } = await pair(
      world,
      channels,
      { highWaterBytes: 0, maxQueuedBytes: 1000, onQueueFull: 'throw' },
      { channelCreditBytes: leastCredit, creditBytes: leastCredit },
    );
    let heard = 0;
    connection.on('message', () => void ++heard);
    // So that no more leave than the credit allows, however fast the path is.
    connection.pause('files');
    const most = 200_000;
    let accepted = 0;
    while (accepted < most) {
      try {
        peer.send('files', Uint8Array.of());
        ++accepted;
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
        break;
      }
    }
    expect(accepted).toBeLessThan(most);
    connection.resume('files');
    await world.until(peer.sent());
    await world.until(peer.send('files', Uint8Array.of(), { confirm: true }));
    await world.settle();
    expect(server.stats.drops.queueFull).toBe(0);
    expect(heard).toBe(accepted + 1);
  });

  test('disconnect a client that stops reading, and nobody else', async () => {
    const limits = { maxQueuedBytes: 2 * longestFile, highWaterBytes: 50_000 };
    const { server, peer, connection } = await pair(world, channels, limits, {
      channelCreditBytes: leastCredit,
      creditBytes: leastCredit,
    });
    const ended = next(connection, 'disconnect');
    const reader = await world.connect<Game>(await world.token(server), { channels });
    let heard = 0;
    reader.on('message', () => ++heard);
    connection.pause('files');
    await world.settle();
    const others = [...server.peers].filter((each) => each !== peer);
    let turns = 0;
    for (; peer.connected && turns < 1_000; ++turns) {
      for (const each of server.peers) each.send('files', pattern(10_000, turns));
      await world.until(Promise.all(others.map((each) => each.sent())));
      if (peer.connected) expect(peer.heldBytes).toBeLessThan(2 * limits.maxQueuedBytes + 5 * 1024 * 1024);
    }
    const [info] = await world.until(ended);
    expect(info).toMatchObject({ result: 'disconnected', code: disconnectCodes.SLOW_CONSUMER });
    expect(info.reason).toContain('maxQueuedBytes');
    expect(server.stats.counters).toMatchObject({ peersSlowConsumer: 1, peersSendMemoryFull: 0 });
    while (heard < turns) await world.settle();
    expect(heard).toBe(turns);
    expect(reader.connected).toBe(true);
  });

  test('finish what they have begun before they wait for credit', async () => {
    const declared = { one: reliable(bytes(), { maxMessageBytes: longestFile }), other: reliable() };
    const { server, connection } = await pair(world, declared, {
      creditBytes: leastCredit,
      channelCreditBytes: leastCredit,
    });
    const heard: string[] = [];
    server.on('message', (_peer, value, channel) => heard.push(`${channel} ${value.length}`));
    const confirmed: Promise<void>[] = [];
    for (let round = 0; round < 3; ++round) {
      confirmed.push(connection.send('one', new Uint8Array(longestFile), { confirm: true }));
      confirmed.push(connection.send('other', new Uint8Array(65_536), { confirm: true }));
    }
    await world.until(Promise.all(confirmed));
    await world.settle();
    expect(heard.toSorted()).toEqual([
      ...Array.from({ length: 3 }, () => `one ${longestFile}`),
      ...Array.from({ length: 3 }, () => 'other 65536'),
    ]);
  });

  test('that are paused stop their sender, and nobody else', async () => {
    const { server, peer, connection } = await pair(world, channels, {
      creditBytes: 4 * longestFile,
      channelCreditBytes: leastCredit,
    });
    const heard = { files: 0, chat: 0 };
    let onFile: () => void = () => undefined;
    server.on('message', (_peer, value, channel) => {
      if (channel === 'files' && value instanceof Uint8Array) ++heard.files;
      if (channel === 'chat') ++heard.chat;
      onFile();
    });
    peer.pause('files');
    const size = 100_000;
    const count = 40;
    const confirmed = Promise.all(
      Array.from({ length: count }, (_, index) =>
        connection.send('files', pattern(size, index), { confirm: true }),
      ),
    );
    await world.until(connection.send('chat', { from: 'ann', words: 'still here' }, { confirm: true }));
    await world.settle();
    expect(heard).toEqual({ files: 0, chat: 1 });
    // No more than the credit went out; the rest waits here.
    expect(connection.queuedBytes).toBeGreaterThanOrEqual(count * size - leastCredit);
    const all = new Promise<void>((resolve) => {
      onFile = () => {
        if (heard.files === count) resolve();
      };
    });
    peer.resume('files');
    await world.until(Promise.all([all, confirmed]));
    expect(connection.queuedBytes).toBe(0);
  });

  test('broadcast to all peers, or to some, on any channel', async () => {
    const server = await world.listen({ channels });
    const heard: string[] = [];
    let onAll: () => void = () => undefined;
    const all = new Promise<void>((resolve) => {
      onAll = resolve;
    });
    for (let index = 0; index < 5; ++index) {
      const connection = await world.connect(await world.token(server), { channels });
      connection.on('message', (value, channel) => {
        if (channel === 'chat') heard.push(`${index} ${value.words}`);
        else if (channel === 'state') heard.push(`${index} ${value}`);
        else if (channel === 'files') heard.push(`${index} ${value.length}`);
        if (heard.length === 14) onAll();
      });
    }
    expect(server.broadcast('chat', { from: 'all', words: 'hello' })).toBe(5);
    const some = [...server.peers].sort((a, b) => Number(a.clientId - b.clientId)).slice(1, 3);
    expect(server.broadcast('state', 'up', { peers: some })).toBe(2);
    expect(server.broadcast('files', pattern(100_000, 1), { peers: some, ttlMs: 60_000 })).toBe(2);
    expect(server.broadcast('chat', { from: 'none', words: 'hello' }, { peers: [] })).toBe(0);
    for (const peer of server.peers) peer.send('chat', { from: '', words: 'end' });
    await world.until(all);
    await world.settle();
    expect(heard.toSorted()).toEqual(
      [
        ...[0, 1, 2, 3, 4].flatMap((index) => [`${index} hello`, `${index} end`]),
        ...some.flatMap((_, at) => [`${at + 1} up`, `${at + 1} 100000`]),
      ].toSorted(),
    );
  });

  test('drop and report what their codec cannot read', async () => {
    const { server, connection } = await pair(world, channels);
    // The same name and other bytes: what a client of another version may send.
    const strange = { ...channels, level: reliableUnordered({ ...text(), name: 'f32' }) };
    const other = await world.connect(await world.token(server), { channels: strange });
    const heard: unknown[] = [];
    server.on('message', (_peer, value, channel) => heard.push([value, channel]));
    const invalid = next(server, 'invalidMessage');
    await world.until(other.send('level', 'not four bytes', { confirm: true }));
    const [from, error, channel] = await world.until(invalid);
    expect(from.address).not.toBe('');
    expect(error).toEqual(new RangeError('14 bytes are no float'));
    expect(channel).toBe('level');
    await world.until(connection.send('level', 2, { confirm: true }));
    await world.settle();
    expect(heard).toEqual([[2, 'level']]);
    expect(server.stats.drops.undecodable).toBe(1);
    expect(other.connected).toBe(true);
  });
});

describe('channels on a bad network', () => {
  const bad = { delayMs: 20, jitterMs: 10, lossRate: 0.1, duplicateRate: 0.05, reorderRate: 0.1 };

  test('lose nothing that is reliable, and nothing twice', async () => {
    const world = new SimulatedWorld({ seed: 7, ...bad });
    const { server, connection } = await pair(world, channels);
    const heard = { chat: [] as number[], level: new Set<number>(), state: [] as number[], moves: 0 };
    let levels = 0;
    server.on('message', (_peer, value, channel) => {
      if (channel === 'chat') heard.chat.push(Number(value.words));
      else if (channel === 'state') heard.state.push(Number(value));
      else if (channel === 'moves') ++heard.moves;
      else if (channel === 'level') {
        ++levels;
        heard.level.add(value);
      }
    });
    const count = 500;
    const confirmed: Promise<void>[] = [];
    for (let index = 0; index < count; ++index) {
      confirmed.push(connection.send('chat', { from: '', words: `${index}` }, { confirm: true }));
      confirmed.push(connection.send('level', index, { confirm: true }));
      connection.send('state', `${index}`);
      connection.send('moves', pattern(100, index));
      await world.network.run(2);
    }
    await world.until(Promise.all(confirmed));
    await world.settle();
    expect(heard.chat).toEqual(Array.from({ length: count }, (_, index) => index));
    expect([levels, heard.level.size]).toEqual([count, count]);
    // Sequenced: never back. Both of the others lose about what the network loses, and no more.
    expect(heard.state).toEqual(heard.state.toSorted((a, b) => a - b));
    expect(heard.state.length).toBeGreaterThan(count / 2);
    expect(heard.state.length).toBeLessThan(count);
    expect(heard.moves).toBeGreaterThan(0.8 * count);
    expect(connection.packetsLost).toBeGreaterThan(0);
    expect(connection.congestionWindowBytes).toBeGreaterThan(0);
    expect(connection.pacingRate).toBeGreaterThan(0);
    await world.close();
  });

  test('tell when a message has expired, and go on without it', async () => {
    const world = new SimulatedWorld({ delayMs: 10 });
    const { server, connection } = await pair(world, channels);
    const heard: string[] = [];
    server.on('message', (_peer, value, channel) => {
      if (channel === 'chat') heard.push(value.words);
    });
    const say = (words: string): Chat => ({ from: 'ann', words });
    await world.until(connection.send('chat', say('before'), { confirm: true }));
    world.network.partition(server.address, connection.localAddress);
    const expired = codeOf(connection.send('chat', say('expires'), { confirm: true, ttlMs: 300 }));
    const kept = connection.send('chat', say('after'), { confirm: true });
    await world.network.run(1000);
    world.network.partition(server.address, connection.localAddress, false);
    expect(await world.until(expired)).toBe('ERR_HAWSER_EXPIRED');
    await world.until(kept);
    // Acknowledged is what has arrived; what came before it may still be on its way, if only as a notice.
    await world.settle();
    expect(heard).toEqual(['before', 'after']);
    expect(connection.connected).toBe(true);
    await world.close();
  });

  test.each(['bbr', 'cubic'] as const)('fill a link without flooding it (%s)', async (congestion) => {
    const world = new SimulatedWorld({ delayMs: 25, bytesPerSecond: 1_250_000, queueBytes: 62_500 });
    const { server, connection } = await pair(world, channels, {}, { congestion });
    const began = world.network.clock.now();
    const files = Array.from({ length: 5 }, (_, index) =>
      connection.send('files', pattern(longestFile, index), { confirm: true }),
    );
    await world.until(Promise.all(files));
    const seconds = (world.network.clock.now() - began) / 1000;
    expect((5 * longestFile) / seconds).toBeGreaterThan(0.7 * 1_250_000);
    expect(server.stats.counters.messagesReceived).toBe(5);
    await world.close();
  });

  test('repeat no bulk that may be lost, tell its sender to wait, and count what is lost', async () => {
    const world = new SimulatedWorld({ seed: 3, delayMs: 10, bytesPerSecond: 1_250_000, lossRate: 0.3 });
    const declared = { bulk: unreliable(bytes(), { congestionControlled: true }) };
    const { server, peer, connection } = await pair(world, declared, { highWaterBytes: 50_000 });
    const heard: number[] = [];
    connection.on('message', (value) => {
      heard.push(new DataView(value.buffer, value.byteOffset).getUint32(0, true));
    });
    const total = 1000;
    let waits = 0;
    for (let number = 0; number < total; ++number) {
      const message = pattern(1000, number);
      new DataView(message.buffer).setUint32(0, number, true);
      if (peer.send('bulk', message)) continue;
      ++waits;
      await world.until(peer.sent());
    }
    while (peer.queuedBytes > 0 || peer.bytesInFlight > 0) await world.settle();
    const { messagesLost, bytesSent } = server.stats.counters;
    expect(new Set(heard).size).toBe(heard.length);
    // What came late, or whose acknowledgement was lost for good, is counted as lost too.
    expect(heard.length + messagesLost).toBeGreaterThanOrEqual(total);
    expect(heard.length).toBeGreaterThan(0.6 * total);
    expect(heard.length).toBeLessThan(0.8 * total);
    expect(messagesLost).toBeGreaterThan(0.2 * total);
    expect(bytesSent).toBeLessThan(1.15 * 1000 * total);
    expect(waits).toBeGreaterThan(0);
    await world.close();
  });

  test('of a peer that takes nothing leave the others alone', async () => {
    const world = new SimulatedWorld({ delayMs: 5 });
    const server = await world.listen({ channels, highWaterBytes: 50_000 });
    const peers: Peer<Game>[] = [];
    server.on('connect', (peer) => peers.push(peer));
    const options = { channels, channelCreditBytes: leastCredit, creditBytes: leastCredit };
    const slow = await world.connect(await world.token(server), options);
    const quick = await world.connect(await world.token(server), options);
    await world.settle();
    slow.pause('files');
    await world.settle();
    const [toSlow, toQuick] = peers as [Peer<Game>, Peer<Game>];
    const drained: unknown[] = [];
    server.on('drain', (peer) => drained.push(peer));
    let blocked = 0;
    while (toSlow.send('files', new Uint8Array(60_000))) {
      if (++blocked > 100) break;
      // Long enough for all that credit allows to leave.
      await world.network.run(500);
    }
    expect(blocked).toBeLessThan(100);
    for (let index = 0; index < 20; ++index) {
      await world.until(toQuick.send('files', new Uint8Array(60_000), { confirm: true }));
    }
    expect(drained).toEqual([]);
    slow.resume('files');
    await world.until(toSlow.sent());
    expect(drained).toEqual([toSlow]);
    expect(quick.connected).toBe(true);
    await world.close();
  });
});
