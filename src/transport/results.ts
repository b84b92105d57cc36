// The names of states, results, reasons and codes, as docs/protocol.md and the addon number them.

/** What a socket is for. */
export type SocketMode = 'SERVER' | 'CLIENT';

/** Where a socket is in its life: STOPPED -> RUNNING -> STOPPING -> STOPPED. */
export type SocketState = 'STOPPED' | 'RUNNING' | 'STOPPING';

/** Where a client's connection is; in the order of `ClientState` of native/engine/events.hpp. */
export const connectionStates = [
  'DISCONNECTED',
  'REQUESTING',
  'RESPONDING',
  'CONFIRMING',
  'CONNECTED',
  'DISCONNECTING',
] as const;
/** One of `connectionStates`. */
export type ConnectionState = (typeof connectionStates)[number];

/** The states of a netcode client: their numbers in the standard by its names for them. The negative ones are those of failures. */
export const netcodeStates = {
  /** The token expired before the connection was there. */
  connectTokenExpired: -6,
  /** The token is none. */
  invalidConnectToken: -5,
  /** Nothing came for the timeout of the token. */
  connectionTimedOut: -4,
  /** The response to the challenge was not answered. */
  connectionResponseTimedOut: -3,
  /** The request was not answered. */
  connectionRequestTimedOut: -2,
  /** The server refused. */
  connectionDenied: -1,
  /** Not connected, or not any more. */
  disconnected: 0,
  /** Asks for a connection. */
  sendingConnectionRequest: 1,
  /** Answers the challenge. */
  sendingConnectionResponse: 2,
  /** The connection is there. */
  connected: 3,
} as const;

/** How an attempt to connect ended; in the order of `ConnectResult` of native/engine/events.hpp. */
export const connectResults = [
  'connected',
  'denied',
  'timedOut',
  'tokenExpired',
  'tokenInvalid',
  'aborted',
  'addressInUse',
] as const;
/** How an attempt to connect ended: one of `connectResults`. */
export type ConnectResult = (typeof connectResults)[number];

/** How a connection ended; in the order of `DisconnectResult` of native/engine/events.hpp, which begins at 1. */
export const disconnectResults = [
  'disconnected',
  'closed',
  'timedOut',
  'reset',
  'protocolError',
  'replaced',
  'keyExhausted',
] as const;
/**
 * - `disconnected`: the other side disconnected; `code` and `reason` are its own.
 * - `closed`: this side disconnected.
 * - `timedOut`: nothing authentic arrived for the timeout of the token.
 * - `reset`: the gateway does not know the connection any more (it was restarted), and reconnecting was off or impossible.
 * - `protocolError`: the other side broke a rule.
 * - `replaced`: the same client id connected with a newer attempt. Do not reconnect: that would replace it in turn.
 * - `keyExhausted`: a limit of the session's key was reached.
 */
export type DisconnectResult = (typeof disconnectResults)[number];

/** Why a gateway denied; in the order of the table in docs/protocol.md section 3, which begins at 1. */
export const deniedReasons = [
  'SERVER_FULL',
  'TOKEN_USED',
  'CLIENT_ID_CONNECTED',
  'SHUTTING_DOWN',
  'HISTORY_UNAVAILABLE',
  'CHANNELS_MISMATCH',
  'TOKEN_EXPIRED',
  'TOKEN_FUTURE',
  'TOKEN_LIFETIME',
  'PROTOCOL_MISMATCH',
  'WRONG_ADDRESS',
  'SINGLE_USE_REFUSED',
] as const;
/** A reason that this version does not know is reported as `UNKNOWN_<number>`. */
export type DeniedReason = (typeof deniedReasons)[number] | `UNKNOWN_${number}`;

/** The codes of DISCONNECT (docs/protocol.md section 6). An application's own codes are 0x10000 and above. */
export const disconnectCodes = {
  /** No reason was given. */
  NONE: 0,
  /** The other side broke a rule. */
  PROTOCOL_ERROR: 1,
  /** The same client id connected with a newer attempt. */
  REPLACED: 2,
  /** The gateway ends. */
  SHUTTING_DOWN: 3,
  /** A limit of the session's key was reached. */
  KEY_EXHAUSTED: 4,
  /** The gateway has no place. */
  SERVER_FULL: 5,
  /** The token is for a single use, and was used. */
  TOKEN_USED: 6,
  /** The client id is connected and `sameClient` is `reject`, or a newer attempt has it. */
  CLIENT_ID_CONNECTED: 7,
  /** Whether the token was used cannot be told. */
  HISTORY_UNAVAILABLE: 8,
  /** More was sent than a limit allows. */
  LIMIT_EXCEEDED: 9,
  /** More was queued or unacknowledged for the other side than `maxQueuedBytes` allows. */
  SLOW_CONSUMER: 10,
  /** The gateway held too much memory for messages to all peers, and the most for this one. */
  SEND_MEMORY_FULL: 11,
  /** Unfinished messages did not go on, or nothing was acknowledged (docs/protocol.md section 12, Progress). */
  NO_PROGRESS: 12,
} as const;

/** The least code that belongs to applications. */
export const firstApplicationCode = 0x1_0000;

/** How and why a connection ended. */
export interface DisconnectInfo {
  /** How it ended. */
  readonly result: DisconnectResult;
  /** The code of the DISCONNECT that was received or sent; 0 where there was none, as in all that netcode receives. */
  readonly code: number;
  /** The text that came with it, for people; '' where there was none, as always with netcode. */
  readonly reason: string;
  /**
   * On a client, the time over which the gateway that disconnected it asks its clients to spread, at random, their first attempt to
   * connect again; on a gateway, what the client was told. In milliseconds; 0 where nothing was asked, as always with netcode. A client
   * gets whatever the gateway sent, up to 4,294,967,295 (49 days): whoever follows it must bound it.
   */
  readonly reconnectSpreadMs: number;
}

/** What a gateway asks of its client with GOAWAY. */
export interface GoawayInfo {
  /** A number that the gateway chose; 3 when it drains. */
  readonly reason: number;
  /** In how many milliseconds the gateway disconnects. */
  readonly deadlineMs: number;
  /** As in {@link DisconnectInfo}, with the same warning: whoever follows it must bound it. */
  readonly reconnectSpreadMs: number;
  /** The gateway to go to, if it named one. */
  readonly elsewhere: string | undefined;
}

export function connectionStateName(value: number): ConnectionState {
  return connectionStates[value] ?? 'DISCONNECTED';
}

export function connectResultName(value: number): ConnectResult {
  return connectResults[value] ?? 'aborted';
}

export function disconnectResultName(value: number): DisconnectResult {
  return disconnectResults[value - 1] ?? 'closed';
}

export function deniedReasonName(value: number): DeniedReason {
  return deniedReasons[value - 1] ?? `UNKNOWN_${value}`;
}
