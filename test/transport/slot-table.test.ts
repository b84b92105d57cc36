import { describe, expect, test } from 'vitest';
import { connectRecord } from '../../src/transport/native.js';
import { RecordStore } from '../../src/transport/peer.js';
import { SlotTable } from '../../src/transport/slot-table.js';

describe('a table of slots', () => {
  test('finds objects by slot and generation, in ranges that lie far apart', () => {
    const table = new SlotTable<string>();
    const slots = [0, 1, 63, 64, 4096, 16_384, 2_065_536, 4_131_071];
    for (const slot of slots) table.put(slot, slot + 1, `${slot}`);
    expect(table.size).toBe(slots.length);
    for (const slot of slots) {
      expect(table.at(slot, slot + 1)).toBe(`${slot}`);
      expect(table.at(slot, slot)).toBeUndefined();
    }
    expect([...table]).toEqual(slots.map(String));
    for (const slot of [2, 65, 5000, 5_000_000]) expect(table.at(slot, 0)).toBeUndefined();
  });

  test('tells the users of a slot apart, up to the last generation', () => {
    const table = new SlotTable<string>();
    table.put(100, 0xffff_ffff, 'old');
    expect(table.at(100, 0xffff_ffff)).toBe('old');
    table.delete(100, 1);
    expect(table.size).toBe(1);
    table.delete(100, 0xffff_ffff);
    table.put(100, 1, 'new');
    expect(table.at(100, 0xffff_ffff)).toBeUndefined();
    table.delete(100, 1);
    table.delete(100, 1);
    expect([table.size, table.at(100, 1), [...table]]).toEqual([0, undefined, []]);
  });

  test('keeps the earlier users of a slot until they are deleted, in any order', () => {
    for (const order of [
      [1, 2, 3],
      [2, 1, 3],
      [3, 2, 1],
    ]) {
      const table = new SlotTable<string>();
      for (const generation of [1, 2, 3]) table.put(4_131_071, generation, `user ${generation}`);
      const left = new Set([1, 2, 3]);
      for (const generation of order) {
        expect(table.at(4_131_071, generation)).toBe(`user ${generation}`);
        table.delete(4_131_071, generation);
        left.delete(generation);
        expect(table.at(4_131_071, generation)).toBeUndefined();
        expect([...table].sort()).toEqual([...left].map((each) => `user ${each}`));
        expect(table.size).toBe(left.size);
      }
    }
  });
});

test('a store of records keeps the fixed part of each, in ranges that lie far apart', () => {
  const store = new RecordStore();
  const slots = [0, 1023, 1024, 2_065_536];
  for (const [index, slot] of slots.entries()) {
    store.put(slot, new Uint8Array(connectRecord.userData + 5).fill(index + 1));
  }
  for (const [index, slot] of slots.entries()) {
    expect(store.get(slot)).toEqual(new Uint8Array(connectRecord.userData).fill(index + 1));
  }
  expect(store.get(500_000)).toHaveLength(0);
});
