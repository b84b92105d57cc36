import { describe, expect, test } from 'vitest';
import { SyncManager } from '../../../src/sync/manager/manager.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import { noSession } from '../../../src/sync/wire/messages.js';
import { settled } from '../../interaction/virtual-time.js';
import { itemOf, json } from './fake-agent.js';
import { holdCommits, idsTo, ManagerWorld } from './manager-world.js';

const nothing = { sessions: 0, items: 0, bytes: 0 };
const ours = { nonce: 11n, generation: 5n } as const;

describe('a Start that comes again', () => {
  test('is answered with the same session while nothing has come of it', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const first = agent.start({ ...ours, size: 2n });
    const second = agent.start({ ...ours, size: 2n });
    expect(second).toEqual(first);
    expect(first.resumed).toBe(false);
    agent.values(first.session, 0, 1);
    agent.end(first.session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
    expect(world.counts).toMatchObject({ started: 1, resumed: 0, superseded: 0 });
  });

  test('after some Data is told that these are there, and End what is missing, at once', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours, size: 4n });
    agent.values(session, 1, 2);
    agent.reconnect();
    const again = agent.start({ ...ours, size: 4n });
    expect(again).toMatchObject({ status: 'Ok', session, resumed: true, nonce: 11n });
    agent.end(session);
    await settled();
    expect(world.time.nowMs).toBe(0);
    expect(agent.ofType('ReqRet')[0]?.ranges).toEqual([
      { begin: 0n, end: 0n },
      { begin: 3n, end: 3n },
    ]);
    agent.values(session, 0, 0);
    agent.values(session, 3, 3);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
    expect(world.started.map(({ resumed }) => resumed)).toEqual([false, true]);
  });

  test('while the session is applied is told so, and End is answered with Processing', async () => {
    const world = new ManagerWorld();
    const release = holdCommits(world.store);
    const agent = world.agent();
    const session = agent.begin({ ...ours });
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    agent.reconnect();
    expect(agent.start({ ...ours })).toMatchObject({ session, resumed: true });
    agent.values(session, 0, 0);
    agent.end(session);
    release();
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Processing', 'Ok']);
    expect(world.counts.itemsApplied).toBe(1);
  });

  test('after the session was applied is answered with one whose End is answered with Ok, and nothing is applied again', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours, size: 2n });
    agent.values(session, 0, 0);
    agent.values(session, 1, 1, { id: '' });
    agent.end(session);
    await settled();
    for (const how of ['reconnect', 'restart'] as const) {
      if (how === 'restart') await world.restart();
      agent.reconnect(world.manager);
      const again = agent.start({ ...ours, size: 2n });
      expect(again).toMatchObject({ status: 'Ok', resumed: true });
      agent.values(again.session, 0, 1, { data: json({ changed: true }) });
      agent.end(again.session);
      await settled();
      expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 1n, session: again.session });
    }
    expect(world.documents()).toEqual(['files/id-0 {"seq":0}']);
    expect(world.store.sessions()).toEqual([]);
  });

  test('with another size is refused, and the session unharmed', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours, size: 2n });
    expect(agent.start({ ...ours, size: 3n })).toMatchObject({ status: 'Error', reason: 'InvalidMessage' });
    expect(agent.start({ ...ours, size: 2n, mode: 'FULL' })).toMatchObject({ status: 'Error' });
    agent.values(session, 0, 1);
    agent.end(session);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
  });

  test('with a nonce that another agent, or another module, uses is a session of its own', () => {
    const world = new ManagerWorld();
    const sessions = [
      world.agent('a').begin({ ...ours }),
      world.agent('b').begin({ ...ours }),
      world.agent('a').begin({ ...ours, module: 'sca' }),
    ];
    expect(new Set(sessions).size).toBe(3);
  });

  test('of a session without Data is answered with the same session', () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const first = agent.start({ mode: 'CHECK', size: 0n, nonce: 3n });
    expect(agent.start({ mode: 'CHECK', size: 0n, nonce: 3n })).toEqual(first);
    const refused = { status: 'Error', reason: 'InvalidMessage' };
    expect(agent.start({ mode: 'GROUP_DELTA', size: 0n, nonce: 3n })).toMatchObject(refused);
    expect(agent.start({ mode: 'DELTA', nonce: 3n })).toMatchObject(refused);
    expect(world.manager.stats.sessions).toBe(1);
  });
});

