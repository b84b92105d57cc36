// Ed25519 (RFC 8032) by libsodium, which takes half the time of node:crypto and refuses more: points of small order and public keys that are not
// in their canonical form.

import type { KeyObject } from 'node:crypto';
import { loadAddon } from '../transport/native.js';
import { argumentError } from './check.js';
import { allocateSecret, type SecretBytes } from './secret-bytes.js';

const seedBytes = 32;
const publicKeyBytes = 32;
/** The seed, and the public key behind it. */
const keyBytes = 64;

/** How a key of 32 bytes ends the encodings of RFC 8410, sections 4 and 7. */
const encodedBytes = { pkcs8: 48, spki: 44 } as const;

/**
 * What {@link ed25519Sign} signs with.
 *
 * @param privateKey of type `ed25519`; what is exported of it for a moment is wiped.
 * @returns 64 bytes, for the caller to wipe.
 * @throws HawserError ERR_HAWSER_ARGUMENT when it is another kind of key; ERR_HAWSER_SECRET_MEMORY.
 */
export function ed25519Key(privateKey: KeyObject): SecretBytes {
  checkKind('privateKey', privateKey, 'private');
  const encoded = privateKey.export({ format: 'der', type: 'pkcs8' });
  const { secrets } = loadAddon();
  try {
    if (encoded.length !== encodedBytes.pkcs8) throw kindError('privateKey', 'private', privateKey);
    const key = allocateSecret(keyBytes);
    secrets.signatureKey(key.bytes, encoded.subarray(encoded.length - seedBytes));
    return key;
  } finally {
    secrets.wipe(encoded);
  }
}

/**
 * The 32 bytes of a public key.
 *
 * @param publicKey of type `ed25519`.
 * @throws HawserError ERR_HAWSER_ARGUMENT when it is another kind of key.
 */
export function ed25519PublicBytes(publicKey: KeyObject): Uint8Array {
  checkKind('publicKey', publicKey, 'public');
  const encoded = publicKey.export({ format: 'der', type: 'spki' });
  if (encoded.length !== encodedBytes.spki) throw kindError('publicKey', 'public', publicKey);
  return Uint8Array.from(encoded.subarray(encoded.length - publicKeyBytes));
}

/**
 * @param key of {@link ed25519Key}.
 * @returns the signature, 64 bytes.
 */
export function ed25519Sign(key: SecretBytes, message: Uint8Array): Uint8Array {
  return loadAddon().secrets.sign(key.bytes, message);
}

/** Whether it is the signature of that message; false for keys and signatures of any wrong length, too. */
export function ed25519Verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  return loadAddon().secrets.verify(publicKey, message, signature);
}

function checkKind(name: string, key: KeyObject, type: 'private' | 'public'): void {
  if (key.type !== type || key.asymmetricKeyType !== 'ed25519') throw kindError(name, type, key);
}

function kindError(name: string, type: string, key: KeyObject): Error {
  const got =
    key.asymmetricKeyType === undefined ? `a ${key.type} key` : `${key.type} ${key.asymmetricKeyType}`;
  return argumentError(name, `an Ed25519 ${type} key`, got);
}
