// What a crash of either side leaves behind: both converge, and no step of the promise is left out.

import { describe, expect, it } from 'vitest';
import { watchPromise } from './promise.js';
import { currentKey, liveKeys, masterId, type Side, slaveId, World } from './world.js';

/** A second rotation, with a crash of one side at its n-th commit. @returns whether it came to that. */
async function crashAt(
  which: 'master' | 'slave',
  commit: number,
  when: 'before' | 'after',
  forgetful: boolean,
): Promise<boolean> {
  const world = await World.open({
    masterPeer: { leadMs: 3000, sessionTimeoutMs: 20_000, cleanupTimeoutMs: 60_000 },
    slavePeer: { sessionTimeoutMs: 20_000, cleanupTimeoutMs: 60_000 },
  });
  const { time } = world;
  const name = `crash of the ${which} ${when} its commit ${commit}${forgetful ? ', its device forgets' : ''}`;
  await time.finish(world.master.sae.rotate(slaveId));
  await time.pass(1000);
  const broken = watchPromise(world);
  const side: Side = world[which];
  let commits = 0;
  let crashed = false;
  side.store.onCommit = (at) => {
    if (at === 'before') ++commits;
    if (at === when && commits === commit && !crashed) {
      crashed = true;
      world.kill(side);
    }
  };
  world.master.sae.rotate(slaveId).catch(() => undefined);
  // Once it is back, nothing waits for longer than the timeouts of a session.
  for (let seconds = 0; seconds < 150; ++seconds) {
    await time.pass(1000);
    if (!side.store.dead) continue;
    if (forgetful) side.persona.restart();
    await world.revive(side);
    seconds = 0;
  }
  const keys = [world.master.memory.keys(slaveId), world.slave.memory.keys(masterId)];
  const production = keys.map((each) => each.filter((key) => key.status === 'in_production'));
  expect(broken, name).toEqual([]);
  for (const each of [world.master, world.slave]) {
    expect(each.persona.violations, name).toEqual([]);
    expect(each.sae.status().peers[0]?.session, name).toBeUndefined();
    expect(liveKeys(each), name).toEqual([currentKey(each)]);
  }
  expect(currentKey(world.master), name).toBe(currentKey(world.slave));
  expect(
    production.map((each) => each.map((key) => key.keyId)),
    name,
  ).toEqual([[currentKey(world.master)], [currentKey(world.slave)]]);
  // And the pair still works.
  side.store.onCommit = () => undefined;
  const next = await time.finish(world.master.sae.rotate(slaveId));
  expect(next.outcome, name).toBe('completed');
  await world.close();
  return crashed;
}

describe('a crash', () => {
  for (const which of ['master', 'slave'] as const) {
    for (const when of ['before', 'after'] as const) {
      it(`of the ${which} ${when} any of its commits ends with both sides at one key`, async () => {
        let commit = 0;
        while (await crashAt(which, ++commit, when, commit % 2 === 0)) expect(commit).toBeLessThan(30);
        expect(commit).toBeGreaterThan(5);
      });
    }
  }
});
