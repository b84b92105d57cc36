// What agents hear of a manager whose store has enough of them: of one, or of all.

import { describe, expect, test } from 'vitest';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import { type FakeAgent, json } from './fake-agent.js';
import { ManagerWorld } from './manager-world.js';
import { finished, RealAgent } from './real-agents.js';

const maxBytes = 2_300_000;
/** An eighth of a share, more or less. */
const large = { data: json({ d: 'x'.repeat(60_000) }) };
const deletion = { operation: 'Delete', data: new Uint8Array() } as const;

describe('a store', () => {
  const world = (): ManagerWorld => new ManagerWorld({ store: new MemoryStore({ maxBytes }) });
  let generation = 0n;

  /** A session of so many large documents, or of something else. @returns what the agent heard last. */
  const brings = async (
    manager: ManagerWorld,
    agent: FakeAgent,
    count: number,
    given: Parameters<FakeAgent['values']>[3] = large,
  ): Promise<string | undefined> => {
    ++generation;
    const session = agent.begin({ size: BigInt(count), nonce: generation, generation });
    agent.values(session, 0, count - 1, given);
    agent.end(session);
    await manager.applied();
    return agent.endAcks.at(-1);
  };

  test('that has the share of one agent refuses it and nobody else, until it deletes', async () => {
    const manager = world();
    const greedy = manager.agent('greedy');
    expect(await brings(manager, greedy, 5)).toBe('Ok');
    for (let n = 0; n < 20; ++n) {
      expect(await brings(manager, greedy, 20)).toBe('Error AgentFull');
    }
    expect(manager.store.usage.bytes).toBeLessThan(maxBytes / 3);
    expect(manager.manager.stats.sessions).toBe(0);
    expect(await brings(manager, manager.agent('good'), 5)).toBe('Ok');
    expect(await brings(manager, greedy, 20, deletion)).toBe('Ok');
    expect(manager.store.usageOf('greedy').count).toBe(0);
    expect(await brings(manager, greedy, 5)).toBe('Ok');
  });

  test('that has the share of an agent fails its calls, once each, and goes on with what it deletes', async () => {
    const manager = world();
    const real = new RealAgent(manager, 'greedy');
    await real.client.connect();
    await real.persist(5, large.data);
    const call = async (mode: 'DELTA' | 'FULL') => finished(manager, real.agent.synchronizeModule(mode));
    expect(await call('DELTA')).toMatchObject({ success: true });
    const before = manager.documents('greedy');
    for (let n = 0; n < 20; ++n) {
      real.agent.persistDifferenceInMemory(`id-${n}`, 'CREATE', 'files', json({ n, d: 'y'.repeat(60_000) }));
    }
    const refused = { success: false, reason: 'Refused', managerReason: 'AgentFull', managerNotReady: false };
    expect(await call('FULL')).toMatchObject(refused);
    expect(manager.documents('greedy')).toEqual(before);
    real.agent.clearInMemoryData();
    await real.persist(20, json({ d: 'z'.repeat(60_000) }));
    const started = manager.counts.started;
    for (let tries = 1; tries <= 2; ++tries) {
      expect(await call('DELTA')).toMatchObject({ ...refused, consecutiveFailures: tries + 1 });
      expect(real.queue.counts).toMatchObject({ pending: 20, syncing: 0 });
      expect(manager.counts.started).toBe(started + tries);
    }
    const deletions = Array.from({ length: 18 }, (_, n) => ({
      id: `id-${n}`,
      operation: 'DELETE' as const,
      index: 'files',
      data: new Uint8Array(),
    }));
    await real.agent.persistDifferences(deletions);
    expect(await call('DELTA')).toMatchObject({ success: true, consecutiveFailures: 0 });
    expect(manager.ids('greedy')).toEqual(['id-18', 'id-19']);
    expect(manager.manager.stats).toMatchObject({ sessions: 0, items: 0, bytes: 0 });
  });

  test('that all have filled lets them delete, and takes what waits when one has', async () => {
    const manager = world();
    const agents = Array.from({ length: 4 }, (_, n) => manager.agent(`greedy ${n}`));
    for (const agent of agents) expect(await brings(manager, agent, 7)).toBe('Ok');
    const good = manager.agent('good');
    expect(await brings(manager, good, 4)).toBe('Offline StoreFull');
    const [first] = agents;
    if (first === undefined) throw new Error('unreachable');
    expect(await brings(manager, first, 7, deletion)).toBe('Ok');
    await manager.pass(60_000);
    expect(good.endAcks.at(-1)).toBe('Ok');
    expect(manager.store.usageOf('good').count).toBe(4);
  });
});
