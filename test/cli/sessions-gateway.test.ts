// Gateways with sessions, and sessions client, in processes of their own. What takes an etcd is in sessions-cluster.test.ts.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodeToken } from '../../src/token/index.js';
import { hawserHere } from './in-process.js';
import { TestClient } from './sessions-support.js';
import { gatewayForPeople, hawser, jsonLines, TestGateway, temporaryFolder } from './support.js';
import { serverKey } from './sync-support.js';

const folder = temporaryFolder();
let files = 0;

/** For a client whose connection is not lost when a process stands still for a while. */
const lasting = ['--timeout', '1m'];

function newStore(): string {
  return `lmdb:${join(folder, `store${++files}`)}`;
}

async function handler(source: string): Promise<string> {
  const path = join(folder, `handler${++files}.mjs`);
  await writeFile(path, source);
  return path;
}

/** Counts the requests of each client in the store, and answers with the count. */
const counting = `
export async function onRequest(request) {
  const key = 'count/' + request.identity;
  const count = Number(new TextDecoder().decode(await request.get(key)) || 0) + 1;
  const bytes = new TextEncoder().encode(String(count));
  console.log('count ' + count);
  return { result: bytes, writes: new Map([[key, bytes]]) };
}
export function onQuery(query) { return query.payload; }
`;

async function get(url: string): Promise<Record<string, unknown>> {
  return JSON.parse(await (await fetch(url)).text());
}

/** The events of a gateway until Ctrl-C. */
async function ended({ command }: TestGateway): Promise<Record<string, unknown>[]> {
  const { code, stdout, stderr } = await command.interrupt();
  expect([code, stderr]).toEqual([0, '']);
  return jsonLines(stdout);
}

test.concurrent('a gateway with sessions in memory answers with what it is told, and says how many there are', async () => {
  await using gateway = await TestGateway.start('--sessions', '--key', serverKey);
  expect(gateway.listening).toMatchObject({ store: 'memory', advertise: gateway.address, cluster: 'active' });
  await gateway.command.sees(/^\{"event":"serving","serving":true\}$/m);
  await using client = TestClient.with(gateway.address, ...lasting, '--rate', '50', '--size', '2000');
  const { address } = await client.event('connected');
  expect(address).toBe(gateway.address);
  await gateway.command.sees(/"sessions":1,"connected":1,.*"serving":true,/);
  const health = await get(`${gateway.http}/healthz`);
  expect(health).toMatchObject({ status: 'ok', sessions: { sessions: 1, connected: 1, serving: true } });
  const totals = await client.leave();
  expect(totals.sent).toBeGreaterThan(0);
  expect(totals).toMatchObject({ failed: 0, reconnections: 0 });
  await gateway.command.sees(/"sessions":0,"connected":0,.*"closed":1,/);
  const events = await ended(gateway);
  expect(events.at(-1)).toMatchObject({ event: 'closed', sessions: { created: 1, closed: 1 } });
  expect(events.filter(({ event }) => event === 'serving')).toEqual([{ event: 'serving', serving: true }]);
});

test.concurrent('a gateway with sessions tells people', async () => {
  const store = newStore();
  const gateway = gatewayForPeople(['--store', store]);
  await gateway.sees(
    new RegExp(`^sessions in ${store}\ntokens .*\nhealth .*\nkey .*\nsessions are served$`, 'm'),
  );
  expect(await gateway.interrupt()).toMatchObject({ code: 0, stderr: '' });
});

test.concurrent('SIGTERM tells clients first, and their sessions go on at the next gateway on the store', async () => {
  const store = newStore();
  const args = ['--store', store, '--key', serverKey];
  await using first = await TestGateway.start(...args);
  await using client = TestClient.with(first.address, ...lasting, '--rate', '20');
  const { sessionId } = await client.event('connected');
  first.command.kill('SIGTERM');
  expect((await first.command.outcome).code).toBe(0);
  expect(await client.event('redirected')).toMatchObject({ reason: 'Shutdown' });
  await using second = await TestGateway.start(...args, '--listen', first.address);
  expect(await client.event('connected', 2)).toMatchObject({ sessionId, continued: true });
  const totals = await client.leave();
  expect(totals).toMatchObject({ failed: 0, reconnections: 1 });
  await ended(second);
});

test.concurrent('kill -9 of a gateway that makes its own key: the client gets another token from the next one, and goes on', async () => {
  const store = newStore();
  await using first = await TestGateway.start('--store', store);
  await using client = TestClient.start(first, '--rate', '20');
  const { sessionId } = await client.event('connected');
  const { address, http } = first;
  first.command.kill('SIGKILL');
  await first.command.outcome;
  await using second = await TestGateway.start(
    ...['--store', store, '--listen', address, '--http', http.replace('http://', '')],
  );
  expect(await client.event('connected', 2)).toMatchObject({ sessionId, continued: true });
  const { failed, reconnections } = await client.leave();
  expect(failed).toBe(0);
  // Tokens of a gateway end soon: one that stands still for so long is lost, too.
  expect(reconnections).toBeGreaterThanOrEqual(1);
  await ended(second);
});

