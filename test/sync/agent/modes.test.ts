// The special modes of an agent, and what is in memory (source document, "Special Synchronization Modes"; edge cases 41 to 55).

import { describe, expect, test } from 'vitest';
import { bytesOf, turns, world } from './agent-world.js';
import { endAck, reqRet, startAck } from './fake-manager.js';

const checksum = 'ABCDEF0123456789abcdef0123456789abcdef01';
const agentModes = ['METADATA_DELTA', 'METADATA_CHECK', 'GROUP_DELTA', 'GROUP_CHECK'] as const;
const metadata = { groups: ['web', 'db'], hostname: 'box' };

describe('requiresFullSync', () => {
  test('case 41: an EndAck Ok says that the checksum is valid', async () => {
    const { agent, manager, finish } = await world();
    expect(await finish(agent.requiresFullSync('files', checksum))).toBe('valid');
    expect(manager.types).toEqual(['Start', 'ChecksumModule', 'End']);
    expect(manager.all('Start')[0]).toMatchObject({
      mode: 'CHECK',
      size: 0n,
      indices: ['files'],
      generation: 0n,
    });
    expect(manager.all('ChecksumModule')).toEqual([
      { type: 'ChecksumModule', session: 77n, index: 'files', checksum: checksum.toLowerCase() },
    ]);
  });

  test('case 42: an EndAck ChecksumMismatch says that a full sync is needed', async () => {
    const { agent, manager, finish } = await world();
    manager.answers = { End: () => [endAck({ status: 'ChecksumMismatch' })] };
    expect(await finish(agent.requiresFullSync('files', checksum))).toBe('mismatch');
  });

  test('case 43: whatever else happens says nothing of the checksum', async () => {
    for (const prepare of [
      ({ client }) => client.disconnect(),
      ({ manager }) => {
        manager.refusal = () => 'ERR_HAWSER_QUEUE_FULL';
      },
      ({ manager }) => {
        manager.answers = { Start: () => [] };
      },
      ({ manager }) => {
        manager.refusal = ({ type }) => (type === 'ChecksumModule' ? 'ERR_HAWSER_NOT_CONNECTED' : undefined);
      },
      ({ manager }) => {
        manager.answers = { Start: (start) => [startAck(start, { status: 'Error' })] };
      },
      ({ manager }) => {
        manager.answers = { Start: (start) => [startAck(start, { status: 'ChecksumMismatch' })] };
      },
      ({ manager }) => {
        manager.answers = { End: () => [endAck({ status: 'Error', reason: 'IndexNotAllowed' })] };
      },
      ({ manager }) => {
        manager.answers = { End: () => [endAck({ status: 'Offline' })] };
      },
      ({ manager }) => {
        manager.answers = { End: () => [] };
      },
      ({ manager }) => {
        manager.answers = { End: () => [reqRet([[0, 0]])] };
      },
    ] as ((all: Awaited<ReturnType<typeof world>>) => void)[]) {
      const all = await world();
      prepare(all);
      expect(await all.finish(all.agent.requiresFullSync('files', checksum))).toBe('unknown');
    }
  });

  test.each(['', 'abc', `${'0'.repeat(39)}g`, '0'.repeat(41)])('%j is no checksum', async (wrong) => {
    const { agent } = await world();
    await expect(agent.requiresFullSync('files', wrong)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
    });
  });
});

