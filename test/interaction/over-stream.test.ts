// Messages over real sockets of TCP and TLS on 127.0.0.1.

import { spawn } from 'node:child_process';
import { EventEmitter, getEventListeners, once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import tls from 'node:tls';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { freePorts } from '../../scripts/lib/free-ports.mjs';
import { systemClock } from '../../src/base/clock.js';
import { HawserError } from '../../src/base/errors.js';
import { unhandledListenerErrors } from '../../src/base/isolate.js';
import type { Connector, MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import { ProtocolError } from '../../src/interaction/codec.js';
import { Device } from '../../src/interaction/device.js';
import { FrameDecoder, frame } from '../../src/interaction/framing.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { InteractionConnection } from '../../src/interaction/interaction-connection.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import type { Notification } from '../../src/interaction/messages.js';
import { overStream, type StreamOptions } from '../../src/interaction/over-stream.js';
import { tcpConnector, tlsConnector } from '../../src/interaction/stream-connectors.js';
import {
  type StreamServer,
  type StreamServerOptions,
  serveStreams,
} from '../../src/interaction/stream-server.js';
import type { Value } from '../../src/interaction/values.js';
import { refusal } from '../base/refusal.js';
import { concat, fromHex, toHex, utf8 } from '../reference/bytes.js';
import { endpoint, feature, limitId, powerId, thermostat } from './thermostat.js';
import * as identities from './tls-identity.js';
import { settled, VirtualTime } from './virtual-time.js';

const host = '127.0.0.1';
const mashMessageBytes = 8_192;
const noSignal = new AbortController().signal;
/** For whoever is not told another one: nobody is given up because this process, or the machine, stood still for a while. */
const patient = { clock: new VirtualTime().clock };

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A receiver that remembers what it is told. */
class Heard implements MessageReceiver {
  readonly messages: Uint8Array[] = [];
  readonly closings: (HawserError | undefined)[] = [];
  drains = 0;
  connection: MessageConnection | undefined;
  socket: net.Socket | undefined;
  /** What it does beside remembering. */
  onMessage: (message: Uint8Array) => void = () => undefined;
  onDrained: () => void = () => undefined;
  readonly #told = new EventEmitter();

  message(message: Uint8Array): void {
    this.messages.push(Uint8Array.from(message));
    this.#told.emit('told');
    this.onMessage(message);
  }

  drained(): void {
    ++this.drains;
    this.#told.emit('told');
    this.onDrained();
  }

  closed(error: HawserError | undefined): void {
    this.closings.push(error);
    this.#told.emit('told');
  }

  get texts(): readonly string[] {
    return this.messages.map((message) => Buffer.from(message).toString());
  }

  get by(): MessageConnection {
    if (this.connection === undefined) throw new Error('not connected');
    return this.connection;
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await once(this.#told, 'told');
  }

  /** Why it was closed, once it is. */
  async ending(): Promise<HawserError | undefined> {
    await this.until(() => this.closings.length > 0);
    return this.closings[0];
  }
}

type Kind = 'tcp' | 'tls';
const kinds: readonly Kind[] = ['tcp', 'tls'];

function newServer(kind: Kind, options: tls.TlsOptions = {}): net.Server {
  return kind === 'tls' ? tls.createServer({ ...identities.device, ...options }) : net.createServer(options);
}

/** @returns the port. Nobody else gets it, so that connections to it are refused once the server is closed. */
async function listen(server: net.Server): Promise<number> {
  const [port = 0] = await freePorts(1);
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  server.listen(port, host);
  await once(server, 'listening');
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return port;
}

interface Served {
  readonly server: net.Server;
  readonly streams: StreamServer;
  readonly port: number;
  /** One for each connection, in their order. */
  readonly heard: Heard[];
  /** Resolves with the receiver of that connection. */
  accepted(index: number): Promise<Heard>;
}

async function serve(
  kind: Kind,
  options: StreamServerOptions = {},
  tlsOptions?: tls.TlsOptions,
): Promise<Served> {
  const server = newServer(kind, tlsOptions);
  const heard: Heard[] = [];
  const told = new EventEmitter();
  const streams = serveStreams(
    server,
    (connection, socket) => {
      const receiver = new Heard();
      receiver.connection = connection;
      receiver.socket = socket;
      heard.push(receiver);
      setImmediate(() => told.emit('accepted'));
      return receiver;
    },
    { ...patient, ...options },
  );
  const port = await listen(server);
  return {
    server,
    streams,
    port,
    heard,
    async accepted(index) {
      for (;;) {
        const found = heard[index];
        if (found !== undefined) return found;
        await once(told, 'accepted');
      }
    },
  };
}

function connectorTo(kind: Kind, port: number, options: StreamOptions = {}): Connector {
  return kind === 'tls'
    ? tlsConnector({ host, port, ca: identities.device.cert, ...patient, ...options })
    : tcpConnector({ host, port, ...patient, ...options });
}

async function join(connector: Connector, signal: AbortSignal = noSignal): Promise<Heard> {
  const heard = new Heard();
  await connector((connection) => {
    heard.connection = connection;
    return heard;
  }, signal);
  cleanups.push(() => heard.by.close(''));
  return heard;
}

/** Both ends of a connection. */
async function pair(
  kind: Kind,
  options: { readonly server?: StreamServerOptions; readonly client?: StreamOptions } = {},
) {
  const served = await serve(kind, options.server);
  const client = await join(connectorTo(kind, served.port, options.client));
  return { ...served, client, device: await served.accepted(0) };
}

/** A client that writes what it likes. */
async function raw(kind: Kind, port: number, options: { allowHalfOpen?: boolean } = {}): Promise<net.Socket> {
  const socket =
    kind === 'tls'
      ? tls.connect({ host, port, ca: identities.device.cert, ...options })
      : net.connect({ host, port, ...options });
  cleanups.push(() => socket.destroy());
  await once(socket, kind === 'tls' ? 'secureConnect' : 'connect');
  socket.setNoDelay(true);
  socket.on('error', () => undefined);
  return socket;
}

/** All that comes until the stream ends. */
async function readAll(socket: net.Socket): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  await once(socket, 'end');
  return concat(...chunks);
}

/** The messages that come, as they come. */
async function* messagesOf(socket: net.Socket): AsyncGenerator<Uint8Array> {
  const decoder = new FrameDecoder(mashMessageBytes);
  for await (const chunk of socket) yield* decoder.push(chunk);
}

function framed(...texts: readonly string[]): Uint8Array {
  return concat(...texts.map((text) => frame(utf8(text), mashMessageBytes)));
}

async function write(socket: net.Socket, bytes: Uint8Array): Promise<void> {
  await new Promise((resolve) => socket.write(bytes, resolve));
}

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof HawserError) return error.code;
    throw error;
  }
}

/** Sends until nothing more is taken. @returns how many messages were. */
function fill(connection: MessageConnection, message: Uint8Array, onFalse: (count: number) => void): number {
  for (let count = 0; ; ) {
    try {
      if (!connection.send(message)) onFalse(count);
      ++count;
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
      return count;
    }
  }
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((onResolve) => {
    resolve = onResolve;
  });
  return { promise, resolve };
}

