// What `hawser gateway` has to know of netcode tokens, which do not say when they were minted.

import type { Wire } from '../base/wire.js';
import { UsageError } from './errors.js';
import { count } from './terminal.js';
import { checkWholeSeconds } from './tokens.js';

const defaultLifetimeMs = 3_600_000;
/** What `Server.listen` allows unless it is told otherwise. */
export const clockSkewMs = 5000;

export interface NetcodePlan {
  readonly tokenLifetimeMs: number;
  readonly freshKeys: boolean;
}

/** @param isKeyNew whether nobody can have minted a token with the key before. @returns undefined where netcode is not spoken. */
export function netcodePlan(
  lifetimeMs: number | undefined,
  wires: readonly Wire[],
  isKeyNew: boolean,
): NetcodePlan | undefined {
  if (wires.includes('netcode')) {
    const wholeMs = checkWholeSeconds('netcode-token-lifetime', lifetimeMs ?? defaultLifetimeMs);
    return { tokenLifetimeMs: wholeMs, freshKeys: isKeyNew };
  }
  if (lifetimeMs === undefined) return undefined;
  throw new UsageError('--netcode-token-lifetime goes with --wire netcode or --wire both');
}

/**
 * From when on netcode tokens count, as Unix milliseconds of a whole second: those with the whole lifetime that were minted earlier may
 * be from before the start. undefined where all count.
 */
export function netcodeTokensFrom(netcode: NetcodePlan | undefined): number | undefined {
  if (netcode === undefined || netcode.freshKeys) return undefined;
  return (Math.floor((Date.now() + clockSkewMs) / 1000) + 1) * 1000;
}

export function refusalNotice({ tokenLifetimeMs }: NetcodePlan, tokensFrom: number): string {
  return [
    `netcode tokens from before ${secondText(tokensFrom)} are refused: a REQUEST does not say when its token was minted, so it may have been used before a restart.`,
    `That holds for tokens that live ${count(tokenLifetimeMs / 1000)} s (--netcode-token-lifetime), and if none was ever minted to live longer: see docs/netcode.md`,
  ].join(' ');
}

/** A time of a whole second. */
export function secondText(unixMs: number): string {
  return new Date(unixMs).toISOString().replace('.000', '');
}
