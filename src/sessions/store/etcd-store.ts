// A store of sessions on etcd (the optional package `etcd3`), shared by all gateways that use the same namespace.

import { randomInt } from 'node:crypto';
import { checkFunction } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { checkGateway, checkPrefix, checkRange, checkTransaction, copyValue } from './check-arguments.js';
import { EtcdCluster } from './etcd-cluster.js';
import { loadEtcd } from './etcd-errors.js';
import { EtcdKeys, revisionOf } from './etcd-keys.js';
import { EtcdLease, epochOf, type GatewayPut, type GrantedLease, revokeLease } from './etcd-lease.js';
import { checkEtcdOptions, type EtcdSettings, type EtcdStoreOptions } from './etcd-options.js';
import { EtcdReader } from './etcd-reader.js';
import { EtcdWatch } from './etcd-watch.js';
import { EtcdWriter } from './etcd-writer.js';
import { gatewayKey } from './keys.js';
import type {
  Range,
  SessionStore,
  StoreEntry,
  StoreLease,
  Transaction,
  TransactionResult,
  WatchListener,
} from './store.js';

export type { EtcdStoreOptions } from './etcd-options.js';

/** What is written under the key of the format: a store of another kind or version is not opened. */
const format = 'hawser-sessions 1';

/**
 * Opens a store of sessions on etcd 3.4 or later; nothing has to be made there before.
 *
 * A transaction of etcd takes 128 comparisons, 128 writes and 1.5 MiB unless it is told otherwise (`--max-txn-ops`, `--max-request-bytes`); more
 * is ERR_HAWSER_STORE. Whoever can write the keys of the namespace is trusted.
 *
 * @returns a promise of the store; it holds connections until `close`.
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT; ERR_HAWSER_PACKAGE_MISSING without the package etcd3; ERR_HAWSER_STORE_UNAVAILABLE when no
 * node answers; ERR_HAWSER_STORE when the user is refused; ERR_HAWSER_STORE_FORMAT when the namespace has a store of another version.
 */
export async function openEtcdStore(options: EtcdStoreOptions): Promise<SessionStore> {
  const settings = checkEtcdOptions(options);
  const etcd = await loadEtcd();
  const cluster = new EtcdCluster(etcd, settings, randomInt(settings.hosts.length));
  const keys = new EtcdKeys(settings.namespace);
  try {
    await checkFormat(cluster, keys);
  } catch (error) {
    cluster.close();
    throw error;
  }
  return new EtcdStore(cluster, keys, settings);
}

/** Asks each node once, until one answers. */
async function checkFormat(cluster: EtcdCluster, keys: EtcdKeys): Promise<void> {
  for (let node = 1; ; ++node) {
    try {
      const found = await readFormat(cluster, keys);
      if (found === format) return;
      const message = `the namespace holds ${found.slice(0, 64)}, not ${format}`;
      throw new HawserError('ERR_HAWSER_STORE_FORMAT', message);
    } catch (error) {
      const isLast = node === cluster.nodes;
      if (isLast || !(error instanceof HawserError) || error.code !== 'ERR_HAWSER_STORE_UNAVAILABLE')
        throw error;
    }
  }
}

async function readFormat(cluster: EtcdCluster, { format: key }: EtcdKeys): Promise<string> {
  const { succeeded, responses } = await cluster.call((client) =>
    client.kv.txn({
      compare: [{ key, target: 'Mod', result: 'Equal', mod_revision: 0 }],
      success: [{ request_put: { key, value: Buffer.from(format) } }],
      failure: [{ request_range: { key } }],
    }),
  );
  return succeeded ? format : (responses[0]?.response_range.kvs[0]?.value.toString() ?? 'nothing');
}

/** Not exported: who compiles against this package need not have etcd3. */
class EtcdStore implements SessionStore {
  readonly shared = true;
  readonly #cluster: EtcdCluster;
  readonly #keys: EtcdKeys;
  readonly #settings: EtcdSettings;
  readonly #reader: EtcdReader;
  readonly #writer: EtcdWriter;
  readonly #watches = new Set<EtcdWatch>();
  /** Those that hold. */
  readonly #leases = new Set<EtcdLease>();
  readonly #own = new WeakMap<StoreLease, EtcdLease>();
  #closing: Promise<void> | undefined;

