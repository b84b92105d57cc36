// Watches of a store of sessions on etcd, whose connection is lost.

import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, test } from 'vitest';
import { hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { inOrder } from '../../../src/base/in-order.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import type { SessionStore, Write } from '../../../src/sessions/store/store.js';
import { RealEtcd, watched, write } from '../etcd/real-etcd.js';
import { TcpProxy } from '../etcd/tcp-proxy.js';
import { eventually } from './refusals.js';
import { bytes, put } from './tested-store.js';

describe.skipIf(!hasEtcd)('a watch whose connection was lost', () => {
  const etcd = new RealEtcd();
  let proxy: TcpProxy;
  afterEach(async () => {
    await proxy[Symbol.asyncDispose]();
  });
  /** Resolves when etcd has had so many for longer than a watch waits before it tries again. */
  const haveSettled = async (count: number): Promise<void> => {
    for (let seen = 0; seen < 12; ) {
      const text = await (await fetch(`${etcd.node.url}/metrics`)).text();
      const watches = Number(/^etcd_debugging_mvcc_watcher_total (\d+)$/m.exec(text)?.[1]);
      seen = watches === count ? seen + 1 : 0;
      await delay(30);
    }
  };
  /** All that was is forgotten, but for what is there. */
  const compact = async (store: SessionStore): Promise<void> => {
    await write(store, 'b/1');
    const result = await store.txn({ compare: [], writes: [put('b/1', '')] });
    await etcd.outside.kv.compact({ revision: result.committed ? result.revision : 0 });
  };
  /** One store behind the way that is cut, and one that is not; their namespace. */
  const twoStores = async (): Promise<[SessionStore, SessionStore, string]> => {
    proxy = await TcpProxy.start(etcd.node.url);
    const namespace = etcd.namespace();
    return [await etcd.open({ hosts: proxy.url, namespace }), await etcd.open({ namespace }), namespace];
  };

  test('goes on where it was: each change is told once, those of a transaction together', async () => {
    const [store, other] = await twoStores();
    const watcher = await watched(store, 'a/');
    await write(other, 'a/1');
    await watcher.has('a/1', true);
    for (let round = 0; round < 3; ++round) {
      proxy.cut();
      await other.txn({ compare: [], writes: [put('a/2', `${round}`), put('a/3', `${round}`)] });
      await other.txn({ compare: [], writes: [{ type: 'delete', key: 'a/2' }] });
      proxy.mend();
      await watcher.until(() => watcher.changes.length === 1 + 3 * (round + 1));
    }
    const rounds = [0, 1, 2].flatMap((round) => [[`a/2=${round}`, `a/3=${round}`], ['a/2-']]);
    expect(watcher.lines).toEqual(['reset', ['a/1='], ...rounds]);
  });

  test('goes on after thousands of changes, which come in several messages', async () => {
    const [store, , namespace] = await twoStores();
    const watcher = await watched(store, 'a/');
    proxy.cut();
    await inOrder(Array(2100).keys(), 64, async (n) => {
      await etcd.outside.put(`${namespace}sessions/a/${n}`).value('');
    });
    proxy.mend();
    await watcher.until(() => watcher.changes.length >= 1000);
    proxy.cut();
    proxy.mend();
    await watcher.until(() => watcher.changes.length >= 2100);
    const revisions = watcher.changes.map(({ revision }) => revision);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    expect(new Set(watcher.changes.map(({ key }) => key)).size).toBe(2100);
    expect(watcher.told.filter((each) => each === 'reset')).toHaveLength(1);
  });

  test.each<[string, readonly Write[], readonly Write[]]>([
    ['a key was written', [], [put('a/1', 'new')]],
    ['a key was made', [], [put('a/2', '')]],
    ['a key is gone', [], [{ type: 'delete', key: 'a/1' }]],
    ['one is gone for another', [put('a/2', '')], [{ type: 'delete', key: 'a/2' }, put('a/3', '')]],
  ])('is to read anew when what it missed was compacted away: %s', async (_, before, missed) => {
    const [store, other] = await twoStores();
    await write(other, 'a/0');
    const watcher = await watched(store, 'a/');
    await write(other, 'a/1');
    await watcher.has('a/1', true);
    if (before.length > 0) {
      await other.txn({ compare: [], writes: before });
      await watcher.has('a/2', true);
    }
    const told = watcher.told.length;
    proxy.cut();
    await other.txn({ compare: [], writes: missed });
    await compact(other);
    proxy.mend();
    await watcher.until(() => watcher.told.length > told);
    await write(other, 'a/end');
    await watcher.has('a/end', true);
    expect(watcher.lines.slice(told)).toEqual(['reset', ['a/end=']]);
  });

  test('goes on when only changes of other keys were compacted away', async () => {
    const [store, other] = await twoStores();
    await write(other, 'a/0');
    const watcher = await watched(store, 'a/');
    const lease = await store.lease('one', () => bytes(''));
    await write(other, 'a/1');
    await write(other, 'a/1');
    await other.txn({ compare: [], writes: [{ type: 'delete', key: 'a/0' }] });
    await watcher.has('a/0', false);
    for (let round = 0; round < 2; ++round) {
      proxy.cut();
      await haveSettled(0);
      await compact(other);
      proxy.mend();
      await haveSettled(2);
      await write(other, 'a/2', `${round}`);
      await watcher.until(() => watcher.told.length === 5 + round);
    }
    expect(watcher.lines).toEqual(['reset', ['a/1='], ['a/1='], ['a/0-'], ['a/2=0'], ['a/2=1']]);
    expect(lease.ended.aborted).toBe(false);
  });

  test('a read that goes on while its revision is compacted away begins anew', async () => {
    const [store, other] = await twoStores();
    for (let n = 0; n < 30; ++n) {
      const writes = Array.from({ length: 100 }, (_, k) => put(`a/${1000 + n * 100 + k}`, 'x'.repeat(2000)));
      await eventually(() => other.txn({ compare: [], writes }));
    }
    const reading = store.read(prefixRange('a/'));
    for (let n = 0; n < 2; ++n) await compact(other);
    expect(await reading).toHaveLength(3000);
  });
});
