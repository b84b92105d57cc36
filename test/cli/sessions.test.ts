// sessions ls, sessions show and sessions expire on stores on the disk. What they do with etcd is in sessions-cluster.test.ts.

import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ownerKey, responseKey } from '../../src/sessions/store/keys.js';
import { encodeOwner } from '../../src/sessions/store/records.js';
import { hawserHere } from './in-process.js';
import { keysIn, makeStore, ownerOf, sessionWrites } from './sessions-support.js';
import { ansiEscape, jsonLines, RunningCommand, temporaryFolder } from './support.js';

const folder = temporaryFolder();
let folders = 0;

/** The path of a store that is not there yet. */
function newStore(): string {
  return join(folder, `${++folders}`);
}

const first = '11111111-1111-4111-8111-111111111111';
const second = '22222222-2222-4222-8222-222222222222';

// ---- ls ------------------------------------------------------------------------------------------------------------

test('ls lists sessions by id, with what the store knows of each', async () => {
  const directory = newStore();
  await makeStore(directory, [
    ...sessionWrites(second, ownerOf({ identity: `7\u009b31m${ansiEscape}`, delivery: 'at-most-once' })),
    ...sessionWrites(first),
  ]);
  const { code, stdout, stderr } = await hawserHere('sessions', 'ls', '--store', `lmdb:${directory}`);
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout.split('\n')).toEqual([
    ['session'.padEnd(36), 'created'.padEnd(24), 'gateway'.padEnd(28), 'identity'].join('  '),
    `${first}  2026-01-31T12:00:00.000Z  127.0.0.1:4433 (gone)         42`,
    `${second}  2026-01-31T12:00:00.000Z  127.0.0.1:4433 (gone)         7\\u{9b}31m\\u{1b}`,
    '2 sessions, 2 of gateways that are gone',
    '',
  ]);
  const json = await hawserHere('sessions', 'ls', '--store', `lmdb:${directory}`, '--json');
  const common = {
    createdAt: '2026-01-31T12:00:00.000Z',
    capabilities: { hawser: '1' },
    gateway: '127.0.0.1:4433',
    epoch: '1-1',
    gatewayLives: false,
  };
  expect(jsonLines(json.stdout)).toEqual([
    { sessionId: first, identity: '42', delivery: 'exactly-once', ...common },
    { sessionId: second, identity: `7\u009b31m${ansiEscape}`, delivery: 'at-most-once', ...common },
  ]);
  expect(json.stdout).not.toContain(ansiEscape);
});

test('ls reads a store of many sessions in pages, and lists each once', async () => {
  const directory = newStore();
  const ids = Array.from({ length: 2500 }, (_, n) => `session-${String(n).padStart(5, '0')}`);
  const value = encodeOwner(ownerOf());
  await makeStore(
    directory,
    ids.map((id) => ({ type: 'put', key: ownerKey(id), value })),
  );
  const { stdout } = await hawserHere('sessions', 'ls', '--store', `lmdb:${directory}`, '--json');
  expect(jsonLines(stdout).map(({ sessionId }) => sessionId)).toEqual(ids);
});

test('a record that cannot be read hides no other, and is a failure', async () => {
  const directory = newStore();
  const broken = { type: 'put', key: ownerKey(first), value: Buffer.from('{"gateway":5}') } as const;
  const wrongOutcome = { type: 'put', key: responseKey(second, 9), value: Buffer.from([7]) } as const;
  await makeStore(directory, [broken, ...sessionWrites(second)]);
  await makeStore(directory, [wrongOutcome]);
  const store = ['--store', `lmdb:${directory}`];
  const listed = await hawserHere('sessions', 'ls', ...store);
  expect(listed.code).toBe(1);
  expect(listed.stdout).toMatch(
    new RegExp(`^${first} .* \\(its record cannot be read\\)\n${second} .* 42$`, 'm'),
  );
  expect(listed.stdout).toMatch(/^2 sessions, 1 of .* gone, 1 with a record that cannot be read$/m);
  const shown = await hawserHere('sessions', 'show', second, ...store);
  expect(shown.code).toBe(1);
  expect(shown.stdout).toMatch(/^outcome of request 9 cannot be read\noutcome of request 10: error, 2 B$/m);
  expect(await hawserHere('sessions', 'show', first, ...store)).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/^unreadable +yes$/m),
  });
  expect(await hawserHere('sessions', 'expire', first, ...store)).toEqual({
    code: 0,
    stdout: `session ${first} is removed\n`,
    stderr: '',
  });
});

// ---- show ----------------------------------------------------------------------------------------------------------

