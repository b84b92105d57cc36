// What --store takes, and what the environment adds to it.

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, test, vi } from 'vitest';
import { openKeptStore, storeAddress } from '../../src/cli/session-store.js';
import { etcdOptions, openStoreAt } from '../../src/gateway/session-store.js';
import { temporaryFolder } from './support.js';

const folder = temporaryFolder();

afterEach(() => {
  vi.unstubAllEnvs();
});

test.each([
  ['memory', { type: 'memory' }],
  ['lmdb:some/dir', { type: 'lmdb', directory: 'some/dir' }],
  ['lmdb:/a:b', { type: 'lmdb', directory: '/a:b' }],
  ['etcd://127.0.0.1:2379', { type: 'etcd', hosts: ['http://127.0.0.1:2379'], namespace: undefined }],
  ['etcd://127.0.0.1:2379/', { type: 'etcd', hosts: ['http://127.0.0.1:2379'], namespace: undefined }],
  [
    'etcd://10.0.0.1:2379,etcd-2.example:2380,[2001:db8::1]:2379/prod',
    {
      type: 'etcd',
      hosts: ['http://10.0.0.1:2379', 'http://etcd-2.example:2380', 'http://[2001:db8::1]:2379'],
      namespace: 'prod/',
    },
  ],
  ['etcd://a:1/prod/eu/', { type: 'etcd', hosts: ['http://a:1'], namespace: 'prod/eu/' }],
  ['etcds://a:1', { type: 'etcd', hosts: ['https://a:1'], namespace: undefined }],
])('--store %s is read', (text, expected) => {
  expect(storeAddress.parse(text)).toEqual({ ...expected, text });
});

test.each([
  ['', /^must be memory, lmdb:DIR or etcd:/],
  ['lmdb:', /^must be memory, /],
  ['redis://127.0.0.1:6379', /^must be memory, /],
  ['etcd://', /^must be etcd:\/\/HOST:PORT/],
  ['etcd://127.0.0.1', /with the port of each: etcd has 2379/],
  ['etcd://127.0.0.1:0', /with the port/],
  ['etcd://127.0.0.1:65536', /with the port/],
  ['etcd://127.0.0.1:1,', /with the port/],
  ['etcd://::1:2379', /with the port/],
  [`etcd://a:1/${'x'.repeat(201)}`, /^the namespace must be at most 200 bytes$/],
])('--store %s is refused', (text, complaint) => {
  expect(() => storeAddress.parse(text)).toThrow(complaint);
});

test('a password in --store is refused, and not repeated', () => {
  let message = '';
  try {
    storeAddress.parse('etcd://root:secret@127.0.0.1:2379');
  } catch (error) {
    message = String(error);
  }
  expect(message).toMatch(/HAWSER_ETCD_PASSWORD/);
  expect(message).not.toContain('secret');
});

test.each([
  [{ HAWSER_ETCD_USER: 'root' }, /^HAWSER_ETCD_USER and HAWSER_ETCD_PASSWORD go together$/],
  [{ HAWSER_ETCD_PASSWORD: 'secret' }, /^HAWSER_ETCD_USER and HAWSER_ETCD_PASSWORD go together$/],
  [{ HAWSER_ETCD_CACERT: '/nowhere.pem' }, /^HAWSER_ETCD_CACERT: cannot read "\/nowhere.pem": no such file/],
  [{ HAWSER_ETCD_CERT: 'FILE' }, /^HAWSER_ETCD_CERT and HAWSER_ETCD_KEY go together$/],
  [{ HAWSER_ETCD_CERT: 'FILE', HAWSER_ETCD_KEY: 'FILE' }, /^HAWSER_ETCD_CERT needs HAWSER_ETCD_CACERT$/],
])('an environment that cannot be right is refused: %j', async (environment, complaint) => {
  const file = join(folder, 'some.pem');
  await writeFile(file, 'pem');
  for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value.replace('FILE', file));
  await expect(openStoreAt(storeAddress.parse('etcds://127.0.0.1:1'))).rejects.toThrow(complaint);
});

test('address and environment say how to reach an etcd', async () => {
  const address = storeAddress.parse('etcds://a:1,b:2/prod');
  if (address.type !== 'etcd') throw new Error('no etcd');
  const hosts = ['https://a:1', 'https://b:2'];
  vi.stubEnv('HAWSER_ETCD_USER', '');
  expect(await etcdOptions(address)).toEqual({ hosts, namespace: 'prod/' });
  const files = ['ca', 'cert', 'key'].map((name) => join(folder, `${name}.pem`));
  for (const file of files) await writeFile(file, file);
  const [ca = '', cert = '', key = ''] = files;
  vi.stubEnv('HAWSER_ETCD_USER', 'gateway');
  vi.stubEnv('HAWSER_ETCD_PASSWORD', 'secret');
  vi.stubEnv('HAWSER_ETCD_CACERT', ca);
  const auth = { username: 'gateway', password: 'secret' };
  const rootCertificate = Buffer.from(ca);
  const withCa = { hosts, namespace: 'prod/', auth, credentials: { rootCertificate } };
  expect(await etcdOptions(address)).toEqual(withCa);
  vi.stubEnv('HAWSER_ETCD_CERT', cert);
  vi.stubEnv('HAWSER_ETCD_KEY', key);
  const credentials = { rootCertificate, certChain: Buffer.from(cert), privateKey: Buffer.from(key) };
  expect(await etcdOptions(address)).toEqual({ ...withCa, credentials });
});

test('certificates are for TLS only', async () => {
  const file = join(folder, 'ca.pem');
  await writeFile(file, 'pem');
  vi.stubEnv('HAWSER_ETCD_CACERT', file);
  await expect(openStoreAt(storeAddress.parse('etcd://127.0.0.1:1'))).rejects.toThrow(/https/);
});

test('a store in memory has nothing to look into, and none is made to look into', async () => {
  await expect(openKeptStore(storeAddress.parse('memory'))).rejects.toThrow(/seen by their gateway alone/);
  await expect(openKeptStore(storeAddress.parse(`lmdb:${folder}/none`))).rejects.toThrow(
    /^there is no store/,
  );
});
