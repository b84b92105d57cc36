import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { PortionLine } from '../../../src/sync/manager/portion-line.js';
import { StartRates } from '../../../src/sync/manager/start-rates.js';
import { settled, VirtualTime } from '../../interaction/virtual-time.js';
import { type FakeAgent, json, startOf } from './fake-agent.js';
import { idsTo, ManagerWorld } from './manager-world.js';
import { finished, RealAgent } from './real-agents.js';
import { SlowStore } from './slow-store.js';

const mib = 2 ** 20;
const longData = json({ pad: 'x'.repeat(60_000) });

/** Whose virtual time is that of its disk. */
function slowWorld(bytesPerSecond: number): { world: ManagerWorld; store: SlowStore } {
  const time = new VirtualTime();
  const store = new SlowStore(time.clock, bytesPerSecond);
  return { world: new ManagerWorld({ store, maxUnwrittenBytes: mib }, time), store };
}

describe('a disk that takes less than what comes', () => {
  test('keeps the manager from taking more than a bound; nothing of it is lost, and it is asked for in portions', async () => {
    const { world, store } = slowWorld(10 * mib);
    const agent = world.agent();
    const session = agent.begin({ size: 60n });
    agent.values(session, 0, 59, { data: longData });
    expect(store.peakBytes).toBeLessThanOrEqual(mib);
    const taken = world.counts.itemsReceived;
    expect(taken).toBeGreaterThan(10);
    expect(world.counts.itemsWithoutRoom).toBe(60 - taken);
    agent.end(session);
    let rounds = 0;
    for (; rounds < 100 && agent.lastEndAck?.status !== 'Ok'; ++rounds) {
      const before = agent.ofType('ReqRet').length;
      await world.pass(3000);
      const request = agent.ofType('ReqRet').slice(before).at(-1);
      if (request === undefined) continue;
      const asked = request.ranges.reduce((sum, { begin, end }) => sum + Number(end - begin) + 1, 0);
      expect(asked).toBeGreaterThan(0);
      expect(asked).toBeLessThanOrEqual(5);
      for (const { begin, end } of request.ranges) {
        agent.values(session, Number(begin), Number(end), { data: longData });
      }
      agent.end(session);
    }
    expect(agent.lastEndAck?.status).toBe('Ok');
    expect(store.peakBytes).toBeLessThanOrEqual(mib);
    expect(world.ids()).toEqual(idsTo(59));
    // What was asked for was taken: nothing was sent a third time.
    expect(world.counts.itemsWithoutRoom).toBe(60 - taken);
    expect(world.counts.itemsDuplicate).toBe(0);
  });

  test('does not make the agents fail, however many send at once', async () => {
    const { world, store } = slowWorld(2 * mib);
    const agents = Array.from({ length: 24 }, (_, n) => new RealAgent(world, `a${n}`));
    const calls = agents.map(async (each) => {
      await each.client.connect();
      await each.persist(40, longData);
      return each.agent.synchronizeModule('DELTA');
    });
    const results = await finished(world, Promise.all(calls));
    expect(results.map(({ failureReason }) => failureReason)).toEqual(Array.from({ length: 24 }, () => ''));
    expect(world.counts.itemsWithoutRoom).toBeGreaterThan(0);
    expect(store.peakBytes).toBeLessThanOrEqual(mib);
    for (const { name } of agents) expect(world.ids(name)).toHaveLength(40);
  });

  test('takes what it has asked for before what others send', async () => {
    const { world, store } = slowWorld(10 * mib);
    const [first, second] = [world.agent('first'), world.agent('second')];
    const session = first.begin({ size: 20n });
    first.values(session, 0, 19, { data: longData });
    first.end(session);
    await world.pass(3000);
    const [range] = first.ofType('ReqRet')[0]?.ranges ?? [];
    expect(range).toEqual({ begin: 17n, end: 19n });
    const other = second.begin({ size: 60n });
    second.values(other, 0, 29, { data: longData });
    // Some of it is written by now, but not half.
    await world.pass(30);
    expect(store.unwrittenBytes).toBeGreaterThan(mib / 2);
    const before = world.counts.itemsReceived;
    second.values(other, 30, 32, { data: longData });
    expect(world.counts.itemsReceived).toBe(before);
    first.values(session, 17, 19, { data: longData });
    expect(world.counts.itemsReceived).toBe(before + 3);
    expect(store.peakBytes).toBeLessThanOrEqual(mib);
  });

  test('makes agents wait for their turn, which hear Processing meanwhile and do not expire', async () => {
    const time = new VirtualTime();
    const store = new SlowStore(time.clock, 10 * mib);
    const world = new ManagerWorld({ store, maxUnwrittenBytes: mib, sessionTimeoutMs: 14_000 }, time);
    const agents = ['a', 'b', 'c'].map((name) => world.agent(name));
    for (const agent of agents) {
      const session = agent.begin({ size: 20n });
      agent.values(session, 0, 19, { data: longData });
      agent.end(session);
      await world.pass(1);
    }
    await world.pass(4000);
    expect(agents[2]?.received.map(({ type }) => type)).toEqual(['StartAck', 'EndAck']);
    await world.pass(15_000);
    // The first two do not answer, and are forgotten; it is the turn of the third.
    expect(agents.map(({ received }) => received.map(({ type }) => type))).toEqual([
      ['StartAck', 'ReqRet'],
      ['StartAck', 'ReqRet'],
      ['StartAck', 'EndAck', 'ReqRet'],
    ]);
    expect(agents[2]?.endAcks).toEqual(['Processing']);
    expect(world.counts.expired).toBe(2);
  });

  test('does not ask who was told meanwhile that the store failed, before it has said End again', async () => {
    const { world, store } = slowWorld(10 * mib);
    const agents = ['a', 'b', 'c'].map((name) => world.agent(name));
    const sessions: bigint[] = [];
    for (const agent of agents) {
      const session = agent.begin({ size: 20n });
      agent.values(session, 0, 19, { data: longData });
      agent.end(session);
      sessions.push(session);
      await world.pass(1000);
    }
    const last = agents[2];
    expect(last?.endAcks).toEqual(['Processing']);
    const staged = store.staged.bind(store);
    store.staged = () => Promise.reject(new HawserError('ERR_HAWSER_STORE', 'it failed'));
    last?.end(sessions[2] ?? 0n);
    await world.pass(200);
    store.staged = staged;
    expect(last?.endAcks).toEqual(['Processing', 'Offline StoreFailed']);
    // The turns of the others are over.
    await world.pass(30_000);
    expect(last?.received).toHaveLength(3);
    last?.end(sessions[2] ?? 0n);
    await world.pass(1000);
    expect(last?.ofType('ReqRet')).toHaveLength(1);
  });

  test('is not asked to take part of a session that is too much at a time, nor does one that takes nothing keep others', async () => {
    const { world, store } = slowWorld(0);
    const agent = world.agent();
    agent.values(agent.begin({ size: 60n }), 0, 59, { data: longData });
    expect(store.peakBytes).toBeLessThanOrEqual(mib);
    expect(world.manager.stats.bytes).toBeLessThanOrEqual(mib);
    const other = world.agent('other');
    const check = other.begin({ mode: 'CHECK', size: 0n });
    other.send({ type: 'ChecksumModule', session: check, index: 'files', checksum: '0'.repeat(40) });
    other.end(check);
    await settled();
    expect(other.lastEndAck?.status).toBe('ChecksumMismatch');
  });
});

