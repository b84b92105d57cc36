import { once } from 'node:events';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { freeAddress } from '../../../scripts/lib/free-ports.mjs';
import { HawserError } from '../../../src/base/errors.js';
import { type AdminServer, openAdmin } from '../../../src/gateway/admin/admin-server.js';
import type { AdminOptions } from '../../../src/gateway/admin/options.js';
import type { GatewaySnapshot } from '../../../src/gateway/snapshot.js';
import type { TransportStats } from '../../../src/transport/stats.js';
import { FakeGateway, fakeListener, KeptLog } from './fake-gateway.js';
import { ask, exchange, open } from './http-client.js';
import { ManualClock } from './manual-clock.js';

let admin: AdminServer | undefined;
let gateway: FakeGateway;
let log: KeptLog;
let clock: ManualClock;

async function start(options: Partial<AdminOptions> = {}): Promise<string> {
  gateway = new FakeGateway();
  log = new KeptLog();
  clock = new ManualClock();
  admin = await openAdmin(gateway, { address: '127.0.0.1:0', log, clock, ...options });
  return admin.url;
}

afterEach(async () => {
  await admin?.close();
  admin = undefined;
});

describe('the paths', () => {
  it('/api/snapshot is the snapshot; what is a second old is taken anew', async () => {
    const url = await start();
    const first: GatewaySnapshot = JSON.parse((await ask(url, '/api/snapshot')).text);
    expect(first).toEqual({ ...gateway.snapshot(), timeMs: first.timeMs });
    expect(JSON.parse((await ask(url, '/api/snapshot')).text).timeMs).toBe(first.timeMs);
    clock.advance(1000);
    expect(JSON.parse((await ask(url, '/api/snapshot')).text).timeMs).toBeGreaterThan(first.timeMs);
  });

  it('/api/snapshot is of the state in which the gateway is, however short a time', async () => {
    const url = await start();
    for (const state of ['STARTING', 'RUNNING', 'DRAINING'] as const) {
      gateway.state = state;
      expect(JSON.parse((await ask(url, '/api/snapshot')).text).state).toBe(state);
    }
  });

  it('/api/peers takes what PeersQuery has, and says what is wrong with anything else', async () => {
    const url = await start();
    await ask(url, '/api/peers?search=10.0&order=rtt&limit=7&offset=14&listener=udp');
    await ask(url, '/api/peers?search=');
    expect(gateway.queries).toEqual([
      { search: '10.0', order: 'rtt', limit: 7, offset: 14, listener: 'udp' },
      {},
    ]);
    const wrong: [string, string][] = [
      ['order=best', 'order must be one of'],
      ['limit=1e3', 'limit must be a whole number'],
      ['limit=-1', 'limit must be a whole number'],
      ['offset=9999999999', 'offset must be a whole number'],
      ['limit=1001', 'limit must be at most 1000'],
      ['limit=1&limit=2', 'limit is given twice'],
      ['__proto__=1', 'unknown parameter \\"__proto__\\"'],
      [`search=${'x'.repeat(257)}`, 'search is too long'],
    ];
    for (const [query, message] of wrong) {
      const reply = await ask(url, `/api/peers?${query}`);
      expect([query, reply.status]).toEqual([query, 400]);
      expect(reply.text).toContain(message);
    }
  });

  it('/api/peer/ID is one peer, and 404 for one that is not there', async () => {
    const url = await start();
    for (const id of ['udp:0:1:2', 'udp%3A0%3A1%3A2']) {
      expect(JSON.parse((await ask(url, `/api/peer/${id}`)).text).clientId).toBe('42');
    }
    for (const id of ['udp:0:1:3', '', '%', '%00', 'a/b', '../snapshot', 'x'.repeat(500)]) {
      expect([id, (await ask(url, `/api/peer/${id}`)).status]).toEqual([id, 404]);
    }
  });

  it('/api/sessions is 404 without the layer', async () => {
    const url = await start();
    expect((await ask(url, '/api/sessions')).status).toBe(404);
    gateway.page = { total: 0, sessions: [] };
    expect(JSON.parse((await ask(url, '/api/sessions?search=a&limit=2')).text)).toEqual(gateway.page);
    expect((await ask(url, '/api/sessions?order=rtt')).status).toBe(400);
  });

  it('/metrics is the text of the registry, and not there without one', async () => {
    const url = await start();
    expect((await ask(url, '/metrics')).status).toBe(404);
    await admin?.close();
    const other = await start({
      registry: { contentType: 'text/plain; version=0.0.4', metrics: async () => 'up 1\n' },
    });
    const reply = await ask(other, '/metrics');
    expect([reply.text, reply.headers['content-type']]).toEqual(['up 1\n', 'text/plain; version=0.0.4']);
  });

  it('what is not there is 404 with an error in JSON, and another method 405 with those that are', async () => {
    const url = await start();
    const reply = await ask(url, '/api/nothing');
    expect([reply.status, reply.headers['content-type']]).toEqual([404, 'application/json; charset=utf-8']);
    expect(JSON.parse(reply.text)).toEqual({ error: 'there is nothing of that name' });
    const methods: [string, string, string][] = [
      ['DELETE', '/api/snapshot', 'GET, HEAD'],
      ['POST', '/livez', 'GET, HEAD'],
      ['GET', '/drain', 'POST'],
      ['HEAD', '/reload', 'POST'],
      ['PUT', '/login', 'GET, HEAD, POST'],
      ['OPTIONS', '/', 'GET, HEAD'],
    ];
    for (const [method, path, allow] of methods) {
      const refused = await ask(url, path, { method, headers: { origin: url } });
      expect([method, path, refused.status, refused.headers.allow]).toEqual([method, path, 405, allow]);
    }
  });

  it('without the dashboard there are no pages, and no history is kept', async () => {
    const url = await start({ dashboard: false });
    for (const path of ['/', '/login', '/main.js']) expect((await ask(url, path)).status).toBe(404);
    expect((await ask(url, '/api/snapshot')).status).toBe(200);
    const taken = gateway.snapshots;
    clock.advance(60_000);
    expect(gateway.snapshots).toBe(taken);
  });

  it('HEAD is GET without what it answers', async () => {
    const url = await start();
    for (const path of ['/', '/main.js', '/api/snapshot', '/livez', '/api/stream']) {
      const [head, get] = [
        await ask(url, path, { method: 'HEAD' }),
        path === '/api/stream' ? undefined : await ask(url, path),
      ];
      expect([path, head.status, head.text]).toEqual([path, 200, '']);
      if (get !== undefined) expect(head.headers['content-length']).toBe(String(Buffer.byteLength(get.text)));
    }
  });

  it('every answer forbids to keep it, to frame it, to guess its type, and scripts from elsewhere', async () => {
    const url = await start();
    for (const path of ['/', '/main.js', '/api/snapshot', '/nothing', '/livez', '/login']) {
      const { headers } = await ask(url, path);
      expect([path, headers['x-content-type-options']]).toEqual([path, 'nosniff']);
      expect(headers['content-security-policy']).toContain(
        "default-src 'none'; script-src 'self'; style-src 'self';",
      );
      expect(headers['content-security-policy']).toContain("frame-ancestors 'none'");
      expect(headers['content-security-policy']).not.toContain('unsafe');
      const isFile = path === '/' || path === '/main.js';
      expect(headers['cache-control']).toBe(isFile ? 'no-cache' : 'no-store');
    }
  });

  it('a file that a browser has already is not sent again', async () => {
    const url = await start();
    const { etag = '' } = (await ask(url, '/main.js')).headers;
    for (const match of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const reply = await ask(url, '/main.js', { headers: { 'if-none-match': match } });
      expect([match, reply.status, reply.text]).toEqual([match, 304, '']);
    }
    expect((await ask(url, '/main.js', { headers: { 'if-none-match': '"x"' } })).status).toBe(200);
  });

  it('no path leads out of the dashboard, or to what is no file of a page', async () => {
    const url = await start();
    const paths = [
      '/../package.json',
      '/%2e%2e/package.json',
      '/..%2fpackage.json',
      '/style/../../package.json',
      '/tsconfig.json',
      '/style',
      '/style/',
      '/index.html',
      '//evil/main.js',
      '/main.js/',
      '/\\..\\package.json',
    ];
    for (const path of paths) expect([path, (await ask(url, path)).status]).toEqual([path, 404]);
  });
});

