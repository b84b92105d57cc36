// What minting has in common for both kinds of tokens: options and their limits, the time, and what is drawn at random.

import { checkInteger } from '../base/check.js';
import { nonceBytes, sessionKeyBytes } from './format.js';
import type { RandomSource } from './random.js';

export const defaultLifetimeMs = 3_600_000;
export const maxLifetimeMs = 86_400_000;
export const defaultTimeoutMs = 15_000;

/** The names of the options of a minter. */
export const minterOptionNames = [
  'protocolId',
  'key',
  'addresses',
  'lifetimeMs',
  'timeoutMs',
  'now',
  'random',
] as const;

/** The Unix milliseconds that `now` says, with room for a lifetime. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function createTimeMsOf(now: () => number): number {
  return checkInteger('the result of now', Math.floor(now()), 0, Number.MAX_SAFE_INTEGER - maxLifetimeMs);
}

/** What is secret or unique in a token. */
export interface Drawn {
  readonly nonce: Uint8Array;
  /** The client-to-server key and then the server-to-client key. */
  readonly sessionKeys: Uint8Array;
}

/** One draw for nonce, client-to-server key and server-to-client key, in this order: the addon draws them in the same one. */
export function draw(random: RandomSource): Drawn {
  const bytes = new Uint8Array(nonceBytes + 2 * sessionKeyBytes);
  random(bytes);
  return { nonce: bytes.subarray(0, nonceBytes), sessionKeys: bytes.subarray(nonceBytes) };
}
