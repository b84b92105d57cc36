// gateway, ping and load with each other, over real sockets. What is of netcode alone is in gateway-netcode.test.ts.

import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { wires } from '../../src/base/wire.js';
import { decodeToken } from '../../src/token/index.js';
import {
  expectWrongUsage,
  gatewayForPeople,
  hawser,
  jsonLines,
  once,
  RunningCommand,
  TestGateway,
  temporaryFolder,
} from './support.js';

const folder = temporaryFolder();

function post(url: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { method: 'POST', body, headers });
}

test('the token endpoint gives tokens for this gateway', async () => {
  await using gateway = await TestGateway.start('--protocol-id', '77');
  const response = await post(gateway.tokenUrl, '{"clientId": "18446744073709551615", "userData": "hi"}');
  expect(response.status).toBe(200);
  expect(response.headers.get('cache-control')).toBe('no-store');
  const { token, clientId }: { token: string; clientId: string } = JSON.parse(await response.text());
  expect(clientId).toBe('18446744073709551615');
  const { protocolId, addresses } = decodeToken(token);
  expect(protocolId).toBe(77n);
  expect(addresses.map(({ host, port }) => `${host}:${port}`)).toEqual([gateway.address]);
  expect((await post(gateway.tokenUrl, '')).status).toBe(200);
});

describe('the HTTP endpoint', () => {
  let shared: TestGateway;
  beforeAll(async () => {
    shared = await TestGateway.start();
  });
  afterAll(() => shared[Symbol.asyncDispose]());

  test.each([
    ['not JSON', 'POST', '/token', '{', {}, 400],
    ['not an object', 'POST', '/token', '[]', {}, 400],
    ['an unknown field', 'POST', '/token', '{"client": 1}', {}, 400],
    ['a negative id', 'POST', '/token', '{"clientId": -1}', {}, 400],
    ['an id that JSON cannot hold', 'POST', '/token', '{"clientId": 9007199254740993}', {}, 400],
    ['user data that is no text', 'POST', '/token', '{"userData": 5}', {}, 400],
    ['too much user data', 'POST', '/token', `{"userData": "${'x'.repeat(900)}"}`, {}, 400],
    ['a body beyond all measure', 'POST', '/token', 'x'.repeat(10_000), {}, 413],
    ['a wire format that is none', 'POST', '/token', '{"wire": "http"}', {}, 400],
    ['a wire format that the gateway does not speak', 'POST', '/token', '{"wire": "netcode"}', {}, 400],
    ['a web page', 'POST', '/token', '{}', { origin: 'http://example.com' }, 403],
    ['another method', 'PUT', '/token', '{}', {}, 404],
    ['another path', 'POST', '/', '{}', {}, 404],
  ])('refuses %s', async (_, method, path, body, headers, status) => {
    const response = await fetch(shared.http + path, { method, body, headers });
    expect(response.status).toBe(status);
    expect(JSON.parse(await response.text())).toEqual({ error: expect.any(String) });
  });
});

test('/healthz says how the gateway is', async () => {
  await using gateway = await TestGateway.start('--max-peers', '12');
  const response = await fetch(`${gateway.http}/healthz`);
  expect(response.status).toBe(200);
  expect(JSON.parse(await response.text())).toEqual({
    status: 'ok',
    address: gateway.address,
    protocolId: '1',
    peers: 0,
    maxPeers: 12,
    driver: 'loop',
    uptimeSeconds: expect.any(Number),
    rssBytes: expect.any(Number),
  });
});

