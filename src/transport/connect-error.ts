// The error of an attempt to connect.

import { HawserError, type HawserErrorCode } from '../base/errors.js';
import type { ConnectResult, DeniedReason } from './results.js';

/** What is known of a failed attempt beside its result. */
export interface ConnectErrorDetails {
  /** See {@link ConnectError.denied}. */
  readonly denied?: DeniedReason | undefined;
  /** See {@link ConnectError.netcodeState}. */
  readonly netcodeState?: number | undefined;
  /** For people, instead of the usual text of the result. */
  readonly message?: string;
  /** For people, after everything else. */
  readonly advice?: string;
  /** The error underneath. */
  readonly cause?: unknown;
}

/** Why `connect` failed: the error says how the attempt ended. */
export class ConnectError extends HawserError {
  /** Why the connection did not come about. */
  readonly result: ConnectResult;
  /**
   * Reason that the gateway gave, when `result` is `denied`. Netcode has one refusal for all reasons, which is reported as SERVER_FULL.
   */
  readonly denied: DeniedReason | undefined;
  /** The state in which an attempt with a netcode token ended, as `Connection.netcodeState`; undefined with other tokens. */
  readonly netcodeState: number | undefined;

  constructor(result: ConnectResult, details: ConnectErrorDetails = {}) {
    const [code, usual] = connectErrors[result];
    const { denied, netcodeState, message = usual, advice = '', cause } = details;
    const text =
      denied === undefined ? message : `${message}: ${denied}${denialAdvice(denied, netcodeState)}`;
    super(code, text + advice, cause === undefined ? undefined : { cause });
    this.result = result;
    this.denied = denied;
    this.netcodeState = netcodeState;
  }
}

/** What to do about a refusal of the token. */
const tokenAdvice: Partial<Record<DeniedReason, string>> = {
  TOKEN_EXPIRED:
    'get a new connect token; if it is new, the clock of the gateway is ahead of that of the token issuer',
  TOKEN_FUTURE:
    'the clock of the token issuer is ahead of that of the gateway by more than its clockSkewMs: synchronise the clocks',
  TOKEN_LIFETIME:
    'the token lives longer than maxTokenLifetimeMs of the gateway: mint tokens with a shorter lifetime',
  PROTOCOL_MISMATCH: 'the token is for another protocolId than the gateway serves',
  WRONG_ADDRESS:
    'the token lists no address of this gateway: compare its addresses with publicAddresses of the gateway',
  SINGLE_USE_REFUSED:
    'the gateway cannot tell whether this single-use token was used: it was created before the start of the gateway + restartGuardMs ' +
    '(get a new one later), or lists other gateways that share no tokenHistory with it',
};

function denialAdvice(denied: DeniedReason, netcodeState: number | undefined): string {
  const advice =
    netcodeState === undefined
      ? tokenAdvice[denied]
      : 'netcode does not say why; the gateway is full, or does not take the token, and its log has the reason';
  return advice === undefined ? '' : `; ${advice}`;
}

const connectErrors: Readonly<Record<ConnectResult, readonly [HawserErrorCode, string]>> = {
  connected: ['ERR_HAWSER_CLOSED', 'the connection ended at once'],
  denied: ['ERR_HAWSER_DENIED', 'the gateway does not admit this client'],
  timedOut: ['ERR_HAWSER_TIMED_OUT', 'no gateway of the token answered in time'],
  tokenExpired: [
    'ERR_HAWSER_TOKEN_EXPIRED',
    'the lifetime of the connect token passed before it was connected',
  ],
  tokenInvalid: ['ERR_HAWSER_TOKEN_INVALID', 'the connect token is invalid, or for another protocol id'],
  aborted: ['ERR_HAWSER_ABORTED', 'the attempt to connect was aborted'],
  addressInUse: [
    'ERR_HAWSER_ADDRESS_IN_USE',
    'netcode tells connections apart by their addresses alone, and this client has a connection to each gateway of the token already: open another Client, or give another localAddress',
  ],
};
