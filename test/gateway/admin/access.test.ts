import { afterEach, describe, expect, it } from 'vitest';
import { type AdminServer, openAdmin } from '../../../src/gateway/admin/admin-server.js';
import type { AdminOptions } from '../../../src/gateway/admin/options.js';
import { FakeGateway, KeptLog } from './fake-gateway.js';
import { ask } from './http-client.js';
import { ManualClock } from './manual-clock.js';

const token = 'correct-horse-battery';
const bearer = { authorization: `Bearer ${token}` };

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

/** Logs in with a form as a browser does. @returns the cookie. */
async function logIn(url: string, given: string): Promise<string> {
  const reply = await postForm(url, given);
  return reply.headers['set-cookie']?.[0]?.split(';')[0] ?? '';
}

function postForm(url: string, given: string, headers: Readonly<Record<string, string>> = {}) {
  return ask(url, '/login', {
    method: 'POST',
    headers: { origin: url, 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: new URLSearchParams({ token: given }).toString(),
  });
}

afterEach(async () => {
  await admin?.close();
  admin = undefined;
});

describe('where a token is needed', () => {
  it('is not on loopback, unless one is configured', async () => {
    const url = await start();
    expect((await ask(url, '/api/snapshot')).status).toBe(200);
    expect((await ask(url, '/')).status).toBe(200);
  });

  it.each(['0.0.0.0:0', '192.0.2.1:0', '[::]:0', '[2001:db8::1]:0'])(
    'is for %s, where a configuration without one is refused before anything is bound',
    async (address) => {
      await expect(start({ address })).rejects.toMatchObject({
        code: 'ERR_HAWSER_CONFIG',
        message: expect.stringContaining('admin.token is needed'),
      });
    },
  );

  it.each([
    ['short', 'x'.repeat(15)],
    ['too long', 'x'.repeat(513)],
    ['with a space', 'correct horse battery'],
    ['with a line break', 'correct-horse\r\nbattery'],
  ])('must not be %s, and no message says what it was', async (_, wrong) => {
    const opening = start({ token: wrong });
    await expect(opening).rejects.toMatchObject({ code: 'ERR_HAWSER_CONFIG' });
    await expect(opening).rejects.not.toMatchObject({ message: expect.stringContaining(wrong) });
  });

  it('says why an address cannot be bound', async () => {
    const url = await start();
    await expect(openAdmin(gateway, { address: new URL(url).host, log })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ADDRESS_IN_USE',
    });
  });
});