describe('health', () => {
  it('a gateway lives as long as it answers, and is ready while it runs', async () => {
    const url = await start();
    for (const [state, status, text] of [
      ['STARTING', 503, 'starting'],
      ['RUNNING', 200, 'ready'],
      ['DRAINING', 503, 'draining'],
      ['STOPPED', 503, 'stopped'],
    ] as const) {
      gateway.state = state;
      const reply = await ask(url, '/readyz');
      expect([reply.status, JSON.parse(reply.text)]).toEqual([status, { status: text }]);
      expect((await ask(url, '/livez')).status).toBe(200);
      expect((await ask(url, '/healthz')).status).toBe(200);
    }
  });

  it('is not ready while its lease is in doubt, or while it serves no requests but where another one leads', async () => {
    const url = await start();
    const layer = (
      leaseValid: boolean,
      serving: boolean,
      cluster: 'active' | 'leader',
    ): GatewaySnapshot['layers'] => {
      const part: unknown = { leaseValid, serving, cluster };
      return { sessions: part as NonNullable<GatewaySnapshot['layers']['sessions']> };
    };
    for (const [layers, status] of [
      [layer(true, true, 'active'), 'ready'],
      [layer(false, true, 'active'), 'no lease'],
      [layer(true, false, 'active'), 'not serving'],
      [layer(true, false, 'leader'), 'ready'],
      [layer(false, false, 'leader'), 'no lease'],
    ] as const) {
      gateway.layers = layers;
      clock.advance(1000);
      expect(JSON.parse((await ask(url, '/readyz')).text)).toEqual({ status });
    }
  });
});

