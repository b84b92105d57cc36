// The store of sessions in memory.

import { expect, test } from 'vitest';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import {
  MemorySessionStore,
  type MemorySessionStoreOptions,
} from '../../../src/sessions/store/memory-store.js';
import type { Write } from '../../../src/sessions/store/store.js';
import { VirtualClock } from '../../../src/testing/virtual-clock.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { testSessionStore } from './contract.js';
import { bytes, put } from './tested-store.js';

testSessionStore('a store in memory', {
  open: async () => new MemorySessionStore(),
});

testSessionStore('a store in memory that is shared', {
  open: async () => new MemorySessionStore({ leaseTtlMs: 10_000 }),
  openAnother: async (store) => {
    if (!(store instanceof MemorySessionStore)) throw new Error('not a store in memory');
    return new MemorySessionStore({ sharedWith: store, leaseTtlMs: 10_000 });
  },
});

test('a store of one process is not shared, and its leases are valid for ever', async () => {
  await using store = new MemorySessionStore();
  expect(store.shared).toBe(false);
  expect((await store.lease('one', () => bytes(''))).validUntilMs).toBe(Number.POSITIVE_INFINITY);
});

test('a lease with a time to live is kept alive, and is valid until a second before it would end', async () => {
  const time = new VirtualTime();
  await using store = new MemorySessionStore({ clock: time.clock, leaseTtlMs: 9000 });
  const lease = await store.lease('one', () => bytes(''));
  expect(lease.validUntilMs).toBe(8000);
  await time.passTo(2999);
  expect(lease.validUntilMs).toBe(8000);
  await time.passTo(3000);
  expect(lease.validUntilMs).toBe(11_000);
  await time.passTo(600_000);
  expect(lease.ended.aborted).toBe(false);
  expect(lease.validUntilMs).toBeGreaterThan(600_000);
});

test('a lease that is not kept alive in its time ends, and others are told', async () => {
  const time = new VirtualTime();
  /** Of a process that stands still: its timers do not run. */
  const still = new VirtualClock(() => time.nowMs, 0);
  await using store = new MemorySessionStore({ clock: time.clock, leaseTtlMs: 9000 });
  await using other = new MemorySessionStore({ sharedWith: store, clock: still, leaseTtlMs: 9000 });
  const lease = await other.lease('one', () => bytes(''));
  await other.txn({ compare: [], writes: [put('e/1', '', lease), put('a/1', '')] });
  await time.passTo(8999);
  expect(lease.ended.aborted).toBe(false);
  expect(lease.validUntilMs).toBeLessThan(time.nowMs);
  await time.passTo(9000);
  expect(lease.ended.aborted).toBe(true);
  const entries = await store.read({ from: 'a', to: 'z' });
  expect(entries.map(({ key }) => key)).toEqual(['a/1']);
});

test('a store that is closed leaves no timer behind', async () => {
  const time = new VirtualTime();
  const store = new MemorySessionStore({ clock: time.clock, leaseTtlMs: 9000 });
  await store.lease('one', () => bytes(''));
  await store.close();
  expect(time.clock.nextDueMs).toBe(Number.POSITIVE_INFINITY);
});

test('options that are none, or out of range, are refused', () => {
  const odd: unknown[] = [
    null,
    { leaseTtlMs: 1999 },
    { leaseTtlMs: 120_001 },
    { leaseTtlMs: Number.POSITIVE_INFINITY },
    { sharedWith: {} },
    { ttl: 3 },
  ];
  for (const options of odd) {
    expect(() => new MemorySessionStore(options as MemorySessionStoreOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
  }
});

test('100,000 sessions are kept, and one is taken out of their midst', async () => {
  await using store = new MemorySessionStore();
  const names = Array.from({ length: 100_000 }, (_, n) => `${(n * 7919) % 100_000}`.padStart(6, '0'));
  for (let n = 0; n < names.length; n += 100) {
    const writes = names.slice(n, n + 100).map((name): Write => put(`r/${name}/1`, name));
    await store.txn({ compare: [], writes });
  }
  await store.txn({ compare: [], writes: [{ type: 'deleteRange', ...prefixRange('r/050000/') }] });
  const entries = await store.read(prefixRange('r/'));
  expect(entries.map(({ key }) => key)).toEqual(
    names
      .toSorted()
      .filter((name) => name !== '050000')
      .map((name) => `r/${name}/1`),
  );
});
