// Private keys as PEM, made without a string of them, which could not be overwritten.

import type { KeyObject } from 'node:crypto';

const alphabet = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const padding = 0x3d;
const lineFeed = 0x0a;
/** RFC 7468 section 2. */
const columns = 64;

/** Base64 with padding (RFC 4648 section 4), as bytes: wipe them after use. */
export function base64Bytes(bytes: Uint8Array): Buffer {
  const encoded = Buffer.alloc(Math.ceil(bytes.length / 3) * 4, padding);
  for (let from = 0, to = 0; from < bytes.length; from += 3, to += 4) {
    const group = ((bytes[from] ?? 0) << 16) | ((bytes[from + 1] ?? 0) << 8) | (bytes[from + 2] ?? 0);
    const digits = Math.min(3, bytes.length - from) + 1;
    for (let digit = 0; digit < digits; ++digit) {
      encoded[to + digit] = alphabet[(group >> (18 - 6 * digit)) & 63] ?? 0;
    }
  }
  return encoded;
}

/** A private key in PKCS #8 as the bytes of a PEM file (RFC 7468 section 10): wipe them after use. */
export function privateKeyPem(key: KeyObject): Buffer {
  const der = key.export({ type: 'pkcs8', format: 'der' });
  const body = base64Bytes(der);
  der.fill(0);
  const lines: Buffer[] = [];
  for (let from = 0; from < body.length; from += columns) {
    lines.push(body.subarray(from, from + columns), Buffer.of(lineFeed));
  }
  const pem = Buffer.concat([
    Buffer.from('-----BEGIN PRIVATE KEY-----\n'),
    ...lines,
    Buffer.from('-----END PRIVATE KEY-----\n'),
  ]);
  body.fill(0);
  return pem;
}
