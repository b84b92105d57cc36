// What counts once: the requests of the sessions of a gateway, its own requests to clients, and the end of sessions.

import { setMaxListeners } from 'node:events';
import { Allowance } from '../../../base/allowance.js';
import { checkText } from '../../../base/check.js';
import { HawserError } from '../../../base/errors.js';
import type { StoreChange } from '../../store/store.js';
import { limits } from '../../wire/messages.js';
import type { SessionEnd } from '../handler.js';
import type { RemovalTarget, RequestHost, Session } from '../session.js';
import { NamedLocks } from './named-locks.js';
import { copyPayload } from './outcome.js';
import type { Parts, RequestCounts } from './parts.js';
import { pushServerRequest } from './push.js';
import { type RemovalEnd, removeSession } from './removal.js';
import type { ClientRequest } from './request-run.js';
import { serverRequestOf } from './server-request-tally.js';
import type { Query } from './session-queries.js';
import { SessionState } from './session-state.js';

/** Sessions whose state is read at the same time. */
const readsAtOnce = 64;

/** Carries out the requests of sessions. Its methods are to be called in the serial queue of the server. */
export class RequestExecutor {
  readonly #parts: Parts;
  readonly #states = new Map<string, SessionState>();
  readonly #closed = new AbortController();

  constructor(host: RequestHost) {
    setMaxListeners(0, this.#closed.signal);
    this.#parts = {
      host,
      counts: {
        committed: 0,
        repeated: 0,
        refused: 0,
        discarded: 0,
        queries: 0,
        serverRequestsSent: 0,
        serverRequestsAcknowledged: 0,
        overloaded: 0,
        unexpected: 0,
      },
      sessions: new NamedLocks(),
      contended: new NamedLocks(),
      reads: new Allowance(readsAtOnce),
      closed: this.#closed.signal,
      outboxOf: (sessionId) => this.#states.get(sessionId)?.outbox,
    };
  }

  get counts(): RequestCounts {
    return this.#parts.counts;
  }

  // ---- Sessions --------------------------------------------------------------------------------------------------------

  /** The session was just created: the store has nothing of it but its owner. */
  created(session: Session): void {
    if (!this.#closed.signal.aborted) this.#begin(session, true);
  }

  /** Its client has been told that it is continued, or created: what it has not acknowledged is sent. */
  attached(session: Session): void {
    this.#stateOf(session)?.attach();
  }

  /** Its client is not connected any more. */
  detached(session: Session): void {
    const state = this.#states.get(session.id);
    if (state?.session === session) state.detach();
  }

  /** It is over here: forgets it. What is in the store stays. */
  drop(session: Session): void {
    if (this.#states.get(session.id)?.session === session) this.#forget(session.id);
  }

  /**
   * Ends a session for good: `onExpire` is called, and everything of it goes from the store together with what that returned.
   *
   * @returns a promise of `removed`, also when it was gone already, or `notOwned` when it is another owner's. Rejects with
   * ERR_HAWSER_STORE_UNAVAILABLE (to be tried again), ERR_HAWSER_CLOSED, and as the store does.
   */
  remove(target: RemovalTarget, end: SessionEnd): Promise<RemovalEnd> {
    // One that this gateway has claimed meanwhile goes on.
    if (this.#states.get(target.id)?.session.ownerRevision === target.ownerRevision) this.#forget(target.id);
    return this.#unlessClosed(() => removeSession(this.#parts, target, end));
  }

  // ---- What clients send -----------------------------------------------------------------------------------------------

  /** @param message kept as it is until it is answered. */
  request(session: Session, message: ClientRequest): void {
    const state = this.#stateOf(session);
    state?.requests.request(message, state.inFlight);
  }

  /** @param message kept as it is until it is answered. */
  query(session: Session, message: Query): void {
    const state = this.#stateOf(session);
    state?.queries.query(message, state.inFlight);
  }

  /** Its client has all server requests up to this one. */
  acknowledge(session: Session, requestId: number): void {
    this.#stateOf(session)?.outbox.acknowledge(requestId);
  }

  // ---- Server requests -------------------------------------------------------------------------------------------------

  /**
   * Sends a server request to the client of a session, here or on another gateway. It is kept until that acknowledges it.
   *
   * @returns a promise of its id. Rejects with ERR_HAWSER_ARGUMENT, ERR_HAWSER_SESSION_EXPIRED (there is no such session),
   * ERR_HAWSER_QUEUE_FULL (`maxServerRequests`), ERR_HAWSER_STORE_UNAVAILABLE (it may be kept or not), ERR_HAWSER_CLOSED, and as the store does.
   */
  async push(sessionId: string, payload: Uint8Array): Promise<number> {
    checkText('sessionId', sessionId, limits.sessionIdBytes);
    const request = { sessionId, payload: copyPayload('payload', payload) };
    return this.#unlessClosed(() => pushServerRequest(this.#parts, request));
  }

  /** A watch of the server requests of all sessions has told this: perhaps another gateway has one for a session of this one. */
  changed({ key, entry }: StoreChange): void {
    const found = serverRequestOf(key);
    if (found === undefined || entry === undefined || !this.#states.has(found.sessionId)) return;
    const { sessionId, requestId } = found;
    // Behind a commit of this gateway that adds to the same session: that tells of it first.
    void this.#parts.sessions.run([sessionId], async () => {
      try {
        this.#states.get(sessionId)?.outbox.noticed(requestId, entry);
      } catch (error) {
        this.#parts.host.handlerError(error, 'onRequest');
      }
    });
  }

  /** The watch may have missed some. */
  missed(): void {
    for (const state of this.#states.values()) state.missed();
  }

  // ---- The end ---------------------------------------------------------------------------------------------------------

  /** Ends everything; nothing is sent any more, and what is under way in the store is not waited for. */
  close(): void {
    this.#closed.abort();
    for (const sessionId of Array.from(this.#states.keys())) this.#forget(sessionId);
  }

  #stateOf(session: Session): SessionState | undefined {
    if (this.#closed.signal.aborted) return undefined;
    const state = this.#states.get(session.id);
    return state?.session === session ? state : this.#begin(session, false);
  }

  #begin(session: Session, isNew: boolean): SessionState {
    this.#forget(session.id);
    const state = new SessionState(this.#parts, session, isNew);
    this.#states.set(session.id, state);
    return state;
  }

  #forget(sessionId: string): void {
    const state = this.#states.get(sessionId);
    if (state === undefined) return;
    this.#states.delete(sessionId);
    state.end();
  }

  /** What the store, or the application, does not answer must not outlast the server. */
  #unlessClosed<T>(run: () => Promise<T>): Promise<T> {
    const { signal } = this.#closed;
    return new Promise((resolve, reject) => {
      const closed = (): void => reject(new HawserError('ERR_HAWSER_CLOSED', 'the server is closed'));
      if (signal.aborted) return closed();
      signal.addEventListener('abort', closed);
      run()
        .then(resolve, reject)
        .finally(() => signal.removeEventListener('abort', closed));
    });
  }
}
