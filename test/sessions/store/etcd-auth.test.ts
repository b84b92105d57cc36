// The store of sessions on an etcd that asks for a user.

import { inspect } from 'node:util';
import { Etcd3 } from 'etcd3';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { EtcdServers, hasEtcd } from '../../../scripts/lib/etcd.mjs';
import { type EtcdStoreOptions, openEtcdStore } from '../../../src/sessions/store/etcd-store.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import type { SessionStore } from '../../../src/sessions/store/store.js';
import { patience, patient, startMs } from '../etcd/real-etcd.js';
import { eventually, refusal } from './refusals.js';
import { bytes, put } from './tested-store.js';
import { Watcher } from './watcher.js';

const password = 'correct-horse-battery-staple';

/** A user who may read and write what begins with `hawser/`, and nothing else. */
async function addUsers(client: Etcd3): Promise<void> {
  await client.auth.userAdd({ name: 'root', password: 'root' });
  await client.auth.userGrantRole({ user: 'root', role: 'root' });
  await client.auth.roleAdd({ name: 'gateway' });
  const [key, range_end] = [Buffer.from('hawser/'), Buffer.from('hawser0')];
  await client.auth.roleGrantPermission({ name: 'gateway', perm: { permType: 'Readwrite', key, range_end } });
  await client.auth.userAdd({ name: 'gateway', password });
  await client.auth.userGrantRole({ user: 'gateway', role: 'gateway' });
  await client.auth.authEnable();
}

describe.skipIf(!hasEtcd)('over a real etcd that asks for a user', () => {
  let servers: EtcdServers;
  beforeAll(async () => {
    servers = await EtcdServers.start({ nodes: 1, args: patience });
    const client = new Etcd3({ hosts: servers.urls });
    await addUsers(client);
    client.close();
  }, startMs);
  afterAll(async () => {
    await servers?.kill();
  });
  const opened: SessionStore[] = [];
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });
  const open = async (options: Partial<EtcdStoreOptions>): Promise<SessionStore> => {
    const store = await openEtcdStore({ hosts: servers.urls, ...patient, ...options });
    opened.push(store);
    return store;
  };

  test('one who is refused is told so, and no password is in what is told', async () => {
    for (const auth of [
      { username: 'gateway', password: `not-${password}` },
      { username: 'nobody', password },
    ]) {
      const error = await refusal(open({ auth }));
      expect(error.code).toBe('ERR_HAWSER_STORE');
      const told = inspect(error, { depth: 20, showHidden: true }) + String(error.stack);
      expect(told).not.toContain(password);
    }
    expect((await refusal(open({}))).code).toBe('ERR_HAWSER_STORE');
    const elsewhere = { auth: { username: 'gateway', password }, namespace: 'other/' };
    expect((await refusal(open(elsewhere))).code).toBe('ERR_HAWSER_STORE');
  });

  test('one who is known reads, writes, watches and holds a lease, also after the start of etcd that forgets who is known', async () => {
    const store = await open({ auth: { username: 'gateway', password } });
    const watcher = new Watcher();
    store.watch('a/', watcher);
    await watcher.until(() => watcher.told.length > 0);
    const lease = await store.lease('one', () => bytes(''));
    await store.txn({ compare: [lease.fence], writes: [put('a/1', 'x', lease)] });
    await watcher.has('a/1', true);
    await servers.node.kill();
    servers.node.start();
    await servers.node.ready();
    // Once, though one that rejects may have been carried out.
    const compare = [lease.fence, { key: 'a/2', revision: 0 }];
    await eventually(() => store.txn({ compare, writes: [put('a/2', 'y')] }));
    await watcher.has('a/2', true);
    expect(watcher.lines).toEqual(['reset', ['a/1=x'], ['a/2=y']]);
    expect(await store.read(prefixRange('a/'))).toHaveLength(2);
    await lease.release();
    await watcher.has('a/1', false);
  });
});
