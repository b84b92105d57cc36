// What a gateway has to know of netcode tokens, which do not say when they were minted.

import { defaultClockSkewMs } from '../../transport/options.js';
import type { ListenerPlan } from '../plan.js';

const defaultLifetimeMs = 3_600_000;

/** The lifetime of the netcode tokens of a listener. */
export interface NetcodeTokens {
  readonly tokenLifetimeMs: number;
  /**
   * From when on they count, as Unix milliseconds of a whole second: those with the whole lifetime that were minted earlier may be from
   * before the start. Undefined where all count.
   */
  readonly tokensFromMs: number | undefined;
}

/** @param isKeyNew whether nobody can have minted a token with the key before. @returns undefined where netcode is not spoken. */
export function netcodeTokensOf(
  { wires, options }: ListenerPlan,
  isKeyNew: boolean,
): NetcodeTokens | undefined {
  if (!wires.includes('netcode')) return undefined;
  const { netcode = {}, clockSkewMs = defaultClockSkewMs, restartGuardMs = clockSkewMs } = options;
  const freshKeys = options.freshKeys ?? isKeyNew;
  return {
    tokenLifetimeMs: netcode.tokenLifetimeMs ?? defaultLifetimeMs,
    tokensFromMs: freshKeys ? undefined : (Math.floor((Date.now() + restartGuardMs) / 1000) + 1) * 1000,
  };
}
