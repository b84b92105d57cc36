// Where gateways keep what outlives a connection: the contract of the stores. Keys are text, in the order of their bytes; `keys.ts` says what
// is kept under which.

/** What is kept under a key. */
export interface StoreEntry {
  /** 1 to 1,024 bytes of UTF-8. */
  readonly key: string;
  /** What is there. */
  readonly value: Uint8Array;
  /** When it was written last: grows with each transaction of the whole store, 1 to 2^53 - 1. */
  readonly revision: number;
}

/** Holds while the key was not written since that revision; 0: while there is nothing under it. */
export interface Compare {
  /** The key. */
  readonly key: string;
  /** That of {@link StoreEntry}; 0 for nothing there. */
  readonly revision: number;
}

/** One change of a transaction. */
export type Write =
  | {
      readonly type: 'put';
      /** 1 to 1,024 bytes of UTF-8. */
      readonly key: string;
      /** 0 to 12,582,912 bytes; etcd takes 1.5 MiB in a transaction unless it is told otherwise. */
      readonly value: Uint8Array;
      /** The key goes when that lease ends. */
      readonly lease?: StoreLease;
    }
  | { readonly type: 'delete'; readonly key: string }
  /** Everything from `from` to before `to`. */
  | { readonly type: 'deleteRange'; readonly from: string; readonly to: string };

/**
 * All of it is written, at one revision, when every comparison holds; otherwise nothing is. At most 128 comparisons and 128 writes; no key is
 * put twice, or put and deleted: ERR_HAWSER_ARGUMENT. Several that wait at the same time may be committed together, at one revision.
 */
export interface Transaction {
  /** What has to hold. */
  readonly compare: readonly Compare[];
  /** What is written then. */
  readonly writes: readonly Write[];
}

/** What became of a transaction. `found` is what is under the keys of `compare`, in their order: undefined for nothing. */
export type TransactionResult =
  | { readonly committed: true; readonly revision: number }
  | { readonly committed: false; readonly found: readonly (StoreEntry | undefined)[] };

/** What to read: in the order of keys. */
export interface Range {
  /** The first key. */
  readonly from: string;
  /** Before this one. */
  readonly to: string;
  /** Entries at most, 1 to 1,000,000; all by default. */
  readonly limit?: number;
}

/** One change that a watch tells. */
export interface StoreChange {
  /** The key. */
  readonly key: string;
  /** What is under the key now; undefined when it was deleted, or its lease ended. */
  readonly entry: StoreEntry | undefined;
  /** When it changed: that of the transaction. */
  readonly revision: number;
}

/** Whoever watches keys. */
export interface WatchListener {
  /** Changes in the order of their revisions, those of one transaction together. Each is told once, unless `reset` came between. */
  changed(changes: readonly StoreChange[]): void;
  /** Changes may have been missed: whoever keeps a picture of the keys has to read them anew. Told also when the watch first begins. */
  reset(): void;
}

/** What a gateway holds for as long as it lives. */
export interface StoreLease {
  /** As given to `lease`. */
  readonly gateway: string;
  /** Tells this time from every other for which a gateway of that name held a lease. 1 to 64 letters, digits, `-`. */
  readonly epoch: string;
  /** Holds while the lease does: the key of the gateway. To be compared in each transaction of the gateway. */
  readonly fence: Compare;
  /**
   * Until when it certainly holds, in milliseconds of the store's clock: the time at which the last keep-alive that succeeded was sent, and its
   * TTL less a second. Infinity for a store that only one process can have open; -Infinity when it has ended.
   */
  readonly validUntilMs: number;
  /** Aborted when it has ended: it was lost, released, or the store closed. */
  readonly ended: AbortSignal;
  /** Ends it: everything under it goes, so that others need not wait. Rejects with ERR_HAWSER_STORE_UNAVAILABLE; releasing twice is releasing once. */
  release(): Promise<void>;
}

/**
 * A store of sessions. Every method rejects with ERR_HAWSER_STORE_UNAVAILABLE when the store cannot be reached, or does not answer in time:
 * then a transaction may or may not have been committed, and trying again is allowed where its comparisons make it harmless. A store on a disk
 * rejects with ERR_HAWSER_STORE_FULL, ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE. After `close` they reject with ERR_HAWSER_CLOSED.
 */
export interface SessionStore extends AsyncDisposable {
  /** Whether other gateways may have it open at the same time. */
  readonly shared: boolean;
  /** @returns a promise of what is in the range; it contains everything that was committed before the call (linearizable). */
  read(range: Range): Promise<readonly StoreEntry[]>;
  /**
   * What has been committed stays: it is on the disk, or with most nodes of the cluster. Values are copied before this returns. A put under a
   * lease that has ended rejects with ERR_HAWSER_STORE when the comparisons hold.
   */
  txn(transaction: Transaction): Promise<TransactionResult>;
  /** Watches the keys that begin with `prefix`. @returns what ends it. `reset` is told soon, in a later turn. */
  watch(prefix: string, listener: WatchListener): Disposable;
  /**
   * Takes a lease, and keeps it alive: the key of the gateway is put under it in place of any other.
   *
   * @param gateway 1 to 256 bytes of UTF-8 without `/`.
   * @param value what others are to know of the gateway, given the epoch of the lease.
   */
  lease(gateway: string, value: (epoch: string) => Uint8Array): Promise<StoreLease>;
  /** Ends leases and watches, and lets go. Closing twice is closing once. */
  close(): Promise<void>;
}
