// An agent with its manager, in virtual time.

import type { ManagerState } from '../../../src/base/connection-manager.js';
import type { SyncAgent, SyncAgentOptions } from '../../../src/sync/agent/agent.js';
import { SyncClient } from '../../../src/sync/agent/sync-client.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { FakeManager } from './fake-manager.js';
import { WatchedQueue } from './watched-queue.js';

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

export interface WorldOptions extends Omit<SyncAgentOptions, 'module' | 'queue'> {
  readonly random?: () => number;
  /** Without a queue. */
  readonly noQueue?: boolean;
  readonly maxUnreliableBytes?: number;
  /** Of the queue. */
  readonly snapshotItems?: number;
}

/** A connected agent, and what is heard of it. */
export async function world(options: WorldOptions = {}) {
  const { random = () => 0, noQueue = false, maxUnreliableBytes, snapshotItems, ...rest } = options;
  const time = new VirtualTime();
  const manager = new FakeManager(() => time.nowMs);
  manager.maxUnreliableBytes = maxUnreliableBytes;
  const queue = new WatchedQueue(snapshotItems);
  const client = new SyncClient({ connector: manager.connector, wheel: time.wheel, random });
  const log: string[] = [];
  const states: string[] = [];
  const waits: number[] = [];
  const connection: ManagerState[] = [];
  client.on('stateChange', (_, to) => connection.push(to));
  client.on('log', (level, code) => log.push(`${level} ${code}`));
  const agent = client.agent({ module: 'fim', ...(!noQueue && { queue }), ...rest });
  agent.on('stateChange', (_, to) => states.push(to));
  agent.on('waiting', ({ retryAfterMs }) => waits.push(retryAfterMs));
  await client.connect();

  /** Lets time pass until the call is over. */
  const finish = async <T>(call: Promise<T>, limitMs = 10_000_000): Promise<T> => {
    let outcome: { value: T } | { error: unknown } | undefined;
    call.then(
      (value) => {
        outcome = { value };
      },
      (error: unknown) => {
        outcome = { error };
      },
    );
    await turns(2);
    for (let idle = 0; outcome === undefined; ) {
      const dueMs = time.clock.nextDueMs;
      if (dueMs <= limitMs) await time.passTo(Math.max(time.nowMs, dueMs));
      else {
        await turns(1);
        if (++idle > 1000) throw new Error(`the call is not over at ${limitMs} ms, and nothing happens`);
      }
    }
    if ('error' in outcome) throw outcome.error;
    return outcome.value;
  };
  const fill = (target: SyncAgent, count: number, index = 'files'): void => {
    for (let n = 0; n < count; ++n) {
      target.persistDifferenceInMemory(`id${n}`, 'CREATE', index, bytesOf(`{"n":${n}}`));
    }
  };
  const persist = async (count: number, index = 'files'): Promise<void> => {
    const all = Array.from({ length: count }, (_, n) => ({
      id: `id${n}`,
      operation: 'CREATE' as const,
      index,
      data: bytesOf(`{"n":${n}}`),
    }));
    await agent.persistDifferences(all);
  };
  return { time, manager, queue, client, agent, log, states, waits, connection, finish, fill, persist };
}

/** Lets the event loop run so many times. */
export async function turns(count: number): Promise<void> {
  for (let n = 0; n < count; ++n) await new Promise((resolve) => setImmediate(resolve));
}
