// sync push, sync manager, sync dump and sync forget with each other, over real sockets and in processes of their own.

import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { SyncManager } from '../../src/sync/manager/manager.js';
import { serveSync, syncChannels } from '../../src/sync/over-hawser.js';
import { QueueChanges } from '../../src/sync/queue/lmdb-changes.js';
import { openStore } from '../../src/sync/store/lmdb-store.js';
import { MemoryStore } from '../../src/sync/store/memory-store.js';
import { encodeToken, mintToken, parseKey } from '../../src/token/index.js';
import { Server } from '../../src/transport/server.js';
import { hawserHere } from './in-process.js';
import { ansiEscape, hawser, type Outcome, RunningCommand, temporaryFolder } from './support.js';
import { documentsIn, serverKey, TestManager, toldBeside } from './sync-support.js';

const folder = temporaryFolder();
let folders = 0;

/** A new folder of one test. */
async function newFolder(): Promise<string> {
  const path = join(folder, `${++folders}`);
  await mkdir(path);
  return path;
}

async function write(directory: string, documents: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, data] of Object.entries(documents)) {
    await mkdir(join(directory, name, '..'), { recursive: true });
    await writeFile(join(directory, name), data);
  }
}

test.concurrent('a directory is at the manager as it is, also what was changed, deleted and added since', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, {
    'a.json': '{"n":1}',
    'b.json': '{"n":2}',
    'sub/c.json': '{\n  "big": 12345678901234567890\n}\n',
  });
  await using manager = await TestManager.start(join(root, 'store'));
  const first = await manager.push(docs);
  expect(first).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^3 documents: 3 new, 0 different, 0 gone\. 3 items \(.*\) are at the manager, on its disk\n$/,
    ),
  });
  expect(toldBeside(first)).toBe('');
  await rm(join(docs, 'a.json'));
  await write(docs, { 'b.json': '{"n":22}', 'd.json': '{"n":4}' });
  expect(await manager.pushed(docs)).toEqual({
    index: 'docs',
    documents: 3,
    created: 1,
    modified: 1,
    deleted: 1,
    tooLong: 0,
    items: 3,
    bytes: expect.any(Number),
    retransmitted: 0,
    rejected: 0,
    notApplied: 0,
  });
  expect(await manager.pushed(docs)).toMatchObject({ created: 0, modified: 0, deleted: 0, items: 0 });
  const check = await manager.push(docs, '--check');
  expect([check.code, check.stdout]).toEqual([0, 'the manager has the same 3 documents of docs\n']);
  expect(toldBeside(check)).toBe('');
  const events = await manager.end();
  expect(events.filter(({ event }) => event === 'session')).toMatchObject([
    { module: 'push', mode: 'DELTA', status: 'Ok', applied: 3, rejected: 0 },
    { module: 'push', mode: 'DELTA', status: 'Ok', applied: 3, rejected: 0 },
    { module: 'push', mode: 'CHECK', status: 'Ok' },
  ]);
  expect(events.at(-1)).toMatchObject({ event: 'closed', sessions: 0, counts: { itemsApplied: 6 } });
  const [agent] = events.flatMap((event) => (event.event === 'session' ? [String(event.agent)] : []));
  const dumped = await hawser('sync', 'dump', '--store', manager.store, '--agent', agent ?? '');
  expect(dumped.stdout.split('\n')[2]).toBe(
    '{"index":"docs","id":"sub/c.json","version":"0","document":{"big": 12345678901234567890}}',
  );
  expect(await documentsIn(manager.store)).toEqual([
    {
      'docs/b.json': '{"n":22}',
      'docs/d.json': '{"n":4}',
      'docs/sub/c.json': '{\n  "big": 12345678901234567890\n}\n',
    },
  ]);
});

