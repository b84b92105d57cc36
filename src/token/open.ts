// Reading connect tokens: the public part for anyone who holds one, the private part for whoever holds a server key.

import sodium from 'libsodium-wrappers';
import { argumentError, checkArray } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { toBase64Url } from './base64url.js';
import { bytesOf } from './bytes-of.js';
import { checkCopies } from './check-copies.js';
import { decodePrivate, decodePublic, type PublicToken, publicOffset } from './format.js';
import { decodePublicNetcode, wireOfToken } from './netcode-format.js';
import { openSealed } from './open-sealed.js';
import { parseKey, type ServerKey } from './server-key.js';

/** All that a token says. */
export interface PrivateToken extends PublicToken {
  /** Who the client is. */
  readonly clientId: bigint;
  /** What the backend has to tell the gateway about the client: 0 to 864 bytes. */
  readonly userData: Uint8Array;
  /** BLAKE2b-256 of the sealed private part, 32 bytes: what token histories and logs know a token by. Not secret. */
  readonly tokenId: Uint8Array;
}

/**
 * The text form of a token: base64url without padding. As secret as the token.
 *
 * @throws HawserError as {@link decodeToken}.
 */
export function encodeToken(token: Uint8Array): string {
  const bytes = bytesOf(token);
  decodePublic(bytes);
  return toBase64Url(bytes);
}

/**
 * Reads what a token says to anyone who holds it. The result shares no memory with the argument.
 *
 * @param token the token as bytes or in its text form.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when it breaks a rule of docs/protocol.md section 2; ERR_HAWSER_ARGUMENT when
 * it is neither a string nor a Uint8Array.
 */
export function decodeToken(token: Uint8Array | string): PublicToken {
  return decodePublic(bytesOf(token));
}

/**
 * Opens the private part too. The token's times are not compared with any clock: that is for the caller to do.
 *
 * @param token the token as bytes or in its text form.
 * @param keys the server keys by object or text, with different ids. Exactly one is tried: the one that the token names.
 * @throws HawserError (rejects) ERR_HAWSER_TOKEN_KEY when no key has the token's key id or the one that has it does not open
 * the private part (a wrong key cannot be told from an altered token); ERR_HAWSER_TOKEN_INVALID when the token breaks a rule
 * of docs/protocol.md section 2; ERR_HAWSER_ARGUMENT for a wrong argument.
 */
export async function openToken(
  token: Uint8Array | string,
  keys: readonly (ServerKey | string)[],
): Promise<PrivateToken> {
  const byId = keysById(keys);
  const bytes = bytesOf(token);
  const publicPart = decodePublic(bytes);
  const key = byId.get(publicPart.keyId);
  if (key === undefined) {
    throw new HawserError(
      'ERR_HAWSER_TOKEN_KEY',
      `the token is sealed with key ${publicPart.keyId}, which was not given`,
    );
  }
  await sodium.ready;
  const privatePart = decodePrivate(unseal(publicPart, bytes.subarray(0, publicOffset.nonce), key));
  checkCopies(publicPart, privatePart);
  return { ...publicPart, ...privatePart, tokenId: hash(publicPart.sealedPrivate) };
}

/**
 * The token id: BLAKE2b-256 of the sealed private part, 32 bytes; of a netcode token likewise.
 *
 * @throws HawserError (rejects) as {@link decodeToken}, or as `decodeNetcodeToken`.
 */
export async function tokenId(token: Uint8Array | string): Promise<Uint8Array> {
  const bytes = bytesOf(token);
  const { sealedPrivate } =
    wireOfToken(bytes) === 'netcode' ? decodePublicNetcode(bytes) : decodePublic(bytes);
  await sodium.ready;
  return hash(sealedPrivate);
}

function keysById(keys: unknown): Map<number, Uint8Array> {
  const byId = new Map<number, Uint8Array>();
  for (const [index, each] of checkArray('keys', keys, 1, 1024).entries()) {
    const { id, key } = parseKey(each, `keys[${index}]`);
    if (byId.has(id)) throw argumentError(`keys[${index}]`, 'a key with an id of its own', `id ${id} again`);
    byId.set(id, key);
  }
  return byId;
}

function unseal(token: PublicToken, associatedData: Uint8Array, key: Uint8Array): Uint8Array {
  const plaintext = openSealed(token, associatedData, key);
  if (plaintext !== undefined) return plaintext;
  throw new HawserError(
    'ERR_HAWSER_TOKEN_KEY',
    `the private part does not open with key ${token.keyId}: the key differs or the token was altered`,
  );
}

function hash(bytes: Uint8Array): Uint8Array {
  return sodium.crypto_generichash(32, bytes, null);
}