describe('operations', () => {
  const post = (url: string, path: string) => ask(url, path, { method: 'POST', headers: { origin: url } });

  it('a drain is answered when it has begun', async () => {
    const url = await start();
    const reply = await post(url, '/drain');
    expect([reply.status, JSON.parse(reply.text)]).toEqual([202, { state: 'DRAINING' }]);
  });

  it('a reload says what changed, and what is wrong with the file', async () => {
    const url = await start();
    expect(JSON.parse((await post(url, '/reload')).text)).toEqual({
      keyIds: [1],
      changed: ['limits.maxPeers'],
      needRestart: [],
    });
    gateway.reloadError = new HawserError('ERR_HAWSER_CONFIG', 'limits.maxPeers must be an integer');
    const wrong = await post(url, '/reload');
    expect([wrong.status, JSON.parse(wrong.text).error]).toEqual([422, 'limits.maxPeers must be an integer']);
    gateway.reloadError = new HawserError('ERR_HAWSER_CLOSED', 'the gateway is ending');
    expect((await post(url, '/reload')).status).toBe(409);
  });

  it('a failure of the gateway is for its log, not for who asked', async () => {
    const url = await start();
    gateway.peers = () => {
      throw new Error('secret detail');
    };
    const reply = await ask(url, '/api/peers');
    expect([reply.status, reply.text]).toEqual([
      500,
      '{"error":"the gateway failed at this; its log says more"}',
    ]);
    expect(log.text).toContain('secret detail');
  });
});

/** The events of a stream, as they come. */
async function events(url: string, headers: Readonly<Record<string, string>> = {}) {
  const stop = new AbortController();
  const response = await fetch(`${url}/api/stream`, { headers, signal: stop.signal });
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  return {
    status: response.status,
    stop: () => stop.abort(),
    /** Reads until so many snapshots have come, or to the end. */
    async read(count: number): Promise<readonly GatewaySnapshot[]> {
      const all = (): string[] =>
        text
          .split('\n\n')
          .slice(0, -1)
          .filter((event) => event.startsWith('data: '));
      while (all().length < count) {
        const { value, done } = (await reader?.read()) ?? { done: true };
        if (done) break;
        text += value ?? '';
      }
      return all().map((event) => JSON.parse(event.slice('data: '.length)));
    },
    get text() {
      return text;
    },
  };
}

/** Has the server do what it got. */
async function settle(done: () => boolean): Promise<void> {
  while (!done()) await nextTurn();
}

