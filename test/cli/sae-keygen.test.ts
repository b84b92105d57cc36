// sae keygen, and the help of all commands of SAEs.

import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, verify } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { base64Bytes, privateKeyPem } from '../../src/cli/private-key-pem.js';
import { readPrivateKey, readPublicKey, readServerKey } from '../../src/gateway/sae/files.js';
import { masterKeyFrom } from '../../src/keys/store/master-key.js';
import { hawserHere } from './in-process.js';
import { temporaryFolder } from './support.js';

const folder = temporaryFolder();
const file = (name: string): string => join(folder, name);

test('a signing key and its public half are a pair, for the owner alone', async () => {
  const made = await hawserHere('sae', 'keygen', '--out', file('a.pem'));
  expect(made).toEqual({
    code: 0,
    stdout: `signing key (Ed25519) is in ${file('a.pem')}, its public half in ${file('a.pem')}.pub\n`,
    stderr: '',
  });
  expect(statSync(file('a.pem')).mode & 0o777).toBe(0o600);
  const key = readPrivateKey('the key', file('a.pem'));
  const data = Buffer.from('message');
  const publicKey = readPublicKey('the key', file('a.pem.pub'));
  expect(key.asymmetricKeyType).toBe('ed25519');
  expect(verify(null, data, publicKey, sign(null, data, key))).toBe(true);
});

test('an RSA key has the bits that were asked for', async () => {
  const { stdout } = await hawserHere('sae', 'keygen', '--out', file('r.pem'), '--rsa', '2048', '--json');
  expect(JSON.parse(stdout)).toEqual({
    signingKey: file('r.pem'),
    publicKey: file('r.pem.pub'),
    masterKey: null,
  });
  expect(readPrivateKey('the key', file('r.pem')).asymmetricKeyDetails?.modulusLength).toBe(2048);
});

test('a master key is one that a store takes', async () => {
  await hawserHere('sae', 'keygen', '--master-key', file('m.key'));
  expect(statSync(file('m.key')).mode & 0o777).toBe(0o600);
  const key = masterKeyFrom({ file: file('m.key') });
  expect(key.length).toBe(32);
  key.wipe();
});

test('a file that is there is never overwritten, nor is half of a pair made', async () => {
  writeFileSync(file('b.pem.pub'), 'precious');
  const { code, stderr } = await hawserHere('sae', 'keygen', '--out', file('b.pem'));
  expect([code, stderr]).toEqual([
    1,
    `hawser sae keygen: ${file('b.pem')}.pub exists already; choose another file\n`,
  ]);
  expect(readFileSync(file('b.pem.pub'), 'utf8')).toBe('precious');
  expect(() => statSync(file('b.pem'))).toThrow('ENOENT');
  writeFileSync(file('c.key'), 'precious');
  expect((await hawserHere('sae', 'keygen', '--master-key', file('c.key'))).code).toBe(1);
  expect(readFileSync(file('c.key'), 'utf8')).toBe('precious');
});

test('keys in PEM are what the system itself would write', () => {
  for (const { privateKey } of [
    generateKeyPairSync('ed25519'),
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'prime256v1' }),
  ]) {
    const pem = privateKeyPem(privateKey);
    expect(pem.toString()).toBe(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    expect(createPublicKey(createPrivateKey(pem)).equals(createPublicKey(privateKey))).toBe(true);
  }
  for (let length = 0; length < 10; ++length) {
    const bytes = Buffer.from('\u0000ÿ?>hello!').subarray(0, length);
    expect(base64Bytes(bytes).toString()).toBe(bytes.toString('base64'));
  }
});

test('what is wrong with a key is told without a byte of it', () => {
  const secret = 'c2VjcmV0IHNlY3JldCBzZWNyZXQ';
  writeFileSync(file('bad'), `-----BEGIN PRIVATE KEY-----\n${secret}\n-----END PRIVATE KEY-----\n`, {
    mode: 0o600,
  });
  for (const read of [readPrivateKey, readPublicKey, readServerKey]) {
    let message = '';
    try {
      read('the key', file('bad'));
    } catch (error) {
      message = error instanceof Error ? error.message : '';
    }
    expect(message).toContain(`the key ${file('bad')} is `);
    expect(message).not.toContain(secret.slice(0, 6));
  }
});

test.each([
  ['sae keygen', 'say what to make: --out FILE, --master-key FILE, or both'],
  ['sae keygen --master-key x --rsa 2048', '--rsa goes with --out'],
  ['sae keygen --out x --rsa 1024', '--rsa: must be 2048, 3072 or 4096; got "1024"'],
  ['sae master', '--config: must be given'],
  ['sae rotate --config x --lead 10ms', '--lead: must be a duration such as'],
  ['sae demo --every 1s', '--every: must be a duration such as'],
  ['sae forget --config x', '--peer: must be given'],
])('wrong usage: hawser %s', async (line, complaint) => {
  const { code, stdout, stderr } = await hawserHere(...line.split(' '));
  expect([code, stdout]).toEqual([2, '']);
  expect(stderr).toContain(complaint);
});

test('sae alone says which there are', async () => {
  expect(await hawserHere('sae')).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'hawser: say which: sae master, sae slave, sae rotate, sae status, sae forget, sae keygen, sae demo (see "hawser --help")\n',
  });
});

test.each([
  ['master', 'hawser sae master, hawser sae slave'],
  ['slave', 'hawser sae master, hawser sae slave'],
  ['rotate', 'hawser sae rotate'],
  ['status', 'hawser sae status'],
  ['forget', 'hawser sae forget'],
  ['keygen', 'hawser sae keygen'],
  ['demo', 'hawser sae demo'],
])('sae %s --help tells its options, and docs/cli.md all of them', async (name, heading) => {
  const { code, stdout } = await hawserHere('sae', name, '--help');
  expect(code).toBe(0);
  expect(stdout).not.toContain('--control');
  for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100);
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  const section = page.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? '';
  for (const [, option = ''] of stdout.matchAll(/^ {2}(--[a-z-]+)/gm)) {
    if (option !== '--help') expect(section, `${option} of sae ${name}`).toContain(`\`${option}`);
  }
});