/** Resolves once the next connection to a server is over, beneath TLS. */
async function nextGone(server: net.Server): Promise<void> {
  const [socket] = (await once(server, 'connection')) as [net.Socket];
  await once(socket, 'close');
}

/** For what nobody tells: waits, as long as a test may take, until a check does not fail. */
function eventually(check: () => unknown): Promise<unknown> {
  return vi.waitFor(check, { timeout: 100_000, interval: 2 });
}

describe.each(kinds)('messages over %s', (kind) => {
  test('arrive whole and in order, both ways', async () => {
    const { client, device, streams } = await pair(kind);
    expect([client.by.detectsLoss, device.by.detectsLoss]).toEqual([false, false]);
    const texts = Array.from({ length: 50 }, (_, index) => `message ${index}`);
    for (const text of texts) {
      expect(client.by.send(utf8(text))).toBe(true);
      device.by.send(utf8(`${text} back`));
    }
    await device.until(() => device.messages.length === 50);
    await client.until(() => client.messages.length === 50);
    expect(device.texts).toEqual(texts);
    expect(client.texts).toEqual(texts.map((text) => `${text} back`));
    expect([streams.connections, streams.accepted]).toEqual([1, 1]);
  });

  test('their bytes are copied at once', async () => {
    const { client, device } = await pair(kind);
    const bytes = utf8('before');
    client.by.send(bytes);
    bytes.fill(0);
    await device.until(() => device.messages.length === 1);
    expect(device.texts).toEqual(['before']);
  });

  test('arrive when they come byte by byte', async () => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    const device = await accepted(0);
    for (const byte of framed('one', 'and another')) await write(socket, Uint8Array.of(byte));
    await device.until(() => device.messages.length === 2);
    expect(device.texts).toEqual(['one', 'and another']);
  });

  test('arrive when several come in one chunk, with the beginning of one more', async () => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    const device = await accepted(0);
    await write(socket, concat(framed('a', 'b', 'c'), framed('late').subarray(0, 6)));
    await device.until(() => device.messages.length === 3);
    await write(socket, framed('late').subarray(6));
    await device.until(() => device.messages.length === 4);
    expect(device.texts).toEqual(['a', 'b', 'c', 'late']);
  });

  test('arrive however the stream is cut', async () => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    const device = await accepted(0);
    const messages = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), {
      minLength: 1,
      maxLength: 20,
    });
    await fc.assert(
      fc.asyncProperty(messages, fc.array(fc.integer({ min: 1, max: 400 })), async (sent, lengths) => {
        device.messages.length = 0;
        const stream = concat(...sent.map((message) => frame(message, mashMessageBytes)));
        let at = 0;
        for (const length of lengths) {
          if (at >= stream.length) break;
          await write(socket, stream.subarray(at, at + length));
          at += length;
        }
        if (at < stream.length) await write(socket, stream.subarray(at));
        await device.until(() => device.messages.length >= sent.length);
        expect(device.messages.map(toHex)).toEqual(sent.map(toHex));
      }),
      { numRuns: 50 },
    );
    expect(device.closings).toEqual([]);
  });

  test('of one turn of the loop leave in one write', async () => {
    const { client, device } = await pair(kind);
    const { socket } = device;
    if (socket === undefined) throw new Error('no socket');
    const write = vi.spyOn(socket, '_write');
    const writev = vi.spyOn(socket, '_writev' as '_write');
    for (const text of ['a', 'b', 'c']) device.by.send(utf8(text));
    await client.until(() => client.messages.length === 3);
    expect(write.mock.calls.length + writev.mock.calls.length).toBe(1);
    device.by.send(utf8('d'));
    await client.until(() => client.messages.length === 4);
    expect(write.mock.calls.length + writev.mock.calls.length).toBe(2);
  });

  test('that come in a flood leave other connections their turn, and arrive all and in order', async () => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    const device = await accepted(0);
    const count = 5000;
    socket.write(concat(...Array.from({ length: count }, (_, index) => frame(utf8(String(index)), 64))));
    let most = 0;
    while (device.messages.length < count) {
      const before = device.messages.length;
      await settled();
      most = Math.max(most, device.messages.length - before);
    }
    // One part when they come, and one in the turn that follows.
    expect(most).toBeLessThanOrEqual(2 * 256);
    expect(device.messages.map((each) => Number(Buffer.from(each)))).toEqual([...Array(count).keys()]);
  });

  test('that come in a flood arrive all when the end of the stream is right behind them', async () => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    const device = await accepted(0);
    const count = 5000;
    socket.end(concat(...Array.from({ length: count }, (_, index) => frame(utf8(String(index)), 64))));
    expect(await device.ending()).toBeUndefined();
    expect(device.messages.map((each) => Number(Buffer.from(each)))).toEqual([...Array(count).keys()]);
  });

  test('that come in a flood do not keep a side that has left from seeing the other one leave', async () => {
    // The time in which the other side is to end the stream does not pass.
    const time = new VirtualTime();
    const { port, accepted } = await serve(kind, { clock: time.clock });
    const socket = await raw(kind, port);
    const device = await accepted(0);
    device.onMessage = () => {
      // Just when others have their turn.
      if (device.messages.length === 256) setImmediate(() => device.by.close(''));
    };
    const count = 5000;
    socket.write(concat(...Array.from({ length: count }, (_, index) => frame(utf8(String(index)), 64))));
    socket.resume();
    expect(await device.ending()).toBeUndefined();
    expect(device.messages.length).toBeLessThan(count);
  });

  test('do not wait until there is more to send', async () => {
    const { port } = await serve(kind);
    const socket = await raw(kind, port);
    const setNoDelay = vi.spyOn(socket, 'setNoDelay');
    overStream(socket, () => new Heard());
    expect(setNoDelay.mock.calls).toEqual([[true]]);
  });

  test('have at most 8,192 bytes: one more is not sent, and the connection lives', async () => {
    const { client, device } = await pair(kind);
    client.by.send(new Uint8Array(mashMessageBytes));
    expect(codeOf(() => client.by.send(new Uint8Array(mashMessageBytes + 1)))).toBe(
      'ERR_HAWSER_MESSAGE_TOO_LONG',
    );
    expect(codeOf(() => client.by.send(new Uint8Array(0)))).toBe('ERR_HAWSER_ARGUMENT');
    client.by.send(utf8('after'));
    await device.until(() => device.messages.length === 2);
    expect(device.messages.map(({ length }) => length)).toEqual([mashMessageBytes, 5]);
  });

  test('may be longer where both sides say so', async () => {
    const { client, device } = await pair(kind, {
      server: { maxMessageBytes: 2_000_000 },
      client: { maxMessageBytes: 2_000_000 },
    });
    const long = Buffer.alloc(2_000_000, 'long');
    client.by.send(long);
    await device.until(() => device.messages.length === 1);
    expect(device.messages.map((message) => long.equals(message))).toEqual([true]);
  });

  test.each([
    ['no bytes', 0],
    ['8,193 bytes', 8_193],
    ['4,294,967,295 bytes', 0xffff_ffff],
  ])(
    'that declare %s close their connection, after those in front of them, and no other',
    async (_, length) => {
      const { port, accepted, heard } = await serve(kind);
      const other = await join(connectorTo(kind, port));
      const socket = await raw(kind, port);
      const device = await accepted(1);
      device.onMessage = () => device.by.send(utf8('answer'));
      const header = Buffer.alloc(4);
      header.writeUInt32BE(length);
      const all = readAll(socket);
      await write(socket, concat(framed('good'), header, new Uint8Array(100)));
      const error = await device.ending();
      expect(error).toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
      expect(error?.cause).toBeInstanceOf(ProtocolError);
      expect(device.texts).toEqual(['good']);
      expect(await all).toEqual(framed('answer'));
      other.by.send(utf8('alive'));
      await heard[0]?.until(() => heard[0]?.messages.length === 1);
      expect([heard[0]?.closings, device.closings.length]).toEqual([[], 1]);
    },
  );

  test.each([
    ['the length', 3],
    ['the bytes', 6],
  ])('that end within %s are a loss', async (_, count) => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    const device = await accepted(0);
    socket.end(concat(framed('whole'), framed('broken').subarray(0, count)));
    expect(await device.ending()).toMatchObject({
      code: 'ERR_HAWSER_CONNECTION_LOST',
      message: 'the connection was lost: the stream ended within a message',
    });
    expect(device.texts).toEqual(['whole']);
  });
});

