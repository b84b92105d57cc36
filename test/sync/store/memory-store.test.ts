import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import type { Change } from '../../../src/sync/store/store.js';
import { testStore } from './contract.js';

testStore('a store in memory', {
  open: async () => new MemoryStore(),
  // It ends with its process: what a manager finds that is made anew on it is what is there.
  reopen: async (store) => store,
});

describe('a store in memory that is full', () => {
  const session = {
    agent: 'agent',
    module: 'fim',
    mode: 'DELTA',
    size: 1,
    indices: [],
    session: 1n,
    nonce: 1n,
    generation: 1n,
  } as const;
  const upsert = (id: string, bytes: number): Change => ({
    operation: 'Upsert',
    index: 'files',
    id,
    version: 0n,
    data: new Uint8Array(bytes),
  });
  const full = expect.objectContaining({ code: 'ERR_HAWSER_STORE_FULL' });

  test('keeps no message behind one that there was no room for, and says so once', async () => {
    const store = new MemoryStore({ maxBytes: 100 });
    const stored = store.begin(session);
    store.stage(stored, new Uint8Array(60));
    store.stage(stored, new Uint8Array(60));
    store.stage(stored, new Uint8Array(10));
    await expect(store.staged(stored)).rejects.toEqual(full);
    expect(store.stagedCount(stored)).toBe(1);
    store.stage(stored, new Uint8Array(40));
    await store.staged(stored);
    expect(store.stagedCount(stored)).toBe(2);
    expect(store.usage).toEqual({ bytes: 100, maxBytes: 100 });
    await store.drop(stored);
    expect(store.usage.bytes).toBe(0);
  });

  test('refuses a commit, which succeeds once there is room', async () => {
    const store = new MemoryStore({ maxBytes: 100 });
    await store.commit(store.begin(session), [upsert('a', 80)], () => 0);
    const stored = store.begin({ ...session, module: 'sca' });
    const changes = [upsert('b', 20), upsert('c', 1)];
    await expect(store.commit(stored, changes, () => 0)).rejects.toEqual(full);
    expect(store.committed('agent', 'sca')).toBeUndefined();
    expect(store.sessions()).toMatchObject([{ key: stored.key, state: 'committing' }]);
    await store.commit(store.begin(session), [{ operation: 'Delete', index: 'files', id: 'a' }], () => 0);
    await store.commit(stored, changes, () => 0);
    expect(store.usage.bytes).toBe(21);
  });

  test('checks its options', () => {
    expect(() => new MemoryStore({ maxBytes: 0 })).toThrow(HawserError);
  });
});
