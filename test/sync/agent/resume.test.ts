// What happens to a session that is interrupted, put off, forgotten or outdated, and to what it had to tell.

import { describe, expect, test } from 'vitest';
import { type AgentState, agentInputs, agentStates, nextAgentState } from '../../../src/sync/agent/states.js';
import { bytesOf, turns, world } from './agent-world.js';
import { type Answers, endAck, reqRet, startAck } from './fake-manager.js';

type World = Awaited<ReturnType<typeof world>>;

test('the states and what leads from one to the other are those of the source document', () => {
  const table = agentStates.flatMap((state) =>
    agentInputs.flatMap((input) => {
      const next = nextAgentState(state, input);
      return next === undefined ? [] : [`${state} ${input} ${next}`];
    }),
  );
  expect(table).toEqual([
    'Idle start WaitingStartAck',
    'WaitingStartAck startAck DataTransfer',
    'WaitingStartAck finish Idle',
    'DataTransfer end WaitingEndAck',
    'DataTransfer finish Idle',
    'WaitingEndAck reqRet DataTransfer',
    'WaitingEndAck finish Idle',
  ]);
});

/** Ways into each state, in which the agent then stays. */
const stays: { readonly [S in Exclude<AgentState, 'Idle'>]: Answers } = {
  WaitingStartAck: { Start: () => [] },
  // With a rate of one item a second.
  DataTransfer: {},
  WaitingEndAck: { End: () => [] },
};

async function stuckIn(
  state: keyof typeof stays,
): Promise<World & { call: ReturnType<World['agent']['synchronizeModule']> }> {
  const all = await world({ eps: state === 'DataTransfer' ? 1 : 0 });
  all.manager.answers = stays[state];
  await all.persist(5);
  const call = all.agent.synchronizeModule('DELTA');
  await all.time.passTo(10);
  expect(all.agent.state).toBe(state);
  return { ...all, call };
}

describe.each(Object.keys(stays) as (keyof typeof stays)[])('in %s', (state) => {
  test('stop ends the sync at once, the snapshot stays, and the next DELTA goes on with it', async () => {
    const { agent, manager, queue, time, call, finish } = await stuckIn(state);
    agent.stop();
    expect(await finish(call)).toMatchObject({ stopped: true, success: false, reason: undefined });
    expect(time.nowMs).toBe(10);
    expect(agent.state).toBe('Idle');
    expect(queue.counts.syncing).toBe(5);
    agent.reset();
    manager.answers = {};
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 5 });
    const [first, second] = manager.all('Start');
    expect(second).toEqual(first);
  });

  test('an aborted signal does so too', async () => {
    const all = await world({ eps: state === 'DataTransfer' ? 1 : 0 });
    all.manager.answers = stays[state];
    await all.persist(5);
    const controller = new AbortController();
    const call = all.agent.synchronizeModule('DELTA', { signal: controller.signal });
    await all.time.passTo(10);
    controller.abort();
    expect(await all.finish(call)).toMatchObject({ stopped: true });
    all.manager.answers = {};
    // It is the signal of that call alone.
    expect(await all.finish(all.agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
  });

  test('the loss of the connection ends the sync, and the next DELTA resumes it by the same nonce', async () => {
    const { agent, client, manager, queue, time, call, finish } = await stuckIn(state);
    manager.cut();
    expect(await finish(call, 10)).toMatchObject({
      success: false,
      reason: 'Disconnected',
      managerNotReady: true,
      consecutiveFailures: 1,
    });
    expect(queue.counts.syncing).toBe(5);
    expect(queue.count('resetSyncingItems')).toBe(0);
    expect(client.state).toBe('RECONNECTING');
    await time.passTo(2000);
    expect(client.state).toBe('CONNECTED');
    // The manager has had the session, and lacks one item of it.
    manager.forget();
    manager.answers = {
      Start: (start) => [startAck(start, { resumed: true })],
      End: (_, count) => [count === 0 ? reqRet([[3, 3]]) : endAck()],
    };
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: true,
      items: 5,
      consecutiveFailures: 0,
    });
    expect(manager.types).toEqual(['Start', 'End', 'DataValue', 'End']);
    expect(manager.items.map(({ seq }) => seq)).toEqual([3]);
    expect(queue.counts).toEqual({ pending: 0, syncing: 0, parked: 0 });
  });

  test('close ends the sync and the agent, and not the queue', async () => {
    const { agent, client, queue, call, finish } = await stuckIn(state);
    const closed = agent.close();
    expect(await finish(call)).toMatchObject({ stopped: true });
    await closed;
    await expect(agent.synchronizeModule('DELTA')).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await expect(agent.persistDifferences([])).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    expect(queue.count('close')).toBe(0);
    // Its name is free.
    expect(client.agent({ module: 'fim' }).module).toBe('fim');
  });
});

