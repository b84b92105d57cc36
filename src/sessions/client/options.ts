// What a session client can be told about how it is to work, and what it tells.

import type { ReconnectionOptions } from '../../base/connection-manager.js';
import type { HawserError } from '../../base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import type { Random } from '../../base/random.js';
import type { TimingWheel } from '../../base/timing-wheel.js';
import type { HeartbeatDiagnostics } from '../server/events.js';
import type { CloseReason, Delivery } from '../wire/messages.js';

/** The states of a client, by the names of the source document's protocol. */
export const clientStates = [
  'Disconnected',
  'ConnectingNewSession',
  'ConnectingExistingSession',
  'Connected',
  'Expired',
] as const;
/**
 * - `Disconnected`: nothing is under way. - `ConnectingNewSession`: there is no session yet. - `ConnectingExistingSession`: the session is to be
 *   continued. - `Connected`: it has a gateway. - `Expired`: it is over; a new one begins with `connect`.
 */
export type ClientState = (typeof clientStates)[number];

/** Which gateway to connect to. */
export interface GatewayTarget {
  /** The address to try first, `host:port`; undefined: as the connector likes. One that the connector does not know is passed over. */
  readonly first: string | undefined;
  /**
   * The address of the gateway that was lost or refused: to be tried last, and the others in their order from the one behind it on, so that each has
   * its turn.
   */
  readonly last: string | undefined;
}

/** Makes one connection, as `Connector` does. It tells by `connectedTo` where to, `host:port`, before it calls `attach`. */
export type SessionConnector = (
  attach: (connection: MessageConnection) => MessageReceiver,
  signal: AbortSignal,
  target: GatewayTarget,
  connectedTo: (address: string) => void,
) => Promise<void>;

/** How the interval between KeepAlives follows what happens (source document, "Adaptive Intervals"). */
export interface AdaptiveIntervals {
  /** While requests are under way or have just been, 10,000 to `idleMs`; half of `idleMs`, and at least 10,000, by default. */
  readonly busyMs?: number;
  /** Otherwise, 10,000 to 120,000; 30,000 by default: `keepAliveIntervalMs` of the server. */
  readonly idleMs?: number;
  /** While KeepAlives go unanswered or the round trip is long, 10,000 to `idleMs`; a third of `idleMs`, and at least 10,000, by default. */
  readonly poorNetworkMs?: number;
}

/** Options of {@link SessionClient}. */
export interface SessionClientOptions {
  /** Makes each of its connections: `sessionConnector`, or one of your own. */
  readonly connector: SessionConnector;
  /** What the session is created with: names of letters, digits, `-` and `_`, values that are not empty; at most 60, of 16,000 bytes. None by default: this package adds its own. */
  readonly capabilities?: Readonly<Record<string, string>>;
  /** How requests count; `exactly-once` by default. */
  readonly delivery?: Delivery;
  /** How the interval of heartbeats follows the connection; fixed by default. */
  readonly intervals?: AdaptiveIntervals;
  /**
   * How long a KeepAlive waits for its answer, 100 to `idleMs`; 5,000 and three round trips by default. It is then sent once more, and after the same
   * time the connection is given up: at most half of the interval counts, so that both fit into it.
   */
  readonly answerTimeoutMs?: number;
  /**
   * How long a gateway has to answer Create, Continue or Close, in milliseconds, 100 to 600,000; 5,000 by default. `disconnect` and `close` wait no
   * longer than this.
   */
  readonly sessionAnswerTimeoutMs?: number;
  /** After how long a request is sent again, 1,000 to 600,000; 10,000 by default. */
  readonly requestResendMs?: number;
  /** Requests and queries that may be under way or wait, 1 to 100,000; 100 by default: as many as a server takes of a session. More are refused with ERR_HAWSER_QUEUE_FULL. */
  readonly maxPending?: number;
  /** Called for each server request, once: in order. It is acknowledged before this is called. */
  readonly onServerRequest?: (request: ReceivedServerRequest) => void | Promise<void>;
  /** When and how often it connects anew; always, at once after a loss and then with growing delays, by default. */
  readonly reconnection?: ReconnectionOptions<MessageConnection>;
  /** Allows times from 1 ms on, for tests. False by default. */
  readonly testRanges?: boolean;
  /** Where its timers run; one for the whole process by default. */
  readonly wheel?: TimingWheel;
  /** Where jitter is taken from; `systemRandom` by default. Nonces are never made of it. */
  readonly random?: Random;
}