describe('the line of those that are asked in portions', () => {
  const line = (names: readonly string[] = ['a', 'b', 'c', 'd']) => {
    const time = new VirtualTime();
    const portions = new PortionLine<{ readonly name: string }>(time.wheel, ({ name }) => name.slice(0, 1));
    const begun: string[] = [];
    const sessions = names.map((name) => ({ name }));
    const ask = (n: number): void => {
      const session = sessions[n];
      if (session !== undefined) portions.ask(session, () => begun.push(session.name));
    };
    const leave = (n: number): void => portions.leave(sessions[n] ?? { name: '' });
    const arrived = (n: number): void => portions.arrived(sessions[n] ?? { name: '' });
    return { time, portions, begun, ask, leave, arrived };
  };

  test('gives two of them their turn, and each of the others when one has had it', () => {
    const { portions, begun, ask, leave } = line();
    for (const n of [0, 1, 2, 3, 2]) ask(n);
    expect(begun).toEqual(['a', 'b']);
    expect(portions.waiting).toBe(2);
    // Who asks again has had its turn, and is the last.
    ask(0);
    expect(begun).toEqual(['a', 'b', 'c']);
    leave(1);
    expect(begun).toEqual(['a', 'b', 'c', 'd']);
    leave(1);
    leave(0);
    expect(portions.waiting).toBe(0);
    leave(2);
    leave(3);
    expect(begun).toHaveLength(4);
  });

  test('ends a turn that takes too long', () => {
    const { time, begun, ask, arrived } = line();
    for (const n of [0, 1, 2, 3]) ask(n);
    for (let ms = 4000; ms < 20_000; ms += 4000) {
      time.runTo(ms);
      for (const n of [0, 1, 2]) arrived(n);
    }
    time.runTo(19_000);
    expect(begun).toEqual(['a', 'b']);
    time.runTo(20_100);
    expect(begun).toEqual(['a', 'b', 'c', 'd']);
  });

  test('ends a turn in which nothing comes', () => {
    const { time, begun, ask, arrived } = line();
    for (const n of [0, 1, 2, 3]) ask(n);
    time.runTo(4000);
    arrived(0);
    time.runTo(5100);
    expect(begun).toEqual(['a', 'b', 'c']);
    time.runTo(9100);
    expect(begun).toEqual(['a', 'b', 'c', 'd']);
  });

  test('gives no agent both turns while another waits', () => {
    const { begun, ask, leave } = line(['a1', 'a2', 'a3', 'b1', 'b2']);
    for (const n of [0, 1, 2, 3, 4]) ask(n);
    expect(begun).toEqual(['a1', 'a2']);
    leave(0);
    expect(begun).toEqual(['a1', 'a2', 'b1']);
    leave(3);
    expect(begun).toEqual(['a1', 'a2', 'b1', 'b2']);
    leave(4);
    expect(begun).toEqual(['a1', 'a2', 'b1', 'b2', 'a3']);
  });
});

