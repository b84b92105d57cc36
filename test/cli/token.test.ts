// hawser token --wire netcode, and --out for tokens of either wire.

import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { judgeToken } from '../../src/cli/token-verdict.js';
import {
  decodeToken,
  formatKey,
  generateKey,
  mintToken,
  openNetcodeToken,
  openToken,
} from '../../src/token/index.js';
import { expectWrongUsage, hawser, RunningCommand, temporaryFolder } from './support.js';

const key = formatKey(generateKey({ id: 9 }));

const folder = temporaryFolder();

const netcode = (...args: string[]): string[] => [
  ...['token', '--wire', 'netcode', '--key', key, '--server', '192.0.2.1:40000,[2001:db8::1]:40000'],
  ...args,
];

test('netcode: without a file, the text form of what the key opens', async () => {
  const { code, stdout, stderr } = await hawser(
    ...netcode('--protocol-id', '0xff', '--client-id', '42', '--lifetime', '10m', '--timeout', '5s'),
    ...['--user-data', 'hello'],
  );
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toMatch(/^[\w-]{2731}\n$/);
  const opened = await openNetcodeToken(stdout.trim(), [key]);
  expect(opened).toMatchObject({
    protocolId: 255n,
    clientId: 42n,
    timeoutMs: 5000,
    addresses: [
      { host: '192.0.2.1', port: 40_000 },
      { host: '2001:db8::1', port: 40_000 },
    ],
  });
  expect(opened.expireTimeMs - opened.createTimeMs).toBe(600_000);
  expect(Buffer.from(opened.userData.subarray(0, 6)).toString()).toBe('hello\0');
});

test('netcode: --out writes the 2,048 bytes that a C client reads, for the owner alone and never over a file', async () => {
  const file = join(folder, 'netcode.token');
  const made = await hawser(...netcode('--client-id', '42', '--out', file));
  expect(made).toEqual({ code: 0, stdout: `the token of client 42 is in ${file}\n`, stderr: '' });
  const bytes = await readFile(file);
  expect(bytes).toHaveLength(2048);
  expect(bytes.subarray(0, 13).toString('latin1')).toBe('NETCODE 1.02\0');
  await expect(openNetcodeToken(bytes, [key])).resolves.toMatchObject({ clientId: 42n });
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const again = await hawser(...netcode('--out', file));
  expect(again).toEqual({
    code: 1,
    stdout: '',
    stderr: `hawser token: ${file} exists already; choose another file, or remove that one\n`,
  });
  expect(await readFile(file)).toEqual(bytes);
});

test('hawser: --out writes bytes too, and --json names the file instead of the token', async () => {
  const file = join(folder, 'hawser.token');
  const { code, stdout } = await hawser(
    ...['token', '--key', key, '--server', '192.0.2.1:4433', '--client-id', '42', '--out', file, '--json'],
  );
  expect(code).toBe(0);
  const shown: Record<string, unknown> = JSON.parse(stdout);
  expect(shown).toMatchObject({ file, wire: 'hawser', clientId: '42', keyId: 9 });
  expect(shown).not.toHaveProperty('token');
  await expect(openToken(await readFile(file), [key])).resolves.toMatchObject({ clientId: 42n });
});

test('a file that cannot be written is named with the reason', async () => {
  const file = join(folder, 'missing', 'token');
  expect(await hawser(...netcode('--out', file))).toEqual({
    code: 1,
    stdout: '',
    stderr: `hawser token: cannot write ${file}: no such file or directory\n`,
  });
});

test('--inspect knows both wires, as text and as bytes, and shows no session keys', async () => {
  const file = join(folder, 'inspected.token');
  const { stdout: made } = await hawser(...netcode('--client-id', '42', '--json'));
  const { token }: { token: string } = JSON.parse(made);
  await writeFile(file, Buffer.from(token, 'base64url'));
  for (const given of [token, `@${file}`]) {
    const { code, stdout } = await hawser('token', '--inspect', given, '--json');
    expect(code).toBe(0);
    const shown: Record<string, unknown> = JSON.parse(stdout);
    expect(shown).toMatchObject({ wire: 'netcode', protocolId: '1', timeoutMs: 15_000, expired: false });
    expect(Object.keys(shown).toSorted()).toEqual(
      [
        ...['wire', 'protocolId', 'addresses', 'createTime', 'expireTime', 'expired', 'timeoutMs'],
        ...['accepted', 'verdict'],
      ].toSorted(),
    );
    const all = await hawser('token', '--inspect', given, '--key', key, '--json');
    expect(JSON.parse(all.stdout)).toMatchObject({ clientId: '42' });
  }
  const piped = new RunningCommand(['token', '--inspect', '-']);
  piped.write(`${token}\n`);
  expect((await piped.outcome).stdout).toMatch(/^wire +netcode$/m);
  const other = await hawser('token', '--inspect', token, '--key', formatKey(generateKey({ id: 9 })));
  expect(other.code).toBe(1);
  expect(other.stdout).toMatch(/^accepted +no$/m);
  expect(other.stdout).toMatch(/^verdict +the key does not open the private part/m);
});

