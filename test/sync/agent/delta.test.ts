// A DELTA that takes several sessions: one for each snapshot of what waits.

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { Connector, MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import type { SyncProgress } from '../../../src/sync/agent/agent.js';
import { SyncClient } from '../../../src/sync/agent/sync-client.js';
import { SyncManager } from '../../../src/sync/manager/manager.js';
import { MemoryQueue } from '../../../src/sync/queue/memory-queue.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import { decodeMessage, encodeMessage } from '../../../src/sync/wire/codec.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { bytesOf, turns, world } from './agent-world.js';
import { endAck, startAck } from './fake-manager.js';

/** Connects an agent with a manager, without a network. */
function linkTo(manager: SyncManager, heard: (message: ReturnType<typeof decodeMessage>) => void): Connector {
  return async (attach) => {
    const end = (send: (message: Uint8Array) => void): MessageConnection => ({
      detectsLoss: true,
      send: (message) => {
        const copy = message.slice();
        queueMicrotask(() => send(copy));
        return true;
      },
      close: () => undefined,
    });
    const atAgent: MessageReceiver = attach(
      end((message) => {
        heard(decodeMessage(message));
        atManager.message(message);
      }),
    );
    const atManager: MessageReceiver = manager.accept(
      end((message) => atAgent.message(message)),
      'agent',
    );
  };
}

const idsOf = (items: readonly { readonly item: object }[]): unknown[] =>
  items.map(({ item }) => 'id' in item && item.id);

test('a queue without one of its methods is refused when the agent is made, and the method is named', async () => {
  const { client } = await world();
  const methods = Object.getOwnPropertyNames(MemoryQueue.prototype).filter(
    (name) => name !== 'constructor' && name !== 'counts',
  );
  expect(methods).toContain('mark');
  for (const [n, name] of methods.entries()) {
    const queue = new MemoryQueue();
    Object.defineProperty(queue, name, { value: undefined });
    expect(() => client.agent({ module: `${n}`, queue }), name).toThrow(
      expect.objectContaining({
        code: 'ERR_HAWSER_ARGUMENT',
        message: expect.stringContaining(`queue.${name} `),
      }),
    );
  }
});

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
    'of which the manager takes not even one item, for %s, fails when it has come down to that, and its items are reset',
    async (reason) => {
      const { agent, manager, queue, finish, persist } = await world();
      manager.answers = { Start: (start) => [startAck(start, { status: 'Error', reason })] };
      await persist(6);
      const result = await finish(agent.synchronizeModule('DELTA'));
      expect(result).toMatchObject({ success: false, reason: 'Refused', managerReason: reason });
      expect(manager.all('Start').map(({ size }) => size)).toEqual([6n, 3n, 1n]);
      expect(queue.counts).toMatchObject({ pending: 6, syncing: 0 });
    },
  );

  test.each([
    ['items', { maxItems: 12, maxItemsPerAgent: 3 }],
    ['bytes', { maxBytes: 1200, maxBytesPerAgent: 300 }],
  ])(
    'that has more %s than a manager takes goes on with half as many until it takes them, and so does the next one',
    async (_, quotas) => {
      const { wheel } = new VirtualTime();
      const store = new MemoryStore();
      const manager = new SyncManager({ store, wheel, ...quotas });
      const sizes: bigint[] = [];
      const client = new SyncClient({
        connector: linkTo(manager, (message) => {
          if (message.type === 'Start') sizes.push(message.size);
        }),
        wheel,
      });
      await client.connect();
      const agent = client.agent({ module: 'fim', queue: new MemoryQueue() });
      const told = async (round: number): Promise<bigint[]> => {
        for (let n = 0; n < 20; ++n)
          await agent.persistDifference(`${n}`, 'MODIFY', 'files', bytesOf(`{"n":${round}}`));
        expect(await agent.synchronizeModule('DELTA')).toMatchObject({
          success: true,
          items: 20,
          toldItems: 20,
        });
        const documents = Array.from(store.documents('agent'), ({ data }) => Buffer.from(data).toString());
        expect(documents).toEqual(Array(20).fill(`{"n":${round}}`));
        return sizes.splice(0);
      };
      const first = await told(1);
      const refused = first.findIndex((size, n) => size === first[n + 1]);
      expect(refused).toBeGreaterThan(1);
      expect(first.slice(0, 3)).toEqual([20n, 10n, 5n]);
      // Nothing is refused any more.
      const second = await told(2);
      expect(second).toEqual(first.slice(refused));
      await client.close();
      await manager.close();
    },
  );

  test('with documents that no message of the connection has room for parks them, says so, and tells all others', async () => {
    const { agent, manager, queue, finish, persist } = await world();
    const lines: string[] = [];
    agent.on('log', (level, code, message) => void (level === 'error' && lines.push(`${code}: ${message}`)));
    manager.refusal = (message) => {
      const isLong = encodeMessage(message).length > 1000;
      if (isLong) throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', 'at most 1,000 bytes');
      return undefined;
    };
    await persist(20);
    const long = new Uint8Array(1000);
    for (const id of ['id0', 'id7', 'id8', 'id19'])
      await agent.persistDifference(id, 'MODIFY', 'files', long);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, toldItems: 16 });
    expect(new Set(idsOf(manager.items))).toEqual(
      new Set(
        Array.from({ length: 20 }, (_, n) => `id${n}`).filter(
          (id) => !lines.some((line) => line.includes(`${id} `)),
        ),
      ),
    );
    expect(queue.counts).toEqual({ pending: 0, syncing: 0, parked: 4 });
    expect(lines).toHaveLength(4);
    expect(lines[1]).toBe('Queue: the document id7 of the index files is parked: at most 1,000 bytes');
    // What the connection takes no Start of is not the fault of a document.
    manager.refusal = () => {
      throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', 'nothing');
    };
    await agent.persistDifference('id1', 'MODIFY', 'files', bytesOf('{}'));
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'TooLong',
    });
    expect(queue.counts).toEqual({ pending: 1, syncing: 0, parked: 4 });
  });

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
