import { timingSafeEqual } from 'node:crypto';
import { type Address, formatAddress } from '../base/address.js';
import { tokenInvalid } from './format.js';

/** What both parts of a token say, of either wire format. */
interface Copied {
  readonly timeoutMs: number;
  readonly addresses: readonly Address[];
  readonly clientToServerKey: Uint8Array;
  readonly serverToClientKey: Uint8Array;
}

/**
 * The public copies are not authenticated: whoever carried the token may have changed them.
 *
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID when they differ from what the private part says.
 */
export function checkCopies(publicPart: Copied, privatePart: Copied): void {
  const addresses = (part: Copied): string => part.addresses.map(formatAddress).join();
  const same =
    publicPart.timeoutMs === privatePart.timeoutMs &&
    addresses(publicPart) === addresses(privatePart) &&
    timingSafeEqual(publicPart.clientToServerKey, privatePart.clientToServerKey) &&
    timingSafeEqual(publicPart.serverToClientKey, privatePart.serverToClientKey);
  if (!same) throw tokenInvalid('its public part is not a copy of its private part');
}