describe('generations', () => {
  test('that are not newer than what was applied are refused, and the newest is named', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours });
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    for (const generation of [1n, 4n, 5n]) {
      expect(agent.start({ nonce: 12n, generation })).toMatchObject({
        status: 'Error',
        reason: 'StaleGeneration',
        generation: 5n,
        session: noSession,
        nonce: 12n,
      });
    }
    await world.restart();
    agent.reconnect(world.manager);
    expect(agent.start({ nonce: 12n, generation: 5n }).reason).toBe('StaleGeneration');
    expect(agent.start({ nonce: 12n, generation: 6n }).status).toBe('Ok');
    expect(agent.start({ nonce: 12n, generation: 1n, module: 'other' }).status).toBe('Ok');
  });

  test('that are older than a session that there is are refused, and that goes on', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours });
    expect(agent.start({ nonce: 12n, generation: 4n })).toMatchObject({
      reason: 'StaleGeneration',
      generation: 5n,
    });
    expect(agent.start({ nonce: 12n, generation: 5n })).toMatchObject({
      reason: 'StaleGeneration',
      generation: 5n,
    });
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
  });

  test('that are newer end a session that is receiving, with what was staged of it', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const old = agent.begin({ ...ours, size: 2n });
    agent.values(old, 0, 0, { id: 'old' });
    const session = agent.begin({ nonce: 12n, generation: 6n });
    agent.values(old, 1, 1, { id: 'old' });
    agent.end(old);
    agent.values(session, 0, 0);
    agent.end(session);
    await settled();
    expect(agent.ofType('EndAck').filter((each) => each.session === old)).toMatchObject([
      { status: 'Error', reason: 'UnknownSession' },
      { status: 'Error', reason: 'UnknownSession' },
    ]);
    expect(world.ids()).toEqual(['id-0']);
    expect(world.store.sessions()).toEqual([]);
    expect(world.manager.stats).toMatchObject(nothing);
    expect(world.logs).toContain('info Superseded');
  });

  test('do not keep a session from being applied that has none, or that was applied without the manager’s knowing', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    for (const given of [ours, {}]) {
      const session = agent.begin(given);
      agent.values(session, 0, 0);
      world.store.committed = () => ({ ...ours, mode: 'DELTA', size: 1, rejected: 0 });
      agent.end(session);
      await settled();
      expect(agent.endAcks).toEqual(['Processing', 'Ok']);
      agent.received.length = 0;
    }
  });

  test('are applied in their order: a newer one waits for one that is being applied', async () => {
    const world = new ManagerWorld();
    const commit = world.store.commit.bind(world.store);
    const releases: (() => void)[] = [];
    const begun: bigint[] = [];
    world.store.commit = async (stored, ...rest) => {
      begun.push(stored.generation);
      await new Promise<void>((resolve) => releases.push(resolve));
      await commit(stored, ...rest);
    };
    const agent = world.agent();
    const sync = (generation: bigint): void => {
      const session = agent.begin({ nonce: generation, generation });
      agent.values(session, 0, 0, { id: 'same', data: json({ generation: Number(generation) }) });
      agent.end(session);
    };
    sync(1n);
    await settled();
    sync(2n);
    sync(3n);
    await world.pass(6000);
    expect(begun).toEqual([1n]);
    releases[0]?.();
    await settled();
    expect(begun).toEqual([1n, 2n]);
    releases[1]?.();
    await settled();
    releases[2]?.();
    await settled();
    expect(begun).toEqual([1n, 2n, 3n]);
    expect(world.documents()).toEqual(['files/same {"generation":3}']);
    expect(world.store.committed('agent', 'fim')?.generation).toBe(3n);
  });
});

