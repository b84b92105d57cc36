import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { SyncManagerOptions } from '../../../src/sync/manager/options.js';
import { settled } from '../../interaction/virtual-time.js';
import { json, startOf } from './fake-agent.js';
import { ManagerWorld } from './manager-world.js';

/** As a program in JavaScript may have it: the compiler has not seen what it returns. */
const untyped = (hooks: object): Partial<SyncManagerOptions> => hooks;

function worldOf(hooks: object): { world: ManagerWorld; errors: unknown[] } {
  const errors: unknown[] = [];
  const world = new ManagerWorld(untyped(hooks));
  world.manager.on('listenerError', (error, source) => errors.push([source, (error as Error).message]));
  return { world, errors };
}

describe('allowIndex', () => {
  for (const [what, answer] of [
    ['a promise of false', () => Promise.resolve(false)],
    ['a promise of true', () => Promise.resolve(true)],
    ['a promise that rejects', () => Promise.reject(new Error('no rules'))],
    ['1', () => 1],
    ["'false'", () => 'false'],
    ['undefined', () => undefined],
  ] as const) {
    test(`that returns ${what} allows nothing, and that is told`, async () => {
      const { world, errors } = worldOf({ allowIndex: answer });
      const agent = world.agent();
      const session = agent.begin({ indices: [] });
      agent.values(session, 0, 0);
      agent.end(session);
      await settled();
      expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 1n });
      expect(world.documents()).toEqual([]);
      expect(world.counts.hookFailures).toBe(1);
      expect(world.logs).toContain('error Hook');
      expect(errors).toEqual([['allowIndex', expect.stringContaining('neither true nor false')]]);
      const check = agent.begin({ mode: 'CHECK', size: 0n });
      agent.send({ type: 'ChecksumModule', session: check, index: 'files', checksum: '0'.repeat(40) });
      agent.end(check);
      await settled();
      expect(agent.lastEndAck).toMatchObject({ status: 'Error', reason: 'IndexNotAllowed' });
    });
  }

  test('that fails for every item of a session fills neither log nor listeners', async () => {
    const { world, errors } = worldOf({
      allowIndex: () => {
        throw new Error('the rules are gone');
      },
    });
    const agent = world.agent();
    const session = agent.begin({ size: 500n, indices: [] });
    for (let seq = 0; seq < 500; ++seq) agent.values(session, seq, seq, { index: `i${seq}` });
    agent.end(session);
    await world.applied();
    expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected: 500n });
    expect(world.counts).toMatchObject({ hookFailures: 500, suppressed: 480 });
    expect(errors).toHaveLength(20);
    expect(world.logs.filter((line) => line === 'error Hook')).toHaveLength(20);
  });
});

describe('onContext', () => {
  test('that rejects, or throws, ends neither the process nor the session, and is told', async () => {
    for (const onContext of [
      async () => {
        throw new Error('no');
      },
      () => {
        throw new Error('no');
      },
    ]) {
      const { world, errors } = worldOf({ onContext });
      const agent = world.agent();
      const session = agent.begin({ size: 1n });
      agent.send({ type: 'DataContext', seq: 0n, session, id: 'a', index: 'files', data: json({}) });
      agent.end(session);
      await settled();
      await settled();
      expect(agent.lastEndAck?.status).toBe('Ok');
      expect(world.counts.hookFailures).toBe(1);
      expect(world.logs).toContain('error Hook');
      expect(errors).toEqual([['onContext', 'no']]);
    }
  });
});

describe('onMetadata', () => {
  test('that throws or rejects is told, and the agent to try again', async () => {
    for (const onMetadata of [
      async () => {
        throw new Error('no');
      },
      () => {
        throw new Error('no');
      },
    ]) {
      const { world, errors } = worldOf({ onMetadata });
      const agent = world.agent();
      agent.end(agent.begin({ mode: 'METADATA_DELTA', size: 0n }));
      await settled();
      expect(agent.lastEndAck).toMatchObject({ status: 'Offline', reason: 'StoreFailed' });
      expect(errors).toEqual([['onMetadata', 'no']]);
      expect(world.counts.hookFailures).toBe(1);
    }
  });

  test('that never settles is waited for a minute, and then the agent is free again', async () => {
    const { world, errors } = worldOf({ onMetadata: () => new Promise(() => undefined) });
    const agent = world.agent();
    const session = agent.begin({ mode: 'METADATA_DELTA', size: 0n });
    agent.end(session);
    await world.pass(59_000);
    expect(agent.endAcks).toEqual(Array.from({ length: 11 }, () => 'Processing'));
    expect(agent.start({ nonce: 3n, generation: 1n })).toMatchObject({
      status: 'Offline',
      reason: 'AgentLocked',
    });
    await world.pass(1000);
    expect(agent.lastEndAck).toMatchObject({ status: 'Offline', reason: 'StoreFailed', retryAfterMs: 5000 });
    expect(errors).toEqual([['onMetadata', 'it has not settled for 60000 ms']]);
    expect(agent.start({ nonce: 3n, generation: 1n }).status).toBe('Ok');
    expect(world.manager.stats.sessions).toBe(1);
  });

  test('that settles after its minute changes nothing any more', async () => {
    for (const ending of ['resolve', 'reject'] as const) {
      let settle = (): void => undefined;
      const onMetadata = () =>
        new Promise<void>((resolve, reject) => {
          settle =
            ending === 'resolve' ? resolve : () => reject(new HawserError('ERR_HAWSER_SYSTEM', 'late'));
        });
      const { world } = worldOf({ onMetadata });
      const agent = world.agent();
      agent.end(agent.begin({ mode: 'GROUP_DELTA', size: 0n }));
      await world.pass(60_000);
      const first = settle;
      // Another one keeps the agent locked: what ends late does not unlock it.
      agent.end(agent.begin({ mode: 'METADATA_DELTA', size: 0n }));
      await settled();
      const count = agent.received.length;
      first();
      await settled();
      expect(agent.received).toHaveLength(count);
      expect(agent.start({ nonce: 3n, generation: 1n }).reason).toBe('AgentLocked');
      settle();
      await settled();
      expect(world.manager.stats.sessions).toBe(0);
      expect(agent.start({ nonce: 3n, generation: 1n }).status).toBe('Ok');
    }
  });

  test('that never settles does not keep the manager from closing', async () => {
    const { world } = worldOf({ onMetadata: () => new Promise(() => undefined) });
    const agent = world.agent();
    agent.end(agent.begin({ mode: 'METADATA_DELTA', size: 0n }));
    await settled();
    await world.manager.close();
    agent.send(startOf());
    expect(agent.endAcks).toEqual([]);
  });
});
