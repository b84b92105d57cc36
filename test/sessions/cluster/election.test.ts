// Which of the gateways leads.

import { describe, expect, test } from 'vitest';
import { ClusterWorld, type Gateway, leaseTtlMs } from './cluster-world.js';

async function started(world: ClusterWorld, ...names: readonly string[]): Promise<Gateway[]> {
  const gateways = names.map((name) => world.gateway(name));
  for (const gateway of gateways) {
    await gateway.lease.start();
    gateway.election.start();
  }
  await world.pass(1000);
  return gateways;
}

function leaders(gateways: readonly Gateway[]): string[] {
  return gateways.filter(({ election }) => election.isLeader).map(({ name }) => name);
}

function only(gateways: readonly Gateway[], isLeader: boolean): Gateway {
  const found = gateways.find(({ election }) => election.isLeader === isLeader);
  if (found === undefined) throw new Error('there is none');
  return found;
}

describe('an election', () => {
  test('has one winner, and all know where it is', async () => {
    const world = new ClusterWorld();
    const gateways = await started(world, 'one', 'two', 'three');
    expect(leaders(gateways)).toHaveLength(1);
    const leader = only(gateways, true);
    for (const { election } of gateways) expect(election.leader).toBe(leader.advertise);
    const { fence } = leader.election;
    expect(fence?.key).toBe('e/leader');
    expect((await world.store.txn({ compare: fence ? [fence] : [], writes: [] })).committed).toBe(true);
    const elections = leader.told.filter((each) => /elected|leader/.test(each));
    expect(elections).toEqual(['elected e/leader', `leader ${leader.advertise}`]);
    for (const gateway of gateways) {
      if (gateway !== leader) expect(gateway.election.fence).toBeUndefined();
      expect(gateway.told).toContain(`leader ${leader.advertise}`);
    }
  });

  test('is won by another as soon as the lease of the leader has ended, whose fence fails', async () => {
    const world = new ClusterWorld();
    const gateways = await started(world, 'one', 'two', 'three');
    const old = only(gateways, true);
    const { fence } = old.election;
    await old.die();
    await world.settle();
    expect(old.election.isLeader).toBe(false);
    expect(old.told).toContain('deposed');
    await world.pass(500);
    const rest = gateways.filter((each) => each !== old);
    expect(leaders(rest)).toHaveLength(1);
    for (const { election } of rest) expect(election.leader).toBe(only(rest, true).advertise);
    expect((await world.store.txn({ compare: fence ? [fence] : [], writes: [] })).committed).toBe(false);
  });

  test('is given up by one that closes, and others need not wait', async () => {
    const world = new ClusterWorld();
    const gateways = await started(world, 'one', 'two');
    const old = only(gateways, true);
    const told = old.told.length;
    await old.election.close();
    await old.election.close();
    expect(old.election.isLeader).toBe(false);
    expect(old.told).toHaveLength(told);
    await world.pass(200);
    expect(leaders(gateways)).toEqual([gateways.find((each) => each !== old)?.name]);
    expect(old.lease.valid).toBe(true);
    await world.pass(10_000);
    expect(old.told).toHaveLength(told);
  });

  test('is lost with the lease, and may be won again with the next one', async () => {
    const world = new ClusterWorld();
    const [one] = await started(world, 'one');
    const first = one?.lease.current;
    expect(one?.election.isLeader).toBe(true);
    const fence = one?.election.fence;
    await first?.release();
    expect(one?.election.isLeader).toBe(false);
    expect(one?.told.slice(-2)).toEqual(['deposed', 'leader none']);
    await world.pass(1000);
    expect(one?.election.isLeader).toBe(true);
    expect(one?.election.fence?.revision).toBeGreaterThan(fence?.revision ?? 0);
  });

  test('that was won without hearing of it is won', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    one.election.start();
    await world.settle();
    one.store.fault = 'unanswered';
    await world.pass(1000);
    expect(await world.keys('e/')).toEqual(['e/leader']);
    expect(one.election.isLeader).toBe(true);
    expect(one.election.fence?.revision).toBe(
      (await world.store.read({ from: 'e/', to: 'e0' }))[0]?.revision,
    );
  });

  test('waits for a lease', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    one.election.start();
    await world.pass(1000);
    expect(await world.keys('e/')).toEqual([]);
    await one.lease.start();
    await world.pass(500);
    expect(one.election.isLeader).toBe(true);
  });

  test('is not won by a gateway whose fence fails, although it knows nothing of that', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const value = Buffer.from('{}');
    await world.store.txn({ compare: [], writes: [{ type: 'put', key: 'g/one', value }] });
    one.election.start();
    await world.pass(5000);
    expect(one.lease.valid).toBe(true);
    expect(one.election.isLeader).toBe(false);
    expect(await world.keys('e/')).toEqual([]);
  });

  test('is won by one of those who try at the same time', async () => {
    const world = new ClusterWorld();
    const gateways = ['one', 'two', 'three'].map((name) => world.gateway(name, name, 7));
    for (const { lease } of gateways) await lease.start();
    for (const { election } of gateways) election.start();
    await world.pass(1000);
    expect(leaders(gateways)).toHaveLength(1);
    expect(gateways.flatMap(({ told }) => told.filter((each) => each.startsWith('elected')))).toHaveLength(1);
  });

  test('that the gateway won under an earlier lease is not won', async () => {
    const world = new ClusterWorld();
    const value = Buffer.from('{"gateway":"one","epoch":"before","advertise":"there"}');
    await world.store.txn({ compare: [], writes: [{ type: 'put', key: 'e/leader', value }] });
    const [one] = await started(world, 'one');
    expect([one?.election.isLeader, one?.election.leader]).toEqual([false, 'there']);
    await one?.election.close();
    expect(await world.keys('e/')).toEqual(['e/leader']);
  });

  test('is lost when somebody else is under the key, and a leader of whom nothing is known is none', async () => {
    const world = new ClusterWorld();
    const [one] = await started(world, 'one');
    const put = (text: string): Promise<unknown> =>
      world.store.txn({
        compare: [],
        writes: [{ type: 'put', key: 'e/leader', value: Buffer.from(text) }],
      });
    await put('{"gateway":"two","epoch":"9","advertise":""}');
    await world.settle();
    expect([one?.election.isLeader, one?.election.leader]).toEqual([false, '']);
    await put('not a record');
    await world.settle();
    expect([one?.election.isLeader, one?.election.leader]).toEqual([false, undefined]);
    await world.pass(10_000);
    expect(one?.election.isLeader).toBe(false);
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: 'e/leader' }] });
    await world.pass(500);
    expect(one?.election.isLeader).toBe(true);
  });

  test('is read anew when changes may have been missed', async () => {
    const world = new ClusterWorld();
    const gateways = await started(world, 'one', 'two', 'three');
    const old = only(gateways, true);
    const away = only(gateways, false);
    away.store.fault = 'unreachable';
    await old.election.close();
    await world.pass(1000);
    expect(away.election.leader).toBe(old.advertise);
    away.store.fault = 'none';
    await world.pass(1000);
    const rest = gateways.filter((each) => each !== old && each !== away);
    expect(leaders(rest)).toHaveLength(1);
    expect(away.election.leader).toBe(rest[0]?.advertise);
    expect(away.election.isLeader).toBe(false);
  });

  test('names of elections of which one begins with the other are two', async () => {
    const world = new ClusterWorld();
    await world.store.txn({
      compare: [],
      writes: [{ type: 'put', key: 'e/leader2', value: Buffer.from('{}') }],
    });
    const [one] = await started(world, 'one');
    expect(one?.election.isLeader).toBe(true);
  });

  test('never has two leaders whose fences hold, whoever comes and goes', async () => {
    const world = new ClusterWorld();
    const gateways = await started(world, 'one', 'two', 'three', 'four');
    const left = [...gateways];
    for (let round = 0; round < 3; ++round) {
      const old = only(left, true);
      left.splice(left.indexOf(old), 1);
      await old.die();
      for (let step = 0; step < 30; ++step) {
        await world.pass(20);
        const holding: string[] = [];
        for (const { name, election } of gateways) {
          const { fence } = election;
          if (fence === undefined) continue;
          if ((await world.store.txn({ compare: [fence], writes: [] })).committed) holding.push(name);
        }
        expect(holding.length).toBeLessThan(2);
      }
      expect(leaders(left)).toHaveLength(1);
    }
    await world.pass(leaseTtlMs);
    expect(leaders(left)).toEqual([left[0]?.name]);
  });
});