test.concurrent('kill -9: the session goes on after a restart, and each request counts once', async () => {
  const store = newStore();
  const args = ['--store', store, '--key', serverKey, '--handler', await handler(counting)];
  await using first = await TestGateway.start(...args);
  // A token of its own making, whose connections end soon.
  await using client = TestClient.with(first.address, '--timeout', '3s', '--rate', '100');
  const { sessionId } = await client.event('connected');
  await first.command.sees(/^count 50$/m);
  first.command.kill('SIGKILL');
  await first.command.outcome;
  await client.event('disconnected');
  await using second = await TestGateway.start(...args, '--listen', first.address);
  expect(await client.event('connected', 2)).toMatchObject({ sessionId, continued: true });
  const [, before] = await second.command.sees(/^count (\d+)$/m);
  await second.command.sees(new RegExp(`^count ${Number(before) + 100}$`, 'm'));
  client.command.kill('SIGKILL');
  await client.command.outcome;
  second.command.kill('SIGTERM');
  await second.command.outcome;
  const shown = await hawserHere(
    'sessions',
    'show',
    String(sessionId),
    '--store',
    store,
    '--json',
    '--payloads',
  );
  const outcomes = jsonLines(shown.stdout).flatMap(({ outcome }) => (outcome === undefined ? [] : [outcome]));
  // The nth request has counted to n.
  expect(outcomes.length).toBeGreaterThan(0);
  for (const outcome of outcomes) {
    const { requestId, payloadBase64 }: { requestId: number; payloadBase64: string } = Object(outcome);
    expect(Number(Buffer.from(payloadBase64, 'base64').toString())).toBe(requestId);
  }
});

test.concurrent('what a gateway has open nobody else looks into; afterwards its sessions are there', async () => {
  const store = newStore();
  await using gateway = await TestGateway.start('--store', store, '--advertise', '127.0.0.1:5');
  expect(gateway.listening).toMatchObject({ advertise: '127.0.0.1:5' });
  for (const command of [['ls'], ['show', 'x'], ['expire', 'x']]) {
    expect(await hawserHere('sessions', ...command, '--store', store)).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^hawser sessions \w+: .* is open in process \d+ already\n$/),
    });
  }
  await ended(gateway);
  expect(await hawserHere('sessions', 'ls', '--store', store)).toMatchObject({ code: 0, stderr: '' });
});

// ---- Handlers ------------------------------------------------------------------------------------------------------

test.concurrent('a default export is given the server and its sessions', async () => {
  const module = await handler(`
    export default (server, { sessions }) => {
      sessions.on('sessionCreated', ({ sessionId }) => {
        console.log('created ' + sessionId + ' of ' + server.peers.size);
        sessions.push(sessionId, new TextEncoder().encode('hello'));
      });
    };
  `);
  await using gateway = await TestGateway.start('--sessions', '--handler', module);
  await using client = TestClient.start(gateway);
  const { sessionId } = await client.event('connected');
  await gateway.command.sees(new RegExp(`^created ${sessionId} of 1$`, 'm'));
  expect(await client.event('serverRequest')).toMatchObject({ requestId: 1, bytes: 5 });
  // Without functions for them, requests are answered all the same.
  await client.command.sees(/"answersPerSecond":[1-9]/);
});

test.concurrent('errors of a handler are told, not all of many, and fail requests only', async () => {
  const module = await handler(`export function onRequest() { throw new Error('no \\u001b[31m luck'); }`);
  await using gateway = await TestGateway.start('--sessions', '--handler', module);
  await using client = TestClient.start(gateway, '--rate', '200');
  expect(await client.event('failed')).toMatchObject({ reason: expect.stringMatching(/handler/) });
  const [line] = await gateway.command.sees(/^\{"event":"log".*"untold":[1-9].*$/m);
  expect(JSON.parse(line)).toMatchObject({ level: 'error', source: 'onRequest', untold: expect.any(Number) });
  expect(line).not.toContain('\u001b');
  expect((await client.command.interrupt()).code).toBe(1);
  expect((await gateway.command.interrupt()).code).toBe(0);
});

test.concurrent('a module that exports nothing to call is refused, and so is one for sessions without them', async () => {
  const wrong = await handler('export const onRequest = 5;');
  expect(await hawserHere('gateway', '--sessions', '--handler', wrong)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^hawser gateway: the handler .*: onRequest must be a function; got 5\n$/),
  });
  const forSessions = await handler(counting);
  expect(await hawserHere('gateway', '--handler', forSessions)).toMatchObject({
    code: 1,
    stderr: "hawser gateway: handlers.onRequest is of the layer 'sessions', which no listener has\n",
  });
});

// ---- Beside it -----------------------------------------------------------------------------------------------------

