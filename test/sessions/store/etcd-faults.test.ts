// The store of sessions on etcd when etcd stops, dies, is not there or refuses.

import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { EtcdServers, hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { EtcdCluster } from '../../../src/sessions/store/etcd-cluster.js';
import { loadEtcd } from '../../../src/sessions/store/etcd-errors.js';
import { EtcdKeys } from '../../../src/sessions/store/etcd-keys.js';
import { EtcdLease } from '../../../src/sessions/store/etcd-lease.js';
import { checkEtcdOptions } from '../../../src/sessions/store/etcd-options.js';
import { EtcdReader } from '../../../src/sessions/store/etcd-reader.js';
import { openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import { EtcdWatch } from '../../../src/sessions/store/etcd-watch.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import type { SessionStore } from '../../../src/sessions/store/store.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { ended, patience, patient, RealEtcd, watched, write } from '../etcd/real-etcd.js';
import { eventually, refusal } from './refusals.js';
import { bytes, put } from './tested-store.js';
import { Watcher } from './watcher.js';

/** So little that etcd may be late at any time: every call before and after it stands still is to be tried again. */
const impatient = { timeoutMs: 1000 };

/** Lets time pass, slowly against the machine's: what is asked of etcd takes that of the machine. */
async function passUntil(time: VirtualTime, isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    await time.passTo(time.nowMs + 1);
    await delay(5);
  }
}

describe.skipIf(!hasEtcd)('over a real etcd', () => {
  const etcd = new RealEtcd();
  const openImpatient = (): Promise<SessionStore> => eventually(() => etcd.open(impatient));

  describe('when etcd stops for a while', () => {
    test('every call rejects, and works again afterwards', async () => {
      const store = await openImpatient();
      await eventually(() => write(store, 'a/1', 'before'));
      await etcd.node.pause();
      const calls = [
        write(store, 'a/2'),
        store.read(prefixRange('a/')),
        store.lease('one', () => bytes('')),
        openEtcdStore({ hosts: etcd.node.url, ...impatient }),
      ];
      const codes = (await Promise.all(calls.map(refusal))).map(({ code }) => code);
      expect(new Set(codes)).toEqual(new Set(['ERR_HAWSER_STORE_UNAVAILABLE']));
      etcd.node.resume();
      await eventually(() => write(store, 'a/3', 'after'));
      const [first] = await eventually(() => store.read(prefixRange('a/')));
      expect(first?.key).toBe('a/1');
    });

    test('a lease is valid until a second before its time is over, and then has ended', async () => {
      const time = new VirtualTime();
      const store = await etcd.open({ leaseTtlMs: 120_000, clock: time.clock });
      const lease = await store.lease('one', () => bytes(''));
      expect(lease.validUntilMs).toBe(119_000);
      await time.passTo(39_999);
      expect(lease.validUntilMs).toBe(119_000);
      await passUntil(time, () => lease.validUntilMs > 119_000);
      const until = lease.validUntilMs;
      expect(until).toBeGreaterThanOrEqual(40_000 + 119_000);
      await etcd.node.pause();
      await time.passTo(until + 999);
      expect(lease.ended.aborted).toBe(false);
      expect(lease.validUntilMs).toBe(until);
      await time.passTo(until + 1000);
      expect(lease.ended.aborted).toBe(true);
      expect(lease.validUntilMs).toBe(Number.NEGATIVE_INFINITY);
      etcd.node.resume();
      const next = await eventually(() => store.lease('one', () => bytes('')));
      expect(next.epoch).not.toBe(lease.epoch);
      expect((await store.txn({ compare: [lease.fence], writes: [] })).committed).toBe(false);
    });

    test('those that wait behind others reject with them', async () => {
      const store = await openImpatient();
      await eventually(() => write(store, 'a/1'));
      await etcd.node.pause();
      const calls = Array.from({ length: 2000 }, (_, n) => [
        refusal(write(store, 'a/same')),
        refusal(write(store, `a/${n}`)),
        refusal(store.read(prefixRange(`a/${n}`))),
      ]);
      // One after the other they would take half an hour.
      for (const { code } of await Promise.all(calls.flat()))
        expect(code).toBe('ERR_HAWSER_STORE_UNAVAILABLE');
      etcd.node.resume();
      await eventually(() => write(store, 'a/same'));
      const range = { from: 'a/same', to: 'a/same\0' };
      expect(await eventually(() => store.read(range))).toHaveLength(1);
    });

    test('closing does not wait for it', async () => {
      const store = await openImpatient();
      await eventually(() => store.lease('one', () => bytes('')));
      await watched(store, 'a/');
      await etcd.node.pause();
      const writes = Array.from({ length: 2000 }, (_, n) => refusal(write(store, `a/${n % 7}`)));
      await store.close();
      const codes = new Set((await Promise.all(writes)).map(({ code }) => code));
      expect(codes).toEqual(new Set(['ERR_HAWSER_STORE_UNAVAILABLE']));
    });
  });

  test('when etcd is killed and started on its data, all goes on: nothing is lost, no lease, no change', async () => {
    const store = await etcd.open();
    const lease = await store.lease('one', () => bytes(''));
    const watcher = await watched(store, 'a/');
    for (let n = 0; n < 10; ++n) await write(store, `a/${n}`);
    await watcher.has('a/9', true);
    await etcd.node.kill();
    expect((await refusal(write(store, 'b/1'))).code).toBe('ERR_HAWSER_STORE_UNAVAILABLE');
    etcd.node.start();
    await etcd.node.ready();
    // Once, though one that rejects may have been carried out.
    const compare = [{ key: 'a/end', revision: 0 }];
    await eventually(() => store.txn({ compare, writes: [put('a/end', '')] }));
    await watcher.has('a/end', true);
    expect(watcher.lines).toEqual([
      'reset',
      ...Array.from({ length: 10 }, (_, n) => [`a/${n}=`]),
      ['a/end='],
    ]);
    expect(await store.read(prefixRange('a/'))).toHaveLength(11);
    expect((await store.txn({ compare: [lease.fence], writes: [] })).committed).toBe(true);
    expect(lease.ended.aborted).toBe(false);
  });

  describe('a lease', () => {
    const idOf = async (namespace: string): Promise<string> => {
      const { kvs } = await etcd.outside.get(`${namespace}sessions/g/one`).exec();
      return kvs[0]?.lease ?? '';
    };

    test('ends at once when somebody revokes it: long before the next keep-alive', async () => {
      const time = new VirtualTime();
      const namespace = etcd.namespace();
      const store = await etcd.open({ namespace, leaseTtlMs: 120_000, clock: time.clock });
      const lease = await store.lease('one', () => bytes(''));
      await etcd.outside.leaseClient.leaseRevoke({ ID: await idOf(namespace) });
      await passUntil(time, () => lease.ended.aborted);
      expect(time.nowMs).toBeLessThan(40_000);
      await expect(lease.release()).resolves.toBeUndefined();
    });

    test('ends with the next keep-alive when it is gone and its watch has not told so', async () => {
      const time = new VirtualTime();
      const settings = checkEtcdOptions({ ...patient, hosts: etcd.node.url, clock: time.clock });
      const cluster = new EtcdCluster(await loadEtcd(), settings, 0);
      const { ID: id } = await etcd.outside.leaseClient.leaseGrant({ TTL: 120 });
      const { header } = await etcd.outside.kv.range({ key: Buffer.from('x') });
      const position = { revision: Number(header.revision), clusterId: header.cluster_id, count: 0 };
      const granted = { id, ttlMs: 120_000, sentMs: 0 };
      const lease = new EtcdLease(cluster, new EtcdKeys('none/'), granted, { gateway: 'one', position });
      const until = lease.validUntilMs;
      await time.passTo(40_000);
      await passUntil(time, () => lease.validUntilMs > until);
      await etcd.outside.leaseClient.leaseRevoke({ ID: id });
      const last = lease.validUntilMs;
      await time.passTo(80_000);
      await passUntil(time, () => lease.ended.aborted);
      expect(time.nowMs).toBeLessThan(last);
      cluster.close();
    });

    test('has the epoch as its id, as etcdctl writes it, and its key lies under it', async () => {
      const namespace = etcd.namespace();
      const store = await etcd.open({ namespace });
      const lease = await store.lease('one', (epoch) => bytes(epoch));
      const { kvs } = await etcd.outside.get(`${namespace}sessions/g/one`).exec();
      expect(BigInt(kvs[0]?.lease ?? 0).toString(16)).toBe(lease.epoch);
      expect(kvs[0]?.value.toString()).toBe(lease.epoch);
      expect(Number(kvs[0]?.mod_revision)).toBe(lease.fence.revision);
    });

    test('a gateway that comes back before its lease is over takes what lay under it away', async () => {
      const namespace = etcd.namespace();
      const killed = await etcd.open({ namespace });
      const lease = await killed.lease('one', () => bytes(''));
      await killed.txn({ compare: [lease.fence], writes: [put('e/leader', 'one', lease)] });
      const store = await etcd.open({ namespace });
      await store.lease('one', () => bytes(''));
      expect(await store.read(prefixRange('e/'))).toEqual([]);
      await ended(lease);
    });
  });

  describe('transactions of one turn', () => {
    test('are few of etcd', async () => {
      const store = await etcd.open();
      await Promise.all(Array.from({ length: 400 }, (_, n) => write(store, `a/${n}`)));
      const entries = await store.read(prefixRange('a/'));
      expect(entries).toHaveLength(400);
      // Those that one transaction has written have one revision.
      expect(new Set(entries.map(({ revision }) => revision)).size).toBeLessThanOrEqual(4);
    });

    test('are tried one by one when a comparison of one fails: the others are committed', async () => {
      const store = await etcd.open();
      await write(store, 'a/7', 'there');
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          store.txn({ compare: [{ key: `a/${n}`, revision: 0 }], writes: [put(`a/${n}`, 'new')] }),
        ),
      );
      expect(results.map(({ committed }) => committed)).toEqual(results.map((_, n) => n !== 7));
      expect(results[7]).toMatchObject({ found: [{ key: 'a/7' }] });
    });

    test('are tried one by one when etcd refuses one: too long for a transaction', async () => {
      const store = await etcd.open();
      const long: Uint8Array[] = [1_600_000, 3_000_000].map((length) => new Uint8Array(length));
      const tooLong = long.map((value) =>
        refusal(store.txn({ compare: [], writes: [{ type: 'put', key: 'a/1', value }] })),
      );
      const others = Promise.all(Array.from({ length: 20 }, (_, n) => write(store, `b/${n}`)));
      for (const error of await Promise.all(tooLong)) {
        expect(error.code).toBe('ERR_HAWSER_STORE');
        expect(error.message).toContain('--max-request-bytes');
      }
      await others;
      expect(await store.read(prefixRange('b/'))).toHaveLength(20);
    });

    test('are tried one by one when the lease of one is gone', async () => {
      const namespace = etcd.namespace();
      const store = await etcd.open({ namespace });
      const lease = await store.lease('one', () => bytes(''));
      const { kvs } = await etcd.outside.get(`${namespace}sessions/g/one`).exec();
      const gone = etcd.outside.leaseClient.leaseRevoke({ ID: kvs[0]?.lease ?? '' });
      await gone;
      const under = refusal(store.txn({ compare: [], writes: [put('e/1', '', lease)] }));
      await Promise.all(Array.from({ length: 20 }, (_, n) => write(store, `b/${n}`)));
      expect((await under).code).toBe('ERR_HAWSER_STORE');
      expect(lease.ended.aborted).toBe(true);
    });
  });

  test('a transaction is sent once, whatever becomes of it', async () => {
    const asked: string[] = [];
    const server = createServer();
    server.on('stream', (stream, headers) => {
      asked.push(String(headers[':path']));
      stream.respond(
        { ':status': 200, 'content-type': 'application/grpc', 'grpc-status': '14' },
        { endStream: true },
      );
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : 0;
    const hosts = [`127.0.0.1:${port}`, `127.0.0.1:${port}`];
    const settings = checkEtcdOptions({ ...patient, hosts });
    const cluster = new EtcdCluster(await loadEtcd(), settings, 0);
    const error = await refusal(cluster.call((client) => client.kv.txn({})));
    expect(error.code).toBe('ERR_HAWSER_STORE_UNAVAILABLE');
    expect(asked).toEqual(['/etcdserverpb.KV/Txn']);
    expect(cluster.current).toBe(1);
    cluster.close();
    server.close();
  });

  test('reads of which many together are too much are answered few at a time', async () => {
    const cluster = new EtcdCluster(
      await loadEtcd(),
      checkEtcdOptions({ ...patient, hosts: etcd.node.url }),
      0,
    );
    const { kv } = cluster.client;
    const txn = kv.txn.bind(kv);
    const asked: number[] = [];
    kv.txn = async (request) => {
      const { length } = request.success ?? [];
      asked.push(length);
      if (length > 4) throw new cluster.etcd.GRPCDeadlineExceededError('too long');
      return await txn(request);
    };
    const reader = new EtcdReader(cluster, new EtcdKeys(etcd.namespace()));
    const range = { from: 'a/', to: 'a0', limit: 1 };
    const read = (): Promise<unknown> => eventually(() => reader.read(range));
    await Promise.all(Array.from({ length: 32 }, read));
    // Each read is tried again after a pause of its own.
    expect(asked[0]).toBe(32);
    expect(asked[1]).toBeLessThanOrEqual(16);
    asked.length = 0;
    await Promise.all(Array.from({ length: 32 }, read));
    expect(asked.filter((length) => length > 8)).toEqual([]);
    kv.txn = txn;
    for (let n = 0; n < 40; ++n) await read();
    kv.txn = (request) => {
      asked.push(request.success?.length ?? 0);
      return txn(request);
    };
    asked.length = 0;
    await Promise.all(Array.from({ length: 32 }, read));
    expect(asked).toEqual([32]);
    cluster.close();
  });

  test('a watch does not stay at a node that is left while it is opened there', async () => {
    const { url } = etcd.node;
    const cluster = new EtcdCluster(await loadEtcd(), checkEtcdOptions({ ...patient, hosts: [url, url] }), 0);
    const opened: number[] = [];
    const countOpened = (node: number): void => {
      const { watchClient } = cluster.client;
      const open = watchClient.watch.bind(watchClient);
      watchClient.watch = async () => {
        const stream = await open();
        opened.push(node);
        if (node === 0) cluster.leave(0);
        return stream;
      };
    };
    countOpened(0);
    cluster.leave(0);
    countOpened(1);
    cluster.leave(1);
    const keys = new EtcdKeys(etcd.namespace());
    const watcher = new Watcher();
    using _ = new EtcdWatch(cluster, keys, keys.prefix('a/'), watcher);
    await watcher.until(() => watcher.told.length > 0);
    expect(opened).toEqual([0, 1]);
    cluster.close();
  });

  test('a node that is not there is passed over', async () => {
    const hosts = ['http://127.0.0.1:1', etcd.node.url, 'http://127.0.0.1:2'];
    for (let n = 0; n < 5; ++n) {
      const store = await etcd.open({ hosts });
      await write(store, 'a/1');
      expect(await store.read(prefixRange('a/'))).toHaveLength(1);
    }
  });

  test('a namespace with a store of another version is not opened', async () => {
    await etcd.outside.put('odd/format').value('hawser-sessions 999');
    const error = await refusal(etcd.open({ namespace: 'odd/' }));
    expect(error.code).toBe('ERR_HAWSER_STORE_FORMAT');
  });
});

test.skipIf(!hasEtcd)(
  'when etcd comes back without its data, leases are over and watches are to read anew',
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'hawser-etcd-'));
    const servers = await EtcdServers.start({ nodes: 1, folder, args: patience });
    try {
      await using store = await openEtcdStore({ hosts: servers.urls, ...patient });
      const watcher = new Watcher();
      store.watch('a/', watcher);
      await watcher.until(() => watcher.told.length > 0);
      const lease = await store.lease('one', () => bytes(''));
      await store.txn({ compare: [lease.fence], writes: [put('a/1', '')] });
      await watcher.has('a/1', true);
      await servers.node.kill();
      rmSync(join(folder, 'node1'), { recursive: true });
      servers.node.start();
      await servers.node.ready();
      await ended(lease);
      await watcher.until(() => watcher.told.length === 3);
      expect(watcher.told[2]).toBe('reset');
    } finally {
      await servers.kill();
      rmSync(folder, { recursive: true });
    }
  },
);
