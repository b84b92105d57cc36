import { expect, test } from 'vitest';
import { seededRandom } from '../../src/base/random.js';
import { IdTable } from '../../src/interaction/id-table.js';

interface Value {
  readonly messageId: number;
}

test('a table holds what a Map would, as long as ids find a place', () => {
  const inOrder = (values: Iterable<Value>): number[] =>
    Array.from(values, ({ messageId }) => messageId).sort((a, b) => a - b);
  for (let seed = 1; seed <= 100; ++seed) {
    const random = seededRandom(seed);
    const below = (count: number): number => Math.floor(random() * count);
    const most = 1 + below(40);
    const table = new IdTable<Value>(most);
    const map = new Map<number, Value>();
    let id = 0xffff_ffff - below(100);
    for (let step = 0; step < 400; ++step) {
      if (below(2) === 0 && map.size < most) {
        do id = id === 0xffff_ffff ? 1 : id + 1;
        while (!table.makePlace(id));
        const value = { messageId: id };
        table.add(value);
        map.set(id, value);
      } else {
        // The old ones live longest, so that later ids come by their places.
        const value = [...map.values()][Math.floor(random() ** 0.3 * map.size)];
        if (value !== undefined) map.delete(value.messageId);
        if (value !== undefined) expect(table.delete(value), `seed ${seed}`).toBe(true);
      }
      expect(table.size, `seed ${seed}`).toBe(map.size);
      expect(inOrder(table.values()), `seed ${seed}`).toEqual(inOrder(map.values()));
      const others = [...map.values()].filter((value) => table.get(value.messageId) !== value);
      expect(others, `seed ${seed}`).toEqual([]);
      expect(table.get(id ^ 0x1_0000), `seed ${seed}`).toBe(map.get(id ^ 0x1_0000));
    }
  }
});

test('an id that waits has no second place, and what is not there is not deleted', () => {
  const table = new IdTable<Value>(1);
  const one = { messageId: 1 };
  table.add(one);
  expect(table.makePlace(1)).toBe(false);
  // The same last digits, and no more places to be had.
  expect(table.makePlace(17)).toBe(false);
  expect(table.makePlace(2)).toBe(true);
  expect(table.delete({ messageId: 1 })).toBe(false);
  expect(table.delete(one)).toBe(true);
  expect([table.delete(one), table.size, table.makePlace(17)]).toEqual([false, 0, true]);
});

test('it never has more places than twice what it is to hold, whoever waits', () => {
  const table = new IdTable<Value>(1000);
  table.add({ messageId: 1 });
  let skipped = 0;
  for (let id = 2; id <= 100_000; ++id) {
    if (!table.makePlace(id)) ++skipped;
    else {
      const value = { messageId: id };
      table.add(value);
      table.delete(value);
    }
  }
  expect(skipped).toBe(Math.floor(99_999 / 2048));
});