test.concurrent('the tokens of a gateway with sessions name its addresses, and end soon', async () => {
  await using gateway = await TestGateway.start('--sessions', '--advertise', '192.0.2.1:4433');
  const response = await fetch(gateway.tokenUrl, { method: 'POST' });
  const { token }: { token: string } = JSON.parse(await response.text());
  const { addresses, timeoutMs } = decodeToken(token);
  expect(addresses).toEqual([{ host: '192.0.2.1', port: 4433 }]);
  expect(timeoutMs).toBe(5000);
});

test.concurrent('--metrics answers GET /metrics, and nothing else', async () => {
  await using gateway = await TestGateway.start('--sessions', '--metrics', '127.0.0.1:0');
  const { metrics }: { metrics?: string } = Object(gateway.listening);
  const response = await fetch(`${metrics}/metrics`);
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/);
  expect(await response.text()).toMatch(
    new RegExp(`^hawser_sessions.*\\{.*"${gateway.address}".*\\} 0$`, 'm'),
  );
  expect((await fetch(`${metrics}/metrics`, { method: 'POST' })).status).toBe(404);
  expect((await fetch(`${metrics}/token`)).status).toBe(404);
  const taken = metrics?.replace('http://', '') ?? '';
  const other = await hawserHere(
    'gateway',
    '--sessions',
    '--listen=127.0.0.1:0',
    '--http=127.0.0.1:0',
    '--metrics',
    taken,
  );
  expect(other).toMatchObject({
    code: 1,
    stderr: `hawser gateway: cannot listen on ${taken} for HTTP: another program listens there; choose another with --metrics HOST:PORT\n`,
  });
});

test.concurrent('an HTTP port in use ends a gateway that has metrics, too', async () => {
  await using gateway = await TestGateway.start();
  const taken = gateway.http.replace('http://', '');
  // In a process of its own, which has to end.
  const other = gatewayForPeople(['--sessions', '--metrics=127.0.0.1:0', '--http', taken]);
  const { code, stderr } = await other.outcome;
  expect([code, stderr]).toEqual([1, expect.stringMatching(/--http off\n$/)]);
});

test.concurrent('ping is refused by a gateway with sessions, and says why', async () => {
  await using gateway = await TestGateway.start('--sessions');
  const { code, stderr } = await gateway.run('ping', '--count', '1');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^hawser ping: .*CHANNELS_MISMATCH.*\n$/);
});

// ---- Wrong usage ---------------------------------------------------------------------------------------------------

test.each([
  ['--cluster leader', '--cluster goes with --sessions or --store'],
  ['--advertise 127.0.0.1:1', '--advertise goes with --sessions or --store'],
  ['--config x.json --sessions', '--sessions and --config exclude each other: say it in the configuration'],
  [
    '--admin 0.0.0.0:1',
    '--admin: only an address of this machine; a configuration can have another, with a token',
  ],
  ['--keep-alive 30s', '--keep-alive goes with --sessions or --store'],
  ['--session-timeout 90s', '--session-timeout goes with --sessions or --store'],
  ['--sessions --cluster all', '--cluster: must be active or leader; got "all"'],
  [
    '--sessions --keep-alive 9s',
    '--keep-alive: must be a duration such as 500ms, 15s, 10m or 1h, from 10000 ms to 120000 ms; got "9s"',
  ],
  [
    '--sessions --keep-alive 1m --session-timeout 90s',
    '--session-timeout must be at least twice --keep-alive (60 s); got 90 s',
  ],
  ['--sessions --wire both', 'sessions need reliable channels, which netcode has not: leave --wire out'],
  ['--store etcd://127.0.0.1:1', 'gateways of a cluster need the same key: --key or HAWSER_KEY'],
  [
    `--store etcd://127.0.0.1:1 --listen 0.0.0.0:0 --key ${serverKey}`,
    '--listen names every interface of this machine: say with --advertise at which address clients reach this gateway',
  ],
])('wrong usage: hawser gateway %s', async (line, complaint) => {
  expect(await hawserHere('gateway', ...line.split(' '))).toEqual({
    code: 2,
    stdout: '',
    stderr: `hawser gateway: ${complaint} (see "hawser gateway --help")
`,
  });
});

test('sessions client refuses at once what is no token, or one of netcode', async () => {
  const none = await hawser('sessions', 'client', '--token', 'abc');
  expect([none.code, none.stdout]).toEqual([1, '']);
  expect(none.stderr).toMatch(/^hawser sessions client: the connect token is invalid: .*\n$/);
  const { stdout } = await hawser(
    'token',
    '--wire',
    'netcode',
    '--key',
    serverKey,
    '--server',
    '127.0.0.1:1',
  );
  expect(await hawser('sessions', 'client', '--token', stdout.trim())).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'hawser sessions client: --token: sessions need reliable channels, which netcode has not (see "hawser sessions client --help")\n',
  });
});

test('sessions client needs one source of tokens', async () => {
  const both = await hawserHere('sessions', 'client', '--token', 'x', '--key', serverKey);
  expect(both).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(
      /^hawser sessions client: --token excludes --key, --server and --token-url/,
    ),
  });
});
