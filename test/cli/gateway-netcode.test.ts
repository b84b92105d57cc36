// gateway, ping and load with netcode, over real sockets.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { wireOf } from '../../src/cli/tokens.js';
import {
  decodeNetcodeToken,
  formatKey,
  generateKey,
  mintNetcodeToken,
  openNetcodeToken,
} from '../../src/token/index.js';
import {
  gatewayForPeople,
  hawser,
  jsonLines,
  once,
  type RunningCommand,
  TestGateway,
  temporaryFolder,
} from './support.js';

const key = generateKey({ id: 1 });
const keyText = formatKey(key);
const minting = { protocolId: 1n, key, clientId: 42n };
const minuteMs = 60_000;

const folder = temporaryFolder();

/** What `POST /token` answers. */
async function ask(gateway: TestGateway, content: object): Promise<{ status: number; body: Answer }> {
  const response = await fetch(gateway.tokenUrl, { method: 'POST', body: JSON.stringify(content) });
  return { status: response.status, body: JSON.parse(await response.text()) };
}
interface Answer {
  readonly token: string;
  readonly clientId: string;
  readonly error?: string;
}

/** A file with a netcode token for the gateway, as its bytes. */
async function tokenFile(name: string, options: Parameters<typeof mintNetcodeToken>[0]): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, await mintNetcodeToken(options));
  return file;
}

test('the token endpoint gives netcode tokens, with the lifetime that the gateway was told', async () => {
  await using gateway = await TestGateway.start(
    ...['--wire', 'netcode', '--netcode-token-lifetime', '90s', '--key', keyText, '--protocol-id', '77'],
  );
  expect(gateway.listening.wires).toEqual(['netcode']);
  for (const wire of ['netcode', undefined]) {
    const { status, body } = await ask(gateway, { clientId: '18446744073709551615', userData: 'hi', wire });
    expect([status, body.clientId]).toEqual([200, '18446744073709551615']);
    const { protocolId, addresses, userData, ...token } = await openNetcodeToken(body.token, [key]);
    expect(token.clientId).toBe(18446744073709551615n);
    expect(protocolId).toBe(77n);
    expect(addresses.map(({ host, port }) => `${host}:${port}`)).toEqual([gateway.address]);
    expect(Buffer.from(userData).toString()).toBe(`hi${'\0'.repeat(254)}`);
    expect(token.expireTimeMs - token.createTimeMs).toBe(90_000);
  }
  expect(await ask(gateway, { wire: 'hawser' })).toEqual({
    status: 400,
    body: {
      error: 'this gateway speaks netcode only: start it with --wire hawser or --wire both',
    },
  });
  expect((await ask(gateway, { userData: 'x'.repeat(257) })).status).toBe(400);
});

test('a gateway of both gives the tokens that are asked for, of hawser unless told otherwise', async () => {
  await using gateway = await TestGateway.start('--wire', 'both');
  expect(gateway.listening.wires).toEqual(['hawser', 'netcode']);
  for (const [wire, given] of [
    ['netcode', 'netcode'],
    ['hawser', 'hawser'],
    [undefined, 'hawser'],
  ])
    expect(wireOf((await ask(gateway, { wire })).body.token)).toBe(given);
});

test('a gateway of hawser says that it does not speak netcode', async () => {
  await using gateway = await TestGateway.start();
  expect(gateway.listening.wires).toEqual(['hawser']);
  expect((await ask(gateway, { wire: 'netcode' })).body.error).toBe(
    'this gateway speaks hawser only: start it with --wire netcode or --wire both',
  );
  const { code, stderr } = await gateway.run('ping', '--wire', 'netcode');
  expect(code).toBe(1);
  expect(stderr).toMatch(/^hawser ping: .* refused a token: .*400.*\n$/);
});

test('ping measures echoes of up to 1,200 bytes, and nothing of the session', async () => {
  await using gateway = await TestGateway.start('--wire', 'netcode');
  const args = ['ping', '--wire', 'netcode', ...once];
  const { code, stdout, stderr } = await gateway.run(...args, '--size', '1200', '--json');
  expect([code, stderr]).toEqual([0, '']);
  expect(jsonLines(stdout)).toEqual([
    { connected: gateway.address, connectMicros: expect.any(Number) },
    { sequence: 1, bytes: 1200, rttMicros: expect.any(Number) },
    {
      statistics: {
        ...{ seconds: expect.any(Number), sent: 1, echoed: 1, lost: 0 },
        rttMicros: expect.objectContaining({ p50: expect.any(Number) }),
      },
    },
  ]);
  const shown = await gateway.run(...args);
  expect(shown.stdout).toMatch(/^64 bytes from [\d.]+:\d+: seq=1 time=\S+ .s$/m);
});

test('ping speaks netcode with a gateway that speaks nothing else, without being told', async () => {
  await using gateway = await TestGateway.start('--wire', 'netcode');
  const args = ['ping', ...once];
  const { code, stdout } = await gateway.run(...args);
  expect(code).toBe(0);
  expect(stdout).not.toContain('session=');
  const silent = await gateway.run(...args, '--silent');
  expect(silent.code).toBe(2);
  expect(silent.stderr).toContain('--silent has nothing to show with netcode');
});

test('ping takes the bytes of a token, once', async () => {
  const gateway = await TestGateway.start('--wire', 'netcode');
  await using _ = gateway;
  const { token } = (await ask(gateway, {})).body;
  const file = join(folder, 'raw');
  await writeFile(file, Buffer.from(token, 'base64url'));
  const args = ['ping', '--token', `@${file}`, ...once];
  expect((await hawser(...args)).code).toBe(0);
  const again = await hawser(...args, '--connect-timeout', '500ms');
  expect(again.code).toBe(1);
  expect(again.stderr).toBe(
    'hawser ping: no gateway of the token answered in time; a netcode gateway does not answer to a token that it refuses, but counts it: see "drops" of "hawser gateway --json"\n',
  );
  await gateway.command.sees(/"drops":\{[^}]*"tokenUsed":/);
});

