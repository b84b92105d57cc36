import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type LmdbDatabase, openLmdb } from '../../../src/base/lmdb-store.js';
import { randomSecret, type SecretBytes, secretFrom } from '../../../src/base/secret-bytes.js';
import { databaseNames, nameOf } from '../../../src/keys/store/lmdb-names.js';
import { type LmdbKeyStore, openKeyStore } from '../../../src/keys/store/lmdb-store.js';
import { StoreSeal } from '../../../src/keys/store/seal.js';
import type { StoreChange } from '../../../src/keys/store/store.js';
import { codeOf, madeUpKey, madeUpPeer, madeUpSession, materialOf, testKeyStore } from './contract.js';

let directory: string;
let stores: LmdbKeyStore[];
let masterKey: SecretBytes;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-keys-'));
  stores = [];
  masterKey = randomSecret(32);
});

afterEach(async () => {
  for (const store of stores) await store.close();
  rmSync(directory, { recursive: true, force: true });
});

const path = (): string => join(directory, 'store');

async function open(options: { masterKey?: SecretBytes; maxBytes?: number; name?: string } = {}) {
  const { name = 'store', ...rest } = options;
  const store = await openKeyStore(join(directory, name), { masterKey, durability: 'relaxed', ...rest });
  stores.push(store);
  return store;
}

/** The store after the change and another opening. */
async function reopened(change: StoreChange): Promise<LmdbKeyStore> {
  const store = await open();
  await store.commit(change);
  await store.close();
  return open();
}

type Name = (typeof databaseNames)[number];

/** Changes what is on the disk by other means than the store's. */
async function tamper(change: (databases: (name: Name) => LmdbDatabase) => void): Promise<void> {
  const format = { name: 'hawser-keys', version: 1 };
  const store = await openLmdb(path(), { maxBytes: 2 ** 28, databases: databaseNames, format });
  await store.transaction(() => change((name) => store.database(name)));
  await store.close();
}

async function refusalToOpen(): Promise<string> {
  return open().then(
    () => 'opened',
    (error) => `${codeOf(error)} ${error.message}`,
  );
}

const key = (keyId: string, material = randomSecret(32), changes = {}) => ({
  record: madeUpKey(keyId, { sizeBits: material.length * 8, ...changes }),
  material,
});