test.concurrent('the lines of a file are documents, of an index and with an id that can be named', async () => {
  const root = await newFolder();
  const file = join(root, 'hosts.ndjson');
  await writeFile(file, '{"name":"a","n":1}\r\n\n{"name":"b","n":2}\n{"name":"a","n":3}');
  await using manager = await TestManager.start(join(root, 'store'));
  const named = ['--id-field', 'name', '--agent', '42', '--module', 'hosts'];
  expect(await manager.pushed(file, ...named)).toMatchObject({ index: 'hosts', documents: 2, items: 2 });
  expect(await manager.pushed(file, ...named, '--index', 'others')).toMatchObject({
    index: 'others',
    items: 2,
  });
  const hostile = '{"name":"b",\t"n":"\u009b31m\x7f\u202e\u2028"}';
  await writeFile(file, `${hostile}\n`);
  expect(await manager.pushed(file, ...named, '--index', 'others')).toMatchObject({ deleted: 1, items: 2 });
  const events = await manager.end();
  expect(events.find(({ event }) => event === 'session')).toMatchObject({ agent: '42', module: 'hosts' });
  const documents = {
    'hosts/a': '{"name":"a","n":3}',
    'hosts/b': '{"name":"b","n":2}',
    'others/b': hostile,
  };
  expect(await documentsIn(manager.store)).toEqual([documents]);
  expect(await hawser('sync', 'dump', '--store', manager.store)).toEqual({
    code: 0,
    stdout: '42\n',
    stderr: '',
  });
  const others = ['--agent', '42', '--index', 'others'];
  expect(await hawser('sync', 'dump', '--store', manager.store, ...others)).toEqual({
    code: 0,
    stdout:
      '{"index":"others","id":"b","version":"0","document":{"name":"b", "n":"\\u009b31m\\u007f\\u202e\\u2028"}}\n',
    stderr: '',
  });
  const check = await hawser('sync', 'dump', '--store', manager.store, '--check');
  expect(check).toEqual({ code: 0, stdout: 'the store is as it should be\n', stderr: '' });
  const nobody = await hawser('sync', 'dump', '--store', manager.store, '--agent', '43');
  expect(nobody.stderr).toMatch(/^hawser sync dump: there is no agent 43 in the store/);
  expect(nobody.code).toBe(1);
});

test.concurrent('--full puts what is there in place of what the manager has, and of what waits from an earlier run', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}', 'b.json': '{"n":1}' });
  // Nobody listens at the address.
  const early = new RunningCommand(['sync', 'push', docs, '--to', '127.0.0.1:9', '--give-up', '1s'], {
    HAWSER_KEY: serverKey,
  });
  const refused = await early.outcome;
  expect(refused.code).toBe(1);
  expect(refused.stderr).toMatch(/; 2 items wait here: run the command again to go on\n$/);
  await rm(join(docs, 'a.json'));
  await write(docs, { 'b.json': '{"n":2}', 'c.json': '{"n":3}' });
  await using manager = await TestManager.start(join(root, 'store'));
  expect(await manager.pushed(docs, '--full')).toMatchObject({ documents: 2, items: 2 });
  expect(await manager.pushed(docs)).toMatchObject({ items: 0 });

  // An agent of whom the manager has nothing is repaired.
  const other = ['--agent', '1'];
  const check = await manager.push(docs, ...other, '--check');
  expect([check.code, check.stdout]).toEqual([
    1,
    'the manager has other documents of docs; --full replaces them\n',
  ]);
  expect(await manager.pushed(docs, ...other, '--check', '--full')).toMatchObject({ items: 2 });
  expect(await manager.pushed(docs, ...other, '--check', '--full')).toMatchObject({ verdict: 'valid' });
  await manager.end();
  const documents = { 'docs/b.json': '{"n":2}', 'docs/c.json': '{"n":3}' };
  expect(await documentsIn(manager.store)).toEqual([documents, documents]);
});

test.concurrent('a directory without documents is taken for a mistake, unless --delete-all says that it is none', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}' });
  await using manager = await TestManager.start(join(root, 'store'));
  await manager.pushed(docs);
  await rm(join(docs, 'a.json'));
  const advice = 'give --delete-all if it is to';
  const known = `the 1 of docs that it was told: ${advice}`;
  const refused = await manager.push(docs);
  expect([refused.code, refused.stdout]).toEqual([1, '']);
  expect(toldBeside(refused)).toBe(
    `hawser sync push: ${docs} has no documents, and the manager would delete ${known}\n`,
  );
  expect((await manager.push(docs, '--full')).stderr).toContain(known);
  const fresh = ['--state', join(root, 'fresh')];
  expect((await manager.push(docs, ...fresh, '--full')).stderr).toContain(
    `all that it has of docs: ${advice}`,
  );
  expect(await manager.pushed(docs, ...fresh)).toMatchObject({ documents: 0, items: 0 });
  expect(await manager.pushed(docs, '--full', '--delete-all')).toMatchObject({ documents: 0, deleted: 1 });
  expect(await manager.push(docs, '--check')).toMatchObject({ code: 0 });
  await manager.end();
  expect((await documentsIn(manager.store)).filter((documents) => Object.keys(documents).length > 0)).toEqual(
    [],
  );
});