describe('sessions without Data', () => {
  test('that their agents do not end give way to those that wait', async () => {
    const world = new ManagerWorld({ maxSessions: 2, holdMs: 0 });
    const idle = world.agent('idle');
    idle.begin({ mode: 'CHECK', size: 0n });
    idle.begin({ mode: 'METADATA_DELTA', size: 0n });
    const other = world.agent('other');
    for (let second = 0; second < 45; ++second) {
      if (other.ofType('StartAck').at(-1)?.status !== 'Ok')
        other.send(startOf({ nonce: 1n, generation: 1n }));
      await world.pass(1000);
    }
    expect(other.ofType('StartAck').at(-1)?.status).toBe('Ok');
    expect(idle.endAcks).toEqual(['Offline Busy']);
    expect(world.counts.gaveWay).toBe(1);
    expect(world.ended).toMatchObject([{ agent: 'idle', mode: 'CHECK', status: 'Offline', reason: 'Busy' }]);
  });

  test('begin a hundred at once and ten in a second of one agent, by however many connections', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const flood = async () => {
      for (let n = 0; n < 60; ++n) {
        agent.reconnect();
        const { status, session, retryAfterMs } = agent.start({ mode: 'CHECK', size: 0n });
        if (status === 'Ok') agent.end(session);
        else expect(retryAfterMs).toBeGreaterThan(1000);
        await settled();
      }
    };
    await flood();
    await flood();
    // What comes from it are no more lines than that for whoever reads along.
    expect(world.ended).toHaveLength(100);
    await world.pass(1000);
    await flood();
    expect(world.ended).toHaveLength(110);
    // Its Data are another matter, and so are other agents.
    await world.pass(100);
    expect(agent.start({ mode: 'CHECK', size: 0n }).status).toBe('Ok');
    expect(agent.start({ mode: 'CHECK', size: 0n })).toMatchObject({ status: 'Offline', reason: 'Busy' });
    expect(agent.start({ nonce: 1n, generation: 1n }).status).toBe('Ok');
    expect(world.agent('other').start({ mode: 'CHECK', size: 0n }).status).toBe('Ok');
  });
});

