// The handshake of an agent (source document, "Protocol Lifecycle"; edge cases 1 to 33 of the agent).

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { LogLevel } from '../../../src/sync/agent/agent.js';
import type { AgentMetadata } from '../../../src/sync/wire/messages.js';
import { bytesOf, world } from './agent-world.js';
import { endAck, reqRet, startAck } from './fake-manager.js';

const silent = { Start: () => [] };
const silentEnd = { End: () => [] };

describe('what is checked before Start', () => {
  test('case 1: without a connection every call that syncs fails, and nothing is fetched', async () => {
    const { agent, client, queue, manager, persist } = await world();
    await persist(1);
    client.disconnect();
    const expected = { success: false, reason: 'NotConnected', managerNotReady: true, stopped: false };
    expect(await agent.synchronizeModule('DELTA')).toMatchObject(expected);
    expect(await agent.synchronizeModule('FULL')).toMatchObject(expected);
    expect(await agent.synchronizeMetadataOrGroups('METADATA_DELTA', ['a'], 1n)).toMatchObject(expected);
    expect(await agent.notifyDataClean(['a'])).toMatchObject(expected);
    expect(await agent.requiresFullSync('a', '0'.repeat(40))).toBe('unknown');
    expect(queue.calls).toEqual(['submit']);
    expect(manager.heard).toEqual([]);
    expect(agent.consecutiveFailures).toBe(0);
  });

  test('case 2: a sync after stop results in stopped, whatever else is wrong, until reset', async () => {
    const { agent, client } = await world();
    client.disconnect();
    agent.stop();
    expect(await agent.synchronizeModule('DELTA')).toMatchObject({
      success: false,
      stopped: true,
      reason: undefined,
    });
    agent.reset();
    expect(await agent.synchronizeModule('DELTA')).toMatchObject({ stopped: false, reason: 'NotConnected' });
  });

  test('case 3: a queue that cannot be read fails a DELTA, and the log says so', async () => {
    const { agent, queue, log, manager, finish } = await world();
    queue.failing.add('fetchAndMarkForSync');
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject({ success: false, reason: 'QueueFailed' });
    expect(result.failureReason).toContain('fetchAndMarkForSync failed');
    expect(log).toContain('error Queue');
    expect(manager.heard).toEqual([]);
  });

  test('case 4: with nothing to tell, DELTA and FULL succeed without any message', async () => {
    const { agent, manager, states, finish } = await world();
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: true,
      items: 0,
      skipped: false,
    });
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true, items: 0 });
    expect(manager.heard).toEqual([]);
    expect(states).toEqual([]);
  });

  test('case 13: a mode of other calls fails synchronizeModule, and the queue is not touched', async () => {
    const { agent, queue, manager, finish, persist } = await world();
    await persist(1);
    const result = await finish(agent.synchronizeModule('CHECK' as 'FULL'));
    expect(result).toMatchObject({ success: false, reason: 'InvalidMode' });
    expect(queue.calls).toEqual(['submit']);
    expect(manager.heard).toEqual([]);
  });

  test('case 15: Start waits for the metadata, which are asked for each second', async () => {
    let asked = 0;
    const { agent, manager, time, log, finish, fill } = await world({
      metadata: () => (++asked < 4 ? undefined : { agentName: 'gate' }),
    });
    fill(agent, 1);
    const result = await finish(agent.synchronizeModule('FULL'));
    expect(result.success).toBe(true);
    expect(asked).toBe(4);
    expect(time.nowMs).toBe(3000);
    expect(manager.all('Start')[0]?.metadata).toMatchObject({ agentName: 'gate' });
    expect(log.filter((line) => line === 'info Metadata')).toHaveLength(1);
  });

  test('metadata that throw are as those that are not there, and the log warns once', async () => {
    let asked = 0;
    const { agent, time, log, finish, fill } = await world({
      metadata: async () => {
        if (++asked < 3) throw new Error('no table yet');
        return {};
      },
    });
    fill(agent, 1);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(time.nowMs).toBe(2000);
    expect(log.filter((line) => line === 'warning Metadata')).toHaveLength(1);
  });

  test('case 16: stop ends the wait for metadata, also when these never come', async () => {
    for (const metadata of [() => undefined, () => new Promise<undefined>(() => undefined)]) {
      const { agent, manager, time, finish, fill } = await world({ metadata });
      fill(agent, 1);
      const call = agent.synchronizeModule('FULL');
      await time.passTo(2500);
      agent.stop();
      expect(await finish(call)).toMatchObject({ stopped: true, success: false });
      expect(manager.heard).toEqual([]);
    }
  });

  test('metadata that are in no Start fail the sync, and nothing is sent', async () => {
    const { agent, manager, finish, fill } = await world({ metadata: { hostname: 'h'.repeat(2000) } });
    fill(agent, 1);
    const result = await finish(agent.synchronizeModule('FULL'));
    expect(result).toMatchObject({ success: false, reason: 'InvalidStart' });
    expect(agent.inMemoryCount).toBe(1);
    expect(manager.heard).toEqual([]);
  });

  test('metadata that leave Start no room are named, and the snapshot of a DELTA stays as it is', async () => {
    const groups = Array.from({ length: 100 }, (_, n) => String(n).padEnd(1000, 'g'));
    let metadata: AgentMetadata = { groups };
    const { agent, manager, queue, finish, persist } = await world({ metadata: () => metadata });
    await persist(2);
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject({ success: false, reason: 'InvalidStart', managerNotReady: false });
    expect(result.failureReason).toContain('metadata');
    expect(manager.heard).toEqual([]);
    expect(queue.count('resetSyncingItems')).toBe(0);
    expect(queue.counts.syncing).toBe(2);
    metadata = {};
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 2 });
  });

  test('indices that leave Start no room are named', async () => {
    const { agent, manager, finish } = await world({ metadata: { hostname: 'h' } });
    for (let n = 0; n < 300; ++n) {
      agent.persistDifferenceInMemory('id', 'CREATE', String(n).padEnd(250, 'i'), bytesOf('{}'));
    }
    const result = await finish(agent.synchronizeModule('FULL'));
    expect(result).toMatchObject({ success: false, reason: 'InvalidStart' });
    expect(result.failureReason).toContain('indices');
    expect(manager.heard).toEqual([]);
  });
});

