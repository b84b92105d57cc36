// What the sessions commands read and remove, where other gateways may write meanwhile.

import { expect, test } from 'vitest';
import {
  expireSession,
  isOwned,
  pagesOf,
  readGateways,
  sessionPages,
  timeText,
} from '../../src/cli/kept-sessions.js';
import { gatewayKey, ownerKey } from '../../src/sessions/store/keys.js';
import { MemorySessionStore } from '../../src/sessions/store/memory-store.js';
import { encodeGateway, encodeOwner, type OwnerRecord } from '../../src/sessions/store/records.js';
import type { SessionStore, Transaction, TransactionResult } from '../../src/sessions/store/store.js';
import { ownerOf, put, sessionWrites } from './sessions-support.js';

function claim(sessionId: string, owner: OwnerRecord): Transaction {
  return { compare: [], writes: [{ type: 'put', key: ownerKey(sessionId), value: encodeOwner(owner) }] };
}

/** A store in which something else comes before each of the first transactions. */
function interrupted(store: SessionStore, before: readonly Transaction[]): SessionStore {
  const waiting = [...before];
  return new Proxy(store, {
    get: (target, name) => {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      if (name !== 'txn') return value.bind(target);
      return async (transaction: Transaction): Promise<TransactionResult> => {
        const first = waiting.shift();
        if (first !== undefined) await target.txn(first);
        return target.txn(transaction);
      };
    },
  });
}

async function keysOf(store: SessionStore): Promise<string[]> {
  return (await store.read({ from: 'a', to: 'z' })).map(({ key }) => key);
}

test('a session is owned while its gateway holds the lease under which it took it, and no other', async () => {
  await using store = new MemorySessionStore();
  const lease = await store.lease('here', (epoch) => encodeGateway({ epoch, advertise: '', startedAt: 0 }));
  const broken = { type: 'put', key: gatewayKey('broken'), value: Buffer.from('{}') } as const;
  await put(store, [broken]);
  const gateways = await readGateways(store);
  expect([...gateways.keys()]).toEqual(['here']);
  const { epoch } = lease;
  expect(isOwned(ownerOf({ gateway: 'here', epoch }), gateways)).toBe(true);
  expect(isOwned(ownerOf({ gateway: 'here', epoch: `${epoch}0` }), gateways)).toBe(false);
  expect(isOwned(ownerOf({ gateway: 'elsewhere', epoch }), gateways)).toBe(false);
});

test.each([0, 1, 9, 10, 11, 20, 25])('%i entries come once each, in pages of at most 10', async (count) => {
  await using store = new MemorySessionStore();
  // Each lies as close behind the one before as most keys do.
  const keys = Array.from({ length: count }, (_, n) => `a/${'!'.repeat(n + 1)}`);
  await put(
    store,
    keys.map((key) => ({ type: 'put', key, value: Buffer.alloc(0) })),
  );
  const found: string[] = [];
  for await (const page of pagesOf(store, { from: 'a/', to: 'a0' }, 10)) {
    expect(page.length).toBeGreaterThan(0);
    expect(page.length).toBeLessThanOrEqual(10);
    found.push(...page.map(({ key }) => key));
  }
  expect(found).toEqual(keys);
});

test('sessions are read a thousand at a time', async () => {
  await using store = new MemorySessionStore();
  const value = encodeOwner(ownerOf());
  for (let at = 0; at < 2500; at += 100) {
    const ids = Array.from({ length: 100 }, (_, n) => `s${String(at + n).padStart(4, '0')}`);
    await put(
      store,
      ids.map((id) => ({ type: 'put', key: ownerKey(id), value })),
    );
  }
  const pages: number[] = [];
  for await (const page of sessionPages(store)) pages.push(page.length);
  expect(pages).toEqual([1000, 1000, 500]);
});

test('a session that another gateway claims meanwhile is expired with the owner that it then has', async () => {
  await using store = new MemorySessionStore();
  await put(store, [...sessionWrites('x'), ...sessionWrites('xy')]);
  const others = (await keysOf(store)).filter((key) => /^.\/xy/.test(key));
  const twice = ['b', 'c'].map((gateway) => claim('x', ownerOf({ gateway })));
  const { owner } = await expireSession(interrupted(store, twice), 'x');
  expect(owner?.gateway).toBe('c');
  expect(await keysOf(store)).toEqual(others);
});

test('a session that ends meanwhile is none, and one that never stays is told so', async () => {
  await using store = new MemorySessionStore();
  await put(store, sessionWrites('x'));
  const endless = Array.from({ length: 10 }, (_, n) => claim('x', ownerOf({ gateway: `g${n}` })));
  await expect(expireSession(interrupted(store, endless), 'x')).rejects.toThrow(
    /goes from gateway to gateway/,
  );
  const ended: Transaction = { compare: [], writes: [{ type: 'delete', key: ownerKey('x') }] };
  await expect(expireSession(interrupted(store, [ended]), 'x')).rejects.toThrow(/^there is no session x /);
});

test('times beyond every date are shown as they are', () => {
  expect(timeText(0)).toBe('1970-01-01T00:00:00.000Z');
  expect(timeText(Number.MAX_SAFE_INTEGER)).toBe('9007199254740991');
});
