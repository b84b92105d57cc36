// Two SAEs that rotate the keys which they share.

import { describe, expect, it } from 'vitest';
import { equalSecrets } from '../../../src/base/secret-bytes.js';
import { watchPromise } from './promise.js';
import { currentKey, liveKeys, masterId, slaveId, World } from './world.js';

describe('two SAEs', () => {
  it('rotate to a first key, and from each key to the next; the old one is gone from both sides afterwards', async () => {
    const world = await World.open();
    const { master, slave, time } = world;
    const first = await time.finish(master.sae.rotate(slaveId));
    expect(first).toMatchObject({ outcome: 'completed', role: 'master', oldKeyId: null });
    const second = await time.finish(master.sae.rotate(slaveId));
    expect(second).toMatchObject({ outcome: 'completed', oldKeyId: first.newKeyId, failedKeyIds: [] });
    await time.pass(1000);
    for (const side of [master, slave]) {
      expect(currentKey(side)).toBe(second.newKeyId);
      expect(liveKeys(side)).toEqual([second.newKeyId]);
      expect(side.persona.violations).toEqual([]);
      expect(side.sae.status().peers[0]).toMatchObject({ rotations: 2, failures: 0, session: undefined });
    }
    const mine = master.memory.keys(slaveId);
    const theirs = slave.memory.keys(masterId);
    expect(mine.map((key) => [key.keyId, key.status])).toEqual([[second.newKeyId, 'in_production']]);
    expect(theirs.map((key) => [key.keyId, key.status])).toEqual([[second.newKeyId, 'in_production']]);
    const same = await master.memory.withMaterial(slaveId, second.newKeyId, (a) =>
      slave.memory.withMaterial(masterId, second.newKeyId, (b) => equalSecrets(a, b)),
    );
    expect(same).toBe(true);
    await world.close();
  });

  it('lose nothing, in whatever instant it comes: it does not wait for a timer', async () => {
    for (let depth = 0; depth < 30; ++depth) {
      const world = await World.open();
      const { master, time } = world;
      const first = master.sae.rotate(slaveId);
      for (let count = 0; count < depth; ++count) await undefined;
      let refused = false;
      master.sae.rotate(slaveId).catch(() => {
        refused = true;
      });
      await time.pass(0);
      expect(refused, `after ${depth} microtasks`).toBe(true);
      await time.finish(first);
      await world.close();
    }
  });

  it('converge within the time to send again once a network works again that loses every other message', async () => {
    for (let seed = 1; seed <= 20; ++seed) {
      const world = await World.open({ seed, network: { loss: 0.5, duplication: 0.2 } });
      const { master, slave, time, network } = world;
      const broken = watchPromise(world);
      for (let round = 0; round < 3; ++round) {
        master.sae.rotate(slaveId).catch(() => undefined);
        await time.pass(10_000);
      }
      network.loss = 0;
      // The time to send again is at most 10 s, and half of that again; there are five messages to come.
      await time.pass(400_000);
      expect(broken, `seed ${seed}`).toEqual([]);
      expect(currentKey(master), `seed ${seed}`).toBe(currentKey(slave));
      for (const side of [master, slave]) {
        expect(side.sae.status().peers[0]?.session, `seed ${seed}`).toBeUndefined();
        expect(side.persona.violations, `seed ${seed}`).toEqual([]);
      }
      await world.close();
    }
  });

  it('say in words why a rotation came to nothing, and whose word that is', async () => {
    const world = await World.open();
    const { master, slave, time, network } = world;
    slave.persona.script = ({ call }) => (call === 'preConfigure' ? { fail: 'before' } : undefined);
    const refused = time.finish(master.sae.rotate(slaveId));
    await expect(refused).rejects.toThrow('(device_failure): a device refused, as the other side says');
    network.loss = 1;
    const unheard = time.finish(master.sae.rotate(slaveId));
    await expect(unheard).rejects.toThrow('(too_late): the sides were not ready in time');
    await world.close();
  });
});
