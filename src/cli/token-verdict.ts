// Whether a gateway would take a connect token, in words.

import { formatAddress } from '../base/address.js';
import type { PublicToken } from '../token/format.js';
import type { PublicNetcodeToken } from '../token/netcode-format.js';
import { defaultClockSkewMs, defaultMaxTokenLifetimeMs } from '../transport/options.js';

/** The gateway that is asked about; everything else has its default. */
export interface AskedGateway {
  readonly protocolId: bigint;
  /** Addresses of the gateway; none if they are not known. */
  readonly addresses: readonly string[];
  /** Unix milliseconds. */
  readonly nowMs: number;
  /** Whether its key opens the private part; undefined without a key. */
  readonly isOpened: boolean | undefined;
}

/** The answer of {@link judgeToken}. */
export interface TokenVerdict {
  /** Whether the gateway would take the token, as far as can be known. */
  readonly accepted: boolean;
  /** In words: each reason against it, or what else must hold. */
  readonly verdict: readonly string[];
}

/** Judges a token as a gateway with default options does. */
export function judgeToken(token: PublicToken | PublicNetcodeToken, gateway: AskedGateway): TokenVerdict {
  const faults = [...faultsOf(token, gateway)];
  return faults.length > 0
    ? { accepted: false, verdict: faults }
    : { accepted: true, verdict: conditionsOf(token, gateway) };
}

function* faultsOf(token: PublicToken | PublicNetcodeToken, gateway: AskedGateway): Generator<string> {
  const isHawser = 'keyId' in token;
  const { protocolId, addresses, nowMs, isOpened } = gateway;
  if (token.protocolId !== protocolId)
    yield `PROTOCOL_MISMATCH: the token is for protocol ${token.protocolId}, the gateway serves ${protocolId}`;
  if (isOpened === false) {
    yield isHawser
      ? `the key does not open the private part, which is sealed with key ${token.keyId}: another key, or an altered token`
      : 'the key does not open the private part: another key, or an altered token';
  }
  const lifetimeMs = token.expireTimeMs - token.createTimeMs;
  if (isHawser && lifetimeMs > defaultMaxTokenLifetimeMs)
    yield `TOKEN_LIFETIME: it lives for ${seconds(lifetimeMs)}, a gateway accepts ${seconds(defaultMaxTokenLifetimeMs)} by default (maxTokenLifetimeMs)`;
  // A gateway allows no skew for the end of netcode tokens.
  if (token.expireTimeMs + (isHawser ? defaultClockSkewMs : 0) <= nowMs)
    yield `TOKEN_EXPIRED: it expired ${seconds(nowMs - token.expireTimeMs)} ago by the clock of this machine`;
  if (isHawser && token.createTimeMs - defaultClockSkewMs > nowMs)
    yield `TOKEN_FUTURE: it was created ${seconds(token.createTimeMs - nowMs)} ahead of the clock of this machine, a gateway allows ${seconds(defaultClockSkewMs)} by default (clockSkewMs)`;
  const listed = token.addresses.map(formatAddress);
  if (addresses.length > 0 && !addresses.some((each) => listed.includes(each)))
    yield `WRONG_ADDRESS: it lists ${listed.join(', ')}, but not ${addresses.join(', ')}`;
}

function conditionsOf(
  token: PublicToken | PublicNetcodeToken,
  { addresses, isOpened }: AskedGateway,
): readonly string[] {
  const conditions = ['a gateway with the same clock as this machine takes it'];
  if (isOpened === undefined) {
    conditions.push(
      'keyId' in token
        ? `if it has the key ${token.keyId} (give --key to try one)`
        : 'if it has the key (give --key to try one)',
    );
  }
  if (addresses.length === 0)
    conditions.push(`if it is reached as ${token.addresses.map(formatAddress).join(' or ')}`);
  if (!('keyId' in token) || token.singleUse)
    conditions.push(
      'if it was not used before, and not created before the restart guard of the gateway (restartGuardMs)',
    );
  return conditions;
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