describe('the stream', () => {
  it('is a snapshot at once and one each second, the same for all who look on', async () => {
    const url = await start();
    const [first, second] = [await events(url), await events(url)];
    const taken = gateway.snapshots;
    clock.advance(1000);
    clock.advance(1000);
    const seen = await first.read(3);
    expect(seen.map(({ timeMs }) => timeMs - (seen[0]?.timeMs ?? 0))).toEqual([0, 1000, 2000]);
    expect(await second.read(3)).toEqual(seen);
    expect(gateway.snapshots - taken).toBe(2);
    expect(first.text).toContain('event: sample\ndata: {"timeMs":');
    first.stop();
    second.stop();
  });

  it('has one event a line whatever a name holds', async () => {
    const url = await start();
    const name = 'a\n\ndata: {"forged":1}\r\nevent: sample\u2028<img src=x onerror=alert(1)>';
    gateway.listeners = [fakeListener({ name })];
    clock.advance(5000);
    const stream = await events(url);
    expect((await stream.read(1))[0]?.listeners[0]?.name).toBe(name);
    expect(stream.text.match(/^data: /gm)).toHaveLength(2);
    stream.stop();
  });

  it('is for 32 at a time', async () => {
    const url = await start();
    const streams = await Promise.all(Array.from({ length: 32 }, () => events(url)));
    const refused = await ask(url, '/api/stream');
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '5']);
    streams[0]?.stop();
    await settle(() => admin?.viewers === 31);
    const next = await events(url);
    expect(next.status).toBe(200);
    for (const stream of [...streams, next]) stream.stop();
  });

  it('ends with the token or the login that it was begun with', async () => {
    const token = 'correct-horse-battery';
    const url = await start({ token });
    const login = await ask(url, '/login', {
      method: 'POST',
      headers: { origin: url, 'content-type': 'application/x-www-form-urlencoded' },
      body: `token=${token}`,
    });
    const cookie = login.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    const [byToken, byLogin] = [
      await events(url, { authorization: `Bearer ${token}` }),
      await events(url, { cookie }),
    ];
    await ask(url, '/logout', { method: 'POST', headers: { origin: url, cookie } });
    clock.advance(1000);
    expect(await byLogin.read(99)).toHaveLength(1);
    expect(await byToken.read(2)).toHaveLength(2);
    admin?.setToken('another-token-of-16');
    clock.advance(1000);
    expect(await byToken.read(99)).toHaveLength(2);
  });

  it('drops a viewer that takes nothing for ten snapshots, and keeps the others', async () => {
    const url = await start();
    gateway.listeners = [fakeListener({ name: 'x'.repeat(4_000_000) })];
    clock.advance(5000);
    const slow = await open(url);
    slow.pause();
    slow.write(`GET /api/stream HTTP/1.1\r\nHost: ${new URL(url).host}\r\n\r\n`);
    await settle(() => admin?.viewers === 1);
    gateway.listeners = [fakeListener()];
    clock.advance(1000);
    const other = await events(url);
    for (let missed = 2; missed < 10; ++missed) {
      clock.advance(1000);
      await other.read(missed);
    }
    expect(admin?.viewers).toBe(2);
    clock.advance(1000);
    await settle(() => admin?.viewers === 1);
    clock.advance(1000);
    expect(await other.read(11)).toHaveLength(11);
    slow.destroy();
    other.stop();
  });

  it('goes on when a snapshot cannot be taken', async () => {
    const url = await start();
    const stream = await events(url);
    const snapshot = gateway.snapshot.bind(gateway);
    gateway.snapshot = () => {
      throw new Error('not now');
    };
    clock.advance(1000);
    gateway.snapshot = snapshot;
    clock.advance(1000);
    expect(await stream.read(2)).toHaveLength(2);
    expect(log.text).toContain('not now');
    stream.stop();
  });
});

describe('the history', () => {
  it('has a sample each five seconds when nobody looks on, for five minutes', async () => {
    const url = await start();
    gateway.snapshot = () => ({ ...FakeGateway.prototype.snapshot.call(gateway), timeMs: clock.wallNow() });
    for (let i = 0; i < 200; ++i) clock.advance(5000);
    const samples: { timeMs: number; peers: number }[] = JSON.parse((await ask(url, '/api/history')).text);
    expect(samples).toHaveLength(61);
    expect(samples.at(-1)).toMatchObject({ timeMs: clock.wallNow(), peers: 3 });
    expect(
      new Set(samples.slice(1).map(({ timeMs }, index) => timeMs - (samples[index]?.timeMs ?? 0))),
    ).toEqual(new Set([5000]));
  });
});

