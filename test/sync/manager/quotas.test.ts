import { describe, expect, test } from 'vitest';
import { checkManagerOptions, type SyncManagerOptions } from '../../../src/sync/manager/options.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import { noSession } from '../../../src/sync/wire/messages.js';
import { settled } from '../../interaction/virtual-time.js';
import { json, startOf } from './fake-agent.js';
import { ManagerWorld } from './manager-world.js';

const nothing = { sessions: 0, items: 0, bytes: 0 };
const large = json({ pad: 'x'.repeat(900) });

describe('quotas', () => {
  test('case 94: a session that exceeds the items in flight is put off, with when to come again', async () => {
    const world = new ManagerWorld({ maxItems: 100, maxItemsPerAgent: 60, holdMs: 0 });
    const first = world.agent('a');
    const session = first.begin({ size: 60n });
    const second = world.agent('b');
    second.send(startOf({ size: 41n }));
    await world.pass(1);
    expect(second.ofType('StartAck')).toMatchObject([
      { status: 'Offline', reason: 'TooManyItems', session: noSession },
    ]);
    expect(second.ofType('StartAck')[0]?.retryAfterMs).toBeGreaterThanOrEqual(1000);
    expect(world.agent('c').start({ size: 40n }).status).toBe('Ok');
    first.values(session, 0, 59);
    first.end(session);
    await world.applied();
    expect(second.start({ size: 41n }).status).toBe('Ok');
  });

  test('a session that can never fit is refused for good', () => {
    const world = new ManagerWorld({ maxItems: 100, maxItemsPerAgent: 50 });
    for (const size of [51n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
      const answer = world.agent().start({ size });
      expect(answer).toMatchObject({ status: 'Error', reason: 'TooManyItems', session: noSession });
    }
    expect(world.manager.stats).toMatchObject(nothing);
    expect(world.agent().start({ size: 50n }).status).toBe('Ok');
  });

  test('a Start that is held is answered as soon as there is room', async () => {
    const world = new ManagerWorld({ maxSessions: 1 });
    const [first, second] = [world.agent('a'), world.agent('b')];
    const session = first.begin();
    second.send(startOf({ size: 2n, nonce: 9n, generation: 1n }));
    await world.pass(3000);
    expect(second.received).toEqual([]);
    expect(world.manager.stats).toMatchObject({ waiting: 1, held: 1 });
    first.values(session, 0, 0);
    first.end(session);
    await settled();
    expect(second.received).toMatchObject([{ type: 'StartAck', status: 'Ok', nonce: 9n }]);
    expect(world.manager.stats).toMatchObject({ waiting: 0, held: 0, sessions: 1 });
  });

  test('a Start that is held too long is told when to come again', async () => {
    const world = new ManagerWorld({ maxSessions: 1, holdMs: 2000 });
    world.agent('a').begin();
    const second = world.agent('b');
    second.send(startOf({ nonce: 9n, generation: 1n }));
    await world.pass(2000);
    expect(second.received).toMatchObject([
      { status: 'Offline', reason: 'Busy', nonce: 9n, session: noSession },
    ]);
  });

  test('a Start that is held is not answered on a connection that is gone', async () => {
    const world = new ManagerWorld({ maxSessions: 1 });
    const [first, second] = [world.agent('a'), world.agent('b')];
    const session = first.begin();
    second.send(startOf({ nonce: 9n, generation: 1n }));
    second.cut();
    first.values(session, 0, 0);
    first.end(session);
    await settled();
    expect(world.manager.stats).toMatchObject({ sessions: 0, held: 0 });
    second.reconnect();
    expect(second.start({ nonce: 9n, generation: 1n }).status).toBe('Ok');
    expect(world.manager.stats.waiting).toBe(0);
  });

  test('a Start that is held is judged anew when there is room', async () => {
    const world = new ManagerWorld({ maxSessions: 2 });
    const agent = world.agent('a');
    const group = agent.begin({ mode: 'GROUP_DELTA', size: 0n, module: 'agent' });
    const other = world.agent('b');
    const session = other.begin();
    agent.send(startOf({ nonce: 9n, generation: 1n }));
    let release = (): void => undefined;
    const { store } = world;
    const setAgent = store.setAgent.bind(store);
    store.setAgent = async (...given) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      await setAgent(...given);
    };
    agent.end(group);
    other.values(session, 0, 0);
    other.end(session);
    await settled();
    expect(agent.ofType('StartAck').at(-1)).toMatchObject({
      status: 'Offline',
      reason: 'AgentLocked',
      nonce: 9n,
    });
    release();
    await settled();
    expect(world.manager.stats).toMatchObject(nothing);
  });

  test('a session with more bytes than its agent may have is ended for good, and what it took given back', async () => {
    const world = new ManagerWorld({ maxBytesPerAgent: 5000 });
    const agent = world.agent();
    const session = agent.begin({ size: 10n });
    agent.values(session, 0, 9, { data: large });
    expect(agent.endAcks).toContain('Error TooManyBytes');
    await settled();
    expect(world.manager.stats).toMatchObject(nothing);
    expect(world.store.sessions()).toEqual([]);
    agent.end(session);
    expect(agent.lastEndAck).toMatchObject({ status: 'Error', reason: 'TooManyBytes' });
    expect(world.counts.itemsWithoutRoom).toBe(1);
  });

  test('what has come before needs no room', async () => {
    const world = new ManagerWorld({ maxBytesPerAgent: 2300 });
    const agent = world.agent();
    const session = agent.begin({ size: 2n });
    agent.values(session, 0, 1, { data: large });
    agent.values(session, 0, 1, { data: large });
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
  });

  test('when several agents have taken all bytes alike, the newest gives way, and the others come to their end', async () => {
    const world = new ManagerWorld({ maxBytes: 10_000, maxBytesPerAgent: 9000 });
    const agents = ['a', 'b', 'c'].map((name) => world.agent(name));
    const sessions = agents.map((agent, n) =>
      agent.begin({ size: 6n, nonce: BigInt(n + 1), generation: 1n }),
    );
    for (let seq = 0; seq < 6; ++seq) {
      for (const [n, agent] of agents.entries()) {
        agent.values(sessions[n] ?? 0n, seq, seq, { data: large });
      }
    }
    const [a, b, c] = agents;
    expect(c?.endAcks[0]).toBe('Offline TooManyBytes');
    expect(c?.ofType('EndAck')[0]?.retryAfterMs).toBeGreaterThan(0);
    expect(b?.endAcks[0]).toBe('Offline TooManyBytes');
    a?.end(sessions[0] ?? 0n);
    await settled();
    expect(a?.lastEndAck?.status).toBe('Ok');
    // Who has given way, and says End before it has heard so, is told again, and begins it anew.
    c?.end(sessions[2] ?? 0n);
    expect(c?.lastEndAck).toMatchObject({ status: 'Offline', reason: 'TooManyBytes' });
    const again = c?.start({ size: 6n, nonce: 3n, generation: 1n });
    expect(again).toMatchObject({ status: 'Ok', resumed: false });
    c?.values(again?.session ?? 0n, 0, 5, { data: large });
    c?.end(again?.session ?? 0n);
    await settled();
    expect(c?.lastEndAck?.status).toBe('Ok');
    expect(world.manager.stats).toMatchObject(nothing);
  });

  test('one that has nothing staged does not push out those that began before it', async () => {
    const world = new ManagerWorld({ maxSessions: 3, maxBytes: 4000, maxBytesPerAgent: 4000 });
    const [a, b] = [world.agent('a'), world.agent('b')];
    const first = a.begin({ size: 3n });
    a.values(first, 0, 2, { data: large });
    const second = b.begin({ size: 2n });
    b.values(second, 0, 1, { data: large });
    expect(b.endAcks[0]).toBe('Offline TooManyBytes');
    a.end(first);
    await settled();
    expect(a.lastEndAck?.status).toBe('Ok');
  });
});