  constructor(cluster: EtcdCluster, keys: EtcdKeys, settings: EtcdSettings) {
    this.#cluster = cluster;
    this.#keys = keys;
    this.#settings = settings;
    this.#reader = new EtcdReader(cluster, keys);
    this.#writer = new EtcdWriter(cluster, keys, {
      idOf: (lease) => this.#own.get(lease)?.id ?? '',
      gone: (lease) => this.#own.get(lease)?.end(),
    });
  }

  async read(range: Range): Promise<readonly StoreEntry[]> {
    this.#throwIfClosed();
    return await this.#reader.read(checkRange(range));
  }

  async txn(transaction: Transaction): Promise<TransactionResult> {
    this.#throwIfClosed();
    return await this.#writer.write(checkTransaction(transaction, (lease) => this.#own.has(lease)));
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    this.#throwIfClosed();
    const range = this.#keys.prefix(checkPrefix(prefix));
    const watch = new EtcdWatch(this.#cluster, this.#keys, range, listener);
    this.#watches.add(watch);
    return {
      [Symbol.dispose]: () => {
        this.#watches.delete(watch);
        watch[Symbol.dispose]();
      },
    };
  }

  async lease(gateway: string, value: (epoch: string) => Uint8Array): Promise<StoreLease> {
    this.#throwIfClosed();
    checkGateway(gateway);
    checkFunction('value', value);
    const granted = await this.#grant();
    let put: GatewayPut;
    try {
      const bytes = copyValue('value', value(epochOf(granted.id)));
      put = await this.#putGateway(gateway, bytes, granted.id);
      this.#throwIfClosed();
    } catch (error) {
      await this.#revoke(granted.id);
      throw error;
    }
    // Those of other stores hear of it from their watch.
    for (const other of Array.from(this.#leases)) if (other.gateway === gateway) other.end();
    const lease = new EtcdLease(this.#cluster, this.#keys, granted, put);
    this.#own.set(lease, lease);
    this.#leases.add(lease);
    lease.ended.addEventListener('abort', () => this.#leases.delete(lease), { once: true });
    return lease;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // ---- Leases ------------------------------------------------------------------------------------------------------

  async #grant(): Promise<GrantedLease> {
    const sentMs = this.#cluster.clock.now();
    const { ID: id, TTL } = await this.#cluster.call((client) =>
      client.leaseClient.leaseGrant({ TTL: this.#settings.leaseTtlSeconds }),
    );
    return { id, ttlMs: Number(TTL) * 1000, sentMs };
  }

  /** Puts the key of the gateway in place of any other, whose lease ends: what else lies under that one goes. */
  async #putGateway(gateway: string, value: Uint8Array, leaseId: string): Promise<GatewayPut> {
    const key = this.#keys.key(gatewayKey(gateway));
    const put = { key, value: Buffer.from(value), lease: leaseId, prev_kv: true };
    const { header, responses } = await this.#cluster.call((client) =>
      client.kv.txn({ success: [{ request_put: put }] }),
    );
    const before = responses[0]?.response_put.prev_kv?.lease ?? '0';
    if (before !== '0' && before !== leaseId) await this.#revoke(before);
    const position = { revision: revisionOf(header.revision), clusterId: header.cluster_id, count: 1 };
    return { gateway, position };
  }

  /** Tries to; when etcd does not answer, it ends by itself. */
  async #revoke(leaseId: string): Promise<void> {
    try {
      await revokeLease(this.#cluster, leaseId);
    } catch {
      // Nobody keeps it alive any more.
    }
  }

  // ---- Closing -----------------------------------------------------------------------------------------------------

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new HawserError('ERR_HAWSER_CLOSED', 'the store is closed');
  }

  async #close(): Promise<void> {
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#watches.clear();
    const leases = Array.from(this.#leases);
    for (const lease of leases) lease.end();
    await this.#writer.close();
    // What is not released ends by itself.
    await Promise.allSettled(leases.map((lease) => lease.release()));
    this.#cluster.close();
  }
}
