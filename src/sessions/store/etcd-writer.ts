// Writes transactions to etcd. Those that wait at the same time and touch different keys are merged into one of etcd: consensus costs the same
// for one and for many.

import type { ITxnRequest, ITxnResponse } from 'etcd3';
import { HawserError } from '../../base/errors.js';
import { inOrder } from '../../base/in-order.js';
import { type EtcdCluster, isRefusal } from './etcd-cluster.js';
import { etcdError, isLeaseGone } from './etcd-errors.js';
import { KeyOrder, type Locks, locksOf } from './etcd-key-order.js';
import type { EtcdKeys } from './etcd-keys.js';
import { foundOf, MergedTransactions, revisionOfTxn, singleRequest } from './etcd-txn.js';
import type { StoreLease, Transaction, TransactionResult, Write } from './store.js';

interface Job {
  readonly transaction: Transaction;
  readonly locks: Locks;
  /** When it was to be written. */
  readonly sinceMs: number;
  readonly resolve: (result: TransactionResult) => void;
  readonly reject: (error: HawserError) => void;
}

/** Merged transactions under way at most: enough that etcd need not wait for the way between. */
const maxUnderWay = 4;
/** Parts of a merged one that failed under way at most. */
const maxSingles = 8;

/** What the writer knows of leases. */
export interface WriterLeases {
  /** The id that etcd knows a lease by. */
  idOf(lease: StoreLease): string;
  /** etcd says that it is gone. */
  gone(lease: StoreLease): void;
}

export class EtcdWriter {
  readonly #cluster: EtcdCluster;
  readonly #keys: EtcdKeys;
  readonly #leases: WriterLeases;
  readonly #order = new KeyOrder();
  /** Whose turn has come, in the order of the calls. */
  #ready: Job[] = [];
  #underWay = 0;
  #planned = false;
  /** Since it was planned last, etcd has not answered. */
  #hasFailed = false;
  #unfinished = 0;
  /** Set by `close`, and called when nothing is left. */
  #drained: (() => void) | undefined;

  constructor(cluster: EtcdCluster, keys: EtcdKeys, leases: WriterLeases) {
    this.#cluster = cluster;
    this.#keys = keys;
    this.#leases = leases;
  }

  /**
   * Those that touch the same keys are carried out in the order of the calls.
   *
   * @param transaction checked, and copied.
   * @throws HawserError (rejects) ERR_HAWSER_STORE_UNAVAILABLE, ERR_HAWSER_STORE, ERR_HAWSER_STORE_FULL.
   */
  write(transaction: Transaction): Promise<TransactionResult> {
    return new Promise((resolve, reject) => {
      const sinceMs = this.#cluster.clock.now();
      const job: Job = { transaction, locks: locksOf(transaction), sinceMs, resolve, reject };
      ++this.#unfinished;
      this.#order.enter(job.locks, () => {
        this.#ready.push(job);
        this.#plan();
      });
    });
  }

  /** Resolves when all that was to be written has been tried. */
  async close(): Promise<void> {
    if (this.#unfinished === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  // ---- Which go together -------------------------------------------------------------------------------------------

  /** Those that call in the same turn go together. */
  #plan(): void {
    if (this.#planned || this.#underWay >= maxUnderWay) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      if (this.#hasFailed) this.#rejectOverdue();
      this.#hasFailed = false;
      while (this.#ready.length > 0 && this.#underWay < maxUnderWay) void this.#send(...this.#take());
    });
  }

  #rejectOverdue(): void {
    const kept: Job[] = [];
    // Those that waited for one that is rejected join the end, and are looked at too.
    for (const job of this.#ready) {
      const error = this.#cluster.overdue(job.sinceMs);
      if (error === undefined) kept.push(job);
      else this.#fail(job, error);
    }
    this.#ready = kept;
  }

  #take(): [readonly Job[], MergedTransactions] {
    const merged = new MergedTransactions();
    const end = this.#ready.findIndex(({ transaction }) => !merged.add(transaction));
    return [this.#ready.splice(0, end < 0 ? this.#ready.length : end), merged];
  }

  async #send(jobs: readonly Job[], merged: MergedTransactions): Promise<void> {
    ++this.#underWay;
    const [only] = jobs;
    if (jobs.length === 1 && only !== undefined) await this.#single(only);
    else if (!(await this.#together(jobs, merged))) {
      await inOrder(jobs, maxSingles, (job) => this.#single(job));
    }
    --this.#underWay;
    this.#plan();
  }

  // ---- Calls of etcd -----------------------------------------------------------------------------------------------

  /** @returns whether they are through; otherwise nothing was done, and each is to be tried on its own. */
  async #together(jobs: readonly Job[], merged: MergedTransactions): Promise<boolean> {
    try {
      const response = await this.#txn(merged.request(this.#keys, this.#leaseIdOf));
      if (!response.succeeded) return false;
      const revision = revisionOfTxn(response);
      for (const job of jobs) this.#finish(job, () => job.resolve({ committed: true, revision }));
      return true;
    } catch (cause) {
      const error = etcdError(this.#cluster.etcd, cause);
      if (isRefusal(error)) return false;
      for (const job of jobs) this.#fail(job, error);
      return true;
    }
  }

  async #single(job: Job): Promise<void> {
    const overdue = this.#cluster.overdue(job.sinceMs);
    if (overdue !== undefined) {
      this.#fail(job, overdue);
      return;
    }
    try {
      const response = await this.#txn(singleRequest(this.#keys, job.transaction, this.#leaseIdOf));
      const result: TransactionResult = response.succeeded
        ? { committed: true, revision: revisionOfTxn(response) }
        : { committed: false, found: foundOf(this.#keys, response) };
      this.#finish(job, () => job.resolve(result));
    } catch (cause) {
      this.#fail(job, etcdError(this.#cluster.etcd, cause));
    }
  }

  #txn(request: ITxnRequest): Promise<ITxnResponse> {
    return this.#cluster.call((client) => client.kv.txn(request));
  }

  readonly #leaseIdOf = (write: Write): string | undefined =>
    write.type === 'put' && write.lease !== undefined ? this.#leases.idOf(write.lease) : undefined;

  #fail(job: Job, error: HawserError): void {
    this.#hasFailed ||= !isRefusal(error);
    if (!isLeaseGone(this.#cluster.etcd, error)) {
      this.#finish(job, () => job.reject(error));
      return;
    }
    const puts = job.transaction.writes.filter((write) => write.type === 'put');
    const leases = new Set(puts.flatMap(({ lease }) => lease ?? []));
    const [lease] = leases;
    // Of several, etcd does not say which.
    if (lease !== undefined && leases.size === 1) this.#leases.gone(lease);
    const message = 'the lease of a write has ended';
    this.#finish(job, () => job.reject(new HawserError('ERR_HAWSER_STORE', message, { cause: error.cause })));
  }

  #finish(job: Job, settle: () => void): void {
    settle();
    this.#order.leave(job.locks);
    --this.#unfinished;
    if (this.#unfinished === 0) this.#drained?.();
  }
}
