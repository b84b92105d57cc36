// A netcode session counts its packets from zero under the keys of its token: a second one with the same token would repeat keys
// and nonces. Gateways admit a token once; here, so that this side does not seal anything twice either.

import type { PublicNetcodeToken } from '../token/netcode-format.js';
import { ConnectError } from './connect-error.js';
import { netcodeStates } from './results.js';

/** Until when, by `performance.now`, which token is in use. It is known by the tag of its private part, in latin1. */
const inUse = new Map<string, number>();

const tagBytes = 16;
const leastSweep = 1024;
/** How many there may be before those that have expired are looked for. */
let sweepAt = leastSweep;

/**
 * Takes a token for one attempt to connect. Nobody else in this thread can until it is given back, or has expired.
 *
 * @returns gives it back: for an attempt that has sealed nothing.
 * @throws ConnectError ERR_HAWSER_TOKEN_INVALID when it is taken, with the state of an invalid token (-5).
 */
export function useNetcodeToken(token: PublicNetcodeToken): () => void {
  const now = performance.now();
  if (inUse.size >= sweepAt) sweep(now);
  const tag = Buffer.from(token.sealedPrivate.subarray(-tagBytes)).toString('latin1');
  if ((inUse.get(tag) ?? 0) > now) {
    throw new ConnectError('tokenInvalid', {
      message: 'this netcode token was used before: each connects once, so get another',
      netcodeState: netcodeStates.invalidConnectToken,
    });
  }
  inUse.set(tag, now + longestLifeMs(token));
  return () => inUse.delete(tag);
}

/** However old it is, it expires no later than a new one would. */
function longestLifeMs({ createTimeMs, expireTimeMs }: PublicNetcodeToken): number {
  return expireTimeMs === Number.POSITIVE_INFINITY ? expireTimeMs : expireTimeMs - createTimeMs;
}

function sweep(now: number): void {
  for (const [tag, until] of inUse) if (until <= now) inUse.delete(tag);
  sweepAt = Math.max(leastSweep, 2 * inUse.size);
}