describe('the key store on the disk', () => {
  let serial = 0;
  testKeyStore(() => open({ name: `store ${++serial}` }));

  test('has everything again after it was closed, material included', async () => {
    const materials = [randomSecret(32), randomSecret(32), randomSecret(64), randomSecret(1)];
    const states = ['available', 'assigned', 'in_production', 'rolled'] as const;
    const session = madeUpSession('session 1');
    const add = materials.map((material, index) => key(`key ${index}`, material, { status: states[index] }));
    const store = await reopened({ peerSaeId: 'SAE_B', add, session, peer: madeUpPeer() });
    expect([...store.keys('SAE_B')]).toEqual(add.map(({ record }) => record));
    expect(store.sessions('SAE_B')).toEqual([session]);
    expect(store.peer('SAE_B')).toEqual(madeUpPeer());
    for (const [index, { bytes }] of materials.entries()) {
      expect(await materialOf(store, `key ${index}`)).toBe(Buffer.from(bytes).toString('hex'));
    }
  });

  test('tells peers and ids apart that begin alike, are long, or are not ASCII (edge 21)', async () => {
    const store = await open();
    const names = ['a', 'ab', 'b', '_', 'ä', 'a\0b', '__proto__', 'x'.repeat(256), '密'.repeat(85)];
    for (const peerSaeId of names) {
      const add = names.map((keyId) => key(keyId, secretFrom(Buffer.from('1')), { peerSaeId }));
      await store.commit({ peerSaeId, add });
    }
    await store.close();
    const again = await open();
    for (const peerSaeId of names) {
      expect(
        again
          .keys(peerSaeId)
          .map(({ keyId }) => keyId)
          .sort(),
      ).toEqual([...names].sort());
    }
  });

  test('counts how often it was opened, and goes on from the Unix time when it was lost', async () => {
    const before = Math.floor(Date.now() / 1000);
    const first = await open();
    await first.close();
    const second = await open();
    expect(first.incarnation).toBeGreaterThanOrEqual(before);
    expect(second.incarnation).toBeGreaterThan(first.incarnation);
  });

  test('opens with its master key alone, and is unharmed by an attempt with another', async () => {
    const store = await reopened({ peerSaeId: 'SAE_B', add: [key('key 1')] });
    await store.close();
    await expect(open({ masterKey: randomSecret(32) })).rejects.toMatchObject({
      code: 'ERR_HAWSER_MASTER_KEY',
    });
    await expect(open({ masterKey: randomSecret(31) })).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
    });
    const again = await open();
    expect(again.incarnation).toBe(Math.max(store.incarnation + 1, again.incarnation));
    expect(again.keys('SAE_B')).toHaveLength(1);
  });

  test('does not need the master key once it is open', async () => {
    const copy = secretFrom(masterKey.bytes);
    const store = await open({ masterKey: copy });
    copy.wipe();
    await store.commit({ peerSaeId: 'SAE_B', add: [key('key 1')] });
    expect(await materialOf(store, 'key 1')).toHaveLength(64);
  });

  test('has no byte of a key in its files, in no form that is usual for keys', async () => {
    const store = await open();
    const secrets = [masterKey];
    for (let index = 0; index < 50; ++index) {
      const material = randomSecret(32);
      secrets.push(material);
      await store.commit({
        peerSaeId: 'SAE_B',
        add: [key(`key ${index}`, material, { status: 'assigned' })],
      });
    }
    const update = store.keys('SAE_B').map((record) => ({ ...record, status: 'in_production' as const }));
    await store.commit({ peerSaeId: 'SAE_B', update });
    await store.commit({ peerSaeId: 'SAE_B', remove: ['key 1', 'key 2'] });
    await store.close();
    const file = readFileSync(join(path(), 'data.mdb'));
    expect(file.includes('key 3')).toBe(true);
    for (const { bytes } of secrets) {
      const plain = Buffer.from(bytes);
      for (const part of [
        plain.subarray(0, 8),
        plain.subarray(24),
        Buffer.from(plain).reverse().subarray(0, 8),
      ]) {
        expect(file.includes(part)).toBe(false);
      }
      for (const text of [plain.toString('base64'), plain.toString('hex'), plain.toString('base64url')]) {
        expect(file.includes(text.slice(0, 12))).toBe(false);
      }
    }
    expect(statSync(join(path(), 'data.mdb')).mode & 0o077).toBe(0);
  });

  test('keeps nothing of a key that was removed or is over but what LMDB leaves in free pages', async () => {
    const store = await open();
    await store.commit({ peerSaeId: 'SAE_B', add: [key('key 1'), key('key 2'), key('key 3')] });
    await store.commit({
      peerSaeId: 'SAE_B',
      update: [madeUpKey('key 2', { status: 'revoked' })],
      remove: ['key 1'],
    });
    await store.close();
    await tamper((database) => {
      const names = (name: Name) =>
        Array.from(database(name).getKeys({}), (each) => each.toString().slice(7));
      expect(names('material')).toEqual(['key 3']);
      expect(names('keys')).toEqual(['key 2', 'key 3']);
    });
  });

  test('is of one process at a time', async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
    const module = fileURLToPath(new URL('../../../dist/keys/store/lmdb-store.js', import.meta.url));
    const secret = fileURLToPath(new URL('../../../dist/base/secret-bytes.js', import.meta.url));
    const code = `
      const [{ openKeyStore }, { randomSecret }] = [await import(${JSON.stringify(module)}), await import(${JSON.stringify(secret)})];
      await openKeyStore(${JSON.stringify(path())}, { masterKey: randomSecret(32) }).catch((error) => console.log(error.code));`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' });
    expect(child.stdout.trim()).toBe('ERR_HAWSER_STORE_LOCKED');
    await store.commit({ peerSaeId: 'SAE_B', peer: madeUpPeer() });
  });

  test('that is full takes no new keys, but ends sessions and deletes keys, and opens again', async () => {
    const store = await open({ maxBytes: 2 ** 20 });
    let refused: unknown;
    let count = 0;
    for (; refused === undefined && count < 100; ++count) {
      const add = Array.from({ length: 100 }, (_, index) => key(`key ${count}.${index}`));
      await store.commit({ peerSaeId: 'SAE_B', add }).catch((error) => {
        refused = error;
      });
      for (const { material } of add) material.wipe();
    }
    expect(codeOf(refused)).toBe('ERR_HAWSER_STORE_FULL');
    const keys = store.keys('SAE_B').length;
    expect(keys).toBe((count - 1) * 100);
    // More than the room that is left, which is less than 100 keys take.
    const long = 'x'.repeat(1000);
    const reply = { message_type: 'error', error_code: 'busy', error_message: long, details: null } as const;
    const ids = {
      message_id: 'm',
      session_id: 's',
      master_sae_id: 'a',
      slave_sae_id: 'b',
      original_message_id: 'o',
    };
    const replies = Object.fromEntries(
      Array.from({ length: 200 }, (_, index) => [`${index}`, { ...ids, ...reply }]),
    );
    await store.commit({ peerSaeId: 'SAE_B', session: madeUpSession('session 1', { replies }) });
    expect(store.usage.bytes).toBeGreaterThan(store.usage.maxBytes);
    await store.close();
    const again = await open({ maxBytes: 2 ** 20 });
    await again.commit({ peerSaeId: 'SAE_B', endSession: 'session 1' });
    await again.commit({ peerSaeId: 'SAE_B', remove: again.keys('SAE_B').map(({ keyId }) => keyId) });
    await again.commit({ peerSaeId: 'SAE_B', add: [key('key 1')] });
    expect(again.keys('SAE_B')).toHaveLength(1);
  });
});

