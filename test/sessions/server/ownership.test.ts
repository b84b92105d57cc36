import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import type { Transaction, TransactionResult } from '../../../src/sessions/store/store.js';
import { closedWith, DeafStore, type Gateway, noBytes, rejected, World } from './world.js';

const onRequest = (): { result: Uint8Array } => ({ result: new Uint8Array([1]) });

/** Two gateways, one session of the first. */
async function two(): Promise<{ world: World; a: Gateway; b: Gateway }> {
  const world = new World();
  const a = await world.gateway('a', { onRequest });
  const b = await world.gateway('b', { onRequest });
  return { world, a, b };
}

describe('a claim', () => {
  test('a session of a gateway that is gone is continued elsewhere at once, without waiting for its lease', async () => {
    const { world, a, b } = await two();
    const old = await a.session();
    a.cutOff();
    const peer = b.connect();
    peer.continue(old.id, 4n);
    await world.settle();
    expect(peer.received).toEqual([{ type: 'SessionContinued', nonce: 4n }]);
    expect(await world.keys('g/')).toEqual(['g/a', 'g/b']);
    expect(await world.owner(old.id)).toMatchObject({ gateway: 'b', identity: 'device' });
    expect(b.server.stats).toMatchObject({ claimed: 1, continued: 1, sessions: 1 });
    expect(b.events('sessionContinued')).toMatchObject([[{ sessionId: old.id }, true]]);
    peer.request(1);
    await world.settle();
    expect(peer.last?.type).toBe('ClientResponse');
  });

  test('the gateway that has lost a session to another one tells its client so, and deletes nothing', async () => {
    const { world, a, b } = await two();
    const old = await a.session();
    const peer = b.connect();
    peer.continue(old.id);
    await world.settle();
    expect(old.last).toEqual(closedWith('SessionError'));
    expect(a.server.stats).toMatchObject({ sessions: 0, connected: 0, moved: 1, expired: 0 });
    expect(a.events('sessionMoved')).toMatchObject([[{ sessionId: old.id }]]);
    expect(a.events('sessionEnded')).toEqual([]);
    await world.pass(1000);
    expect(old.closed).toBeDefined();
    for (let n = 0; n < 4; ++n) {
      await world.pass(30_000);
      peer.keepAlive();
    }
    expect(b.server.stats).toMatchObject({ sessions: 1, expired: 0 });
  });

  test('a session that is claimed has a whole timeout before it', async () => {
    const { world, a, b } = await two();
    const { id } = await a.session();
    await world.pass(80_000);
    const peer = b.connect();
    peer.continue(id);
    await world.settle();
    peer.lose();
    await world.pass(89_000);
    expect(b.server.stats.sessions).toBe(1);
    await world.pass(2000);
    expect(b.server.stats).toMatchObject({ sessions: 0, expired: 1 });
    expect(a.server.stats.expired).toBe(0);
  });

  test('of two gateways that claim a session one has it, and its client continues where it came last', async () => {
    const { world, a, b } = await two();
    const c = await world.gateway('c');
    const { id } = await a.session();
    const [one, other] = [b.connect(), c.connect()];
    one.continue(id, 1n);
    other.continue(id, 2n);
    await world.settle();
    expect([...one.types, ...other.types].filter((type) => type === 'SessionContinued')).toHaveLength(2);
    const owner = await world.owner(id);
    const sessions = [a, b, c].map(({ server }) => server.stats.sessions);
    expect(sessions).toEqual(owner?.gateway === 'b' ? [0, 1, 0] : [0, 0, 1]);
  });

  test('a claim whose answer from the store is lost counts', async () => {
    const { world, a, b } = await two();
    const { id } = await a.session();
    const peer = b.connect();
    const letGo = b.store.hold();
    peer.continue(id);
    await world.settle();
    b.store.fault = 'unanswered';
    letGo();
    await world.pass(150);
    expect(peer.received).toEqual([]);
    b.store.fault = 'none';
    await world.pass(2000);
    expect(peer.types).toEqual(['SessionContinued']);
    expect(b.server.stats).toMatchObject({ sessions: 1, claimed: 1 });
  });

  test('a Continue that the store does not answer in 10 s is rejected with Other', async () => {
    const { world, a, b } = await two();
    const { id } = await a.session();
    b.store.fault = 'unreachable';
    const peer = b.connect();
    peer.continue(id, 3n);
    await world.pass(9999);
    expect(peer.received).toEqual([]);
    await world.pass(1);
    expect(peer.received).toEqual([rejected('Other', 3n)]);
    expect(b.server.stats.pending).toBe(0);
  });

  test('a client that is gone when its claim succeeds finds its session here, until it expires', async () => {
    const { world, a, b } = await two();
    const { id } = await a.session();
    const letGo = b.store.hold();
    const peer = b.connect();
    peer.continue(id);
    await world.settle();
    peer.lose();
    await world.settle();
    letGo();
    await world.settle();
    expect(b.server.stats).toMatchObject({ sessions: 1, connected: 0 });
    const next = b.connect();
    next.continue(id);
    await world.settle();
    expect(next.types).toEqual(['SessionContinued']);
  });

  test('a connection that continues a session of another gateway speaks no more for the one that it had', async () => {
    const { world, a, b } = await two();
    const { id } = await a.session();
    const peer = await b.session();
    const letGo = b.store.hold();
    peer.continue(id, 5n);
    peer.say({ type: 'ConnectionClosed' });
    peer.request(1);
    await world.settle();
    expect(b.server.stats).toMatchObject({ sessions: 1, connected: 0, dropped: { unexpected: 2 } });
    letGo();
    await world.settle();
    expect(peer.types).toEqual(['SessionCreated', 'SessionContinued']);
    expect(b.server.stats).toMatchObject({ sessions: 2, connected: 1 });
  });

  test('an owner record that cannot be read is rejected, and told', async () => {
    const { world, b } = await two();
    const id = randomUUID();
    const write = { type: 'put', key: `o/${id}`, value: new Uint8Array([1]) } as const;
    await world.store.txn({ compare: [], writes: [write] });
    const peer = b.connect();
    peer.continue(id, 8n);
    await world.settle();
    expect(peer.received).toEqual([rejected('Other', 8n)]);
    expect(b.events('listenerError')).toMatchObject([[{ code: 'ERR_HAWSER_STORE_FORMAT' }, 'store']]);
  });
});