test.concurrent('a document that is too long is named, and the others are brought', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}', 'b.json': `{"b":"${'b'.repeat(61_440)}"}` });
  await using manager = await TestManager.start(join(root, 'store'));
  const pushed = await manager.push(docs);
  expect(pushed.code).toBe(1);
  expect(toldBeside(pushed)).toBe(
    `${join(docs, 'b.json')}: 60.0 KiB are too long, at most 60.0 KiB can be sent; it stays as the manager has it\n`,
  );
  expect(pushed.stdout).toMatch(/1 items .* on its disk; 1 are too long to be sent\n$/);
  await manager.end();
  expect(await documentsIn(manager.store)).toEqual([{ 'docs/a.json': '{"n":1}' }]);
});

test.concurrent('a push gives up when the store of the manager stays full, and another time brings everything', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  const documents = Object.fromEntries(
    Array.from({ length: 40 }, (_, n) => [`${n}.json`, `{"n":${n},"pad":"${'x'.repeat(50_000)}"}`]),
  );
  await write(docs, documents);
  await using full = await TestManager.start(join(root, 'store'), undefined, '--max-store', '0.001');
  for (const args of [['--full'], []]) {
    const { code, stdout, stderr } = await full.push(docs, '--give-up', '1s', ...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^hawser sync push: the manager .*: run the command again.*\n$/m);
  }
  await full.kill();
  await using manager = await TestManager.start(full.store, full.address);
  expect(await manager.pushed(docs)).toMatchObject({ documents: 40, items: 40 });
  await manager.end();
  const expected = Object.entries(documents).map(([name, data]) => [`docs/${name}`, data]);
  expect(await documentsIn(manager.store)).toEqual([Object.fromEntries(expected)]);
});

test.concurrent('an agent keeps no more than the manager is told to let it', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(
    docs,
    Object.fromEntries(Array.from({ length: 40 }, (_, n) => [`${n}.json`, `{"n":"${'x'.repeat(50_000)}"}`])),
  );
  const store = join(root, 'store');
  const both = ['sync', 'manager', '--store', store, '--max-store', '0.001', '--max-agent-store', '0.002'];
  expect(await hawser(...both)).toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/--max-agent-store must be no more/),
  });
  await using manager = await TestManager.start(store, undefined, '--max-agent-store', '0.001');
  const { code, stdout, stderr } = await manager.push(docs);
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toMatch(/AgentFull|may keep/);
});

test.concurrent('a push connects with a token, which must list the address', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}' });
  await using manager = await TestManager.start(join(root, 'store'));
  const { stdout: token } = await hawser(
    ...['token', '--key', serverKey, '--server', manager.address, '--client-id', '5'],
  );
  const run = (...args: string[]): RunningCommand => new RunningCommand(['sync', 'push', docs, ...args]);
  const piped = run('--token', '-', '--to', manager.address, '--json');
  piped.write(token);
  expect(await piped.outcome).toMatchObject({ code: 0, stderr: '' });
  const elsewhere = await run('--token', token.trim(), '--to', '127.0.0.1:1').outcome;
  expect(elsewhere).toEqual({
    code: 2,
    stdout: '',
    stderr: `hawser sync push: --to 127.0.0.1:1: the token is for ${manager.address}; ask for one that lists it (see "hawser sync push --help")\n`,
  });
  const events = await manager.end();
  expect(events.find(({ event }) => event === 'session')).toMatchObject({ agent: '5', applied: 1 });
});

test.concurrent('a manager tells people its key once, what it does, and nothing of terminals elsewhere', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  const store = join(root, 'store');
  await write(docs, { 'a.json': '{"n":1}' });
  const manager = new RunningCommand(['sync', 'manager', '--store', store, '--listen', '127.0.0.1:0']);
  const [, address = ''] = await manager.sees(/^manager {2}udp (\S+), protocol id 1$/m);
  const [, key = ''] = await manager.sees(/^key {6}(\S+) \(new, for this run only\)$/m);
  const module = ['--module', `x${ansiEscape}]0;title\x07\nagent 4`];
  const push = await hawser('sync', 'push', docs, '--to', address, '--key', key, '--agent', '3', ...module);
  expect([push.code, toldBeside(push)]).toEqual([0, '']);
  await manager.sees(
    /^agent 3, module x\\u\{1b\}\]0;title\\u\{7\}\\u\{a\}agent 4, DELTA: 1 items applied, \d+\.\d\d s$/m,
  );

  const second = await hawser('sync', 'manager', '--store', store, '--listen', '127.0.0.1:0');
  expect([second.code, second.stdout]).toEqual([1, '']);
  expect(second.stderr).toMatch(/^hawser sync manager: .*store is open in process \d+ already\n$/);
  const looking = await hawser('sync', 'dump', '--store', store);
  expect([looking.code, looking.stdout]).toEqual([1, '']);
  expect(looking.stderr).toMatch(/^hawser sync dump: .*store is open in process \d+ already\n$/);

  const { code, stdout, stderr } = await manager.interrupt();
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).not.toContain(ansiEscape);
});

