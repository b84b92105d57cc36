// Certificates: what is in them, judged by readers that are not ours.

import { spawnSync } from 'node:child_process';
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CertificateAuthority } from '../../../src/keys/kme/certificates.js';
import * as der from '../../../src/keys/kme/der.js';
import { refusal } from '../../base/refusal.js';
import { device } from '../../interaction/tls-identity.js';
import { pemOf } from './support.js';

const authority = CertificateAuthority.make({ name: 'an authority', days: 1000 });
const root = new X509Certificate(authority.certificate);
const kme = authority.kme({ id: 'KME_A', hosts: ['kme.example', '192.0.2.1', '2001:db8::5', '::1'] });
const sae = authority.sae({ id: 'SAE_ü', days: 2000 });

const folder = mkdtempSync(join(tmpdir(), 'hawser-certificates-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('the authority may sign certificates, and nothing else', () => {
  expect(root.ca).toBe(true);
  expect(root.subject).toBe('CN=an authority');
  expect(root.verify(root.publicKey)).toBe(true);
  expect(root.checkPrivateKey(authority.privateKey)).toBe(true);
});

test.each([
  ['KME', kme],
  ['SAE', sae],
])('the certificate of a %s is signed by it, and belongs to its key', (_, { certificate, privateKey }) => {
  const read = new X509Certificate(certificate);
  expect(read.ca).toBe(false);
  expect(read.checkIssued(root)).toBe(true);
  expect(read.verify(root.publicKey)).toBe(true);
  expect(read.checkPrivateKey(privateKey)).toBe(true);
  expect(privateKey.asymmetricKeyDetails).toEqual({ namedCurve: 'prime256v1' });
});

test('that of a KME is for servers, and for its hosts', () => {
  const read = new X509Certificate(kme.certificate);
  expect(read.toLegacyObject().subject.CN).toBe('KME_A');
  expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  for (const host of ['localhost', 'kme.example']) expect(read.checkHost(host)).toBe(host);
  for (const ip of ['127.0.0.1', '::1', '192.0.2.1', '2001:db8::5']) expect(read.checkIP(ip)).toBe(ip);
  expect(read.checkHost('KME_A')).toBeUndefined();
  expect(read.checkIP('192.0.2.2')).toBeUndefined();
  expect(read.subjectAltName?.split(', ')).toHaveLength(6);
});

test('that of an SAE is for clients, and its common name is the id', () => {
  const read = new X509Certificate(sae.certificate);
  expect(read.toLegacyObject().subject.CN).toBe('SAE_ü');
  expect(read.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
  expect(read.subjectAltName).toBeUndefined();
});

test('it is valid from a little before now, for as long as was said, and never longer than its authority', () => {
  const { validFrom, validTo } = new X509Certificate(authority.kme({ id: 'K', days: 10 }).certificate);
  expect(Date.now() - Date.parse(validFrom)).toBeGreaterThan(290_000);
  expect(Date.now() - Date.parse(validFrom)).toBeLessThan(400_000);
  expect(Date.parse(validTo) - Date.now()).toBeLessThanOrEqual(10 * 86_400_000);
  expect(new X509Certificate(sae.certificate).validTo).toBe(root.validTo);
});

test('serial numbers are positive, of 128 bits, and differ', () => {
  const serials = Array.from(
    { length: 20 },
    () => new X509Certificate(authority.sae({ id: 'S' }).certificate).serialNumber,
  );
  expect(new Set(serials).size).toBe(20);
  for (const serial of serials) expect(serial).toMatch(/^[4-7][\dA-F]{31}$/);
});

test('an authority that was written and read again signs on', () => {
  const again = CertificateAuthority.load({
    certificate: Buffer.from(authority.certificate),
    privateKey: pemOf(authority.privateKey),
  });
  const read = new X509Certificate(again.sae({ id: 'later' }).certificate);
  expect(read.checkIssued(root)).toBe(true);
  expect(read.verify(root.publicKey)).toBe(true);
});

describe('what is no authority with its key is refused', () => {
  const other = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
  test.each([
    ['the key of another', { certificate: authority.certificate, privateKey: pemOf(other) }],
    ['the certificate of an SAE', { certificate: sae.certificate, privateKey: pemOf(sae.privateKey) }],
    ['one that another program made', { certificate: device.cert, privateKey: device.key }],
    ['no PEM', { certificate: 'secret', privateKey: 'secret' }],
  ])('%s', (_, pem) => {
    expect(refusal(() => CertificateAuthority.load(pem))).not.toContain('secret');
  });
});

test.each([
  [() => authority.sae({ id: 'x'.repeat(65) }), /^id must be a string of 1 to 64 bytes/],
  [() => authority.kme({ id: 'K', hosts: ['a b'] }), /^hosts\[0\] must be a host name or an IP address/],
  [() => authority.kme({ id: 'K', days: 0 }), /^days must be an integer from 1 to 36500; got 0$/],
  [() => CertificateAuthority.make({ name: '' }), /^name must be/],
])('%# is refused', (run, message) => {
  expect(refusal(run)).toMatch(message);
});

describe('DER', () => {
  test.each([
    ['a short length', der.element(4, Buffer.alloc(127)).subarray(0, 3), '047f00'],
    ['a length of one byte', der.element(4, Buffer.alloc(128)).subarray(0, 3), '048180'],
    ['a length of two bytes', der.element(4, Buffer.alloc(256)).subarray(0, 4), '04820100'],
    ['zero', der.unsigned(Buffer.of(0, 0)), '020100'],
    ['a number with its highest bit set', der.unsigned(Buffer.of(0, 0x80)), '02020080'],
    ['a number without', der.unsigned(Buffer.of(0x7f)), '02017f'],
    ['true', der.boolean(true), '0101ff'],
    ['an object identifier', der.objectIdentifier('1.2.840.10045.4.3.2'), '06082a8648ce3d040302'],
    [
      'the last second of UTCTime',
      der.time(Date.UTC(2049, 11, 31, 23, 59, 59)),
      `170d${Buffer.from('491231235959Z').toString('hex')}`,
    ],
    [
      'the first second of GeneralizedTime',
      der.time(Date.UTC(2050, 0)),
      `180f${Buffer.from('20500101000000Z').toString('hex')}`,
    ],
  ])('%s', (_, bytes, hex) => {
    expect(bytes.toString('hex')).toBe(hex);
  });
});

const openssl = spawnSync('openssl', ['version']).status === 0;

test.skipIf(!openssl)('openssl verifies both, each for its purpose only', () => {
  const files = { root: join(folder, 'root'), kme: join(folder, 'kme'), sae: join(folder, 'sae') };
  writeFileSync(files.root, authority.certificate);
  writeFileSync(files.kme, kme.certificate);
  writeFileSync(files.sae, sae.certificate);
  const verify = (purpose: string, file: string): number | null =>
    spawnSync('openssl', ['verify', '-x509_strict', '-CAfile', files.root, '-purpose', purpose, file]).status;
  expect(verify('sslserver', files.kme)).toBe(0);
  expect(verify('sslclient', files.sae)).toBe(0);
  expect(verify('sslclient', files.kme)).not.toBe(0);
  expect(verify('sslserver', files.sae)).not.toBe(0);
});

test('private keys are of their own', () => {
  const pem = pemOf(kme.privateKey);
  expect(createPrivateKey(pem).equals(kme.privateKey)).toBe(true);
  expect(kme.privateKey.equals(sae.privateKey)).toBe(false);
});