describe('a sample', () => {
  it('has the losses of all listeners together', async () => {
    const url = await start();
    const listener = (changes: Partial<TransportStats['counters']>) =>
      fakeListener({ counters: { ...fakeListener().counters, ...changes } });
    gateway.snapshot = () => ({
      ...FakeGateway.prototype.snapshot.call(gateway),
      listeners: [
        listener({ packetsSealed: 1000, packetsLost: 50, spuriousLosses: 20 }),
        listener({ packetsSealed: 100, packetsLost: 5, spuriousLosses: 2 }),
      ],
    });
    clock.advance(5000);
    const samples: object[] = JSON.parse((await ask(url, '/api/history')).text);
    expect(samples.at(-1)).toMatchObject({
      packetsSentTotal: 1100,
      packetsLostTotal: 55,
      spuriousLossesTotal: 22,
    });
  });
});

describe('hostile clients', () => {
  const wellFormed = (url: string): string =>
    `GET /livez HTTP/1.1\r\nHost: ${new URL(url).host}\r\nConnection: close\r\n\r\n`;

  it.each([
    ['no HTTP', '\x16\x03\x01\x02\x00\x01\x00\x01', 400],
    ['no Host', 'GET /livez HTTP/1.1\r\n\r\n', 400],
    ['an empty Host', 'GET /livez HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n', 403],
    [
      'two hosts in one header',
      'GET /livez HTTP/1.1\r\nHost: localhost, evil\r\nConnection: close\r\n\r\n',
      403,
    ],
    [
      'an absolute target',
      'GET http://evil/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
      400,
    ],
    ['a target that is no path', 'OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 400],
    ['a header without end', `GET / HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(9000)}`, 431],
    ['a target that is too long', `GET /${'x'.repeat(9000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, 431],
    [
      'a length and chunks at once',
      'POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
    ],
    ['a broken escape', 'GET /api/peer/%zz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 404],
  ])('a request with %s is refused', async (_, bytes, status) => {
    const url = await start();
    expect(await exchange(url, bytes)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(gateway.drains).toBe(0);
    expect(await exchange(url, wellFormed(url))).toMatch(/^HTTP\/1.1 200 /);
  });

  it('a login form has 2,048 bytes at most, and is a form', async () => {
    const url = await start({ token: 'correct-horse-battery' });
    const type = { 'content-type': 'application/x-www-form-urlencoded' };
    const post = (headers: Readonly<Record<string, string>>, body: string) =>
      ask(url, '/login', { method: 'POST', headers: { origin: url, ...headers }, body });
    expect((await post(type, `token=${'x'.repeat(2100)}`)).status).toBe(413);
    expect((await post({ 'content-type': 'application/json' }, '{}')).status).toBe(415);
    expect((await post({}, 'token=x')).status).toBe(415);
    expect((await post(type, '')).headers.location).toBe('/login?wrong');
  });

  it('of 300 connections 256 stay, and when they are gone it serves as before', async () => {
    const url = await start();
    const sockets = await Promise.all(Array.from({ length: 300 }, () => open(url)));
    let [refused, closed] = [0, 0];
    for (const socket of sockets) {
      let heard = false;
      socket.on('error', () => undefined);
      // One that stayed, and was silent for too long, is told so.
      socket.on('data', () => {
        heard = true;
      });
      socket.once('close', () => {
        if (!heard) refused += 1;
        closed += 1;
      });
    }
    await settle(() => refused === 44);
    for (const socket of sockets) socket.destroy();
    await settle(() => closed === 300);
    expect(await exchange(url, wellFormed(url))).toMatch(/^HTTP\/1.1 200 /);
  });

  it('closing ends all of them', async () => {
    const url = await start({ address: await freeAddress() });
    const idle = await open(url);
    const stream = await events(url);
    const ended = once(idle, 'close');
    await admin?.close();
    await ended;
    await expect(
      stream
        .read(99)
        .then(({ length }) => length)
        .catch(() => 1),
    ).resolves.toBe(1);
    await expect(open(url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  });
});