describe.runIf(process.platform === 'linux')('on I/O threads', () => {
  test('a gateway says so, and ping and load on threads are answered', async () => {
    await using gateway = await TestGateway.start('--driver', 'threads', '--threads', '2');
    expect(gateway.listening).toMatchObject({ driver: 'threads', threads: 2 });
    const health = await fetch(`${gateway.http}/healthz`);
    expect(JSON.parse(await health.text())).toMatchObject({ driver: 'threads', threads: 2 });
    const { code } = await gateway.run('ping', ...once);
    expect(code).toBe(0);
    const load = await gateway.run(
      ...['load', '--peers', '20', '--seconds', '0.5', '--json'],
      ...['--driver', 'threads', '--spin-micros', '10', '--sockets', '2'],
    );
    expect(load.code).toBe(0);
    expect(JSON.parse(load.stdout)).toMatchObject({ peers: { connected: 20, disconnected: 0 } });
  });

  test('a gateway tells people likewise', async () => {
    const gateway = gatewayForPeople(['--driver', 'threads']);
    await gateway.sees(/^driver +1 I\/O thread$/m);
    expect((await gateway.interrupt()).code).toBe(0);
  });

  test('a demonstration runs', async () => {
    const options = ['--driver', 'threads', '--threads', '2', '--spin-micros', '0'];
    const { code, stdout } = await hawser('demo', '--peers', '20', '--seconds', '1', ...options);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Peers +20 of 20 connected in /m);
  });

  test('doctor connects over them, and compares the processors', async () => {
    const options = ['--driver', 'threads', '--threads', '64', '--json'];
    const { code, stdout } = await hawser('doctor', ...options);
    expect(code).toBe(0);
    const { checks }: { checks: { name: string; status: string; advice?: string }[] } = JSON.parse(stdout);
    const found = (name: string): object => checks.find((check) => check.name === name) ?? expect.fail(name);
    expect(found('loopback')).toMatchObject({ status: 'ok' });
    if (availableParallelism() < 65) {
      const advice = 'JavaScript and 64 I/O threads want 65: with fewer, they wait for each other';
      expect(found('processors')).toMatchObject({ status: 'warn', advice });
    }
  });
});

test('--simulate impairs the traffic of a gateway, which says so', async () => {
  const profile = 'delay=50ms,jitter=5ms,loss=0%';
  const gateway = gatewayForPeople(['--simulate', profile]);
  const [, tokenUrl = ''] = await gateway.sees(/POST (\S+)/);
  await gateway.sees(/^network impaired on purpose: delay=50ms,jitter=5ms,loss=0%, in each direction$/m);
  const { code, stdout } = await hawser('ping', '--token-url', tokenUrl, ...once, '--json');
  expect(code).toBe(0);
  expect(jsonLines(stdout)[1]?.rttMicros).toBeGreaterThanOrEqual(99_000);
  expect((await gateway.interrupt()).code).toBe(0);
});

test('--simulate tells programs too, and is refused where it is wrong', async () => {
  const rule = '--simulate: loss must be a percentage such as 5%, from 0% to 100%; got "5"';
  await expectWrongUsage(['gateway', '--simulate', 'loss=5'], rule);
  const notice = 'network impaired on purpose: loss=1%, in each direction';
  await using gateway = await TestGateway.start('--simulate', 'loss=1%');
  expect(gateway.listening).toMatchObject({ notice });
  expect((await gateway.command.interrupt()).code).toBe(0);
});

test('ping --simulate impairs its own end', async () => {
  await using gateway = await TestGateway.start();
  const { code, stdout } = await gateway.run('ping', ...once, '--simulate', 'delay=40ms');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^network impaired on purpose: delay=40ms, in each direction\nconnected to /);
});

test('ping sends, hears the echo, and ends with statistics', async () => {
  await using gateway = await TestGateway.start();
  const { code, stdout, stderr } = await gateway.run('ping', ...once, '--json');
  expect([code, stderr]).toEqual([0, '']);
  const [connected, first, end] = jsonLines(stdout);
  expect(connected).toEqual({ connected: gateway.address, connectMicros: expect.any(Number) });
  expect(first).toMatchObject({ sequence: 1, rttMicros: expect.any(Number), session: {} });
  expect(end).toMatchObject({
    statistics: { sent: 1, echoed: 1, lost: 0, rttMicros: { p50: expect.any(Number) }, session: {} },
  });
});

test('ping counts an echo that takes longer than the interval, and the last ones too', async () => {
  await using gateway = await TestGateway.start();
  const { code, stdout } = await gateway.run(
    ...['ping', '--count', '3', '--interval', '10ms', '--simulate', 'delay=60ms', '--json'],
  );
  const { seconds, sent, echoed, lost } = Object(jsonLines(stdout).at(-1)?.statistics);
  expect([sent, echoed + lost]).toEqual([3, 3]);
  // None is given up before a second has passed, which it may while a process stands still.
  expect(lost === 0 || seconds >= 1, stdout).toBe(true);
  expect(code).toBe(echoed > 0 ? 0 : 1);
});

test('ping says what has not come back after a second', async () => {
  const mute = join(folder, 'mute.mjs');
  await writeFile(mute, 'export default () => {};\n');
  await using gateway = await TestGateway.start('--handler', mute);
  const { code, stdout } = await gateway.run('ping', '--count', '2', '--interval', '10ms');
  expect(code).toBe(1);
  expect(stdout).toMatch(/^seq=1 no echo within 1000 ms\nseq=2 no echo within 1000 ms\n/m);
  expect(stdout).toMatch(/^2 sent, 0 echoed, 100\.0 % lost/m);
});