describe('without a valid lease', () => {
  test('heartbeats are answered, requests and Creates refused, and nothing is expired', async () => {
    const { world, a } = await two();
    const [peer, silent] = [await a.session('one'), await a.session('two')];
    expect(a.server.stats).toMatchObject({ serving: true, leaseValid: true });
    a.cutOff();
    await world.pass(9000);
    expect(a.server.stats).toMatchObject({ serving: false, leaseValid: false });
    expect(a.events('serving')).toEqual([[true], [false]]);
    peer.keepAlive();
    peer.request(1);
    const other = a.connect();
    other.create(7n);
    await world.settle();
    expect(peer.types.slice(1)).toEqual(['KeepAliveResponse', 'RequestError']);
    expect(peer.last).toMatchObject({ reason: 'StoreUnavailable', retryAfterMs: expect.any(Number) });
    expect(other.received).toEqual([rejected('Other', 7n)]);
    await world.pass(200_000);
    expect(a.server.stats).toMatchObject({ sessions: 2, expired: 0 });
    expect(silent.types).toEqual(['SessionCreated']);
    // A client that comes back is let in: what it hears is true for as long as nobody else has claimed its session.
    silent.lose();
    const back = a.connect('two');
    back.continue(silent.id);
    await world.settle();
    expect(back.types).toEqual(['SessionContinued']);
  });

  test('with a new lease the sessions become its own under the new epoch; only then they expire again', async () => {
    const { world, a } = await two();
    const [peer, silent] = [await a.session('one'), await a.session('two')];
    const before = await world.owner(peer.id);
    a.cutOff();
    for (let n = 0; n < 4; ++n) {
      await world.pass(30_000);
      peer.keepAlive();
    }
    await world.settle();
    a.join();
    await world.pass(5000);
    const after = await world.owner(peer.id);
    expect(after?.gateway).toBe('a');
    expect(after?.epoch).not.toBe(before?.epoch);
    expect(a.server.stats).toMatchObject({ serving: true, sessions: 1, expired: 1, moved: 0 });
    expect(silent.last).toEqual(closedWith('SessionExpired'));
    peer.request(1);
    await world.settle();
    expect(peer.last?.type).toBe('ClientResponse');
    expect(await world.keys('o/')).toEqual([`o/${peer.id}`]);
  });

  test('a session that was claimed elsewhere meanwhile is given up, and the others stay', async () => {
    const { world, a, b } = await two();
    const [moved, kept] = [await a.session('one'), await a.session('two')];
    a.cutOff();
    await world.pass(20_000);
    const peer = b.connect('one');
    peer.continue(moved.id);
    kept.keepAlive();
    await world.settle();
    expect(a.server.stats.sessions).toBe(2);
    a.join();
    await world.pass(5000);
    expect(moved.last).toEqual(closedWith('SessionError'));
    expect(a.server.stats).toMatchObject({ sessions: 1, moved: 1 });
    expect(await world.owner(moved.id)).toMatchObject({ gateway: 'b' });
    expect(kept.closed).toBeUndefined();
    expect(b.server.stats.sessions).toBe(1);
  });

  test('hundreds of sessions are claimed anew, also when answers of the store are lost', async () => {
    const world = new World();
    const a = await world.gateway('a', { maxSessionsPerIdentity: 10_000 });
    for (let n = 0; n < 300; ++n) a.connect().create();
    await world.settle();
    expect(a.server.stats.sessions).toBe(300);
    a.cutOff();
    await world.pass(15_000);
    a.join();
    // The new lease is taken, and then the store answers nothing for a while.
    await world.pass(2000);
    a.store.fault = 'unanswered';
    await world.pass(1000);
    a.store.fault = 'none';
    await world.pass(10_000);
    const epochs = new Set<string | undefined>();
    for (const key of await world.keys('o/')) epochs.add((await world.owner(key.slice(2)))?.epoch);
    expect(epochs.size).toBe(1);
    expect(a.server.stats).toMatchObject({ sessions: 300, moved: 0 });
  });

  test('a session that is claimed just when the lease is replaced becomes its own under the new one', async () => {
    const world = new World();
    let letGo: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      letGo = resolve;
    });
    class SlowStore extends DeafStore {
      /** The answers of claims wait. */
      override async txn(transaction: Transaction): Promise<TransactionResult> {
        const result = await super.txn(transaction);
        if (transaction.writes.some((write) => write.type === 'put' && write.key === `o/${id}`)) await held;
        return result;
      }
    }
    const a = await world.gateway('a');
    const { id } = await a.session();
    const b = await world.gateway('b', { store: new SlowStore({ sharedWith: world.store }) });
    const peer = b.connect();
    peer.continue(id);
    await world.settle();
    const before = await world.owner(id);
    // An operator removes the gateway, which finds out by the next thing that it writes.
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: 'g/b' }] });
    b.connect().create();
    await world.pass(2000);
    letGo();
    await world.pass(1000);
    expect(peer.types).toEqual(['SessionContinued']);
    const after = await world.owner(id);
    expect([before?.gateway, after?.gateway]).toEqual(['b', 'b']);
    expect(after?.epoch).not.toBe(before?.epoch);
    expect(b.server.stats).toMatchObject({ serving: true, moved: 0 });
  });

  test('another gateway of the same name has the lease: nothing is written any more', async () => {
    const { world, a } = await two();
    const peer = await a.session();
    const impostor = new MemorySessionStore({ sharedWith: world.store });
    await impostor.lease('a', () => noBytes);
    await world.settle();
    expect(a.server.stats).toMatchObject({ serving: false, sessions: 1 });
    peer.request(1);
    peer.keepAlive();
    await world.settle();
    expect(peer.types.slice(1).toSorted()).toEqual(['KeepAliveResponse', 'RequestError']);
    expect(peer.received).toContainEqual(expect.objectContaining({ reason: 'StoreUnavailable' }));
  });

  test('a session that expires just when it is claimed anew is gone for good', async () => {
    const { world, a } = await two();
    const peer = await a.session();
    peer.lose();
    a.cutOff();
    await world.pass(95_000);
    expect(a.server.stats.sessions).toBe(1);
    a.join();
    await world.pass(10_000);
    expect(await world.keys('o/')).toEqual([]);
    expect(a.server.stats).toMatchObject({ sessions: 0, expired: 1, moved: 0 });
  });
});