describe('Start and StartAck', () => {
  test('Start says what the snapshot is, and all states are passed in their order', async () => {
    const { agent, manager, queue, states, finish } = await world({
      metadata: { agentId: '007', groups: ['web'] },
    });
    await agent.persistDifferences([
      { id: '1', operation: 'CREATE', index: 'b', data: bytesOf('{}') },
      { id: '2', operation: 'MODIFY', index: 'a', data: bytesOf('{}'), version: 5n },
      { id: '3', operation: 'DELETE', index: 'b', data: bytesOf('') },
      { id: '4', operation: 'CREATE', index: 'c', data: bytesOf('{}'), isContext: true },
    ]);
    const result = await finish(agent.synchronizeModule('DELTA', { option: 'VDSync' }));
    expect(result).toMatchObject({ success: true, items: 4, rejected: 0, retransmitted: 0, skipped: false });
    expect(manager.all('Start')).toEqual([
      expect.objectContaining({
        module: 'fim',
        mode: 'DELTA',
        size: 4n,
        // Those of values alone, each once and sorted.
        indices: ['a', 'b'],
        option: 'VDSync',
        globalVersion: 0n,
      }),
    ]);
    const [start] = manager.all('Start');
    expect(start?.nonce).not.toBe(0n);
    expect(start?.generation).not.toBe(0n);
    expect(start?.metadata).toMatchObject({ agentId: '007', groups: ['web'] });
    expect(states).toEqual(['WaitingStartAck', 'DataTransfer', 'WaitingEndAck', 'Idle']);
    expect(agent.state).toBe('Idle');
    expect(queue.counts).toEqual({ pending: 0, syncing: 0, parked: 0 });
  });

  test('case 27: a DELTA that the manager applies clears the synced items once', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    await persist(5);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: true,
      failureReason: '',
      reason: undefined,
      managerNotReady: false,
      consecutiveFailures: 0,
    });
    expect(manager.types).toEqual(['Start', 'DataBatch', 'End']);
    expect(queue.calls).toEqual(['submit', 'fetchAndMarkForSync', 'markSent', 'clearSyncedItems']);
  });

  test('markSent is kept before the first Data leave', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    await persist(1);
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const markSent = queue.markSent.bind(queue);
    queue.markSent = async (snapshot) => {
      await held;
      await markSent(snapshot);
    };
    const call = agent.synchronizeModule('DELTA');
    await new Promise((resolve) => setImmediate(resolve));
    expect(manager.types).toEqual(['Start']);
    release();
    expect(await finish(call)).toMatchObject({ success: true });
  });

  test('case 5: a FULL sends what is in memory, and the queue is not asked for items', async () => {
    const { agent, manager, queue, finish, fill } = await world();
    fill(agent, 3);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true, items: 3 });
    expect(manager.items.map(({ seq }) => seq)).toEqual([0, 1, 2]);
    expect(manager.all('Start')[0]).toMatchObject({ mode: 'FULL', size: 3n, indices: ['files'] });
    expect(queue.calls).toEqual(['nextGeneration', 'beginFull', 'endFull']);
    expect(agent.inMemoryCount).toBe(0);
  });

  test('case 6: a FULL whose Start is not answered fails, what is in memory stays, and more can be added', async () => {
    const { agent, manager, time, finish, fill } = await world();
    manager.answers = silent;
    fill(agent, 2);
    const result = await finish(agent.synchronizeModule('FULL'));
    expect(result).toMatchObject({
      success: false,
      reason: 'StartTimeout',
      managerNotReady: true,
      consecutiveFailures: 1,
    });
    expect(result.failureReason).not.toBe('');
    expect(time.nowMs).toBe(120_000);
    fill(agent, 3);
    expect(agent.inMemoryCount).toBe(5);
  });

  test('Start is sent once and thrice again, 30 seconds apart, each copy the same', async () => {
    const { agent, manager, log, finish, persist } = await world();
    manager.answers = silent;
    await persist(1);
    await finish(agent.synchronizeModule('DELTA'));
    expect(manager.heard.map(({ atMs }) => atMs)).toEqual([0, 30_000, 60_000, 90_000]);
    for (const { bytes } of manager.heard) expect(bytes).toEqual(manager.heard[0]?.bytes);
    expect(log.filter((line) => line === 'info Resent')).toHaveLength(3);
  });

  test('jitter makes a wait for an answer up to a quarter longer', async () => {
    const { agent, manager, time, finish, fill } = await world({ random: () => 0.999_999_999 });
    manager.answers = silent;
    fill(agent, 1);
    await finish(agent.synchronizeModule('FULL'));
    expect(manager.heard.map(({ atMs }) => Math.round(atMs))).toEqual([0, 37_500, 75_000, 112_500]);
    expect(Math.round(time.nowMs)).toBe(150_000);
  });

  test('the waits for an answer grow as the option backoff says', async () => {
    const { agent, manager, finish, fill } = await world({
      responseTimeoutMs: 1000,
      retries: 4,
      backoff: { multiplier: 2, maxMs: 5000 },
    });
    manager.answers = silent;
    fill(agent, 1);
    await finish(agent.synchronizeModule('FULL'));
    expect(manager.heard.map(({ atMs }) => atMs)).toEqual([0, 1000, 3000, 7000, 12_000]);
  });

  test('retries: 0 sends Start once', async () => {
    const { agent, manager, time, finish, fill } = await world({ retries: 0, responseTimeoutMs: 500 });
    manager.answers = silent;
    fill(agent, 1);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ reason: 'StartTimeout' });
    expect(manager.types).toEqual(['Start']);
    expect(time.nowMs).toBe(500);
  });

  test('case 7: failures in a row are counted, and the log warns from the fourth on', async () => {
    const { agent, manager, finish, fill } = await world({ retries: 0 });
    manager.answers = silent;
    fill(agent, 1);
    const levels: LogLevel[] = [];
    agent.on('log', (level, code) => {
      if (code === 'Failed') levels.push(level);
    });
    for (const count of [1, 2, 3, 4, 5]) {
      const result = await finish(agent.synchronizeModule('FULL'));
      expect(result.consecutiveFailures).toBe(count);
    }
    expect(levels).toEqual(['info', 'info', 'info', 'warning', 'warning']);
  });

  test('case 8: a StartAck Offline that names no delay fails at once, and is no refusal for good', async () => {
    const { agent, manager, queue, time, finish, persist } = await world();
    manager.answers = { Start: (start) => [startAck(start, { status: 'Offline', session: 2n ** 64n - 1n })] };
    await persist(1);
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject({ success: false, reason: 'Offline', managerNotReady: true });
    expect(manager.types).toEqual(['Start']);
    expect(time.nowMs).toBe(0);
    expect(queue.count('resetSyncingItems')).toBe(0);
    expect(queue.counts.syncing).toBe(1);
  });

  test('case 14: a Start that the connection never takes fails the sync, and the snapshot stays', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.refusal = () => 'ERR_HAWSER_QUEUE_FULL';
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'StartTimeout',
    });
    expect(queue.count('resetSyncingItems')).toBe(0);
    expect(queue.counts.syncing).toBe(1);
    expect(manager.heard).toEqual([]);
  });

  test('case 17: a StartAck Error fails the sync without another try, and the items are reset once', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = {
      Start: (start) => [startAck(start, { status: 'Error', reason: 'TooManyItems' })],
    };
    await persist(1);
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject({
      success: false,
      reason: 'Refused',
      managerReason: 'TooManyItems',
      managerNotReady: false,
    });
    expect(result.failureReason).toContain('TooManyItems');
    expect(manager.types).toEqual(['Start']);
    expect(queue.count('resetSyncingItems')).toBe(1);
  });

  test.each(['ChecksumMismatch', 'Processing'] as const)(
    'a StartAck %s is a fault, not a success',
    async (status) => {
      const { agent, manager, finish, persist } = await world();
      manager.answers = { Start: (start) => [startAck(start, { status })] };
      await persist(1);
      expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
        success: false,
        reason: 'Protocol',
      });
      expect(manager.types).toEqual(['Start']);
    },
  );

  test('case 18: without a StartAck the snapshot stays, and the next DELTA sends the same Start', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = silent;
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'StartTimeout' });
    expect(queue.count('resetSyncingItems')).toBe(0);
    expect(queue.counts).toMatchObject({ pending: 0, syncing: 1 });
    manager.answers = {};
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 1 });
    const starts = manager.all('Start');
    expect(starts).toHaveLength(5);
    expect(new Set(starts.map(({ nonce }) => nonce)).size).toBe(1);
    expect(queue.counts).toMatchObject({ pending: 0, syncing: 0 });
  });

  test('a StartAck that comes late, after Start was sent again, begins one session, and its copies change nothing', async () => {
    const { agent, manager, time, log, finish, persist } = await world();
    manager.answers = { Start: () => [], End: () => [] };
    await persist(3);
    const call = agent.synchronizeModule('DELTA');
    await time.passTo(31_000);
    const [start] = manager.all('Start');
    expect(manager.all('Start')).toHaveLength(2);
    if (start === undefined) throw new Error('there is no Start');
    manager.send(startAck(start, { session: 5n }));
    await time.passTo(31_001);
    manager.send(startAck(start, { session: 5n, resumed: true }), startAck(start, { session: 6n }));
    await time.passTo(31_002);
    expect(agent.state).toBe('WaitingEndAck');
    expect(log.filter((line) => line === 'debug Late')).toHaveLength(2);
    manager.send(endAck({ session: 5n }));
    expect(await finish(call)).toMatchObject({ success: true });
    expect(new Set(manager.items.map(({ session }) => session))).toEqual(new Set([5n]));
    expect(manager.all('End').map(({ session }) => session)).toEqual([5n]);
  });

  test.each([0n, 2n ** 64n - 1n])('a session %d is one like any other', async (session) => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = { Start: (start) => [startAck(start, { session })] };
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(manager.items[0]?.session).toBe(session);
  });
});

