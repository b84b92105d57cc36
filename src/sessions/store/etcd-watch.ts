// Watches keys of etcd across lost connections, without a gap: it goes on behind the last change that was told.

import type { IDuplexStream, IEvent, IWatchRequest, IWatchResponse } from 'etcd3';
import { Backoff } from '../../base/backoff.js';
import type { Timer } from '../../base/clock.js';
import { isolate, warnOfListenerError } from '../../base/isolate.js';
import type { EtcdCluster } from './etcd-cluster.js';
import { type EtcdKeys, type EtcdRange, revisionOf } from './etcd-keys.js';
import type { StoreChange, WatchListener } from './store.js';

type WatchStream = IDuplexStream<IWatchRequest, IWatchResponse>;

/** From where a watch goes on. */
export interface WatchPosition {
  readonly revision: number;
  /** A cluster that was set up anew counts from 1 again. */
  readonly clusterId: string;
  /** Keys there were then. */
  readonly count: number;
}

/** Delays before it is tried again: etcd may be without a leader for a while. */
const retryDelays = { initialMs: 100, maxMs: 1000, jitter: 0.5 } as const;

export class EtcdWatch implements Disposable {
  readonly #cluster: EtcdCluster;
  readonly #keys: EtcdKeys;
  readonly #range: EtcdRange;
  readonly #listener: WatchListener;
  readonly #backoff = new Backoff(retryDelays);
  /** Up to here everything has been told; undefined before the first `reset`, and when changes may have been missed. */
  #position: WatchPosition | undefined;
  /** What lies between was compacted away: it may have been changes of other keys. */
  #isCompacted = false;
  /** Ends what is waited for. */
  #interrupt: (() => void) | undefined;
  readonly #unsubscribe: () => void;
  #disposed = false;

  /** @param after the revision from which on all changes are told, and no `reset` at first. */
  constructor(
    cluster: EtcdCluster,
    keys: EtcdKeys,
    range: EtcdRange,
    listener: WatchListener,
    after?: WatchPosition,
  ) {
    this.#cluster = cluster;
    this.#keys = keys;
    this.#range = range;
    this.#listener = listener;
    this.#position = after;
    this.#unsubscribe = cluster.onMove(() => this.#interrupt?.());
    void this.#run();
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#unsubscribe();
    this.#interrupt?.();
  }

  async #run(): Promise<void> {
    while (!this.#disposed) {
      try {
        await this.#follow();
      } catch {
        // Whatever it was: it is tried again, and what is found then decides.
      }
      if (!this.#disposed) await this.#pause(this.#backoff.next());
    }
  }

  /** Resolves when the stream has ended. */
  async #follow(): Promise<void> {
    const { position: after, isFresh } = await this.#begin();
    const node = this.#cluster.current;
    const stream = await this.#cluster.client.watchClient.watch();
    // A node that was left meanwhile may be cut off from the others: it would serve a watch, and never tell anything.
    if (this.#disposed || node !== this.#cluster.current) end(stream);
    else await this.#listen(stream, node, after, isFresh);
  }

  /** Finds out from where it goes on, and whether changes may have been missed. */
  async #begin(): Promise<{ readonly position: WatchPosition; readonly isFresh: boolean }> {
    const from = this.#position;
    if (from === undefined) return this.#anew((await this.#look(0)).now);
    const { now, hasNewer } = await this.#look(this.#isCompacted ? from.revision + 1 : 0);
    // Another cluster, or one that was brought back from an older copy, does not have the changes that were told.
    if (from.clusterId !== now.clusterId || from.revision > now.revision) return this.#anew(now);
    if (!this.#isCompacted) return { position: from, isFresh: false };
    // None of those that are there was written since, and none of those that were there is gone.
    if (hasNewer || now.count !== from.count) return this.#anew(now);
    this.#isCompacted = false;
    this.#position = now;
    return { position: now, isFresh: false };
  }