describe('End that overtakes Data', () => {
  test('is answered once nothing new has come for a while', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 4n });
    agent.end(session);
    await world.pass(99);
    expect(agent.ofType('ReqRet')).toEqual([]);
    agent.sendUnreliable({ type: 'DataBatch', values: [] });
    for (const seq of [2, 0]) {
      agent.sendUnreliable({
        type: 'DataValue',
        session,
        seq: BigInt(seq),
        operation: 'Upsert',
        id: `id-${seq}`,
        index: 'files',
        version: 0n,
        data: json({}),
      });
      await world.pass(99);
    }
    expect(agent.ofType('ReqRet')).toEqual([]);
    await world.pass(1);
    expect(agent.ofType('ReqRet')[0]?.ranges).toEqual([
      { begin: 1n, end: 1n },
      { begin: 3n, end: 3n },
    ]);
  });

  test('is answered after two seconds at the latest, though Data keep coming', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 1000n });
    for (let seq = 0; seq < 40; ++seq) {
      agent.sendUnreliable({
        type: 'DataValue',
        session,
        seq: BigInt(seq),
        operation: 'Delete',
        id: `id-${seq}`,
        index: 'files',
        version: 0n,
        data: json({}),
      });
      if (seq === 0) agent.end(session);
      await world.pass(60);
      expect(agent.ofType('ReqRet'), `${world.time.nowMs} ms`).toHaveLength(world.time.nowMs < 2000 ? 0 : 1);
    }
  });

  test('is answered at once where all Data came in order', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 3n });
    agent.values(session, 0, 1);
    agent.end(session);
    await settled();
    expect(agent.ofType('ReqRet')).toHaveLength(1);
  });

  test('is answered with Error when nothing new comes however often it is asked for', async () => {
    const world = new ManagerWorld({ maxRounds: 3 });
    const agent = world.agent();
    const session = agent.begin({ ...ours, size: 5n });
    for (let round = 0; round < 3; ++round) {
      agent.values(session, 0, 0);
      agent.end(session);
      await world.pass(2000);
    }
    // One that brings something begins the count anew.
    agent.values(session, 1, 1);
    for (let round = 0; round < 4; ++round) {
      agent.end(session);
      await world.pass(2000);
      expect(agent.endAcks, `round ${round}`).toEqual(round < 3 ? [] : ['Error NoProgress']);
    }
    expect(agent.ofType('ReqRet')).toHaveLength(6);
    expect(world.store.sessions()).toEqual([]);
    expect(world.manager.stats).toMatchObject(nothing);
  });
});

describe('a session whose agent is silent', () => {
  test('is forgotten after its time without new Data, with what was staged, and is then unknown', async () => {
    const world = new ManagerWorld({ sessionTimeoutMs: 10_000 });
    const agent = world.agent();
    const session = agent.begin({ size: 3n });
    await world.pass(6000);
    agent.values(session, 0, 0);
    await world.pass(6000);
    expect(world.manager.stats.sessions).toBe(1);
    // What has come before does not count.
    agent.values(session, 0, 0);
    agent.end(session);
    await world.pass(4001);
    expect(world.manager.stats).toMatchObject(nothing);
    expect(world.store.sessions()).toEqual([]);
    agent.end(session);
    expect(agent.endAcks).toEqual(['Error UnknownSession']);
    expect(world.counts.expired).toBe(1);
    expect(world.ended).toMatchObject([{ status: 'Error', reason: 'SessionExpired', applied: 0 }]);
  });

  test('without Data is forgotten too', async () => {
    const world = new ManagerWorld({ sessionTimeoutMs: 10_000 });
    const agent = world.agent();
    const session = agent.begin({ mode: 'CHECK', size: 0n });
    await world.pass(10_001);
    expect(world.manager.stats).toMatchObject(nothing);
    agent.end(session);
    expect(agent.endAcks).toEqual(['Error UnknownSession']);
  });

  test('is answered by the connection that its agent used last', async () => {
    const world = new ManagerWorld();
    const [first, second] = [world.agent(), world.agent()];
    const session = first.begin({ size: 2n });
    first.values(session, 0, 0);
    second.values(session, 1, 1);
    first.end(session);
    second.end(session);
    await settled();
    expect([first.endAcks, second.endAcks]).toEqual([['Processing'], ['Processing', 'Ok']]);
  });

  test('whose connection fails is applied all the same', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours });
    agent.values(session, 0, 0);
    agent.end(session);
    agent.cut();
    await settled();
    expect(world.ids()).toEqual(['id-0']);
    agent.reconnect();
    agent.end(session);
    expect(agent.lastEndAck?.status).toBe('Ok');
  });
});