describe('with a token', () => {
  const closed = [
    '/api/snapshot',
    '/api/history',
    '/api/peers',
    '/api/peer/x',
    '/api/sessions',
    '/api/stream',
    '/metrics',
  ];

  it.each([...closed, '/main.js', '/nothing'])('%s is for those who bring it', async (path) => {
    const url = await start({ token, registry: { contentType: 'text/plain', metrics: async () => 'up 1' } });
    const refused = await ask(url, path);
    expect(refused.status).toBe(401);
    expect(refused.headers['www-authenticate']).toBe('Bearer realm="hawser"');
    expect(refused.text).not.toContain('"peers"');
    for (const authorization of [
      'Bearer wrong-token-of-16',
      'Bearer',
      `Basic ${btoa(`x:${token}`)}`,
      `Bearer ${token}x`,
    ]) {
      expect((await ask(url, path, { headers: { authorization } })).status).toBe(401);
    }
    expect((await ask(url, path, { method: 'HEAD', headers: bearer })).status).not.toBe(401);
  });

  it.each([
    '/livez',
    '/healthz',
    '/readyz',
    '/login',
    '/style/theme.css',
    '/style/login.css',
    '/login.js',
    '/icon.svg',
  ])('%s is for everybody', async (path) => {
    const url = await start({ token });
    expect((await ask(url, path)).status).toBe(200);
  });

  it('the page of somebody who is not logged in is the login', async () => {
    const url = await start({ token });
    const reply = await ask(url, '/');
    expect([reply.status, reply.headers.location]).toEqual([302, '/login']);
  });

  it('a login gives a cookie that holds no token and that scripts and other sites have no use of', async () => {
    const url = await start({ token });
    const reply = await postForm(url, token);
    expect([reply.status, reply.headers.location]).toEqual([303, '/']);
    const cookie = reply.headers['set-cookie']?.[0] ?? '';
    expect(cookie).toMatch(/^hawser_admin_\d+=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    expect(cookie).not.toContain(token);
    const own = { cookie: `other=1; ${cookie.split(';')[0]}` };
    expect((await ask(url, '/', { headers: own })).status).toBe(200);
    expect((await ask(url, '/api/snapshot', { headers: own })).status).toBe(200);
    expect((await ask(url, '/login', { headers: own })).headers.location).toBe('/');
  });

  it('a cookie that nobody was given is none', async () => {
    const url = await start({ token });
    const [name = ''] = (await logIn(url, token)).split('=');
    for (const value of ['', token, 'A'.repeat(43), '../../x']) {
      expect((await ask(url, '/api/snapshot', { headers: { cookie: `${name}=${value}` } })).status).toBe(401);
    }
  });

  it('a wrong token leads back to the login, with a word on why', async () => {
    const url = await start({ token });
    const reply = await postForm(url, 'wrong-token-of-16-letters');
    expect([reply.status, reply.headers.location]).toEqual([303, '/login?wrong']);
    expect(reply.headers['set-cookie']).toBeUndefined();
  });

  it('a logout ends the login, and a log-in ends by itself after twelve hours', async () => {
    const url = await start({ token });
    const first = { cookie: await logIn(url, token) };
    const second = { cookie: await logIn(url, token) };
    const reply = await ask(url, '/logout', { method: 'POST', headers: { ...first, origin: url } });
    expect(reply.headers['set-cookie']?.[0]).toContain('Max-Age=0');
    expect((await ask(url, '/api/snapshot', { headers: first })).status).toBe(401);
    expect((await ask(url, '/api/snapshot', { headers: second })).status).toBe(200);
    clock.advance(12 * 3_600_000 + 1);
    expect((await ask(url, '/api/snapshot', { headers: second })).status).toBe(401);
  });

  it('another token ends the old one and the logins made with it; the same one ends nothing', async () => {
    const url = await start({ token });
    const own = { cookie: await logIn(url, token) };
    admin?.setToken(token);
    expect((await ask(url, '/api/snapshot', { headers: own })).status).toBe(200);
    admin?.setToken('another-token-of-16');
    expect((await ask(url, '/api/snapshot', { headers: own })).status).toBe(401);
    expect((await ask(url, '/api/snapshot', { headers: bearer })).status).toBe(401);
    const headers = { authorization: 'Bearer another-token-of-16' };
    expect((await ask(url, '/api/snapshot', { headers })).status).toBe(200);
  });

  it('a token that cannot be leaves the old one in force', async () => {
    const url = await start({ token });
    expect(() => admin?.setToken('short')).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CONFIG' }));
    expect((await ask(url, '/api/snapshot', { headers: bearer })).status).toBe(200);
    expect((await ask(url, '/api/snapshot')).status).toBe(401);
  });

  it('ten wrong ones from an address have it wait, right or wrong, and a login that was made before goes on', async () => {
    const url = await start({ token });
    const own = { cookie: await logIn(url, token) };
    const wrong = { authorization: 'Bearer wrong-token-of-16' };
    for (let i = 0; i < 10; ++i) expect((await ask(url, '/metrics', { headers: wrong })).status).toBe(401);
    const refused = await ask(url, '/api/snapshot', { headers: bearer });
    expect([refused.status, refused.headers['retry-after']]).toEqual([429, '5']);
    expect((await postForm(url, token)).headers.location).toBe('/login?later');
    expect((await ask(url, '/api/snapshot', { headers: own })).status).toBe(200);
    clock.advance(5000);
    expect((await ask(url, '/api/snapshot', { headers: bearer })).status).toBe(200);
  });

  it('wrong ones are logged with where they came from, without what they were, once in ten seconds', async () => {
    const url = await start({ token });
    for (let i = 0; i < 5; ++i) {
      await ask(url, '/api/snapshot', { headers: { authorization: 'Bearer guessed-token-123' } });
    }
    expect(log.lines.filter(({ level }) => level === 'warn')).toEqual([
      { level: 'warn', fields: { remote: '127.0.0.1', attempts: 1 }, message: 'wrong admin token' },
    ]);
    expect(log.text).not.toMatch(/guessed|correct-horse/);
  });
});

describe('where a request may come from', () => {
  const hosts = (port: string): [string, number][] => [
    [`127.0.0.1:${port}`, 200],
    ['127.0.0.1', 200],
    [`localhost:${port}`, 200],
    [`LocalHost:${port}`, 200],
    [`[::1]:${port}`, 200],
    ['203.0.113.7:80', 200],
    ['dash.example', 200],
    ['dash.example:8443', 200],
    [`evil.example:${port}`, 403],
    ['localhost.evil.example', 403],
    ['127.0.0.1.evil.example', 403],
    ['dash.example.evil.example', 403],
    ['127.0.0.1@evil.example', 403],
    ['127.1', 403],
    ['[::1', 403],
  ];

  it('has an IP address, localhost or a configured name in Host: no name of others that leads here', async () => {
    const url = await start({ hosts: ['Dash.Example'] });
    for (const [host, status] of hosts(new URL(url).port)) {
      for (const path of ['/', '/api/snapshot', '/livez']) {
        expect([host, path, (await ask(url, path, { headers: { host } })).status]).toEqual([
          host,
          path,
          status,
        ]);
      }
    }
  });

  it('has no Origin but that of its own host', async () => {
    const url = await start({ hosts: ['dash.example'] });
    const own = new URL(url).host;
    const cases: [string, string, number][] = [
      [own, `http://${own}`, 200],
      [own, `https://${own}`, 200],
      ['dash.example', 'https://dash.example', 200],
      [own, 'http://evil.example', 403],
      [own, `http://${own}.evil.example`, 403],
      [own, `http://${own}@evil.example`, 403],
      [own, `http://localhost:${new URL(url).port}`, 403],
      [own, 'http://127.0.0.1:1', 403],
      [own, 'null', 403],
      [own, '', 403],
      [own, `file://${own}`, 403],
    ];
    for (const [host, origin, status] of cases) {
      const reply = await ask(url, '/api/snapshot', { headers: { host, origin } });
      expect([host, origin, reply.status]).toEqual([host, origin, status]);
    }
  });

  it('is no other page, by what the browser says of it; a link to the dashboard is', async () => {
    const url = await start();
    const from = (site: string): { headers: Record<string, string> } => ({
      headers: { 'sec-fetch-site': site },
    });
    for (const site of ['cross-site', 'same-site']) {
      expect((await ask(url, '/api/stream', from(site))).status).toBe(403);
      expect((await ask(url, '/main.js', from(site))).status).toBe(403);
      expect((await ask(url, '/', from(site))).status).toBe(200);
    }
    expect((await ask(url, '/api/snapshot', from('same-origin'))).status).toBe(200);
    expect((await ask(url, '/api/snapshot', from('none'))).status).toBe(200);
  });

  it('of a POST has an own Origin, or a token: nothing that a page of others can send drains the gateway', async () => {
    const url = await start();
    expect((await ask(url, '/drain', { method: 'POST' })).status).toBe(403);
    expect(
      (await ask(url, '/drain', { method: 'POST', headers: { origin: 'http://evil.example' } })).status,
    ).toBe(403);
    expect((await ask(url, '/reload', { method: 'POST' })).status).toBe(403);
    expect([gateway.drains, gateway.reloads]).toEqual([0, 0]);
    expect((await ask(url, '/drain', { method: 'POST', headers: { origin: url } })).status).toBe(202);
    expect(gateway.drains).toBe(1);
  });

  it('of a POST with a cookie has an own Origin all the same', async () => {
    const url = await start({ token });
    const cookie = await logIn(url, token);
    expect((await ask(url, '/drain', { method: 'POST', headers: { cookie } })).status).toBe(403);
    expect((await ask(url, '/drain', { method: 'POST', headers: { origin: url } })).status).toBe(401);
    expect(gateway.drains).toBe(0);
    expect((await ask(url, '/drain', { method: 'POST', headers: bearer })).status).toBe(202);
    expect((await ask(url, '/reload', { method: 'POST', headers: { cookie, origin: url } })).status).toBe(
      200,
    );
  });

  it.each([
    ['a port', 'dash.example:80'],
    ['a scheme', 'http://dash.example'],
    ['nothing', ''],
    ['a wildcard', '*'],
  ])('is configured by names: %s in one is refused', async (_, host) => {
    await expect(start({ hosts: [host] })).rejects.toMatchObject({ code: 'ERR_HAWSER_CONFIG' });
  });
});
