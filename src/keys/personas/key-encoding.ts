// Key material in the form that a device wants it in, without ever being a string.

import { encodeBase64Secret, type SecretBytes } from '../../base/secret-bytes.js';

/** How material is handed over: as it is, or in base64 (RFC 4648 section 4, with padding) and a line feed behind it. */
export type KeyEncoding = 'binary' | 'base64';

export const keyEncodings = ['binary', 'base64'] as const;

const lineFeed: Uint8Array = Uint8Array.of(0x0a);

/**
 * Has `use` hand the material over, in pieces that follow one another. They are valid until its promise settles; what was made for it is
 * wiped then.
 */
export async function withEncoded<T>(
  material: SecretBytes,
  encoding: KeyEncoding,
  use: (pieces: readonly Uint8Array[]) => Promise<T>,
): Promise<T> {
  if (encoding === 'binary') return use([material.bytes]);
  const encoded = encodeBase64Secret(material);
  try {
    return await use([encoded.bytes, lineFeed]);
  } finally {
    encoded.wipe();
  }
}

/**
 * Whether what a program said has the key in it: as it is, in base64, or in hexadecimal of either case. Then nothing of it may be told to
 * anybody.
 */
export function hasKeyIn(output: Uint8Array, material: SecretBytes): boolean {
  const said = Buffer.from(output);
  const encoded = encodeBase64Secret(material);
  const hex = hexOf(material.bytes);
  try {
    // Padding may be left out, and its last digit is another one where something follows.
    const digits = encoded.bytes.subarray(0, Math.floor((material.length * 8) / 6));
    if (said.includes(bufferOf(material.bytes)) || said.includes(bufferOf(digits))) return true;
    for (let at = 0; at < said.length; ++at) {
      const byte = said[at] ?? 0;
      if (byte >= 0x41 && byte <= 0x46) said[at] = byte + 0x20;
    }
    return said.includes(bufferOf(hex));
  } finally {
    encoded.wipe();
    hex.fill(0);
    said.fill(0);
  }
}

/** The same memory. */
function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function hexOf(bytes: Uint8Array): Uint8Array {
  const hex = new Uint8Array(bytes.length * 2);
  for (let at = 0; at < bytes.length; ++at) {
    const byte = bytes[at] ?? 0;
    hex[at * 2] = hexDigit(byte >>> 4);
    hex[at * 2 + 1] = hexDigit(byte & 15);
  }
  return hex;
}

/** By arithmetic: a table that is read at secret places would show them in the cache. */
function hexDigit(value: number): number {
  return value + 0x30 + (((9 - value) >> 31) & 39);
}
