// Reading connect tokens of netcode 1.02: the public part for anyone who holds one, the private part for whoever holds the
// private key.

import sodium from 'libsodium-wrappers';
import { checkArray } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { toBase64Url } from './base64url.js';
import { bytesOf } from './bytes-of.js';
import { checkCopies } from './check-copies.js';
import {
  decodePrivateNetcode,
  decodePublicNetcode,
  netcodeAssociatedData,
  type PublicNetcodeToken,
} from './netcode-format.js';
import { type NetcodeKey, parseNetcodeKey } from './netcode-key.js';
import { openSealed } from './open-sealed.js';

/** All that a netcode token says. */
export interface PrivateNetcodeToken extends PublicNetcodeToken {
  /** Who the client is. */
  readonly clientId: bigint;
  /** What the backend has to tell the server about the client: 256 bytes, filled up with zeros. */
  readonly userData: Uint8Array;
}

/**
 * The text form of a netcode token: base64url without padding. As secret as the token. Clients of other implementations take
 * the 2,048 bytes as they are.
 *
 * @throws HawserError as {@link decodeNetcodeToken}.
 */
export function encodeNetcodeToken(token: Uint8Array): string {
  const bytes = bytesOf(token);
  decodePublicNetcode(bytes);
  return toBase64Url(bytes);
}

/**
 * Reads what a netcode token says to anyone who holds it. The result shares no memory with the argument.
 *
 * @param token the token as bytes or in its text form.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when it breaks a rule of the standard; ERR_HAWSER_ARGUMENT when it is neither a
 * string nor a Uint8Array.
 */
export function decodeNetcodeToken(token: Uint8Array | string): PublicNetcodeToken {
  return decodePublicNetcode(bytesOf(token));
}

/**
 * Opens the private part too. The token's times are not compared with any clock: that is for the caller to do.
 *
 * @param token the token as bytes or in its text form.
 * @param keys the keys to try, in this order: a netcode token does not name the one that sealed it.
 * @throws HawserError (rejects) ERR_HAWSER_TOKEN_KEY when no key opens the private part (wrong keys cannot be told from an
 * altered token); ERR_HAWSER_TOKEN_INVALID when the token breaks a rule of the standard, or its public part differs from its
 * private part; ERR_HAWSER_ARGUMENT for a wrong argument.
 */
export async function openNetcodeToken(
  token: Uint8Array | string,
  keys: readonly NetcodeKey[],
): Promise<PrivateNetcodeToken> {
  const parsed = checkArray('keys', keys, 1, 1024).map((key, index) =>
    parseNetcodeKey(key, `keys[${index}]`),
  );
  const bytes = bytesOf(token);
  const publicPart = decodePublicNetcode(bytes);
  await sodium.ready;
  const privatePart = decodePrivateNetcode(unseal(publicPart, netcodeAssociatedData(bytes), parsed));
  checkCopies(publicPart, privatePart);
  return { ...publicPart, ...privatePart };
}

function unseal(
  token: PublicNetcodeToken,
  associatedData: Uint8Array,
  keys: readonly Uint8Array[],
): Uint8Array {
  for (const key of keys) {
    const plaintext = openSealed(token, associatedData, key);
    if (plaintext !== undefined) return plaintext;
  }
  throw new HawserError(
    'ERR_HAWSER_TOKEN_KEY',
    'the private part does not open with any of the keys: they differ or the token was altered',
  );
}