describe('a session that the manager has had before', () => {
  test('is asked for by End, and no Data are sent that it has', async () => {
    const { agent, manager, finish, persist } = await world();
    await persist(4);
    manager.answers = {
      Start: (start) => [startAck(start, { resumed: true })],
      End: () => [endAck({ rejected: 1n })],
    };
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: true,
      bytes: 0,
      rejected: 1,
    });
    expect(manager.types).toEqual(['Start', 'End']);
  });

  test('may lack all of it', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    await persist(4);
    manager.answers = { Start: (start) => [startAck(start, { resumed: true })] };
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject({ success: true, items: 4, retransmitted: 0 });
    expect(manager.items).toHaveLength(4);
    expect(queue.calls.slice(1)).toEqual(['fetchAndMarkForSync', 'markSent', 'clearSyncedItems']);
  });

  test('of a CHECK is told the checksum again', async () => {
    const { agent, manager, finish } = await world();
    manager.answers = { Start: (start) => [startAck(start, { resumed: true })] };
    expect(await finish(agent.requiresFullSync('i', '0'.repeat(40)))).toBe('valid');
    expect(manager.types).toEqual(['Start', 'ChecksumModule', 'End']);
  });
});

describe('a session that the manager has forgotten', () => {
  test.each(['UnknownSession', 'SessionExpired'] as const)(
    'by %s is begun once more, with the same Start',
    async (reason) => {
      const { agent, manager, queue, finish, persist } = await world();
      manager.answers = {
        End: (_, count) => (count === 0 ? [endAck({ status: 'Error', reason })] : undefined),
      };
      await persist(3);
      expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 3 });
      expect(manager.types).toEqual(['Start', 'DataBatch', 'End', 'Start', 'DataBatch', 'End']);
      const starts = manager.heard.filter(({ message }) => message.type === 'Start');
      expect(starts[1]?.bytes).toEqual(starts[0]?.bytes);
      expect(queue.count('resetSyncingItems')).toBe(0);
    },
  );

  test('is noticed while Data are sent', async () => {
    const { agent, manager, finish, fill } = await world({ eps: 10 });
    manager.answers = {
      DataBatch: (_, count) => (count === 0 ? [endAck({ status: 'Error', reason: 'UnknownSession' })] : []),
    };
    fill(agent, 30);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(manager.all('Start')).toHaveLength(2);
    expect(manager.items.length).toBeLessThan(60);
  });

  test('each time fails the sync after as many tries as there are retries', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = { End: () => [endAck({ status: 'Error', reason: 'UnknownSession' })] };
    await persist(3);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'SessionLost',
      managerReason: 'UnknownSession',
    });
    expect(manager.all('Start')).toHaveLength(4);
    expect(queue.count('resetSyncingItems')).toBe(1);
  });
});

