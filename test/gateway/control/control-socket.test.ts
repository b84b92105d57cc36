// The control socket of a gateway, asked by its own client and by somebody hostile.

import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { ControlServer } from '../../../src/base/control-socket.js';
import { HawserError } from '../../../src/base/errors.js';
import type { Capture, CaptureOptions } from '../../../src/gateway/capture/capture.js';
import { askGateway, streamFromGateway } from '../../../src/gateway/control/ask-gateway.js';
import { openGatewayControl } from '../../../src/gateway/control/control-socket.js';
import type { ObservedGateway } from '../../../src/gateway/observed-gateway.js';
import { FakeGateway } from '../admin/fake-gateway.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-gateway-control-'));
afterAll(() => rm(folder, { recursive: true }));

let sockets = 0;
const newPath = (): string => join(folder, `${++sockets}.sock`);
const never = new AbortController().signal;

function closing(control: ControlServer): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => control.close() };
}

/** The fake gateway with another method. */
function withCapture(fake: FakeGateway, capture: (options: CaptureOptions) => Capture): ObservedGateway {
  return {
    name: fake.name,
    state: fake.state,
    snapshot: () => fake.snapshot(),
    peers: (query) => fake.peers(query),
    peer: (id) => fake.peer(id),
    sessions: () => fake.sessions(),
    reload: () => fake.reload(),
    drain: () => fake.drain(),
    capture,
  };
}

async function rawAnswer(path: string, text: string): Promise<Record<string, unknown>> {
  const socket = connect(path);
  socket.write(text);
  let answer = '';
  for await (const part of socket) answer += String(part);
  return JSON.parse(answer);
}

test('what a gateway says of itself comes over the socket as it is', async () => {
  const path = newPath();
  const fake = new FakeGateway();
  await using _ = closing(await openGatewayControl(fake, path));
  expect(await askGateway(path, { command: 'snapshot' })).toEqual({
    ...fake.snapshot(),
    timeMs: expect.any(Number),
  });
  const query = { listener: 'udp', search: '4', order: 'lost', limit: 7, offset: 1 } as const;
  expect(await askGateway(path, { command: 'peers', query })).toEqual(fake.peers());
  expect(fake.queries[0]).toEqual(query);
  expect(await askGateway(path, { command: 'peer', id: 'udp:0:1:2' })).toEqual(fake.peer('udp:0:1:2'));
  expect(await askGateway(path, { command: 'peer', id: 'udp:0:9:9' })).toBeNull();
  expect(await askGateway(path, { command: 'sessions' })).toBeNull();
  fake.page = { total: 0, sessions: [] };
  expect(await askGateway(path, { command: 'sessions', query: { limit: 3 } })).toEqual(fake.page);
});

test('a reload is answered with its report, a configuration that is wrong with what is wrong', async () => {
  const path = newPath();
  const fake = new FakeGateway();
  await using _ = closing(await openGatewayControl(fake, path));
  expect(await askGateway(path, { command: 'reload' })).toEqual({
    keyIds: [1],
    changed: ['limits.maxPeers'],
    needRestart: [],
  });
  fake.reloadError = new HawserError('ERR_HAWSER_CONFIG', 'listeners must be an array');
  await expect(askGateway(path, { command: 'reload' })).rejects.toMatchObject({
    code: 'ERR_HAWSER_CONFIG',
    message: 'listeners must be an array',
  });
});

test('a drain is answered when it has begun, not when it is over', async () => {
  const path = newPath();
  const fake = new FakeGateway();
  fake.drain = () => new Promise(() => undefined);
  await using _ = closing(await openGatewayControl(fake, path));
  expect(await askGateway(path, { command: 'drain' })).toEqual({ pid: 1, drainsUntilMs: null });
});

test('a capture is a stream that ends with its reader', async () => {
  const path = newPath();
  let asked: CaptureOptions | undefined;
  const end = new AbortController();
  const disposed = once(end.signal, 'abort');
  const gateway = withCapture(new FakeGateway(), (options) => {
    asked = options;
    return {
      dropped: 0,
      [Symbol.dispose]: () => end.abort(),
      async *[Symbol.asyncIterator]() {
        yield Buffer.from('block');
        await disposed;
      },
    };
  });
  await using _ = closing(await openGatewayControl(gateway, path));
  const options = { listener: 'udp', plaintext: true };
  const content = await streamFromGateway(path, { command: 'capture', options }, never);
  const parts: string[] = [];
  for await (const bytes of content ?? []) {
    parts.push(Buffer.from(bytes).toString());
    break;
  }
  expect(parts).toEqual(['block']);
  expect(asked).toEqual(options);
  await disposed;
});

test('where no gateway runs the answer is that there is none', async () => {
  expect(await askGateway(newPath(), { command: 'snapshot' })).toBeUndefined();
  expect(await streamFromGateway(newPath(), { command: 'capture', options: {} }, never)).toBeUndefined();
});

test('a second gateway of the same name is told so', async () => {
  const path = newPath();
  await using _ = closing(await openGatewayControl(new FakeGateway(), path));
  await expect(openGatewayControl(new FakeGateway(), path)).rejects.toMatchObject({
    code: 'ERR_HAWSER_ADDRESS_IN_USE',
    message: `a gateway runs with the control socket ${path} already`,
  });
});

test.each([
  ['no command', {}, 'the gateway does not know of this request'],
  ['an unknown command', { command: 'exec' }, 'the gateway does not know of this request'],
  ['a name of Object', { command: '__proto__' }, 'the gateway does not know of this request'],
  ['a peer without an id', { command: 'peer' }, 'id must be'],
  ['an id that is too long', { command: 'peer', id: 'x'.repeat(300) }, 'id must be'],
  ['an unknown order', { command: 'peers', query: { order: 'name' } }, 'query.order must be one of'],
  ['too many peers', { command: 'peers', query: { limit: 1e9 } }, 'query.limit must be'],
  ['half a peer', { command: 'peers', query: { limit: 0.5 } }, 'query.limit must be'],
  ['a negative offset', { command: 'peers', query: { offset: -1 } }, 'query.offset must be'],
  ['a query that is none', { command: 'peers', query: [1] }, 'query must be an object'],
  ['an unknown part of a query', { command: 'peers', query: { lmit: 1 } }, "unknown option 'lmit'"],
  ['a search that is no text', { command: 'sessions', query: { search: {} } }, 'query.search must be'],
  [
    'an unknown option of a capture',
    { command: 'capture', options: { file: '/x' } },
    "unknown option 'file'",
  ],
  ['a short snap length', { command: 'capture', options: { snapLengthBytes: 1 } }, 'snapLengthBytes must be'],
])('hostile: %s', async (_, request, complaint) => {
  const path = newPath();
  const fake = new FakeGateway();
  await using _control = closing(await openGatewayControl(fake, path));
  const answer = await rawAnswer(path, `${JSON.stringify(request)}\n`);
  expect(answer.error).toContain(complaint);
  expect([fake.drains, fake.reloads, fake.queries]).toEqual([0, 0, []]);
});

test.each([
  ['nothing of a snapshot', {}],
  ['a listener that is none', { name: 'x', listeners: [null] }],
  ['a number', 1],
])('an answer of another version is an error, not a crash: %s', async (_, result) => {
  const path = newPath();
  const server = createServer((socket) => socket.end(`${JSON.stringify({ result })}\n`)).listen(path);
  await once(server, 'listening');
  await expect(askGateway(path, { command: 'snapshot' })).rejects.toMatchObject({
    code: 'ERR_HAWSER_PROTOCOL',
    message: expect.stringContaining('another version'),
  });
  server.close();
});
