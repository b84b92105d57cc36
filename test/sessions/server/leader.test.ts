import { describe, expect, test } from 'vitest';
import type { RequestOutcome } from '../../../src/sessions/server/handler.js';
import type { ClientMessage } from '../../../src/sessions/wire/messages.js';
import { closedWith, DeafStore, type Gateway, noBytes, rejected, World } from './world.js';

/** Two gateways of which only the leader, the first, serves. */
async function two(): Promise<{ world: World; leader: Gateway; follower: Gateway }> {
  const world = new World();
  const leader = await world.gateway('a', { cluster: 'leader' });
  const follower = await world.gateway('b', { cluster: 'leader' });
  return { world, leader, follower };
}

const hint = 'a.example:4000';

describe('a follower', () => {
  test('case 1: Create and Continue are rejected with NotLeader, the same nonce and the hint', async () => {
    const { world, leader, follower } = await two();
    expect([leader, follower].map(({ server }) => server.stats.isLeader)).toEqual([true, false]);
    expect([leader, follower].map(({ server }) => server.stats.serving)).toEqual([true, false]);
    expect(follower.server.stats.leaseValid).toBe(true);
    const { id } = await leader.session();
    const [one, other] = [follower.connect(), follower.connect()];
    one.create(-9n);
    other.continue(id, 10n);
    await world.settle();
    expect(one.received).toEqual([rejected('NotLeader', -9n, hint)]);
    expect(other.received).toEqual([rejected('NotLeader', 10n, hint)]);
    expect(follower.server.stats.rejected.NotLeader).toBe(2);
    await world.pass(1000);
    expect(one.closed).toBeDefined();
    expect(other.closed).toBeDefined();
    expect(await world.keys('o/')).toEqual([`o/${id}`]);
  });

  test('case 1: KeepAlive, request and query are answered with NotLeaderAnymore and the hint; the rest is ignored', async () => {
    const { world, follower } = await two();
    const answered: ClientMessage[] = [
      { type: 'KeepAlive', timestamp: 0 },
      { type: 'ClientRequest', requestId: 1, lowestPendingRequestId: 1, payload: noBytes, createdAt: 0 },
      { type: 'Query', correlationId: 'c', payload: noBytes, createdAt: 0 },
    ];
    const ignored: ClientMessage[] = [
      { type: 'ServerRequestAck', requestId: 1 },
      { type: 'CloseSession', reason: 'ClientShutdown' },
      { type: 'ConnectionClosed' },
    ];
    for (const message of [...answered, ...ignored]) {
      const peer = follower.connect();
      peer.say(message);
      await world.pass(1000);
      const isAnswered = answered.includes(message);
      expect(peer.received).toEqual(isAnswered ? [closedWith('NotLeaderAnymore', hint)] : []);
      expect(peer.closed !== undefined).toBe(isAnswered);
    }
    expect(follower.server.stats.dropped.unexpected).toBe(3);
  });

  test('while nobody is known to lead, there is no hint, and none to itself', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { cluster: 'leader' });
    gateway.cutOff();
    await world.pass(11_000);
    const peer = gateway.connect();
    peer.create(3n);
    await world.settle();
    expect(peer.received).toEqual([rejected('NotLeader', 3n)]);
  });

  test('a client that hammers it with Create is answered five times, then once in two seconds', async () => {
    const { world, follower } = await two();
    const peer = follower.connect();
    for (let n = 1; n <= 500; ++n) peer.create(BigInt(n));
    await world.settle();
    expect(peer.types).toEqual(Array(5).fill('SessionRejected'));
    expect(follower.server.stats.dropped).toMatchObject({ createLimited: 351, overloaded: 144 });
  });
});

