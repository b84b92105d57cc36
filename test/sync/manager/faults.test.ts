import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import type { SyncManagerOptions } from '../../../src/sync/manager/options.js';
import type { EndAck, ReqRet } from '../../../src/sync/wire/messages.js';
import { settled } from '../../interaction/virtual-time.js';
import { FailingStore, failingCalls } from './failing-store.js';
import { type FakeAgent, json } from './fake-agent.js';
import { idsTo, ManagerWorld } from './manager-world.js';

const ours = { nonce: 11n, generation: 5n } as const;

function failingWorld(options: Partial<SyncManagerOptions> = {}): {
  world: ManagerWorld;
  store: FailingStore;
  agent: FakeAgent;
} {
  const store = new FailingStore();
  const world = new ManagerWorld({ ...options, store });
  return { world, store, agent: world.agent() };
}

describe('a store that fails', () => {
  test('when a session is to begin puts that off', async () => {
    for (const call of ['begin', 'committed'] as const) {
      const { world, store, agent } = failingWorld();
      store.fail(call);
      store.code = 'ERR_HAWSER_STORE_FULL';
      const answer = agent.start();
      expect(answer).toMatchObject({ status: 'Offline', reason: 'StoreFull' });
      expect(answer.retryAfterMs).toBeGreaterThanOrEqual(1000);
      expect(world.manager.stats).toMatchObject({ sessions: 0, items: 0 });
      expect(world.logs).toContain('error Store');
      expect(agent.start().status).toBe('Ok');
    }
  });

  test('to stage is found out before anything is acknowledged, and what was lost is asked for', async () => {
    for (const call of ['stage', 'stageLater'] as const) {
      const { world, store, agent } = failingWorld();
      const session = agent.begin({ ...ours, size: 5n });
      agent.values(session, 0, 1);
      store.fail(call);
      agent.values(session, 2, 4);
      store.failures.clear();
      agent.end(session);
      await settled();
      await settled();
      if (call === 'stageLater') {
        expect(agent.endAcks, call).toContain('Offline StoreFailed');
        expect(agent.endAcks).not.toContain('Ok');
        await world.pass(2000);
        agent.end(session);
        await settled();
      }
      const ranges = agent.ofType('ReqRet')[0]?.ranges;
      expect(ranges, call).toEqual([{ begin: 2n, end: call === 'stage' ? 2n : 4n }]);
      agent.values(session, 2, 4);
      await settled();
      expect(agent.lastEndAck?.status).toBe('Ok');
      expect(world.ids()).toEqual(idsTo(4));
    }
  });

  test('to stage is told instead of asking for what it could not keep either', async () => {
    const { store, agent } = failingWorld();
    store.code = 'ERR_HAWSER_STORE_FULL';
    const session = agent.begin({ ...ours, size: 5n });
    store.fail('stageLater', 100);
    for (let round = 0; round < 20; ++round) {
      agent.values(session, 0, 1);
      agent.end(session);
      await settled();
    }
    expect(agent.ofType('ReqRet')).toEqual([]);
    expect(new Set(agent.endAcks)).toEqual(new Set(['Offline StoreFull']));
    store.failures.clear();
    agent.values(session, 0, 4);
    agent.end(session);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
  });

  test('to apply is asked again after a while, and the agent told so', async () => {
    for (const call of ['commit', 'commitMidway'] as const) {
      const { world, store, agent } = failingWorld();
      store.fail(call, 3);
      store.code = 'ERR_HAWSER_DISK_FULL';
      const session = agent.begin({ ...ours, size: 2n });
      agent.values(session, 0, 1);
      agent.end(session);
      await settled();
      expect(agent.endAcks, call).toEqual(['Processing', 'Offline StoreFull']);
      expect(agent.lastEndAck?.retryAfterMs).toBe(2000);
      expect(store.committed('agent', 'fim')).toBeUndefined();
      // The second time after two seconds, the third four seconds later, the last eight seconds after that.
      await world.pass(13_999);
      expect(agent.lastEndAck?.status).not.toBe('Ok');
      await world.pass(1);
      expect(agent.lastEndAck?.status).toBe('Ok');
      expect(world.ids()).toEqual(idsTo(1));
      expect(world.counts.storeFailures).toBe(3);
    }
  });

  test('to apply is asked again by End, but not by each of many', async () => {
    const { world, store, agent } = failingWorld();
    store.fail('commit', 1000);
    const session = agent.begin({ ...ours });
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    for (let n = 0; n < 100; ++n) agent.end(session);
    await settled();
    expect(store.failed).toBe(1);
    expect(agent.lastEndAck).toMatchObject({ status: 'Offline', reason: 'StoreFailed' });
    store.failures.clear();
    await world.pass(600);
    agent.end(session);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
  });

  test('to apply keeps newer generations waiting, which are applied after it', async () => {
    const { world, store, agent } = failingWorld();
    store.fail('commitMidway');
    const first = agent.begin({ nonce: 1n, generation: 1n, size: 2n });
    agent.values(first, 0, 1, { id: 'same', data: json({ generation: 1 }) });
    agent.end(first);
    await settled();
    const second = agent.begin({ nonce: 2n, generation: 2n });
    agent.values(second, 0, 0, { id: 'same', data: json({ generation: 2 }) });
    agent.end(second);
    await settled();
    expect(store.applied).toEqual([]);
    await world.pass(2000);
    expect(store.applied.map(({ generation }) => generation)).toEqual([1n, 2n]);
    expect(world.documents()).toEqual(['files/same {"generation":2}']);
  });

  test('to apply for the time after which a session is forgotten ends it, and what waits behind it goes on', async () => {
    const { world, store, agent } = failingWorld({ sessionTimeoutMs: 100_000 });
    const commit = store.commit.bind(store);
    store.commit = async (session, ...given) => {
      if (session.generation === 1n)
        throw new HawserError('ERR_HAWSER_STORE_FULL', 'there is no room for it');
      await commit(session, ...given);
    };
    for (const generation of [1n, 2n]) {
      const session = agent.begin({ nonce: generation, generation, module: 'fim', size: 1n });
      agent.values(session, 0, 0, { id: `${generation}` });
      agent.end(session);
      await settled();
    }
    await world.pass(99_000);
    expect(world.manager.stats.sessions).toBe(2);
    expect(world.documents()).toEqual([]);
    // It was tried again each minute by then.
    await world.pass(61_000);
    expect(world.ids()).toEqual(['2']);
    expect(world.manager.stats).toMatchObject({ sessions: 0, items: 0, bytes: 0 });
    expect(store.sessions()).toEqual([]);
    expect(world.counts.expired).toBe(1);
    expect(world.ended).toMatchObject([
      { status: 'Offline', reason: 'StoreFull' },
      { status: 'Ok', reason: 'None' },
    ]);
  });

  test('to apply, for its agent has its share of the store, ends the session for good', async () => {
    const { world, store, agent } = failingWorld();
    store.code = 'ERR_HAWSER_STORE_QUOTA';
    store.fail('commit');
    const session = agent.begin(ours);
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Error AgentFull']);
    expect(world.manager.stats).toMatchObject({ sessions: 0, items: 0, bytes: 0 });
    expect(store.sessions()).toEqual([]);
    agent.end(session);
    expect(agent.lastEndAck).toMatchObject({ status: 'Error', reason: 'AgentFull' });
    store.fail('begin');
    expect(agent.start({ nonce: 12n, generation: 6n })).toMatchObject({
      status: 'Error',
      reason: 'AgentFull',
    });
    expect(world.manager.stats).toMatchObject({ sessions: 0, items: 0 });
    expect(agent.start({ nonce: 13n, generation: 7n }).status).toBe('Ok');
  });

  test.each(['in order', 'out of order'])(
    'to have a session whose agent was removed ends it, for its agent to begin anew (items %s)',
    async (order) => {
      const { world, store, agent } = failingWorld();
      const session = agent.begin({ ...ours, size: 4n });
      agent.values(session, 0, 1);
      await store.removeAgent('agent');
      for (const seq of order === 'in order' ? [2, 3] : [3, 2]) agent.values(session, seq, seq);
      agent.end(session);
      await settled();
      expect(agent.endAcks.at(-1)).toBe('Error UnknownSession');
      expect(world.manager.stats).toMatchObject({ sessions: 0, items: 0, bytes: 0 });
      const again = agent.begin({ ...ours, size: 4n });
      agent.values(again, 0, 3);
      agent.end(again);
      await settled();
      expect(agent.lastEndAck?.status).toBe('Ok');
      expect(world.ids()).toEqual(idsTo(3));
    },
  );

  test('does not keep a manager that is made anew from applying what was being applied', async () => {
    const { world, store, agent } = failingWorld();
    const session = agent.begin({ ...ours, size: 2n });
    agent.values(session, 0, 1);
    store.fail('commitMidway');
    agent.end(session);
    await settled();
    store.fail('staged', 100);
    await world.restart();
    expect(world.ids()).toEqual(idsTo(1));
    expect(store.sessions()).toEqual([]);
  });

  test('to keep what was staged of a session that a newer one follows ends the older', async () => {
    const { world, store, agent } = failingWorld();
    let release = (): void => undefined;
    const staged = store.staged.bind(store);
    store.staged = async (session) => {
      if (session.generation !== 1n) return staged(session);
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      throw new Error('it is lost');
    };
    const first = agent.begin({ nonce: 1n, generation: 1n });
    agent.values(first, 0, 0, { id: 'old' });
    agent.end(first);
    const second = agent.begin({ nonce: 2n, generation: 2n });
    release();
    await settled();
    agent.values(second, 0, 0);
    agent.end(second);
    await settled();
    expect(world.ids()).toEqual(['id-0']);
    expect(store.sessions()).toEqual([]);
  });

  test('to forget a session does not keep the manager from forgetting it', async () => {
    const { world, store, agent } = failingWorld();
    store.fail('drop');
    agent.begin({ nonce: 1n, generation: 1n });
    const session = agent.begin({ nonce: 2n, generation: 2n });
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
    expect(world.manager.stats.sessions).toBe(0);
    expect(store.sessions()).toMatchObject([{ generation: 1n }]);
    // The next manager finds it, and that a later one was applied.
    await world.restart();
    expect(world.manager.stats.sessions).toBe(0);
    expect(world.counts.superseded).toBe(1);
    expect(store.sessions()).toEqual([]);
  });

  test('to forget in no time is waited for by close', async () => {
    const { world, store, agent } = failingWorld();
    const drop = store.drop.bind(store);
    let release = (): void => undefined;
    store.drop = async (session) => {
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      await drop(session);
    };
    agent.begin({ nonce: 1n, generation: 1n });
    agent.begin({ nonce: 2n, generation: 2n });
    let isClosed = false;
    const closing = world.manager.close().then(() => {
      isClosed = true;
    });
    await settled();
    expect(isClosed).toBe(false);
    release();
    await closing;
    expect(store.sessions()).toMatchObject([{ generation: 2n }]);
    expect(world.counts.storeFailures).toBe(0);
  });

  test('to forget a session that is over keeps no manager from beginning', async () => {
    const { world, store, agent } = failingWorld();
    store.fail('drop', 2);
    agent.begin({ nonce: 1n, generation: 1n });
    agent.begin({ nonce: 2n, generation: 2n });
    await world.restart();
    expect(world.manager.stats.sessions).toBe(1);
    expect(world.counts).toMatchObject({ superseded: 1, storeFailures: 1 });
    await world.restart();
    expect(store.sessions()).toMatchObject([{ generation: 2n }]);
  });

  test('when a CHECK or what an agent says of itself needs it, that is put off', async () => {
    for (const call of ['checksum', 'agent', 'setAgent'] as const) {
      const { store, agent } = failingWorld();
      store.fail(call);
      const mode = call === 'checksum' ? 'CHECK' : 'METADATA_DELTA';
      const session = agent.begin({ mode, size: 0n });
      agent.send({ type: 'ChecksumModule', session, index: 'files', checksum: '0'.repeat(40) });
      agent.end(session);
      await settled();
      expect(agent.lastEndAck, call).toMatchObject({ status: 'Offline', reason: 'StoreFailed' });
      expect(agent.start({ module: 'other' }).status).toBe('Ok');
      // The agent that asks again is to begin anew.
      agent.end(session);
      expect(agent.lastEndAck).toMatchObject({ status: 'Offline', reason: 'StoreFailed' });
      expect(agent.lastEndAck?.retryAfterMs).toBe(5000);
    }
  });
});