describe('a manager that is made anew on the same store', () => {
  test('goes on with sessions that were receiving', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours, size: 6n });
    agent.batch(session, [0, 1]);
    agent.values(session, 4, 4);
    agent.batch(session, [4, 0]);
    await world.restart();
    expect(world.manager.stats).toMatchObject({ sessions: 1, items: 6 });
    expect(world.manager.stats.bytes).toBeGreaterThan(0);
    agent.reconnect(world.manager);
    expect(agent.start({ ...ours, size: 6n })).toMatchObject({ status: 'Ok', session, resumed: true });
    agent.end(session);
    await settled();
    expect(agent.ofType('ReqRet')[0]?.ranges).toEqual([
      { begin: 2n, end: 3n },
      { begin: 5n, end: 5n },
    ]);
    agent.batch(session, [2, 3, 5]);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
    expect(world.ids()).toEqual(idsTo(5));
    expect(world.manager.stats).toMatchObject(nothing);
  });

  test('goes on with the newest of the sessions of a module alone: an older one is never applied after it', async () => {
    const store = new MemoryStore();
    const stage = (generation: bigint, nonce: bigint, module = 'fim', agent = 'agent'): void => {
      const session = generation * 10n + nonce;
      const of = { agent, module, mode: 'DELTA', size: 1, indices: ['files'], session } as const;
      const stored = store.begin({ ...of, nonce, generation });
      const data = json({ generation: Number(generation) });
      store.stage(stored, encodeMessage(itemOf(session, 0, { id: 'same', data })));
    };
    stage(10n, 1n);
    stage(11n, 2n);
    stage(3n, 3n, 'other');
    stage(4n, 4n, 'fim', 'another');
    const world = new ManagerWorld({ store });
    await settled();
    expect(world.manager.stats.sessions).toBe(3);
    const agent = world.agent();
    expect(agent.start({ nonce: 1n, generation: 10n })).toMatchObject({
      reason: 'StaleGeneration',
      generation: 11n,
    });
    agent.end(112n);
    await settled();
    agent.end(101n);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Ok', 'Error UnknownSession']);
    expect(world.documents()).toEqual(['files/same {"generation":11}']);
    expect(store.committed('agent', 'fim')?.generation).toBe(11n);
  });

  test('applies nothing of a session after a later one, and says that it is too old; but what was begun comes to its end', async () => {
    const store = new MemoryStore();
    const of = { agent: 'agent', module: 'fim', mode: 'DELTA', size: 1, indices: ['files'] } as const;
    const old = store.begin({ ...of, session: 100n, nonce: 1n, generation: 10n });
    store.stage(old, encodeMessage(itemOf(100n, 0)));
    await store.commit(store.begin({ ...of, session: 200n, nonce: 2n, generation: 10n }), [], () => 0);
    const there = store.sessions.bind(store);
    store.sessions = () => there().map((stored) => ({ ...stored, state: 'committing' }));
    const world = new ManagerWorld({ store });
    const agent = world.agent();
    await settled();
    // Half of it may be there, and its checksums are those of before.
    expect(world.documents()).toEqual(['files/id-0 {"seq":0}']);
    expect(store.committed('agent', 'fim')).toMatchObject({ nonce: 1n });
    const session = agent.begin({ nonce: 3n, generation: 11n });
    agent.values(session, 0, 0, { id: 'later' });
    store.committed = () => ({ nonce: 4n, generation: 12n, mode: 'DELTA', size: 1, rejected: 0 });
    agent.end(session);
    await settled();
    expect(agent.endAcks).toEqual(['Processing', 'Error StaleGeneration']);
    expect(world.documents()).toEqual(['files/id-0 {"seq":0}']);
    expect(world.manager.stats).toMatchObject(nothing);
    expect(there()).toEqual([]);
  });

  test('applies an older session that was being applied before it goes on with the newer one', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const old = agent.begin({ nonce: 1n, generation: 10n });
    agent.values(old, 0, 0);
    const { store } = world;
    const commit = store.commit.bind(store);
    store.commit = () => new Promise(() => undefined);
    agent.end(old);
    await settled();
    const session = agent.begin({ nonce: 2n, generation: 11n, size: 2n });
    agent.values(session, 1, 1);
    store.commit = commit;
    const there = store.sessions.bind(store);
    store.sessions = () =>
      there().map((each) => (each.generation === 10n ? { ...each, state: 'committing' } : each));
    const next = new SyncManager({ store, wheel: world.time.wheel });
    await settled();
    expect(store.committed('agent', 'fim')).toMatchObject({ generation: 10n });
    expect(next.stats.sessions).toBe(1);
    agent.reconnect(next);
    agent.values(session, 0, 0, { id: 'id-2' });
    agent.end(session);
    await settled();
    expect(agent.lastEndAck?.status).toBe('Ok');
    expect(world.ids()).toEqual(idsTo(2));
  });

  test('takes messages of a session before it has read what was staged of it', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 4000n });
    for (let seq = 0; seq < 3990; seq += 10) {
      agent.batch(
        session,
        Array.from({ length: 10 }, (_, n) => seq + n),
        { data: json({ pad: 'x'.repeat(1000) }) },
      );
    }
    const startBehind = { module: 'behind', size: 2n, ...ours } as const;
    const behind = agent.begin(startBehind);
    agent.values(behind, 0, 1, { index: 'behind' });
    await world.manager.close();
    world.manager = new SyncManager({ store: world.store, wheel: world.time.wheel });
    agent.reconnect(world.manager);
    // What has not been read yet is not taken for empty.
    expect(agent.start(startBehind)).toMatchObject({ session: behind, resumed: true });
    agent.end(behind);
    agent.batch(session, [5, 3999]);
    agent.end(session);
    expect(agent.endAcks).toEqual([]);
    for (let turn = 0; turn < 100 && agent.ofType('ReqRet').length === 0; ++turn) await world.pass(10);
    expect(agent.ofType('ReqRet')).toMatchObject([{ session, ranges: [{ begin: 3990n, end: 3998n }] }]);
    agent.batch(
      session,
      Array.from({ length: 9 }, (_, n) => 3990 + n),
    );
    for (let turn = 0; turn < 100 && world.ids().length < 4000; ++turn) await settled();
    expect(world.ids()).toHaveLength(4000);
    await settled();
    expect(world.ids('agent', 'behind')).toEqual(idsTo(1));
    expect(agent.ofType('ReqRet')).toHaveLength(1);
  });

  test('applies what was being applied, without its agent, which hears so when it asks', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours, size: 3n });
    agent.batch(session, [2]);
    agent.batch(session, [1, 0]);
    const commit = world.store.commit.bind(world.store);
    world.store.commit = async (stored, changes) => {
      // It gets as far as its first change.
      for (const first of changes) {
        if (first !== undefined) await commit(stored, failing(first), () => 0);
      }
    };
    agent.end(session);
    await settled();
    expect(world.ids()).toEqual(['id-0']);
    world.store.commit = commit;
    await world.restart();
    expect(world.ids()).toEqual(idsTo(2));
    expect(world.store.sessions()).toEqual([]);
    agent.reconnect(world.manager);
    const again = agent.start({ ...ours, size: 3n });
    expect(again).toMatchObject({ status: 'Ok', resumed: true });
    agent.end(again.session);
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', session: again.session });
  });
});

