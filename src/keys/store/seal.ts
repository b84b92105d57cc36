// What a key store on the disk seals its records with: XChaCha20-Poly1305 under a key that is derived from the master key.

import { randomBytes } from 'node:crypto';
import { argumentError } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { allocateSecret, type SecretBytes } from '../../base/secret-bytes.js';
import { loadAddon } from '../../transport/native.js';

/** The length of a master key, in bytes. */
export const masterKeyBytes = 32;
/** The length of a store's salt. */
export const saltBytes = 32;
/** The nonce and the tag. */
const overheadBytes = 40;

const keyLabel = Buffer.from('HAWSER key store 1');

/** What a record is; one of another kind does not open. */
export type RecordKind = 'check' | 'incarnation' | 'key' | 'material' | 'session' | 'peer';

/** A new salt, for a new store. */
export function newSalt(): Uint8Array {
  return randomBytes(saltBytes);
}

/** Seals and opens the records of one store. */
export class StoreSeal {
  readonly #key: SecretBytes;

  /**
   * @param masterKey 32 bytes, which are not needed after this.
   * @param salt of the store.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_SECRET_MEMORY.
   */
  constructor(masterKey: SecretBytes, salt: Uint8Array) {
    if (masterKey.length !== masterKeyBytes) {
      throw argumentError('masterKey', `a secret of ${masterKeyBytes} bytes`, `${masterKey.length} bytes`);
    }
    this.#key = allocateSecret(32);
    loadAddon().secrets.deriveKey(this.#key.bytes, masterKey.bytes, keyLabel, salt);
  }

  /** @param name what it is kept under: a record that was moved elsewhere does not open. */
  seal(kind: RecordKind, name: Uint8Array, plaintext: Uint8Array): Uint8Array {
    return loadAddon().secrets.seal(this.#key.bytes, associatedData(kind, name), plaintext);
  }

  /**
   * A record that is no secret. It may be empty.
   *
   * @param what names the record in errors.
   * @throws HawserError ERR_HAWSER_MASTER_KEY when it was not sealed so.
   */
  open(kind: RecordKind, name: Uint8Array, sealed: Uint8Array, what: string): Uint8Array {
    const out = new Uint8Array(Math.max(sealed.length - overheadBytes, 0));
    this.#openInto(out, kind, name, sealed, what);
    return out;
  }

  /**
   * The material of a key, for the caller to wipe.
   *
   * @throws HawserError ERR_HAWSER_MASTER_KEY when it was not sealed so; ERR_HAWSER_SECRET_MEMORY.
   */
  openSecret(name: Uint8Array, sealed: Uint8Array, what: string): SecretBytes {
    const length = sealed.length - overheadBytes;
    if (length < 1 || length > 1024) throw alteredError(what);
    const secret = allocateSecret(length);
    try {
      this.#openInto(secret.bytes, 'material', name, sealed, what);
      return secret;
    } catch (error) {
      secret.wipe();
      throw error;
    }
  }

  wipe(): void {
    this.#key.wipe();
  }

  #openInto(out: Uint8Array, kind: RecordKind, name: Uint8Array, sealed: Uint8Array, what: string): void {
    const data = associatedData(kind, name);
    if (!loadAddon().secrets.open(out, this.#key.bytes, data, sealed)) throw alteredError(what);
  }
}

function alteredError(what: string): HawserError {
  const message = `${what} was altered, or sealed under another master key`;
  return new HawserError('ERR_HAWSER_MASTER_KEY', message);
}

/** No kind has a zero byte in it. */
function associatedData(kind: RecordKind, name: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${kind}\0`), name]);
}
