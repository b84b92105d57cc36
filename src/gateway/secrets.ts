// Reads the secrets that a configuration names. No message repeats anything of them.

import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { systemReason } from '../base/system-error.js';
import type { SecretText } from './config.js';
import { configError } from './config-values.js';

/** More than any secret. */
const maxFileBytes = 65_536;
const readableByAll = 0o004;

/** What was found odd about a place of a secret; for the log. */
export type SecretWarning = (message: string) => void;

/**
 * Reads a secret, without white space at its ends.
 *
 * @param name the setting: `keys[0]`.
 * @param base the directory that paths are relative to.
 * @param warn told of a file that every user of the machine can read.
 * @throws HawserError ERR_HAWSER_CONFIG when it cannot be read, or is empty.
 */
export function readSecret(name: string, place: SecretText, base: string, warn: SecretWarning): string {
  const text =
    typeof place === 'string'
      ? place
      : 'env' in place
        ? fromEnvironment(name, place.env)
        : fromFile(name, resolve(base, place.file), warn);
  const trimmed = text.trim();
  if (trimmed === '') throw configError(`${name}: it is empty`);
  return trimmed;
}

function fromEnvironment(name: string, variable: string): string {
  const value = process.env[variable];
  if (value !== undefined) return value;
  throw configError(`${name}: there is no environment variable ${variable}`);
}

function fromFile(name: string, path: string, warn: SecretWarning): string {
  try {
    // A pipe that nobody writes to would be waited for.
    const file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const stat = fstatSync(file);
      const { mode, size } = stat;
      if (!stat.isFile()) throw configError(`${name}: ${path} is no regular file`);
      if (size > maxFileBytes) throw configError(`${name}: ${path} has more than ${maxFileBytes} bytes`);
      if (process.platform !== 'win32' && (mode & readableByAll) !== 0) {
        warn(`${name}: every user of this machine can read ${path}; run "chmod 600" on it`);
      }
      return readFileSync(file, 'utf8');
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error instanceof Error && 'syscall' in error)
      throw configError(`${name}: cannot read ${path}: ${systemReason(error)}`, error);
    throw error;
  }
}