describe('End and EndAck', () => {
  test('case 9: an EndAck Offline that names no delay fails the sync, and the snapshot stays', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = { End: () => [endAck({ status: 'Offline' })] };
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Offline',
      managerNotReady: true,
    });
    expect(queue.counts.syncing).toBe(1);
    expect(queue.count('resetSyncingItems')).toBe(0);
  });

  test('case 10: an End that is not answered is sent thrice again, and then fails the sync', async () => {
    const { agent, manager, finish, fill } = await world();
    manager.answers = silentEnd;
    fill(agent, 1);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({
      success: false,
      reason: 'EndTimeout',
      managerNotReady: true,
    });
    const ends = manager.heard.filter(({ message }) => message.type === 'End');
    expect(ends.map(({ atMs }) => atMs)).toEqual([0, 30_000, 60_000, 90_000]);
    expect(agent.inMemoryCount).toBe(1);
  });

  test('case 26: without an EndAck the snapshot stays, and the next DELTA resumes its session', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = silentEnd;
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: false });
    expect(queue.count('resetSyncingItems')).toBe(0);
    expect(queue.count('clearSyncedItems')).toBe(0);
    const [first] = manager.all('Start');
    manager.forget();
    manager.answers = { Start: (start) => [startAck(start, { resumed: true })] };
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, bytes: 0 });
    expect(manager.all('Start')).toEqual([first]);
  });

  test('case 11: a stopped sync does not change how many failed in a row', async () => {
    const { agent, manager, finish, fill } = await world({ retries: 0 });
    manager.answers = silent;
    fill(agent, 1);
    await finish(agent.synchronizeModule('FULL'));
    const call = agent.synchronizeModule('FULL');
    await new Promise((resolve) => setImmediate(resolve));
    agent.stop();
    expect(await finish(call)).toMatchObject({ stopped: true, consecutiveFailures: 1 });
    expect(await agent.synchronizeModule('FULL')).toMatchObject({ stopped: true, consecutiveFailures: 1 });
  });

  test('case 12: a success begins the count of failures anew', async () => {
    const { agent, manager, finish, fill } = await world({ retries: 0 });
    manager.answers = silent;
    fill(agent, 1);
    await finish(agent.synchronizeModule('FULL'));
    await finish(agent.synchronizeModule('FULL'));
    manager.answers = {};
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({
      success: true,
      consecutiveFailures: 0,
    });
  });

  test('case 20: an End that the connection never takes fails the sync, and the snapshot stays', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.refusal = (message) => (message.type === 'End' ? 'ERR_HAWSER_QUEUE_FULL' : undefined);
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'EndTimeout' });
    expect(queue.count('resetSyncingItems')).toBe(0);
    expect(queue.counts).toMatchObject({ pending: 0, syncing: 1 });
  });

  test('case 21: End waits for its delay, and is not sent when stop ends that', async () => {
    const { agent, manager, time, finish, fill } = await world({ endDelayMs: 1000 });
    fill(agent, 1);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    expect(manager.heard.at(-1)).toMatchObject({ atMs: 1000 });
    fill(agent, 1);
    const call = agent.synchronizeModule('FULL');
    await time.passTo(1500);
    agent.stop();
    expect(await finish(call)).toMatchObject({ stopped: true });
    expect(time.nowMs).toBe(1500);
    expect(manager.all('End')).toHaveLength(1);
  });

  test('case 22: an EndAck Error fails the sync, and the items are reset', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = { End: () => [endAck({ status: 'Error', reason: 'InvalidMessage' })] };
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Refused',
      managerReason: 'InvalidMessage',
      managerNotReady: false,
    });
    expect(queue.count('resetSyncingItems')).toBe(1);
  });

  test('a manager that says Processing may ask for Data yet: they are sent, and only Ok says that it has everything', async () => {
    const { agent, manager, finish, persist } = await world();
    const acknowledged: number[] = [];
    agent.on('progress', (progress) => acknowledged.push(progress.acknowledged));
    manager.answers = {
      End: (_, count) => (count === 0 ? [endAck({ status: 'Processing' }), reqRet([[1, 1]])] : undefined),
    };
    await persist(3);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, retransmitted: 1 });
    expect(acknowledged.at(-1)).toBe(3);
    expect(acknowledged.slice(0, -1).every((items) => items <= 1)).toBe(true);
  });

  test('no more items are counted as rejected than there are, whatever the manager says', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = { End: () => [endAck({ rejected: 2n ** 64n - 1n })] };
    await persist(3);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, rejected: 3 });
  });

  test('the items that the manager rejected are counted in a result that is a success', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = { End: () => [endAck({ rejected: 2n })] };
    await persist(5);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, rejected: 2 });
  });

  test('case 29: a queue that cannot clear its items does not undo a success', async () => {
    const { agent, manager, queue, log, finish, persist } = await world();
    queue.failing.add('clearSyncedItems');
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(log).toContain('error Queue');
    // The snapshot that is still there is told once more, as what it was.
    queue.failing.clear();
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    const [first, second] = manager.all('Start');
    expect(second).toEqual(first);
    expect(queue.counts).toEqual({ pending: 0, syncing: 0, parked: 0 });
  });

  test('case 30: an EndAck Processing keeps the agent waiting', async () => {
    const { agent, manager, time, finish, persist } = await world();
    manager.answers = { End: () => [endAck({ status: 'Processing' })] };
    await persist(1);
    const call = agent.synchronizeModule('DELTA');
    await time.passTo(20_000);
    expect(agent.state).toBe('WaitingEndAck');
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true });
    expect(manager.all('End')).toHaveLength(1);
  });

  test('case 31: the silence after Processing uses up no retry: End asks again and again', async () => {
    const { agent, manager, time, finish, persist } = await world({ retries: 0 });
    manager.answers = { End: (_, count) => (count === 0 ? [endAck({ status: 'Processing' })] : []) };
    await persist(1);
    const call = agent.synchronizeModule('DELTA');
    await time.passTo(100_000);
    expect(manager.all('End')).toHaveLength(4);
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true });
  });

  test('a manager that said Processing and nothing more for 15 minutes fails the sync', async () => {
    const { agent, manager, time, finish, persist } = await world();
    manager.answers = { End: (_, count) => (count === 0 ? [endAck({ status: 'Processing' })] : []) };
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'EndTimeout' });
    expect(time.nowMs).toBe(900_000);
  });

  test('each Processing begins the 15 minutes anew, and keeps End from being sent again', async () => {
    const { agent, manager, time, finish, persist } = await world();
    manager.answers = { End: () => [] };
    await persist(1);
    const call = agent.synchronizeModule('DELTA');
    for (let atMs = 5000; atMs <= 3_600_000; atMs += 5000) {
      await time.passTo(atMs);
      manager.send(endAck({ status: 'Processing' }));
    }
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true });
    expect(manager.all('End')).toHaveLength(1);
  });

  test('case 32: an Error after Processing fails the sync', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = { End: () => [endAck({ status: 'Processing' }), endAck({ status: 'Error' })] };
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Refused',
    });
  });

  test('case 33: a second synchronizeModule is skipped, the first goes on, and a third one syncs', async () => {
    const { agent, manager, time, finish, persist } = await world();
    manager.answers = silentEnd;
    await persist(1);
    const first = agent.synchronizeModule('DELTA');
    await time.passTo(10);
    expect(await agent.synchronizeModule('DELTA')).toMatchObject({ success: true, skipped: true, items: 0 });
    expect(manager.types).toEqual(['Start', 'DataValue', 'End']);
    manager.send(endAck());
    expect(await finish(first)).toMatchObject({ success: true, skipped: false });
    manager.answers = {};
    await persist(1);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 1 });
  });

  test('other calls that sync are refused while one is under way, for they would not be carried out', async () => {
    const { agent, manager, time, finish, persist } = await world();
    manager.answers = silentEnd;
    await persist(1);
    const first = agent.synchronizeModule('DELTA');
    await time.passTo(10);
    expect(await agent.notifyDataClean(['files'])).toMatchObject({ success: false, reason: 'Busy' });
    expect(await agent.synchronizeMetadataOrGroups('METADATA_CHECK', [], 0n)).toMatchObject({
      reason: 'Busy',
    });
    expect(await agent.requiresFullSync('files', '0'.repeat(40))).toBe('unknown');
    manager.send(endAck());
    expect(await finish(first)).toMatchObject({ success: true });
  });
});

