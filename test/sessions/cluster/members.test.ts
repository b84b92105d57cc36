// The gateways that hold a lease, and the owners of sessions, as they change.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { Members } from '../../../src/sessions/cluster/members.js';
import { StoreOwnerWatch } from '../../../src/sessions/cluster/owner-watch.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import { ClusterWorld, ownerOf } from './cluster-world.js';
import { FaultyStore } from './faulty-store.js';

function membersOf(world: ClusterWorld): {
  readonly members: Members;
  readonly store: FaultyStore;
  readonly told: string[];
} {
  const store = new FaultyStore(new MemorySessionStore({ sharedWith: world.store }));
  const members = new Members({ store, wheel: world.time.wheel, random: seededRandom(1) });
  const told: string[] = [];
  members.listen({
    joined: (gateway, { epoch }) => told.push(`${gateway} joined ${epoch}`),
    left: (gateway, { epoch }) => told.push(`${gateway} left ${epoch}`),
  });
  return { members, store, told };
}

describe('the members of a cluster', () => {
  test('are those that hold a lease, from before and since', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const { members, told } = membersOf(world);
    expect(members.isLoaded).toBe(false);
    members.start();
    await world.settle();
    expect(members.isLoaded).toBe(true);
    const two = world.gateway('two', '10.0.0.2:4000');
    await two.lease.start();
    await world.settle();
    const epochs = [one, two].map(({ lease }) => lease.current?.epoch);
    expect(told).toEqual([`one joined ${epochs[0]}`, `two joined ${epochs[1]}`]);
    expect(members.get('two')).toEqual({ epoch: epochs[1], advertise: '10.0.0.2:4000', startedAt: 0 });
    expect(Array.from(members.all(), ([name]) => name)).toEqual(['one', 'two']);
    await one.die();
    await world.settle();
    expect(told.slice(2)).toEqual([`one left ${epochs[0]}`]);
    expect(members.get('one')).toBeUndefined();
  });

  test('are others when they hold another lease', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const { members, told } = membersOf(world);
    members.start();
    await world.settle();
    const first = one.lease.current?.epoch ?? '';
    expect(members.isAlive(ownerOf('one', first))).toBe(true);
    expect(members.isAlive(ownerOf('two', first))).toBe(false);
    const again = world.gateway('one');
    await again.lease.start();
    await world.settle();
    const second = again.lease.current?.epoch ?? '';
    expect(told.slice(1)).toEqual([`one left ${first}`, `one joined ${second}`]);
    expect(members.isAlive(ownerOf('one', first))).toBe(false);
    expect(members.isAlive(ownerOf('one', second))).toBe(true);
  });

  test('are read anew when changes may have been missed, also when that fails at first', async () => {
    const world = new ClusterWorld();
    const [one, two] = [world.gateway('one'), world.gateway('two')];
    await one.lease.start();
    const { members, store, told } = membersOf(world);
    members.start();
    await world.settle();
    store.fault = 'unreachable';
    await one.die();
    await two.lease.start();
    await world.pass(1000);
    expect(told).toHaveLength(1);
    store.fault = 'unanswered';
    await world.pass(1000);
    store.fault = 'none';
    await world.pass(3000);
    expect(told.slice(1).sort()).toEqual([
      expect.stringMatching(/^one left/),
      expect.stringMatching(/^two joined/),
    ]);
  });

  test('are not those of a picture that is older than what has been told', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const { members, store, told } = membersOf(world);
    const letGo = store.hold();
    members.start();
    await world.settle();
    // Read when one was there and two was not; told when it is the other way round.
    await one.die();
    const two = world.gateway('two');
    await two.lease.start();
    await world.settle();
    letGo();
    await world.settle();
    expect(Array.from(members.all(), ([name]) => name)).toEqual(['two']);
    expect(told).toEqual([expect.stringMatching(/^two joined/)]);
  });

  test('are the same when a record is written again', async () => {
    const world = new ClusterWorld();
    const one = world.gateway('one');
    await one.lease.start();
    const { members, told } = membersOf(world);
    members.start();
    await world.settle();
    const epoch = one.lease.current?.epoch;
    const value = Buffer.from(`{"epoch":"${epoch}","advertise":"elsewhere:1","startedAt":0}`);
    await world.store.txn({ compare: [], writes: [{ type: 'put', key: 'g/one', value }] });
    await world.settle();
    expect(told).toEqual([`one joined ${epoch}`]);
    expect(members.get('one')?.advertise).toBe('elsewhere:1');
  });

  test('are none of which the record cannot be read', async () => {
    const world = new ClusterWorld();
    const { members, told } = membersOf(world);
    members.start();
    await world.store.lease('odd', () => Buffer.from('{}'));
    await world.settle();
    expect([members.get('odd'), told]).toEqual([undefined, []]);
  });

  test('are not told of when nobody listens any more', async () => {
    const world = new ClusterWorld();
    const { members, told } = membersOf(world);
    members.start();
    await world.settle();
    members[Symbol.dispose]();
    await world.gateway('one').lease.start();
    await world.pass(10_000);
    expect(told).toEqual([]);
  });
});

describe('the watch of owners', () => {
  const listening = (watch: StoreOwnerWatch): { readonly told: string[]; readonly listening: Disposable } => {
    const told: string[] = [];
    const listening = watch.listen({
      changed: (id, owner) => told.push(`${id} ${owner === undefined ? 'over' : owner.record.gateway}`),
      reset: () => told.push('reset'),
    });
    return { told, listening };
  };

  test('tells each listener of every record that is written or deleted, and first to read', async () => {
    const world = new ClusterWorld();
    using watch = new StoreOwnerWatch(world.store);
    const first = listening(watch);
    await world.settle();
    await world.own('a', 'one', '1');
    await world.settle();
    const second = listening(watch);
    expect(second.told).toEqual([]);
    await world.settle();
    expect(second.told).toEqual(['reset']);
    await world.own('a', 'two', '2');
    await world.store.txn({ compare: [], writes: [{ type: 'deleteRange', from: 'o/', to: 'o0' }] });
    await world.settle();
    expect(first.told).toEqual(['reset', 'a one', 'a two', 'a over']);
    expect(second.told).toEqual(['reset', 'a two', 'a over']);
  });

  test('passes over records that cannot be read, and other keys', async () => {
    const world = new ClusterWorld();
    using watch = new StoreOwnerWatch(world.store);
    const { told } = listening(watch);
    await world.settle();
    const value = Buffer.from('{"gateway":');
    const writes = ['o/a', 'p/a', 'r/a/1'].map((key) => ({ type: 'put', key, value }) as const);
    await world.store.txn({ compare: [], writes });
    await world.own('b', 'one', '1');
    await world.settle();
    expect(told).toEqual(['reset', 'b one']);
  });

  test('tells a listener nothing after its end', async () => {
    const world = new ClusterWorld();
    const watch = new StoreOwnerWatch(world.store);
    const first = listening(watch);
    const second = listening(watch);
    await world.settle();
    first.listening[Symbol.dispose]();
    await world.own('a', 'one', '1');
    await world.settle();
    watch[Symbol.dispose]();
    await world.own('a', 'two', '1');
    await world.settle();
    expect([first.told, second.told]).toEqual([['reset'], ['reset', 'a one']]);
  });
});