describe('what one agent may take', () => {
  test('is a part of the whole by default, whatever is chosen of the two', () => {
    const limitsOf = (options: Partial<SyncManagerOptions>): number[] => {
      const { maxItems, maxItemsPerAgent, maxBytes, maxBytesPerAgent } = checkManagerOptions({
        store: new MemoryStore(),
        ...options,
      });
      return [maxItems, maxItemsPerAgent, maxBytes, maxBytesPerAgent];
    };
    const gib = 2 ** 30;
    expect(limitsOf({})).toEqual([32_000_000, 2_000_000, 4 * gib, gib]);
    expect(limitsOf({ maxItems: 1001, maxBytes: 4096 })).toEqual([1001, 251, 4096, 1024]);
    expect(limitsOf({ maxItems: 1, maxBytes: 1 })).toEqual([1, 1, 1, 1]);
    expect(limitsOf({ maxItemsPerAgent: 10, maxBytesPerAgent: 10 })).toEqual([32_000_000, 10, 4 * gib, 10]);
    expect(limitsOf({ maxItemsPerAgent: 3_000_000, maxBytesPerAgent: 2 * gib })).toEqual([
      48_000_000,
      3_000_000,
      8 * gib,
      2 * gib,
    ]);
    expect(limitsOf({ maxItemsPerAgent: 2 ** 32 }).slice(0, 2)).toEqual([2 ** 32, 2 ** 32]);
    expect(limitsOf({ maxItems: 9, maxItemsPerAgent: 9 }).slice(0, 2)).toEqual([9, 9]);
  });

  test('leaves room for others, however much it announces', () => {
    const world = new ManagerWorld();
    const greedy = world.agent('greedy');
    greedy.begin({ size: 2_000_000n });
    expect(greedy.start({ size: 1n, module: 'more' })).toMatchObject({
      status: 'Offline',
      reason: 'TooManyItems',
    });
    expect(world.agent('b').start({ size: 2_000_000n }).status).toBe('Ok');
  });
});