test('ping takes a token, and reads as ping does', async () => {
  await using gateway = await TestGateway.start();
  const { token }: { token: string } = JSON.parse(await (await post(gateway.tokenUrl, '')).text());
  const file = join(folder, 'token');
  await writeFile(file, `${token}\n`);
  const { code, stdout } = await hawser('ping', '--token', `@${file}`, ...once, '--size', '100');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^100 bytes from [\d.]+:\d+: seq=1 time=\S+ .s session=.* offset=.* ms/m);
  expect(stdout).toMatch(/^1 sent, 1 echoed, 0\.0 % lost/m);
});

test('ping goes on until Ctrl-C, which is no failure', async () => {
  await using gateway = await TestGateway.start();
  const ping = gateway.begin('ping', '--interval', '10ms');
  await ping.sees(/seq=[1-9]\d* time=/);
  await ping.sees(/seq=3 /);
  const { code, stdout } = await ping.interrupt();
  expect(code).toBe(0);
  expect(stdout).toMatch(/ sent, \d+ echoed/);
  const told = Array.from(stdout.matchAll(/seq=(\d+) /g), ([, sequence]) => Number(sequence));
  expect(told.slice(0, 3).sort()).toEqual([1, 2, 3]);
});

test('ping fails where nobody answers', async () => {
  const { stdout: key } = await hawser('keygen');
  // Port 9 (discard) of an address that nobody else uses.
  const args = ['ping', '--server', '127.9.9.9:9', '--connect-timeout', '300ms'];
  const { code, stdout, stderr } = await new RunningCommand(args, { HAWSER_KEY: key }).outcome;
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toBe('hawser ping: no gateway of the token answered in time\n');
});

test('ping interrupted before it is connected ends with 130', async () => {
  const { stdout: key } = await hawser('keygen');
  const args = ['ping', '--server', '127.9.9.9:9', '--connect-timeout', '10m'];
  const ping = new RunningCommand(args, { HAWSER_KEY: key, NODE_DEBUG: 'hawser' });
  await ping.complains(/REQUESTING/);
  expect((await ping.interrupt()).code).toBe(130);
});

test('without a gateway and without a key, the error says what to do', async () => {
  const { code, stderr } = await hawser('ping', '--token-url', 'http://127.0.0.1:9/token');
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^hawser ping: cannot get a token from .* start "hawser gateway" there, or give --key .*\n$/,
  );
});

test.each([
  ['hawser', '16-1158'],
  ['netcode', '16-1200'],
])('load connects %s peers of their own addresses and counts what comes back', async (wire, sizes) => {
  await using gateway = await TestGateway.start('--wire', 'both', '--handler', await handler());
  const { code, stdout } = await gateway.run(
    ...['load', '--peers', '30', '--rate', '20', '--size', sizes],
    ...['--seconds', '0.5', '--sockets', '3', '--json', '--wire', wire],
  );
  expect(code).toBe(0);
  const result: { messages: { sent: number; echoed: number; lost: number } } = JSON.parse(stdout);
  expect(result).toMatchObject({
    peers: { requested: 30, connected: 30, disconnected: 0 },
    connectSeconds: expect.any(Number),
    rttMicros: { p50: expect.any(Number), p99: expect.any(Number) },
    failures: {},
  });
  // That every echo counts, load.test.ts shows; here one that takes more than a second is lost.
  const { sent, echoed, lost } = result.messages;
  expect(echoed).toBeGreaterThan(0);
  expect(lost).toBe(sent - echoed);
  const [, hosts = ''] = await gateway.command.sees(/^hosts (.*)$/m);
  expect(new Set(hosts.split(' ')).size).toBe(30);
  for (const host of hosts.split(' ')) expect(host).toMatch(/^127\.1\.0\.\d+$/);
});

/** Echoes, and prints the addresses of 30 peers. */
async function handler(): Promise<string> {
  const file = join(folder, 'handler.mjs');
  await writeFile(
    file,
    `export default (server) => {
      const hosts = [];
      server.on('connect', (peer) => {
        hosts.push(peer.address.split(':')[0]);
        if (hosts.length === 30) console.log('hosts ' + hosts.join(' '));
      });
      server.on('message', (peer, data) => peer.send(data));
    };\n`,
  );
  return file;
}

test.each(wires)('load of %s fails when the gateway has no room for all, and says why', async (wire) => {
  await using gateway = await TestGateway.start('--max-peers', '2', '--wire', 'both');
  const { code, stdout } = await gateway.run('load', '--peers', '5', '--seconds', '0.2', '--wire', wire);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^peers +2 of 5 connected/m);
  expect(stdout).toMatch(/^ +3 x .*SERVER_FULL/m);
});

