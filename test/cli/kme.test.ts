// `hawser kme` and `hawser kme certs`: what serves runs in a process of its own.

import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { KmeClient } from '../../src/keys/kme/kme-client.js';
import { hawserHere } from './in-process.js';
import { ansiEscape, jsonLines, RunningCommand, temporaryFolder } from './support.js';

const folder = temporaryFolder();
const certs = join(folder, 'certs');

beforeAll(async () => {
  const made = await hawserHere(
    'kme',
    'certs',
    '--out',
    certs,
    '--kme',
    'KME_A,KME_B',
    '--sae',
    'SAE_1',
    '--sae',
    'SAE_2',
    '--json',
  );
  expect(made).toMatchObject({ code: 0, stderr: '' });
  expect(jsonLines(made.stdout)[0]).toMatchObject({
    authority: { certificate: join(certs, 'ca.pem'), privateKey: join(certs, 'ca.key'), made: true },
    certificates: [
      {
        kind: 'kme',
        id: 'KME_A',
        certificate: join(certs, 'kme-KME_A.pem'),
        privateKey: join(certs, 'kme-KME_A.key'),
      },
      { kind: 'kme', id: 'KME_B' },
      { kind: 'sae', id: 'SAE_1' },
      { kind: 'sae', id: 'SAE_2' },
    ],
  });
});

function file(name: string): string {
  return join(certs, name);
}

function clientOf(url: string, saeId: string): KmeClient {
  const [ca, cert, key] = ['ca.pem', `sae-${saeId}.pem`, `sae-${saeId}.key`].map((each) =>
    readFileSync(file(each)),
  );
  if (ca === undefined || cert === undefined || key === undefined) throw new Error('unreachable');
  return new KmeClient({ url, ca, cert, key, retryMs: 1 });
}

describe('hawser kme certs', () => {
  test('its files can be read by their owner only', () => {
    expect(readdirSync(certs)).toHaveLength(10);
    for (const name of readdirSync(certs)) expect(statSync(file(name)).mode & 0o777, name).toBe(0o600);
  });

  test('it does not overwrite, unless told to; then the authority stays', async () => {
    const before = readFileSync(file('kme-KME_B.pem'), 'utf8');
    const refused = await hawserHere('kme', 'certs', '--out', certs, '--sae', 'SAE_9', '--kme', 'KME_B');
    expect(refused).toEqual({
      code: 1,
      stdout: '',
      stderr: `hawser kme certs: ${file('kme-KME_B.pem')} is there already; --force replaces it\n`,
    });
    expect(readdirSync(certs)).not.toContain('sae-SAE_9.pem');
    const authority = readFileSync(file('ca.pem'), 'utf8');
    const forced = await hawserHere(
      'kme',
      'certs',
      '--out',
      certs,
      '--kme',
      'KME_B',
      '--host',
      'kme.example',
      '--days',
      '3',
      '--force',
    );
    expect(forced.code).toBe(0);
    expect(forced.stdout).toContain(`kme KME_B   ${file('kme-KME_B.pem')}, ${file('kme-KME_B.key')}\n`);
    expect(readFileSync(file('ca.pem'), 'utf8')).toBe(authority);
    const after = readFileSync(file('kme-KME_B.pem'), 'utf8');
    expect(after).not.toBe(before);
    const read = new X509Certificate(after);
    expect(read.verify(new X509Certificate(authority).publicKey)).toBe(true);
    expect(read.checkHost('kme.example')).toBe('kme.example');
    expect(Date.parse(read.validTo) - Date.now()).toBeLessThanOrEqual(3 * 86_400_000);
  });

  test('it says what comes next', async () => {
    const out = join(folder, 'next');
    const { stdout } = await hawserHere('kme', 'certs', '--out', out, '--kme', 'X,Y');
    expect(stdout).toBe(
      [
        `authority   ${join(out, 'ca.pem')} (new)`,
        `kme X   ${join(out, 'kme-X.pem')}, ${join(out, 'kme-X.key')}`,
        `kme Y   ${join(out, 'kme-Y.pem')}, ${join(out, 'kme-Y.key')}`,
        `next        hawser kme --certs ${out} --id X,Y`,
        '',
      ].join('\n'),
    );
  });

  test('an id may be any text, and stays within the folder', async () => {
    const out = join(folder, 'odd');
    expect((await hawserHere('kme', 'certs', '--out', out, '--sae', '../../x')).code).toBe(0);
    expect(readdirSync(out)).toContain('sae-..%2F..%2Fx.pem');
  });

  test('an authority that is none is refused', async () => {
    const out = join(folder, 'broken');
    mkdirSync(out);
    writeFileSync(join(out, 'ca.pem'), 'x');
    const half = await hawserHere('kme', 'certs', '--out', out, '--sae', 'S');
    expect(half.stderr).toMatch(
      /^hawser kme certs: cannot read .*ca\.key: no such file or directory; an authority has both/,
    );
    writeFileSync(join(out, 'ca.key'), 'secret');
    const broken = await hawserHere('kme', 'certs', '--out', out, '--sae', 'S');
    expect(broken).toMatchObject({ code: 1, stderr: expect.not.stringContaining('secret') });
  });

  test.each([
    [['kme', 'certs', '--out', 'x'], 'say for whom: --kme ID, --sae ID, or both'],
    [['kme', 'certs', '--kme', 'A'], '--out: must be given'],
    [['kme', 'certs', '--out', 'x', '--kme', 'a'.repeat(65)], /^--kme: must be a text of 1 to 64 bytes/],
  ])('%j is wrong usage', async (args, complaint) => {
    const { code, stderr } = await hawserHere(...args);
    expect(code).toBe(2);
    const said = stderr.replace('hawser kme certs: ', '').replace(' (see "hawser kme certs --help")\n', '');
    if (typeof complaint === 'string') expect(said).toBe(complaint);
    else expect(said).toMatch(complaint);
  });
});

