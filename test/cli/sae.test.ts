// sae master, slave, rotate, status and forget with each other and with KMEs, in processes of their own.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { hawserHere } from './in-process.js';
import { TestSaes } from './sae-support.js';
import { jsonLines, type RunningCommand, temporaryFolder } from './support.js';

// Each rotation is at its time, ten seconds and more after it was asked for.
vi.setConfig({ testTimeout: 300_000 });

const folder = temporaryFolder();
let folders = 0;

function newFolder(): string {
  const path = join(folder, `${++folders}`);
  mkdirSync(path);
  return path;
}

/** The line of a transition to that state, on the way from that key. */
const toState = (state: string, oldKeyId: string): RegExp =>
  new RegExp(`^\\{"event":"state".*"state":"${state}".*"oldKeyId":"${oldKeyId}".*\\}$`, 'm');

async function done(command: RunningCommand): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await command.outcome;
  expect([code, stderr]).toEqual([0, '']);
  return jsonLines(stdout)[0] ?? expect.fail('no result');
}

test.concurrent('rotations that are asked for, what both ends then say, and what their stores know afterwards', async () => {
  await using saes = await TestSaes.open(newFolder());
  const slave = await saes.start('slave');
  const master = await saes.start('master');
  await master.sees(/"event":"connected"/);
  const first = await done(saes.rotate());
  expect(first).toMatchObject({ peerSaeId: 'SAE_B', role: 'master', outcome: 'completed', oldKeyId: null });
  const second = await done(saes.rotate());
  expect(second).toMatchObject({ outcome: 'completed', oldKeyId: first.newKeyId, failedKeyIds: [] });
  expect(await saes.settled(null)).toBe(second.newKeyId);

  const shown = await hawserHere('sae', 'status', '--config', saes.config('slave'), '--json');
  expect(JSON.parse(shown.stdout)).toMatchObject({
    running: true,
    saeId: 'SAE_B',
    // The old key is gone.
    peers: [
      { productionKeyId: second.newKeyId, rotations: 2, failures: 0, keys: { in_production: 1, rolled: 0 } },
    ],
  });
  const forPeople = await hawserHere('sae', 'status', '--config', saes.config('master'));
  expect(forPeople.stdout).toMatch(
    /^SAE_A, which runs\n\nSAE_B\n {2}role +master, over hawser, device transport\n/,
  );
  expect(await hawserHere('sae', 'rotate', '--config', saes.config('slave'))).toEqual({
    code: 1,
    stdout: '',
    stderr: 'hawser sae rotate: this SAE is the slave of all its peers: ask their masters\n',
  });
  expect((await hawserHere('sae', 'rotate', '--config', saes.config('master'), '--peer', 'X')).stderr).toBe(
    'hawser sae rotate: there is no peer X\n',
  );
  const twice = await hawserHere('sae', 'master', '--config', saes.config('master'));
  expect(twice.code).toBe(1);
  expect(twice.stderr).toMatch(/^hawser sae master: .*SAE_A\.store/);

  for (const command of [master, slave]) {
    const { code, stdout, stderr } = await command.interrupt();
    expect([code, stderr]).toEqual([0, '']);
    const events = jsonLines(stdout);
    expect(events.filter(({ event }) => event === 'rotation')).toHaveLength(2);
    expect(events.at(-1)).toMatchObject({ event: 'closed', rotations: 2, failures: 0 });
  }
  expect(existsSync(join(saes.folder, 'SAE_A.store.sock'))).toBe(false);
  const kept = await hawserHere('sae', 'status', '--config', saes.config('master'), '--json');
  expect(JSON.parse(kept.stdout)).toMatchObject({
    running: false,
    peers: [{ peerSaeId: 'SAE_B', productionKeyId: second.newKeyId, session: null }],
  });
  expect((await hawserHere('sae', 'rotate', '--config', saes.config('master'))).stderr).toMatch(
    /^hawser sae rotate: the SAE SAE_A does not run: start it with "hawser sae master --config /,
  );

  const asked = await hawserHere('sae', 'forget', '--config', saes.config('master'), '--peer', 'SAE_B');
  expect(asked.code).toBe(1);
  expect(asked.stderr).toContain('give --yes to delete all that is kept of it');
  const forgotten = await hawserHere(
    ...['sae', 'forget', '--config', saes.config('master'), '--peer', 'SAE_B', '--yes'],
  );
  expect(forgotten).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^SAE_B: 1 key, .*, deleted\n$/),
  });
  const after = await hawserHere('sae', 'status', '--config', saes.config('master'), '--json');
  expect(JSON.parse(after.stdout)).toMatchObject({ peers: [{ productionKeyId: null, epoch: 0 }] });
});