describe('a generation that the manager has seen', () => {
  const stale = (generation: bigint): Answers => ({
    Start: (start, count) =>
      count === 0 ? [startAck(start, { status: 'Error', reason: 'StaleGeneration', generation })] : undefined,
  });

  test('of a DELTA is followed by a new snapshot with a later one', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = stale(10n ** 9n);
    await persist(3);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 3 });
    const [first, second] = manager.all('Start');
    expect(second?.generation).toBeGreaterThan(10n ** 9n);
    expect(second?.nonce).not.toBe(first?.nonce);
    expect(queue.calls.slice(1)).toEqual([
      'fetchAndMarkForSync',
      'resetSyncingItems',
      'raiseGeneration',
      'fetchAndMarkForSync',
      'markSent',
      'clearSyncedItems',
    ]);
  });

  test.each([true, false])('of a FULL likewise (without a queue: %s)', async (noQueue) => {
    const { agent, manager, finish, fill } = await world({ noQueue });
    manager.answers = stale(10n ** 9n);
    fill(agent, 3);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true, items: 3 });
    expect(manager.all('Start')[1]?.generation).toBeGreaterThan(10n ** 9n);
  });

  test('twice in one call fails it', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = {
      Start: (start) => [
        startAck(start, { status: 'Error', reason: 'StaleGeneration', generation: start.generation }),
      ],
    };
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'StaleGeneration',
      managerReason: 'StaleGeneration',
    });
    expect(manager.all('Start')).toHaveLength(2);
  });

  test.each(['FULL', 'DELTA'] as const)(
    'of a %s, of which EndAck names none, is told by the answer to the next Start',
    async (mode) => {
      const { agent, manager, finish, fill, persist } = await world();
      manager.answers = {
        Start: (start, count) =>
          count === 1
            ? [startAck(start, { status: 'Error', reason: 'StaleGeneration', generation: 10n ** 9n })]
            : undefined,
        End: (_, count) =>
          count === 0 ? [endAck({ status: 'Error', reason: 'StaleGeneration' })] : undefined,
      };
      fill(agent, 3);
      await persist(3);
      expect(await finish(agent.synchronizeModule(mode))).toMatchObject({ success: true, items: 3 });
      const generations = manager.all('Start').map(({ generation }) => generation);
      expect(generations).toHaveLength(3);
      expect(generations[2]).toBeGreaterThan(10n ** 9n);
    },
  );

  test.each(['FULL', 'DELTA'] as const)(
    'of a %s, of which EndAck never names one, fails it the second time',
    async (mode) => {
      const { agent, manager, finish, fill, persist } = await world();
      manager.answers = { End: () => [endAck({ status: 'Error', reason: 'StaleGeneration' })] };
      fill(agent, 3);
      await persist(3);
      expect(await finish(agent.synchronizeModule(mode))).toMatchObject({ reason: 'StaleGeneration' });
      expect(manager.all('Start')).toHaveLength(2);
    },
  );

  test('by which a call fails is raised all the same: the next one begins above it', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = {
      Start: (start, count) => {
        const generation = 10n ** 9n * BigInt(count + 1);
        return [startAck(start, { status: 'Error', reason: 'StaleGeneration', generation })];
      },
    };
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'StaleGeneration' });
    manager.answers = {};
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(manager.all('Start').at(-1)?.generation).toBeGreaterThan(2n * 10n ** 9n);
  });

  test.each([
    [0n, true],
    [1n, false],
  ])('ten years ahead of the clock and %s more: is begun above: %s', async (more, isTaken) => {
    const { agent, manager, queue, finish, persist } = await world();
    const generation = 10n * 31_557_600_000_000n + more;
    manager.answers = stale(generation);
    await persist(1);
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject(isTaken ? { success: true } : { success: false, reason: 'Protocol' });
    expect(queue.count('raiseGeneration')).toBe(isTaken ? 1 : 0);
  });

  test('that leaves none for later ones is a fault, and raises nothing', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = stale(2n ** 64n - 1n);
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Protocol',
    });
    expect(queue.count('raiseGeneration')).toBe(0);
    manager.answers = {};
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
  });
});