describe('hawser kme', () => {
  test('a pair delivers the same keys to master and slave, tells of each request without any key, and ends with SIGTERM', async () => {
    const running = new RunningCommand([
      'kme',
      '--certs',
      certs,
      '--listen',
      '127.0.0.1:0',
      '--json',
      '--fault',
      'dec_keys:status=503x1',
    ]);
    const [, line = ''] = await running.sees(/^(\{"event":"listening".*\})\n/);
    const { kmes }: { kmes: { id: string; url: string; targetId: string }[] } = JSON.parse(line);
    expect(kmes.map(({ id, targetId }) => [id, targetId])).toEqual([
      ['KME_A', 'KME_B'],
      ['KME_B', 'KME_A'],
    ]);
    const master = clientOf(kmes[0]?.url ?? '', 'SAE_1');
    const slave = clientOf(kmes[1]?.url ?? '', 'SAE_2');
    const keys = await master.getKeys('SAE_2', { number: 2 });
    const same = await slave.getKeysWithIds(
      'SAE_1',
      keys.map(({ keyId }) => keyId),
    );
    const texts = keys.map(({ material }) => Buffer.from(material.bytes).toString('base64'));
    expect(same.map(({ material }) => Buffer.from(material.bytes).toString('base64'))).toEqual(texts);
    master.close();
    slave.close();
    running.kill('SIGTERM');
    const { code, stdout, stderr } = await running.outcome;
    expect([code, stderr]).toEqual([0, '']);
    const lines = jsonLines(stdout);
    expect(lines.at(-1)).toEqual({ event: 'closed' });
    expect(
      lines
        .filter(({ event }) => event === 'request')
        .map(({ kme, sae, method, peer, status, keys: count, faults }) => [
          kme,
          sae,
          method,
          peer,
          status,
          count,
          faults,
        ]),
    ).toEqual([
      ['KME_A', 'SAE_1', 'status', 'SAE_2', 200, 0, []],
      ['KME_A', 'SAE_1', 'enc_keys', 'SAE_2', 200, 2, []],
      ['KME_B', 'SAE_2', 'dec_keys', 'SAE_1', 503, 0, ['status']],
      ['KME_B', 'SAE_2', 'dec_keys', 'SAE_1', 200, 2, []],
    ]);
    for (const text of texts) expect(stdout).not.toContain(text);
  });

  const curl = spawnSync('curl', ['--version']).status === 0;

  test.skipIf(!curl)('for people: the line that it shows works, and Ctrl-C ends it', async () => {
    const running = new RunningCommand([
      'kme',
      '--certs',
      certs,
      '--listen',
      '127.0.0.1:0',
      '--refill',
      '5',
      '--fault',
      'enc_keys:short@0.5',
    ]);
    const [, shown = ''] = await running.sees(/^try {4}(curl .*)\n/m);
    const [program = '', ...args] = shown.split(' ');
    const answer = spawnSync(program, ['--silent', '--noproxy', '*', ...args]);
    // The command answers while this process waits: it is another one.
    expect(JSON.parse(answer.stdout.toString())).toMatchObject({
      source_KME_ID: 'KME_A',
      master_SAE_ID: 'SAE_1',
      slave_SAE_ID: 'SAE_2',
    });
    await running.sees(/^KME_A: SAE_1 status SAE_2: 200, [\d.]+ ms$/m);
    const { code, stdout, stderr } = await running.interrupt();
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/^kme {4}KME_A https:\/\/127\.0\.0\.1:\d+, paired with KME_B$/m);
    expect(stdout).toMatch(/^keys {3}10,000 of 256 bits for each pair, 5 more each second$/m);
    expect(stdout).toMatch(/^fault {2}enc_keys: short$/m);
    expect(stdout).not.toContain(ansiEscape);
  });

  test('an address that is taken, and certificates that are missing, are told as such', async () => {
    const missing = await hawserHere('kme', '--certs', certs, '--id', 'KME_X,KME_Y');
    expect(missing).toEqual({
      code: 1,
      stdout: '',
      stderr: `hawser kme: cannot read ${file('kme-KME_X.key')}: no such file or directory; "hawser kme certs --out ${certs} --kme KME_X" makes it\n`,
    });
    const running = new RunningCommand(['kme', '--certs', certs, '--listen', '127.0.0.1:0', '--json']);
    const [, port = ''] = await running.sees(/https:\/\/127\.0\.0\.1:(\d+)/);
    const taken = await hawserHere('kme', '--certs', certs, '--listen', `127.0.0.1:${port},127.0.0.1:0`);
    expect(taken.stderr).toBe(
      `hawser kme: cannot listen on 127.0.0.1:${port}: another program listens there\n`,
    );
    expect(taken.code).toBe(1);
    await running.interrupt();
  });

  test.each([
    [['--id', 'A'], '--id needs two different ids for each pair, such as --id KME_A,KME_B'],
    [['--id', 'A,A'], '--id needs two different ids for each pair, such as --id KME_A,KME_B'],
    [
      ['--listen', '127.0.0.1:1,127.0.0.1:2,127.0.0.1:3'],
      '--listen needs one address, or one for each of the 2 KMEs',
    ],
    [['--listen', '127.0.0.1:65535'], '--listen: there are not enough ports behind that one'],
    [['--key-size', '100'], '--key-size must be a multiple of 8'],
    [
      ['--key-size', '64', '--min-key-size', '128'],
      '--key-size must be from --min-key-size to --max-key-size',
    ],
    [
      ['--fault', 'short=1'],
      '--fault: fault must be without a value: only status and delay have one; got "short=1"',
    ],
    [['certificates'], 'unexpected argument "certificates"'],
  ])('%j is wrong usage', async (args, complaint) => {
    expect(await hawserHere('kme', '--certs', certs, ...args)).toEqual({
      code: 2,
      stdout: '',
      stderr: `hawser kme: ${complaint} (see "hawser kme --help")\n`,
    });
  });

  test('each has its help, and both are listed', async () => {
    expect((await hawserHere('--help')).stdout).toMatch(/^ {2}kme {2,}.*\n(?: {10}.*\n)* {2}kme certs /m);
    for (const args of [
      ['kme', '--help'],
      ['help', 'kme'],
    ]) {
      expect((await hawserHere(...args)).stdout).toMatch(/^hawser kme: runs pairs/);
    }
    for (const args of [
      ['kme', 'certs', '--help'],
      ['help', 'kme', 'certs'],
    ]) {
      const { stdout } = await hawserHere(...args);
      expect(stdout).toMatch(/^hawser kme certs: makes the certificates/);
      for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
    }
  });
});