test.each<[string, readonly string[], readonly string[], RegExp]>([
  [
    'another protocol id',
    [],
    ['--protocol-id', '2'],
    /PROTOCOL_MISMATCH: the token is for protocol 1, the gateway serves 2/,
  ],
  [
    'another gateway',
    [],
    ['--server', '192.0.2.9:1'],
    /WRONG_ADDRESS: it lists 127.0.0.1:4433, but not 192.0.2.9:1/,
  ],
  [
    'another key',
    [],
    ['--key', formatKey(generateKey({ id: 9 }))],
    /the key does not open the private part, which is sealed with key \d+/,
  ],
])('--inspect says why a gateway would refuse a token: %s', async (_, minting, asking, reason) => {
  const made = await hawser('token', '--key', key, '--server', '127.0.0.1:4433', ...minting);
  const token = made.stdout.trim();
  const accepted = await hawser('token', '--inspect', token, '--key', key, '--json');
  expect(accepted.code).toBe(0);
  expect(JSON.parse(accepted.stdout)).toMatchObject({ accepted: true });
  const { code, stdout } = await hawser('token', '--inspect', token, ...asking, '--json');
  expect(code).toBe(1);
  const shown: { accepted: boolean; verdict: string[] } = JSON.parse(stdout);
  expect(shown.accepted).toBe(false);
  expect(shown.verdict).toEqual([expect.stringMatching(reason)]);
});

test.each<[string, number, string | undefined]>([
  ['20 s ahead', 20_000, undefined],
  ['61 s ahead', 61_000, 'TOKEN_FUTURE: it was created 61 s ahead'],
  ['expired 59 s ago', -3_659_000, undefined],
  ['expired 61 s ago', -3_661_000, 'TOKEN_EXPIRED: it expired 61 s ago'],
])('a gateway with the default skew of 60 s and a token created %s', async (_, createdAtMs, refusal) => {
  const nowMs = 1_800_000_000_000;
  const minted = await mintToken({
    protocolId: 1n,
    key,
    clientId: 1n,
    addresses: ['127.0.0.1:4433'],
    lifetimeMs: 3_600_000,
    now: () => nowMs + createdAtMs,
  });
  const gateway = { protocolId: 1n, addresses: [], nowMs, isOpened: true };
  const { accepted, verdict } = judgeToken(decodeToken(minted), gateway);
  expect(accepted).toBe(refusal === undefined);
  if (refusal !== undefined) expect(verdict).toEqual([expect.stringContaining(refusal)]);
});

test('--inspect shows a token that never expires', async () => {
  const { stdout: made } = await hawser(...netcode());
  const bytes = Buffer.from(made.trim(), 'base64url').fill(255, 29, 37);
  const { stdout } = await hawser('token', '--inspect', bytes.toString('base64url'));
  expect(stdout).toMatch(/^expire time +never$/m);
  expect(stdout).toMatch(/^expired +no$/m);
});

test.each([
  [
    netcode('--single-use'),
    '--single-use is of no use with --wire netcode: every netcode token opens one session',
  ],
  [netcode('--lifetime', '1500ms'), '--lifetime: must be in whole seconds with --wire netcode; got 1500 ms'],
  [netcode('--timeout', '1001ms'), '--timeout: must be in whole seconds with --wire netcode; got 1001 ms'],
  [netcode('--wire', 'pomelo'), '--wire: must be hawser or netcode; got "pomelo"'],
  [['token', '--inspect', 'x', '--out', 'y'], '--out and --inspect exclude each other'],
  [
    ['ping', '--wire', 'netcode', '--key', key, '--timeout', '1.5s'],
    '--timeout: must be in whole seconds with --wire netcode; got 1500 ms',
  ],
])('wrong usage: %j', expectWrongUsage);

test('netcode: more user data than the format has room for', async () => {
  const { code, stderr } = await hawser(...netcode('--user-data', 'x'.repeat(257)));
  expect(code).toBe(1);
  expect(stderr).toMatch(/^hawser token: userData must be a Uint8Array of 0 to 256 bytes; .*\n$/);
});
