// Signatures of messages: Ed25519 (RFC 8032), and RSA-PSS (RFC 8017 section 8.1) as HAWSER and as the original uses it.

import { constants, createHash, createPublicKey, KeyObject, sign, verify } from 'node:crypto';
import { argumentError, describe } from '../../base/check.js';
import { ed25519Key, ed25519PublicBytes, ed25519Sign, ed25519Verify } from '../../base/ed25519.js';
import type { SecretBytes } from '../../base/secret-bytes.js';

/**
 * How messages are signed. `rsa-pss-sha256`: RSA of 2048 to 8192 bits, SHA-256 also for the mask, and a salt of 32 bytes.
 */
export const signatureAlgorithms = ['ed25519', 'rsa-pss-sha256'] as const;

export type SignatureAlgorithm = (typeof signatureAlgorithms)[number];

const minRsaBits = 2048;
const maxRsaBits = 8192;
const hashBytes = 32;

/** A key with which an SAE signs. */
export class SigningKey {
  readonly algorithm: SignatureAlgorithm;
  /** What others pin. */
  readonly publicKey: KeyObject;
  readonly signatureBytes: number;
  readonly #key: KeyObject | SecretBytes;

  /**
   * Of an Ed25519 key it makes a copy in locked memory.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT when it is no private key of Ed25519, or of RSA with 2048 to 8192 bits; ERR_HAWSER_SECRET_MEMORY.
   */
  constructor(privateKey: KeyObject) {
    this.algorithm = algorithmOf('signingKey', privateKey, 'private');
    this.publicKey = createPublicKey(privateKey);
    this.signatureBytes = signatureBytesOf(privateKey);
    this.#key = this.algorithm === 'ed25519' ? ed25519Key(privateKey) : privateKey;
  }

  /** @throws HawserError ERR_HAWSER_CLOSED after `close`. */
  sign(data: Uint8Array): Uint8Array {
    if (!(this.#key instanceof KeyObject)) return ed25519Sign(this.#key, data);
    return sign('sha256', data, pss(this.#key, hashBytes));
  }

  /**
   * As the original does, which hashes twice and fills all room with salt.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT when the key is not of RSA.
   */
  signAsOriginal(data: Uint8Array): Uint8Array {
    if (!(this.#key instanceof KeyObject)) throw argumentError('the key', 'of RSA', 'one of Ed25519');
    return sign('sha256', sha256(data), pss(this.#key, maxSaltBytes(this.#key)));
  }

  /** Wipes the copy of an Ed25519 key; the key that was given is the caller's. */
  close(): void {
    if (!(this.#key instanceof KeyObject)) this.#key.wipe();
  }
}

/** A key by which the messages of an SAE are known. */
export class VerifyingKey {
  readonly algorithm: SignatureAlgorithm;
  readonly signatureBytes: number;
  /** SubjectPublicKeyInfo in PEM (RFC 7468 section 13), without blanks and line ends. */
  readonly compactPem: string;
  /** Of Ed25519, its 32 bytes. */
  readonly #key: KeyObject | Uint8Array;

  /**
   * @param name what the key is, for errors.
   * @throws HawserError ERR_HAWSER_ARGUMENT when it is no public key of Ed25519, or of RSA with 2048 to 8192 bits.
   */
  constructor(publicKey: KeyObject, name = 'publicKey') {
    this.algorithm = algorithmOf(name, publicKey, 'public');
    this.signatureBytes = signatureBytesOf(publicKey);
    this.compactPem = compact(publicKey.export({ type: 'spki', format: 'pem' }).toString());
    this.#key = this.algorithm === 'ed25519' ? ed25519PublicBytes(publicKey) : publicKey;
  }

  /** Whether it is the signature of the data. */
  verify(data: Uint8Array, signature: Uint8Array): boolean {
    if (signature.length !== this.signatureBytes) return false;
    if (!(this.#key instanceof KeyObject)) return ed25519Verify(this.#key, data, signature);
    return verify('sha256', data, pss(this.#key, hashBytes), signature);
  }

  /** Whether it is what {@link SigningKey.signAsOriginal} makes, with all the salt that there is room for; never with Ed25519. */
  verifyAsOriginal(data: Uint8Array, signature: Uint8Array): boolean {
    if (!(this.#key instanceof KeyObject) || signature.length !== this.signatureBytes) return false;
    return verify('sha256', sha256(data), pss(this.#key, maxSaltBytes(this.#key)), signature);
  }
}

/** A PEM text without what may differ between writers of the same. */
export function compact(pem: string): string {
  return pem.replace(/\s+/g, '');
}

function algorithmOf(name: string, key: KeyObject, type: 'private' | 'public'): SignatureAlgorithm {
  if (!(key instanceof KeyObject)) throw argumentError(name, `a KeyObject of a ${type} key`, describe(key));
  if (key.type !== type) throw argumentError(name, `a ${type} key`, `a ${key.type} key`);
  const kind = key.asymmetricKeyType;
  if (kind === 'ed25519') return 'ed25519';
  if (kind !== 'rsa') throw argumentError(name, 'of Ed25519 or RSA', `a key of ${kind ?? 'another kind'}`);
  const bits = rsaBits(key);
  if (bits >= minRsaBits && bits <= maxRsaBits) return 'rsa-pss-sha256';
  throw argumentError(name, `of ${minRsaBits} to ${maxRsaBits} bits, being RSA`, `${bits} bits`);
}

function rsaBits(key: KeyObject): number {
  return key.asymmetricKeyDetails?.modulusLength ?? 0;
}

function signatureBytesOf(key: KeyObject): number {
  return key.asymmetricKeyType === 'ed25519' ? 64 : Math.ceil(rsaBits(key) / 8);
}

/** RFC 8017 section 9.1.1: the encoded message has the modulus' bits less one, of which the hash and two bytes are taken. */
function maxSaltBytes(key: KeyObject): number {
  return Math.ceil((rsaBits(key) - 1) / 8) - hashBytes - 2;
}

function pss(key: KeyObject, saltLength: number): PssKey {
  return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength };
}

interface PssKey {
  readonly key: KeyObject;
  readonly padding: number;
  readonly saltLength: number;
}

function sha256(data: Uint8Array): Uint8Array {
  return createHash('sha256').update(data).digest();
}