test('ping --wire netcode refuses a hawser token', async () => {
  const { stdout: token } = await hawser('token', '--key', keyText, '--server', '127.0.0.1:9');
  const { code, stderr } = await hawser('ping', '--wire', 'netcode', '--token', token.trim());
  expect(code).toBe(2);
  expect(stderr).toContain('--wire netcode: the --token is one of hawser');
});

// ---- After a restart -----------------------------------------------------------------------------------------------

test('with a key from before, netcode tokens from before are refused, and those of the endpoint count at once', async () => {
  const startedMs = Date.now();
  await using gateway = await TestGateway.start('--wire', 'both', '--key', keyText);
  const from = Date.parse(gateway.listening.netcodeTokensFrom ?? '');
  expect(from).toBeGreaterThan(startedMs + minuteMs);
  expect(from).toBeLessThanOrEqual(Date.now() + minuteMs + 1000);
  const { createTimeMs } = decodeNetcodeToken((await ask(gateway, { wire: 'netcode' })).body.token);
  expect(createTimeMs).toBeGreaterThanOrEqual(from);
  const { code, stderr } = await gateway.run('ping', '--wire', 'netcode', ...once);
  expect([code, stderr]).toEqual([0, '']);

  const addresses = [gateway.address];
  const file = await tokenFile('old', { ...minting, addresses, now: () => Date.now() - minuteMs });
  const ping = await hawser('ping', '--token', `@${file}`, '--connect-timeout', '300ms');
  expect(ping.code).toBe(1);
  await gateway.command.sees(/"drops":\{[^}]*"tokenPredates":/);
});

test('with a key that was made for the run, no netcode token is from before', async () => {
  const gateway = gatewayForPeople(['--http=off', '--wire=netcode']);
  const [, address = ''] = await gateway.sees(/udp (127\.0\.0\.1:\d+)/);
  await gateway.sees(/^speaks +netcode$/m);
  const [made] = await gateway.sees(/hawser-key-1:\d+:[\w-]{43}/);
  const args = ['ping', '--wire', 'netcode', '--key', made, '--server', address, ...once];
  expect((await hawser(...args)).code).toBe(0);
  const { code, stdout } = await gateway.interrupt();
  expect(code).toBe(0);
  expect(stdout).not.toContain('refused');
});

test('a gateway tells people from when on netcode tokens count', async () => {
  const gateway = gatewayForPeople(['--wire=both', '--netcode-token-lifetime=10m'], {
    HAWSER_KEY: keyText,
  });
  await gateway.sees(/^speaks +hawser and netcode$/m);
  await gateway.sees(
    /^netcode tokens from before \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ are refused: .* live 600 s \(--netcode-token-lifetime\), .*docs\/netcode\.md$/m,
  );
  expect((await gateway.interrupt()).code).toBe(0);
});

test('tokens that live longer than the gateway was told are refused', async () => {
  await using gateway = await TestGateway.start(
    ...['--wire', 'netcode', '--key', keyText, '--netcode-token-lifetime', '1m'],
  );
  const file = await tokenFile('long', {
    ...minting,
    addresses: [gateway.address],
    lifetimeMs: 10 * minuteMs,
  });
  const ping = await hawser('ping', '--token', `@${file}`, '--connect-timeout', '300ms');
  expect(ping.code).toBe(1);
  await gateway.command.sees(/"drops":\{[^}]*"tokenLifetime":/);
});

// ---- Both at once --------------------------------------------------------------------------------------------------

test('a gateway of both counts its peers by wire format, and disconnects netcode peers when it ends', async () => {
  // So long the peers of hawser have to leave when they are asked to. Those of netcode cannot be asked: it takes all of it.
  await using gateway = await TestGateway.start('--wire', 'both', '--drain', '10s');
  const load = (wire: string, peers: number): RunningCommand =>
    gateway.begin('load', '--wire', wire, '--peers', String(peers));
  const loads = [load('hawser', 2), load('netcode', 3)];
  await gateway.command.sees(/"peers":5,"peersByWire":\{"hawser":2,"netcode":3\}/);
  const health = await fetch(`${gateway.http}/healthz`);
  expect(JSON.parse(await health.text())).toMatchObject({ peers: 5, peersByWire: { hawser: 2, netcode: 3 } });
  for (const [index, each] of loads.entries()) await each.sees(new RegExp(`^${index + 2} peers, `, 'm'));
  gateway.command.kill('SIGTERM');
  expect((await gateway.command.outcome).code).toBe(0);
  const [hawserLoad, netcodeLoad] = await Promise.all(loads.map(({ outcome }) => outcome));
  expect(hawserLoad?.stdout).toMatch(/2 x connection ended: closed \(the gateway asked for it\)/);
  expect(netcodeLoad?.stdout).toMatch(/3 x connection ended: disconnected$/m);
});

test('load refuses to share sockets where netcode could not tell its peers apart', async () => {
  const { code, stderr } = await hawser(
    ...['load', '--wire', 'netcode', '--key', keyText, '--server', '[::1]:9'],
    ...['--peers', '3', '--sockets', '2'],
  );
  expect(code).toBe(2);
  expect(stderr).toMatch(/^hawser load: --sockets: netcode tells connections apart by their addresses alone/);
});
