// What is done to the admin server by whoever reaches it.

import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { freeAddress } from '../../../scripts/lib/free-ports.mjs';
import { type AdminServer, openAdmin } from '../../../src/gateway/admin/admin-server.js';
import type { AdminOptions } from '../../../src/gateway/admin/options.js';
import { FakeGateway, KeptLog } from './fake-gateway.js';
import { ask, exchange, open } from './http-client.js';
import { ManualClock } from './manual-clock.js';

const token = 'correct-horse-battery';
let admin: AdminServer | undefined;
let gateway: FakeGateway;

async function start(options: Partial<AdminOptions> = {}): Promise<string> {
  gateway = new FakeGateway();
  const log = new KeptLog();
  admin = await openAdmin(gateway, { address: '127.0.0.1:0', log, clock: new ManualClock(), ...options });
  return admin.url;
}

afterEach(async () => {
  await admin?.close();
  admin = undefined;
});

test('a thousand requests in one piece are not answered a thousand times', async () => {
  const url = await start();
  const request = 'GET /api/peers?limit=1000 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n';
  await exchange(url, request.repeat(1000));
  expect(gateway.queries).toHaveLength(1);
  expect((await ask(url, '/livez')).status).toBe(200);
});

test('requests of a connection that follow each other are all answered', async () => {
  const url = await start();
  const socket = await open(url);
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => {
    text += part;
  });
  for (let count = 1; count <= 20; ++count) {
    socket.write('GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
    while (text.split('{"status":"ok"}').length <= count) await nextTurn();
  }
  expect(text.match(/HTTP\/1.1 200 /g)).toHaveLength(20);
  socket.destroy();
});

test('a stream with a request behind it ends: nothing of a viewer is kept', async () => {
  const url = await start();
  const text = await exchange(
    url,
    'GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n',
  );
  expect(text).not.toContain('{"status":"ok"}');
  while ((admin?.viewers ?? 0) > 0) await nextTurn();
});

test.each([
  ['127.0.0.1', 'evil.example'],
  ['evil.example', '127.0.0.1'],
  ['127.0.0.1', '127.0.0.1'],
])('two Host headers, %s and %s, are one too many', async (first, second) => {
  const url = await start();
  const text = await exchange(
    url,
    `GET /api/access HTTP/1.1\r\nHost: ${first}\r\nHost: ${second}\r\nConnection: close\r\n\r\n`,
  );
  expect(text).toMatch(/^HTTP\/1.1 400 /);
});

test('viewers whose first snapshot fails are none', async () => {
  const url = await start({ dashboard: false });
  const { snapshot } = gateway;
  gateway.snapshot = () => {
    throw new Error('not now');
  };
  for (let count = 0; count < 40; ++count) {
    await exchange(url, 'GET /api/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n');
  }
  expect(admin?.viewers).toBe(0);
  gateway.snapshot = snapshot;
  expect((await ask(url, '/api/stream', { method: 'HEAD' })).status).toBe(200);
});

test.each([
  'hawser_admin_PORT=',
  'hawser_admin_PORT=undefined',
  'hawser_admin_PORT=__proto__',
  'hawser_admin=forged',
  `hawser_admin_PORT=${token}`,
  `hawser_admin_PORT=${'A'.repeat(43)}`,
  `hawser_admin_PORT=${'A'.repeat(43)}; hawser_admin_PORT=${'B'.repeat(43)}`,
])('the cookie %s is no login', async (cookie) => {
  const url = await start({ token });
  const { port } = new URL(url);
  const headers = { cookie: cookie.replaceAll('PORT', port) };
  expect((await ask(url, '/api/snapshot', { headers })).status).toBe(401);
});

test('a login sets a cookie of its own, whatever the browser had: no one can choose it for an operator', async () => {
  const url = await start({ token });
  const { port } = new URL(url);
  const planted = `hawser_admin_${port}=${'A'.repeat(43)}`;
  const login = await ask(url, '/login', {
    method: 'POST',
    headers: { origin: url, cookie: planted, 'content-type': 'application/x-www-form-urlencoded' },
    body: `token=${token}`,
  });
  const given = login.headers['set-cookie']?.[0] ?? '';
  expect(given).toMatch(/^hawser_admin_\d+=[\w-]{43}; .*HttpOnly; SameSite=Strict/);
  expect(given).not.toContain(planted);
  expect((await ask(url, '/api/snapshot', { headers: { cookie: planted } })).status).toBe(401);
});

test('a cookie of one server is none of the next at its port', async () => {
  const address = await freeAddress();
  const url = await start({ token, address });
  const login = await ask(url, '/login', {
    method: 'POST',
    headers: { origin: url, 'content-type': 'application/x-www-form-urlencoded' },
    body: `token=${token}`,
  });
  const cookie = login.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  expect((await ask(url, '/api/snapshot', { headers: { cookie } })).status).toBe(200);
  await admin?.close();
  const again = await start({ token, address });
  expect((await ask(again, '/api/snapshot', { headers: { cookie } })).status).toBe(401);
});

test.each(['', 'Bearer', 'Bearer ', `Basic ${token}`, `Bearer ${token}x`, `Bearer x ${token}`, token])(
  'the Authorization header %j is refused, and with it what a cookie would allow',
  async (authorization) => {
    const url = await start({ token });
    expect((await ask(url, '/api/snapshot', { headers: { authorization } })).status).toBe(401);
  },
);

test('a token in the address is none, and stands in no line of the log', async () => {
  const log = new KeptLog();
  const url = await start({ token, log });
  for (const path of [`/api/snapshot?token=${token}`, `/?token=${token}`, `/login?token=${token}`]) {
    expect((await ask(url, path)).text).not.toContain('"timeMs"');
  }
  await ask(url, '/api/snapshot', { headers: { authorization: `Bearer ${token.slice(0, -1)}` } });
  expect(log.text).toContain('wrong admin token');
  expect(log.text).not.toContain(token.slice(0, -1));
});

test('forms that are broken off are no lines of the log', async () => {
  const log = new KeptLog();
  const url = await start({ token, log });
  const { host } = new URL(url);
  const head = `POST /login HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${url}\r\nExpect: 100-continue\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 2000\r\n\r\n`;
  const before = log.text;
  for (let count = 0; count < 5; ++count) {
    const socket = await open(url);
    socket.write(head);
    // It is asked for the body: the server has begun to read it.
    await once(socket, 'data');
    socket.destroy();
  }
  // Served after them: what they had to bring about has come about.
  expect((await ask(url, '/livez')).status).toBe(200);
  await admin?.close();
  expect(log.text).toBe(before);
});
