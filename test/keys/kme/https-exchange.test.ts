// One request over HTTPS: what is known of a request without an answer, on connections that are kept.

import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Agent, createServer, type Server } from 'node:https';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Clock, systemClock } from '../../../src/base/clock.js';
import { type ExchangeAnswer, ExchangeError, exchange } from '../../../src/keys/kme/https-exchange.js';
import { authority, clientTls, tlsOf } from './support.js';

// Longer than a machine stands still.
const connectTimeoutMs = 70_000;
const timeoutMs = 90_000;

let server: Server;
let port: number;
let agent: Agent;
/** Requests that came and were not answered, in their order. */
let waiting: { readonly request: IncomingMessage; readonly response: ServerResponse }[];
/** Of the timers of all exchanges. */
let delaysMs: number[];

const clock: Clock = {
  now: () => systemClock.now(),
  wallNow: () => systemClock.wallNow(),
  setTimeout: (callback, delayMs) => {
    delaysMs.push(delayMs);
    return systemClock.setTimeout(callback, delayMs);
  },
};

beforeEach(async () => {
  waiting = [];
  delaysMs = [];
  server = createServer(tlsOf(authority.kme({ id: 'KME_A' })), (request, response) => {
    waiting.push({ request, response });
    server.emit('waits');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  ({ port } = address);
  // All requests share one connection.
  agent = new Agent({ ...clientTls('SAE_1'), keepAlive: true, maxSockets: 1 });
});

afterEach(() => {
  agent.destroy();
  server.closeAllConnections();
  server.close();
});

function ask(): Promise<ExchangeAnswer> {
  const options = { agent, host: '127.0.0.1', port, path: '/', body: undefined, clock };
  const { signal } = new AbortController();
  const checkServerIdentity = (): undefined => undefined;
  const limits = { maxAnswerBytes: 1024, connectTimeoutMs, timeoutMs };
  return exchange({ ...options, ...limits, checkServerIdentity, signal });
}

/** The next request that the server has. */
async function arrived(): Promise<{ readonly request: IncomingMessage; readonly response: ServerResponse }> {
  while (waiting.length === 0) await once(server, 'waits');
  const next = waiting.shift();
  if (next === undefined) throw new Error('nothing has come');
  return next;
}

test('a request that waited for a busy connection has reached the other side when that breaks', async () => {
  const first = ask();
  const second = ask().catch((error: unknown) => error);
  (await arrived()).response.end('{}');
  expect((await first).status).toBe(200);
  (await arrived()).request.socket.destroy();
  const error = await second;
  expect(error).toBeInstanceOf(ExchangeError);
  expect(error).toMatchObject({ failure: 'connection', reached: true });
});

test('a request that waited for a busy connection waits for no handshake', async () => {
  const all = Array.from({ length: 15 }, () => ask());
  const first = await arrived();
  const { socket } = first.request;
  first.response.end('{}');
  for (let count = 1; count < all.length; ++count) {
    const { request, response } = await arrived();
    expect(request.socket).toBe(socket);
    response.end('{}');
  }
  await Promise.all(all);
  expect(delaysMs.filter((delayMs) => delayMs === connectTimeoutMs)).toHaveLength(1);
});

test('a request whose connection is refused has not reached the other side', async () => {
  server.close();
  const error = await ask().catch((error: unknown) => error);
  expect(error).toMatchObject({ failure: 'connection', reached: false });
});
