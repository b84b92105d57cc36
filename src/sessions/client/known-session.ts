// The session that a client has, over all its connections.

import type { SessionSnapshot } from './options.js';
import type { PendingRequests } from './pending-requests.js';
import type { ServerRequestTracker } from './server-request-tracker.js';

/** Its id, and with it the ids of requests in both directions. */
export class KnownSession {
  readonly #requests: PendingRequests;
  readonly #tracker: ServerRequestTracker;
  #id: string | undefined;

  constructor(requests: PendingRequests, tracker: ServerRequestTracker) {
    this.#requests = requests;
    this.#tracker = tracker;
  }

  /** Undefined while there is none. */
  get id(): string | undefined {
    return this.#id;
  }

  /** It was created, or continued. */
  established(id: string): void {
    this.#id = id;
  }

  /** It is over: what is asked from now on belongs to the next one. */
  forget(): void {
    this.#id = undefined;
    this.#requests.restart();
    this.#tracker.restart(0);
  }

  /** Goes on with the session of another process. */
  resume({ id, nextRequestId, lastServerRequestId }: SessionSnapshot): void {
    this.#id = id;
    this.#requests.restart(nextRequestId);
    this.#tracker.restart(lastServerRequestId);
  }

  snapshot(): SessionSnapshot | undefined {
    if (this.#id === undefined) return undefined;
    return { id: this.#id, nextRequestId: this.#requests.nextId, lastServerRequestId: this.#tracker.last };
  }
}