test('show tells all that is kept of a session, payloads only when asked', async () => {
  const directory = newStore();
  await makeStore(directory, [...sessionWrites(first), ...sessionWrites(`${first}0`)]);
  const shown = await hawserHere('sessions', 'show', first, '--store', `lmdb:${directory}`);
  expect(shown).toEqual({ code: 0, stdout: expect.any(String), stderr: '' });
  expect(shown.stdout.split('\n')).toEqual([
    `session             ${first}`,
    'identity            42',
    'created             2026-01-31T12:00:00.000Z',
    'delivery            exactly-once',
    'capabilities        {"hawser":"1"}',
    'gateway             127.0.0.1:4433',
    'epoch               1-1',
    'gateway lives       no',
    'lowest pending id   9',
    'last server request 11',
    'outcome of request 9: result, 9 B',
    'outcome of request 10: error, 2 B',
    'server request 10: 2026-01-31T12:00:00.000Z, 2 B',
    'server request 11: 2026-01-31T12:00:00.000Z, 2.9 KiB',
    '',
  ]);
  const all = await hawserHere('sessions', 'show', first, '--store', `lmdb:${directory}`, '--payloads');
  expect(all.stdout).toMatch(/^outcome of request 9: result, 9 B\n {2}"nine\\u001b\[31m"\noutcome /m);
  expect(all.stdout).toMatch(/^outcome of request 10: error, 2 B\n {2}base64 \/wA=$/m);
});

test('show --json tells it in lines: the session, its outcomes, its server requests', async () => {
  const directory = newStore();
  await makeStore(directory, sessionWrites(first));
  const asked = ['sessions', 'show', first, '--store', `lmdb:${directory}`, '--json'];
  const session = {
    sessionId: first,
    identity: '42',
    createdAt: '2026-01-31T12:00:00.000Z',
    delivery: 'exactly-once',
    capabilities: { hawser: '1' },
    gateway: '127.0.0.1:4433',
    epoch: '1-1',
    gatewayLives: false,
    lowestPendingRequestId: 9,
    lastServerRequestId: 11,
  };
  expect(jsonLines((await hawserHere(...asked)).stdout)).toEqual([
    { session },
    { outcome: { requestId: 9, outcome: 'result', bytes: 9 } },
    { outcome: { requestId: 10, outcome: 'error', bytes: 2 } },
    { serverRequest: { requestId: 10, createdAt: '2026-01-31T12:00:00.000Z', bytes: 2 } },
    { serverRequest: { requestId: 11, createdAt: '2026-01-31T12:00:00.000Z', bytes: 3000 } },
  ]);
  const [, , error] = jsonLines((await hawserHere(...asked, '--payloads')).stdout);
  expect(error).toMatchObject({ outcome: { payloadBase64: '/wA=' } });
});

// ---- expire --------------------------------------------------------------------------------------------------------

test('expire removes a session and everything of it, and nothing else', async () => {
  const directory = newStore();
  const kept = { type: 'put', key: 'a/count', value: Buffer.from('1') } as const;
  await makeStore(directory, [...sessionWrites(first), ...sessionWrites(second), kept]);
  const others = (await keysIn(directory)).filter((key) => !key.includes(first));
  const store = ['--store', `lmdb:${directory}`];
  expect(await hawserHere('sessions', 'expire', first, ...store)).toEqual({
    code: 0,
    stdout: `session ${first} of 42 is removed\n`,
    stderr: '',
  });
  expect(await keysIn(directory)).toEqual(others);
  for (const command of ['expire', 'show']) {
    expect(await hawserHere('sessions', command, first, ...store)).toEqual({
      code: 1,
      stdout: '',
      stderr: `hawser sessions ${command}: there is no session ${first} in the store; "hawser sessions ls" lists them\n`,
    });
  }
});

// ---- Stores --------------------------------------------------------------------------------------------------------

test('a store that is not there is not made, and one that is something else is refused', async () => {
  const directory = newStore();
  for (const command of [['ls'], ['show', first], ['expire', first]]) {
    expect(await hawserHere('sessions', ...command, '--store', `lmdb:${directory}`)).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^hawser sessions \w+: there is no store in /),
    });
  }
  await mkdir(directory);
  const manager = ['sync', 'manager', '--store', directory, '--listen', '127.0.0.1:0'];
  const running = new RunningCommand(manager);
  await running.sees(/^manager /m);
  await running.interrupt();
  expect(await hawserHere('sessions', 'ls', '--store', `lmdb:${directory}`)).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(
      /^hawser sessions ls: .* holds hawser-sync-store .*, not hawser-session-store/,
    ),
  });
});

test('without a store that can be looked into, the commands say what to give', async () => {
  expect(await hawserHere('sessions', 'ls')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/--store: must be given/),
  });
  expect(await hawserHere('sessions', 'ls', '--store', 'memory')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(
      /^hawser sessions ls: --store: sessions in memory are seen by their gateway alone/,
    ),
  });
  expect(await hawserHere('sessions', 'show')).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/ID is missing/),
  });
});

// ---- Help ----------------------------------------------------------------------------------------------------------

test.each([
  ['ls', '[options]'],
  ['show', 'ID [options]'],
  ['expire', 'ID [options]'],
  ['client', '[options]'],
])('sessions %s --help tells its options, and docs/cli.md all of them', async (name, usage) => {
  const { code, stdout, stderr } = await hawserHere('sessions', name, '--help');
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toContain(`\nUsage: hawser sessions ${name} ${usage}\n`);
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  expect((await hawserHere('help', 'sessions', name)).stdout).toBe(stdout);
  const page = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const section = page.split(`\n## hawser sessions ${name}\n`)[1]?.split('\n## ')[0] ?? '';
  for (const [, option = ''] of stdout.matchAll(/^ {2}(--[a-z-]+)/gm)) {
    if (option !== '--help') expect(section, option).toContain(`\`${option}`);
  }
});