describe('a manager that cannot now', () => {
  const busyUntil = (time: World['time'], atMs: number, retryAfterMs: number): Answers => ({
    Start: (start) =>
      time.nowMs < atMs ? [startAck(start, { status: 'Offline', retryAfterMs, reason: 'Busy' })] : undefined,
  });

  test('and says when it can is asked again then, and no retry is used up', async () => {
    const { agent, manager, time, states, waits, log, finish, persist } = await world({ retries: 0 });
    manager.answers = busyUntil(time, 50_000, 2000);
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: true,
      consecutiveFailures: 0,
    });
    expect(manager.all('Start')).toHaveLength(26);
    expect(waits).toEqual(Array(25).fill(2000));
    expect(states.slice(0, 4)).toEqual(['WaitingStartAck', 'Idle', 'WaitingStartAck', 'Idle']);
    expect(log.filter((line) => line === 'info Waiting')).toHaveLength(20 + 5);
    expect(new Set(manager.all('Start').map(({ nonce }) => nonce)).size).toBe(1);
  });

  test('is asked again up to a quarter later than it said, by chance', async () => {
    const { agent, manager, time, waits, finish, persist } = await world({ random: () => 0.5 });
    manager.answers = busyUntil(time, 1, 8000);
    await persist(1);
    await finish(agent.synchronizeModule('DELTA'));
    expect(waits).toEqual([9000]);
    expect(time.nowMs).toBe(9000);
  });

  test('is not asked without a pause, however soon it says', async () => {
    const { agent, manager, time, finish, persist } = await world({ admissionTimeoutMs: 10_000 });
    manager.answers = busyUntil(time, 10 ** 9, 1);
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'Offline' });
    expect(manager.all('Start').length).toBeLessThanOrEqual(101);
  });

  test('is waited for no longer than admissionTimeoutMs, and the snapshot stays', async () => {
    const { agent, manager, queue, time, finish, persist } = await world();
    manager.answers = busyUntil(time, 10 ** 9, 60_000);
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Offline',
      managerReason: 'Busy',
      managerNotReady: true,
    });
    expect(time.nowMs).toBe(600_000);
    expect(queue.counts.syncing).toBe(1);
  });

  test('is not waited for with waitForAdmission: false', async () => {
    const { agent, manager, time, finish, persist } = await world({ waitForAdmission: false });
    manager.answers = busyUntil(time, 1, 1000);
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'Offline' });
    expect(time.nowMs).toBe(0);
  });

  test('is waited for until stop, or the loss of the connection', async () => {
    for (const [end, expected] of [
      ['stop', { stopped: true }],
      ['cut', { reason: 'Disconnected' }],
    ] as const) {
      const { agent, manager, time, finish, persist } = await world();
      manager.answers = busyUntil(time, 10 ** 9, 60_000);
      await persist(1);
      const call = agent.synchronizeModule('DELTA');
      await time.passTo(1000);
      expect(agent.state).toBe('Idle');
      if (end === 'stop') agent.stop();
      else manager.cut();
      expect(await finish(call, 1000)).toMatchObject({ success: false, ...expected });
    }
  });

  test('apply the Data and says when it can is sent the same Start again then, and only what it lacks', async () => {
    const { agent, manager, time, states, waits, finish, persist } = await world({ retries: 0 });
    const busy = [
      endAck({ status: 'Processing' }),
      endAck({ status: 'Offline', retryAfterMs: 5000, reason: 'StoreFull' }),
    ];
    manager.answers = {
      Start: (start, count) => [startAck(start, { resumed: count > 0 })],
      End: () => (time.nowMs < 15_000 ? busy : undefined),
    };
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: true,
      consecutiveFailures: 0,
      retransmitted: 0,
    });
    expect(manager.types).toEqual(['Start', 'DataBatch', 'End', ...Array(3).fill(['Start', 'End']).flat()]);
    const starts = manager.heard.filter(({ message }) => message.type === 'Start');
    expect(new Set(starts.map(({ bytes }) => Buffer.from(bytes).toString('hex'))).size).toBe(1);
    expect(starts.map(({ atMs }) => atMs)).toEqual([0, 5000, 10_000, 15_000]);
    expect(waits).toEqual([5000, 5000, 5000]);
    expect(states.slice(0, 5)).toEqual([
      'WaitingStartAck',
      'DataTransfer',
      'WaitingEndAck',
      'Idle',
      'WaitingStartAck',
    ]);
  });

  const offline = endAck({ status: 'Offline', retryAfterMs: 5000, reason: 'StoreFull' });
  test.each([
    ['at once', () => [offline]],
    ['after Processing', () => [endAck({ status: 'Processing' }), offline]],
    ['after it has asked for Data again', (_, count) => (count % 2 === 0 ? [reqRet([[1, 1]])] : [offline])],
  ] satisfies [string, Answers['End']][])(
    'apply the Data, %s, for admissionTimeoutMs fails the sync, and the snapshot stays',
    async (_, end) => {
      const { agent, manager, queue, time, finish, persist } = await world({ admissionTimeoutMs: 60_000 });
      manager.answers = { End: end };
      await persist(2);
      expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
        success: false,
        reason: 'Offline',
        managerReason: 'StoreFull',
        managerNotReady: true,
      });
      expect(time.nowMs).toBe(60_000);
      expect(new Set(manager.all('Start').map(({ nonce }) => nonce)).size).toBe(1);
      expect(queue.counts.syncing).toBe(2);
    },
  );

  test('and gets further each time is waited for anew', async () => {
    const { agent, manager, waits, finish, persist } = await world({ admissionTimeoutMs: 6000 });
    // It lacks one item less after each delay.
    manager.answers = {
      Start: (start, count) => [startAck(start, { resumed: count > 0 })],
      End: (_, count) => {
        if (count === 10) return [endAck()];
        return count % 2 === 0 ? [reqRet([[count / 2, 9]])] : [offline];
      },
    };
    await persist(10);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(waits).toEqual(Array(5).fill(5000));
  });
});