test('a load with the client ids of another one takes its sessions over', async () => {
  await using gateway = await TestGateway.start();
  // The ids go on with 0 behind the greatest one.
  const ids = ['load', '--peers', '3', '--first-client-id', '0xffffffffffffffff'];
  const first = gateway.begin(...ids);
  await first.sees(/^3 peers, /m);
  const second = gateway.begin(...ids);
  const { code, stdout } = await first.outcome;
  expect(code).toBe(1);
  expect(stdout).toMatch(/^ +3 x connection ended: replaced$/m);
  await second.sees(/^3 peers, /m);
  second.kill('SIGKILL');
  await second.outcome;
});

test.each(['SIGINT', 'SIGTERM'] as const)(
  '%s lets the peers of a gateway leave, then ends with 0',
  async (signal) => {
    // They leave at once, or later if their process stands still.
    await using gateway = await TestGateway.start('--drain', '1m');
    const load = gateway.begin('load', '--peers', '3');
    await load.sees(/^3 peers, /m);
    gateway.command.kill(signal);
    const { code, stdout } = await gateway.command.outcome;
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\{"event":"closed",.*"peers":0,"peersConnected":3,"peersDisconnected":3,.*\}$/m);
    const { code: loadCode, stdout: loadOutput } = await load.outcome;
    expect(loadCode).toBe(1);
    expect(loadOutput).toMatch(/3 x connection ended: closed \(the gateway asked for it\)/);
  },
);

test('a second signal ends a gateway that drains at once', async () => {
  const stubborn = join(folder, 'stubborn.mjs');
  // A drain that never ends: whoever asks for it is told that it has begun.
  await writeFile(
    stubborn,
    `export default (server) => {
      server.drain = () => { console.log('draining'); return new Promise(() => setInterval(() => {}, 1e9)); };
    };\n`,
  );
  await using gateway = await TestGateway.start('--handler', stubborn);
  gateway.command.kill('SIGTERM');
  await gateway.command.sees(/^draining$/m);
  gateway.command.kill('SIGTERM');
  expect((await gateway.command.outcome).code).toBe(143);
});

test('a UDP port in use is one clear line', async () => {
  await using gateway = await TestGateway.start();
  const { code, stdout, stderr } = await gatewayForPeople(['--listen', gateway.address, '--http', 'off'])
    .outcome;
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(
    /^hawser gateway: cannot open a UDP socket on 127\.0\.0\.1:\d+: another socket is bound to it; .*\n$/,
  );
});

test('an HTTP port in use is one clear line', async () => {
  await using gateway = await TestGateway.start();
  const taken = gateway.http.replace('http://', '');
  const { code, stderr } = await gatewayForPeople(['--http', taken]).outcome;
  expect(code).toBe(1);
  expect(stderr).toMatch(
    /^hawser gateway: cannot listen on .* for HTTP: another program listens there; .*\n$/,
  );
});

test('an address of another machine is one clear line', async () => {
  const { code, stderr } = await gatewayForPeople(['--listen', '192.0.2.1:4433', '--http', 'off']).outcome;
  expect(code).toBe(1);
  expect(stderr).toMatch(/^hawser gateway: cannot open a UDP socket on 192\.0\.2\.1:4433: .*\n$/);
});

test('a handler that is missing, or no function, is one clear line', async () => {
  const missing = await gatewayForPeople(['--handler', join(folder, 'none.mjs')]).outcome;
  expect(missing.code).toBe(1);
  expect(missing.stderr).toMatch(/^hawser gateway: cannot load the handler .*\n$/);
  const file = join(folder, 'wrong.mjs');
  await writeFile(file, 'export default 5;\n');
  const wrong = await gatewayForPeople(['--handler', file]).outcome;
  expect(wrong.code).toBe(1);
  expect(wrong.stderr).toMatch(/^hawser gateway: the handler .* must export a function .*\n$/);
});

test('a gateway without an endpoint and without a key shows the key that it made', async () => {
  const gateway = gatewayForPeople(['--http', 'off']);
  const [, address = ''] = await gateway.sees(/udp (127\.0\.0\.1:\d+)/);
  const [key] = await gateway.sees(/hawser-key-1:\d+:[\w-]{43}/);
  const { code } = await hawser('ping', '--key', key, '--server', address, ...once);
  expect(code).toBe(0);
  expect((await gateway.interrupt()).code).toBe(0);
});
