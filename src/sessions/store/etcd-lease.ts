// A lease of etcd, kept alive, and what is known of it without asking.

import type { Timer } from '../../base/clock.js';
import type { EtcdCluster } from './etcd-cluster.js';
import type { EtcdKeys } from './etcd-keys.js';
import { EtcdWatch, type WatchPosition } from './etcd-watch.js';
import { gatewayKey } from './keys.js';
import type { Compare, StoreLease, WatchListener } from './store.js';

/** So much earlier than etcd could end it a lease is not counted on any more. */
const marginMs = 1000;
/** How soon a keep-alive that failed is sent again. */
const retryMs = 250;
const keepAlivesPerTtl = 3;

/** A lease that etcd has granted. */
export interface GrantedLease {
  /** As etcd writes it: a decimal number. */
  readonly id: string;
  readonly ttlMs: number;
  /** When it was asked for, by the clock of the store. */
  readonly sentMs: number;
}

/** The epoch of a lease: its id, as etcdctl writes it, which etcd never gives twice. */
export function epochOf(id: string): string {
  return BigInt.asUintN(64, BigInt(id)).toString(16);
}

/** What the key of the gateway was put with. */
export interface GatewayPut {
  readonly gateway: string;
  readonly position: WatchPosition;
}

export class EtcdLease implements StoreLease {
  readonly id: string;
  readonly gateway: string;
  readonly epoch: string;
  readonly fence: Compare;
  readonly #cluster: EtcdCluster;
  readonly #keys: EtcdKeys;
  readonly #ended = new AbortController();
  readonly #watch: EtcdWatch;
  #ttlMs: number;
  /** When the last keep-alive that succeeded was sent. */
  #confirmedMs: number;
  #next: Timer | undefined;
  #expiry: Timer | undefined;
  #releasing: Promise<void> | undefined;

  constructor(cluster: EtcdCluster, keys: EtcdKeys, granted: GrantedLease, put: GatewayPut) {
    this.id = granted.id;
    this.gateway = put.gateway;
    this.epoch = epochOf(granted.id);
    this.fence = { key: gatewayKey(put.gateway), revision: put.position.revision };
    this.#cluster = cluster;
    this.#keys = keys;
    this.#ttlMs = granted.ttlMs;
    this.#confirmedMs = granted.sentMs;
    const own: WatchListener = {
      // Any change: the key was put by another lease, or is gone.
      changed: () => this.end(),
      reset: () => void this.#lookAgain(),
    };
    this.#watch = new EtcdWatch(cluster, keys, { key: keys.key(this.fence.key) }, own, put.position);
    this.#confirm(granted.sentMs, granted.ttlMs);
    this.#planKeepAlive();
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  get validUntilMs(): number {
    return this.ended.aborted ? Number.NEGATIVE_INFINITY : this.#confirmedMs + this.#ttlMs - marginMs;
  }

  release(): Promise<void> {
    this.#releasing ??= this.#release();
    return this.#releasing;
  }

  /** It does not hold any more, or nobody knows. */
  end(): void {
    if (this.ended.aborted) return;
    this.#next?.clear();
    this.#expiry?.clear();
    this.#watch[Symbol.dispose]();
    this.#ended.abort();
  }

  async #release(): Promise<void> {
    this.end();
    if (!this.#cluster.closed) await revokeLease(this.#cluster, this.id);
  }

  #confirm(sentMs: number, ttlMs: number): void {
    this.#confirmedMs = sentMs;
    this.#ttlMs = ttlMs;
    this.#expiry?.clear();
    const leftMs = Math.max(0, sentMs + ttlMs - this.#cluster.clock.now());
    this.#expiry = this.#cluster.clock.setTimeout(() => this.end(), leftMs);
  }

  #planKeepAlive(): void {
    const dueMs = this.#confirmedMs + this.#ttlMs / keepAlivesPerTtl;
    this.#plan(Math.max(0, dueMs - this.#cluster.clock.now()));
  }

  #plan(delayMs: number): void {
    this.#next = this.#cluster.clock.setTimeout(() => void this.#keepAlive(), delayMs);
  }

  async #keepAlive(): Promise<void> {
    const sentMs = this.#cluster.clock.now();
    try {
      const seconds = await this.#cluster.keepAlive(this.id);
      if (this.ended.aborted) return;
      if (seconds > 0) {
        this.#confirm(sentMs, seconds * 1000);
        this.#planKeepAlive();
      } else {
        this.end();
      }
    } catch {
      // Until the time of the lease is over, nobody has said that it is gone.
      if (!this.ended.aborted) this.#plan(retryMs);
    }
  }

  /** Changes of the key may have been missed. */
  async #lookAgain(): Promise<void> {
    try {
      const key = this.#keys.key(this.fence.key);
      const { kvs } = await this.#cluster.call((client) => client.kv.range({ key }));
      if (kvs[0]?.mod_revision !== String(this.fence.revision)) this.end();
    } catch {
      // Rather one lease too few than two owners.
      this.end();
    }
  }
}

/** @throws HawserError (rejects) ERR_HAWSER_STORE_UNAVAILABLE. A lease that is gone is what was asked for. */
export async function revokeLease(cluster: EtcdCluster, id: string): Promise<void> {
  await cluster.call(async (client) => {
    try {
      await client.leaseClient.leaseRevoke({ ID: id });
    } catch (error) {
      if (!(error instanceof cluster.etcd.EtcdLeaseInvalidError)) throw error;
    }
  });
}