describe.each(kinds)('the end of a connection over %s', (kind) => {
  test('by the other side is no loss', async () => {
    const { port, accepted, streams } = await serve(kind);
    const socket = await raw(kind, port);
    const device = await accepted(0);
    const closed = once(socket, 'close');
    socket.end(framed('last'));
    expect(await device.ending()).toBeUndefined();
    await closed;
    expect([device.texts, device.closings.length]).toEqual([['last'], 1]);
    expect(codeOf(() => device.by.send(utf8('x')))).toBe('ERR_HAWSER_NOT_CONNECTED');
    await eventually(() => expect(streams.connections).toBe(0));
  });

  test('by this side comes after what was sent, and is told both sides once', async () => {
    const time = new VirtualTime();
    const { client, device, streams } = await pair(kind, { server: { clock: time.clock } });
    const sent = Array.from({ length: 20 }, () => new Uint8Array(5_000));
    for (const message of sent) device.by.send(message);
    device.by.close('enough');
    device.by.close('again');
    expect(codeOf(() => device.by.send(utf8('x')))).toBe('ERR_HAWSER_NOT_CONNECTED');
    expect(await client.ending()).toBeUndefined();
    expect(await device.ending()).toBeUndefined();
    expect(client.messages.map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
    await settled();
    expect([client.closings, device.closings]).toEqual([[undefined], [undefined]]);
    await eventually(() => expect(streams.connections).toBe(0));
    expect(time.clock.nextDueMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('by this side: nothing is delivered any more', async () => {
    const { client, device } = await pair(kind);
    device.onMessage = () => device.by.close('');
    for (const text of ['a', 'b', 'c']) client.by.send(utf8(text));
    await device.ending();
    expect(device.texts).toEqual(['a']);
  });

  test('by this side: what comes until the other has ended too is dropped', async () => {
    const { port, accepted } = await serve('tcp');
    const socket = await raw('tcp', port, { allowHalfOpen: true });
    const device = await accepted(0);
    device.by.close('');
    await once(socket.resume(), 'end');
    for (const text of ['late', 'later']) await write(socket, framed(text));
    socket.end();
    await device.ending();
    expect(device.messages).toEqual([]);
  });

  test('by this side waits 5 s for the other, then cuts it off', async () => {
    const time = new VirtualTime();
    const { port, accepted } = await serve(kind, { clock: time.clock, firstMessageTimeoutMs: false });
    const socket = await raw(kind, port, { allowHalfOpen: true });
    const device = await accepted(0);
    // TLS answers the end of the other side by itself where it reads it.
    if (kind === 'tls') socket.pause();
    else socket.resume();
    device.by.close('');
    await settled();
    time.runTo(4_999);
    await settled();
    expect(device.closings).toEqual([]);
    time.runTo(5_000);
    expect(await device.ending()).toBeUndefined();
  });

  /** Both ends, of which the client's is cut off without a word. */
  async function meetToReset() {
    const { port, accepted } = await serve(kind);
    const beneath = net.connect({ host, port });
    cleanups.push(() => beneath.destroy());
    await once(beneath, 'connect');
    if (kind === 'tls') {
      const socket = tls.connect({ socket: beneath, host, ca: identities.device.cert });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
    }
    return { beneath, device: await accepted(0) };
  }

  test('by a reset is a loss', async () => {
    const { beneath, device } = await meetToReset();
    beneath.resetAndDestroy();
    expect(await device.ending()).toMatchObject({
      code: 'ERR_HAWSER_CONNECTION_LOST',
      cause: { code: 'ECONNRESET' },
    });
    await settled();
    expect(device.closings).toHaveLength(1);
  });

  test('by a reset is no loss where this side has ended it before', async () => {
    const { beneath, device } = await meetToReset();
    beneath.resetAndDestroy();
    device.by.close('');
    expect(await device.ending()).toBeUndefined();
  });

  test('within `attach` is told after it', async () => {
    const { port } = await serve(kind);
    const heard = new Heard();
    await connectorTo(kind, port)((connection) => {
      connection.send(utf8('hello'));
      connection.close('');
      return heard;
    }, noSignal);
    expect(await heard.ending()).toBeUndefined();
  });
});

describe.each(kinds)('a side that does not read, over %s', (kind) => {
  test('finds a bounded queue, and all that was sent once it reads', async () => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    socket.pause();
    const device = await accepted(0);
    const message = new Uint8Array(mashMessageBytes).fill(1);
    let sent = 0;
    let waiting = 0;
    // The kernel takes some of it, for a while.
    for (let quiet = 0; quiet < 10; await settled()) {
      const more = fill(device.by, message, () => undefined);
      sent += more;
      waiting = device.socket?.writableLength ?? 0;
      await settled();
      quiet = more === 0 ? quiet + 1 : 0;
      expect(device.socket?.writableLength).toBeLessThanOrEqual(1_048_576);
    }
    expect(waiting).toBeGreaterThan(1_048_576 - mashMessageBytes - 4);
    const drainsBefore = device.drains;
    let came = 0;
    const reading = (async () => {
      for await (const each of messagesOf(socket)) {
        expect(each).toHaveLength(mashMessageBytes);
        if (++came === sent + 1) return;
      }
    })();
    await device.until(() => device.drains > drainsBefore);
    expect(device.socket?.writableLength).toBeLessThanOrEqual(65_536);
    expect(device.by.send(message)).toBe(
      device.socket !== undefined && device.socket.writableLength <= 65_536,
    );
    await reading;
    expect(device.closings).toEqual([]);
  });

  test('`send` returns false above the mark, and `drained` follows once', async () => {
    const { client, device } = await pair(kind, {
      server: { highWaterBytes: 1_000, maxQueuedBytes: 20_000 },
    });
    const results = [996, 1, 1].map((length) => device.by.send(new Uint8Array(length)));
    expect(results).toEqual([true, false, false]);
    await device.until(() => device.drains === 1);
    await client.until(() => client.messages.length === 3);
    expect(device.drains).toBe(1);
    device.by.send(new Uint8Array(1));
    await client.until(() => client.messages.length === 4);
    await settled();
    expect(device.drains).toBe(1);
  });

  test('`drained` follows whenever the queue was full', async () => {
    // The least queue that is allowed, and the greatest mark.
    const { device } = await pair(kind, { server: { maxQueuedBytes: mashMessageBytes + 5 } });
    for (let round = 1; round <= 20; ++round) {
      fill(device.by, new Uint8Array(mashMessageBytes - round * 50), () => undefined);
      await device.until(() => device.drains === round);
    }
  });

  test('`drained` is not told before what was sent later has left too', async () => {
    const mebibyte = 1_048_576;
    const options = { maxMessageBytes: mebibyte, maxQueuedBytes: 64 * mebibyte };
    const { port, accepted } = await serve(kind, options);
    const socket = await raw(kind, port);
    socket.pause();
    const device = await accepted(0);
    const waiting: (number | undefined)[] = [];
    device.onDrained = () => waiting.push(device.socket?.writableLength);
    for (let turn = 0; turn < 2; ++turn) {
      for (let count = 0; count < 16; ++count) device.by.send(new Uint8Array(mebibyte));
      await settled();
    }
    socket.resume();
    await device.until(() => device.drains > 0);
    expect(waiting).toEqual([0]);
  });

  test('is not told of room when the connection is over', async () => {
    const { port, accepted } = await serve(kind);
    const socket = await raw(kind, port);
    socket.pause();
    const device = await accepted(0);
    fill(device.by, new Uint8Array(mashMessageBytes), () => undefined);
    socket.destroy();
    await device.ending();
    await settled();
    expect([device.drains, device.closings.length]).toEqual([0, 1]);
  });
});

describe('a receiver that throws', () => {
  const broken = new Error('broken');
  const fail = (): never => {
    throw broken;
  };

  test.each(['message', 'drained'] as const)('in %s loses its connection; others live', async (source) => {
    const errors: unknown[] = [];
    const { port, accepted, heard } = await serve('tcp', {
      listenerError: (...told) => errors.push(told),
      highWaterBytes: 1,
    });
    const other = await join(connectorTo('tcp', port));
    const client = await join(connectorTo('tcp', port));
    const device = await accepted(1);
    device.onMessage = source === 'message' ? fail : () => device.by.send(utf8('answer'));
    device.onDrained = fail;
    client.by.send(utf8('first'));
    client.by.send(utf8('second'));
    expect(await device.ending()).toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST', cause: broken });
    expect(errors).toEqual([[broken, source]]);
    if (source === 'message') expect(device.texts).toEqual(['first']);
    expect(await client.ending()).toBeUndefined();
    other.by.send(utf8('alive'));
    await heard[0]?.until(() => heard[0]?.messages.length === 1);
  });

  test('in closed is heard of', async () => {
    const { promise, resolve } = deferred<unknown>();
    const { port } = await serve('tcp');
    const socket = await raw('tcp', port);
    const receiver = { message: () => undefined, drained: () => undefined, closed: fail };
    overStream(socket, () => receiver, { listenerError: (...told) => resolve(told) });
    socket.end();
    expect(await promise).toEqual([broken, 'closed']);
  });

  test('is counted, and the process continues, without listenerError and when that throws too', async () => {
    const throws = {
      listenerError: () => {
        throw new Error('the listener');
      },
    };
    for (const options of [{}, throws]) {
      const before = unhandledListenerErrors();
      const { client, device } = await pair('tcp', { server: options });
      device.onMessage = fail;
      client.by.send(utf8('x'));
      await device.ending();
      expect(unhandledListenerErrors()).toBe(before + 1);
    }
  });
});

describe.each(kinds)('a server over %s', (kind) => {
  test('refuses connections beyond maxConnections, and has room again when one leaves', async () => {
    const { port, accepted, streams } = await serve(kind, { maxConnections: 2 });
    const first = await join(connectorTo(kind, port));
    await join(connectorTo(kind, port));
    const third = net.connect({ host, port });
    third.on('error', () => undefined);
    await once(third, 'close');
    expect([streams.refused, streams.accepted, streams.connections]).toEqual([1, 2, 2]);
    first.by.close('');
    await (await accepted(0)).ending();
    await eventually(() => expect(streams.connections).toBe(1));
    await eventually(async () => void (await join(connectorTo(kind, port))));
    await accepted(2);
  });

  test('leaves a peer that sends nothing', async () => {
    const time = new VirtualTime();
    const { port, accepted, streams } = await serve(kind, { clock: time.clock });
    await raw(kind, port);
    const device = await accepted(0);
    time.runTo(9_999);
    expect(device.closings).toEqual([]);
    time.runTo(10_000);
    expect(await device.ending()).toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
    expect(streams.timedOut).toBe(1);
  });

  test('waits for no message of a peer that it has left', async () => {
    const time = new VirtualTime();
    const server = newServer(kind);
    const left = deferred<void>();
    const streams = serveStreams(
      server,
      (connection) => {
        connection.close('');
        left.resolve();
        return new Heard();
      },
      { clock: time.clock, firstMessageTimeoutMs: 1_000 },
    );
    const port = await listen(server);
    (await raw(kind, port, { allowHalfOpen: true })).pause();
    await left.promise;
    time.runTo(2_000);
    expect(streams.timedOut).toBe(0);
  });

  test('takes no connection that another listener has closed', async () => {
    const server = newServer(kind);
    server.on(kind === 'tcp' ? 'connection' : 'secureConnection', (socket: net.Socket) => socket.destroy());
    const errors: unknown[] = [];
    const accept = vi.fn(() => new Heard());
    const streams = serveStreams(server, accept, { listenerError: (error) => errors.push(error) });
    const port = await listen(server);
    const socket = await raw(kind, port);
    if (!socket.closed) await once(socket.resume(), 'close');
    expect([streams.accepted, accept.mock.calls.length, errors.length]).toEqual([0, 0, 0]);
  });

  test('leaves a peer that sends no whole message in time, however it drips', async () => {
    const time = new VirtualTime();
    const { port, accepted, streams } = await serve(kind, { clock: time.clock });
    const socket = await raw(kind, port);
    const device = await accepted(0);
    for (const byte of framed('slow').subarray(0, 6)) {
      const came = once(device.socket ?? socket, 'data');
      await write(socket, Uint8Array.of(byte));
      await came;
      time.runTo(time.nowMs + 1_500);
    }
    time.runTo(9_999);
    expect([device.closings, streams.timedOut]).toEqual([[], 0]);
    time.runTo(10_000);
    expect(await device.ending()).toMatchObject({
      code: 'ERR_HAWSER_CONNECTION_LOST',
      message: 'the connection was lost: no whole message came within 10000 ms',
    });
    await readAll(socket);
    expect(streams.timedOut).toBe(1);
  });

  test('leaves a peer silent between messages, but not within one', async () => {
    const time = new VirtualTime();
    const { port, accepted, streams } = await serve(kind, { clock: time.clock, messageTimeoutMs: 2_000 });
    const socket = await raw(kind, port);
    const device = await accepted(0);
    await write(socket, framed('one'));
    await device.until(() => device.messages.length === 1);
    time.runTo(3_600_000);
    expect(device.closings).toEqual([]);
    const data = once(device.socket ?? socket, 'data');
    await write(socket, concat(framed('two'), framed('three').subarray(0, 5)));
    await data;
    time.runTo(3_601_999);
    expect(device.closings).toEqual([]);
    await write(socket, framed('three').subarray(5));
    await device.until(() => device.messages.length === 3);
    time.runTo(7_200_000);
    const more = once(device.socket ?? socket, 'data');
    await write(socket, Uint8Array.of(0));
    await more;
    time.runTo(7_202_000);
    await device.ending();
    expect(streams.timedOut).toBe(1);
  });

  test('waits for ever for the first message where it is told to', async () => {
    const time = new VirtualTime();
    const { port, accepted } = await serve(kind, { clock: time.clock, firstMessageTimeoutMs: false });
    const socket = await raw(kind, port);
    const device = await accepted(0);
    time.runTo(3_600_000);
    await write(socket, framed('late'));
    await device.until(() => device.messages.length === 1);
    expect(device.closings).toEqual([]);
  });

  test('closes a connection that is not accepted, and tells the error', async () => {
    const server = newServer(kind);
    const errors: unknown[] = [];
    let count = 0;
    const error = new Error('not you');
    const streams = serveStreams(
      server,
      () => {
        if (++count === 1) throw error;
        return new Heard();
      },
      { listenerError: (...told) => errors.push(told) },
    );
    const port = await listen(server);
    const socket = await raw(kind, port);
    if (!socket.closed) await once(socket, 'close');
    expect(errors).toEqual([[error, 'accept']]);
    await join(connectorTo(kind, port));
    await eventually(() => expect([streams.connections, streams.accepted]).toEqual([1, 2]));
  });

  test('that closes ends all connections and takes no more', async () => {
    const { port, accepted, streams, server } = await serve(kind);
    const clients = [await join(connectorTo(kind, port)), await join(connectorTo(kind, port))];
    const half = net.connect({ host, port });
    half.on('error', () => undefined);
    await once(half, 'connect');
    const devices = [await accepted(0), await accepted(1)];
    const closing = streams.close();
    expect(streams.close()).toBe(closing);
    if (kind === 'tcp') half.destroy();
    await closing;
    expect(devices.map(({ closings }) => closings)).toEqual([[undefined], [undefined]]);
    for (const client of clients) expect(await client.ending()).toBeUndefined();
    expect([streams.connections, server.listening]).toEqual([0, false]);
    for (const event of ['drop', 'secureConnection', 'tlsClientError'])
      expect(server.listenerCount(event)).toBe(0);
    await expect(join(connectorTo(kind, port))).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  });

  test('that never listened can be closed', async () => {
    await using streams = serveStreams(newServer(kind), () => new Heard());
    await streams.close();
  });
});

describe('a server over TLS', () => {
  test('counts handshakes that fail', async () => {
    const time = new VirtualTime();
    const { server, port, streams, heard } = await serve('tls', { clock: time.clock });
    const gone = nextGone(server);
    const socket = await raw('tcp', port);
    socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(socket.resume(), 'close');
    await gone;
    expect([streams.handshakeErrors, streams.accepted, heard.length]).toEqual([1, 0, 0]);
    expect(time.clock.nextDueMs).toBe(Number.POSITIVE_INFINITY);
  });

  test('leaves a peer that does not finish its handshake in time', async () => {
    const time = new VirtualTime();
    const { server, port, streams } = await serve('tls', { clock: time.clock });
    const connected = once(server, 'connection');
    const socket = await raw('tcp', port);
    await connected;
    time.runTo(9_999);
    await settled();
    expect(socket.destroyed).toBe(false);
    time.runTo(10_000);
    await once(socket.resume(), 'close');
    await eventually(() => expect(streams.handshakeErrors).toBe(1));
    expect(streams.timedOut).toBe(0);
  });

  test('leaves nobody who has finished it', async () => {
    const time = new VirtualTime();
    const { port, accepted } = await serve('tls', { clock: time.clock, firstMessageTimeoutMs: false });
    const client = await join(connectorTo('tls', port));
    const device = await accepted(0);
    time.runTo(60_000);
    client.by.send(utf8('there'));
    await device.until(() => device.messages.length === 1);
  });

  test('knows its peers by their certificates, where it asks for them', async () => {
    const asked = { requestCert: true, ca: identities.controller.cert };
    const { port, accepted, streams } = await serve('tls', {}, asked);
    const trusted = { host, port, ca: identities.device.cert };
    const client = await join(tlsConnector({ ...trusted, ...identities.controller }));
    const device = await accepted(0);
    const { socket } = device;
    if (!(socket instanceof tls.TLSSocket)) throw new Error('no TLS');
    expect([socket.authorized, socket.getPeerCertificate().subject.CN]).toEqual([
      true,
      'hawser test controller',
    ]);
    client.by.send(utf8('hello'));
    await device.until(() => device.messages.length === 1);
    // In TLS 1.3 a client hears only later that its certificate is missing.
    const stranger = await join(tlsConnector(trusted));
    expect(await stranger.ending()).toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
    expect([streams.accepted, streams.handshakeErrors]).toEqual([1, 1]);
  });
});

describe.each(kinds)('a connector over %s', (kind) => {
  test('resolves once `attach` has returned, and leaves nothing at the signal', async () => {
    const { port } = await serve(kind);
    const controller = new AbortController();
    let isAttached = false;
    const heard = new Heard();
    await connectorTo(kind, port)((connection) => {
      isAttached = true;
      heard.connection = connection;
      return heard;
    }, controller.signal);
    expect([isAttached, getEventListeners(controller.signal, 'abort').length]).toEqual([true, 0]);
    controller.abort();
    await settled();
    heard.by.send(utf8('still there'));
    expect(heard.closings).toEqual([]);
    heard.by.close('');
    await heard.ending();
  });

  test('rejects with what `attach` throws, and ends the connection', async () => {
    const { port, server } = await serve(kind);
    const gone = nextGone(server);
    const error = new Error('not now');
    const attempt = connectorTo(kind, port)(() => {
      throw error;
    }, noSignal);
    await expect(attempt).rejects.toBe(error);
    await gone;
  });

  test('rejects when nobody listens', async () => {
    const port = await listen(net.createServer());
    await cleanups.pop()?.();
    await expect(join(connectorTo(kind, port))).rejects.toMatchObject({
      code: 'ERR_HAWSER_SYSTEM',
      message: `cannot connect: connect ECONNREFUSED 127.0.0.1:${port}`,
      cause: { code: 'ECONNREFUSED' },
    });
  });

  test('rejects when nobody listens at any address of a name', async () => {
    const port = await listen(net.createServer());
    await cleanups.pop()?.();
    const lookup: net.LookupFunction = (_name, _options, callback) => {
      const found = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }));
      callback(null, found);
    };
    const options = { host: 'gateway.test', port, lookup, autoSelectFamily: true };
    await expect(join(kind === 'tcp' ? tcpConnector(options) : tlsConnector(options))).rejects.toMatchObject({
      code: 'ERR_HAWSER_SYSTEM',
      message: 'cannot connect: ECONNREFUSED',
      cause: { code: 'ECONNREFUSED' },
    });
  });

  test('rejects when the name is unknown', async () => {
    const lookup: net.LookupFunction = (_name, _options, callback) => {
      callback(Object.assign(new Error('no such name'), { code: 'ENOTFOUND' }), '', 4);
    };
    const connector =
      kind === 'tcp'
        ? tcpConnector({ host: 'nowhere.test', port: 1, lookup })
        : tlsConnector({ host: 'nowhere.test', port: 1, lookup });
    await expect(join(connector)).rejects.toMatchObject({
      code: 'ERR_HAWSER_SYSTEM',
      cause: { code: 'ENOTFOUND' },
    });
  });

  test.each([
    ['EMFILE', 'ERR_HAWSER_TOO_MANY_FILES'],
    ['ETIMEDOUT', 'ERR_HAWSER_TIMED_OUT'],
    ['EACCES', 'ERR_HAWSER_PERMISSION'],
    ['EADDRNOTAVAIL', 'ERR_HAWSER_ADDRESS_NOT_AVAILABLE'],
  ])('tells %s as %s', async (system, code) => {
    const lookup: net.LookupFunction = (_name, _options, callback) => {
      callback(Object.assign(new Error('it failed'), { code: system }), '', 4);
    };
    const options = { host: 'nowhere.test', port: 1, lookup };
    await expect(join(kind === 'tcp' ? tcpConnector(options) : tlsConnector(options))).rejects.toMatchObject({
      code,
    });
  });

  test('refuses an option that Node.js refuses', async () => {
    const connector =
      kind === 'tcp' ? tcpConnector({ host, port: 70_000 }) : tlsConnector({ host, port: 70_000 });
    await expect(join(connector)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
      cause: { code: 'ERR_SOCKET_BAD_PORT' },
    });
  });

  test('gives up before it began', async () => {
    const { port, streams } = await serve(kind);
    const reason = new Error('no');
    await expect(join(connectorTo(kind, port), AbortSignal.abort(reason))).rejects.toMatchObject({
      code: 'ERR_HAWSER_ABORTED',
      cause: reason,
    });
    expect(streams.accepted).toBe(0);
  });

  test('gives up while a name is looked up', async () => {
    const controller = new AbortController();
    const { promise: asked, resolve } = deferred<() => void>();
    const { port, server, streams } = await serve(kind);
    const lookup: net.LookupFunction = (_name, _options, callback) => {
      resolve(() => callback(null, [{ address: host, family: 4 }]));
    };
    const options = { host: 'localhost', port, lookup };
    const attempt = join(
      kind === 'tcp' ? tcpConnector(options) : tlsConnector({ ...options, ca: identities.device.cert }),
      controller.signal,
    );
    const answer = await asked;
    controller.abort();
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    // Who answers then is not listened to.
    let connections = 0;
    server.on('connection', () => ++connections);
    answer();
    await join(connectorTo(kind, port));
    await eventually(() => expect(streams.accepted).toBe(1));
    expect(connections).toBe(1);
  });

  test('gives up while TCP connects', async () => {
    const { port, streams } = await serve(kind);
    const controller = new AbortController();
    const attempt = join(connectorTo(kind, port), controller.signal);
    controller.abort();
    await expect(attempt).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
    await eventually(() => expect(streams.connections).toBe(0));
  });
});

