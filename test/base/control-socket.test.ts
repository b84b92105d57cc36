// What any process that is asked over a control socket can rely on, whoever asks. What `hawser sae` adds is in test/cli.

import { EventEmitter, once } from 'node:events';
import { existsSync, lstatSync, mkdtempSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { askControlSocket, type ControlAnswer } from '../../src/base/control-client.js';
import { ControlStream, openControlSocket } from '../../src/base/control-socket.js';
import { HawserError } from '../../src/base/errors.js';
import { Openers } from './control-openers.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-control-'));
afterAll(() => rm(folder, { recursive: true }));

let sockets = 0;
const newPath = (): string => join(folder, `${++sockets}.sock`);
const served = { served: 'gateway' };
const never = new AbortController().signal;

function ask(
  path: string,
  request: Readonly<Record<string, unknown>> = {},
  signal: AbortSignal = never,
): Promise<ControlAnswer | undefined> {
  return askControlSocket(path, request, { signal, served: 'gateway', endedText: 'it ended' });
}

async function contentOf(answer: ControlAnswer | undefined): Promise<AsyncIterable<Uint8Array>> {
  if (answer === undefined || !('content' in answer)) throw new Error('no stream');
  return answer.content;
}

/** A stream that a test ends, and whose pieces it counts as they are asked for. */
class CountedStream {
  asked = 0;
  ended = 0;
  readonly #piece: Uint8Array;
  readonly #most: number;
  readonly #events = new EventEmitter();

  constructor(piece: Uint8Array, most: number = Number.POSITIVE_INFINITY) {
    this.#piece = piece;
    this.#most = most;
  }

