// Values of the configuration of an SAE. What is wrong is an ERR_HAWSER_ARGUMENT that names the setting.

import { formatAddress, parseAddress } from '../../base/address.js';
import { argumentError, checkOptions, checkString, describe } from '../../base/check.js';

/** Makes a path of the file absolute. @param name of the setting. */
export type PathReader = (name: string, value: unknown) => string;

/** Where a secret is. */
export type SecretPlace = { readonly file: string } | { readonly env: string };

/** `{ "file": PATH }` or `{ "env": NAME }`. */
export function readSecretPlace(name: string, value: unknown, path: PathReader): SecretPlace {
  const { file, env } = checkOptions(name, value, ['file', 'env']);
  if (file !== undefined && env === undefined) return { file: path(`${name}.file`, file) };
  if (env !== undefined && file === undefined) return { env: checkString(`${name}.env`, env, 1, 256) };
  throw argumentError(name, '{ "file": PATH } or { "env": NAME }', describe(value));
}

/** A number of 64 bits without a sign: as a number where that is exact, else as a string of digits. */
export function readId64(name: string, value: unknown): bigint {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return BigInt(value);
  const id = typeof value === 'string' && /^\d{1,20}$/.test(value) ? BigInt(value) : -1n;
  if (id >= 0n && id < 2n ** 64n) return id;
  throw argumentError(name, 'a number from 0 to 2^64 - 1; beyond 2^53 as a string', describe(value));
}

/** An IP address with a port, in canonical form. */
export function readAddress(name: string, value: unknown): string {
  const text = checkString(name, value, 1, 256);
  try {
    return formatAddress(parseAddress(text));
  } catch {
    const rule = 'an IP address and a port such as 192.0.2.1:4433 or [2001:db8::1]:4433';
    throw argumentError(name, rule, describe(text));
  }
}