/** A server request, as the application gets it. */
export interface ReceivedServerRequest {
  /** From 1 on, consecutive in a session. */
  readonly requestId: number;
  /** What the gateway says. */
  readonly payload: Uint8Array;
  /** Unix milliseconds of the server's clock. */
  readonly createdAt: number;
}

/** What another process needs to go on with a session. */
export interface SessionSnapshot {
  /** 1 to 255 bytes of UTF-8. */
  readonly id: string;
  /** The id of the next request, 0 to 2^53 - 1: above those of all requests that were made in the session, also after the snapshot. */
  readonly nextRequestId: number;
  /** The id of the last server request that was delivered, 0 to 2^53 - 1; 0 for none. */
  readonly lastServerRequestId: number;
}

/** Options of `SessionClient.connect`. */
export interface SessionConnectOptions {
  /** Gives up, as `disconnect` does. Once connected it has no effect. */
  readonly signal?: AbortSignal;
  /** The session to go on with, instead of the client's own or a new one. */
  readonly session?: SessionSnapshot;
}

/** Options of `SessionClient.disconnect` and `close`. */
export interface SessionLeaveOptions {
  /** True: the session goes on at the server until it expires, for `connect` to continue. False by default: it is closed. */
  readonly keepSession?: boolean;
}

/** Options of `SessionClient.request` and `query`. */
export interface SessionCallOptions {
  /** Gives up waiting; what was sent may be carried out all the same. */
  readonly signal?: AbortSignal;
}

/** The events of a {@link SessionClient} with the arguments of their listeners. */
export interface SessionClientEvents {
  /** The state is another. */
  stateChange: [from: ClientState, to: ClientState];
  /** A session was created, or continued. */
  connected: [sessionId: string, continued: boolean];
  /** The connection is over; the session is not, unless `expired` follows. */
  disconnected: [reason: unknown];
  /** An attempt to connect follows in so many milliseconds: the first (1), second ... since the delays began anew. */
  reconnecting: [attempt: number, delayMs: number];
  /** An attempt to connect failed; `attempt` counts from 1. Another follows. */
  attemptFailed: [error: unknown, attempt: number];
  /** A gateway said to go elsewhere, or is done with the connection. */
  redirected: [reason: CloseReason | 'NotLeader' | 'farewell', elsewhere: string | undefined];
  /** A KeepAlive was answered after so many milliseconds. */
  roundTrip: [ms: number];
  /** The session is over: whatever waited has failed. */
  expired: [error: HawserError];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

/** How much a {@link SessionClient} did since it was made. */
export interface SessionClientStats {
  /** KeepAlives that were sent. */
  readonly keepAlivesSent: number;
  /** KeepAlives that were answered. */
  readonly keepAlivesAnswered: number;
  /** Answers to a KeepAlive before the last one answered; answers to none that was sent; KeepAlives without an answer in time. */
  readonly droppedStaleResponses: number;
  /** Answers to a KeepAlive that was never sent. */
  readonly unexpectedResponses: number;
  /** KeepAlives without an answer in time. */
  readonly missedResponses: number;
  /** Requests that were sent for the first time. */
  readonly requestsSent: number;
  /** Requests that were sent again, after a connection was lost. */
  readonly requestsResent: number;
  /** Requests of the server that came for the first time. */
  readonly serverRequests: number;
  /** Requests of the server that had come before. */
  readonly duplicateServerRequests: number;
  /** Requests of the server that came before one with a lower number. */
  readonly serverRequestGaps: number;
  /** Messages that are none. */
  readonly undecodable: number;
  /** Requests that wait for their results now. */
  readonly pending: number;
  /** What is known of the heartbeats of this connection; undefined without one. */
  readonly heartbeats: HeartbeatDiagnostics | undefined;
}
