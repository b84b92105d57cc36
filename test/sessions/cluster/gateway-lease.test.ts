// The lease of a gateway.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { KeptLease } from '../../../src/sessions/cluster/gateway-lease.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import { decodeGateway } from '../../../src/sessions/store/records.js';
import { VirtualClock } from '../../../src/testing/virtual-clock.js';
import { ClusterWorld, leaseTtlMs } from './cluster-world.js';
import { FaultyStore } from './faulty-store.js';

describe('the lease of a gateway', () => {
  test('is taken at the start, and others see who it is', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one', '10.0.0.1:4000');
    expect([one.lease.current, one.lease.valid]).toEqual([undefined, false]);
    await one.lease.start();
    const lease = one.lease.current;
    expect(one.told).toEqual([`obtained ${lease?.epoch}`, 'valid']);
    expect(one.lease.valid).toBe(true);
    const [entry] = await world.store.read(prefixRange('g/'));
    expect(decodeGateway(entry?.value ?? new Uint8Array())).toEqual({
      epoch: lease?.epoch,
      advertise: '10.0.0.1:4000',
      startedAt: 0,
    });
    await one.lease.start();
    expect(one.lease.current).toBe(lease);
  });

  test('is tried for, ever more seldom, until the store can be reached', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    one.store.fault = 'unreachable';
    let isHeld = false;
    const held = one.lease.start().then(() => {
      isHeld = true;
    });
    await world.pass(60_000);
    expect(isHeld).toBe(false);
    expect(one.store.calls).toBeGreaterThan(20);
    expect(one.store.calls).toBeLessThan(50);
    one.store.fault = 'none';
    await world.pass(2500);
    await held;
    expect(one.lease.valid).toBe(true);
  });

  test('is held although nobody heard that it was granted', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    one.store.fault = 'unanswered';
    const held = one.lease.start();
    await world.pass(1000);
    one.store.fault = 'none';
    await world.pass(3000);
    await held;
    const result = await world.store.txn({
      compare: one.lease.current ? [one.lease.current.fence] : [],
      writes: [],
    });
    expect(result.committed).toBe(true);
    expect(await world.keys('g/')).toEqual(['g/one']);
  });

  test('is taken again when it was lost, under another epoch', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const first = one.lease.current;
    await first?.release();
    expect([one.lease.current, one.lease.valid]).toEqual([undefined, false]);
    await world.pass(1000);
    const second = one.lease.current;
    expect(second?.epoch).not.toBe(first?.epoch);
    expect(one.told).toEqual([
      `obtained ${first?.epoch}`,
      'valid',
      'not valid',
      `lost ${first?.epoch}`,
      `obtained ${second?.epoch}`,
      'valid',
    ]);
  });

  test('is taken again when a transaction has shown that it does not hold', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const first = one.lease.current;
    if (first === undefined) throw new Error('there is no lease');
    one.lease.discard(first);
    expect(one.lease.valid).toBe(false);
    await world.pass(1000);
    expect(first.ended.aborted).toBe(true);
    expect(one.lease.valid).toBe(true);
    const told = one.told.length;
    one.lease.discard(first);
    expect(one.told).toHaveLength(told);
    expect(one.lease.valid).toBe(true);
  });

  test('that is discarded again and again is taken again ever more seldom', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    one.when.obtained = (lease) => one.lease.discard(lease);
    await one.lease.start();
    await world.pass(60_000);
    const count = one.told.filter((each) => each.startsWith('obtained')).length;
    expect(count).toBeGreaterThan(20);
    expect(count).toBeLessThan(50);
  });

  test('of two gateways with one name the first yields for a time to live', async () => {
    const world = new ClusterWorld();
    const first = world.gateway('one');
    const second = world.gateway('one');
    await first.lease.start();
    await world.pass(60_000);
    await second.lease.start();
    await world.settle();
    expect(first.told.slice(2)).toEqual(['not valid', expect.stringMatching(/^lost/)]);
    await world.pass(9900);
    expect([first.lease.valid, second.lease.valid]).toEqual([false, true]);
    await world.pass(leaseTtlMs);
    expect([first.lease.valid, second.lease.valid]).toEqual([true, false]);
    await world.pass(600_000);
    expect(first.told.length + second.told.length).toBeLessThan(4 * 80);
  });

  test('that cannot be released is lost all the same', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    await one.die();
    await world.settle();
    expect(one.lease.valid).toBe(false);
    expect(one.told.at(-1)).toMatch(/^lost/);
    await one.lease.close();
  });

  test('ends with the gateway, and nothing more is told', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const lease = one.lease.current;
    const told = one.told.length;
    await one.lease.close();
    await one.lease.close();
    expect(lease?.ended.aborted).toBe(true);
    expect([one.lease.current, one.lease.valid]).toEqual([undefined, false]);
    await world.pass(60_000);
    expect(one.told).toHaveLength(told);
    expect(await world.keys('g/')).toEqual([]);
    await expect(one.lease.start()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  });

  test('that comes when the gateway has closed is released', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    const letGo = one.store.hold();
    const started = one.lease.start();
    const refused = expect(started).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await world.settle();
    expect(await world.keys('g/')).toEqual(['g/one']);
    const closed = one.lease.close();
    await refused;
    letGo();
    await closed;
    expect(await world.keys('g/')).toEqual([]);
    expect(one.told).toEqual([]);
  });

  test('is not tried for when the store is closed', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.store.close();
    await expect(one.lease.start()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await world.pass(60_000);
    expect(one.store.calls).toBe(1);
  });
});

