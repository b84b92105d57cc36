// The connection of an agent: kept, shared by its modules.

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { SyncClient, type SyncClientOptions } from '../../../src/sync/agent/sync-client.js';
import { MemoryGateway } from '../../interaction/memory-gateway.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { bytesOf, turns, world } from './agent-world.js';
import { FakeManager } from './fake-manager.js';

function client(options: Omit<SyncClientOptions, 'connector' | 'wheel'> = {}) {
  const time = new VirtualTime();
  const gateway = new MemoryGateway(
    () => time.nowMs,
    () => ({ message: () => undefined, drained: () => undefined, closed: () => undefined }),
  );
  const made = new SyncClient({
    connector: gateway.connector,
    wheel: time.wheel,
    random: () => 0,
    ...options,
  });
  const events: unknown[][] = [];
  made.on('connected', () => events.push(['connected']));
  made.on('disconnected', (reason) =>
    events.push(['disconnected', (reason as HawserError | undefined)?.code]),
  );
  made.on('reconnecting', (attempt, delayMs) => events.push(['reconnecting', attempt, delayMs]));
  made.on('attemptFailed', (error, attempt) =>
    events.push(['attemptFailed', (error as Error).message, attempt]),
  );
  return { time, gateway, client: made, events };
}

describe('the connection', () => {
  test('is made anew after a loss, with growing delays', async () => {
    const { time, gateway, client: kept, events } = client();
    await kept.connect();
    gateway.refusal = new Error('down');
    gateway.cut();
    await time.passTo(3500);
    gateway.refusal = undefined;
    await time.passTo(10_000);
    expect(kept.state).toBe('CONNECTED');
    expect(events).toEqual([
      ['connected'],
      ['disconnected', 'ERR_HAWSER_CONNECTION_LOST'],
      ['reconnecting', 1, 1000],
      ['attemptFailed', 'down', 1],
      ['reconnecting', 2, 2000],
      ['attemptFailed', 'down', 2],
      ['reconnecting', 3, 4000],
      ['connected'],
    ]);
  });

  test('is not made anew when another one took its place, or after an argument that is wrong', async () => {
    for (const code of ['ERR_HAWSER_REPLACED', 'ERR_HAWSER_ARGUMENT'] as const) {
      const { time, gateway, client: kept } = client();
      await kept.connect();
      gateway.cut(new HawserError(code, 'no'));
      await time.passTo(100_000);
      expect(kept.state).toBe('DISCONNECTED');
      expect(gateway.attempts).toHaveLength(1);
    }
  });

  test('is made anew when the manager asks for a spread, over that spread', async () => {
    const { time, gateway, client: kept, events } = client({ random: () => 0.5 });
    await kept.connect();
    gateway.tell((receiver) =>
      receiver.farewell?.({ deadlineMs: 0, reconnectSpreadMs: 10_000, elsewhere: undefined }),
    );
    gateway.cut();
    await time.passTo(0);
    expect(events.at(-1)).toEqual(['reconnecting', 1, 1000 + 125 + 5000]);
  });

  test('leaves a manager that will go, at some moment of the spread before its deadline', async () => {
    const { time, gateway, client: kept, events } = client({ random: () => 0.5 });
    await kept.connect();
    gateway.tell((receiver) =>
      receiver.farewell?.({ deadlineMs: 10_000, reconnectSpreadMs: 6000, elsewhere: undefined }),
    );
    await time.passTo(2999);
    expect(kept.state).toBe('CONNECTED');
    await time.passTo(3000);
    expect(events.slice(1)).toEqual([
      ['disconnected', undefined],
      ['reconnecting', 1, 1000 + 125],
    ]);
    expect(gateway.size).toBe(0);
    await time.passTo(100_000);
    expect([kept.state, gateway.attempts]).toEqual(['CONNECTED', [0, 4125]]);
  });

  test('stays for the sync that is under way, but not until the deadline', async () => {
    const { agent, client: kept, manager, persist, time, finish } = await world();
    manager.answers = { End: () => [] };
    await persist(1);
    const call = agent.synchronizeModule('DELTA');
    await turns(3);
    manager.farewell({ deadlineMs: 10_000, reconnectSpreadMs: 0, elsewhere: undefined });
    await time.passTo(7999);
    expect(kept.state).toBe('CONNECTED');
    await time.passTo(8000);
    expect(kept.state).toBe('RECONNECTING');
    expect(await finish(call)).toMatchObject({ success: false, reason: 'Disconnected' });
  });

  test('is ended by disconnect, and can be made again; by close, and cannot', async () => {
    const { gateway, client: kept } = client();
    await kept.connect();
    kept.disconnect();
    expect(kept.state).toBe('DISCONNECTED');
    await kept.connect();
    expect(gateway.attempts).toHaveLength(2);
    await kept.close();
    await kept.close();
    expect(kept.state).toBe('CLOSED');
    await expect(kept.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    expect(() => kept.agent({ module: 'a' })).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' }));
  });

  test('that does not call attach is an error of whoever wrote it', async () => {
    const time = new VirtualTime();
    const kept = new SyncClient({ connector: async () => undefined, wheel: time.wheel });
    await expect(kept.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  });

  test.each([
    [{}],
    [{ connector: 1 }],
    [{ connector: async (): Promise<void> => undefined, wheel: {} }],
    [{ connector: async (): Promise<void> => undefined, conector: 1 }],
  ])('the options %j are refused', (options) => {
    expect(() => new SyncClient(options as unknown as SyncClientOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
  });
});

describe('its modules', () => {
  test('have each a name of their own, until closed', async () => {
    const { client: kept } = client();
    const first = kept.agent({ module: 'fim' });
    kept.agent({ module: 'sca' });
    expect(() => kept.agent({ module: 'fim' })).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
    await first.close();
    const second = kept.agent({ module: 'fim' });
    // Closing the first once more does not take the name from the second.
    await first.close();
    expect(() => kept.agent({ module: 'fim' })).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
    await second.close();
  });

  test('are closed with it, and their syncs end', async () => {
    const { agent, client: kept, manager, persist, finish } = await world();
    manager.answers = { End: () => [] };
    await persist(1);
    const call = agent.synchronizeModule('DELTA');
    await turns(3);
    const closed = kept.close();
    expect(await finish(call)).toMatchObject({ stopped: true });
    await closed;
    await expect(agent.synchronizeModule('DELTA')).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  });

  test('keep differences before there is a connection', async () => {
    const time = new VirtualTime();
    const manager = new FakeManager(() => time.nowMs);
    const kept = new SyncClient({ connector: manager.connector, wheel: time.wheel });
    const agent = kept.agent({ module: 'fim' });
    agent.persistDifferenceInMemory('a', 'CREATE', 'i', bytesOf('{}'));
    await kept.connect();
    const call = agent.synchronizeModule('FULL');
    await turns(10);
    expect(await call).toMatchObject({ success: true, items: 1 });
  });

  test('sync at the same time, each with its own items', async () => {
    const time = new VirtualTime();
    const manager = new FakeManager(() => time.nowMs);
    const kept = new SyncClient({ connector: manager.connector, wheel: time.wheel });
    await kept.connect();
    let session = 0n;
    const { startAck, endAck } = await import('./fake-manager.js');
    manager.answers = {
      Start: (start) => [startAck(start, { session: ++session })],
      End: (end) => [endAck({ session: end.session })],
    };
    const agents = Array.from({ length: 50 }, (_, n) => kept.agent({ module: `m${n}`, batchBytes: 1024 }));
    for (const agent of agents) {
      for (let n = 0; n < 100; ++n) {
        agent.persistDifferenceInMemory(`${n}`, 'CREATE', agent.module, bytesOf('{}'));
      }
    }
    const calls = Promise.all(agents.map((agent) => agent.synchronizeModule('FULL')));
    const results = await calls;
    expect(results.every(({ success }) => success)).toBe(true);
    const indices = new Map<bigint, Set<string>>();
    for (const { session: id, item } of manager.items) {
      indices.set(id, (indices.get(id) ?? new Set()).add(item.index));
    }
    expect(indices.size).toBe(50);
    for (const each of indices.values()) expect(each.size).toBe(1);
    expect(manager.items).toHaveLength(5000);
  });

  test('can be closed after a call that was refused', async () => {
    const { agent, client: kept, fill } = await world();
    fill(agent, 1);
    const call = agent.synchronizeModule('FULL', { option: 'Sink' as 'Sync' });
    await expect(call).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    await kept.close();
  });

  test('write their log to it, with their names', async () => {
    const { client: kept, agent } = await world({ noQueue: true });
    const lines: unknown[] = [];
    kept.on('log', (...line) => lines.push(line.toSpliced(2, 1)));
    await agent.synchronizeModule('DELTA');
    expect(lines).toEqual([['info', 'Failed', 'fim']]);
  });

  test('a listener that throws does not disturb a sync, and is told of', async () => {
    const { agent, persist, finish } = await world();
    const errors: string[] = [];
    agent.on('listenerError', (error, source) => errors.push(`${source} ${(error as Error).message}`));
    agent.on('stateChange', () => {
      throw new Error('no');
    });
    agent.on('progress', async () => {
      throw new Error('nor');
    });
    await persist(2);
    expect(await finish(agent.synchronizeModule('DELTA'))).toMatchObject({ success: true });
    await turns(2);
    expect(new Set(errors)).toEqual(new Set(['stateChange no', 'progress nor']));
  });

  test.each([
    [{ module: '' }],
    [{ module: 'é'.repeat(129) }],
    [{ module: 'a', retries: -1 }],
    [{ module: 'a', responseTimeoutMs: 0 }],
    [{ module: 'a', eps: 0.5 }],
    [{ module: 'a', batchBytes: 61_441 }],
    [{ module: 'a', data: 'fast' }],
    [{ module: 'a', maxRounds: 0 }],
    [{ module: 'a', queue: {} }],
    [{ module: 'a', metadata: { hostName: 'x' } }],
    [{ module: 'a', backoff: { jitter: 2 } }],
    [{ module: 'a', retrys: 3 }],
  ])('with the options %j are refused', (options) => {
    const { client: kept } = client();
    expect(() => kept.agent(options as Parameters<typeof kept.agent>[0])).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
    // The name is not taken by what could not be made.
    expect(kept.agent({ module: 'a' }).module).toBe('a');
  });
});
