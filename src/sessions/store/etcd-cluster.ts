// The nodes of an etcd cluster: one of them is talked to until it does not answer, then the next one. Nothing is asked twice on the way.
//
// Facts of etcd3 1.1.2 that decide how it is used here. It sends a call that failed up to three times more, also a transaction of which nobody
// knows whether it was carried out, and keeps away from a node for five seconds after three failures: both are replaced by `once`. Without a
// deadline a call waits for as long as etcd lets it (7 s after the loss of a leader). It picks a node by chance for each call, and does not tell
// which: each node has a client of its own. Its watches go on behind the revision of the last message after a disconnection, which can be
// beyond what they have told, and its leases count by the clock that somebody can set: watches and leases are made of the plain calls.

import type { Etcd3, IDuplexStream, ILeaseKeepAliveRequest, ILeaseKeepAliveResponse, IOptions } from 'etcd3';
import type { Clock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { type EtcdModule, etcdError } from './etcd-errors.js';
import type { EtcdSettings } from './etcd-options.js';

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>;

const neverAborted = new AbortController().signal;
const noEvent = (): { dispose: () => void } => ({ dispose: () => undefined });

/** Runs a call, and does not run it again. */
const once: Omit<Policy, '_altReturn'> = {
  onSuccess: noEvent,
  onFailure: noEvent,
  execute: async (call) => await call({ signal: neverAborted }),
};

/** One client for each node, and which of them is used. */
export class EtcdCluster {
  readonly etcd: EtcdModule;
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly nodes: number;
  readonly #clients: readonly Etcd3[];
  readonly #moved = new Set<() => void>();
  #current: number;
  #closed = false;
  /** When a node did not answer last. */
  #failedMs: number = Number.NEGATIVE_INFINITY;

  /** @param first the node to begin with, so that not all gateways use the same. */
  constructor(etcd: EtcdModule, settings: EtcdSettings, first: number) {
    this.etcd = etcd;
    this.clock = settings.clock;
    this.timeoutMs = settings.timeoutMs;
    this.nodes = settings.hosts.length;
    this.#clients = settings.hosts.map((host) => new etcd.Etcd3(clientOptions(host, settings)));
    this.#current = first % this.nodes;
  }

  /**
   * Asks the node that is used.
   *
   * @throws HawserError (rejects) ERR_HAWSER_STORE_UNAVAILABLE: then the next call asks another node; ERR_HAWSER_STORE,
   * ERR_HAWSER_STORE_FULL; ERR_HAWSER_CLOSED.
   */
  async call<T>(run: (client: Etcd3) => Promise<T>): Promise<T> {
    const used = this.#current;
    try {
      return await run(this.client);
    } catch (cause) {
      if (this.#closed) throw new HawserError('ERR_HAWSER_CLOSED', 'the store is closed', { cause });
      const error = etcdError(this.etcd, cause);
      if (error.code === 'ERR_HAWSER_STORE_UNAVAILABLE') {
        this.#failedMs = this.clock.now();
        this.leave(used);
      }
      throw error;
    }
  }

  /**
   * What waits for its turn since then has waited for as long as etcd may take, and others were not answered meanwhile: it would wait behind them
   * for a multiple of that.
   *
   * @returns undefined while it may go on waiting, however long that takes.
   */
  overdue(sinceMs: number): HawserError | undefined {
    if (this.#failedMs < sinceMs || this.clock.now() - sinceMs < this.timeoutMs) return undefined;
    return new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', 'etcd did not answer those before it');
  }

  /** That of the node that is used. */
  get client(): Etcd3 {
    const client = this.#clients[this.#current];
    if (client === undefined) throw new RangeError(`there is no node ${this.#current}`);
    return client;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** The number of the node that is used. */
  get current(): number {
    return this.#current;
  }

  /** A node did not answer: another is used from now on, unless that is so already. */
  leave(node: number): void {
    if (node !== this.#current) return;
    this.#current = (node + 1) % this.nodes;
    for (const moved of Array.from(this.#moved)) moved();
  }

  /** @param moved called when another node is used from now on. @returns what ends it. */
  onMove(moved: () => void): () => void {
    this.#moved.add(moved);
    return () => {
      this.#moved.delete(moved);
    };
  }

  /** @returns a promise of the seconds for which the lease holds from now on; 0 when it is gone. */
  keepAlive(leaseId: string): Promise<number> {
    return this.call(async (client) => {
      const stream = await client.leaseClient.leaseKeepAlive();
      try {
        return await askOnce(stream, leaseId);
      } finally {
        stream.end();
      }
    });
  }

  close(): void {
    this.#closed = true;
    this.#moved.clear();
    for (const client of this.#clients) client.close();
  }
}

type KeepAliveStream = IDuplexStream<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>;

/** The stream's deadline ends it when there is no answer. */
function askOnce(stream: KeepAliveStream, leaseId: string): Promise<number> {
  return new Promise<number>((resolve, reject) => {
    stream.on('data', ({ TTL }) => resolve(Number(TTL)));
    stream.on('error', reject);
    stream.on('end', () => reject(new Error('etcd ended the stream of keep-alives')));
    stream.write({ ID: leaseId });
  });
}

function clientOptions(host: string, { timeoutMs, credentials, auth }: EtcdSettings): IOptions {
  const policy = once as Policy;
  const { rootCertificate, privateKey, certChain } = credentials ?? {};
  return {
    hosts: host,
    ...(auth && { auth: { username: auth.username, password: auth.password } }),
    ...(rootCertificate && {
      credentials: {
        rootCertificate: Buffer.from(rootCertificate),
        ...(privateKey && { privateKey: Buffer.from(privateKey) }),
        ...(certChain && { certChain: Buffer.from(certChain) }),
      },
    }),
    faultHandling: { host: () => policy, global: policy },
    // Watches last; the stream of a keep-alive does not.
    defaultCallOptions: ({ method }) => (method === 'watch' ? {} : { deadline: Date.now() + timeoutMs }),
    grpcOptions: {
      'grpc.max_receive_message_length': -1,
      // A name server has no say in how often a call is tried.
      'grpc.service_config_disable_resolution': 1,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1000,
      // etcd ends connections that ask more often than every 5 s whether it is there.
      'grpc.keepalive_time_ms': 10_000,
      'grpc.keepalive_timeout_ms': 2000,
    },
  };
}

/** Whether a call that was refused with it may be tried as it is, or in parts. */
export function isRefusal(error: HawserError): boolean {
  return error.code !== 'ERR_HAWSER_STORE_UNAVAILABLE';
}
