// X.509 certificates (RFC 5280), as a development authority writes them: ECDSA with P-256, and nothing is read.

import { createHash, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { addressToBinary } from '../../base/address.js';
import * as der from './der.js';

/** Clocks differ: a certificate is good from a little before it was made. */
const backdatedMs = 300_000;
const serialBytes = 16;
const keyIdBytes = 20;
/** An uncompressed point of P-256: it ends the public key. */
const pointBytes = 65;

/** Object identifiers. */
export const oids = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

const signatureAlgorithm = der.sequence(der.objectIdentifier(oids.ecdsaWithSha256));

/** The certificate of clause 4.1 of RFC 5280, signed, as PEM. */
export function issue(content: {
  readonly subject: string;
  readonly issuer: string;
  readonly publicKey: KeyObject;
  readonly signer: KeyObject;
  readonly endMs: number;
  readonly extensions: readonly Buffer[];
}): string {
  const { subject, issuer, publicKey, signer, endMs, extensions } = content;
  const signed = der.sequence(
    // Version 3.
    der.explicit(0, der.unsigned(Buffer.of(2))),
    der.unsigned(serialNumber()),
    signatureAlgorithm,
    nameOf(issuer),
    der.sequence(der.time(Date.now() - backdatedMs), der.time(endMs)),
    nameOf(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    der.explicit(3, der.sequence(...extensions)),
  );
  const signature = sign('sha256', signed, signer);
  const certificate = der.sequence(signed, signatureAlgorithm, der.bitString(signature));
  return new X509Certificate(certificate).toString();
}

/** Of 128 bits, not zero, with its highest bit unset. */
function serialNumber(): Buffer {
  const serial = randomBytes(serialBytes);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial;
}

/** A distinguished name of nothing but a common name. */
export function nameOf(commonName: string): Buffer {
  const attribute = der.sequence(der.objectIdentifier(oids.commonName), der.utf8String(commonName));
  return der.sequence(der.element(0x31, attribute));
}

/** An extension of clause 4.2. */
export function extension(oid: string, critical: boolean, value: Uint8Array): Buffer {
  const flag = critical ? [der.boolean(true)] : [];
  return der.sequence(der.objectIdentifier(oid), ...flag, der.octetString(value));
}

/** The first 160 bits of the SHA-256 of the public key (RFC 7093 section 2, method 1). */
export function keyIdOf(publicKey: KeyObject): Buffer {
  const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-pointBytes);
  return createHash('sha256').update(point).digest().subarray(0, keyIdBytes);
}

/** dNSName or iPAddress of clause 4.2.1.6. */
export function generalName(host: string): Buffer {
  const version = isIP(host);
  if (version === 0) return der.implicit(2, Buffer.from(host));
  const binary = addressToBinary({ host, port: 0 });
  return der.implicit(7, binary.subarray(8, version === 4 ? 12 : 24));
}
