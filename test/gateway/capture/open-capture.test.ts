// Captures of servers that run: what they see on every driver, what happens when nobody reads, and how they end.

import { setTimeout as wait } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import type { Capture, CaptureOptions } from '../../../src/gateway/capture/capture.js';
import { openCapture } from '../../../src/gateway/capture/open-capture.js';
import type { Connection, Server } from '../../../src/index.js';
import {
  bytes,
  freshWorldForEachTest,
  next,
  RealWorld,
  type World,
  worlds,
} from '../../transport/support.js';
import { silentLog } from '../support.js';

const open = (server: Server, options: CaptureOptions = {}, log = silentLog()): Capture =>
  openCapture([{ name: 'udp', server }], options, { version: '0.0.0', log });

interface Packet {
  readonly interfaceId: number;
  readonly sent: boolean;
  readonly lengthBytes: number;
  readonly content: Buffer;
}

interface Parsed {
  readonly packets: Packet[];
  readonly received: number;
  readonly dropped: number;
}

/** The packets of whole blocks of pcapng, and its last counters. */
function parse(file: Buffer): Parsed {
  const packets: Packet[] = [];
  let [received, dropped] = [0, 0];
  for (let at = 0; at < file.length; ) {
    const length = file.readUInt32LE(at + 4);
    const block = file.subarray(at, at + length);
    expect(block).toHaveLength(length);
    expect(block.readUInt32LE(length - 4)).toBe(length);
    if (block.readUInt32LE() === 6) {
      const captured = block.readUInt32LE(20);
      const flags = block.readUInt32LE(28 + ((captured + 3) & ~3) + 4);
      packets.push({
        interfaceId: block.readUInt32LE(8),
        sent: flags === 2,
        lengthBytes: block.readUInt32LE(24),
        content: block.subarray(28, 28 + captured),
      });
    }
    if (block.readUInt32LE() === 5)
      [received, dropped] = [Number(block.readBigUInt64LE(48)), Number(block.readBigUInt64LE(60))];
    at += length;
  }
  return { packets, received, dropped };
}

async function collect(capture: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of capture) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A new connection on which a message is said. */
async function say(world: World, server: Server, message: Uint8Array): Promise<Connection> {
  const heard = next(server, 'message');
  const connection = await world.connect(await world.token(server));
  connection.send(message);
  await world.until(heard);
  return connection;
}

const secret = Buffer.from('nobody else may read this');

describe.each(worlds)('a capture %s', (_name, makeWorld) => {
  let world: World;
  freshWorldForEachTest(makeWorld, (fresh) => {
    world = fresh;
  });

  test('has what went in both directions, to the end of the server, and as many as it says', async () => {
    const server = await world.listen();
    const capture = open(server, { plaintext: true });
    const collecting = collect(capture);
    await say(world, server, secret);
    await world.until(server.close());
    const { packets, received, dropped } = parse(await collecting);

    expect([received, dropped, capture.dropped]).toEqual([packets.length, 0, 0]);
    const datagrams = packets.filter(({ interfaceId }) => interfaceId === 0);
    const { datagramsReceived, datagramsSent, packetsOpened, packetsSealed } = server.stats.counters;
    expect(datagrams.filter(({ sent }) => !sent)).toHaveLength(datagramsReceived);
    expect(datagrams.filter(({ sent }) => sent)).toHaveLength(datagramsSent);
    expect(packets.filter(({ interfaceId }) => interfaceId === 1)).toHaveLength(
      packetsOpened + packetsSealed,
    );
    expect(datagrams.some(({ content }) => content.includes(secret))).toBe(false);
    expect(packets.filter(({ content }) => content.includes(secret))).toHaveLength(1);
  });

  test('has no plaintext unless it was asked for', async () => {
    const server = await world.listen();
    const collecting = collect(open(server));
    await say(world, server, secret);
    await world.until(server.close());
    const file = await collecting;
    expect(parse(file).packets.length).toBeGreaterThan(4);
    expect(file.includes(secret)).toBe(false);
  });
});

