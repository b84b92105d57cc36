// Data on their way out: rate, batches, backpressure, and the two ways they can travel (edge cases 56 to 59).

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { bytesOf, turns, world } from './agent-world.js';
import { endAck, reqRet, startAck } from './fake-manager.js';

describe('the connection as a transport', () => {
  test('case 56: a connection is asked for anew by each sync, never remembered from an earlier one', async () => {
    const { agent, client, manager, finish, fill } = await world();
    fill(agent, 1);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    client.disconnect();
    fill(agent, 1);
    expect(await agent.synchronizeModule('FULL')).toMatchObject({ reason: 'NotConnected' });
    await client.connect();
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(manager.all('Start')).toHaveLength(2);
  });

  test('case 57: a message that the connection has no room for is sent when it has, and uses up no try', async () => {
    const { agent, manager, time, finish, fill } = await world({ retries: 0 });
    let refused = 0;
    manager.refusal = () => (++refused % 3 === 0 ? undefined : 'ERR_HAWSER_QUEUE_FULL');
    fill(agent, 2);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(manager.types).toEqual(['Start', 'DataBatch', 'End']);
    expect(time.nowMs).toBeLessThan(1000);
  });

  test('case 58: a connection that is over ends the sync at once', async () => {
    const { agent, manager, time, finish, fill } = await world();
    manager.refusal = () => 'ERR_HAWSER_NOT_CONNECTED';
    fill(agent, 2);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({
      success: false,
      reason: 'Disconnected',
    });
    expect(time.nowMs).toBe(0);
    expect(agent.inMemoryCount).toBe(2);
  });

  test('a connection whose messages may not be that long fails the sync', async () => {
    const { agent, manager, finish, fill } = await world();
    manager.refusal = ({ type }) => {
      if (type === 'DataBatch') throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', 'at most 100 bytes');
      return undefined;
    };
    fill(agent, 200);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({
      success: false,
      reason: 'TooLong',
    });
  });
});

describe('the rate', () => {
  test('case 59: after a burst of a second, items leave at the rate, and nothing blocks', async () => {
    const { agent, manager, time, finish, fill } = await world({ eps: 75 });
    fill(agent, 750);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    // 75 at once, then the other 675 at 75 a second.
    expect(time.nowMs).toBeCloseTo(9000, 0);
    const at = manager.heard.flatMap(({ atMs, message }) =>
      message.type === 'DataBatch'
        ? message.values.map(() => atMs)
        : message.type === 'DataValue'
          ? [atMs]
          : [],
    );
    expect(at).toHaveLength(750);
    for (let from = 100; from + 1000 <= 9000; from += 100) {
      const count = at.filter((ms) => ms > from + 0.001 && ms <= from + 1000.001).length;
      expect(count).toBeGreaterThanOrEqual(75 - 7);
      expect(count).toBeLessThanOrEqual(75 + 7);
    }
    for (let n = 0; n < at.length; ++n) {
      expect(n + 1).toBeLessThanOrEqual(75 + (75 * (at[n] ?? 0)) / 1000 + 1e-3);
    }
  });

  test('the rate counts items over all syncs, those that are sent again too', async () => {
    const { agent, manager, time, finish, fill } = await world({ eps: 100 });
    manager.loses = (_, before) => before === 0;
    fill(agent, 100);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({
      success: true,
      retransmitted: 100,
    });
    expect(time.nowMs).toBeCloseTo(1000, 0);
    fill(agent, 100);
    manager.loses = () => false;
    await finish(agent.synchronizeModule('FULL'));
    expect(time.nowMs).toBeCloseTo(2000, 0);
  });

  test('control messages do not count', async () => {
    const { agent, time, finish } = await world({ eps: 1, metadata: { groups: [] } });
    for (let n = 0; n < 10; ++n) await finish(agent.synchronizeMetadataOrGroups('GROUP_CHECK', [], 0n));
    expect(time.nowMs).toBe(0);
  });

  test('stop ends the wait for the rate', async () => {
    const { agent, manager, time, finish, fill } = await world({ eps: 1 });
    fill(agent, 100);
    const call = agent.synchronizeModule('FULL');
    await time.passTo(5500);
    agent.stop();
    expect(await finish(call)).toMatchObject({ stopped: true });
    expect(time.nowMs).toBe(5500);
    expect(manager.items).toHaveLength(6);
  });
});