/** Does what the manager asks for until it says Ok, as an agent does that has nothing else in mind. */
async function push(
  world: ManagerWorld,
  agent: FakeAgent,
  generation: bigint,
  size: number,
): Promise<number> {
  const start = { nonce: generation, generation, size: BigInt(size) };
  const value = (session: bigint, seq: number): void => {
    agent.values(session, seq, seq, { id: `${seq}`, data: json({ generation: Number(generation), seq }) });
  };
  for (let attempt = 1; attempt < 60; ++attempt) {
    agent.reconnect(world.manager);
    const { status, session, resumed, retryAfterMs } = agent.start(start);
    if (status !== 'Ok') {
      expect(status).toBe('Offline');
      await world.pass(retryAfterMs);
      continue;
    }
    if (!resumed) for (let seq = 0; seq < size; ++seq) value(session, seq);
    for (let round = 0; round < 30; ++round) {
      const before = agent.received.length;
      agent.end(session);
      await world.pass(3000);
      const answers = agent.received.slice(before);
      const isOf = (each: unknown): each is EndAck | ReqRet => each instanceof Object && 'session' in each;
      const mine = answers.filter(isOf).filter((each) => each.session === session);
      if (mine.some((each) => each.type === 'EndAck' && each.status === 'Ok')) return attempt;
      if (mine.some((each) => each.type === 'EndAck' && each.status === 'Error')) break;
      for (const each of mine) {
        if (each.type !== 'ReqRet') continue;
        for (const { begin, end } of each.ranges) {
          for (let seq = Number(begin); seq <= Number(end); ++seq) value(session, seq);
        }
      }
    }
  }
  throw new Error('it never came to an end');
}

