// What is interrupted in its midst goes on where it was: real processes that are stopped and killed.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { encodeToken, mintToken, parseKey } from '../../src/token/index.js';
import { temporaryFolder } from './support.js';
import { documentsIn, serverKey, TestManager, toldBeside } from './sync-support.js';

const folder = temporaryFolder();
const file = join(folder, 'hosts.ndjson');
const size = 600;
/** So that there is a midst: 14 s, the first items of a second being sent at once. */
const slowly = ['--eps', '40'];
/** For what is interrupted anyway: 29 s. */
const forLong = ['--eps', '20'];
const lines = Array.from(
  { length: size },
  (_, n) => `{"id":"host-${n}","n":${n},"pad":"${'x'.repeat(n % 50)}"}`,
);

/** What a store has of these lines. */
function documentsOf(index: string, given: readonly string[]): Record<string, string> {
  return Object.fromEntries(given.map((line) => [`${index}/${JSON.parse(line).id}`, line]));
}

const documents = documentsOf('hosts', lines);

beforeAll(() => writeFile(file, `${lines.join('\n')}\n`));

/** The manager's store and the state of the push of one test. */
function places(name: string): { readonly store: string; readonly state: readonly string[] } {
  return { store: join(folder, `${name}-store`), state: ['--state', join(folder, `${name}-state`)] };
}

/** A token whose connection is known to be lost before a test is over, but not when a process stands still for a while. */
async function hastyToken(address: string): Promise<string> {
  const key = parseKey(serverKey);
  const token = await mintToken({
    protocolId: 1n,
    key,
    clientId: 1n,
    addresses: [address],
    timeoutMs: 10_000,
  });
  return encodeToken(token);
}

/** What the manager counted in the end. */
function countsOf(events: readonly Record<string, unknown>[]): unknown {
  return events.find(({ event }) => event === 'closed')?.counts;
}

test.concurrent('Ctrl-C stops a push with what waits kept, and the next run goes on with the same session', async () => {
  const { store, state } = places('stopped');
  await using manager = await TestManager.start(store);
  const push = manager.begin(file, ...state, ...forLong);
  await manager.isReceiving();
  expect(await push.interrupt()).toEqual({
    code: 130,
    stdout: '',
    stderr: expect.stringMatching(/stopped; 600 items wait here: run the command again to go on\n$/),
  });
  const next = await manager.push(file, ...state);
  expect(toldBeside(next)).toBe('600 items of an earlier run wait: this one goes on with them\n');
  expect(next.stdout).toMatch(/^600 documents: 0 new, 0 different, 0 gone\. 600 items \(/);
  expect(next.code).toBe(0);
  const events = await manager.end();
  expect(countsOf(events)).toMatchObject({ resumed: 1, itemsApplied: size });
  expect(await documentsIn(store)).toEqual([documents]);
});

test.concurrent('what changed after an interrupted push follows in the same run', async () => {
  const { store, state } = places('changed');
  const changing = join(folder, 'changing.ndjson');
  await writeFile(changing, ['{"id":1,"n":1}', '{"id":2,"n":1}', ...lines].join('\n'));
  await using manager = await TestManager.start(store);
  const push = manager.begin(changing, ...state, ...forLong);
  await manager.isReceiving();
  await push.interrupt();
  const changed = ['{"id":2,"n":2}', '{"id":3,"n":1}', ...lines];
  await writeFile(changing, changed.join('\n'));
  const all = size + 2;
  expect(await manager.pushed(changing, ...state)).toMatchObject({ documents: all, items: all + 3 });
  await manager.end();
  expect(await documentsIn(store)).toEqual([documentsOf('changing', changed)]);
});

test.concurrent('a push that is killed is taken up by the next one', async () => {
  const { store, state } = places('killed');
  await using manager = await TestManager.start(store);
  const push = manager.begin(file, ...state, ...forLong);
  await manager.isReceiving();
  push.kill('SIGKILL');
  await push.outcome;
  expect(await manager.pushed(file, ...state)).toMatchObject({ created: 0, items: size });
  expect(countsOf(await manager.end())).toMatchObject({ resumed: 1, itemsApplied: size });
  expect(await documentsIn(store)).toEqual([documents]);
});

test.concurrent('a push goes on by itself when its manager was killed and is there again', async () => {
  const { store, state } = places('manager');
  const first = await TestManager.start(store);
  const push = first.begin(file, ...state, ...slowly, '--token', await hastyToken(first.address));
  await first.isReceiving();
  await first.kill();
  await using second = await TestManager.start(store, first.address);
  const { code, stdout } = await push.outcome;
  expect(stdout).toMatch(/^600 documents: 600 new, 0 different, 0 gone\. 600 items \(/);
  expect(code).toBe(0);
  await second.end();
  expect(await documentsIn(store)).toEqual([documents]);
});

test.concurrent('a manager that is stopped in the midst of a session goes on with it after the next start', async () => {
  const { store, state } = places('drained');
  const first = await TestManager.start(store, undefined, '--drain', '0s');
  const push = first.begin(file, ...state, ...slowly, '--token', await hastyToken(first.address));
  await first.isReceiving();
  await first.end();
  await using second = await TestManager.start(store, first.address);
  expect((await push.outcome).code).toBe(0);
  expect(countsOf(await second.end())).toMatchObject({ resumed: 1 });
  expect(await documentsIn(store)).toEqual([documents]);
});
