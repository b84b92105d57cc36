import { expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { ExpiryBuckets } from '../../../src/sessions/server/expiry-buckets.js';
import { VirtualTime } from '../../interaction/virtual-time.js';

/** Buckets of names, and when each was looked at. */
class Buckets {
  readonly time = new VirtualTime();
  readonly looked: [name: string, atMs: number][] = [];
  /** What to say when an item is looked at. */
  readonly later = new Map<string, number>();
  due = 0;
  readonly buckets = new ExpiryBuckets<string>(this.time.wheel, () => {
    ++this.due;
    if (this.sweepsAtOnce) this.sweep();
  });
  sweepsAtOnce = true;

  sweep(isOver: () => boolean = () => false): boolean {
    return this.buckets.sweep(isOver, (name) => {
      this.looked.push([name, this.time.nowMs]);
      const laterMs = this.later.get(name);
      this.later.delete(name);
      return laterMs;
    });
  }
}

test('an item is looked at in the first second after its deadline, never at the deadline itself', () => {
  const world = new Buckets();
  world.buckets.schedule('exact', 90_000);
  world.buckets.schedule('just before', 89_999.9);
  world.buckets.schedule('just after', 90_000.1);
  world.time.runTo(200_000);
  expect(world.looked).toEqual([
    ['just before', 90_000],
    ['exact', 91_000],
    ['just after', 91_000],
  ]);
  expect(world.buckets.size).toBe(0);
  expect(world.time.wheel.size).toBe(0);
});

test('an item is looked at again when it says so, and in a later second at the earliest', () => {
  const world = new Buckets();
  world.buckets.schedule('a', 500);
  world.later.set('a', -5);
  world.time.runTo(1000);
  expect(world.looked).toEqual([['a', 1000]]);
  world.later.set('a', 10_500);
  world.time.runTo(60_000);
  expect(world.looked.map(([, atMs]) => atMs)).toEqual([1000, 2000, 11_000]);
});

test('an item moves to an earlier or a later second, and is forgotten when it is deleted', () => {
  const world = new Buckets();
  world.buckets.schedule('earlier', 50_000);
  world.buckets.schedule('earlier', 5000);
  world.buckets.schedule('later', 5000);
  world.buckets.schedule('later', 50_000);
  world.buckets.schedule('gone', 5000);
  expect(world.buckets.delete('gone')).toBe(true);
  expect(world.buckets.delete('gone')).toBe(false);
  world.time.runTo(100_000);
  expect(world.looked).toEqual([
    ['earlier', 6000],
    ['later', 51_000],
  ]);
});

test('what is due is swept in slices, and its time is told only once', () => {
  const world = new Buckets();
  world.sweepsAtOnce = false;
  for (let n = 0; n < 10; ++n) world.buckets.schedule(`${n}`, 500);
  world.time.runTo(5000);
  expect(world.due).toBe(1);
  let count = 0;
  const afterFour = (): boolean => ++count % 4 === 0;
  expect(world.sweep(afterFour)).toBe(true);
  expect(world.looked).toHaveLength(4);
  // What comes meanwhile waits for the sweep that is under way.
  world.buckets.schedule('new', 4500);
  world.time.runTo(8000);
  expect(world.due).toBe(1);
  expect(world.sweep(afterFour)).toBe(true);
  expect(world.sweep(afterFour)).toBe(false);
  expect(world.looked.map(([name]) => name).at(-1)).toBe('new');
  world.buckets.schedule('next', 9000);
  world.time.runTo(10_000);
  expect(world.due).toBe(2);
});

test('what is deleted while others are looked at is not looked at', () => {
  const world = new Buckets();
  for (const name of ['a', 'b', 'c']) world.buckets.schedule(name, 500);
  const seen: string[] = [];
  world.sweepsAtOnce = false;
  world.time.runTo(1000);
  world.buckets.sweep(
    () => false,
    (name) => {
      seen.push(name);
      world.buckets.delete('b');
      return undefined;
    },
  );
  expect(seen).toEqual(['a', 'c']);
});

test('random items are each looked at once, within a second after their deadlines', () => {
  const seed = 20_261_123;
  const random = seededRandom(seed);
  const world = new Buckets();
  const deadlines = new Map<string, number>();
  for (let n = 0; n < 2000; ++n) {
    const deadlineMs = Math.floor(random() * 100_000) + (random() < 0.5 ? 0 : random());
    deadlines.set(`${n}`, deadlineMs);
    world.buckets.schedule(`${n}`, deadlineMs);
  }
  world.time.runTo(200_000);
  expect(world.looked).toHaveLength(2000);
  for (const [name, atMs] of world.looked) {
    const lateMs = atMs - (deadlines.get(name) ?? 0);
    expect(lateMs > 0 && lateMs <= 1000, `seed ${seed}: ${name} was looked at ${lateMs} ms late`).toBe(true);
  }
});

test('nothing is armed after `clear`', () => {
  const world = new Buckets();
  world.buckets.schedule('a', 500);
  world.buckets.clear();
  expect(world.time.wheel.size).toBe(0);
  world.buckets.schedule('b', 500);
  world.time.runTo(2000);
  expect(world.looked).toEqual([['b', 1000]]);
});
