// The keys that connections with one SAE may have mixed in, by the ids that the transport asks for.

import { hkdfSync } from 'node:crypto';
import { equalSecrets, type SecretBytes, secretFrom } from '../../base/secret-bytes.js';
import type { DeviceKey } from './persona.js';

const secretBytes = 32;
const secretIdBytes = 16;
const salt = new TextEncoder().encode('HAWSER 1 keys transport');

/** A key as the transport takes it. */
export interface TransportKey {
  readonly keyId: string;
  /** 32 bytes. */
  readonly secret: SecretBytes;
  /** 16 bytes, which tell nothing of the secret. */
  readonly secretId: Uint8Array;
}

/**
 * HKDF-SHA256 (RFC 5869) of the material, whatever its length, with the key id as `info`: 32 bytes of secret and 16 of secret id. Both ends
 * have both and come to the same; who uses the material elsewhere too has another secret there.
 */
export function deriveTransportKey({ keyId, material }: DeviceKey): TransportKey {
  const derived = new Uint8Array(
    hkdfSync('sha256', material.bytes, salt, Buffer.from(keyId), secretBytes + secretIdBytes),
  );
  try {
    const secret = secretFrom(derived.subarray(0, secretBytes));
    return { keyId, secret, secretId: derived.slice(secretBytes) };
  } finally {
    derived.fill(0);
  }
}

/** Live keys of one peer. */
export class TransportKeys {
  readonly #byKeyId = new Map<string, TransportKey>();
  readonly #bySecretId = new Map<string, TransportKey>();

  get size(): number {
    return this.#byKeyId.size;
  }

  get(keyId: string): TransportKey | undefined {
    return this.#byKeyId.get(keyId);
  }

  named(secretId: Uint8Array): TransportKey | undefined {
    return this.#bySecretId.get(nameOf(secretId));
  }

  ids(): string[] {
    return [...this.#byKeyId.keys()];
  }

  /** Takes it in. @returns false when there is a key of this id that is another one. */
  put(key: DeviceKey): boolean {
    const derived = deriveTransportKey(key);
    const before = this.#byKeyId.get(key.keyId);
    if (before !== undefined) {
      const same = equalSecrets(before.secret, derived.secret);
      derived.secret.wipe();
      return same;
    }
    this.#byKeyId.set(key.keyId, derived);
    this.#bySecretId.set(nameOf(derived.secretId), derived);
    return true;
  }

  /** Wipes it. */
  delete(keyId: string): void {
    const key = this.#byKeyId.get(keyId);
    if (key === undefined) return;
    this.#byKeyId.delete(keyId);
    this.#bySecretId.delete(nameOf(key.secretId));
    key.secret.wipe();
  }

  clear(): void {
    for (const keyId of this.ids()) this.delete(keyId);
  }
}

function nameOf(secretId: Uint8Array): string {
  return Buffer.from(secretId).toString('hex');
}
