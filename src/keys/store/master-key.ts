// Where the master key of a key store comes from: 32 bytes as base64, in a file of its own or in the environment.

import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { argumentError, checkString } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import {
  allocateSecret,
  decodeBase64Secret,
  encodeBase64Secret,
  randomSecret,
  type SecretBytes,
} from '../../base/secret-bytes.js';
import { masterKeyBytes } from './seal.js';

/** Where a master key is. */
export type MasterKeySource =
  /** A file that belongs to this user or to root, and that no other user can read or write. A line end may follow the key. */
  | { readonly file: string }
  /**
   * The name of an environment variable. It is deleted from `process.env`; what the process was started with stays visible to those who may read its
   * memory, and to its user, in the tables of the system: a file is better.
   */
  | { readonly env: string };

/** The characters of 32 bytes. */
const textBytes = 44;
/** With the longest line end. */
const maxFileBytes = textBytes + 2;

/**
 * Reads a master key, straight into the memory of secrets.
 *
 * @returns 32 bytes, for the caller to wipe once the store is open.
 * @throws HawserError ERR_HAWSER_MASTER_KEY when there is none, it is not 32 bytes of base64, or others can read the file; ERR_HAWSER_SECRET_MEMORY;
 * ERR_HAWSER_ARGUMENT.
 */
export function masterKeyFrom(source: MasterKeySource): SecretBytes {
  if ('file' in source) return fromFile(checkString('file', source.file, 1));
  return fromEnvironment(checkString('env', source.env, 1));
}

function fromFile(path: string): SecretBytes {
  const text = allocateSecret(maxFileBytes + 1);
  try {
    return decodeKey(text.bytes.subarray(0, readInto(text.bytes, path)), path);
  } finally {
    text.wipe();
  }
}

/** @returns how much was read; more than `maxFileBytes` when the file is longer. */
function readInto(bytes: Uint8Array, path: string): number {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    throw masterKeyError(`${path} cannot be read`, cause);
  }
  try {
    checkOwner(file, path);
    let length = 0;
    for (;;) {
      const count = readSync(file, bytes, length, bytes.length - length, null);
      length += count;
      if (count === 0 || length === bytes.length) return length;
    }
  } catch (error) {
    throw error instanceof HawserError ? error : masterKeyError(`${path} cannot be read`, error);
  } finally {
    closeSync(file);
  }
}

function checkOwner(file: number, path: string): void {
  const facts = fstatSync(file);
  if (!facts.isFile()) throw masterKeyError(`${path} is no file`);
  // Windows has neither owners nor modes that say anything.
  if (process.getuid === undefined) return;
  if ((facts.mode & 0o077) !== 0) {
    throw masterKeyError(
      `other users can read or write ${path} (mode ${(facts.mode & 0o777).toString(8)}): chmod 600`,
    );
  }
  if (facts.uid !== process.getuid() && facts.uid !== 0) {
    throw masterKeyError(`${path} belongs to another user`);
  }
}

function fromEnvironment(name: string): SecretBytes {
  const value = process.env[name];
  delete process.env[name];
  if (value === undefined) throw masterKeyError(`there is no environment variable ${name}`);
  const text = allocateSecret(maxFileBytes + 1);
  try {
    const { read, written } = new TextEncoder().encodeInto(value, text.bytes);
    return decodeKey(text.bytes.subarray(0, read === value.length ? written : text.length), name);
  } finally {
    text.wipe();
  }
}

const lineFeed = 0x0a;
const carriageReturn = 0x0d;

function decodeKey(text: Uint8Array, where: string): SecretBytes {
  let { length } = text;
  if (text[length - 1] === lineFeed) --length;
  if (length < text.length && text[length - 1] === carriageReturn) --length;
  const key = length === textBytes ? decodeBase64Secret(text.subarray(0, length)) : undefined;
  if (key?.length === masterKeyBytes) return key;
  key?.wipe();
  throw masterKeyError(`${where} holds no ${masterKeyBytes} bytes of base64`);
}

/**
 * Makes a master key and writes it to a new file of mode 0600.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when there is such a file already; ERR_HAWSER_MASTER_KEY when it cannot be written.
 */
export function writeMasterKey(path: string): void {
  const file = createFile(checkString('path', path, 1));
  const key = randomSecret(masterKeyBytes);
  const text = encodeBase64Secret(key);
  try {
    if (writeSync(file, text.bytes) !== text.length || writeSync(file, '\n') !== 1) {
      throw masterKeyError(`${path} cannot be written`);
    }
    fsyncSync(file);
  } catch (error) {
    throw error instanceof HawserError ? error : masterKeyError(`${path} cannot be written`, error);
  } finally {
    key.wipe();
    text.wipe();
    closeSync(file);
  }
}

function createFile(path: string): number {
  try {
    return openSync(path, 'wx', 0o600);
  } catch (error) {
    const isThere = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    if (isThere) throw argumentError('path', 'that of a new file', JSON.stringify(path), error);
    throw masterKeyError(`${path} cannot be written`, error);
  }
}

function masterKeyError(message: string, cause?: unknown): HawserError {
  return new HawserError('ERR_HAWSER_MASTER_KEY', message, cause === undefined ? undefined : { cause });
}
