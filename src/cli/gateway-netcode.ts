// What `hawser gateway` says of netcode tokens, which do not say when they were minted.

import type { Wire } from '../base/wire.js';
import type { NetcodeTokens } from '../gateway/tokens/netcode-tokens.js';
import type { NetcodeOptions } from '../transport/options.js';
import { UsageError } from './errors.js';
import { count } from './terminal.js';
import { checkWholeSeconds } from './tokens.js';

const defaultLifetimeMs = 3_600_000;

/** @returns undefined where netcode is not spoken. */
export function netcodeConfig(
  lifetimeMs: number | undefined,
  wires: readonly Wire[],
): NetcodeOptions | undefined {
  if (wires.includes('netcode')) {
    const wholeMs = checkWholeSeconds('netcode-token-lifetime', lifetimeMs ?? defaultLifetimeMs);
    return { tokenLifetimeMs: wholeMs };
  }
  if (lifetimeMs === undefined) return undefined;
  throw new UsageError('--netcode-token-lifetime goes with --wire netcode or --wire both');
}

/** @param tokensFrom from when on tokens count. */
export function refusalNotice(
  { tokenLifetimeMs }: Pick<NetcodeTokens, 'tokenLifetimeMs'>,
  tokensFrom: number,
): string {
  return [
    `netcode tokens from before ${secondText(tokensFrom)} are refused: a REQUEST does not say when its token was minted, so it may have been used before a restart.`,
    `That holds for tokens that live ${count(tokenLifetimeMs / 1000)} s (--netcode-token-lifetime), and if none was ever minted to live longer: see docs/netcode.md`,
  ].join(' ');
}

/** A time of a whole second. */
export function secondText(unixMs: number): string {
  return new Date(unixMs).toISOString().replace('.000', '');
}
