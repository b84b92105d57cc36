// Edge cases of the specification, section 12, by their numbers, as far as they are the agent's.

import { describe, expect, it } from 'vitest';
import { HawserEnvelope } from '../../../src/keys/wire/envelope-hawser.js';
import type { KeyNotification } from '../../../src/keys/wire/messages.js';
import { PinnedKeys } from '../../../src/keys/wire/pinned-keys.js';
import { SigningKey } from '../../../src/keys/wire/signatures.js';
import { watchPromise } from './promise.js';
import { currentKey, keysOf, liveKeys, masterId, type Side, slaveId, World } from './world.js';

const rotationError = expect.objectContaining({ code: 'ERR_HAWSER_ROTATION' });

/** What only somebody else than the master could seal. */
function sealed(world: World, signer: string, fields: Partial<KeyNotification> = {}, sequence = 1n << 40n) {
  const pinned = new PinnedKeys('hawser');
  const nowMs = world.slave.clock.wallNow();
  const envelope = new HawserEnvelope(masterId, new SigningKey(keysOf(signer).privateKey), pinned);
  const message: KeyNotification = {
    message_type: 'key_notification',
    message_id: '11111111-1111-4111-8111-111111111111',
    session_id: '11111111-1111-4111-8111-111111111111',
    timestamp: Math.floor(nowMs / 1000),
    master_sae_id: masterId,
    slave_sae_id: slaveId,
    key_ids: ['k'],
    rotation_timestamp: Math.floor(nowMs / 1000) + 60,
    epoch: 2_000_000_000,
    current_key_id: null,
    ...fields,
  };
  const stamps = { sentAtMs: Math.floor(nowMs), echo: null };
  return envelope.seal(message, { recipientSaeId: slaveId, sequence, stamps });
}

/** Hands bytes to a side as if they came from the other. */
function deliver(side: Side, ...messages: readonly Uint8Array[]): void {
  const other = side.saeId === masterId ? slaveId : masterId;
  const end = side.sae.link(other, { delivers: false, send: () => true });
  for (const bytes of messages) end.receive(bytes);
  end.close();
}