describe('a connector over TLS', () => {
  test('gives up during the handshake, and leaves no socket behind', async () => {
    const silent = net.createServer();
    const port = await listen(silent);
    const controller = new AbortController();
    const attempt = join(connectorTo('tls', port), controller.signal);
    const rejected = expect(attempt).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
    const [theirs] = (await once(silent, 'connection')) as [net.Socket];
    await once(theirs, 'data');
    controller.abort();
    await rejected;
    await once(theirs.resume(), 'close');
  });

  test('rejects when the server ends the handshake', async () => {
    const port = await listen(net.createServer((socket) => socket.end()));
    await expect(join(connectorTo('tls', port))).rejects.toMatchObject({ code: 'ERR_HAWSER_SYSTEM' });
  });

  test.each<[string, tls.ConnectionOptions, string]>([
    ['nobody has signed', {}, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    ['another has signed', { ca: identities.controller.cert }, 'DEPTH_ZERO_SELF_SIGNED_CERT'],
    [
      'is for another name',
      { ca: identities.device.cert, servername: 'gateway.test' },
      'ERR_TLS_CERT_ALTNAME_INVALID',
    ],
  ])('refuses a certificate that %s, whatever the environment says', async (_, options, code) => {
    const { port } = await serve('tls');
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    cleanups.push(() => vi.unstubAllEnvs());
    const attach = vi.fn(() => new Heard());
    await expect(tlsConnector({ host, port, ...options })(attach, noSignal)).rejects.toMatchObject({
      code: 'ERR_HAWSER_TLS',
      cause: { code },
    });
    expect(attach).not.toHaveBeenCalled();
  });

  test('tells the server the name of its host, and nothing where that is an address', async () => {
    const { port, accepted } = await serve('tls');
    const lookup: net.LookupFunction = (_name, _options, callback) => {
      callback(null, [{ address: host, family: 4 }]);
    };
    const names = [];
    for (const [index, each] of ['localhost', host].entries()) {
      await join(tlsConnector({ host: each, port, lookup, ca: identities.device.cert }));
      const { socket } = await accepted(index);
      names.push(socket !== undefined && 'servername' in socket && socket.servername);
    }
    expect(names).toEqual(['localhost', false]);
  });

  test('takes any certificate where it is told to', async () => {
    const { port } = await serve('tls');
    await join(tlsConnector({ host, port, rejectUnauthorized: false }));
  });

  test('speaks TLS 1.3, and nothing below 1.2 unless it is told to', async () => {
    const { port, accepted } = await serve('tls');
    await join(connectorTo('tls', port));
    const { socket } = await accepted(0);
    expect(socket instanceof tls.TLSSocket && socket.getProtocol()).toBe('TLSv1.3');

    const ciphers = 'DEFAULT:@SECLEVEL=0';
    const old = await serve('tls', {}, { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers });
    const options = { host, port: old.port, ca: identities.device.cert, ciphers };
    const usual = tls.DEFAULT_MIN_VERSION;
    tls.DEFAULT_MIN_VERSION = 'TLSv1';
    cleanups.push(() => {
      tls.DEFAULT_MIN_VERSION = usual;
    });
    await expect(join(tlsConnector(options))).rejects.toMatchObject({ code: 'ERR_HAWSER_TLS' });
    await join(tlsConnector({ ...options, minVersion: 'TLSv1' }));
  });

  test('takes only a server that speaks the protocol asked for', async () => {
    const speaking = await serve('tls', {}, { ALPNProtocols: ['mash/1'] });
    const silent = await serve('tls');
    const options = { host, ca: identities.device.cert, ALPNProtocols: ['mash/1'] };
    await join(tlsConnector({ ...options, port: speaking.port }));
    const { socket } = await speaking.accepted(0);
    expect(socket instanceof tls.TLSSocket && socket.alpnProtocol).toBe('mash/1');
    const gone = nextGone(silent.server);
    await expect(join(tlsConnector({ ...options, port: silent.port }))).rejects.toMatchObject({
      code: 'ERR_HAWSER_TLS',
    });
    await gone;
    const other = tlsConnector({ ...options, ALPNProtocols: ['else'], port: speaking.port });
    await expect(join(other)).rejects.toMatchObject({ code: 'ERR_HAWSER_TLS' });
  });

  test('refuses certificates and keys that are none, at once', () => {
    const key = 'no key, and not to be repeated';
    expect(refusal(() => tlsConnector({ host, port: 1, cert: identities.device.cert, key }))).toBe(
      'options must have certificates, keys and versions that TLS can use',
    );
  });
});

describe('what is refused', () => {
  test.each<[StreamOptions & StreamServerOptions, string]>([
    [{ maxMessageBytes: 0 }, 'maxMessageBytes must be an integer from 1 to 16777216; got 0'],
    [{ maxMessageBytes: 16_777_217 }, 'maxMessageBytes must be an integer from 1 to 16777216; got 16777217'],
    [{ maxQueuedBytes: 8_196 }, 'maxQueuedBytes must be an integer from 8197 to 1073741824; got 8196'],
    [{ highWaterBytes: 0 }, 'highWaterBytes must be an integer from 1 to 1040380; got 0'],
    [
      { maxQueuedBytes: 10_000, highWaterBytes: 1_805 },
      'highWaterBytes must be an integer from 1 to 1804; got 1805',
    ],
    [{ maxConnections: 0 }, 'maxConnections must be an integer from 1 to 1000000; got 0'],
    [{ firstMessageTimeoutMs: 0 }, 'firstMessageTimeoutMs must be an integer from 1 to 3600000; got 0'],
    [{ messageTimeoutMs: 0 }, 'messageTimeoutMs must be an integer from 1 to 3600000; got 0'],
    [
      Object.assign({ maxMessageByte: 1 }),
      "unknown option 'maxMessageByte' in options; did you mean 'maxMessageBytes'?",
    ],
  ])('of a server: %j', (options, text) => {
    const server = net.createServer();
    expect(refusal(() => serveStreams(server, () => new Heard(), options))).toBe(text);
    expect(server.eventNames()).toEqual([]);
  });

  test('the longest messages have room by default', () => {
    serveStreams(net.createServer(), () => new Heard(), { maxMessageBytes: 16_777_216 });
  });

  test('options that cannot be had by a connector', () => {
    const onread = { buffer: new Uint8Array(1), callback: () => true };
    expect(refusal(() => tcpConnector(Object.assign({ host, port: 1 }, { onread })))).toBe(
      'onread must be left out: what comes is read here; got an object',
    );
    const socket = new net.Socket();
    expect(refusal(() => tlsConnector(Object.assign({ host, port: 1 }, { socket })))).toBe(
      'socket must be left out: each connection has one of its own; got a Socket',
    );
    expect(refusal(() => tcpConnector({ host, port: 1, maxMessageBytes: 0 }))).toContain('maxMessageBytes');
  });

  test('a socket that is none, not connected, over, or not secured', async () => {
    expect(refusal(() => overStream(Object(new EventEmitter()), () => new Heard()))).toContain(
      'socket must be',
    );
    expect(codeOf(() => overStream(new net.Socket(), () => new Heard()))).toBe('ERR_HAWSER_NOT_CONNECTED');
    const { port } = await serve('tls');
    const socket = net.connect({ host, port });
    cleanups.push(() => socket.destroy());
    expect(codeOf(() => overStream(socket, () => new Heard()))).toBe('ERR_HAWSER_NOT_CONNECTED');
    await once(socket, 'connect');
    const secured = tls.connect({ socket, host, ca: identities.device.cert });
    const attach = vi.fn(() => new Heard());
    expect(codeOf(() => overStream(secured, attach))).toBe('ERR_HAWSER_NOT_CONNECTED');
    await once(secured, 'secureConnect');
    overStream(secured, attach);
    expect(attach).toHaveBeenCalledTimes(1);
    secured.destroy();
    expect(codeOf(() => overStream(secured, attach))).toBe('ERR_HAWSER_NOT_CONNECTED');
  });

  test('a socket that yields text', async () => {
    const { port } = await serve('tcp');
    const socket = (await raw('tcp', port)).setEncoding('utf8');
    expect(refusal(() => overStream(socket, () => new Heard()))).toBe(
      'socket must be one that yields bytes; got one with the encoding utf8',
    );
  });

  test('`attach` that throws: the socket is destroyed', async () => {
    const { port } = await serve('tcp');
    const socket = await raw('tcp', port);
    const error = new Error('no');
    const attach = (): never => {
      throw error;
    };
    expect(() => overStream(socket, attach)).toThrow(error);
    expect(socket.destroyed).toBe(true);
  });
});

// ---- With devices and controllers ----------------------------------------------------------------------------------

const codecs = { hawser: hawserCodec, mash: mashCodec };

async function meet(kind: Kind, codec: keyof typeof codecs, values: Map<number, Value>) {
  const wheel = new TimingWheel(systemClock);
  const device = new Device({
    wheel,
    handlers: thermostat(values),
    subscriptions: { minIntervalMs: 0 },
    connections: { codec: codecs[codec]() },
  });
  const server = newServer(kind);
  const streams = serveStreams(server, (connection) => device.accept(connection), {
    maxMessageBytes: 65_536,
    ...patient,
  });
  const port = await listen(server);
  const controllers: InteractionConnection[] = [];
  await connectorTo(kind, port, { maxMessageBytes: 65_536 })((connection) => {
    const made = new InteractionConnection(connection, { wheel, codec: codecs[codec]() });
    controllers.push(made);
    return made;
  }, noSignal);
  const [controller] = controllers;
  if (controller === undefined) throw new Error('not attached');
  return { device, streams, controller, port };
}

describe.each(kinds)('a device and a controller over %s', (kind) => {
  test.each(['mash', 'hawser'] as const)('%s: read, write, invoke and subscribe', async (codec) => {
    const values = new Map<number, Value>([
      [powerId, 5],
      [limitId, 10],
    ]);
    const { device, controller } = await meet(kind, codec, values);
    expect(await controller.read(endpoint, feature)).toEqual(values);
    await controller.write(endpoint, feature, new Map([[limitId, 12]]));
    expect(values.get(limitId)).toBe(12);
    const parameters = new Map([['limit', 3]]);
    expect(await controller.invoke(endpoint, feature, 9, parameters)).toEqual(parameters);
    await expect(controller.read(7, feature)).rejects.toMatchObject({ status: 'INVALID_ENDPOINT' });

    const heard: Notification[] = [];
    const told = new EventEmitter();
    const notified = (notification: Notification): void => {
      heard.push(notification);
      told.emit('notified');
    };
    const subscription = await controller.subscribe(
      { endpoint, feature, attributes: [powerId] },
      { notified },
    );
    const changed = once(told, 'notified');
    device.notifyChange(endpoint, feature, powerId, 6);
    await changed;
    expect(heard.map(({ kind: what, changes }) => [what, changes.get(powerId)])).toEqual([
      ['priming', 5],
      ['change', 6],
    ]);
    await subscription.unsubscribe();
    expect(device.subscriptions).toBe(0);
  });

  test('a thousand requests at once are all answered', async () => {
    const { controller } = await meet(kind, 'mash', new Map([[powerId, 5]]));
    const all = await Promise.all(
      Array.from({ length: 1_000 }, (_, index) => controller.invoke(1, 2, 3, new Map([['n', index]]))).map(
        (each) => each.catch((error: unknown) => (error instanceof HawserError ? error.code : error)),
      ),
    );
    // What is asked at once is more than the device serves at once: the rest is answered BUSY.
    expect(new Set(all.filter((each) => !(each instanceof Map)))).toEqual(new Set(['ERR_HAWSER_STATUS']));
    expect(all.filter((each) => each instanceof Map).length).toBeGreaterThanOrEqual(64);
    expect(controller.pending).toBe(0);
  });

  test('requests that wait when the connection ends are rejected, and subscriptions are stale', async () => {
    const { controller, streams } = await meet(kind, 'mash', new Map([[powerId, 5]]));
    let stale = 0;
    const listener = { notified: () => undefined, stale: () => ++stale };
    await controller.subscribe({ endpoint, feature, attributes: [] }, listener);
    const closed = once(controller, 'close');
    await streams.close();
    await closed;
    expect([stale, controller.open]).toEqual([1, false]);
  });
});

interface Vector {
  readonly name: string;
  readonly kind: string;
  readonly hex: string;
}

const file = readFileSync(new URL('../vectors/interaction.json', import.meta.url), 'utf8');
const { vectors } = JSON.parse(file) as { readonly vectors: readonly Vector[] };

const ping42 = 'a2010102182a';
const pong42 = 'a2010202182a';

/** What a device answers to them; 'closed' where it answers nothing and leaves the client. */
const answers: Readonly<Record<string, string | RegExp>> = {
  read_array_payload: 'a301193039020003a20105020a',
  read_map_payload: 'a30119303a020003a20105020a',
  read_msgid_1: 'a30101020003a20105020a',
  write: 'a20119303b0200',
  subscribe_all_defaults: 'a30119303d020003a2010102a20105020a',
  subscribe_min0: 'a30119303e020003a2010102a20105020a',
  invoke: 'a301193040020003a1656c696d69741a004c4b40',
  invoke_no_params: 'a301193041020003a0',
  ping_1: 'a201020201',
  ping_max: 'a20102021affffffff',
  raw_request_keys_out_of_order: 'a30101020003a20105020a',
  raw_dup_key: 'closed',
  raw_string_keys: 'closed',
  raw_nan_real: 'closed',
  raw_indefinite_map_ok: 'a30105020003a20105020a',
  raw_op_missing: /^a30105020503a101/,
  raw_float_key: 'closed',
};

describe.each(kinds)('what a client of mash-go sends over %s', (kind) => {
  test.each(vectors.filter(({ name }) => name in answers))('is answered: $name', async ({ name, hex }) => {
    const values = new Map<number, Value>([
      [powerId, 5],
      [limitId, 10],
    ]);
    const { port } = await meet(kind, 'mash', values);
    const socket = await raw(kind, port);
    const came = messagesOf(socket);
    const send = (message: string) => socket.write(frame(fromHex(message), mashMessageBytes));
    send(hex);
    const expected = answers[name];
    if (expected !== 'closed') {
      const { value = new Uint8Array(0) } = await came.next();
      if (expected instanceof RegExp) expect(toHex(value)).toMatch(expected);
      else expect(toHex(value)).toBe(expected);
      // It is the only one.
      send(ping42);
      expect(toHex((await came.next()).value ?? new Uint8Array(0))).toBe(pong42);
      socket.end();
    }
    expect(await came.next()).toEqual({ done: true, value: undefined });
  });

  test('is each of the vectors that are theirs', () => {
    const theirs = vectors.filter(
      ({ kind: what, name }) => what === 'request' || what === 'raw' || /^ping/.test(name),
    );
    expect(theirs.map(({ name }) => name)).toEqual(Object.keys(answers));
  });
});

describe.each(kinds)('another process over %s', (kind) => {
  const program = `
    const [kind, port, bytes, reads] = process.argv.slice(1);
    const options = { host: '${host}', port: Number(port), rejectUnauthorized: false };
    const module = require(kind === 'tcp' ? 'node:net' : 'node:tls');
    const socket = module.connect(options, () => socket.write(Buffer.from(bytes, 'hex')));
    if (reads === 'true') socket.pipe(socket);`;

  async function meetProcess(bytes: Uint8Array, reads: boolean) {
    const { port, accepted, streams } = await serve(kind);
    const parameters = [kind, String(port), toHex(bytes), String(reads)];
    const child = spawn(process.execPath, ['-e', program, ...parameters], { stdio: 'ignore' });
    cleanups.push(() => child.kill('SIGKILL'));
    const device = await accepted(0);
    await device.until(() => device.messages.length === 1);
    return { child, device, streams };
  }

  test('that is killed and has not read everything is lost', async () => {
    const { child, device, streams } = await meetProcess(framed('hello'), false);
    fill(device.by, new Uint8Array(mashMessageBytes), () => undefined);
    await settled();
    child.kill('SIGKILL');
    expect(await device.ending()).toMatchObject({
      code: 'ERR_HAWSER_CONNECTION_LOST',
      cause: expect.any(Error),
    });
    await eventually(() => expect(streams.connections).toBe(0));
  });

  test('that is killed within a message is lost', async () => {
    const { child, device } = await meetProcess(concat(framed('hello'), framed('half').subarray(0, 6)), true);
    child.kill('SIGKILL');
    expect(await device.ending()).toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
  });

  test('that is killed between messages has ended the stream, as far as can be known', async () => {
    const { child, device } = await meetProcess(framed('hello'), true);
    // What it sends back is the last thing that it had to read.
    device.by.send(utf8('anything else?'));
    await device.until(() => device.messages.length === 2);
    child.kill('SIGKILL');
    expect(await device.ending()).toBeUndefined();
  });
});
