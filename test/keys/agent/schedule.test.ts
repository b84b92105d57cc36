// What an SAE does by itself: rotations at intervals, keys that expire, devices and stores that fail.

import { describe, expect, it } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import { RotationSchedule } from '../../../src/keys/agent/rotation-schedule.js';
import { SaeTime } from './sae-time.js';
import { currentKey, keysOf, liveKeys, masterId, slaveId, World } from './world.js';

/** A rotation that fails because the slave's device does not take the key, which the master then still has. */
async function failedRotation({ master, slave, time }: World): Promise<void> {
  slave.persona.script = () => ({ fail: 'before' });
  const rotated = time.finish(master.sae.rotate(slaveId));
  await expect(rotated).rejects.toMatchObject({ code: 'ERR_HAWSER_ROTATION' });
  slave.persona.script = undefined;
}

describe('a master with an interval', () => {
  it('rotates by itself, at once when there is no key, and at most an interval apart', async () => {
    const world = await World.open({ masterPeer: { intervalMs: 60_000 } });
    const { master, time } = world;
    const begun: number[] = [];
    master.sae.on('state', ({ session }) => {
      if (session.state === 'NOTIFIED') begun.push(time.nowMs);
    });
    await time.pass(600_000);
    expect(begun[0]).toBeLessThanOrEqual(1000);
    const apart = begun.slice(1).map((atMs, index) => atMs - (begun[index] ?? 0));
    // An interval begins when a session is over.
    for (const each of apart) expect(each).toBeGreaterThan(54_000);
    for (const each of apart) expect(each).toBeLessThan(68_000);
    expect(begun.length).toBeGreaterThanOrEqual(9);
    expect(master.sae.status().peers[0]).toMatchObject({ failures: 0, rotations: begun.length });
    await world.close();
  });

  it('tries again after 100 ms and then later and later, up to half an interval, until it succeeds', async () => {
    const time = new SaeTime();
    const wheel = new TimingWheel(time.machine());
    const begun: number[] = [];
    const schedule = new RotationSchedule(10_000, wheel, seededRandom(3), () => begun.push(time.nowMs));
    schedule.start(undefined);
    for (let attempt = 0; attempt < 10; ++attempt) {
      await time.pass((schedule.delayMs ?? 0) + 1);
      schedule.failed();
    }
    const apart = begun.slice(1).map((atMs, index) => atMs - (begun[index] ?? 0));
    apart.forEach((each, index) => {
      const baseMs = Math.min(100 * 2 ** index, 5000);
      expect(each).toBeGreaterThanOrEqual(baseMs);
      expect(each).toBeLessThanOrEqual(baseMs * 1.25 + 2);
    });
    schedule.succeeded();
    expect(schedule.delayMs).toBeGreaterThan(9000);
    schedule.start(9900);
    expect(schedule.delayMs).toBeLessThan(1000);
    schedule.close();
    expect(wheel.size).toBe(0);
  });

  it('is not held up, nor hurried, by rotations that others ask for', async () => {
    const world = await World.open({ masterPeer: { intervalMs: 60_000, leadMs: 20_000 } });
    const { master, time } = world;
    await time.pass(60_000);
    const nextBeginAtMs = () => master.sae.status().peers[0]?.nextBeginAtMs ?? null;
    const planned = nextBeginAtMs();
    await failedRotation(world);
    expect(nextBeginAtMs()).toBe(planned);
    // One that is under way when its own is due: that is not begun, and planned anew with the end of the other.
    await time.pass((planned ?? 0) - master.clock.wallNow() - 5000);
    const other = master.sae.rotate(slaveId);
    await time.pass(10_000);
    expect(nextBeginAtMs()).toBeNull();
    await time.finish(other);
    expect((nextBeginAtMs() ?? 0) - master.clock.wallNow()).toBeGreaterThan(50_000);
    expect(master.sae.status().peers[0]?.failures).toBe(1);
    await world.close();
  });

  it('goes on from the age of its key after a restart', async () => {
    const world = await World.open({ masterPeer: { intervalMs: 60_000 } });
    const { master, time } = world;
    await time.pass(40_000);
    expect(master.sae.status().peers[0]?.rotations).toBe(1);
    await world.restart(master);
    const beginAtMs = master.sae.status().peers[0]?.nextBeginAtMs ?? 0;
    expect(beginAtMs - master.clock.wallNow()).toBeLessThan(30_000);
    await world.close();
  });
});

