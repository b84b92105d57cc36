// What the commands have to know of the two wire formats.

import type { HawserError } from '../base/errors.js';
import type { Wire } from '../base/wire.js';
import { ConnectError } from '../transport/connect-error.js';
import { UsageError } from './errors.js';

/** The longest message of one datagram. */
const maxMessageBytes: Readonly<Record<Wire, number>> = { hawser: 1158, netcode: 1200 };
export const longestMessageBytes: number = Math.max(...Object.values(maxMessageBytes));

/** @throws UsageError for messages that the wire format cannot carry. */
export function checkMessageBytes(size: number, wire: Wire): void {
  const limit = maxMessageBytes[wire];
  if (size > limit) throw new UsageError(`--size: at most ${limit} bytes with --wire ${wire}; got ${size}`);
}

/** Why an attempt to connect failed, and where to look when nobody said why. */
export function connectFailure(error: HawserError): string {
  // A netcode client hears nothing from a gateway that refuses its token.
  if (!(error instanceof ConnectError) || error.netcodeState === undefined || error.result !== 'timedOut')
    return error.message;
  return `${error.message}; a netcode gateway does not answer to a token that it refuses, but counts it: see "drops" of "hawser gateway --json"`;
}
