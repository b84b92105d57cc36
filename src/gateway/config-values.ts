// Values of a gateway's configuration. What is wrong is an ERR_HAWSER_CONFIG whose message begins with the path of the wrong thing.

import { formatAddress, parseAddress, parseDestination } from '../base/address.js';
import { argumentError, checkOptions, checkString, describe, describeSecret } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import type { SecretText } from './config.js';

/** The error of a configuration that is wrong. */
export function configError(message: string, cause?: unknown): HawserError {
  return new HawserError('ERR_HAWSER_CONFIG', message, cause === undefined ? undefined : { cause });
}

/**
 * Runs a check, and says of what it refuses that it is the configuration that is wrong.
 *
 * @param prefix stands before the message: the path of the setting whose options are checked elsewhere, with a dot.
 * @throws HawserError ERR_HAWSER_CONFIG in place of ERR_HAWSER_ARGUMENT; anything else as it is.
 */
export function asConfig<T>(check: () => T, prefix = ''): T {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof HawserError) || error.code !== 'ERR_HAWSER_ARGUMENT') throw error;
    throw configError(prefix + error.message, error);
  }
}

/** An IP address with a port, in canonical form. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function readAddress(name: string, value: unknown): string {
  return formatAddress(parseAddress(checkString(name, value, 1, 256), name));
}

/** As {@link readAddress}, for an address that clients connect to. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function readDestination(name: string, value: unknown): string {
  return formatAddress(parseDestination(checkString(name, value, 1, 256), name));
}

/** A number of 64 bits without a sign: a bigint, a number where that is exact, else a string of digits. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function readU64(name: string, value: unknown): bigint {
  if (typeof value === 'bigint' && value >= 0n && value < 2n ** 64n) return value;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  const number = typeof value === 'string' && /^\d{1,20}$/.test(value) ? BigInt(value) : -1n;
  if (number >= 0n && number < 2n ** 64n) return number;
  throw argumentError(name, 'a number from 0 to 2^64 - 1; beyond 2^53 as a string', describe(value));
}

/** Where a secret is, or the secret itself: nothing is read yet. @throws HawserError ERR_HAWSER_ARGUMENT that repeats nothing of it. */
export function readSecretPlace(name: string, value: unknown): SecretText {
  const rule = 'a text, { "file": PATH } or { "env": NAME }';
  if (typeof value === 'string') {
    if (value !== '') return value;
    throw argumentError(name, rule, 'an empty string');
  }
  if (typeof value !== 'object' || value === null) throw argumentError(name, rule, describeSecret(value));
  // What looks like no name may be the secret.
  if (!Object.keys(value).every((key) => /^[a-z]{1,16}$/i.test(key)))
    throw argumentError(name, rule, describeSecret(value));
  const { file, env } = checkOptions(name, value, ['file', 'env']);
  if (file !== undefined && env === undefined) return { file: checkString(`${name}.file`, file, 1, 4096) };
  if (env !== undefined && file === undefined) return { env: checkString(`${name}.env`, env, 1, 256) };
  throw argumentError(name, rule, describeSecret(value));
}