describe('a key that expires', () => {
  it('is told of once, and goes on being used, unless the SAE fails closed', async () => {
    const world = await World.open({ masterPeer: { keyLifetimeMs: 60_000 } });
    const { master, time } = world;
    const { newKeyId } = await time.finish(master.sae.rotate(slaveId));
    await time.pass(600_000);
    expect(master.events.filter((event) => event === 'keyExpired')).toHaveLength(1);
    expect(currentKey(master)).toBe(newKeyId);
    expect(master.sae.status().peers[0]).toMatchObject({ failedClosed: false, productionKeyId: newKeyId });
    await world.close();
  });

  it('stops the traffic of an SAE that fails closed, until the next rotation', async () => {
    const world = await World.open({ masterPeer: { keyLifetimeMs: 60_000 }, master: { failClosed: true } });
    const { master, time } = world;
    const device = () => master.persona.device(slaveId);
    // Without any key there is no traffic either.
    expect(device().failedClosed).toBe(true);
    await time.finish(master.sae.rotate(slaveId));
    expect(device().failedClosed).toBe(false);
    await time.pass(60_000);
    expect(device().failedClosed).toBe(true);
    expect(master.sae.status().peers[0]?.failedClosed).toBe(true);
    await world.restart(master);
    expect(device().failedClosed).toBe(true);
    await time.finish(master.sae.rotate(slaveId));
    expect(device().failedClosed).toBe(false);
    expect(currentKey(master)).toBe(currentKey(world.slave));
    await world.close();
  });

  it('stops it without a key however the clock is set, when the device did not do so at once', async () => {
    const world = await World.open({ master: { failClosed: true } });
    const { master, time } = world;
    let refused = 0;
    master.persona.script = ({ call }) => {
      if (call !== 'failClosed' || ++refused > 1) return undefined;
      // Before the clock of the machine is asked again.
      master.clock.aheadMs -= 3_600_000;
      return { fail: 'before' };
    };
    const added = { saeId: 'SAE_C', publicKey: keysOf('SAE_C').publicKey, role: 'master' } as const;
    await time.finish(master.sae.addPeer(added));
    await time.pass(2000);
    expect([refused, master.persona.device('SAE_C').failedClosed]).toEqual([2, true]);
    await world.close();
  });

  it('is deleted when it never was used', async () => {
    const world = await World.open({ masterPeer: { keyLifetimeMs: 60_000 } });
    const { master, time } = world;
    await failedRotation(world);
    expect(master.memory.keys(slaveId).map((key) => key.status)).toEqual(['available']);
    await time.pass(61_000);
    expect(master.memory.keys(slaveId)).toEqual([]);
    expect(liveKeys(master)).toEqual([]);
    expect(master.persona.calls.some(({ call }) => call === 'deleteKey')).toBe(true);
    await world.close();
  });

  it('is not announced when it is deleted before the session with it could be kept', async () => {
    const world = await World.open({ masterPeer: { keyLifetimeMs: 60_000 } });
    const { master, time } = world;
    await failedRotation(world);
    const [left] = master.memory.keys(slaveId);
    await time.pass((left?.expiresAtMs ?? 0) - master.clock.wallNow() - 10);
    const before = world.sent.length;
    master.store.failures.push(new HawserError('ERR_HAWSER_STORE', 'as the test has it'));
    const refused = expect.objectContaining({ cause: expect.objectContaining({ code: 'key_unavailable' }) });
    await expect(time.finish(master.sae.rotate(slaveId))).rejects.toEqual(refused);
    expect(master.memory.keys(slaveId)).toEqual([]);
    expect(world.sent.length).toBe(before);
    const { newKeyId } = await time.finish(master.sae.rotate(slaveId));
    expect(newKeyId).not.toBe(left?.keyId);
    await world.close();
  });

  it('is what a revoked key in production counts as', async () => {
    const world = await World.open({ master: { failClosed: true } });
    const { master, time } = world;
    const { newKeyId } = await time.finish(master.sae.rotate(slaveId));
    master.sae.revoke(slaveId, newKeyId);
    await time.pass(10);
    expect(master.events).toContain('keyExpired');
    expect(master.persona.device(slaveId).failedClosed).toBe(true);
    expect(() => master.sae.revoke(slaveId, 'another')).toThrow('there is no key');
    await world.close();
  });
});

describe('what fails', () => {
  it('a store that keeps nothing holds up a session, and loses no decision', async () => {
    const world = await World.open({ masterPeer: { leadMs: 10_000 } });
    const { master, slave, time } = world;
    const full = () => new HawserError('ERR_HAWSER_DISK_FULL', 'as the test has it');
    master.store.failures.push(full());
    await expect(time.finish(master.sae.rotate(slaveId))).rejects.toMatchObject({
      code: 'ERR_HAWSER_ROTATION',
    });
    const call = master.sae.rotate(slaveId);
    await time.pass(5);
    master.store.failures.push(full(), full());
    await time.pass(2000);
    slave.store.failures.push(full(), full());
    await time.pass(5000);
    master.store.failures.push(full(), full(), full());
    const result = await time.finish(call);
    await time.pass(60_000);
    expect(master.events).toContain('failure store');
    expect(currentKey(master)).toBe(currentKey(slave));
    for (const side of [master, slave]) {
      expect(side.sae.status().peers[0]?.session).toBeUndefined();
      expect(liveKeys(side).length).toBeLessThanOrEqual(1);
    }
    const again = await time.finish(master.sae.rotate(slaveId));
    expect([result.outcome, again.outcome]).toEqual(['completed', 'completed']);
    await world.close();
  });

  it('a device that cannot be set up is tried again, and nothing is done with its peer until then', async () => {
    const world = await World.open();
    const { master, slave, time } = world;
    const { newKeyId } = await time.finish(master.sae.rotate(slaveId));
    await time.pass(1000);
    world.kill(slave);
    slave.persona.restart();
    slave.events.length = 0;
    let fails = true;
    const revived = world.revive(slave);
    slave.persona.script = () => (fails ? { fail: 'before' } : undefined);
    await revived;
    expect(slave.sae.status().peers[0]?.ready).toBe(false);
    const call = master.sae.rotate(slaveId).catch((error: unknown) => error);
    await time.pass(10_000);
    expect(currentKey(slave)).toBeNull();
    expect(slave.events).not.toContain('NOTIFIED by key_notification');
    fails = false;
    await time.finish(call);
    await time.pass(60_000);
    expect(slave.sae.status().peers[0]?.ready).toBe(true);
    expect(currentKey(slave)).toBe(newKeyId);
    const next = await time.finish(master.sae.rotate(slaveId));
    expect(slave.memory.keys(masterId).map((key) => key.keyId)).toEqual([next.newKeyId]);
    await world.close();
  });
});