test.concurrent('one push at a time has its folder', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}' });
  const to = ['--to', '127.0.0.1:9', '--key', serverKey];
  const first = new RunningCommand(['sync', 'push', docs, ...to]);
  await expect
    .poll(() => existsSync(join(root, '.docs.hawser-sync', 'queue')), { timeout: 60_000 })
    .toBe(true);
  const second = await hawser('sync', 'push', docs, ...to);
  expect(second.code).toBe(1);
  expect(second.stderr).toMatch(/^hawser sync push: .*known is open in process \d+ already\n$/);
  const interrupted = await first.interrupt();
  expect([interrupted.code, interrupted.stdout]).toEqual([130, '']);
  expect(toldBeside(interrupted)).toMatch(
    /^stopped(; 1 items wait here: run the command again to go on)?\n$/,
  );
});

test.concurrent('a token that has expired ends a push at once, and what waits is kept', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{}' });
  const key = parseKey(serverKey);
  const addresses = ['127.0.0.1:9'];
  const now = (): number => Date.now() - 60_000;
  const token = await mintToken({ protocolId: 1n, key, clientId: 1n, addresses, lifetimeMs: 1000, now });
  const refused = await hawser('sync', 'push', docs, '--token', encodeToken(token));
  expect(refused.code).toBe(1);
  expect(toldBeside(refused)).toBe(
    'hawser sync push: the lifetime of the connect token passed before it was connected; 1 items wait here: run the command again to go on\n',
  );
});

test.concurrent('what was told to one manager is told to another, or as another module, only with --full', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}', 'b.json': '{"n":2}' });
  await using first = await TestManager.start(join(root, 'first'));
  await using second = await TestManager.start(join(root, 'second'));
  expect(await first.pushed(docs, '--agent', '7')).toMatchObject({ items: 2 });
  await rm(join(docs, 'b.json'));
  const { code, stdout, stderr } = await second.push(docs, '--agent', '8', '--module', 'm');
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toMatch(
    /hawser-sync holds was told as agent 7, as module push, to the manager at 127\.0\.0\.1:\d+: give another --state, or --full/,
  );
  // What is gone was never told to this one. The agent is who it was.
  expect(await second.pushed(docs, '--full')).toMatchObject({ created: 1, deleted: 0, items: 1 });
  expect(await second.pushed(docs)).toMatchObject({ items: 0 });
  await second.end();
  expect(await documentsIn(second.store)).toEqual([{ 'docs/a.json': '{"n":1}' }]);
});

test.concurrent('what the manager did not apply is told of by each run until it has everything', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}', 'b.json': '{"n":2}' });
  let isAllowed = false;
  const manager = new SyncManager({ store: new MemoryStore(), allowIndex: () => isAllowed });
  await using server = await Server.listen({
    address: '127.0.0.1:0',
    channels: syncChannels,
    protocolId: 1n,
    keys: [parseKey(serverKey)],
  });
  serveSync(server, manager);
  const to = ['--to', server.address, '--key', serverKey];
  const push = (...args: string[]): Promise<Outcome> => hawser('sync', 'push', docs, ...to, ...args);
  const refused = await push();
  expect(refused).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(/; it did not apply 2 of them\n$/),
  });
  isAllowed = true;
  const again = await push();
  expect(again).toMatchObject({
    code: 1,
    stdout: expect.stringMatching(
      /told everything already; of earlier runs it did not apply 2: --full sends everything again\n$/,
    ),
  });
  expect(await push('--full')).toMatchObject({ code: 0, stdout: expect.stringMatching(/its disk\n$/) });
  expect(await push()).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/told everything already\n$/),
  });
  await manager.close();
});

