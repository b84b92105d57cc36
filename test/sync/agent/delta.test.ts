// A DELTA that takes several sessions: one for each snapshot of what waits.

import { describe, expect, test } from 'vitest';
import type { SyncProgress } from '../../../src/sync/agent/agent.js';
import { bytesOf, turns, world } from './agent-world.js';
import { endAck, startAck } from './fake-manager.js';

const idsOf = (items: readonly { readonly item: object }[]): unknown[] =>
  items.map(({ item }) => 'id' in item && item.id);

describe('a DELTA', () => {
  test('tells all that waits, snapshot after snapshot, and its result is about all of them', async () => {
    const { agent, manager, queue, states, finish, persist } = await world({ snapshotItems: 4 });
    manager.answers = { End: () => [endAck({ rejected: 1n })] };
    await persist(10);
    const result = await finish(agent.synchronizeModule('DELTA'));
    expect(result).toMatchObject({ success: true, items: 10, toldItems: 10, rejected: 3, retransmitted: 0 });
    const starts = manager.all('Start');
    expect(starts.map(({ size }) => size)).toEqual([4n, 4n, 2n]);
    expect(new Set(starts.map(({ nonce }) => nonce)).size).toBe(3);
    const generations = starts.map(({ generation }) => generation);
    expect(generations).toEqual([...new Set(generations)].sort((a, b) => (a < b ? -1 : 1)));
    expect(idsOf(manager.items)).toEqual(Array.from({ length: 10 }, (_, n) => `id${n}`));
    // One session at a time.
    expect(manager.types).toEqual(Array(3).fill(['Start', 'DataBatch', 'End']).flat());
    expect(states).toEqual(
      Array(3).fill(['WaitingStartAck', 'DataTransfer', 'WaitingEndAck', 'Idle']).flat(),
    );
    expect(queue.counts).toEqual({ pending: 0, syncing: 0, parked: 0 });
    expect(queue.count('clearSyncedItems')).toBe(3);
    expect(agent.stats).toMatchObject({ syncs: 1, succeeded: 1, items: 10 });
  });

  test('tells how far it is by all of them', async () => {
    const { agent, finish, persist } = await world({ snapshotItems: 4 });
    const heard: SyncProgress[] = [];
    agent.on('progress', (progress) => heard.push(progress));
    await persist(10);
    await finish(agent.synchronizeModule('DELTA'));
    expect(new Set(heard.map(({ size }) => size))).toEqual(new Set([10]));
    expect(heard.at(-1)).toMatchObject({ sent: 10, acknowledged: 10 });
    for (const field of ['sent', 'acknowledged', 'bytes'] as const) {
      const values = heard.map((progress) => progress[field]);
      expect(values).toEqual([...values].sort((a, b) => a - b));
    }
  });

  test('leaves what comes meanwhile to the next one, however long that goes on', async () => {
    const { agent, manager, queue, finish, persist } = await world({ snapshotItems: 2 });
    await persist(4);
    let next = 0;
    manager.answers = {
      DataBatch: () => {
        for (let n = 0; n < 3; ++n) {
          void agent.persistDifference(`later${next++}`, 'CREATE', 'files', bytesOf('{}'));
        }
        return [];
      },
    };
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 4 });
    expect(manager.all('Start')).toHaveLength(2);
    expect(idsOf(manager.items)).toEqual(['id0', 'id1', 'id2', 'id3']);
    expect(queue.counts.pending).toBe(6);
  });

  test('that resumes a snapshot goes on with what waits behind it', async () => {
    const { agent, manager, queue, finish, persist } = await world({ retries: 0 });
    manager.answers = { End: () => [] };
    await persist(3);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ reason: 'EndTimeout' });
    await agent.persistDifference('id0', 'DELETE', 'files', bytesOf(''));
    await agent.persistDifference('new', 'CREATE', 'files', bytesOf('{}'));
    manager.answers = {};
    manager.forget();
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 5 });
    expect(idsOf(manager.items)).toEqual(['id0', 'id1', 'id2', 'id0', 'new']);
    expect(queue.counts.pending).toBe(0);
  });

  test('that fails says what it had told before, and the rest waits', async () => {
    const { agent, manager, queue, finish, persist } = await world({ snapshotItems: 4 });
    manager.answers = {
      End: (_, count) => [count === 0 ? endAck({ rejected: 2n }) : endAck({ status: 'Error' })],
    };
    await persist(10);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'Refused',
      items: 8,
      toldItems: 4,
      rejected: 2,
      consecutiveFailures: 1,
    });
    expect(queue.counts).toMatchObject({ pending: 6, syncing: 0 });
    expect(agent.stats).toMatchObject({ syncs: 1, failed: 1, items: 4 });
    manager.answers = {};
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 6 });
  });

  test.each(['stop', 'cut'] as const)('ends among its sessions by %s', async (end) => {
    const { agent, manager, queue, finish, persist } = await world({ snapshotItems: 4 });
    manager.answers = {
      End: (_, count) => {
        if (count === 1) end === 'stop' ? agent.stop() : manager.cut();
        return undefined;
      },
    };
    await persist(10);
    const expected = end === 'stop' ? { stopped: true } : { reason: 'Disconnected' };
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: false, ...expected });
    expect(manager.all('Start')).toHaveLength(2);
    expect(queue.counts).toMatchObject({ pending: 2, syncing: 4 });
  });

  test('that is stopped while the queue forgets begins no other session', async () => {
    const { agent, manager, queue, finish, persist } = await world({ snapshotItems: 4 });
    const clear = queue.clearSyncedItems.bind(queue);
    queue.clearSyncedItems = async (snapshot) => {
      agent.stop();
      await clear(snapshot);
    };
    await persist(6);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ stopped: true, items: 4 });
    expect(manager.all('Start')).toHaveLength(1);
    expect(queue.counts).toMatchObject({ pending: 2, syncing: 0 });
  });

  test('whose queue does not forget what was told does not tell it again and again', async () => {
    const { agent, manager, queue, finish, persist } = await world({ snapshotItems: 4 });
    queue.failing.add('clearSyncedItems');
    await persist(12);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'QueueFailed',
    });
    expect(manager.all('Start')).toHaveLength(1);
  });

  test.each(['TooManyItems', 'TooManyBytes'] as const)(
    'that is too great for the manager by %s says which option is to be lower, and its items are reset',
    async (reason) => {
      const { agent, manager, queue, finish, persist } = await world({ snapshotItems: 4 });
      manager.answers = { Start: (start) => [startAck(start, { status: 'Error', reason })] };
      await persist(6);
      const result = await finish(agent.synchronizeModule('DELTA'));
      expect(result).toMatchObject({ success: false, reason: 'Refused', managerReason: reason });
      expect(result.failureReason).toContain('snapshotItems');
      expect(queue.counts).toMatchObject({ pending: 6, syncing: 0 });
    },
  );

  test('is one sync: another call while its second session is under way is skipped', async () => {
    const { agent, manager, finish, persist } = await world({ snapshotItems: 4 });
    manager.answers = { End: (_, count) => (count === 1 ? [] : undefined) };
    await persist(6);
    const call = agent.synchronizeModule('DELTA');
    await turns(10);
    expect(manager.all('End')).toHaveLength(2);
    expect(await agent.synchronizeModule('DELTA')).toMatchObject({ success: true, skipped: true, items: 0 });
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true, items: 6 });
  });
});