describe('a store that fails at any call', () => {
  test('loses nothing: what was answered with Ok is there, in the order of generations', async () => {
    for (let seed = 1; seed <= 25; ++seed) {
      const random = seededRandom(seed);
      const { world, store, agent } = failingWorld();
      for (let generation = 1; generation <= 6; ++generation) {
        for (const call of failingCalls) if (random() < 0.3) store.fail(call, 1 + Math.floor(random() * 3));
        const size = 1 + Math.floor(random() * 20);
        await push(world, agent, BigInt(generation), size);
        // What reads is to see what is there.
        store.failures.clear();
        expect(store.committed('agent', 'fim')?.generation, `seed ${seed}`).toBe(BigInt(generation));
        for (let seq = 0; seq < size; ++seq) {
          const { data } = store.document('agent', 'files', `${seq}`) ?? {};
          expect(data && JSON.parse(Buffer.from(data).toString()), `seed ${seed}`).toEqual({
            generation,
            seq,
          });
        }
        if (random() < 0.3) await world.restart();
      }
      const order = store.applied.map(({ generation }) => generation);
      expect(order, `seed ${seed}`).toEqual(order.toSorted((a, b) => Number(a - b)));
      expect(world.manager.stats, `seed ${seed}`).toMatchObject({ sessions: 0, items: 0, bytes: 0 });
    }
  });
});
