// The store of sessions on etcd, over a real one.

import { afterAll, beforeAll, describe } from 'vitest';
import { EtcdServers, hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import type { SessionStore } from '../../../src/sessions/store/store.js';
import { patience, patient, startMs } from '../etcd/real-etcd.js';
import { testSessionStore } from './contract.js';

describe.skipIf(!hasEtcd)('over a real etcd', () => {
  let servers: EtcdServers;
  beforeAll(async () => {
    servers = await EtcdServers.start({ nodes: 1, args: patience });
  }, startMs);
  afterAll(async () => {
    await servers?.kill();
  });

  let stores = 0;
  const namespaces = new WeakMap<SessionStore, string>();
  const open = async (namespace: string): Promise<SessionStore> => {
    const store = await openEtcdStore({ hosts: servers.urls, namespace, ...patient });
    namespaces.set(store, namespace);
    return store;
  };
  const openAnother = (store: SessionStore): Promise<SessionStore> => open(namespaces.get(store) ?? '');

  testSessionStore('a store on etcd', {
    open: () => open(`test-${++stores}/`),
    openAnother,
    reopen: async (store) => {
      await store.close();
      return await openAnother(store);
    },
  });
});