describe('synchronizeMetadataOrGroups', () => {
  test.each(agentModes)('case 44: %s is Start and End alone', async (mode) => {
    const { agent, manager, finish } = await world({ metadata });
    expect(await finish(agent.synchronizeMetadataOrGroups(mode, ['b', 'a'], 9n))).toMatchObject({
      success: true,
      items: 0,
    });
    expect(manager.types).toEqual(['Start', 'End']);
    expect(manager.all('Start')[0]).toMatchObject({
      mode,
      size: 0n,
      indices: ['b', 'a'],
      globalVersion: 9n,
      generation: 0n,
      metadata,
    });
  });

  test('case 45: another mode fails, and nothing is sent', async () => {
    const { agent, manager, finish } = await world({ metadata });
    const mode = 'FULL' as 'GROUP_CHECK';
    expect(await finish(agent.synchronizeMetadataOrGroups(mode, [], 0n))).toMatchObject({
      success: false,
      reason: 'InvalidMode',
    });
    expect(manager.heard).toEqual([]);
  });

  test('case 46: no connection, silence and refusals fail it', async () => {
    for (const [answers, reason] of [
      [{ Start: () => [] }, 'StartTimeout'],
      [{ End: () => [] }, 'EndTimeout'],
      [{ Start: (start) => [startAck(start, { status: 'Error' })] }, 'Refused'],
      [{ End: () => [endAck({ status: 'Error' })] }, 'Refused'],
    ] as [Awaited<ReturnType<typeof world>>['manager']['answers'], string][]) {
      const { agent, manager, finish } = await world({ metadata });
      manager.answers = answers;
      expect(await finish(agent.synchronizeMetadataOrGroups('GROUP_DELTA', [], 0n))).toMatchObject({
        success: false,
        reason,
      });
    }
    const { agent, client } = await world({ metadata });
    client.disconnect();
    expect(await agent.synchronizeMetadataOrGroups('GROUP_DELTA', [], 0n)).toMatchObject({
      reason: 'NotConnected',
    });
  });

  test('groups that are not known are not told; that there are none is', async () => {
    const without = await world({ metadata: { hostname: 'box' } });
    expect(
      await without.finish(without.agent.synchronizeMetadataOrGroups('GROUP_CHECK', [], 0n)),
    ).toMatchObject({
      success: false,
      reason: 'NoGroups',
    });
    expect(without.manager.heard).toEqual([]);
    const none = await world({ metadata: { groups: [] } });
    expect(await none.finish(none.agent.synchronizeMetadataOrGroups('GROUP_CHECK', [], 0n))).toMatchObject({
      success: true,
    });
  });
});

describe('notifyDataClean', () => {
  test('case 47: no indices fail it, and nothing is sent', async () => {
    const { agent, manager, finish } = await world();
    expect(await finish(agent.notifyDataClean([]))).toMatchObject({ success: false, reason: 'NoIndices' });
    expect(manager.heard).toEqual([]);
  });

  test('case 48: whatever fails it leaves the local rows', async () => {
    for (const [answers, reason] of [
      [{ Start: () => [] }, 'StartTimeout'],
      [{ Start: (start) => [startAck(start, { status: 'Error' })] }, 'Refused'],
      [{ End: () => [] }, 'EndTimeout'],
      [{ End: () => [endAck({ status: 'Error' })] }, 'Refused'],
    ] as [Awaited<ReturnType<typeof world>>['manager']['answers'], string][]) {
      const { agent, manager, queue, finish, persist } = await world();
      await persist(2);
      manager.answers = answers;
      expect(await finish(agent.notifyDataClean(['files']))).toMatchObject({ success: false, reason });
      expect(queue.counts.pending).toBe(2);
    }
    const { agent, client, queue, persist } = await world();
    await persist(2);
    client.disconnect();
    expect(await agent.notifyDataClean(['files'])).toMatchObject({ reason: 'NotConnected' });
    expect(queue.counts.pending).toBe(2);
  });

  test.each([1, 3])('case 49: %d indices are cleaned, and then their local rows', async (count) => {
    const { agent, manager, queue, finish, persist } = await world();
    const indices = ['files', 'keys', 'ports'].slice(0, count);
    await persist(2);
    expect(await finish(agent.notifyDataClean(indices))).toMatchObject({ success: true, items: count });
    expect(manager.all('Start')[0]).toMatchObject({ mode: 'DELTA', size: BigInt(count), indices });
    expect(manager.items).toEqual(
      indices.map((index, seq) => ({ seq, session: 77n, item: { kind: 'clean', index } })),
    );
    const cleared = queue.calls.filter((call) => call.startsWith('clearItemsByIndex'));
    expect(cleared).toEqual(indices.map((index) => `clearItemsByIndex ${index}`));
    expect(queue.counts.pending).toBe(0);
  });

  test.each(['Start', 'End'] as const)(
    'what is persisted after the call began stays, though the manager had %s already, and the next DELTA tells it',
    async (type) => {
      const { agent, manager, queue, finish, persist } = await world();
      await persist(2);
      manager.answers = { [type]: () => [] };
      const call = agent.notifyDataClean(['files']);
      await turns(5);
      expect(manager.types.at(-1)).toBe(type);
      await agent.persistDifference('id1', 'MODIFY', 'files', bytesOf('{"new":1}'));
      await agent.persistDifference('later', 'CREATE', 'files', bytesOf('{}'));
      const [start] = manager.all('Start');
      if (start === undefined) throw new Error('there is no Start');
      if (type === 'Start') manager.send(startAck(start));
      if (type === 'End') manager.send(endAck());
      expect(await finish(call)).toMatchObject({ success: true });
      expect(queue.counts.pending).toBe(2);
      manager.answers = {};
      manager.forget();
      expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true, items: 2 });
      expect(manager.items.map(({ item }) => 'id' in item && item.id).sort()).toEqual(['id1', 'later']);
    },
  );

  test('a queue that cannot say where it is fails it, and nothing is sent', async () => {
    const { agent, manager, queue, finish } = await world();
    queue.failing.add('mark');
    expect(await finish(agent.notifyDataClean(['files']))).toMatchObject({ reason: 'QueueFailed' });
    expect(manager.heard).toEqual([]);
  });

  test('case 50: local rows that cannot be removed fail it', async () => {
    const { agent, queue, log, finish } = await world();
    queue.failing.add('clearItemsByIndex files');
    expect(await finish(agent.notifyDataClean(['files']))).toMatchObject({
      success: false,
      reason: 'QueueFailed',
    });
    expect(log).toContain('error Queue');
  });

  test('case 51: cleans that are asked for again are sent again as cleans', async () => {
    const { agent, manager, finish } = await world();
    manager.answers = { End: (_, count) => (count === 0 ? [reqRet([[0, 2]])] : undefined) };
    expect(await finish(agent.notifyDataClean(['a', 'b', 'c']))).toMatchObject({ success: true });
    expect(manager.types).toEqual([
      'Start',
      ...Array(3).fill('DataClean'),
      'End',
      ...Array(3).fill('DataClean'),
      'End',
    ]);
    expect(manager.items.slice(3)).toEqual(manager.items.slice(0, 3));
  });

  test('a clean has a generation above those before, and one of its own', async () => {
    const { agent, manager, finish, persist } = await world();
    await finish(agent.notifyDataClean(['a']));
    await persist(1);
    await finish(agent.synchronizeModule('DELTA'));
    await finish(agent.notifyDataClean(['a']));
    const starts = manager.all('Start');
    const generations = starts.map(({ generation }) => generation);
    expect(generations).toEqual([...generations].sort((a, b) => (a < b ? -1 : 1)));
    expect(new Set(generations).size).toBe(3);
    expect(new Set(starts.map(({ nonce }) => nonce)).size).toBe(3);
  });
});