describe('batches', () => {
  test('no message is longer than batchBytes, and few are much shorter', async () => {
    const { agent, manager, finish, fill } = await world({ batchBytes: 4096 });
    fill(agent, 2000);
    await finish(agent.synchronizeModule('FULL'));
    const lengths = manager.heard
      .filter(({ message }) => message.type === 'DataBatch')
      .map(({ bytes }) => bytes.length);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(4096);
    for (const length of lengths.slice(0, -1)) expect(length).toBeGreaterThan(3800);
    expect(manager.items.map(({ seq }) => seq)).toEqual(Array.from({ length: 2000 }, (_, n) => n));
  });

  test('bytes of the result are those of all messages with Data', async () => {
    const { agent, manager, finish, fill } = await world({ batchBytes: 4096 });
    manager.loses = (seq, before) => seq < 500 && before === 0;
    fill(agent, 2000);
    const result = await finish(agent.synchronizeModule('FULL'));
    const data = manager.heard.filter(({ message }) => message.type.startsWith('Data'));
    const sum = (all: typeof data): number => all.reduce((bytes, each) => bytes + each.bytes.length, 0);
    const firstEnd = manager.heard.findIndex(({ message }) => message.type === 'End');
    expect(result.bytes).toBe(sum(data));
    expect(result.retransmittedBytes).toBe(
      sum(data.filter((each) => manager.heard.indexOf(each) > firstEnd)),
    );
    expect(result.retransmitted).toBe(500);
    expect(agent.stats).toMatchObject({
      syncs: 1,
      succeeded: 1,
      failed: 0,
      items: 2000,
      bytes: result.bytes,
    });
  });

  test('progress goes from 0 to all, never back, and is known to the manager at the end', async () => {
    const { agent, manager, finish, fill } = await world({ batchBytes: 1024 });
    manager.loses = (seq, before) => seq === 700 && before === 0;
    const told: { sent: number; acknowledged: number; size: number; retransmitted: number }[] = [];
    agent.on('progress', (progress) => told.push(progress));
    fill(agent, 3000);
    await finish(agent.synchronizeModule('FULL'));
    for (const key of ['sent', 'acknowledged', 'retransmitted'] as const) {
      const values = told.map((each) => each[key]);
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
    expect(told.some(({ acknowledged }) => acknowledged === 700)).toBe(true);
    expect(told.at(-1)).toMatchObject({ sent: 3000, acknowledged: 3000, size: 3000, retransmitted: 1 });
    expect(told.length).toBeGreaterThan(3);
  });

  test('the event loop has its turn at least every 64 messages', async () => {
    const { agent, manager, finish, fill } = await world({ batching: false });
    fill(agent, 1000);
    let most = 0;
    let inTurn = 0;
    manager.goesOn = () => {
      most = Math.max(most, ++inTurn);
      return true;
    };
    const tick = setInterval(() => undefined, 1000);
    const count = (): void => {
      inTurn = 0;
      if (manager.heard.at(-1)?.message.type !== 'End') setImmediate(count);
    };
    setImmediate(count);
    await finish(agent.synchronizeModule('FULL'));
    clearInterval(tick);
    expect(manager.items).toHaveLength(1000);
    // One turn's at the end of which this counts, and the next one's.
    expect(most).toBeLessThanOrEqual(2 * 64 + 2);
  });
});

describe('a connection that says to wait', () => {
  test('is sent nothing more until drained, however long that takes', async () => {
    const { agent, manager, time, finish, fill } = await world({ batchBytes: 1024 });
    manager.goesOn = () => false;
    fill(agent, 200);
    const call = agent.synchronizeModule('FULL');
    await turns(5);
    let seen = manager.all('DataBatch').length;
    expect(seen).toBeLessThanOrEqual(1);
    await time.passTo(3_600_000);
    expect(manager.all('DataBatch')).toHaveLength(seen);
    expect(agent.state).toBe('DataTransfer');
    while (manager.all('End').length === 0) {
      manager.drained();
      await turns(3);
      expect(manager.all('DataBatch').length - seen).toBeLessThanOrEqual(1);
      seen = manager.all('DataBatch').length;
    }
    expect(await finish(call)).toMatchObject({ success: true });
    expect(manager.items.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, n) => n));
  });

  test.each([
    ['reliable', undefined],
    ['unreliable', 600],
  ] as const)(
    'and one that refuses messages loses and repeats none, and keeps their order (%s)',
    async (data, maxBytes) => {
      const { agent, manager, finish } = await world({
        batchBytes: 1024,
        data,
        ...(maxBytes !== undefined && { maxUnreliableBytes: maxBytes }),
      });
      let calls = 0;
      manager.refusal = ({ type }) =>
        type.startsWith('Data') && ++calls % 2 !== 0 ? 'ERR_HAWSER_QUEUE_FULL' : undefined;
      for (let n = 0; n < 200; ++n) {
        const document = bytesOf(JSON.stringify({ n, text: 'x'.repeat((n * 37) % 1500) }));
        agent.persistDifferenceInMemory(`id${n}`, 'CREATE', 'files', document, { isContext: n % 50 === 0 });
      }
      expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
      expect(manager.items.map(({ seq }) => seq)).toEqual(Array.from({ length: 200 }, (_, n) => n));
    },
  );

  test('disconnect and stop end the wait for it', async () => {
    for (const [end, expected] of [
      ['stop', { stopped: true }],
      ['cut', { reason: 'Disconnected' }],
    ] as const) {
      const { agent, manager, time, finish, fill } = await world({ batchBytes: 1024 });
      manager.goesOn = () => false;
      fill(agent, 200);
      const call = agent.synchronizeModule('FULL');
      await time.passTo(1000);
      if (end === 'stop') agent.stop();
      else manager.cut();
      expect(await finish(call, 999)).toMatchObject({ success: false, ...expected });
    }
  });
});

