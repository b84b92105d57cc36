// The token endpoint among those who ask for what it does not give.

import { afterEach, expect, test } from 'vitest';
import type { HttpEndpoint } from '../../../src/gateway/http/endpoint.js';
import { type Minters, openTokenEndpoint } from '../../../src/gateway/tokens/token-endpoint.js';
import { ask, exchange } from '../admin/http-client.js';
import { openTest, silentLog } from '../support.js';

let endpoint: HttpEndpoint | undefined;
let minted = 0;

async function start(): Promise<string> {
  minted = 0;
  const mint = ({ clientId }: { readonly clientId: bigint }): string => {
    ++minted;
    if (clientId === 7n) throw new Error('secret detail');
    return 'token';
  };
  const minters: Minters = new Map([['udp', new Map([['hawser', mint]])]]);
  endpoint = await openTokenEndpoint(
    { address: '127.0.0.1:0', minters: () => minters, health: () => ({ status: 'ok' }) },
    'no advice',
  );
  return endpoint.url;
}

afterEach(async () => {
  await endpoint?.close();
  endpoint = undefined;
});

const post = (url: string, body: string, headers: Readonly<Record<string, string>> = {}) =>
  ask(url, '/token', { method: 'POST', body, headers });

test.each(['evil.example', 'evil.example:4480', 'localhost.evil.example', '127.0.0.1.evil.example'])(
  'on loopback the host %j is none: a page of that name may have been resolved to this machine',
  async (host) => {
    const url = await start();
    expect((await post(url, '{}', { host })).status).toBe(403);
    expect((await ask(url, '/healthz', { headers: { host } })).status).toBe(403);
    expect(minted).toBe(0);
  },
);

test.each(['localhost', 'LOCALHOST:4480', '127.0.0.1', '127.0.0.1:1', '[::1]:4480'])(
  'on loopback the host %j is this machine',
  async (host) => {
    const url = await start();
    expect((await post(url, '{}', { host })).status).toBe(200);
  },
);

test.each(['null', 'http://127.0.0.1:4480', 'http://evil.example'])(
  'a request with the origin %s is of a page, and gets nothing',
  async (origin) => {
    const url = await start();
    const reply = await post(url, '{}', { origin });
    expect(reply.status).toBe(403);
    expect(reply.headers['access-control-allow-origin']).toBeUndefined();
    expect(minted).toBe(0);
  },
);

test.each([
  ['a field __proto__', '{"__proto__": {"clientId": "5"}}', 400, 'unknown field'],
  ['a listener that is an object', '{"listener": {"toString": 1}}', 400, 'listener must be one of udp'],
  ['a listener in an array', '{"listener": ["udp"]}', 400, 'listener must be one of udp'],
  ['a listener __proto__', '{"listener": "__proto__"}', 400, 'listener must be one of udp'],
  ['a wire __proto__', '{"wire": "__proto__"}', 400, 'wire must be'],
  ['a negative client id', '{"clientId": "-1"}', 400, 'clientId must be'],
  ['a client id beyond 64 bits', '{"clientId": 1e300}', 400, 'clientId must be'],
  ['user data that is an object', '{"userData": {}}', 400, 'userData must be a string'],
  ['an array', '[]', 400, 'the body must be an object'],
  ['four thousand brackets', '['.repeat(4000), 400, 'the body is not JSON'],
  ['more than 4,096 bytes', `"${'x'.repeat(5000)}"`, 413, 'longer than 4096 bytes'],
])('a body with %s is refused, and nothing is minted', async (_, body, status, message) => {
  const url = await start();
  const reply = await post(url, body);
  expect(reply.status).toBe(status);
  expect(reply.text).toContain(message);
  expect(minted).toBe(0);
});

test.each(['//', 'http://[', '/token/../token', '/token%2f', '*'])(
  'the target %s is nothing that is there',
  async (target) => {
    const url = await start();
    const text = await exchange(
      url,
      `GET ${target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    );
    expect(text).toMatch(/^HTTP\/1.1 404 /);
  },
);

test('what fails within is told nobody', async () => {
  const url = await start();
  const reply = await post(url, '{"clientId": "7"}');
  expect([reply.status, reply.text]).toEqual([500, '{"error":"the gateway failed at this"}']);
});

test('of requests in one piece the first is served, and the connection ends', async () => {
  const url = await start();
  const request = 'POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}';
  await exchange(url, request.repeat(500));
  expect(minted).toBeLessThanOrEqual(1);
  expect((await post(url, '{}')).status).toBe(200);
});

test.each([
  ['127.0.0.1:0', 0],
  ['0.0.0.0:0', 1],
])('at %s a gateway that gives tokens to everybody logs %i warnings', async (address, warnings) => {
  const log = silentLog();
  await using _ = await openTest({ tokens: { address }, log: { logger: log } });
  const told = log.lines.filter(({ message }) => message.includes('gets tokens of this gateway'));
  expect(told.map(({ level }) => level)).toEqual(new Array(warnings).fill('warn'));
});