describe('a capture', () => {
  let world: World;
  freshWorldForEachTest(
    () => new RealWorld(),
    (fresh) => {
      world = fresh;
    },
  );

  test('with plaintext is a warning in the log of the gateway, without it is none', async () => {
    const server = await world.listen();
    const log = silentLog();
    open(server, {}, log)[Symbol.dispose]();
    expect(log.lines).toEqual([]);
    open(server, { plaintext: true, address: '192.0.2.1' }, log)[Symbol.dispose]();
    expect(log.lines).toMatchObject([
      { level: 'warn', fields: { plaintext: true, listeners: ['udp'], address: '192.0.2.1' } },
    ]);
  });

  test('is refused while another one goes on at the listener, and can be made when that has ended', async () => {
    const [server, other] = [await world.listen(), await world.listen()];
    const listeners = [
      { name: 'a', server: other },
      { name: 'b', server },
    ];
    const context = { version: '0', log: silentLog() };
    const first = openCapture(listeners, { listener: 'b' }, context);
    const busy = expect.objectContaining({ code: 'ERR_HAWSER_CAPTURE_BUSY' });
    expect(() => openCapture(listeners, {}, context)).toThrow(busy);
    // What that attempt had begun is undone.
    const second = openCapture(listeners, { listener: 'a' }, context);
    first[Symbol.dispose]();
    second[Symbol.dispose]();
    openCapture(listeners, {}, context)[Symbol.dispose]();
  });

  test('is refused of a listener that there is not, and of a server that has closed', async () => {
    const server = await world.listen();
    expect(() => open(server, { listener: 'tcp' })).toThrow(/listener must be one of the gateway's \(udp\)/);
    await server.close();
    expect(() => open(server)).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' }));
  });

  test('has what is of the address that was asked for, and nothing else', async () => {
    const server = await world.listen();
    const connection = await say(world, server, secret);
    const [peer] = [...server.peers];
    const collecting = collect(open(server, { plaintext: true, address: peer?.address ?? '' }));
    await say(world, server, Buffer.from('another client'));
    const heard = next(server, 'message');
    connection.send(Buffer.from('the first client'));
    await heard;
    await server.close();
    const file = await collecting;
    expect(file.includes(Buffer.from('the first client'))).toBe(true);
    expect(file.includes(Buffer.from('another client'))).toBe(false);
  });

  test('of the first bytes of each datagram tells how long they were', async () => {
    const server = await world.listen();
    const collecting = collect(open(server, { snapLengthBytes: 64 }));
    await say(world, server, secret);
    await server.close();
    const [request] = parse(await collecting).packets;
    expect(request).toMatchObject({ sent: false, lengthBytes: 1228 });
    expect(request?.content).toHaveLength(28 + 64);
  });

  test('of a flood that nobody reads drops what finds no room, and the gateway goes on', async () => {
    const server = await world.listen();
    const capture = open(server, { plaintext: true });
    const connecting = next(server, 'connect');
    const connection = await world.connect(await world.token(server));
    const [peer] = await connecting;
    let heard = 0;
    server.on('message', () => ++heard);
    const message = new Uint8Array(1100);
    while (capture.dropped < 100) {
      for (let i = 0; i < 200; ++i) connection.send(message);
      await wait(1);
    }
    expect(heard).toBeGreaterThan(1000);
    const answered = next(connection, 'message');
    peer.send(bytes('still here'));
    expect(Buffer.from((await answered)[0]).toString()).toBe('still here');

    const collecting = collect(capture);
    await server.close();
    const file = await collecting;
    const { packets, received, dropped } = parse(file);
    expect(dropped).toBe(capture.dropped);
    expect(received).toBe(packets.length);
    // A ring of 4 MiB was full.
    expect(file.length).toBeGreaterThan(3.5 * 2 ** 20);
  });

  test('ends when it is disposed of, with a last block, and when its reader leaves', async () => {
    const server = await world.listen();
    const capture = open(server);
    await say(world, server, secret);
    const pieces: Uint8Array[] = [];
    for await (const piece of capture) {
      // The first one is the header of the file.
      if (pieces.push(piece) === 2) capture[Symbol.dispose]();
    }
    const { packets, received } = parse(Buffer.concat(pieces));
    expect(received).toBe(packets.length);
    expect(received).toBeGreaterThan(4);
    for await (const _ of open(server)) break;
    open(server)[Symbol.dispose]();
    expect(() => capture[Symbol.asyncIterator]()).toThrow(/read once/);
  });
});