describe('edge case', () => {
  it('4: a message that is replayed after 1001 others, or after a restart, has no effect', async () => {
    const world = await World.open({
      masterPeer: { messagesPerSecond: 100_000 },
      slavePeer: { messagesPerSecond: 100_000 },
    });
    const { master, slave, time } = world;
    await time.finish(master.sae.rotate(slaveId));
    await time.pass(1000);
    const fromMaster = world.sent.filter(({ from }) => from === masterId).map(({ bytes }) => bytes);
    const before = slave.sae.status().peers[0]?.received;
    // They are signed by the master, and say nothing that could be meant.
    const junk = Array.from({ length: 1001 }, (_, n) =>
      sealed(world, masterId, { epoch: 1 }, BigInt(n + 2) << 32n),
    );
    deliver(slave, ...junk);
    await time.pass(1000);
    const after = slave.sae.status().peers[0]?.received;
    deliver(slave, ...fromMaster);
    await time.pass(1000);
    expect(slave.sae.status().peers[0]?.received).toBe(after);
    expect(slave.sae.status().peers[0]?.dropped.replay).toBeGreaterThanOrEqual(fromMaster.length);
    expect(before).toBeGreaterThan(0);
    await world.restart(slave);
    deliver(slave, ...fromMaster);
    await time.pass(1000);
    expect(slave.sae.status().peers[0]?.received).toBe(0);
    await world.close();
  });

  it('5: forged, misdirected and reflected messages are dropped, unanswered, and change nothing', async () => {
    const world = await World.open();
    const { master, slave, time } = world;
    await time.finish(master.sae.rotate(slaveId));
    await time.pass(1000);
    const reflected = world.sent.filter(({ from }) => from === slaveId).map(({ bytes }) => bytes);
    const sentBefore = world.sent.length;
    const keysBefore = slave.memory.keys(masterId);
    const intact = sealed(world, masterId);
    const altered = Array.from({ length: 8 }, (_, n) => {
      const copy = Uint8Array.from(intact);
      const at = Math.floor((copy.length * n) / 8);
      copy[at] = (copy[at] ?? 0) ^ 1;
      return copy;
    });
    deliver(slave, sealed(world, 'somebody else'), ...altered, ...reflected);
    await time.pass(1000);
    const dropped = slave.sae.status().peers[0]?.dropped ?? {};
    expect(reflected.length).toBeGreaterThan(2);
    expect(Object.values(dropped).reduce((sum, count) => sum + count, 0)).toBe(9 + reflected.length);
    expect(dropped.bad_signature).toBeGreaterThanOrEqual(4);
    expect(dropped.replay).toBe(reflected.length);
    expect(world.sent.length).toBe(sentBefore);
    expect(slave.memory.keys(masterId)).toEqual(keysBefore);
    expect(slave.sae.status().peers[0]?.session).toBeUndefined();
    await world.close();
  });

  it('5: a connection of one peer cannot carry what another has signed', async () => {
    const world = await World.open();
    const { slave, time } = world;
    await time.finish(
      slave.sae.addPeer({
        saeId: 'SAE_C',
        publicKey: keysOf('SAE_C').publicKey,
        role: 'slave',
        leadMs: 5000,
      }),
    );
    const end = slave.sae.link('SAE_C', { delivers: false, send: () => true });
    end.receive(sealed(world, masterId));
    expect(slave.sae.status().peers[1]?.dropped).toEqual({ foreign: 1 });
    expect(slave.sae.status().peers[0]?.received).toBe(0);
    await world.close();
  });

  it('11: a KME that has no keys now is asked again; one that refuses, or delivers what it was not asked for, ends the session', async () => {
    const world = await World.open({ masterPeer: { leadMs: 10_000 }, slavePeer: { graceMs: 1000 } });
    const { master, pool, time } = world;
    pool.faults.push({ fails: 'ERR_HAWSER_KME_UNAVAILABLE' }, { fails: 'ERR_HAWSER_KME_UNAVAILABLE' });
    const rotated = await time.finish(master.sae.rotate(slaveId));
    expect(pool.requests).toEqual([...Array(3).fill(`enc ${slaveId} 1`), `dec ${masterId} 1`]);
    const same = { ...rotated };
    const wrong = [
      { fails: 'ERR_HAWSER_KME_REFUSED' },
      { fails: 'ERR_HAWSER_PROTOCOL' },
      { change: () => [] },
      {
        change: (keys: readonly { keyId: string }[]) => keys.map((key) => ({ ...key, keyId: same.newKeyId })),
      },
      { change: (keys: readonly object[]) => [...keys, ...keys] },
    ] as const;
    for (const fault of wrong) {
      pool.faults.push(fault as never);
      await expect(time.finish(master.sae.rotate(slaveId))).rejects.toEqual(rotationError);
    }
    expect(master.memory.keys(slaveId).map((key) => key.keyId)).toEqual([rotated.newKeyId]);
    expect(currentKey(master)).toBe(rotated.newKeyId);
    await world.close();
  });

  it('11: a key whose answer was lost at the slave is given up by both, and the next session takes another', async () => {
    const world = await World.open();
    const { master, slave, pool, time } = world;
    pool.faults.push(undefined, { fails: 'ERR_HAWSER_KEY_UNAVAILABLE', consumed: true });
    const lost = time.finish(master.sae.rotate(slaveId));
    await expect(lost).rejects.toEqual(rotationError);
    await time.pass(1000);
    const result = await time.finish(master.sae.rotate(slaveId));
    expect(result.outcome).toBe('completed');
    expect(currentKey(slave)).toBe(result.newKeyId);
    await world.close();
  });

  it('11: keys that a slow KME is still to deliver are not asked for twice', async () => {
    const world = await World.open({ masterPeer: { leadMs: 20_000 } });
    const { master, pool, time } = world;
    let open: () => void = () => undefined;
    const call = master.sae.rotate(slaveId);
    await time.pass(15);
    pool.gate = new Promise((resolve) => {
      open = resolve;
    });
    await time.pass(6000);
    open();
    pool.gate = undefined;
    await time.finish(call).catch(() => undefined);
    expect(pool.requests.filter((request) => request.startsWith('dec'))).toHaveLength(1);
    await world.close();
  });

  it('13: a device that fails, hangs or comes too late before the rotation leaves both at the old key', async () => {
    for (const which of ['master', 'slave'] as const) {
      for (const how of ['fails', 'hangs'] as const) {
        const world = await World.open({
          slavePeer: { deviceTimeoutMs: 1000 },
          masterPeer: { deviceTimeoutMs: 1000 },
        });
        const { master, time } = world;
        const broken = watchPromise(world);
        const first = await time.finish(master.sae.rotate(slaveId));
        await time.pass(1000);
        world[which].persona.script = ({ call }) => {
          if (call !== 'preConfigure') return undefined;
          return how === 'fails' ? { fail: 'before' } : new Promise(() => undefined);
        };
        const name = `the device of the ${which} ${how}`;
        await expect(time.finish(master.sae.rotate(slaveId)), name).rejects.toEqual(rotationError);
        world[which].persona.script = undefined;
        await time.pass(400_000);
        expect(currentKey(world.master), name).toBe(first.newKeyId);
        expect(currentKey(world.slave), name).toBe(first.newKeyId);
        expect(broken, name).toEqual([]);
        expect(world[which].events, name).toContain('failure device');
        await world.close();
      }
    }
  });

  it('13: a device that refuses to rotate rolls both sides back', async () => {
    for (const which of ['master', 'slave'] as const) {
      const world = await World.open();
      const { master, time } = world;
      const broken = watchPromise(world);
      const first = await time.finish(master.sae.rotate(slaveId));
      await time.pass(1000);
      const { persona } = world[which];
      persona.script = ({ call, keyId }) =>
        call === 'rotate' && keyId !== first.newKeyId ? { fail: 'before' } : undefined;
      await expect(time.finish(master.sae.rotate(slaveId)), which).rejects.toEqual(rotationError);
      await time.pass(400_000);
      for (const side of [world.master, world.slave]) {
        expect(currentKey(side), which).toBe(first.newKeyId);
        expect(liveKeys(side), which).toEqual([first.newKeyId]);
        expect(side.persona.violations, which).toEqual([]);
      }
      expect(broken, which).toEqual([]);
      await world.close();
    }
  });

  it('15: clocks that are set during a session move no rotation', async () => {
    for (const stepMs of [-3_600_000, -5000, 5000, 3_600_000]) {
      const world = await World.open({ masterPeer: { leadMs: 20_000 } });
      const { master, slave, time } = world;
      const call = master.sae.rotate(slaveId);
      await time.pass(1000);
      const agreedMs = slave.sae.status().peers[0]?.session?.rotationAtMs ?? 0;
      const inMs = agreedMs - slave.clock.wallNow();
      master.clock.aheadMs += stepMs;
      slave.clock.aheadMs -= stepMs;
      await time.pass(inMs - 20);
      expect(currentKey(slave), `a step of ${stepMs}`).toBeNull();
      await time.pass(40);
      expect(currentKey(slave), `a step of ${stepMs}`).not.toBeNull();
      await time.finish(call);
      expect(currentKey(master)).toBe(currentKey(slave));
      await world.close();
    }
  });

  it('15: both ends switch within 50 ms of the agreed instant although their clocks differ, on a path of 50 ms', async () => {
    for (const aheadMs of [-9000, -1234, 777, 9000]) {
      const world = await World.open({ aheadMs, masterPeer: { leadMs: 20_000 }, network: { delayMs: 25 } });
      const { master, slave, time } = world;
      const call = master.sae.rotate(slaveId);
      await time.pass(1000);
      const agreedMs = master.sae.status().peers[0]?.session?.rotationAtMs ?? 0;
      await time.pass(agreedMs - master.clock.wallNow() - 50);
      expect(currentKey(slave), `${aheadMs} ms ahead`).toBeNull();
      await time.pass(100);
      expect(currentKey(slave), `${aheadMs} ms ahead`).not.toBeNull();
      expect(currentKey(master), `${aheadMs} ms ahead`).toBe(currentKey(slave));
      expect(master.sae.status().peers[0]?.clock?.offsetMs).toBeCloseTo(aheadMs, -1);
      await time.finish(call);
      await world.close();
    }
  });

  it('15: clocks that differ by more than is tolerated are no ground for a rotation', async () => {
    for (const aheadMs of [-30_000, 30_000]) {
      const world = await World.open({ aheadMs });
      const { master, time } = world;
      await expect(time.finish(master.sae.rotate(slaveId))).rejects.toEqual(rotationError);
      expect(currentKey(master)).toBeNull();
      await world.close();
    }
  });

  it('15: a message whose time is more than a minute from ours is refused, and its sender told', async () => {
    const world = await World.open({ aheadMs: 70_000 });
    const { master, slave, time } = world;
    const call = time.finish(master.sae.rotate(slaveId));
    await expect(call).rejects.toEqual(rotationError);
    expect(slave.events).toContain('rejected stale_timestamp key_notification');
    expect(world.sent.some(({ from }) => from === slaveId)).toBe(true);
    expect(slave.memory.keys(masterId)).toEqual([]);
    await world.close();
  });

  it('18: two peers of one SAE rotate at the same time, and neither touches the keys of the other', async () => {
    const world = await World.open();
    const { master, slave, time } = world;
    // The slave of A is the slave of C too, with the same device.
    const third = await world.third('SAE_C');
    for (let round = 0; round < 3; ++round) {
      const both = [master.sae.rotate(slaveId), third.sae.rotate(slaveId)];
      const [a, c] = await time.finish(Promise.all(both));
      expect(slave.persona.device(masterId).current).toBe(a?.newKeyId);
      expect(slave.persona.device('SAE_C').current).toBe(c?.newKeyId);
      await time.pass(1000);
    }
    expect(slave.memory.keys(masterId)).toHaveLength(1);
    expect(slave.memory.keys('SAE_C')).toHaveLength(1);
    expect(slave.persona.violations).toEqual([]);
    await time.finish(third.sae.close());
    await world.close();
  });

  it('22: what is too long, empty, cut off or no envelope is counted and dropped', async () => {
    const world = await World.open();
    const { slave, time } = world;
    const intact = sealed(world, masterId);
    const cut = Array.from({ length: 60 }, (_, n) =>
      intact.subarray(0, Math.floor((intact.length * n) / 60)),
    );
    deliver(slave, new Uint8Array(8193), new Uint8Array(1_000_000), ...cut, Buffer.from('{"payload":{}}'));
    await time.pass(100);
    expect(slave.sae.status().peers[0]).toMatchObject({ received: 0, dropped: { too_long: 2 } });
    expect(slave.sae.status().peers[0]?.session).toBeUndefined();
    await world.close();
  });

  it('23: what is refused is answered with errors, and with so many a second at most', async () => {
    const world = await World.open({ slavePeer: { errorsPerSecond: 3, messagesPerSecond: 1000 } });
    const { slave, time } = world;
    const old = Array.from({ length: 100 }, (_, n) =>
      sealed(world, masterId, { timestamp: 1_600_000_000 }, BigInt(n + 2) << 32n),
    );
    world.connect();
    const before = world.sent.length;
    const end = slave.sae.link(masterId, { delivers: false, send: () => true });
    for (const bytes of old) end.receive(bytes);
    end.close();
    await time.pass(0);
    expect(slave.sae.status().peers[0]?.sent).toBe(3);
    expect(slave.sae.status().peers[0]?.dropped.stale_timestamp).toBe(100);
    expect(before).toBe(world.sent.length);
    await world.close();
  });

  it('24: more messages a second than are looked at are dropped before their signatures are checked', async () => {
    const world = await World.open({ slavePeer: { messagesPerSecond: 20 } });
    const { slave } = world;
    const forged = sealed(world, 'somebody else');
    deliver(slave, ...Array.from({ length: 500 }, () => forged));
    expect(slave.sae.status().peers[0]?.dropped).toEqual({ bad_signature: 20, too_many: 480 });
    await world.close();
  });

  it('25: closing cancels all timers, gives up what is under way, and wipes the keys', async () => {
    const world = await World.open();
    const { master, slave, time } = world;
    await time.finish(master.sae.rotate(slaveId));
    const call = master.sae.rotate(slaveId);
    const refused = expect(call).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await time.pass(1000);
    expect(master.wheel.size).toBeGreaterThan(0);
    await world.close();
    await refused;
    expect([master.wheel.size, slave.wheel.size]).toEqual([0, 0]);
    await expect(master.sae.rotate(slaveId)).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    expect([master.store.closed, slave.store.closed]).toEqual([true, true]);
  });
});