describe('without a queue, and in memory', () => {
  test('case 52: differences, DELTA and clean fail without a queue, and FULL works', async () => {
    const { agent, log, manager, finish, fill } = await world({ noQueue: true });
    const kept = agent.persistDifference('a', 'CREATE', 'i', bytesOf('{}'));
    await expect(kept).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(log).toContain('error Queue');
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({
      success: false,
      reason: 'NoQueue',
    });
    expect(await finish(agent.notifyDataClean(['a']))).toMatchObject({ success: false, reason: 'NoQueue' });
    expect(manager.heard).toEqual([]);
    fill(agent, 2);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    fill(agent, 2);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true });
    const [first, second] = manager.all('Start');
    expect(second?.generation).toBeGreaterThan(first?.generation ?? 0n);
  });

  test.each([
    ['only values', 3, 0],
    ['only contexts', 0, 3],
    ['both', 2, 2],
  ])('case 53: %s go in one session, values first', async (_, values, contexts) => {
    const { agent, manager, finish } = await world();
    for (let n = 0; n < contexts; ++n) {
      agent.persistDifferenceInMemory(`c${n}`, 'CREATE', 'x', bytesOf('{}'), { isContext: true });
    }
    for (let n = 0; n < values; ++n) {
      agent.persistDifferenceInMemory(
        `v${n}`,
        n === 0 ? 'DELETE' : 'MODIFY',
        'i',
        n === 0 ? bytesOf('') : bytesOf('{}'),
        {
          version: 7n,
        },
      );
    }
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({
      success: true,
      items: values + contexts,
    });
    expect(manager.all('Start')).toHaveLength(1);
    expect(manager.all('Start')[0]?.indices).toEqual(values > 0 ? ['i'] : []);
    expect(manager.items.map(({ item }) => item.kind)).toEqual([
      ...Array(values).fill('value'),
      ...Array(contexts).fill('context'),
    ]);
    expect(manager.items.map(({ seq }) => seq)).toEqual(
      Array.from({ length: values + contexts }, (_each, n) => n),
    );
    if (values > 0) {
      expect(manager.items[0]?.item).toMatchObject({ operation: 'Delete', id: 'v0', version: 7n });
      expect(manager.items[1]?.item).toMatchObject({ operation: 'Upsert', id: 'v1' });
    }
  });

  test('case 54: small values share a batch', async () => {
    const { agent, manager, finish, fill } = await world();
    fill(agent, 3);
    await finish(agent.synchronizeModule('FULL'));
    expect(manager.types).toEqual(['Start', 'DataBatch', 'End']);
    expect(manager.all('DataBatch')[0]?.values).toHaveLength(3);
  });

  test('with batching: false each value is a message', async () => {
    const { agent, manager, finish, fill } = await world({ batching: false });
    fill(agent, 3);
    await finish(agent.synchronizeModule('FULL'));
    expect(manager.types).toEqual(['Start', 'DataValue', 'DataValue', 'DataValue', 'End']);
  });

  test('case 55: what is in memory can be forgotten at any time, and twice', async () => {
    const { agent, manager, finish, fill } = await world({ retries: 0 });
    agent.clearInMemoryData();
    fill(agent, 2);
    agent.clearInMemoryData();
    agent.clearInMemoryData();
    expect(agent.inMemoryCount).toBe(0);
    fill(agent, 2);
    manager.answers = { Start: () => [] };
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: false });
    expect(agent.inMemoryCount).toBe(2);
    agent.clearInMemoryData();
    expect(agent.inMemoryCount).toBe(0);
  });

  test('what is added to memory during a FULL is not sent by it, and stays', async () => {
    const { agent, manager, finish, fill } = await world();
    manager.answers = { End: () => [] };
    fill(agent, 2);
    const call = agent.synchronizeModule('FULL');
    await turns(3);
    agent.persistDifferenceInMemory('later', 'CREATE', 'files', bytesOf('{}'));
    manager.send(endAck());
    expect(await finish(call)).toMatchObject({ success: true, items: 2 });
    expect(agent.inMemoryCount).toBe(1);
    manager.answers = {};
    manager.forget();
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true, items: 1 });
    expect(manager.items[0]?.item).toMatchObject({ id: 'later' });
  });

  test('what is forgotten during a FULL is sent by it all the same, and what is added then stays', async () => {
    const { agent, manager, finish, fill } = await world();
    manager.answers = { Start: () => [] };
    fill(agent, 3);
    const call = agent.synchronizeModule('FULL');
    await turns(1);
    agent.clearInMemoryData();
    agent.persistDifferenceInMemory('later', 'CREATE', 'files', bytesOf('{}'));
    const [start] = manager.all('Start');
    if (start === undefined) throw new Error('there is no Start');
    manager.send(startAck(start));
    expect(await finish(call)).toMatchObject({ success: true, items: 3 });
    expect(manager.items).toHaveLength(3);
    expect(agent.inMemoryCount).toBe(1);
  });

  test('the data of a difference in memory are those of the call, whatever becomes of its buffer', async () => {
    const { agent, manager, finish } = await world();
    const data = Buffer.from('{"a":1}');
    agent.persistDifferenceInMemory('a', 'CREATE', 'i', data);
    data.fill(0);
    await finish(agent.synchronizeModule('FULL'));
    const item = manager.items[0]?.item;
    expect(item?.kind === 'value' && new TextDecoder().decode(item.data)).toBe('{"a":1}');
  });

  test('a difference that is none, or is in no message, is refused', async () => {
    const { agent } = await world();
    const add =
      (...args: unknown[]) =>
      () =>
        agent.persistDifferenceInMemory(...(args as Parameters<typeof agent.persistDifferenceInMemory>));
    const wrong = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(add('', 'CREATE', 'i', bytesOf('{}'))).toThrow(wrong);
    expect(add('a', 'NO_OP', 'i', bytesOf('{}'))).toThrow(wrong);
    expect(add('a', 'CREATE', 'i'.repeat(257), bytesOf('{}'))).toThrow(wrong);
    expect(add('a', 'CREATE', 'i', '{}')).toThrow(wrong);
    expect(add('a', 'CREATE', 'i', bytesOf('{}'), { version: 1 })).toThrow(wrong);
    expect(add('a', 'CREATE', 'i', new Uint8Array(61_441))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_MESSAGE_TOO_LONG' }),
    );
    expect(agent.inMemoryCount).toBe(0);
    agent.persistDifferenceInMemory('a'.repeat(1024), 'CREATE', 'i'.repeat(256), new Uint8Array(61_440));
    expect(agent.inMemoryCount).toBe(1);
  });

  test('a difference of the greatest length is sent, alone', async () => {
    const { agent, manager, finish, fill } = await world();
    fill(agent, 2);
    agent.persistDifferenceInMemory('a'.repeat(1024), 'CREATE', 'i'.repeat(256), new Uint8Array(61_440));
    fill(agent, 2);
    expect(await finish(agent.synchronizeModule('FULL'))).toMatchObject({ success: true, items: 5 });
    expect(manager.types).toEqual(['Start', 'DataBatch', 'DataValue', 'DataBatch', 'End']);
  });
});