describe('sessions whose agents are cut off', () => {
  test('are spared up to half of them, while others wait and others get on', async () => {
    const world = new ManagerWorld({ maxSessions: 8, holdMs: 0 });
    const busy = world.agent('busy');
    const session = busy.begin({ size: 1000n });
    const gone = Array.from({ length: 7 }, (_, n) => world.agent(`gone ${n}`));
    for (const agent of gone) {
      agent.begin();
      agent.cut();
      await world.pass(100);
    }
    const waiting = Array.from({ length: 5 }, (_, n) => world.agent(`waiting ${n}`));
    const sessionOf = (agent: FakeAgent): bigint | undefined =>
      agent.ofType('StartAck').find(({ status }) => status === 'Ok')?.session;
    for (let second = 0; second < 200; ++second) {
      busy.values(session, second, second);
      for (const agent of waiting) {
        const own = sessionOf(agent);
        if (own === undefined) agent.send(startOf({ size: 1000n, nonce: 1n, generation: 1n }));
        else agent.values(own, second, second);
      }
      await world.pass(1000);
    }
    expect(waiting.filter((agent) => sessionOf(agent) !== undefined)).toHaveLength(3);
    expect(world.counts.gaveWay).toBe(3);
    expect(world.ended.map(({ agent }) => agent)).toEqual(['gone 0', 'gone 1', 'gone 2']);
  });

  test('are spared up to half of the items', async () => {
    const world = new ManagerWorld({ maxItems: 1000, maxItemsPerAgent: 250, holdMs: 0 });
    const busy = world.agent('busy');
    const session = busy.begin({ size: 40n });
    for (let n = 0; n < 4; ++n) {
      const gone = world.agent(`gone ${n}`);
      gone.begin({ size: 240n });
      gone.cut();
    }
    const waiting = world.agent('waiting');
    for (let second = 0; second < 40; ++second) {
      busy.values(session, second, second);
      waiting.send(startOf({ size: 250n, nonce: 1n, generation: 1n }));
      await world.pass(1000);
    }
    expect(waiting.ofType('StartAck').map(({ status }) => status)).toContain('Ok');
    expect(world.counts.gaveWay).toBe(2);
  });

  test('are spared up to half of the bytes', async () => {
    const world = new ManagerWorld({ maxBytes: 8000, maxBytesPerAgent: 2000 });
    const gone = Array.from({ length: 4 }, (_, n) => world.agent(`gone ${n}`));
    for (const agent of gone) {
      agent.values(agent.begin({ size: 9n }), 0, 0, { data: json({ pad: 'x'.repeat(1800) }) });
      agent.cut();
      await world.pass(100);
    }
    const honest = world.agent('honest');
    const session = honest.begin({ size: 5n });
    honest.values(session, 0, 4);
    honest.end(session);
    await settled();
    expect(honest.endAcks).toEqual(['Processing', 'Ok']);
    expect(world.ended.map(({ agent, reason }) => `${agent} ${reason}`)).toEqual([
      'gone 1 TooManyBytes',
      'honest None',
    ]);
  });
});

describe('the rate of Starts', () => {
  test('is remembered of an agent as long as that makes a difference', () => {
    const rates = new StartRates();
    for (let n = 0; n < 1000; ++n) expect(rates.take(`agent ${n}`, true, n)).toBe(true);
    expect(rates.size).toBe(1000);
    expect(rates.take('agent 999', false, 10_500)).toBe(true);
    expect(rates.size).toBe(499);
    expect(rates.take('agent 0', false, 30_000)).toBe(true);
    expect(rates.size).toBe(1);
  });
});
