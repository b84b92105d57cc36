// What a session server tells of its work.

import type { RejectReason } from '../wire/messages.js';
import type { SessionEnd, SessionInfo } from './handler.js';

/** What is known of the heartbeats of a session (source document, "Debugging Information"). */
export interface HeartbeatDiagnostics {
  /** The session. */
  readonly sessionId: string;
  /** The timestamps of the last KeepAlives, at most 16, the newest last: Unix milliseconds of the client's clock. */
  readonly lastHeartbeats: readonly number[];
  /** When it expires unless a KeepAlive comes: Unix milliseconds of this machine's clock, as things are now. */
  readonly currentExpiredAt: number;
  /** Smoothed (alpha 1/8) and last round trip in milliseconds. A server takes them from the transport; 0 where that measures none. */
  readonly averageRoundTripTime: number;
  /** In milliseconds. */
  readonly lastRoundTripTime: number;
  /** Of a server: KeepAlives that came again or late. Of a client: responses. */
  readonly droppedStaleResponses: number;
  /** Of a server: mean deviation (alpha 1/8) of the time between KeepAlives, in milliseconds. */
  readonly intervalJitterMs: number;
}

/** The events of a {@link SessionServer} with the arguments of their listeners. */
export interface SessionServerEvents {
  /** A client has a session now that it had not. */
  sessionCreated: [session: SessionInfo];
  /** @param claimed from another gateway, or from before a restart. */
  sessionContinued: [session: SessionInfo, claimed: boolean];
  /** Its client is not connected any more; it can be continued until it expires. */
  sessionDisconnected: [session: SessionInfo];
  /** No KeepAlive has come for `warningThresholdMs`. */
  sessionWarning: [session: SessionInfo, silentMs: number];
  /** It is over, here and in the store. */
  sessionEnded: [session: SessionInfo, end: SessionEnd];
  /** Another gateway has it now. */
  sessionMoved: [session: SessionInfo];
  /** A Create or Continue was refused. */
  sessionRejected: [reason: RejectReason, identity: string];
  /** A timestamp was beyond the tolerance, by so many milliseconds (negative: behind). At most one for each session in a minute. */
  clockSkew: [session: SessionInfo, skewMs: number];
  /** Whether requests are served: false while the store cannot be reached for so long that another gateway may take over, or another one leads. */
  serving: [serving: boolean];
  /** The gateway that leads is another: where it is, if it said so. Of `cluster: 'leader'`. */
  leader: [advertise: string | undefined, isThisOne: boolean];
  /**
   * A function or a listener of the application failed, or the store in a way that trying again does not mend (`source`: `onRequest`, `onQuery`,
   * `onExpire`, the event, `store`, `action`). Without a listener of this event the error is counted and becomes a warning of the
   * process.
   */
  listenerError: [error: unknown, source: string];
}

/** Why something that came was dropped. */
export const dropReasons = [
  /** It is no message, or of a client none that a server takes. */
  'undecodable',
  /** A KeepAlive beyond the rate. */
  'rateLimited',
  /** A KeepAlive older than one that came before, or that one again. */
  'stale',
  /** A KeepAlive with a timestamp beyond the tolerance. */
  'skewed',
  /** It has no meaning for whoever sent it. */
  'unexpected',
  /** A Create beyond the rate of its connection. */
  'createLimited',
  /** A request or acknowledgement beyond what a session may have under way, of a client that cannot be told so. */
  'overloaded',
] as const;
/** Why something was dropped: a name of docs/protocol.md. */
export type DropReason = (typeof dropReasons)[number];

/** How much a {@link SessionServer} does, and did since it was made: what the metrics are made of. */
export interface SessionServerStats {
  /** Sessions that this gateway owns, and those among them with a client. */
  readonly sessions: number;
  /** Sessions of this gateway with a client. */
  readonly connected: number;
  /** How many this gateway may own. */
  readonly maxSessions: number;
  /** Sessions of gateways that are gone, which this one will expire. */
  readonly inCustody: number;
  /** Creates and claims that wait for the store. */
  readonly pending: number;
  /** Whether it takes clients. */
  readonly serving: boolean;
  /** Whether the lease certainly holds now: the store answers. A gateway that does not lead has one, too. */
  readonly leaseValid: boolean;
  /** Whether it is elected; always true where every gateway serves. */
  readonly isLeader: boolean;
  /** How often since the server was made. */
  readonly created: number;
  /** Sessions that went on after a Continue. */
  readonly continued: number;
  /** Sessions that were taken over from another gateway. */
  readonly claimed: number;
  /** Sessions that ended for want of a sign of life. */
  readonly expired: number;
  /** How often `sessionWarning` came. */
  readonly warnings: number;
  /** Sessions that their clients ended. */
  readonly closed: number;
  /** Sessions that went on at another gateway. */
  readonly moved: number;
  /** Creates and Continues that were refused, by the reason. */
  readonly rejected: Readonly<Record<RejectReason, number>>;
  /** KeepAlives that came. */
  readonly keepAlives: number;
  /** Messages without an effect, by the reason. */
  readonly dropped: Readonly<Record<DropReason, number>>;
  /** Requests: committed, answered again from what is kept, refused, and discarded since the commit lost. */
  readonly committed: number;
  /** Requests that were answered again from what is kept. */
  readonly repeated: number;
  /** Requests that were refused. */
  readonly refused: number;
  /** Requests whose outcome was discarded, since the commit lost. */
  readonly discarded: number;
  /** Queries that were answered. */
  readonly queries: number;
  /** Requests of the server that were sent. */
  readonly serverRequestsSent: number;
  /** Requests of the server that were acknowledged. */
  readonly serverRequestsAcknowledged: number;
  /** First timestamps of connections less the server's wall clock, in milliseconds: bounds -60000, -10000, -1000, -100, 0 and these above 0. */
  readonly skewMs: Histogram;
  /** How long clean-ups took, each slice. */
  readonly cleanupMs: Histogram;
  /** Round trips of the transport at some of the KeepAlives: at most 20 in a second. */
  readonly roundTripMs: Histogram;
}

/** Observations by upper bound (`le`), as Prometheus counts them: cumulative. Its infinite bound is not among them, which JSON does not have. */
export interface Histogram {
  /** Upper bounds, ascending. */
  readonly bounds: readonly number[];
  /** Observations up to each bound, and at the end all of them: one more than there are bounds. */
  readonly counts: readonly number[];
  /** Of all observations. */
  readonly sum: number;
}