describe('what the watch of owners tells', () => {
  test('a session that ends before it is known that it was claimed anew is removed all the same', async () => {
    const world = new World();
    const store = new DeafStore({ sharedWith: world.store });
    const a = await world.gateway('a', { store });
    const peer = await a.session();
    store.isDeaf = true;
    // As by a transaction whose answer has not come yet.
    const [entry] = await world.store.read(prefixRange('o/'));
    const value = entry?.value ?? noBytes;
    await world.store.txn({ compare: [], writes: [{ type: 'put', key: `o/${peer.id}`, value }] });
    peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    await world.pass(1000);
    expect(await world.keys('o/')).toEqual([]);
    expect(a.server.stats).toMatchObject({ closed: 1, moved: 0 });
    expect(a.events('sessionEnded')).toHaveLength(1);
  });

  test('a removal that the store refuses is told, and tried again until it succeeds', async () => {
    const world = new World();
    class FullStore extends DeafStore {
      isFull = false;

      override async txn(transaction: Transaction): Promise<TransactionResult> {
        if (this.isFull) throw new HawserError('ERR_HAWSER_DISK_FULL', 'full');
        return await super.txn(transaction);
      }
    }
    const store = new FullStore({ sharedWith: world.store });
    const a = await world.gateway('a', { store });
    const [peer, refused] = [await a.session(), a.connect()];
    store.isFull = true;
    peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    refused.create(6n);
    await world.pass(1000);
    expect(refused.received).toEqual([rejected('Other', 6n)]);
    const told = a.events('listenerError');
    expect(told.length).toBeGreaterThan(2);
    expect(told.every(([, source]) => source === 'store')).toBe(true);
    store.isFull = false;
    await world.pass(2000);
    expect(await world.keys('o/')).toEqual([]);
    expect(a.server.stats).toMatchObject({ closed: 1, serving: true });
  });

  test('a session that another gateway removes is over here, and its client hears SessionExpired', async () => {
    const { world, a, b } = await two();
    const peer = await a.session();
    expect(await b.server.endSession(peer.id)).toBe(true);
    await world.settle();
    expect(peer.last).toEqual(closedWith('SessionExpired'));
    expect(a.server.stats).toMatchObject({ sessions: 0, closed: 1 });
    expect(a.events('sessionEnded')).toMatchObject([[{ sessionId: peer.id }, 'closed']]);
    expect(await b.server.endSession(peer.id)).toBe(false);
  });

  test('changes that were missed are found when the watch begins anew; what is new since then stays', async () => {
    const world = new World();
    const a = await world.gateway('a', { maxSessionsPerIdentity: 10_000 });
    const b = await world.gateway('b', { maxSessionsPerIdentity: 10_000 });
    for (let n = 0; n < 1200; ++n) b.connect().create();
    const [moved, ended, kept] = [await a.session(), await a.session(), await a.session()];
    a.store.fault = 'unreachable';
    const peer = b.connect();
    peer.continue(moved.id);
    await b.server.endSession(ended.id);
    await world.settle();
    expect(a.server.stats.sessions).toBe(3);
    a.store.fault = 'none';
    const fresh = a.connect();
    fresh.create();
    await world.pass(5000);
    expect(moved.last).toEqual(closedWith('SessionError'));
    expect(ended.last).toEqual(closedWith('SessionExpired'));
    expect(kept.types).toEqual(['SessionCreated']);
    expect(fresh.types).toEqual(['SessionCreated']);
    expect(a.server.stats).toMatchObject({ sessions: 2, moved: 1, closed: 1 });
  });

  test('a request that loses its commit to another owner is never answered, and its client hears where it stands', async () => {
    const { world, a, b } = await two();
    const peer = await a.session();
    // It hears of nothing, and still holds a valid lease.
    const quiet = a.store.watch('o/', { changed: () => undefined, reset: () => undefined });
    quiet[Symbol.dispose]();
    const letGo = a.store.hold();
    const next = b.connect();
    next.continue(peer.id);
    peer.request(1);
    await world.settle();
    letGo();
    await world.settle();
    expect(peer.types).not.toContain('ClientResponse');
    expect(peer.last).toEqual(closedWith('SessionError'));
    expect(next.types).toEqual(['SessionContinued']);
  });
});

