// New signing keys, in files that only their owner can read.

import { createPublicKey, type KeyObject } from 'node:crypto';
import { existsSync } from 'node:fs';
import { CommandError } from './errors.js';
import { privateKeyPem } from './private-key-pem.js';
import { writeNewSecret } from './write-new-secret.js';

/**
 * Writes a private key, and its public half to `PATH.pub`.
 *
 * @throws CommandError when one of the files is there already, or cannot be written.
 */
export function writeSigningKey(path: string, key: KeyObject): void {
  const publicPath = `${path}.pub`;
  // Before there is half of what was asked for.
  if (existsSync(publicPath)) throw new CommandError(`${publicPath} exists already; choose another file`);
  const pem = privateKeyPem(key);
  try {
    writeNewSecret(path, pem, ', and a key that is overwritten is lost; choose another file');
  } finally {
    pem.fill(0);
  }
  const publicPem = createPublicKey(key).export({ type: 'spki', format: 'pem' });
  // No secret, but the same care.
  writeNewSecret(publicPath, publicPem, '; choose another file');
}