  get stream(): ControlStream {
    return new ControlStream('application/octet-stream', this.#content(), () => {
      this.ended += 1;
      this.#events.emit('end');
    });
  }

  async untilEnded(): Promise<void> {
    if (this.ended === 0) await once(this.#events, 'end');
  }

  async *#content(): AsyncGenerator<Uint8Array> {
    while (this.ended === 0) {
      if (this.asked === this.#most) await this.untilEnded();
      else {
        this.asked += 1;
        yield this.#piece;
      }
      // As a source does that is fed by events.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

test('what JSON cannot say is an error for who asked, and ends nothing', async () => {
  const path = newPath();
  const failing = {
    toJSON: (): never => {
      throw new Error('not now');
    },
  };
  const answers = [1n, failing, 'good'];
  const server = await openControlSocket(path, async () => answers.shift(), served);
  await expect(ask(path)).rejects.toMatchObject({ code: 'ERR_HAWSER_STATUS' });
  await expect(ask(path)).rejects.toMatchObject({ code: 'ERR_HAWSER_STATUS', message: 'not now' });
  expect(await ask(path)).toEqual({ result: 'good' });
  await server.close();
});

test('an error keeps its code on the way', async () => {
  const path = newPath();
  await using _ = closing(
    await openControlSocket(
      path,
      async ({ what }) => {
        if (what === 'own') throw new HawserError('ERR_HAWSER_CONFIG', 'limits.maxPeers must be less');
        throw new Error('something else');
      },
      served,
    ),
  );
  await expect(ask(path, { what: 'own' })).rejects.toMatchObject({
    code: 'ERR_HAWSER_CONFIG',
    message: 'limits.maxPeers must be less',
  });
  await expect(ask(path)).rejects.toMatchObject({ code: 'ERR_HAWSER_STATUS', message: 'something else' });
});

test('what is answered can be a stream of bytes, which begins right behind its line', async () => {
  const path = newPath();
  const source = new CountedStream(Buffer.from('piece\n'), 3);
  await using _ = closing(await openControlSocket(path, async () => source.stream, served));
  const answer = await ask(path);
  expect(answer).toMatchObject({ mediaType: 'application/octet-stream' });
  let text = '';
  for await (const bytes of await contentOf(answer)) {
    text += Buffer.from(bytes).toString();
    if (text.length === 18) break;
  }
  expect(text).toBe('piece\npiece\npiece\n');
  // Whoever stops reading ends it at the other side.
  await source.untilEnded();
  expect(source.ended).toBe(1);
});

test('a stream is ended when the socket is closed, and its reader sees the end', async () => {
  const path = newPath();
  const source = new CountedStream(Buffer.from('x'), 1);
  const control = await openControlSocket(path, async () => source.stream, served);
  const content = await contentOf(await ask(path));
  const read = (async () => {
    let bytes = 0;
    for await (const part of content) bytes += part.length;
    return bytes;
  })();
  await control.close();
  expect(source.ended).toBe(1);
  expect(await read).toBe(1);
});

test('whoever aborts ends the stream', async () => {
  const path = newPath();
  const source = new CountedStream(Buffer.from('x'), 1);
  await using _ = closing(await openControlSocket(path, async () => source.stream, served));
  const caller = new AbortController();
  const content = await contentOf(await ask(path, {}, caller.signal));
  for await (const _part of content) caller.abort();
  await source.untilEnded();
  expect(source.ended).toBe(1);
});

test('a reader that takes nothing makes nobody keep more than the buffers of one connection', async () => {
  const path = newPath();
  const source = new CountedStream(new Uint8Array(64 * 1024));
  const control = await openControlSocket(path, async () => source.stream, served);
  const socket = connect(path);
  socket.pause();
  socket.write('{}\n');
  let before = -1;
  while ((source.asked === 0 || source.asked !== before) && source.asked < 1000) {
    before = source.asked;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // Those of the kernel, both ways, and of the stream: far from what was offered.
  expect(source.asked).toBeLessThan(64);
  socket.destroy();
  await source.untilEnded();
  await control.close();
});

test('a reader that never takes its answer does not hold up the end for longer than a second', async () => {
  const path = newPath();
  const control = await openControlSocket(path, async () => 'x'.repeat(8 * 1024 * 1024), served);
  const socket = connect(path);
  socket.pause();
  socket.on('error', () => undefined);
  socket.write('{}\n');
  await once(socket, 'connect');
  await new Promise((resolve) => setTimeout(resolve, 50));
  const begunAt = performance.now();
  await control.close();
  // Who reads nothing is otherwise given 30 s. A second is what it takes where nothing else does.
  expect(performance.now() - begunAt).toBeLessThan(25_000);
  socket.destroy();
});

test('of a flood of connections 16 are served, the others are closed at once, and afterwards all is well', async () => {
  const path = newPath();
  await using _ = closing(await openControlSocket(path, async () => 'served', served));
  const flood = Array.from({ length: 60 }, () => connect(path));
  for (const socket of flood) socket.on('error', () => undefined);
  const closed = flood.map((socket) => once(socket, 'close'));
  await Promise.race(closed);
  const open = (): number => flood.filter((socket) => !socket.destroyed).length;
  while (open() > 16) await Promise.race(closed.filter((_, index) => !flood[index]?.destroyed));
  for (const socket of flood) socket.destroy();
  await Promise.all(closed);
  // The other side hears of it in its own time.
  await expect.poll(() => ask(path).catch(() => undefined), { interval: 10 }).toEqual({ result: 'served' });
});

test('of several processes that replace what a killed one left, one opens the socket and can be asked there', async () => {
  await using openers = await Openers.start(4);
  for (let round = 0; round < 25; ++round) {
    const path = newPath();
    await leaveSocket(path);
    const winners = await openers.open(path);
    expect(winners.length).toBe(1);
    expect(await ask(path)).toEqual({ result: winners[0] });
    await openers.close();
    expect(existsSync(path)).toBe(false);
  }
  expect(readdirSync(folder)).toEqual([]);
});

test('nor do two of one process open it, in whatever order their steps come', async () => {
  for (let round = 0; round < 20; ++round) {
    const path = newPath();
    await leaveSocket(path);
    const openings = Array.from({ length: 8 }, async (_, index) => {
      for (let turn = 0; turn < (index * round) % 7; ++turn) {
        await new Promise((resolve) => setImmediate(resolve));
      }
      return openControlSocket(path, async () => index, served);
    });
    const opened = await Promise.allSettled(openings);
    const winner = opened.findIndex(({ status }) => status === 'fulfilled');
    expect(opened.filter(({ status }) => status === 'fulfilled').length).toBe(1);
    expect(await ask(path)).toEqual({ result: winner });
    for (const each of opened) if (each.status === 'fulfilled') await each.value.close();
  }
});

test('a socket that a living process listens at is left to it', async () => {
  const path = newPath();
  await using _ = closing(await openControlSocket(path, async () => 'first', served));
  await expect(openControlSocket(path, async () => 'second', served)).rejects.toMatchObject({
    code: 'ERR_HAWSER_ADDRESS_IN_USE',
    message: `a gateway runs with the control socket ${path} already`,
  });
  expect(await ask(path)).toEqual({ result: 'first' });
});

test('where there can be no socket, the system says why', async () => {
  const path = join(folder, 'none', 'x.sock');
  await expect(openControlSocket(path, async () => 1, served)).rejects.toMatchObject({
    code: 'ERR_HAWSER_SYSTEM',
    message: `cannot open the control socket ${path}: no such file or directory`,
  });
});

test('the socket is its owner’s alone from the first moment on', async () => {
  const path = newPath();
  const mask = process.umask();
  await using _ = closing(await openControlSocket(path, async () => 1, served));
  expect(lstatSync(path).mode & 0o777).toBe(0o600);
  expect(process.umask()).toBe(mask);
});

test('an answer that is none is an error of the protocol', async () => {
  for (const text of ['nonsense\n', '[]\n', 'null\n']) {
    const path = newPath();
    const server = createServer((socket) => socket.end(text)).listen(path);
    await once(server, 'listening');
    await expect(ask(path)).rejects.toMatchObject({ code: 'ERR_HAWSER_PROTOCOL' });
    server.close();
  }
});

/** What a killed process leaves: a socket that nobody listens at. */
async function leaveSocket(path: string): Promise<void> {
  const { rename } = await import('node:fs/promises');
  const left = createServer().listen(`${path}.tmp`);
  await once(left, 'listening');
  await rename(`${path}.tmp`, path);
  left.close();
  await once(left, 'close');
}

function closing(control: { close(): Promise<void> }): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => control.close() };
}