  #anew(now: WatchPosition): { readonly position: WatchPosition; readonly isFresh: boolean } {
    this.#position = undefined;
    this.#isCompacted = false;
    return { position: now, isFresh: true };
  }

  /** Asks most of the nodes. @param since a revision; 0: whether keys were written then or later does not matter. */
  async #look(since: number): Promise<{ readonly now: WatchPosition; readonly hasNewer: boolean }> {
    const more = since === 0 ? { count_only: true } : { min_mod_revision: since, limit: 1, keys_only: true };
    const { header, count, kvs } = await this.#cluster.call((client) =>
      client.kv.range({ ...this.#range, ...more }),
    );
    const revision = revisionOf(header.revision);
    return {
      now: { revision, clusterId: header.cluster_id, count: Number(count) },
      hasNewer: kvs.length > 0,
    };
  }

  #listen(stream: WatchStream, node: number, after: WatchPosition, isFresh: boolean): Promise<void> {
    return new Promise((resolve) => {
      let isOver = false;
      const finish = (): void => {
        // What a stream says when it is ended comes later, when another may be followed.
        if (isOver) return;
        isOver = true;
        timer.clear();
        this.#interrupt = undefined;
        end(stream);
        resolve();
      };
      const timer: Timer = this.#cluster.clock.setTimeout(() => {
        finish();
        this.#cluster.leave(node);
      }, this.#cluster.timeoutMs);
      this.#interrupt = finish;
      stream.on('error', finish);
      stream.on('end', finish);
      stream.on('data', (response) => {
        if (isOver) return;
        if (response.canceled) {
          if (response.compact_revision !== '0') this.#isCompacted = true;
          finish();
          return;
        }
        if (response.created) {
          timer.clear();
          this.#created(after, isFresh);
        }
        this.#tell(response.events);
      });
      stream.write({ create_request: { ...this.#range, start_revision: after.revision + 1 } });
    });
  }

  #created(after: WatchPosition, isFresh: boolean): void {
    this.#backoff.reset();
    this.#position = after;
    if (isFresh) this.#call(() => this.#listener.reset());
  }

  /** The revision of the response itself can be ahead of its events, which come in several. */
  #tell(events: readonly IEvent[]): void {
    let changes: StoreChange[] = [];
    for (const event of events) {
      const revision = Number(event.kv.mod_revision);
      if (revision !== this.#position?.revision) {
        this.#changed(changes);
        changes = [];
      }
      this.#advance(revision, event);
      const change = this.#changeOf(event, revision);
      if (change !== undefined) changes.push(change);
    }
    this.#changed(changes);
  }

  #advance(revision: number, { type, kv }: IEvent): void {
    if (this.#position === undefined) return;
    const difference = type === 'Delete' ? -1 : kv.version === '1' ? 1 : 0;
    const { clusterId, count } = this.#position;
    this.#position = { revision, clusterId, count: count + difference };
  }

  /** @returns undefined for a key that no store can have written: whoever reads it is told. */
  #changeOf({ type, kv }: IEvent, revision: number): StoreChange | undefined {
    try {
      const entry = type === 'Put' ? this.#keys.entryOf(kv) : undefined;
      return { key: this.#keys.textOf(kv.key), entry, revision };
    } catch {
      return undefined;
    }
  }

  /** @param changes of one transaction. */
  #changed(changes: readonly StoreChange[]): void {
    if (changes.length > 0) this.#call(() => this.#listener.changed(changes));
  }

  #call(run: () => unknown): void {
    if (this.#disposed) return;
    isolate(run, (error) => warnOfListenerError(error, 'watch'));
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = (): void => {
        timer.clear();
        this.#interrupt = undefined;
        resolve();
      };
      const timer = this.#cluster.clock.setTimeout(finish, delayMs);
      this.#interrupt = () => {
        // Another node is to be asked: not before the delay, or two that do not answer would be asked in turns without any.
        if (this.#disposed) finish();
      };
    });
  }
}

/** In this order: etcd3 takes the cancelling of an open stream for a failure of the node, and closes all that goes to it. */
function end(stream: WatchStream): void {
  stream.end();
  stream.cancel();
}
