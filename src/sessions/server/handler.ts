// What an application does with the requests of its clients.

import type { Capabilities, Delivery } from '../wire/messages.js';

/** What a handler knows of the session that asks. */
export interface SessionInfo {
  /** A UUID of version 4 that the server made. */
  readonly sessionId: string;
  /** Whose session it is: as the gateway named the authenticated peer. */
  readonly identity: string;
  /** What the client says of itself. */
  readonly capabilities: Capabilities;
  /** How its requests count. */
  readonly delivery: Delivery;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

/** A request that is being handled. */
export interface RequestContext extends SessionInfo {
  /** With `sessionId` the idempotency key for whatever is done outside the store: the handler may be called again for the same request. */
  readonly requestId: number;
  /** The client's bytes. */
  readonly payload: Uint8Array;
  /** When the client made it, by the client's clock: Unix milliseconds. */
  readonly requestedAt: number;
  /** Aborts when the outcome cannot count any more: the session is over or another gateway's, or the server closes. */
  readonly signal: AbortSignal;
  /**
   * Reads what handlers have written. If it was written again by the time this request commits, the handler is called anew. At most 64 keys;
   * what a request reads, writes and sends is at most 96 operations together, of which it needs about eight itself and three or four for
   * each server request to another session.
   *
   * @param key 1 to 512 bytes of UTF-8.
   * @returns a promise of a copy; undefined for nothing.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, and as the methods of the store.
   */
  get(key: string): Promise<Uint8Array | undefined>;
}

/** A message to a client that is kept until the client acknowledges it. */
export interface ServerRequestDraft {
  /** Whose; the session of the request by default. A session that does not exist is passed over. */
  readonly sessionId?: string;
  /** At most 10,485,760 bytes. */
  readonly payload: Uint8Array;
}

/** What is to be committed with an outcome: all of it, or nothing. */
export interface Effects {
  /** Values (at most 10,485,760 bytes) by key (1 to 512 bytes of UTF-8); undefined deletes. At most 64. */
  readonly writes?: ReadonlyMap<string, Uint8Array | undefined>;
  /** At most 10, numbered in this order. */
  readonly serverRequests?: readonly ServerRequestDraft[];
}

/** The outcome of a request; the client hears of it after it is committed. */
export type RequestOutcome =
  | (Effects & { /** At most 10,485,760 bytes. */ readonly result: Uint8Array })
  /** A user error. It is kept, and its effects count, as those of a result. */
  | (Effects & { readonly error: Uint8Array });

/**
 * Handles a request. Its effects in the store happen exactly once; what it does elsewhere happens at least once. The requests of a session are
 * handled in the order in which they came, one at a time unless `requestsAtOnce` allows more. When it throws, nothing is committed, and the
 * client is told so (`HandlerFailed`).
 */
export type RequestHandler = (request: RequestContext) => RequestOutcome | Promise<RequestOutcome>;

/** A query that is being answered: it reads and changes nothing. */
export interface QueryContext extends SessionInfo {
  /** As the client gave it. */
  readonly correlationId: string;
  /** What the client asks. */
  readonly payload: Uint8Array;
  /** By the client's clock, in Unix milliseconds. */
  readonly requestedAt: number;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** As of {@link RequestContext}, without bounds on their number. What it reads contains everything that was committed before the query came. */
  get(key: string): Promise<Uint8Array | undefined>;
}

/** Answers a query. @returns the result, at most 10,485,760 bytes. */
export type QueryHandler = (query: QueryContext) => Uint8Array | Promise<Uint8Array>;

/** Why a session is over. */
export type SessionEnd = 'expired' | 'closed';

/**
 * Called before a session is removed: what it returns commits together with the removal, such as server requests to an administrator's session.
 * Perhaps more than once, when the removal had to be tried again. When it throws, or has not come to an end
 * within 30 s, the session is removed without effects.
 */
export type ExpireHandler = (
  session: SessionInfo,
  end: SessionEnd,
) => Effects | undefined | Promise<Effects | undefined>;
