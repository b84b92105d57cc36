import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import { SessionTable } from '../../../src/sync/manager/session-table.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import { limits, type SyncMessage } from '../../../src/sync/wire/messages.js';
import { settled } from '../../interaction/virtual-time.js';
import { type FakeAgent, itemOf, json, startOf } from './fake-agent.js';
import { idsTo, ManagerWorld } from './manager-world.js';

/** A session half sent, whose end must not depend on what happens meanwhile. */
function halfSent(world: ManagerWorld): { agent: FakeAgent; session: bigint; finish: () => Promise<void> } {
  const agent = world.agent();
  const session = agent.begin({ size: 4n, nonce: 1n, generation: 1n });
  agent.values(session, 0, 1);
  const finish = async (): Promise<void> => {
    agent.values(session, 2, 3);
    agent.end(session);
    await settled();
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', session, rejected: 0n });
    expect(world.documents()).toEqual([0, 1, 2, 3].map((n) => `files/id-${n} {"seq":${n}}`));
  };
  return { agent, session, finish };
}

describe('messages that should not come', () => {
  test('of another agent’s session are answered like those of an unknown one, logged, counted, and change nothing', async () => {
    const world = new ManagerWorld();
    const { session, finish } = halfSent(world);
    const thief = world.agent('thief');
    thief.values(session, 0, 3, { data: json({ stolen: true }) });
    thief.batch(session, [2, 3], { data: json({ stolen: true }) });
    thief.send({ type: 'DataClean', seq: 2n, session, index: 'files' });
    thief.send({ type: 'DataContext', seq: 2n, session, index: 'files', id: 'c', data: json({}) });
    thief.send({ type: 'ChecksumModule', session, index: 'files', checksum: '0'.repeat(40) });
    thief.end(session);
    await settled();
    expect(new Set(thief.endAcks)).toEqual(new Set(['Error UnknownSession']));
    expect(thief.ofType('ReqRet')).toEqual([]);
    expect(world.counts.foreignSession).toBe(9);
    expect(new Set(world.logs)).toEqual(new Set(['error ForeignSession']));
    expect(new Set(world.lines.map(({ agent }) => agent))).toEqual(new Set(['thief']));
    await finish();
    // One that is over is as much another's as one that there is.
    thief.end(session);
    expect(thief.lastEndAck).toMatchObject({ status: 'Error', reason: 'UnknownSession' });
    expect(world.documents('thief')).toEqual([]);
  });

  test('with items of several sessions bring each item to its own, and only to those of the agent', async () => {
    const world = new ManagerWorld();
    const { agent, session, finish } = halfSent(world);
    const other = agent.begin({ module: 'other', size: 2n });
    const foreign = world.agent('foreign').begin({ size: 2n });
    const values = [
      itemOf(other, 0, { index: 'o' }),
      itemOf(session, 2),
      itemOf(foreign, 0, { index: 'f' }),
      itemOf(other, 1, { index: 'o' }),
      itemOf(session, 3),
      itemOf(99n, 0),
    ];
    agent.send({ type: 'DataBatch', values });
    agent.end(other);
    await settled();
    expect(world.ids('agent', 'o')).toEqual(['id-0', 'id-1']);
    agent.end(session);
    await settled();
    expect(world.documents('foreign')).toEqual([]);
    expect(world.ids('agent', 'f')).toEqual([]);
    expect(world.ids()).toEqual(idsTo(3));
    expect(world.counts).toMatchObject({ foreignSession: 1, unknownSession: 1 });
    void finish;
  });

  test('of a session that there is not are answered, but Data only so often', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    for (let n = 0; n < 1000; ++n) agent.values(7n, n, n);
    expect(agent.endAcks).toHaveLength(20);
    expect(agent.lastEndAck).toMatchObject({ status: 'Error', reason: 'UnknownSession', session: 7n });
    agent.end(8n);
    expect(agent.lastEndAck).toMatchObject({ session: 8n });
    expect(world.counts.unknownSession).toBe(1001);
    expect(world.logs).toHaveLength(20);
    await world.pass(1000);
    agent.end(8n);
    expect(world.logs.slice(20)).toEqual(['warning Suppressed', 'warning UnknownSession']);
    expect(world.counts.suppressed).toBe(981);
  });

  test('that are malformed are logged and counted, and the session goes on', async () => {
    const seed = 20_261_122;
    const random = seededRandom(seed);
    const world = new ManagerWorld();
    const { agent, session, finish } = halfSent(world);
    const messages: SyncMessage[] = [
      startOf({ module: 'x', metadata: { hostname: 'h', groups: ['g'] } }),
      { type: 'DataBatch', values: [itemOf(session ^ 1n, 0), itemOf(session ^ 1n, 1)] },
      { type: 'ChecksumModule', session: session ^ 1n, index: 'files', checksum: '0'.repeat(40) },
      { type: 'End', session: session ^ 1n },
    ];
    for (const message of messages) {
      const bytes = encodeMessage(message);
      for (let length = 0; length < bytes.length; ++length) agent.sendBytes(bytes.slice(0, length));
      for (let n = 0; n < 300; ++n) {
        const at = Math.floor(random() * bytes.length);
        const changed = Uint8Array.from(bytes);
        // The session's own id must not come about by chance.
        changed[at] = (changed[at] ?? 0) ^ (1 << (1 + Math.floor(random() * 7)));
        agent.sendBytes(changed);
      }
    }
    expect(world.counts.malformed, `seed ${seed}`).toBeGreaterThan(300);
    expect(world.logs).toContain('error Malformed');
    await finish();
  });

  test('that only a manager sends, or of which nobody knows, are unexpected', async () => {
    const world = new ManagerWorld();
    const { agent, session, finish } = halfSent(world);
    const none = { rejected: 0n, retryAfterMs: 0, reason: 'None' } as const;
    const messages: SyncMessage[] = [
      { type: 'EndAck', status: 'Ok', session, ...none },
      { type: 'ReqRet', session, ranges: [{ begin: 0n, end: 3n }] },
      {
        type: 'StartAck',
        status: 'Ok',
        session,
        nonce: 1n,
        retryAfterMs: 0,
        resumed: false,
        generation: 0n,
        reason: 'None',
      },
    ];
    const before = agent.received.length;
    for (const message of messages) agent.sendBytes(encodeMessage(message));
    expect(world.counts.unexpected).toBe(3);
    expect(new Set(world.logs)).toEqual(new Set(['warning Unexpected']));
    expect(agent.received).toHaveLength(before);
    await finish();
  });

  test('in a session of the wrong mode are unexpected, and that session goes on', async () => {
    const world = new ManagerWorld();
    const { agent, session, finish } = halfSent(world);
    const check = agent.begin({ mode: 'CHECK', size: 0n, module: 'check' });
    agent.send({ type: 'ChecksumModule', session, index: 'files', checksum: '0'.repeat(40) });
    agent.values(check, 0, 0);
    agent.sendUnreliable({ type: 'DataClean', seq: 0n, session: check, index: 'files' });
    expect(world.counts.unexpected).toBe(3);
    expect(new Set(world.logs)).toEqual(new Set(['warning Unexpected']));
    await finish();
    agent.end(check);
    await settled();
    expect(agent.lastEndAck).toMatchObject({ session: check, status: 'Error', reason: 'EmptyIndex' });
  });

  test('that are too long, or with an id, index or data that are, apply nothing of that', async () => {
    const world = new ManagerWorld();
    const { agent, finish } = halfSent(world);
    agent.sendBytes(new Uint8Array(limits.messageBytes + 1));
    agent.sendBytes(new Uint8Array(10 * limits.messageBytes));
    expect(world.counts.malformed).toBe(2);
    await finish();
  });
});

