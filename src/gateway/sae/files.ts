// The files that the configuration of an SAE names.

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { HawserError } from '../../base/errors.js';
import { systemReason } from '../../base/system-error.js';
import { parseKey, type ServerKey } from '../../token/server-key.js';
import { configError } from '../config-values.js';

/** More than any key or chain of certificates. */
const maxFileBytes = 1_048_576;

/** The permissions of others than the owner. */
const ofOthers = 0o077;

/**
 * Reads a file.
 *
 * @param what it is, for errors: `the signing key`.
 * @throws HawserError ERR_HAWSER_CONFIG.
 */
export function readPublicFile(what: string, path: string): Buffer {
  return read(what, path, false);
}

/**
 * Reads a file that only its owner may read. Wipe what is returned after use.
 *
 * @throws HawserError ERR_HAWSER_CONFIG also when others may.
 */
export function readSecretFile(what: string, path: string): Buffer {
  return read(what, path, true);
}

function read(what: string, path: string, isSecret: boolean): Buffer {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    throw configError(`cannot read ${what} ${path}: ${systemReason(error)}`);
  }
  try {
    const { mode, size } = fstatSync(file);
    if (isSecret && process.platform !== 'win32' && (mode & ofOthers) !== 0) {
      throw configError(`${what} ${path} can be read by others; run "chmod 600" on it`);
    }
    if (size > maxFileBytes) throw configError(`${what} ${path} has more than ${maxFileBytes} bytes`);
    return readFileSync(file);
  } catch (error) {
    if (error instanceof HawserError) throw error;
    throw configError(`cannot read ${what} ${path}: ${systemReason(error)}`);
  } finally {
    closeSync(file);
  }
}

/** A private key in PEM, without a password. @throws HawserError ERR_HAWSER_CONFIG that repeats nothing of it. */
export function readPrivateKey(what: string, path: string): KeyObject {
  const pem = readSecretFile(what, path);
  try {
    return createPrivateKey(pem);
  } catch {
    throw configError(`${what} ${path} is not a private key in PEM; "hawser sae keygen" makes one`);
  } finally {
    pem.fill(0);
  }
}

/** A public key in PEM. @throws HawserError ERR_HAWSER_CONFIG also for a private key: that of another SAE is nobody else's. */
export function readPublicKey(what: string, path: string): KeyObject {
  const pem = readPublicFile(what, path);
  if (pem.includes('PRIVATE KEY')) {
    pem.fill(0);
    throw configError(
      `${what} ${path} is a private key; give the public half, which "hawser sae keygen" writes to FILE.pub`,
    );
  }
  try {
    return createPublicKey(pem);
  } catch {
    throw configError(
      `${what} ${path} is not a public key in PEM; it is what "hawser sae keygen" writes to FILE.pub`,
    );
  }
}

/** A server key in its text form. @throws HawserError ERR_HAWSER_CONFIG that repeats nothing of it. */
export function readServerKey(what: string, path: string): ServerKey {
  const text = readSecretFile(what, path);
  try {
    return parseKey(text.toString('utf8').trim());
  } catch {
    throw configError(`${what} ${path} is not a server key; "hawser keygen --out FILE" makes one`);
  } finally {
    text.fill(0);
  }
}
