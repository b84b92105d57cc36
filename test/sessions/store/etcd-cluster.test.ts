// The store of sessions on a cluster of three etcd nodes that loses its leader.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EtcdServers, hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import type { TransactionResult } from '../../../src/sessions/store/store.js';
import { patience, patient, startMs } from '../etcd/real-etcd.js';
import { eventually } from './refusals.js';
import { bytes, put } from './tested-store.js';
import { Watcher } from './watcher.js';

describe.skipIf(!hasEtcd)('over a cluster of three', () => {
  let servers: EtcdServers;
  beforeAll(async () => {
    servers = await EtcdServers.start({ nodes: 3, args: patience });
  }, startMs);
  afterAll(async () => {
    await servers?.kill();
  });

  test('when the leader is killed writing goes on, no lease is lost, and watches miss nothing', async () => {
    const stores = await Promise.all(
      servers.urls.map((hosts) =>
        eventually(() => openEtcdStore({ ...patient, hosts: [hosts, ...servers.urls], timeoutMs: 2000 })),
      ),
    );
    const leases = await Promise.all(
      stores.map((store, n) => eventually(() => store.lease(`gateway-${n}`, () => bytes('')))),
    );
    const watchers = stores.map((store) => {
      const watcher = new Watcher();
      store.watch('a/', watcher);
      return watcher;
    });
    for (const watcher of watchers) await watcher.until(() => watcher.told.length > 0);
    const writeAll = (key: string): Promise<TransactionResult[]> =>
      Promise.all(
        stores.map((store, n) => {
          const lease = leases[n];
          if (lease === undefined) throw new Error('there is no lease');
          const writes = [put(`a/${key}-${n}`, '')];
          return eventually(() => store.txn({ compare: [lease.fence], writes }));
        }),
      );
    await writeAll('before');
    const leader = await servers.leader();
    await leader.kill();
    const during = writeAll('during');
    expect((await during).every(({ committed }) => committed)).toBe(true);
    leader.start();
    await leader.ready();
    await writeAll('after');
    for (const lease of leases) expect(lease.ended.aborted).toBe(false);
    for (const watcher of watchers) {
      await watcher.until(() => new Set(watcher.changes.map(({ key }) => key)).size === 9);
      expect(watcher.told.filter((each) => each === 'reset')).toHaveLength(1);
    }
    for (const store of stores) {
      expect(await eventually(() => store.read(prefixRange('a/')))).toHaveLength(9);
      expect(await eventually(() => store.read(prefixRange('g/')))).toHaveLength(3);
    }
    await Promise.all(stores.map((store) => store.close()));
  });
});
