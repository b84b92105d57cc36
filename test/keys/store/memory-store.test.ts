import { describe, expect, test } from 'vitest';
import { randomSecret } from '../../../src/base/secret-bytes.js';
import { MemoryKeyStore } from '../../../src/keys/store/memory-store.js';
import { refusal } from '../../base/refusal.js';
import { madeUpKey, testKeyStore } from './contract.js';

describe('the key store in memory', () => {
  testKeyStore(async () => new MemoryKeyStore());

  test('takes so many keys and no more, and others again once some are gone', async () => {
    const store = new MemoryKeyStore({ maxKeys: 2 });
    const add = (keyId: string) => ({ record: madeUpKey(keyId), material: randomSecret(32) });
    await store.commit({ peerSaeId: 'SAE_B', add: [add('1'), add('2')] });
    const third = { peerSaeId: 'SAE_B', add: [add('3')] };
    await expect(store.commit(third)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_FULL' });
    await store.commit({ peerSaeId: 'SAE_B', update: [madeUpKey('1', { status: 'assigned' })] });
    await store.commit({ peerSaeId: 'SAE_B', remove: ['1'] });
    await store.commit(third);
    expect(store.keys('SAE_B').map(({ keyId }) => keyId)).toEqual(['2', '3']);
  });

  test('has a greater incarnation than that of a process before it', () => {
    const seconds = Math.floor(Date.now() / 1000);
    expect(new MemoryKeyStore().incarnation).toBeGreaterThanOrEqual(seconds);
    expect(new MemoryKeyStore({ incarnation: 5 }).incarnation).toBe(5);
    expect(refusal(() => new MemoryKeyStore({ incarnation: 2 ** 32 }))).toContain('incarnation');
    expect(refusal(() => new MemoryKeyStore({ maxKeys: 0 }))).toContain('maxKeys');
  });
});
