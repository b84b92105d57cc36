// What a request executor knows of one session. Most sessions do little: each part is made when it is needed first.

import { setMaxListeners } from 'node:events';
import type { Session } from '../session.js';
import { Outbox } from './outbox.js';
import type { Parts } from './parts.js';
import { SessionQueries } from './session-queries.js';
import { SessionRequests } from './session-requests.js';

export class SessionState {
  readonly session: Session;
  readonly #parts: Parts;
  /** The session was created here: nobody else has ever written its outcomes. */
  readonly #isNew: boolean;
  /** Nobody has sent it anything yet. */
  #isUnsent: boolean;
  #isAttached = false;
  #over: AbortController | undefined;
  #requests: SessionRequests | undefined;
  #queries: SessionQueries | undefined;
  #outbox: Outbox | undefined;

  /** @param isNew the session was just created: the store has nothing of it. */
  constructor(parts: Parts, session: Session, isNew: boolean) {
    this.#parts = parts;
    this.session = session;
    this.#isNew = isNew;
    this.#isUnsent = isNew;
  }

  get requests(): SessionRequests {
    this.#requests ??= new SessionRequests(this.#parts, this.session, this.#overSignal, this.#isNew);
    return this.#requests;
  }

  get queries(): SessionQueries {
    this.#queries ??= new SessionQueries(this.#parts, this.session, this.#overSignal);
    return this.#queries;
  }

  /** How many requests and queries are under way, or wait. */
  get inFlight(): number {
    return (this.#requests?.size ?? 0) + (this.#queries?.size ?? 0);
  }

  get outbox(): Outbox {
    if (this.#outbox === undefined) {
      this.#outbox = new Outbox(this.#parts, this.session, this.#overSignal, this.#isUnsent);
      if (this.#isAttached) this.#outbox.attach();
    }
    return this.#outbox;
  }

  attach(): void {
    this.#isAttached = true;
    if (this.#outbox !== undefined) this.#outbox.attach();
    else if (!this.#isUnsent) void this.outbox;
  }

  detach(): void {
    this.#isAttached = false;
    this.#outbox?.detach();
  }

  /** Somebody may have sent it something. */
  missed(): void {
    this.#isUnsent = false;
    if (this.#outbox !== undefined) this.#outbox.missed();
    else if (this.#isAttached) void this.outbox;
  }

  /** It is over here. */
  end(): void {
    this.detach();
    this.#over?.abort();
  }

  get #overSignal(): AbortSignal {
    if (this.#over === undefined) {
      this.#over = new AbortController();
      // Handlers listen to it, as many as are under way.
      setMaxListeners(0, this.#over.signal);
    }
    return this.#over.signal;
  }
}
