// A picture of a few keys of a store.

import { expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { WatchedKeys } from '../../../src/sessions/cluster/watched-keys.js';
import { ClusterWorld } from './cluster-world.js';
import { FaultyStore } from './faulty-store.js';

function watched(world: ClusterWorld): {
  readonly keys: WatchedKeys;
  readonly store: FaultyStore;
  readonly told: string[];
} {
  const store = new FaultyStore(world.store);
  const told: string[] = [];
  const keys = new WatchedKeys({
    store,
    prefix: 'k/',
    wheel: world.time.wheel,
    random: seededRandom(1),
    changed: (key, entry, before) => told.push(`${key} ${before?.revision ?? 0} -> ${entry?.revision ?? 0}`),
    loaded: () => told.push('loaded'),
  });
  return { keys, store, told };
}

const value = new Uint8Array();

test('what was learned is not undone by something older, and is told once', async () => {
  const world = new ClusterWorld();
  const { keys, told } = watched(world);
  keys.start();
  await world.settle();
  keys.learn({ key: 'k/1', entry: { key: 'k/1', value, revision: 100 }, revision: 100 });
  keys.learn({ key: 'k/1', entry: undefined, revision: 99 });
  keys.learn({ key: 'k/1', entry: { key: 'k/1', value, revision: 98 }, revision: 98 });
  keys.learn({ key: 'k/1', entry: { key: 'k/1', value, revision: 100 }, revision: 100 });
  keys.learn({ key: 'k/2', entry: undefined, revision: 101 });
  expect(told).toEqual(['loaded', 'k/1 0 -> 100']);
  keys.learn({ key: 'k/1', entry: undefined, revision: 102 });
  expect(told.slice(2)).toEqual(['k/1 100 -> 0']);
});

test('nothing is read or told after its end, whatever was under way', async () => {
  const world = new ClusterWorld();
  await world.store.txn({ compare: [], writes: [{ type: 'put', key: 'k/1', value }] });
  const { keys, store, told } = watched(world);
  const letGo = store.hold();
  keys.start();
  await world.settle();
  keys[Symbol.dispose]();
  letGo();
  await world.settle();
  expect(told).toEqual([]);
  const failing = watched(world);
  failing.store.fault = 'unanswered';
  failing.keys.start();
  await world.settle();
  expect(failing.store.calls).toBe(1);
  failing.keys[Symbol.dispose]();
  expect(world.time.wheel.size).toBe(0);
});
