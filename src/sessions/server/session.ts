// A session as the parts of a server see it.

import type { OwnerRecord } from '../store/records.js';
import type { Compare, SessionStore } from '../store/store.js';
import type { ServerMessage } from '../wire/messages.js';
import type { ServerSettings } from './options.js';

/** What a gateway knows of whoever a connection is with. */
export interface SessionPeer {
  /** Whose connection it is: what the gateway knows, never what the other side says of itself. 1 to 256 bytes of UTF-8. */
  readonly identity: string;
  /**
   * What the other side's session clock says now, in milliseconds, as the transport has measured it, drift included; undefined while that has
   * not settled, or where the transport measures none.
   */
  remoteTimeMs?(): number | undefined;
}

/** A session that this gateway owns. */
export interface Session {
  /** A UUID of version 4. */
  readonly id: string;
  readonly owner: OwnerRecord;
  /** That of its owner record: another one means another owner. Changes only when the gateway claims it anew. */
  readonly ownerRevision: number;
  /** Whether its client knows what this package adds to the protocol. */
  readonly speaksHawser: boolean;
  /** Whether a connection is attached. */
  readonly connected: boolean;
  /** Aborts when it is over here: it expired, was closed, or is another gateway's. */
  readonly ended: AbortSignal;
}

/** What the part of a server that carries out requests needs of the rest. */
export interface RequestHost {
  readonly settings: ServerSettings;
  readonly store: SessionStore;
  /** Comparisons for every transaction of this gateway; undefined while it may not write: what needs the store is refused. */
  fences(): readonly Compare[] | undefined;
  /** One of the sessions that this gateway owns. */
  session(id: string): Session | undefined;
  /** Sends to the client of a session; dropped when it is not connected. */
  send(session: Session, message: ServerMessage): void;
  /** The owner record is not the one that is known: the session is another gateway's, or over. */
  ownerChanged(session: Session): void;
  /** A fence did not hold: nothing of this gateway counts until it has a lease again. */
  fenced(): void;
  /** Runs something in its turn behind what waits already: the serial action queue. Errors of `run` are told as those of listeners. */
  enqueue(run: () => void): void;
  /** For errors of the application's functions. */
  handlerError(error: unknown, source: 'onRequest' | 'onQuery' | 'onExpire'): void;
}

/** A session to be removed: one of this gateway's, or one of a gateway that is gone. */
export interface RemovalTarget {
  readonly id: string;
  readonly owner: OwnerRecord;
  readonly ownerRevision: number;
}