describe('floods', () => {
  test('of sequence numbers with a gap after each take no more than a bit for each', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const size = 100_000;
    const session = agent.begin({ size: BigInt(size) });
    for (let seq = 0; seq < size; seq += 800) {
      agent.batch(
        session,
        Array.from({ length: 400 }, (_, n) => seq + 2 * n),
        { operation: 'Delete', data: new Uint8Array() },
      );
    }
    agent.end(session);
    await settled();
    expect(agent.ofType('ReqRet')[0]?.ranges).toHaveLength(limits.ranges);
    expect(world.counts.itemsReceived).toBe(size / 2);
  });

  test('of End bring about no more requests than rounds', async () => {
    const world = new ManagerWorld({ maxRounds: 5 });
    const agent = world.agent();
    const session = agent.begin({ size: 4000n });
    agent.batch(
      session,
      Array.from({ length: 400 }, (_, n) => 2 * n),
    );
    for (let n = 0; n < 1000; ++n) {
      agent.end(session);
      await world.pass(10);
    }
    expect(agent.ofType('ReqRet').length).toBeLessThanOrEqual(5);
    expect(agent.endAcks[0]).toBe('Error NoProgress');
  });

  test('of End with hardly any Data are answered ever more seldom', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin({ size: 8000n });
    for (let seq = 0; seq < 4000; seq += 800) {
      agent.batch(
        session,
        Array.from({ length: 400 }, (_, n) => seq + 2 * n),
      );
    }
    for (let n = 0; n < 100; ++n) {
      agent.values(session, 2 * n + 1, 2 * n + 1);
      for (let again = 0; again < 10; ++again) agent.end(session);
      await world.pass(100);
    }
    // At 0, 0.1, 0.3, 0.7, 1.5, 3.1 seconds, and then each two seconds.
    expect(agent.ofType('ReqRet')).toHaveLength(9);
    expect(agent.endAcks).toEqual([]);
    // Who brings what it was asked for is answered at once.
    const asked = agent.ofType('ReqRet').at(-1)?.ranges ?? [];
    for (const { begin } of asked.slice(0, 200)) agent.values(session, Number(begin), Number(begin));
    agent.end(session);
    await settled();
    expect(agent.ofType('ReqRet')).toHaveLength(10);
  });

  test('of Starts leave one session of a module, and as many as allowed of an agent', async () => {
    const world = new ManagerWorld({ sessionsPerAgent: 4 });
    const agent = world.agent();
    for (let n = 0; n < 300; ++n) agent.send(startOf({ nonce: BigInt(n + 1), generation: BigInt(n + 1) }));
    expect(world.manager.stats.sessions).toBe(1);
    await world.pass(2000);
    for (let n = 0; n < 300; ++n) agent.send(startOf({ module: `module-${n}` }));
    await world.pass(2000);
    for (let n = 0; n < 300; ++n) agent.send(startOf({ mode: 'CHECK', size: 0n, nonce: BigInt(n + 1) }));
    expect(world.manager.stats).toMatchObject({ sessions: 4, waiting: 0 });
    expect(world.store.sessions()).toHaveLength(4);
    // The others are not concerned.
    const other = world.agent('other');
    expect(other.start().status).toBe('Ok');
  });

  test('of Starts begin a hundred sessions at once and fifty in a second, whatever comes of the others later', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    let generation = 0n;
    const flood = () => {
      for (let n = 0; n < 500; ++n) agent.send(startOf({ nonce: ++generation, generation }));
    };
    flood();
    expect(world.counts).toMatchObject({ started: 100, superseded: 99, postponed: 400 });
    expect(agent.ofType('StartAck').at(-1)).toMatchObject({ status: 'Offline', reason: 'Busy', nonce: 500n });
    expect(agent.ofType('StartAck').at(-1)?.retryAfterMs).toBeGreaterThan(1000);
    await world.pass(1000);
    flood();
    expect(world.counts.started).toBe(150);
    // Nobody else is concerned, and neither is the agent later.
    expect(world.agent('other').start().status).toBe('Ok');
    await world.pass(100);
    expect(agent.start({ nonce: ++generation, generation }).status).toBe('Ok');
  });

  test('of sessions that are over at once keep no memory of them but the newest', () => {
    const table = new SessionTable();
    const outcome = { status: 'Ok', reason: 'None', rejected: 0, retryAfterMs: 0 } as const;
    for (let id = 0n; id < 70_000n; ++id) table.remember(id, 'agent', outcome);
    expect([0n, 4463n, 4464n, 69_999n].map((id) => table.ended(id) !== undefined)).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  test('that the transport does not take do no harm', async () => {
    const world = new ManagerWorld();
    const { agent, finish } = halfSent(world);
    agent.failure = new HawserError('ERR_HAWSER_QUEUE_FULL', 'too much waits');
    for (let n = 0; n < 10; ++n) agent.end(5n);
    agent.send(startOf({ module: 'x' }));
    agent.failure = undefined;
    await finish();
  });

  test('for which the transport has no room are sent when it has, the last one of each session', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    const session = agent.begin();
    agent.values(session, 0, 0);
    agent.failure = new HawserError('ERR_HAWSER_QUEUE_FULL', 'too much waits');
    agent.end(session);
    await settled();
    agent.end(7n);
    agent.send(startOf({ module: 'x', nonce: 3n, generation: 1n }));
    agent.send(startOf({ module: 'y', nonce: 4n, generation: 1n }));
    expect(agent.endAcks).toEqual([]);
    expect(world.counts.answersLost).toBe(5);
    agent.drained();
    expect(world.counts.answersLost).toBe(9);
    agent.failure = undefined;
    agent.drained();
    agent.drained();
    expect(agent.endAcks).toEqual(['Ok', 'Error UnknownSession']);
    expect(agent.ofType('StartAck').slice(1)).toMatchObject([
      { status: 'Ok', nonce: 3n },
      { status: 'Ok', nonce: 4n },
    ]);
  });

  test('for which the transport has no room are kept by session, but not more than a few, nor those of a connection that is over', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    agent.failure = new HawserError('ERR_HAWSER_QUEUE_FULL', 'too much waits');
    for (let n = 1n; n <= 100n; ++n) agent.end(n);
    agent.failure = undefined;
    // What is answered meanwhile is not answered twice.
    agent.end(100n);
    agent.drained();
    const sessions = agent.ofType('EndAck').map(({ session }) => session);
    expect(sessions).toEqual([100n, ...Array.from({ length: 63 }, (_, n) => BigInt(n + 37))]);
    agent.failure = new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
    agent.end(1n);
    agent.failure = undefined;
    agent.drained();
    expect(agent.ofType('EndAck')).toHaveLength(64);
    expect(world.counts.answersLost).toBe(101);
  });
});
