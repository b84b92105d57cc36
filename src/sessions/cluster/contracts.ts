// How the parts of a gateway that share a store with others see one another.

import type { RemovalTarget } from '../server/session.js';
import type { OwnerRecord } from '../store/records.js';
import type { Compare, StoreLease } from '../store/store.js';

/** The lease of this gateway, taken again whenever it was lost. */
export interface GatewayLease extends AsyncDisposable {
  /** The one that is held, or was last believed to be; undefined before the first and between two. */
  readonly current: StoreLease | undefined;
  /** Whether it certainly holds now. */
  readonly valid: boolean;
  /** Takes the first one. @returns a promise that resolves when it is held; it tries until then, or until `close`. */
  start(): Promise<void>;
  /** Ends the one that is held: a transaction has shown that it does not hold, and another is to be taken. */
  discard(lease: StoreLease): void;
  /** Releases it, and takes no other. */
  close(): Promise<void>;
}

export interface GatewayLeaseListener {
  obtained(lease: StoreLease): void;
  lost(lease: StoreLease): void;
  /** `valid` is another than told last. */
  validChanged(valid: boolean): void;
}

/** One of the gateways leads. */
export interface Election extends AsyncDisposable {
  /** Whether this gateway leads, as far as it knows: transactions of its leadership compare `fence`. */
  readonly isLeader: boolean;
  /** While it leads. */
  readonly fence: Compare | undefined;
  /** What the leader advertises; undefined while there is none, '' when it does not say. */
  readonly leader: string | undefined;
  start(): void;
  /** Gives leadership up if it has it, so that others need not wait. */
  close(): Promise<void>;
}

export interface ElectionListener {
  elected(fence: Compare): void;
  deposed(): void;
  leaderChanged(leader: string | undefined): void;
}

/** Who owns sessions, as it changes: one watch for all parts of a gateway. */
export interface OwnerWatch extends Disposable {
  /** @param listener told of each owner record that is written or deleted, and when some may have been missed. @returns what ends it. */
  listen(listener: OwnerListener): Disposable;
}

export interface OwnerListener {
  /** @property owner undefined: the session is over. */
  changed(
    sessionId: string,
    owner: { readonly record: OwnerRecord; readonly revision: number } | undefined,
  ): void;
  reset(): void;
}

/** The sessions of gateways that are gone: the gateway that leads expires them when their grace is over. */
export interface Custody extends AsyncDisposable {
  /** How many are in custody. */
  readonly size: number;
  /** This gateway leads: looks for sessions without a living owner. */
  begin(): void;
  /** It leads no longer: forgets them. */
  end(): void;
  close(): Promise<void>;
}

/** What custody asks for. */
export interface CustodyHost {
  /** Whether the owner of a session is there. `active`: its gateway holds the lease of that epoch. `leader`: it is this gateway with its present lease. */
  isOwnerAlive(owner: OwnerRecord): boolean;
  /** Whether anything may be expired now: the lease and the leadership certainly hold. */
  mayExpire(): boolean;
  /** Removes a session whose grace is over. @returns a promise that resolves when it is gone, or somebody's; rejects when the store cannot be reached. */
  expire(target: RemovalTarget): Promise<void>;
}
