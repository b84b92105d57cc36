// A real etcd for the tests of a file, and stores on it.

import { Etcd3 } from 'etcd3';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { EtcdServers } from '../../../scripts/lib/etcd.mjs';
import { type EtcdStoreOptions, openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import type { SessionStore, StoreLease } from '../../../src/sessions/store/store.js';
import { put } from '../store/tested-store.js';
import { Watcher } from '../store/watcher.js';

/** How long the start of etcd may take: a hook must not be over before it. */
export const startMs = 180_000;
/** Arguments of an etcd that does not give up what it was asked after it has stood still for a few seconds: it takes 5 s and two of these. */
export const patience = ['--heartbeat-interval', '250', '--election-timeout', '2500'] as const;
/**
 * Options of a store on it where nothing is to end by itself: neither a call nor a lease does, however long a process stands still that has no
 * time to run.
 */
export const patient = { timeoutMs: 30_000, leaseTtlMs: 60_000 } as const;

export class RealEtcd {
  #servers: EtcdServers | undefined;
  #outside: Etcd3 | undefined;
  readonly #opened: SessionStore[] = [];
  #namespaces = 0;

  /** To be made in a `describe`: the server runs for its tests, and stores are closed after each. */
  constructor() {
    beforeAll(async () => {
      this.#servers = await EtcdServers.start({ nodes: 1, args: patience });
      this.#outside = new Etcd3({ hosts: this.#servers.urls });
    }, startMs);
    afterEach(async () => {
      this.#servers?.node.resume();
      await Promise.all(this.#opened.splice(0).map((store) => store.close()));
    });
    afterAll(async () => {
      this.#outside?.close();
      await this.#servers?.kill();
    });
  }

  get node(): EtcdServers['node'] {
    if (this.#servers === undefined) throw new Error('etcd was not started');
    return this.#servers.node;
  }

  /** Another client. */
  get outside(): Etcd3 {
    if (this.#outside === undefined) throw new Error('etcd was not started');
    return this.#outside;
  }

  /** One that nobody has used. */
  namespace(): string {
    return `test-${++this.#namespaces}/`;
  }

  /** @returns a store of its own, unless the options say where; `patient` unless they say otherwise. */
  async open(options: Partial<EtcdStoreOptions> = {}): Promise<SessionStore> {
    const defaults = {
      hosts: this.node.url,
      namespace: options.namespace ?? this.namespace(),
      ...patient,
    };
    const store = await openEtcdStore({ ...defaults, ...options });
    this.#opened.push(store);
    return store;
  }
}

export async function write(store: SessionStore, key: string, text = ''): Promise<void> {
  await store.txn({ compare: [], writes: [put(key, text)] });
}

/** @returns a watcher that has been told to read. */
export async function watched(store: SessionStore, prefix: string): Promise<Watcher> {
  const watcher = new Watcher();
  store.watch(prefix, watcher);
  await watcher.until(() => watcher.told.length > 0);
  return watcher;
}

/** Resolves when it has ended. */
export function ended(lease: StoreLease): Promise<void> {
  return new Promise((resolve) => {
    if (lease.ended.aborted) resolve();
    else lease.ended.addEventListener('abort', () => resolve(), { once: true });
  });
}