describe('a new leader', () => {
  test('case 4: a session of the old leader is continued within the grace, and the others are expired after it', async () => {
    const { world, leader, follower } = await two();
    const [one, other] = [await leader.session('one'), await leader.session('other')];
    await leader.die();
    await world.pass(1000);
    expect(follower.server.stats).toMatchObject({ isLeader: true, serving: true, inCustody: 2, sessions: 0 });
    expect(follower.events('leader').at(-1)).toEqual(['b.example:4000', true]);
    await world.pass(130_000);
    const peer = follower.connect('one');
    peer.continue(one.id, 5n);
    await world.settle();
    expect(peer.received).toEqual([{ type: 'SessionContinued', nonce: 5n }]);
    await world.pass(6000);
    expect(follower.server.stats).toMatchObject({ inCustody: 0, expired: 1, sessions: 1 });
    const late = follower.connect('other');
    late.continue(other.id, 6n);
    await world.settle();
    expect(late.received).toEqual([rejected('SessionExpired', 6n)]);
  });

  test('case 13: the old leader tells its clients to go, deletes nothing, and they continue with the new one', async () => {
    const { world, leader, follower } = await two();
    const [peer, detached] = [await leader.session('one'), await leader.session('other')];
    detached.lose();
    // An operator removes the leader.
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: 'e/leader' }] });
    await world.pass(2000);
    expect([leader, follower].map(({ server }) => server.stats.isLeader)).toEqual([false, true]);
    expect(peer.last).toMatchObject({ type: 'SessionClosed', reason: 'NotLeaderAnymore' });
    expect(peer.closed).toBeDefined();
    expect(leader.server.stats).toMatchObject({ sessions: 0, connected: 0, serving: false, moved: 0 });
    expect(leader.events('serving')).toEqual([[true], [false]]);
    expect(await world.keys('o/')).toHaveLength(2);
    const next = follower.connect('one');
    next.continue(peer.id);
    await world.settle();
    expect(next.types).toEqual(['SessionContinued']);
  });

  test('a gateway that leads again treats the sessions of its earlier time as any others: they have the grace', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { cluster: 'leader' });
    const peer = await gateway.session();
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: 'e/leader' }] });
    await world.pass(5000);
    expect(peer.last?.type).toBe('SessionClosed');
    expect(gateway.server.stats).toMatchObject({ isLeader: true, sessions: 0, inCustody: 1 });
    await world.pass(129_000);
    const next = gateway.connect();
    next.continue(peer.id);
    await world.settle();
    expect(next.types).toEqual(['SessionContinued']);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, inCustody: 0 });
  });

  test('a leader that loses its lease steps down; Creates and Continues that wait hear NotLeader', async () => {
    const { world, leader, follower } = await two();
    const peer = await leader.session();
    const claimed = await leader.session('claimed');
    claimed.lose();
    await world.settle();
    const letGo = leader.store.hold();
    const creating = leader.connect();
    creating.create(8n);
    await world.settle();
    leader.cutOff();
    await world.pass(11_000);
    expect(peer.last).toMatchObject({ type: 'SessionClosed', reason: 'NotLeaderAnymore' });
    expect(creating.last).toMatchObject({ type: 'SessionRejected', nonce: 8n });
    expect(leader.server.stats).toMatchObject({ sessions: 0, isLeader: false });
    letGo();
    leader.join();
    await world.pass(5000);
    expect(follower.server.stats).toMatchObject({ isLeader: true });
    expect(leader.server.stats).toMatchObject({ sessions: 0 });
    const next = follower.connect();
    next.continue(peer.id);
    await world.settle();
    expect(next.types).toEqual(['SessionContinued']);
  });

  test('a leader that has not heard of its end commits nothing: each transaction compares the election', async () => {
    const world = new World();
    const store = new DeafStore({ sharedWith: world.store });
    const onRequest = (): RequestOutcome => ({ result: noBytes, writes: new Map([['k', noBytes]]) });
    const leader = await world.gateway('a', { cluster: 'leader', store, onRequest });
    const follower = await world.gateway('b', { cluster: 'leader' });
    const peer = await leader.session();
    store.isDeaf = true;
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: 'e/leader' }] });
    await world.pass(500);
    expect([leader, follower].map(({ server }) => server.stats.serving)).toEqual([true, true]);
    peer.request(1);
    leader.connect().create(5n);
    await world.pass(500);
    expect(await world.keys('a/')).toEqual([]);
    expect(await world.keys('o/')).toEqual([`o/${peer.id}`]);
    expect(peer.types).not.toContain('ClientResponse');
  });

  test('what a deposed leader still has under way is not committed', async () => {
    const world = new World();
    const begun: (() => void)[] = [];
    const leader = await world.gateway('a', {
      cluster: 'leader',
      onRequest: () =>
        new Promise((resolve) => {
          begun.push(() => resolve({ result: noBytes, writes: new Map([['k', noBytes]]) }));
        }),
    });
    const peer = await leader.session();
    peer.request(1);
    await world.settle();
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: 'e/leader' }] });
    for (const finish of begun) finish();
    await world.pass(5000);
    expect(begun).toHaveLength(1);
    expect(await world.keys('a/')).toEqual([]);
    expect(await world.keys('r/')).toEqual([]);
    expect(peer.types).not.toContain('ClientResponse');
  });
});
