// The command line itself: help, wrong usage, and the commands that need no network.

import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { decodeToken, openToken, parseKey } from '../../src/token/index.js';
import { ansiEscape, expectWrongUsage, hawser, RunningCommand, temporaryFolder } from './support.js';

const commands = ['gateway', 'load', 'demo', 'ping', 'token', 'keygen', 'doctor'];

const folder = temporaryFolder();

test.each([[['--help']], [['help']], [[]], [['-h']]])('%j lists every command', async (args) => {
  const { code, stdout, stderr } = await hawser(...args);
  expect(code).toBe(0);
  expect(stderr).toBe('');
  for (const name of commands) expect(stdout).toMatch(new RegExp(`^  ${name} `, 'm'));
});

test.each(commands)('%s --help tells its options, as "hawser help" with its name does', async (name) => {
  const { code, stdout, stderr } = await hawser(name, '--help');
  expect(code).toBe(0);
  expect(stderr).toBe('');
  expect(stdout).toContain(`Usage: hawser ${name} [options]`);
  expect(stdout).toContain('--help');
  expect(stdout).not.toMatch(/--control\b(?!-)/);
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  expect((await hawser('help', name)).stdout).toBe(stdout);
});

test('every option in the help is described in docs/cli.md', async () => {
  const page = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  for (const name of commands) {
    const { stdout } = await hawser(name, '--help');
    const section = page.split(`\n## hawser ${name}\n`)[1]?.split('\n## ')[0] ?? '';
    for (const [, option = ''] of stdout.matchAll(/^ {2}(--[a-z-]+)/gm)) {
      if (option !== '--help') expect(section, `${option} of ${name}`).toContain(`\`${option}`);
    }
  }
});

