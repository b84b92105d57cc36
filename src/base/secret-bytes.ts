// Secrets outside of JavaScript's heap: in native memory that is locked where the system allows it, kept out of core dumps and of child processes,
// and wiped when it is given back, when nothing sees it any more, and when the thread ends.

import { inspect, types } from 'node:util';
import { loadAddon, type NativeSecretMemory } from '../transport/native.js';
import { checkBytes, checkInteger } from './check.js';
import { HawserError } from './errors.js';

/** The longest secret, in bytes. */
export const maxSecretBytes = 1024;

/** Secret bytes in native memory. Neither `util.inspect` nor `JSON.stringify` shows more of them than their length. */
export interface SecretBytes {
  /** In bytes. */
  readonly length: number;
  /**
   * A view of them: zeros from `wipe` on, and never the bytes of another secret. Never to be turned into a string.
   *
   * @throws HawserError ERR_HAWSER_CLOSED once they are wiped.
   */
  readonly bytes: Uint8Array;
  /** Overwrites them; their memory is given back once no view of it is left. Wiping twice is wiping once. */
  wipe(): void;
  /** Whether the bytes are gone: reading them throws then. */
  readonly wiped: boolean;
}

/** What the memory of secrets takes in this thread, in bytes. */
export type SecretMemory = NativeSecretMemory;

let mustLock = false;

/** Zeros, to be filled in place. */
class LockedBytes implements SecretBytes {
  readonly #view: Uint8Array;
  #wiped = false;

  constructor(view: Uint8Array) {
    this.#view = view;
  }

  get length(): number {
    return this.#view.length;
  }

  get bytes(): Uint8Array {
    if (!this.#wiped) return this.#view;
    throw new HawserError('ERR_HAWSER_CLOSED', 'the secret was wiped');
  }

  get wiped(): boolean {
    return this.#wiped;
  }

  wipe(): void {
    this.#wiped = true;
    loadAddon().secrets.wipe(this.#view);
  }

  toString(): string {
    return `SecretBytes(${this.length})`;
  }

  toJSON(): { readonly length: number } {
    return { length: this.length };
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

/**
 * Memory for a secret, all zeros.
 *
 * @param length 1 to 1,024 bytes.
 * @throws HawserError ERR_HAWSER_ARGUMENT; ERR_HAWSER_SECRET_MEMORY when there is no memory, or, after `requireLockedMemory`, none
 * that can be locked; ERR_HAWSER_ADDON_MISSING.
 */
export function allocateSecret(length: number): SecretBytes {
  checkInteger('length', length, 1, maxSecretBytes);
  const memory = loadAddon().secrets.allocate(length, mustLock);
  if (memory !== null) return new LockedBytes(new Uint8Array(memory));
  const message = mustLock ? 'no more memory can be locked (see ulimit -l)' : 'there is no memory left';
  throw new HawserError('ERR_HAWSER_SECRET_MEMORY', message);
}

/**
 * A copy of bytes as a secret.
 *
 * @param bytes 1 to 1,024 of them.
 * @param options `wipeSource`: whether they are overwritten where they are, also when this fails. False by default.
 * @throws HawserError as {@link allocateSecret}.
 */
export function secretFrom(bytes: Uint8Array, options: { readonly wipeSource?: boolean } = {}): SecretBytes {
  checkBytes('bytes', bytes, 0, Number.MAX_SAFE_INTEGER);
  try {
    const secret = allocateSecret(bytes.length);
    secret.bytes.set(bytes);
    return secret;
  } finally {
    if (options.wipeSource === true) loadAddon().secrets.wipe(bytes);
  }
}

/**
 * Unpredictable bytes, which were never anywhere else.
 *
 * @throws HawserError as {@link allocateSecret}.
 */
export function randomSecret(length: number): SecretBytes {
  const secret = allocateSecret(length);
  loadAddon().secrets.fillRandom(secret.bytes);
  return secret;
}

/** Whether both are the same bytes, in a time that tells of nothing but their lengths. */
export function equalSecrets(a: SecretBytes | Uint8Array, b: SecretBytes | Uint8Array): boolean {
  return loadAddon().secrets.equal(bytesOf(a), bytesOf(b));
}

function bytesOf(secret: SecretBytes | Uint8Array): Uint8Array {
  return types.isUint8Array(secret) ? secret : secret.bytes;
}

/**
 * What a text of base64 stands for: the alphabet of RFC 4648, section 4, with its padding, and nothing else in it.
 *
 * @param text as ASCII. Whoever has it wipes it.
 * @returns undefined when it is no such text, or stands for nothing or for more than 1,024 bytes.
 * @throws HawserError ERR_HAWSER_SECRET_MEMORY, as {@link allocateSecret}.
 */
export function decodeBase64Secret(text: Uint8Array): SecretBytes | undefined {
  const { secrets } = loadAddon();
  const length = secrets.base64Size(text);
  if (length < 1 || length > maxSecretBytes) return undefined;
  const secret = allocateSecret(length);
  if (secrets.decodeBase64(secret.bytes, text)) return secret;
  secret.wipe();
  return undefined;
}

/**
 * The text of base64 for a secret, as ASCII and itself a secret.
 *
 * @param secret at most 768 bytes.
 * @throws HawserError as {@link allocateSecret}.
 */
export function encodeBase64Secret(secret: SecretBytes): SecretBytes {
  const text = allocateSecret(Math.ceil(secret.length / 3) * 4);
  loadAddon().secrets.encodeBase64(text.bytes, secret.bytes);
  return text;
}

/** How much memory secrets take in this thread, and how much of that the system would not lock. */
export function secretMemory(): SecretMemory {
  return loadAddon().secrets.memory();
}

/**
 * From now on, no secret of this thread goes where it might be written to a swap file.
 *
 * @throws HawserError ERR_HAWSER_SECRET_MEMORY when there are some already, or no memory can be locked. Nothing has changed then.
 */
export function requireLockedMemory(): void {
  const { unlockedBytes } = secretMemory();
  if (unlockedBytes > 0) {
    const message = `${unlockedBytes} bytes of memory for secrets could not be locked (see ulimit -l)`;
    throw new HawserError('ERR_HAWSER_SECRET_MEMORY', message);
  }
  const before = mustLock;
  mustLock = true;
  try {
    allocateSecret(1).wipe();
  } catch (error) {
    mustLock = before;
    throw error;
  }
}