describe('ReqRet', () => {
  test('case 23: an empty ReqRet is a fault', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = { End: () => [reqRet([])] };
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Protocol',
    });
    expect(queue.count('resetSyncingItems')).toBe(1);
  });

  test('case 24: a ReqRet that names no item of the session is a fault', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = {
      End: () => [
        reqRet([
          [10, 15],
          [20, 25],
        ]),
      ],
    };
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Protocol',
    });
    expect(manager.items).toHaveLength(2);
  });

  test('a ReqRet with one range that is reversed is a fault as a whole', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = {
      End: () => [
        reqRet([
          [0, 1],
          [3, 2],
        ]),
      ],
    };
    await persist(5);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Protocol',
    });
    expect(manager.items).toHaveLength(5);
  });

  test('ranges that overlap send each item once, and what lies beyond the session is left out', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = {
      End: (_, count) =>
        count === 0
          ? [
              reqRet([
                [6, 7],
                [2, 4],
                [3, 5],
                [9, 2 ** 40],
                [50, 60],
              ]),
            ]
          : undefined,
    };
    await persist(10);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, retransmitted: 7 });
    expect(manager.items.slice(10).map(({ seq }) => seq)).toEqual([2, 3, 4, 5, 6, 7, 9]);
  });

  test('case 25: what cannot be sent again for the connection is lost ends the sync, and the snapshot stays', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = { End: () => [reqRet([[0, 0]])] };
    manager.refusal = (message) => (message.type === 'DataValue' ? 'ERR_HAWSER_NOT_CONNECTED' : undefined);
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Disconnected',
      managerNotReady: true,
    });
    expect(queue.counts.syncing).toBe(2);
  });

  test('case 19: Data that cannot be sent for the connection is lost end the sync, and the snapshot stays', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.refusal = (message) => (message.type === 'DataBatch' ? 'ERR_HAWSER_NOT_CONNECTED' : undefined);
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Disconnected',
    });
    expect(manager.types).toEqual(['Start']);
    expect(queue.counts.syncing).toBe(2);
  });

  test.each(['Start', 'DataBatch', 'End'] as const)(
    'a connection that throws what is no loss as it sends %s fails the sync, is logged, and the snapshot stays',
    async (type) => {
      const { agent, client, manager, queue, log, finish, persist } = await world();
      manager.refusal = (message) => {
        if (message.type === type) throw new TypeError('a fault');
        return undefined;
      };
      await persist(2);
      const result = await finish(agent.synchronizeModule('DELTA'));
      expect(result).toMatchObject({ success: false, reason: 'SendFailed', managerNotReady: false });
      expect(result.failureReason).toContain('a fault');
      expect(log).toContain('error Connection');
      expect(client.state).toBe('CONNECTED');
      expect(queue.counts.syncing).toBe(2);
      manager.refusal = () => undefined;
      expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 2 });
    },
  );

  test.each(['ERR_HAWSER_CLOSED', 'ERR_HAWSER_CONNECTION_LOST'] as const)(
    'a connection that throws %s is over: that is no fault of its own',
    async (code) => {
      const { agent, manager, log, finish, persist } = await world();
      manager.refusal = (message) => {
        if (message.type === 'End') throw new HawserError(code, 'over');
        return undefined;
      };
      await persist(1);
      expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'Disconnected' });
      expect(log).not.toContain('error Connection');
    },
  );

  test('case 28: a ReqRet and then an EndAck Ok are a success, and the items are cleared once', async () => {
    const { agent, manager, queue, states, finish, persist } = await world();
    manager.loses = (seq, before) => seq === 2 && before === 0;
    await persist(5);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, retransmitted: 1 });
    expect(manager.types).toEqual(['Start', 'DataBatch', 'End', 'DataValue', 'End']);
    expect(states).toEqual([
      'WaitingStartAck',
      'DataTransfer',
      'WaitingEndAck',
      'DataTransfer',
      'WaitingEndAck',
      'Idle',
    ]);
    expect(queue.count('clearSyncedItems')).toBe(1);
    expect(queue.count('markSent')).toBeGreaterThanOrEqual(1);
  });

  test('a ReqRet uses up no retry, and End is sent again after it', async () => {
    const { agent, manager, finish, persist } = await world({ retries: 0 });
    manager.answers = {
      End: (_, count) => (count < 5 ? [reqRet([[count, 9]])] : undefined),
    };
    await persist(10);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(manager.all('End')).toHaveLength(6);
  });

  test('a retransmission that is lost is asked for again by the next End', async () => {
    const { agent, manager, time, finish, persist } = await world();
    manager.answers = {
      End: (_, count) => (count === 0 ? [reqRet([[1, 1]])] : count === 1 ? [] : undefined),
    };
    await persist(3);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(time.nowMs).toBe(30_000);
  });

  test('a manager that asks for the same Data without end is given up after five rounds in vain', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    manager.answers = { End: () => [reqRet([[1, 2]])] };
    await persist(4);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'NoProgress',
      retransmitted: 12,
    });
    expect(manager.all('End')).toHaveLength(7);
    expect(queue.count('resetSyncingItems')).toBe(1);
  });

  test('a manager that gets a single item further each round is not sent everything each time', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = { End: (_, count) => [reqRet([[count, 199]])] };
    await persist(200);
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject({ success: false, reason: 'NoProgress' });
    expect(result.retransmitted).toBeLessThanOrEqual(6 * 200);
  });

  test('any number of rounds is right as long as each gets further', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = { End: (_, count) => (count < 60 ? [reqRet([[count, count]])] : undefined) };
    await persist(100);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: true,
      retransmitted: 60,
    });
  });

  test('contexts and cleans are sent again as what they are', async () => {
    const { agent, manager, finish } = await world();
    manager.loses = (_, before) => before === 0;
    await agent.persistDifferences([
      { id: 'v', operation: 'CREATE', index: 'i', data: bytesOf('{}') },
      { id: 'c', operation: 'CREATE', index: 'i', data: bytesOf('{"x":1}'), isContext: true },
    ]);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(manager.types).toEqual([
      'Start',
      'DataValue',
      'DataContext',
      'End',
      'DataValue',
      'DataContext',
      'End',
    ]);
    const [, first, , second] = [manager.items[0], manager.items[1], manager.items[2], manager.items[3]];
    expect(second).toEqual(first);
    manager.forget();
    expect(await finish(agent.notifyDataClean(['i', 'j']))).toMatchObject({ success: true });
  });

  test('a ReqRet after Processing is answered like any other', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = {
      End: (_, count) => (count === 0 ? [endAck({ status: 'Processing' }), reqRet([[1, 2]])] : undefined),
    };
    await persist(4);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, retransmitted: 2 });
    expect(manager.items.slice(4).map(({ seq }) => seq)).toEqual([1, 2]);
  });

  test('a second ReqRet before the first is looked at replaces it', async () => {
    const { agent, manager, finish, persist } = await world();
    manager.answers = {
      End: (_, count) => (count === 0 ? [reqRet([[0, 1]]), reqRet([[3, 4]])] : undefined),
    };
    await persist(5);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    expect(manager.items.slice(5).map(({ seq }) => seq)).toEqual([3, 4]);
  });
});