test('--version is that of the package', async () => {
  const manifest: { version: string } = JSON.parse(
    await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  expect((await hawser('--version')).stdout).toBe(`${manifest.version}\n`);
});

test.each([
  ['pong', 'hawser: unknown command "pong"; did you mean "ping"? (see "hawser --help")'],
  ['--nope', 'hawser: unknown option --nope (see "hawser --help")'],
])('what is no command: %s', async (word, line) => {
  expect(await hawser(word)).toEqual({ code: 2, stdout: '', stderr: `${line}\n` });
});

test.each([
  ['load --peer 1', 'unknown option --peer; did you mean --peers?'],
  ['demo now', 'unexpected argument "now"'],
  ['load --size 8', '--size: must be a size in bytes or a range such as 16-200, from 16 to 1200; got "8"'],
  ['ping --server 127.0.0.1:1', '--server needs the key of that gateway: give --key, or set HAWSER_KEY'],
  ['token --server 127.0.0.1:1', 'no server key: give --key, or set HAWSER_KEY; "hawser keygen" makes one'],
  ['gateway --wire http', '--wire: must be hawser, netcode or both; got "http"'],
  ['load --wire both', '--wire: must be hawser or netcode; got "both"'],
  ['demo --wire both', '--wire: must be hawser or netcode; got "both"'],
  ['ping --wire both', '--wire: must be hawser or netcode; got "both"'],
  [
    'gateway --netcode-token-lifetime 10m',
    '--netcode-token-lifetime goes with --wire netcode or --wire both',
  ],
  [
    'gateway --wire both --netcode-token-lifetime 1500ms',
    '--netcode-token-lifetime: must be in whole seconds with --wire netcode; got 1500 ms',
  ],
  ['gateway --threads 2', '--threads goes with --driver threads'],
  ['gateway --driver thread', '--driver: must be loop or threads; got "thread"'],
  ['gateway --driver threads --threads 65', '--threads: must be a whole number from 1 to 64; got "65"'],
  ['demo --driver loop --spin-micros 5', '--spin-micros goes with --driver threads'],
  ['doctor --threads 1', '--threads goes with --driver threads'],
  ['load --spin-micros 5', '--spin-micros goes with --driver threads'],
  ['load --driver threads --threads 2', 'unknown option --threads'],
  ['load --size 64-1159', '--size: at most 1158 bytes with --wire hawser; got 1159'],
  ['demo --size 64-1159', '--size: at most 1158 bytes with --wire hawser; got 1159'],
  ['ping --size 1159', '--size: at most 1158 bytes with --wire hawser; got 1159'],
  ['ping --wire netcode --size 1201', '--size: must be a whole number from 16 to 1200; got "1201"'],
  [
    'ping --wire netcode --silent',
    '--silent has nothing to show with netcode: its sessions measure no round trip',
  ],
])('wrong usage: hawser %s', (line, complaint) => expectWrongUsage(line.split(' '), complaint));

test('a key with a slip in it is not repeated in the error', async () => {
  const slip = `hawser-key-1:1:${'A'.repeat(42)}`;
  for (const { code, stderr } of [
    await hawser('ping', '--key', slip),
    await new RunningCommand(['ping'], { HAWSER_KEY: slip }).outcome,
  ]) {
    expect(code).toBe(2);
    expect(stderr).toContain('not a server key');
    expect(stderr).not.toContain('AAAA');
  }
});

test('output that is no terminal has no escape sequences', async () => {
  for (const args of [['doctor'], ['--help']])
    expect((await hawser(...args)).stdout).not.toContain(ansiEscape);
});

// ---- keygen, token -------------------------------------------------------------------------------------------------

test('keygen prints a key, with the id that was asked for', async () => {
  const { code, stdout } = await hawser('keygen', '--id', '7');
  expect(code).toBe(0);
  expect(parseKey(stdout.trim()).id).toBe(7);
  const { stdout: other } = await hawser('keygen', '--id', '7', '--json');
  const { id, key }: { id: number; key: string } = JSON.parse(other);
  expect(id).toBe(7);
  expect(key).not.toBe(stdout.trim());
  expect(parseKey(key).id).toBe(7);
});

test('keygen --out writes a file for the owner alone, and never over another', async () => {
  const file = join(folder, 'server.key');
  const made = await hawser('keygen', '--out', file);
  expect(made.code).toBe(0);
  const content = await readFile(file, 'utf8');
  expect(made.stdout).toBe(`key ${parseKey(content.trim()).id} is in ${file}\n`);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  const again = await hawser('keygen', '--out', file);
  expect(again.code).toBe(1);
  expect(again.stderr).toContain('exists already');
  expect(await readFile(file, 'utf8')).toBe(content);
});

test('token makes what keygen’s key opens', async () => {
  const file = join(folder, 'token.key');
  await hawser('keygen', '--id', '9', '--out', file);
  const { code, stdout, stderr } = await hawser(
    ...['token', '--key', `@${file}`, '--server', '192.0.2.1:4433,[2001:db8::1]:4433'],
    ...[
      '--protocol-id',
      '0xff',
      '--client-id',
      '42',
      '--lifetime',
      '10m',
      '--timeout',
      '5s',
      '--single-use',
      '--user-data',
      'hello',
    ],
  );
  expect([code, stderr]).toEqual([0, '']);
  const opened = await openToken(stdout.trim(), [(await readFile(file, 'utf8')).trim()]);
  expect(opened).toMatchObject({
    protocolId: 255n,
    keyId: 9,
    clientId: 42n,
    timeoutMs: 5000,
    singleUse: true,
  });
  expect(Number(opened.expireTimeMs) - Number(opened.createTimeMs)).toBe(600_000);
  expect(opened.addresses).toEqual([
    { host: '192.0.2.1', port: 4433 },
    { host: '2001:db8::1', port: 4433 },
  ]);
  expect(Buffer.from(opened.userData).toString()).toBe('hello');

  const shown = await hawser('token', '--inspect', stdout.trim(), '--json');
  expect(JSON.parse(shown.stdout)).toMatchObject({
    protocolId: '255',
    keyId: 9,
    expired: false,
    singleUse: true,
  });
  expect(shown.stdout).not.toContain('clientId');
  const { clientToServerKey } = decodeToken(stdout.trim());
  expect(shown.stdout).not.toContain(Buffer.from(clientToServerKey).toString('base64').slice(0, 20));

  const all = await hawser('token', '--inspect', stdout.trim(), '--key', `@${file}`, '--json');
  expect(JSON.parse(all.stdout)).toMatchObject({ clientId: '42', userDataBase64: 'aGVsbG8=' });
});

test('token reads key, user data and token from the environment, a file and standard input', async () => {
  const { stdout: key } = await hawser('keygen');
  const data = join(folder, 'user-data');
  await writeFile(data, Buffer.from([0, 1, 255]));
  const mint = new RunningCommand(['token', '--server', '127.0.0.1:1', '--user-data', `@${data}`, '--json'], {
    HAWSER_KEY: key,
  });
  const made: { token: string; userDataBase64: string } = JSON.parse((await mint.outcome).stdout);
  expect(made.userDataBase64).toBe('AAH/');
  const inspect = new RunningCommand(['token', '--inspect', '-']);
  inspect.write(`${made.token}\n`);
  const { code, stdout } = await inspect.outcome;
  expect(code).toBe(0);
  expect(stdout).toMatch(/^addresses +127\.0\.0\.1:1$/m);
  expect(stdout).toMatch(/^expired +no$/m);
});

test('token --inspect refuses what is no token, and another key', async () => {
  const { stdout: key } = await hawser('keygen', '--id', '1');
  const { stdout: other } = await hawser('keygen', '--id', '1');
  const bad = await hawser('token', '--inspect', 'abc');
  expect(bad.code).toBe(1);
  expect(bad.stderr).toMatch(/^hawser token: the connect token is invalid: .*\n$/);
  const { stdout: made } = await hawser('token', '--server', '127.0.0.1:1', '--key', key.trim());
  const wrong = await hawser('token', '--inspect', made.trim(), '--key', other.trim());
  expect(wrong.code).toBe(1);
  expect(wrong.stdout).toMatch(
    /^verdict +the key does not open the private part, which is sealed with key 1/m,
  );
});

// ---- doctor --------------------------------------------------------------------------------------------------------

test('doctor finds what it needs, and says so as JSON', async () => {
  const { code, stdout } = await hawser('doctor', '--json');
  const report: { ok: boolean; checks: { name: string; status: string; found: string; advice?: string }[] } =
    JSON.parse(stdout);
  expect(report.checks.filter(({ status }) => status === 'fail')).toEqual([]);
  expect([code, report.ok]).toEqual([0, true]);
  expect(report.checks.map(({ name }) => name)).toEqual([
    ...['Node.js', 'platform', 'addon', 'libsodium', 'receive buffer', 'send buffer', 'loopback'],
    ...['open files', 'memory', 'processors'],
  ]);
  for (const { status, found, advice } of report.checks) {
    expect(found).not.toBe('');
    expect(advice !== undefined).toBe(status !== 'ok');
  }
});