describe("data: 'unreliable'", () => {
  const how = (manager: Awaited<ReturnType<typeof world>>['manager']): string[] =>
    manager.heard.map((each) => `${each.message.type} ${each.how}`);

  test('Data go in datagrams, everything else reliably', async () => {
    const { agent, manager, finish, fill } = await world({ data: 'unreliable', maxUnreliableBytes: 1100 });
    fill(agent, 100);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(new Set(how(manager))).toEqual(
      new Set(['Start reliable', 'DataBatch unreliable', 'End reliable']),
    );
    for (const { bytes, how: way } of manager.heard) {
      if (way === 'unreliable') expect(bytes.length).toBeLessThanOrEqual(1100);
    }
  });

  test('what does not fit into a datagram goes reliably, alone', async () => {
    const { agent, manager, finish, fill } = await world({ data: 'unreliable', maxUnreliableBytes: 1100 });
    fill(agent, 2);
    agent.persistDifferenceInMemory('long', 'CREATE', 'files', bytesOf(`"${'x'.repeat(5000)}"`));
    fill(agent, 2);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(how(manager)).toEqual([
      'Start reliable',
      'DataBatch unreliable',
      'DataValue reliable',
      'DataBatch unreliable',
      'End reliable',
    ]);
  });

  test('what is asked for again goes reliably, so that it has arrived before the next End', async () => {
    const { agent, manager, finish, fill } = await world({ data: 'unreliable', maxUnreliableBytes: 1100 });
    manager.loses = (seq, before) => seq % 3 === 0 && before === 0;
    fill(agent, 100);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true, retransmitted: 34 });
    const again = how(manager).slice(how(manager).indexOf('End reliable') + 1);
    expect(new Set(again)).toEqual(new Set(['DataBatch reliable', 'End reliable']));
    expect(manager.arrived).toHaveLength(100);
  });

  test('a datagram that the path does not take any more goes reliably', async () => {
    const { agent, manager, finish, fill } = await world({ data: 'unreliable', maxUnreliableBytes: 1100 });
    let calls = 0;
    manager.refusal = ({ type }) => {
      if (type === 'DataBatch' && ++calls === 1)
        throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', 'shorter');
      return undefined;
    };
    fill(agent, 100);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(how(manager).slice(0, 3)).toEqual([
      'Start reliable',
      'DataBatch reliable',
      'DataBatch unreliable',
    ]);
    expect(manager.items.map(({ seq }) => seq)).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });

  test('a connection that cannot do that carries everything reliably', async () => {
    const { agent, manager, finish, fill } = await world({ data: 'unreliable' });
    fill(agent, 3);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(new Set(manager.heard.map((each) => each.how))).toEqual(new Set(['reliable']));
  });

  test('Data that were only late end the retransmission when the manager says that it has everything', async () => {
    const { agent, manager, time, finish, fill } = await world({
      data: 'unreliable',
      maxUnreliableBytes: 1100,
      eps: 100,
    });
    manager.answers = {
      Start: (start) => [startAck(start)],
      End: (_, count) => (count === 0 ? [reqRet([[0, 99]])] : []),
    };
    fill(agent, 100);
    const call = agent.synchronizeModule('FULL');
    await time.passTo(200);
    expect(agent.state).toBe('DataTransfer');
    manager.send(endAck({ status: 'Processing' }));
    await time.passTo(400);
    expect(agent.state).toBe('WaitingEndAck');
    manager.send(endAck());
    const result = await finish(call);
    expect(result.success).toBe(true);
    expect(result.retransmitted).toBeLessThan(60);
  });
});
