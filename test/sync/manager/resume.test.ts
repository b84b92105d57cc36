import { describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import { settled } from '../../interaction/virtual-time.js';
import { itemOf, json } from './fake-agent.js';
import { holdCommits, idsTo, ManagerWorld } from './manager-world.js';

const ours = { nonce: 11n, generation: 5n, size: 3n } as const;

describe('an agent that comes back with its Start', () => {
  test('case 87: after an End of which all Data were lost, is not answered before it has said End again', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin(ours);
    agent.end(session);
    agent.reconnect();
    expect(agent.start(ours)).toMatchObject({ status: 'Ok', session, resumed: false });
    agent.received.length = 0;
    agent.values(session, 0, 1);
    await world.pass(10_000);
    agent.values(session, 2, 2);
    await world.pass(60_000);
    expect(agent.received).toEqual([]);
    expect(world.documents()).toEqual([]);
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
    expect(world.ids()).toEqual(idsTo(2));
  });

  test('case 87: after an End with gaps, is asked for these at its next End, and not before', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin(ours);
    agent.values(session, 0, 0);
    agent.end(session);
    // The request is about to leave.
    await world.pass(50);
    agent.reconnect();
    agent.received.length = 0;
    expect(agent.start(ours)).toMatchObject({ status: 'Ok', session, resumed: true });
    await world.pass(10_000);
    agent.values(session, 1, 2);
    await world.pass(10_000);
    expect(agent.received).toHaveLength(1);
    expect(world.documents()).toEqual([]);
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
  });

  test('case 87: while its request waits for the disk, is not asked before its next End', async () => {
    const store = new MemoryStore();
    const world = new ManagerWorld({ store, reqRetDelayMs: 0 });
    const releases: (() => void)[] = [];
    store.staged = () => new Promise((resolve) => releases.push(resolve));
    const agent = world.agent();
    const session = agent.begin(ours);
    agent.values(session, 0, 0);
    agent.end(session);
    await world.pass(10);
    expect(releases).toHaveLength(1);
    agent.start(ours);
    agent.received.length = 0;
    for (const release of releases) release();
    await settled();
    expect(agent.received).toEqual([]);
  });

  test('while its session is applied, hears Ok when it has said End again', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const { store } = world;
    const release = holdCommits(store);
    const session = agent.begin(ours);
    agent.values(session, 0, 2);
    agent.end(session);
    await settled();
    agent.reconnect();
    agent.received.length = 0;
    expect(agent.start(ours)).toMatchObject({ status: 'Ok', session, resumed: true });
    release();
    await world.pass(10_000);
    expect(agent.endAcks).toEqual([]);
    agent.end(session);
    expect(agent.endAcks).toEqual(['Ok']);
  });

  for (const [what, given, reason] of [
    ['another mode', { mode: 'FULL' }, 'StaleGeneration'],
    ['another size', { size: 4n }, 'StaleGeneration'],
    ['a lower generation', { generation: 4n }, 'StaleGeneration'],
    ['a higher generation', { generation: 6n }, 'InvalidMessage'],
    ['no generation', { generation: 0n }, 'InvalidMessage'],
  ] as const) {
    test(`and ${what} is not told that this was applied`, async () => {
      const world = new ManagerWorld();
      const agent = world.agent();
      const session = agent.begin(ours);
      agent.values(session, 0, 2);
      agent.end(session);
      await settled();
      expect(agent.lastEndAck?.status).toBe('Ok');
      const answer = agent.start({ ...ours, ...given });
      expect(answer).toMatchObject({ status: 'Error', reason });
      expect(answer.generation).toBe(reason === 'StaleGeneration' ? 5n : 0n);
      // The same one is.
      expect(agent.start(ours)).toMatchObject({ status: 'Ok', resumed: true });
    });

    test(`and ${what} does not get a session that there is`, () => {
      const world = new ManagerWorld();
      const agent = world.agent();
      const session = agent.begin(ours);
      expect(agent.start({ ...ours, ...given })).toMatchObject({ status: 'Error', reason: 'InvalidMessage' });
      expect(agent.start(ours)).toMatchObject({ status: 'Ok', session });
    });
  }
});

describe('what is staged', () => {
  test('is counted once, also of a session that ends before a new manager has read it', async () => {
    const store = new MemoryStore();
    const of = { module: 'fim', mode: 'DELTA', indices: ['files'], generation: 1n } as const;
    const big = store.begin({ ...of, agent: 'b', size: 5000, session: 1n, nonce: 11n });
    const data = json({ pad: 'x'.repeat(1000) });
    for (let seq = 0; seq < 2000; ++seq) store.stage(big, encodeMessage(itemOf(1n, seq, { data })));
    const small = store.begin({ ...of, agent: 'a', size: 10, session: 2n, nonce: 22n });
    store.stage(small, encodeMessage(itemOf(2n, 0)));
    const world = new ManagerWorld({ store });
    const agent = world.agent('a');
    agent.values(2n, 1, 8);
    expect(world.manager.stats.bytes).toBeGreaterThan(0);
    // Its agent goes on before its turn to be read has come.
    const next = agent.begin({ nonce: 33n, generation: 2n });
    for (let turns = 0; turns < 20; ++turns) await settled();
    const staged = (): number => {
      let bytes = 0;
      for (const session of store.sessions()) {
        for (let n = 0; n < store.stagedCount(session); ++n) {
          bytes += store.stagedMessage(session, n)?.length ?? 0;
        }
      }
      return bytes;
    };
    expect(store.sessions()).toHaveLength(2);
    expect(world.manager.stats.bytes).toBe(staged());
    agent.values(next, 0, 0);
    agent.end(next);
    await settled();
    expect(world.manager.stats.bytes).toBe(staged());
    expect(world.manager.stats).toMatchObject({ sessions: 1, items: 5000 });
  });
});