test.concurrent('a master and a slave that are killed in the midst of rotations agree after their restart', async () => {
  await using saes = await TestSaes.open(newFolder());
  let slave = await saes.start('slave');
  let master = await saes.start('master');
  await master.sees(/"event":"connected"/);
  await done(saes.rotate());
  let key = await saes.settled(null);

  // The slave has agreed, and its time comes while it is down.
  let rotation = saes.rotate();
  await slave.sees(toState('CONFIRMED', key));
  await saes.kill('slave');
  await master.sees(toState('ROTATING', key));
  slave = await saes.start('slave');
  expect(await done(rotation)).toMatchObject({ outcome: 'completed', oldKeyId: key });
  key = await saes.settled(key);

  // The master has decided, and nobody waits for it any more.
  rotation = saes.rotate();
  await slave.sees(toState('CONFIRMED', key));
  await saes.kill('master');
  expect((await rotation.outcome).code).toBe(1);
  master = await saes.start('master');
  key = await saes.settled(key);

  // Both, just when they rotate.
  rotation = saes.rotate();
  await slave.sees(toState('ROTATING', key));
  await saes.kill('slave', 'master');
  await rotation.outcome;
  slave = await saes.start('slave');
  master = await saes.start('master');
  key = await saes.settled(key);
  expect(await done(saes.rotate())).toMatchObject({ outcome: 'completed', oldKeyId: key });
});

test('what is wrong with a configuration or a file that it names is one line, and nothing is begun', async () => {
  const root = newFolder();
  const file = join(root, 'sae.json');
  const run = async (config: unknown): Promise<string> => {
    if (config !== undefined) writeFileSync(file, JSON.stringify(config));
    const { code, stdout, stderr } = await hawserHere('sae', 'master', '--config', file);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr.split('\n')).toHaveLength(2);
    return stderr.replaceAll(root, 'ROOT');
  };
  expect(await run(undefined)).toBe(
    'hawser sae master: cannot read the configuration ROOT/sae.json: no such file or directory\n',
  );
  const example = readFileSync(new URL('../../examples/keys/master.json', import.meta.url), 'utf8');
  const config: Record<string, unknown> = JSON.parse(example);
  expect(await run({ ...config, storage: {} })).toBe(
    "hawser sae master: ROOT/sae.json: unknown option 'storage' in the configuration; did you mean 'store'?\n",
  );
  expect(await run(config)).toBe(
    'hawser sae master: cannot read the signing key ROOT/SAE_A.pem: no such file or directory\n',
  );
  await hawserHere(
    'sae',
    'keygen',
    '--out',
    join(root, 'SAE_A.pem'),
    '--master-key',
    join(root, 'SAE_A.master'),
  );
  writeFileSync(join(root, 'open.pem'), 'x', { mode: 0o644 });
  expect(await run({ ...config, signingKey: 'open.pem' })).toBe(
    'hawser sae master: the signing key ROOT/open.pem can be read by others; run "chmod 600" on it\n',
  );
  writeFileSync(join(root, 'SAE_B.pem.pub'), readFileSync(join(root, 'SAE_A.pem')));
  expect(await run(config)).toContain('SAE_B.pem.pub is a private key; give the public half');
  expect(existsSync(join(root, 'SAE_A.store'))).toBe(false);
});
