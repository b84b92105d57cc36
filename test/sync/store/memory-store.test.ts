import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import type { Change } from '../../../src/sync/store/store.js';
import { testStore } from './contract.js';

testStore('a store in memory', {
  open: async (maxBytesPerAgent = 2 ** 30, maxBytes = 2 ** 32) =>
    new MemoryStore({ maxBytesPerAgent, maxBytes }),
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

  /** What the session takes beside its messages: its names, and 256. */
  const sessionBytes = 5 + 3 + 256;

  test('keeps no message behind one that there was no room for, and says so once', async () => {
    const maxBytes = sessionBytes + 100;
    const store = new MemoryStore({ maxBytes });
    const stored = store.begin(session);
    store.stage(stored, new Uint8Array(60));
    store.stage(stored, new Uint8Array(60));
    store.stage(stored, new Uint8Array(10));
    await expect(store.staged(stored)).rejects.toEqual(full);
    expect(store.stagedCount(stored)).toBe(1);
    store.stage(stored, new Uint8Array(40));
    await store.staged(stored);
    expect(store.stagedCount(stored)).toBe(2);
    expect(store.usage).toEqual({ bytes: maxBytes, maxBytes });
    expect(() => store.begin(session)).toThrow(full);
    await store.drop(stored);
    expect(store.usage.bytes).toBe(0);
  });

  test('remembers the last sessions of 1,024 modules of an agent: one of another is refused', async () => {
    const store = new MemoryStore();
    const apply = (module: string, agent = 'agent'): Promise<void> =>
      store.commit(store.begin({ ...session, module, agent }), [upsert(module, 1)], () => 0);
    for (let n = 0; n < 1024; ++n) await apply(`${n}`);
    await expect(apply('1024')).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_QUOTA' });
    expect(store.committed('agent', '1024')).toBeUndefined();
    expect(store.document('agent', 'files', '1024')).toBeUndefined();
    expect(store.sessions()).toEqual([]);
    await apply('1023');
    await apply('1024', 'other');
  });

  test('counts everything that it keeps, and nothing once it is gone', async () => {
    const store = new MemoryStore();
    const stored = store.begin({ ...session, indices: ['é'] });
    expect(store.usage.bytes).toBe(sessionBytes + 2);
    await store.commit(stored, [upsert('é', 80), upsert('b', 1)], () => 0);
    const names = 5 + 256 + (3 + 256) + (5 + 256);
    const documents = 120 + 3 * 2 + 120 + (2 + 3 + 120);
    expect(store.usage.bytes).toBe(names + documents);
    await store.setAgent('agent', 'groups', new Uint8Array(7));
    await store.setAgent('agent', 'groups', new Uint8Array(9));
    expect(store.usage.bytes).toBe(names + documents + 9);
    const full = { ...session, mode: 'FULL', indices: ['files'] } as const;
    await store.commit(store.begin(full), [upsert('c', 1)], () => 0);
    expect(store.usage.bytes).toBe(names + 125 + 9);
    const failing = (function* (): Generator<Change> {
      yield upsert('d', 1);
      throw new RangeError('stopped');
    })();
    const broken = store.begin(full);
    await expect(store.commit(broken, failing, () => 0)).rejects.toThrow('stopped');
    await store.drop(broken);
    expect(store.usage.bytes).toBe(names + 125 + 9);
    store.begin(session);
    await store.removeAgent('agent');
    expect(store.usage.bytes).toBe(0);
  });

  test('checks its options', () => {
    expect(() => new MemoryStore({ maxBytes: 0 })).toThrow(HawserError);
    expect(() => new MemoryStore({ maxBytes: 10, maxBytesPerAgent: 11 })).toThrow(HawserError);
    expect(new MemoryStore({ maxBytes: 1 }).usageOf('agent')).toEqual({ count: 0, bytes: 0, maxBytes: 1 });
  });
});