describe('a queue that fails', () => {
  test('before the first Data fails the sync, and nothing has left', async () => {
    const { agent, manager, queue, log, finish, persist } = await world();
    queue.failing.add('markSent');
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'QueueFailed',
    });
    expect(manager.types).toEqual(['Start']);
    expect(agent.state).toBe('Idle');
    expect(log).toContain('error Queue');
    queue.failing.clear();
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 2 });
  });

  test('to reset its items does not hide why the sync failed', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    queue.failing.add('resetSyncingItems');
    manager.answers = { End: () => [endAck({ status: 'Error' })] };
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Refused',
    });
  });

  test.each(['nextGeneration', 'beginFull'])(
    'by %s fails a FULL, and what is in memory stays',
    async (name) => {
      const { agent, queue, finish, fill } = await world();
      queue.failing.add(name);
      fill(agent, 2);
      expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({
        success: false,
        reason: 'QueueFailed',
      });
      expect(agent.inMemoryCount).toBe(2);
    },
  );

  test('its snapshot is cleaned away while it is sent fails the sync, and the next one tells what is left', async () => {
    const { agent, manager, queue, time, finish, persist } = await world({ eps: 1 });
    await persist(3);
    await agent.persistDifference('x', 'CREATE', 'other', bytesOf('{}'));
    const call = agent.synchronizeModule('DELTA');
    await time.passTo(10);
    await queue.clearItemsByIndex('files');
    expect(await finish(call)).toMatchObject({ success: false, reason: 'QueueFailed' });
    manager.forget();
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 1 });
    expect(manager.items[0]?.item).toMatchObject({ id: 'x' });
  });
});

test('differences that come during a DELTA wait for the next one', async () => {
  const { agent, manager, queue, finish, persist } = await world();
  manager.answers = { End: () => [] };
  await persist(2);
  const call = agent.synchronizeModule('DELTA');
  await turns(3);
  await agent.persistDifference('id0', 'MODIFY', 'files', bytesOf('{"new":1}'));
  manager.send(endAck());
  expect(await finish(call)).toMatchObject({ success: true, items: 2 });
  expect(queue.counts).toEqual({ pending: 1, syncing: 0, parked: 0 });
  manager.answers = {};
  expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 1 });
  const [first, second] = manager.all('Start');
  expect(second?.generation).toBeGreaterThan(first?.generation ?? 0n);
});

test('what is created, sent and deleted is told as deleted, though the first session failed', async () => {
  const { agent, manager, finish } = await world({ retries: 0 });
  manager.answers = { End: () => [endAck({ status: 'Error' })] };
  await agent.persistDifference('ghost', 'CREATE', 'files', bytesOf('{}'));
  expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'Refused' });
  await agent.persistDifference('ghost', 'DELETE', 'files', bytesOf(''));
  manager.answers = {};
  manager.forget();
  expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 1 });
  expect(manager.items[0]?.item).toMatchObject({ id: 'ghost', operation: 'Delete' });
});

test('what a FULL told is told as deleted, though its CREATE waits', async () => {
  const { agent, manager, finish } = await world();
  await agent.persistDifference('ghost', 'CREATE', 'files', bytesOf('{}'));
  agent.persistDifferenceInMemory('ghost', 'CREATE', 'files', bytesOf('{}'));
  expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
  await agent.persistDifference('ghost', 'DELETE', 'files', bytesOf(''));
  manager.forget();
  expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 1 });
  expect(manager.items[0]?.item).toMatchObject({ id: 'ghost', operation: 'Delete' });
});

