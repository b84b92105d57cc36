// What the parts of a request executor share.

import type { Allowance } from '../../../base/allowance.js';
import type { RequestHost } from '../session.js';
import type { NamedLocks } from './named-locks.js';
import type { Outbox } from './outbox.js';

/** How much a {@link RequestExecutor} did since it was made. */
export interface RequestCounts {
  /** Requests whose outcome was committed here. */
  readonly committed: number;
  /** Answered again from what is kept. */
  readonly repeated: number;
  /** Requests and queries that were not carried out, or came to nothing. */
  readonly refused: number;
  /** Outcomes that do not count, since the session or the lease was lost meanwhile. */
  readonly discarded: number;
  /** Queries that were answered. */
  readonly queries: number;
  /** Each time a server request was sent. */
  readonly serverRequestsSent: number;
  readonly serverRequestsAcknowledged: number;
  /** Requests beyond what a session may have under way, of clients that cannot be told so. */
  readonly overloaded: number;
  /** Acknowledgements of what was never sent. */
  readonly unexpected: number;
}

export interface Parts {
  readonly host: RequestHost;
  readonly counts: { -readonly [Name in keyof RequestCounts]: number };
  /** By session id: commits of a session, and what adds to its server requests, come one after the other. */
  readonly sessions: NamedLocks;
  /** By key of the store: handlers that are called anew since others wrote what they had read. */
  readonly contended: NamedLocks;
  /** Reads of the store on behalf of sessions that are continued, so that thousands of them do not come at once. */
  readonly reads: Allowance;
  /** Aborts when the executor is closed. */
  readonly closed: AbortSignal;
  /** The server requests of a session of this gateway. */
  outboxOf(sessionId: string): Outbox | undefined;
}
