// Reads ranges from etcd. Those that wait at the same time begin together in one call; long ones go on in pages, all of one revision.

import type { IRangeResponse } from 'etcd3';
import { HawserError } from '../../base/errors.js';
import type { EtcdCluster } from './etcd-cluster.js';
import { isCompacted } from './etcd-errors.js';
import type { EtcdKeys } from './etcd-keys.js';
import type { Range, StoreEntry } from './store.js';

type CheckedRange = Required<Range>;

interface Job {
  readonly range: CheckedRange;
  /** When it was asked for. */
  readonly sinceMs: number;
  readonly resolve: (first: FirstPage) => void;
  readonly reject: (error: unknown) => void;
}

/** How a read begins. */
interface FirstPage {
  readonly page: IRangeResponse;
  readonly revision: string;
}

/** The first page of a read has so many entries at most; how long they are is not known yet. */
const firstEntries = 16;
/** Reads that begin in one call at most. */
const maxTogether = 32;
/** Calls under way in which reads begin. */
const maxUnderWay = 4;
/** What a page is to have. */
const pageBytes = 2_097_152;
const maxPageEntries = 10_000;
/** A read begins anew when etcd has forgotten its revision while it went on: so often. */
const attempts = 3;

export class EtcdReader {
  readonly #cluster: EtcdCluster;
  readonly #keys: EtcdKeys;
  #waiting: Job[] = [];
  /** How many may begin in one call now: fewer when that was too much for the time that etcd may take. */
  #together = maxTogether;
  #underWay = 0;
  #planned = false;
  /** Since it was planned last, etcd has not answered. */
  #hasFailed = false;

  constructor(cluster: EtcdCluster, keys: EtcdKeys) {
    this.#cluster = cluster;
    this.#keys = keys;
  }

  /**
   * @param range checked.
   * @returns a promise of everything in it at one time after the call.
   * @throws HawserError (rejects) ERR_HAWSER_STORE_UNAVAILABLE, ERR_HAWSER_STORE, ERR_HAWSER_STORE_FORMAT.
   */
  async read(range: CheckedRange): Promise<StoreEntry[]> {
    for (let attempt = 1; ; ++attempt) {
      try {
        return await this.#read(range);
      } catch (error) {
        if (!isCompacted(this.#cluster.etcd, error)) throw error;
        if (attempt < attempts) continue;
        const message = 'so much is written that etcd forgets what it was while it is read';
        throw new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', message, { cause: error });
      }
    }
  }

  async #read({ from, to, limit }: CheckedRange): Promise<StoreEntry[]> {
    const { page, revision } = await this.#begin({ from, to, limit });
    const entries = page.kvs.map((entry) => this.#keys.entryOf(entry));
    let bytes = bytesOf(page);
    let { more } = page;
    for (let last = page.kvs.at(-1); more && last !== undefined && entries.length < limit; ) {
      const size = Math.max(1, Math.floor(pageBytes / (bytes / entries.length)));
      const count = Math.min(limit - entries.length, size, maxPageEntries);
      const { range_end } = this.#keys.range(from, to);
      // The key that follows the last one: no other lies between.
      const key = Buffer.concat([last.key, Buffer.from([0])]);
      const next = await this.#cluster.call((client) =>
        client.kv.range({ key, ...(range_end && { range_end }), limit: count, revision }),
      );
      for (const entry of next.kvs) entries.push(this.#keys.entryOf(entry));
      bytes += bytesOf(next);
      more = next.more;
      last = next.kvs.at(-1);
    }
    return entries;
  }

  #begin(range: CheckedRange): Promise<FirstPage> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ range, sinceMs: this.#cluster.clock.now(), resolve, reject });
      this.#plan();
    });
  }

  #plan(): void {
    if (this.#planned || this.#underWay >= maxUnderWay) return;
    this.#planned = true;
    setImmediate(() => {
      this.#planned = false;
      if (this.#hasFailed) this.#rejectOverdue();
      this.#hasFailed = false;
      while (this.#waiting.length > 0 && this.#underWay < maxUnderWay) {
        void this.#send(this.#waiting.splice(0, this.#together));
      }
    });
  }

  #rejectOverdue(): void {
    const kept: Job[] = [];
    for (const job of this.#waiting) {
      const error = this.#cluster.overdue(job.sinceMs);
      if (error === undefined) kept.push(job);
      else job.reject(error);
    }
    this.#waiting = kept;
  }

  async #send(jobs: readonly Job[]): Promise<void> {
    ++this.#underWay;
    const success = jobs.map(({ range: { from, to, limit } }) => ({
      request_range: { ...this.#keys.range(from, to), limit: Math.min(limit, firstEntries) },
    }));
    try {
      const { header, responses } = await this.#cluster.call((client) => client.kv.txn({ success }));
      for (const [index, job] of jobs.entries()) {
        const page = responses[index]?.response_range;
        if (page === undefined)
          job.reject(new HawserError('ERR_HAWSER_STORE', 'etcd answered less than asked'));
        else job.resolve({ page, revision: header.revision });
      }
      this.#together = Math.min(this.#together + 1, maxTogether);
    } catch (error) {
      this.#hasFailed = true;
      this.#together = Math.ceil(this.#together / 2);
      for (const job of jobs) job.reject(error);
    }
    --this.#underWay;
    this.#plan();
  }
}

function bytesOf({ kvs }: IRangeResponse): number {
  let bytes = 1;
  for (const { key, value } of kvs) bytes += key.length + value.length;
  return bytes;
}