describe('a store that was changed by somebody else', () => {
  const name = nameOf('SAE_B', 'key 1');
  const other = nameOf('SAE_B', 'key 2');

  beforeEach(async () => {
    const store = await open();
    const add = [key('key 1', randomSecret(32), { status: 'in_production' }), key('key 2')];
    await store.commit({ peerSaeId: 'SAE_B', add, session: madeUpSession('session 1'), peer: madeUpPeer() });
    await store.close();
  });

  const copy = (database: LmdbDatabase, to: Buffer, from: Buffer): void =>
    void database.putSync(to, Buffer.from(database.get(from) ?? []));

  test('is refused when a record was moved to another key, peer or database', async () => {
    const moves: ((database: (name: Name) => LmdbDatabase) => void)[] = [
      (database) => copy(database('keys'), name, other),
      (database) => copy(database('material'), name, other),
      (database) => copy(database('keys'), nameOf('SAE_C', 'key 1'), name),
      (database) => database('keys').putSync(name, Buffer.from(database('material').get(name) ?? [])),
      (database) => copy(database('sessions'), nameOf('SAE_B', 'session 2'), nameOf('SAE_B', 'session 1')),
      (database) => copy(database('peers'), nameOf('SAE_C'), nameOf('SAE_B')),
      (database) => copy(database('meta'), Buffer.from('check'), Buffer.from('incarnation')),
    ];
    for (const [index, move] of moves.entries()) {
      await tamper((database) => {
        for (const each of databaseNames) if (each !== 'meta' || index < 6) continue;
        move(database);
      });
      expect(await refusalToOpen()).toMatch(/^ERR_HAWSER_MASTER_KEY/);
      rmSync(path(), { recursive: true });
      const store = await open();
      const add = [key('key 1', randomSecret(32), { status: 'in_production' }), key('key 2')];
      await store.commit({
        peerSaeId: 'SAE_B',
        add,
        session: madeUpSession('session 1'),
        peer: madeUpPeer(),
      });
      await store.close();
    }
  });

  test('is refused when any byte of a record was changed, and the message names the key', async () => {
    for (const database of ['keys', 'material'] as const) {
      let good = Buffer.alloc(0);
      await tamper((databases) => {
        good = Buffer.from(databases(database).get(name) ?? []);
      });
      for (const at of [0, 23, 24, good.length - 17, good.length - 1]) {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ 0x01;
        await tamper((databases) => void databases(database).putSync(name, bad));
        expect(await refusalToOpen()).toMatch(/^ERR_HAWSER_MASTER_KEY .*"key 1".* was altered/);
      }
      for (const length of [0, 1, 39, 40, good.length - 1]) {
        await tamper((databases) => void databases(database).putSync(name, good.subarray(0, length)));
        expect(await refusalToOpen()).toMatch(/^ERR_HAWSER_(MASTER_KEY|STORE_FORMAT) .*"key 1"/);
      }
      await tamper((databases) => void databases(database).putSync(name, good));
    }
    expect(await refusalToOpen()).toBe('opened');
  });

  test('is found out when the sealed material of a key that is not in use was changed', async () => {
    await tamper((database) => copy(database('material'), other, name));
    const store = await open();
    expect(await materialOf(store, 'key 2')).toBe('ERR_HAWSER_MASTER_KEY');
    const update = [madeUpKey('key 2', { status: 'assigned' })];
    await expect(store.commit({ peerSaeId: 'SAE_B', update })).rejects.toMatchObject({
      code: 'ERR_HAWSER_MASTER_KEY',
    });
    expect(store.key('SAE_B', 'key 2')?.status).toBe('available');
    await store.commit({ peerSaeId: 'SAE_B', remove: ['key 2'] });
  });

  test('is refused when material, the salt or the check is missing', async () => {
    await tamper((database) => void database('material').removeSync(other));
    expect(await refusalToOpen()).toMatch(/^ERR_HAWSER_STORE_FORMAT .*"key 2".* no material/);
    await tamper((database) => void database('meta').removeSync(Buffer.from('check')));
    expect(await refusalToOpen()).toMatch(/^ERR_HAWSER_STORE_FORMAT .* no check/);
    await tamper((database) => void database('meta').removeSync(Buffer.from('salt')));
    expect(await refusalToOpen()).toMatch(/^ERR_HAWSER_STORE_FORMAT .* no salt/);
  });

  test('is refused, and the record named, when what is sealed well is no record', async () => {
    let salt = Buffer.alloc(0);
    await tamper((database) => {
      salt = Buffer.from(database('meta').get(Buffer.from('salt')) ?? []);
    });
    const seal = new StoreSeal(masterKey, salt);
    for (const plain of ['', '\xa0', '\xff', 'not CBOR', '\x80']) {
      const sealed = Buffer.from(seal.seal('key', name, Buffer.from(plain, 'latin1')));
      await tamper((database) => void database('keys').putSync(name, sealed));
      expect(await refusalToOpen()).toMatch(
        /^ERR_HAWSER_STORE_FORMAT the record of key "key 1" of "SAE_B" is damaged/,
      );
    }
    await tamper((database) => {
      database('keys').removeSync(name);
      database('keys').putSync(Buffer.of(0xff), Buffer.alloc(50));
    });
    expect(await refusalToOpen()).toMatch(/^ERR_HAWSER_STORE_FORMAT the name of a record/);
  });
});