describe('when others wait because all is taken', () => {
  /** A full manager, and an agent that asks every five seconds. @returns when it was let in; undefined after two minutes. */
  const waitedMs = async (world: ManagerWorld, each: () => void): Promise<number | undefined> => {
    const other = world.agent('other');
    for (; world.time.nowMs < 120_000; await world.pass(5000)) {
      each();
      other.send(startOf({ size: 100n }));
      await world.pass(1);
      if (other.ofType('StartAck').at(-1)?.status === 'Ok') return world.time.nowMs;
    }
    return undefined;
  };
  const full = { maxItems: 100_000, maxItemsPerAgent: 100_000, holdMs: 0 };

  test('a session of which nothing comes gives way after half a minute', async () => {
    const world = new ManagerWorld(full);
    const agent = world.agent('idle');
    const session = agent.begin({ size: 100_000n });
    const ms = await waitedMs(world, () => undefined);
    expect(ms).toBeGreaterThanOrEqual(30_000);
    expect(ms).toBeLessThanOrEqual(45_000);
    expect(agent.ofType('EndAck')).toMatchObject([{ status: 'Offline', reason: 'Busy', session }]);
    expect(agent.ofType('EndAck')[0]?.retryAfterMs).toBeGreaterThanOrEqual(5000);
    expect(world.counts.gaveWay).toBe(1);
    expect(world.logs).toContain('warning GaveWay');
    expect(world.store.sessions()).toHaveLength(1);
  });

  test('so does one of which hardly anything comes, but none that gets on', async () => {
    for (const [items, givesWay] of [
      [1, true],
      [40, false],
    ] as const) {
      const world = new ManagerWorld(full);
      const agent = world.agent('slow');
      const session = agent.begin({ size: 100_000n });
      let seq = 0;
      const ms = await waitedMs(world, () => {
        agent.batch(
          session,
          Array.from({ length: items }, () => seq++),
        );
      });
      if (givesWay) expect(ms).toBeLessThanOrEqual(45_000);
      else expect(ms).toBeUndefined();
      expect(world.counts.gaveWay).toBe(givesWay ? 1 : 0);
    }
  });

  test('the one that has been so for the longest is the first, and no more than are needed', async () => {
    const world = new ManagerWorld({ ...full, maxItemsPerAgent: 50_000 });
    const [newer, older] = [world.agent('newer'), world.agent('older')];
    const session = newer.begin({ size: 50_000n });
    older.begin({ size: 50_000n });
    await world.pass(1000);
    newer.batch(
      session,
      Array.from({ length: 100 }, (_, seq) => seq),
    );
    expect(await waitedMs(world, () => undefined)).toBeDefined();
    await world.pass(60_000);
    expect(older.endAcks).toEqual(['Offline Busy']);
    expect(newer.endAcks).toEqual([]);
  });

  test('one that is complete does not, however long it takes to apply it', async () => {
    const store = new MemoryStore();
    store.commit = () => new Promise(() => undefined);
    const world = new ManagerWorld({ ...full, store });
    const agent = world.agent('busy');
    const session = agent.begin({ size: 1000n, module: 'x' });
    agent.begin({ size: 99_000n });
    for (let seq = 0; seq < 1000; seq += 200) {
      agent.batch(
        session,
        Array.from({ length: 200 }, (_, n) => seq + n),
      );
    }
    agent.end(session);
    expect(await waitedMs(world, () => undefined)).toBeDefined();
    await world.pass(60_000);
    expect(world.manager.stats.committing).toBe(1);
    expect(world.counts.gaveWay).toBe(1);
    expect(agent.ofType('EndAck').filter((each) => each.session === session)).not.toContainEqual(
      expect.objectContaining({ status: 'Offline' }),
    );
  });

  test('nobody gives way while nobody waits', async () => {
    const world = new ManagerWorld(full);
    const agent = world.agent('idle');
    agent.begin({ size: 100_000n });
    await world.pass(600_000);
    expect(agent.endAcks).toEqual([]);
    expect(world.manager.stats.sessions).toBe(1);
  });

  test('of the bytes, the agent that has the most gives way, not the one that came last', async () => {
    const world = new ManagerWorld({ maxBytes: 40_000, maxBytesPerAgent: 10_000 });
    const greedy = ['a', 'b', 'c', 'd'].map((name) => world.agent(name));
    for (const agent of greedy) agent.values(agent.begin({ size: 1000n }), 0, 8, { data: large });
    const honest = world.agent('honest');
    const session = honest.begin({ size: 6n });
    honest.values(session, 0, 5, { data: large });
    honest.end(session);
    await settled();
    expect(honest.endAcks).toEqual(['Processing', 'Ok']);
    expect(greedy.map(({ endAcks }) => endAcks)).toEqual([[], [], [], ['Offline TooManyBytes']]);
  });

  test('of the bytes, a session of which nothing has come for half a minute gives way first', async () => {
    const world = new ManagerWorld({ maxBytes: 8000, maxBytesPerAgent: 8000 });
    const [idle, busy] = [world.agent('idle'), world.agent('busy')];
    idle.values(idle.begin({ size: 9n }), 0, 1, { data: large });
    const session = busy.begin({ size: 7n });
    await world.pass(29_000);
    busy.values(session, 0, 4, { data: large });
    await world.pass(2000);
    busy.values(session, 5, 6, { data: large });
    busy.end(session);
    await settled();
    expect(idle.endAcks).toEqual(['Offline TooManyBytes']);
    expect(busy.endAcks).toEqual(['Processing', 'Ok']);
  });
});
