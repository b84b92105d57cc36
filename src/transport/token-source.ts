// Where a client takes its connect tokens from, and whether one that was used can be used again.

import { unlessAborted } from '../base/abort.js';
import { argumentError, describeSecret } from '../base/check.js';
import type { Clock } from '../base/clock.js';
import { HawserError } from '../base/errors.js';
import type { Wire } from '../base/wire.js';
import { fromBase64Url } from '../token/base64url.js';
import { decodePublic, tokenInvalid } from '../token/format.js';
import { decodePublicNetcode, type PublicNetcodeToken, wireOfToken } from '../token/netcode-format.js';
import { ConnectError } from './connect-error.js';
import { netcodeStates } from './results.js';

/**
 * A connect token, of hawser or of netcode, as bytes or in its text form (base64url), or a function that gets one, called for each that is
 * needed.
 */
export type TokenSource = string | Uint8Array | (() => string | Uint8Array | Promise<string | Uint8Array>);

/** A token with what a client may read in it. */
export interface HeldToken {
  readonly wire: Wire;
  readonly bytes: Uint8Array;
  readonly protocolId: bigint;
  /** For how many milliseconds it may be used again; 0 for a token that opens one connection only. */
  readonly reusableForMs: number;
  /** What a netcode token says. */
  readonly netcode?: PublicNetcodeToken;
  /** When it came, by the monotonic clock. */
  readonly heldSinceMs: number;
}

/** @throws HawserError ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ARGUMENT; (rejects) ERR_HAWSER_ABORTED; whatever the function throws. */
export async function takeToken(
  source: TokenSource,
  clock: Clock,
  signal: AbortSignal | undefined,
): Promise<HeldToken> {
  const token = typeof source === 'function' ? await unlessAborted(source(), signal) : source;
  const bytes = bytesOf(token);
  return { ...read(bytes), bytes, heldSinceMs: clock.now() };
}

/**
 * Refuses what can never become a connection; a function is not called.
 *
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ARGUMENT.
 */
export function checkToken(source: TokenSource): void {
  if (typeof source !== 'function') read(bytesOf(source));
}

function read(bytes: Uint8Array): Omit<HeldToken, 'bytes' | 'heldSinceMs'> {
  const wire = wireOfToken(bytes);
  if (wire === 'netcode') {
    const netcode = readNetcode(bytes);
    return { wire, protocolId: netcode.protocolId, reusableForMs: 0, netcode };
  }
  const { protocolId, singleUse, createTimeMs, expireTimeMs } = decodePublic(bytes);
  return { wire: 'hawser', protocolId, reusableForMs: singleUse ? 0 : expireTimeMs - createTimeMs };
}

function readNetcode(bytes: Uint8Array): PublicNetcodeToken {
  try {
    return decodePublicNetcode(bytes);
  } catch (cause) {
    if (!(cause instanceof HawserError)) throw cause;
    const netcodeState = netcodeStates.invalidConnectToken;
    throw new ConnectError('tokenInvalid', { message: cause.message, netcodeState, cause });
  }
}

/**
 * Whether a token that opened a connection may open another. Its expiry is never compared with this machine's clock: only the time
 * since it was obtained counts.
 */
export function isReusable(token: HeldToken, clock: Clock): boolean {
  return clock.now() - token.heldSinceMs < token.reusableForMs;
}

function bytesOf(token: unknown): Uint8Array {
  // `slice` of a Buffer shares its memory.
  if (token instanceof Uint8Array) return new Uint8Array(token);
  if (typeof token !== 'string') {
    throw argumentError(
      'token',
      'a string, a Uint8Array, or a function that returns one',
      describeSecret(token),
    );
  }
  const bytes = fromBase64Url(token);
  if (bytes === undefined) throw tokenInvalid('it is not base64url without padding');
  return bytes;
}
