// Which gateway of a token is tried first. The list that clients read is a copy of the one that gateways check, which is sealed: so its order is the
// client's own affair.

import { type Address, addressesEqual, addressToWire } from '../base/address.js';
import { decodePublic, publicOffset } from './format.js';

/** Where to begin and to end. What the token does not list is passed over. */
export interface AddressOrder {
  readonly first: Address | undefined;
  readonly last: Address | undefined;
}

/**
 * The same token with its addresses in another order: from the one behind `last` round to that, and `first` before all of them. It is for this
 * client's own handshake: who opens a whole token compares the list with the sealed one.
 *
 * @param token a whole token of hawser.
 * @returns a copy, or the token itself where the order stays.
 * @throws HawserError ERR_HAWSER_TOKEN_INVALID.
 */
export function reorderAddresses(token: Uint8Array, { first, last }: AddressOrder): Uint8Array {
  if (first === undefined && last === undefined) return token;
  const { addresses } = decodePublic(token);
  const behind = 1 + addresses.findIndex((each) => last !== undefined && addressesEqual(each, last));
  const round = [...addresses.slice(behind), ...addresses.slice(0, behind)];
  const start = round.findIndex((each) => first !== undefined && addressesEqual(each, first));
  if (start >= 0) round.unshift(...round.splice(start, 1));
  const copy = new Uint8Array(token);
  let at: number = publicOffset.addresses;
  for (const address of round) {
    const wire = addressToWire(address);
    copy.set(wire, at);
    at += wire.length;
  }
  return copy;
}