describe('a lease is valid', () => {
  test('until its keep-alives have not come through for its time to live less a second, and again when they do', async () => {
    const world = new ClusterWorld();
    const { time } = world;
    /** The clock of a store whose keep-alives are delayed: what is planned on it runs when the test says so. */
    let nowMs = 0;
    const delayed = new VirtualClock(() => nowMs, 0);
    const handle = new MemorySessionStore({ sharedWith: world.store, clock: delayed, leaseTtlMs });
    const told: string[] = [];
    const lease = new KeptLease({
      store: new FaultyStore(handle),
      gateway: 'one',
      advertise: '',
      startedAt: 0,
      wheel: time.wheel,
      random: seededRandom(1),
      listener: {
        obtained: () => told.push(`${time.nowMs} obtained`),
        lost: () => told.push(`${time.nowMs} lost`),
        validChanged: (valid) => told.push(`${time.nowMs} ${valid ? 'valid' : 'not valid'}`),
      },
    });
    await lease.start();
    await world.pass(leaseTtlMs - 1001);
    expect(lease.valid).toBe(true);
    await world.pass(1);
    expect(lease.valid).toBe(false);
    await world.pass(500);
    nowMs = time.nowMs;
    delayed.runDue();
    expect(lease.valid).toBe(true);
    await world.pass(500);
    expect(told).toEqual(['0 obtained', '0 valid', '9000 not valid', '9600 valid']);
    expect(lease.current?.validUntilMs).toBe(9500 + leaseTtlMs - 1000);
    await world.pass(leaseTtlMs);
    expect(told.slice(4, 6)).toEqual(['18500 not valid', '19500 lost']);
    await lease.close();
    await handle.close();
  });

  test('for ever in a store of one process, without a timer', async () => {
    const world = new ClusterWorld();
    await using store = new MemorySessionStore();
    const told: string[] = [];
    const lease = new KeptLease({
      store,
      gateway: 'one',
      advertise: '',
      startedAt: 0,
      wheel: world.time.wheel,
      random: seededRandom(1),
      listener: {
        obtained: () => told.push('obtained'),
        lost: () => told.push('lost'),
        validChanged: (valid) => told.push(`${valid}`),
      },
    });
    await lease.start();
    expect(world.time.wheel.size).toBe(0);
    expect(told).toEqual(['obtained', 'true']);
    await lease.close();
  });
});