function* failing<T>(first: T): Generator<T> {
  yield first;
  throw new Error('the process was killed');
}

describe('drain and close', () => {
  test('drain lets sessions come to their end and begins no others', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ ...ours, size: 2n });
    agent.values(session, 0, 0);
    let drained = false;
    const draining = world.manager.drain().then(() => {
      drained = true;
    });
    const other = world.agent('other').start();
    expect(other).toMatchObject({ status: 'Offline', reason: 'ShuttingDown' });
    expect(other.retryAfterMs).toBeGreaterThanOrEqual(1000);
    agent.reconnect();
    expect(agent.start({ ...ours, size: 2n })).toMatchObject({ status: 'Ok', session, resumed: true });
    await settled();
    expect(drained).toBe(false);
    agent.values(session, 1, 1);
    agent.end(session);
    await draining;
    expect(agent.lastEndAck?.status).toBe('Ok');
    await world.manager.drain();
  });

  test('drain tells those whose Start is held to come later', async () => {
    const world = new ManagerWorld({ maxSessions: 1 });
    world.agent().begin();
    const other = world.agent('other');
    expect(() => other.start()).toThrow('not answered');
    void world.manager.drain();
    expect(other.received).toMatchObject([{ status: 'Offline', reason: 'ShuttingDown' }]);
  });

  test('close brings to an end what is being applied, looks at nothing that comes, and keeps what is staged', async () => {
    const world = new ManagerWorld();
    const release = holdCommits(world.store);
    const agent = world.agent();
    const applying = agent.begin({ module: 'a' });
    agent.values(applying, 0, 0);
    agent.end(applying);
    await settled();
    const receiving = agent.begin({ module: 'b', size: 2n });
    agent.values(receiving, 0, 0);
    let closed = false;
    const draining = world.manager.drain();
    const closing = world.manager.close().then(() => {
      closed = true;
    });
    await settled();
    expect(closed).toBe(false);
    agent.values(receiving, 1, 1);
    agent.end(receiving);
    agent.sendBytes(new Uint8Array(9));
    release();
    await closing;
    await draining;
    await world.manager.close();
    expect(agent.endAcks).toEqual(['Processing', 'Ok']);
    expect(world.store.sessions()).toMatchObject([{ module: 'b', state: 'receiving' }]);
    expect(world.counts.malformed).toBe(0);
    const { length } = agent.received;
    await world.pass(7_200_000);
    expect(agent.received).toHaveLength(length);
  });
});