// ---- Help ----------------------------------------------------------------------------------------------------------

test.each([
  ['push', 'DIR|FILE.ndjson [options]'],
  ['manager', '[options]'],
  ['dump', '[options]'],
])('sync %s --help tells its options, and docs/cli.md all of them', async (name, usage) => {
  const { code, stdout, stderr } = await hawserHere('sync', name, '--help');
  expect([code, stderr]).toEqual([0, '']);
  expect(stdout).toContain(`\nUsage: hawser sync ${name} ${usage}\n`);
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  expect((await hawserHere('help', 'sync', name)).stdout).toBe(stdout);
  const page = await readFile(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const section = page.split(`\n## hawser sync ${name}\n`)[1]?.split('\n## ')[0] ?? '';
  for (const [, option = ''] of stdout.matchAll(/^ {2}(--[a-z-]+)/gm)) {
    if (option !== '--help') expect(section, option).toContain(`\`${option}`);
  }
});

// ---- Wrong usage ---------------------------------------------------------------------------------------------------

let netcodeToken: string;
beforeAll(async () => {
  const token = await hawserHere('token', '--wire=netcode', '--key', serverKey, '--server', '127.0.0.1:1');
  netcodeToken = token.stdout;
});

test.each([
  [['sync', 'push'], 'DIR|FILE.ndjson is missing'],
  [['sync', 'push', 'SOURCE', 'more'], 'unexpected argument "more"'],
  [['sync', 'push', 'SOURCE'], 'give --token, or --key (or HAWSER_KEY) and --to'],
  [['sync', 'push', 'SOURCE', '--key', serverKey], '--key needs --to: the address of the manager'],
  [['sync', 'push', 'SOURCE', '--key', serverKey, '--token', 'x'], '--key and --token exclude each other'],
  [
    ['sync', 'push', 'SOURCE', '--agent', '1', '--token', 'x'],
    '--agent and --token exclude each other: the token says who it is',
  ],
  [['sync', 'push', 'SOURCE', '--token', 'NETCODE'], '--token: it is one of netcode, which cannot sync'],
  [['sync', 'push', 'SOURCE', '--index', ''], '--index: must be a text of 1 to 256 bytes; got ""'],
  [['sync', 'push', 'SOURCE', '--data', 'fast'], '--data: must be reliable or unreliable; got "fast"'],
  [['sync', 'push', 'SOURCE', '--fulll'], 'unknown option --fulll; did you mean --full?'],
  [['sync', 'manager'], '--store: must be given'],
  [
    ['sync', 'manager', '--store', 'STORE', '--json'],
    '--json needs --key (or HAWSER_KEY): of a new one nobody would learn',
  ],
  [['sync', 'manager', '--store', 'STORE', '--threads', '2'], '--threads goes with --driver threads'],
  [['sync', 'dump'], '--store: must be given'],
  [['sync', 'dump', '--store', 'STORE', '--index', 'x'], '--index goes with --agent'],
  [
    ['sync', 'dump', '--store', 'STORE', '--agent', 'x', '--check'],
    '--check looks at the whole store, of every agent',
  ],
])('wrong usage, which leaves nothing behind: %j', async (args, complaint) => {
  const root = await newFolder();
  const source = join(root, 'docs');
  const store = join(root, 'store');
  await write(source, { 'a.json': '{}' });
  const words: Readonly<Record<string, string>> = {
    SOURCE: source,
    STORE: store,
    NETCODE: netcodeToken.trim(),
  };
  const given = args.map((arg) => words[arg] ?? arg);
  const name = args.slice(0, 2).join(' ');
  expect(await hawserHere(...given)).toEqual({
    code: 2,
    stdout: '',
    stderr: `hawser ${name}: ${complaint} (see "hawser ${name} --help")\n`,
  });
  expect(existsSync(join(root, '.docs.hawser-sync'))).toBe(false);
  expect(existsSync(store)).toBe(false);
});

test('"hawser sync" says what there is, and what was meant', async () => {
  const parts = 'say which: sync push, sync manager, sync dump, sync forget (see "hawser --help")';
  expect(await hawserHere('sync')).toEqual({ code: 2, stdout: '', stderr: `hawser: ${parts}\n` });
  const { stderr } = await hawserHere('sync', 'pull');
  expect(stderr).toMatch(/^hawser: unknown command "sync pull"; did you mean "sync push"\?/);
});

test.each([[['sync', '--help']], [['sync', '-h']], [['help', 'sync']]])('%j lists them', async (args) => {
  const { code, stdout, stderr } = await hawserHere(...args);
  expect([code, stderr]).toEqual([0, '']);
  for (const name of ['push', 'manager', 'dump', 'forget'])
    expect(stdout).toMatch(new RegExp(`^  sync ${name} `, 'm'));
  expect(stdout).not.toContain('gateway');
});

test('an agent is deleted from a store, when it is said so twice', async () => {
  const store = join(await newFolder(), 'store');
  const agents = ['41', '42'];
  {
    await using made = await openStore(store);
    for (const agent of agents) {
      const wire = { agent, module: 'm', mode: 'DELTA', size: 1, indices: ['i'] } as const;
      const session = made.begin({ ...wire, session: 1n, nonce: 1n, generation: 1n });
      const data = Buffer.from('{}');
      const change = { operation: 'Upsert', index: 'i', id: 'a', version: 0n, data } as const;
      await made.commit(session, [change], () => 0);
    }
  }
  const forget = (...args: readonly string[]): Promise<Outcome> =>
    hawserHere('sync', 'forget', '--store', store, '--agent', ...args);
  expect(await forget('42')).toEqual({
    code: 1,
    stdout: '',
    stderr: 'hawser sync forget: agent 42: 1 documents, 126 B; give --yes to delete all that is kept of it\n',
  });
  expect(await documentsIn(store)).toEqual([{ 'i/a': '{}' }, { 'i/a': '{}' }]);
  const done = await forget('42', '--yes');
  expect(done).toEqual({ code: 0, stdout: 'agent 42: 1 documents, 126 B, deleted\n', stderr: '' });
  expect((await forget('42', '--yes')).stderr).toMatch(/: there is no agent 42 in the store; /);
  expect((await hawserHere('sync', 'dump', '--store', store)).stdout).toBe('41\n');
  await using _open = await openStore(store);
  expect((await forget('41', '--yes')).stderr).toMatch(/store is open in this process already\n$/);
  expect((await hawserHere('sync', 'forget', '--store', `${store}2`, '--agent', '1')).stderr).toMatch(
    /: there is no store in /,
  );
});

test('a dump makes no store where there is none', async () => {
  const store = join(await newFolder(), 'store');
  const { code, stderr } = await hawserHere('sync', 'dump', '--store', store);
  expect([code, stderr]).toEqual([1, `hawser sync dump: there is no store in ${store}\n`]);
  expect(existsSync(store)).toBe(false);
});

test('what is no source, and what is no token, is said in one line', async () => {
  const root = await newFolder();
  const none = await hawserHere(
    'sync',
    'push',
    join(root, 'none'),
    '--key',
    serverKey,
    '--to',
    '127.0.0.1:1',
  );
  expect([none.code, none.stderr]).toEqual([
    1,
    `hawser sync push: cannot read ${join(root, 'none')}: no such file or directory\n`,
  ]);
  const file = join(root, 'bad.ndjson');
  await writeFile(file, `{"a": ${ansiEscape}]0;title\x07`);
  const hostile = await hawserHere('sync', 'push', file, '--key', serverKey, '--to', '127.0.0.1:1');
  expect(hostile.stderr).toMatch(/^hawser sync push: [^\n]*, line 1: [^\n]*\\u\{1b\}[^\n]*\n$/);
  expect(hostile.stderr).not.toContain(ansiEscape);
  const bad = await hawserHere('sync', 'push', root, '--token', 'nonsense');
  expect(bad.code).toBe(1);
  expect(bad.stderr).toMatch(/^hawser sync push: the connect token is invalid: [^\n]*\n$/);
});

test('a push ends when what the manager has cannot be removed from the queue, and another one goes on', async () => {
  const root = await newFolder();
  const docs = join(root, 'docs');
  await write(docs, { 'a.json': '{"n":1}' });
  await using manager = await TestManager.start(join(root, 'store'));
  const push = ['sync', 'push', docs, '--to', manager.address, '--key', serverKey] as const;
  vi.spyOn(QueueChanges.prototype, 'succeed').mockImplementation(() => {
    throw new HawserError('ERR_HAWSER_DISK_FULL', 'the disk is full');
  });
  const { code, stderr } = await hawserHere(...push);
  expect(stderr).toMatch(/cannot be written: it keeps what the manager has; 1 items wait here/);
  expect(code).toBe(1);
  expect(await hawserHere(...push)).toMatchObject({ code: 0 });
});
