// Random walks through everything that may go wrong between two SAEs: the promises hold at every step, and everything ends.

import { expect, test } from 'vitest';
import type { Random } from '../../../src/base/random.js';
import { checkPromise, pair, type Side, World } from './pair.js';

const seeds = process.env.HAWSER_TEST_DEEP === '1' ? 5000 : 300;

function pick<T>(random: Random, items: readonly T[]): T {
  const item = items[Math.floor(random() * items.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}

/** Losses, copies and detours, refusing devices, stores and KMEs, crashes at any step. */
function trouble(world: World, sides: readonly Side[]): () => void {
  const { random } = world;
  const loss = random() * 0.5;
  const copies = random() * 0.3;
  const detours = random() * 0.5;
  const failing = pick(random, [0, 0, 0.1, 0.4, 0.8]);
  const storeFailing = pick(random, [0, 0, 0.1]);
  const crashing = pick(random, [0, 0.01, 0.05]);
  const delayMs = (): number => 5 + (random() < detours ? random() * 3000 : random() * 50);
  world.deliver = () => {
    const arrivals = random() < loss ? [] : [delayMs()];
    if (random() < copies) arrivals.push(delayMs());
    return arrivals;
  };
  world.fails = () => (random() < failing ? pick(random, ['before', 'after', 'late'] as const) : undefined);
  world.takesMs = () => (random() < 0.1 ? random() * 20_000 : random() * 20);
  world.keeps = () => random() >= storeFailing;
  let isOver = false;
  const strike = (): void => {
    if (isOver) return;
    for (const side of sides) {
      if (!side.isUp) continue;
      if (random() < crashing * 3) side.crashAt = pick(random, ['commit', 'send', 'operation'] as const);
      if (side.crashAt === undefined && random() < crashing) side.crash();
    }
    world.plan(random() * 4000, strike);
  };
  const revive = (): void => {
    for (const side of sides) if (!side.isUp && random() < 0.5) side.restart();
    if (!isOver) world.plan(random() * 20_000, revive);
  };
  strike();
  revive();
  return () => {
    isOver = true;
    world.deliver = () => [10];
    world.fails = () => undefined;
    world.takesMs = () => 1;
    world.keeps = () => true;
    for (const side of sides) {
      side.crashAt = undefined;
      if (!side.isUp) side.restart();
    }
  };
}

function walk(seed: number): void {
  const world = new World(seed);
  const { random } = world;
  const both = random() < 0.4;
  const cleanupTimeoutMs = pick(random, [60_000, 1_800_000]);
  const { master, slave } = pair(world, { cleanupTimeoutMs }, both);
  const seesPackets = random() < 0.5;
  world.packetMs = () => (seesPackets ? random() * 2000 : undefined);
  const sides = [master, slave];
  master.offsetMs = (random() - 0.5) * 4000;
  master.keysPerRotation = pick(random, [1, 1, 3]);
  world.check = () => checkPromise(master, slave);
  master.begin();
  world.run(60_000);
  const stop = trouble(world, sides);
  for (let round = 0; round < 12; ++round) {
    const side = both ? pick(random, sides) : master;
    if (side.isUp && random() < 0.8) side.begin(1000 + random() * 40_000);
    if (random() < 0.05) {
      const keyId = pick(random, [...master.keys.keys()]);
      if (keyId !== master.current)
        for (const each of sides) if (each.isUp && random() < 0.7) each.revoke(keyId);
    }
    // The clock of one side is set, which may take it beyond what is tolerated.
    if (random() < 0.03) slave.offsetMs += (random() - 0.5) * 30_000;
    world.run(random() * 60_000);
  }
  slave.offsetMs = 0;
  stop();
  world.run(2_500_000);
  expect(
    sides.map((side) => side.active?.state),
    'everything ends',
  ).toEqual([undefined, undefined]);
  expect(master.current, 'both ends use one key').toBe(slave.current);
  master.begin();
  world.run(120_000);
  if (master.last.reason === 'key_unavailable') {
    master.begin();
    world.run(120_000);
  }
  expect([master.last.outcome, slave.last.outcome], 'a session after the trouble').toEqual([
    'completed',
    'completed',
  ]);
  for (const side of sides) {
    expect(side.kept.size).toBeLessThanOrEqual(16);
    expect([...side.live], 'nothing is left at the device').toEqual([side.current]);
    expect(
      [...side.keys.values()].filter(({ status }) => status === 'in_production').length,
      'one key in production',
    ).toBe(1);
  }
}

test(`In ${seeds} random walks only the promised states exist, and everything ends`, () => {
  for (let seed = 1; seed <= seeds; ++seed) {
    try {
      walk(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }
});
