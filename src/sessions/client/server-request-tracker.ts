// The server requests of a session: each is acknowledged, then delivered once.

import type { ClientMessage, ServerMessage } from '../wire/messages.js';
import type { ReceivedServerRequest } from './options.js';

type ServerRequest = Extract<ServerMessage, { readonly type: 'ServerRequest' }>;
type ServerRequestAck = Extract<ClientMessage, { readonly type: 'ServerRequestAck' }>;

/** What is counted over all sessions. */
export interface ServerRequestCounts {
  serverRequests: number;
  duplicateServerRequests: number;
  serverRequestGaps: number;
}

/** Outlives the connections of a session, and begins anew with another one. */
export class ServerRequestTracker {
  readonly counts: ServerRequestCounts = {
    serverRequests: 0,
    duplicateServerRequests: 0,
    serverRequestGaps: 0,
  };
  readonly #deliver: (request: ReceivedServerRequest) => void;
  #last = 0;

  /** @param deliver called for each, once, in the order of the ids, after it was acknowledged. */
  constructor(deliver: (request: ReceivedServerRequest) => void) {
    this.#deliver = deliver;
  }

  /** The last one that was delivered; 0 for none. */
  get last(): number {
    return this.#last;
  }

  /** @param last of an earlier process, or 0 for a new session. */
  restart(last: number): void {
    this.#last = last;
  }

  /** @param acknowledge sends it; one that does not go is made up for by the next: the server sends the request again. */
  received(request: ServerRequest, acknowledge: (ack: ServerRequestAck) => void): void {
    const { requestId, payload, createdAt } = request;
    if (requestId > this.#last + 1) {
      // The server sends those before it again, and then this one.
      ++this.counts.serverRequestGaps;
      return;
    }
    acknowledge({ type: 'ServerRequestAck', requestId });
    if (requestId <= this.#last) {
      ++this.counts.duplicateServerRequests;
      return;
    }
    this.#last = requestId;
    ++this.counts.serverRequests;
    this.#deliver({ requestId, payload: new Uint8Array(payload), createdAt });
  }
}