describe('gateways that are gone', () => {
  test('their sessions can be continued for the grace, and are expired after it', async () => {
    const { world, a, b } = await two();
    const [one, other] = [await a.session('one'), await a.session('two')];
    await a.die();
    await world.pass(134_000);
    expect(b.server.stats).toMatchObject({ inCustody: 2, expired: 0, isLeader: true });
    const peer = b.connect('one');
    peer.continue(one.id);
    await world.settle();
    expect(peer.types).toEqual(['SessionContinued']);
    await world.pass(3000);
    expect(b.server.stats).toMatchObject({ inCustody: 0, expired: 1, sessions: 1 });
    expect(b.events('sessionEnded')).toMatchObject([[{ sessionId: other.id }, 'expired']]);
    expect(await world.keys('o/')).toEqual([`o/${one.id}`]);
  });

  test('case 20: after a restart of all gateways every session has the grace, and is continued', async () => {
    const world = new World();
    const first = await world.gateway('a', { onRequest });
    const [one, other] = [await first.session('one'), await first.session('two')];
    one.request(1);
    await world.pass(60_000);
    const closing = first.server.close();
    await world.pass(2000);
    await closing;
    await world.pass(3_600_000);
    const again = await world.gateway('a', { onRequest });
    await world.pass(134_000);
    expect(again.server.stats).toMatchObject({ inCustody: 2, expired: 0 });
    const peer = again.connect('one');
    peer.continue(one.id);
    await world.settle();
    peer.request(1);
    await world.settle();
    expect(peer.types).toEqual(['SessionContinued', 'ClientResponse']);
    expect(again.server.stats).toMatchObject({ claimed: 1, repeated: 1, committed: 0 });
    await world.pass(3000);
    expect(again.server.stats).toMatchObject({ expired: 1, sessions: 1 });
    const late = again.connect('two');
    late.continue(other.id, 5n);
    await world.settle();
    expect(late.received).toEqual([rejected('SessionExpired', 5n)]);
  });
});
