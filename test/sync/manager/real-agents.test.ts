import { expect, test } from 'vitest';
import { json, startOf } from './fake-agent.js';
import { ManagerWorld } from './manager-world.js';
import { finished, RealAgent } from './real-agents.js';

const large = json({ pad: 'x'.repeat(800) });

test('agents that a manager has no bytes for wait as it says, however often, and all succeed', async () => {
  const world = new ManagerWorld({ maxBytes: 30_000, maxBytesPerAgent: 15_000 });
  const agents = Array.from(
    { length: 6 },
    (_, n) => new RealAgent(world, `a${n}`, { batchBytes: 1024, eps: 6 }),
  );
  const calls = agents.map(async (each) => {
    await each.client.connect();
    await each.persist(12, large);
    return each.agent.synchronizeModule('DELTA');
  });
  const results = await finished(world, Promise.all(calls));
  expect(results.map(({ failureReason }) => failureReason)).toEqual(Array.from({ length: 6 }, () => ''));
  expect(agents.flatMap(({ waits }) => waits)).toContain('TooManyBytes');
  for (const { name, queue } of agents) {
    expect(world.ids(name)).toHaveLength(12);
    expect(queue.counts).toMatchObject({ pending: 0, syncing: 0 });
  }
  expect(world.counts.unknownSession).toBe(0);
  expect(world.manager.stats).toMatchObject({ sessions: 0, items: 0, bytes: 0 });
});

test('an agent that was told Offline among its Data is not told UnknownSession for what it had sent before it heard so', async () => {
  const world = new ManagerWorld({ maxBytes: 3000, maxBytesPerAgent: 2500 });
  const hog = world.agent('hog');
  const session = hog.begin({ size: 3n });
  hog.values(session, 0, 1, { data: large });
  const late = new RealAgent(world, 'late', { batchBytes: 1024 });
  await late.client.connect();
  await late.persist(2, large);
  const call = late.agent.synchronizeModule('DELTA');
  await world.pass(20_000);
  hog.values(session, 2, 2);
  hog.end(session);
  const result = await finished(world, call);
  expect(result).toMatchObject({ success: true, failureReason: '' });
  expect(world.counts.unknownSession).toBe(0);
  expect(late.waits.length).toBeGreaterThan(0);
  expect(world.ids('late')).toHaveLength(2);
});

for (const maxSessions of [2, 1]) {
  const what = maxSessions === 1 ? 'begins again, for nothing else gave way,' : 'goes on with its session';
  test(`an agent that is cut off for 40 s while others wait ${what} and succeeds`, async () => {
    const world = new ManagerWorld({ maxSessions, holdMs: 0 });
    const cut = new RealAgent(world, 'cut', { batchBytes: 1024, eps: 10 });
    await cut.client.connect();
    await cut.persist(40, large);
    const call = cut.agent.synchronizeModule('DELTA');
    await world.pass(2000);
    // One that gets on all the time, where there is room for it.
    const busy = world.agent('busy');
    const session = maxSessions === 2 ? busy.begin({ size: 1000n }) : undefined;
    cut.cut();
    const interrupted = await finished(world, call);
    expect(interrupted).toMatchObject({ success: false, managerNotReady: true });
    const waiting = world.agent('waiting');
    for (let second = 0; second < 40; ++second) {
      if (second % 3 === 0) waiting.send(startOf({ nonce: 7n, generation: 1n }));
      if (session !== undefined) busy.values(session, second, second);
      await world.pass(1000);
    }
    expect(world.counts.gaveWay).toBe(maxSessions === 2 ? 0 : 1);
    cut.join();
    if (session === undefined) {
      // The one that waited got the place of the one that was cut off, and is done soon.
      const own = waiting.ofType('StartAck').at(-1);
      expect(own?.status).toBe('Ok');
      waiting.values(own?.session ?? 0n, 0, 0);
      waiting.end(own?.session ?? 0n);
    }
    // Its client connects anew by itself.
    while (cut.client.state !== 'CONNECTED') await world.pass(1000);
    const again = cut.agent.synchronizeModule('DELTA');
    expect(await finished(world, again)).toMatchObject({ success: true, failureReason: '' });
    expect(world.ids('cut')).toHaveLength(40);
    expect(world.counts.resumed).toBe(maxSessions === 2 ? 1 : 0);
  });
}