describe('a document that a FULL tells while its differences come', () => {
  const deleted = { id: 'ghost', operation: 'DELETE', index: 'files', data: bytesOf('') } as const;
  const created = { ...deleted, operation: 'CREATE', data: bytesOf('{}') } as const;

  test.each(['before Start', 'before StartAck', 'after memory was cleared', 'before EndAck'])(
    'is told as deleted, when that came %s',
    async (when) => {
      const { agent, manager, queue, finish } = await world();
      await agent.persistDifferences([created]);
      agent.persistDifferenceInMemory('ghost', 'CREATE', 'files', bytesOf('{}'));
      if (when === 'before Start') await agent.persistDifferences([deleted]);
      manager.answers = { Start: () => [], End: () => [] };
      const call = agent.synchronizeModule('FULL');
      await turns(3);
      if (when === 'after memory was cleared') agent.clearInMemoryData();
      if (when === 'before StartAck' || when === 'after memory was cleared') {
        await agent.persistDifferences([deleted]);
      }
      const [start] = manager.all('Start');
      if (start === undefined) throw new Error('there is no Start');
      manager.send(startAck(start));
      await turns(3);
      expect(manager.types).toEqual(['Start', 'DataValue', 'End']);
      if (when === 'before EndAck') await agent.persistDifferences([deleted]);
      manager.send(endAck());
      expect(await finish(call)).toMatchObject({ success: true });
      expect(queue.fetchPendingItems().map(({ difference }) => difference.operation)).toEqual(['DELETE']);
    },
  );

  test('is told as deleted, when it was created while the FULL was under way, and deleted afterwards', async () => {
    const { agent, manager, queue, finish } = await world();
    agent.persistDifferenceInMemory('ghost', 'CREATE', 'files', bytesOf('{}'));
    manager.answers = { End: () => [] };
    const call = agent.synchronizeModule('FULL');
    await turns(3);
    await agent.persistDifferences([created]);
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true });
    await agent.persistDifferences([deleted]);
    expect(queue.fetchPendingItems().map(({ difference }) => difference.operation)).toEqual(['DELETE']);
  });

  test('is told as deleted, when it was created while the queue hears that the FULL is over', async () => {
    const { agent, queue, finish } = await world();
    agent.persistDifferenceInMemory('ghost', 'CREATE', 'files', bytesOf('{}'));
    const endFull = queue.endFull.bind(queue);
    queue.endFull = async () => {
      await endFull();
      await agent.persistDifferences([created]);
    };
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    await agent.persistDifferences([deleted]);
    expect(queue.fetchPendingItems().map(({ difference }) => difference.operation)).toEqual(['DELETE']);
  });

  test('keeps the order of its differences, whichever of them has to be marked first', async () => {
    const { agent, queue } = await world();
    agent.persistDifferenceInMemory('other', 'CREATE', 'files', bytesOf('{}'));
    const kept = [created, deleted, created, deleted, created].map((each) =>
      agent.persistDifferences([each]),
    );
    await Promise.all(kept);
    expect(queue.fetchPendingItems().map(({ difference }) => difference.operation)).toEqual(['CREATE']);
    expect(queue.calls.filter((call) => call === 'submit')).toHaveLength(5);
    expect(queue.count('markKnown')).toBe(2);
  });

  test('that cannot be marked is not submitted, and those behind it are', async () => {
    const { agent, queue } = await world();
    agent.persistDifferenceInMemory('other', 'CREATE', 'files', bytesOf('{}'));
    await agent.persistDifferences([created]);
    queue.failing.add('markKnown');
    const results = await Promise.allSettled([
      agent.persistDifferences([deleted]),
      agent.persistDifferences([{ ...created, id: 'next' }]),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(queue.fetchPendingItems().map(({ difference }) => difference.id)).toEqual(['ghost', 'next']);
    // Nothing waits any more.
    queue.failing.clear();
    await agent.persistDifferences([deleted]);
    expect(queue.counts.pending).toBe(2);
  });
});
