// Which transactions may be under way at the same time.

import { describe, expect, test } from 'vitest';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { KeyOrder, type Locks, locksOf } from '../../../src/sessions/store/etcd-key-order.js';
import type { Transaction, Write } from '../../../src/sessions/store/store.js';

const nothing = new Uint8Array();
const put = (key: string): Write => ({ type: 'put', key, value: nothing });
const range = (from: string, to: string): Write => ({ type: 'deleteRange', from, to });
const compare = (...keys: string[]): Transaction => ({
  compare: keys.map((key) => ({ key, revision: 0 })),
  writes: [],
});
const write = (...writes: Write[]): Transaction => ({ compare: [], writes });

/** @returns whether the second one waits for the first. */
function waits(first: Transaction, second: Transaction): boolean {
  const order = new KeyOrder();
  let granted = false;
  const held = locksOf(first);
  order.enter(held, () => undefined);
  order.enter(locksOf(second), () => {
    granted = true;
  });
  const waited = !granted;
  order.leave(held);
  expect(granted).toBe(true);
  return waited;
}

describe('one transaction waits for another', () => {
  test.each([
    ['that writes a key that it writes', write(put('a/1')), write(put('a/1')), true],
    ['that writes a key that it compares', write(put('a/1')), compare('a/1'), true],
    ['that compares a key that it writes', compare('a/1'), write(put('a/1')), true],
    ['that deletes a range with a key that it writes', write(range('a/', 'a0')), write(put('a/1')), true],
    [
      'that writes a key in a range that it deletes',
      write(put('r/s/1')),
      write(range('r/s/0', 'r/s/9')),
      true,
    ],
    [
      'that compares a key in a range that it deletes',
      compare('r/s/1/x'),
      write(range('r/s/0', 'r/s/9')),
      true,
    ],
    [
      'that deletes a range that overlaps',
      write(range('r/s/0', 'r/s/5')),
      write(range('r/s/4', 'r/s/9')),
      true,
    ],
    ['that deletes everything', write(range('!', '~')), compare('a'), true],
    ['that compares the same key: no', compare('g/one'), compare('g/one', 'a/1'), false],
    ['that writes another key: no', write(put('a/1'), put('a/2')), write(put('a/3')), false],
    [
      'that deletes a range of another session: no',
      write(range('r/s/0', 'r/s/9')),
      write(put('r/t/1')),
      false,
    ],
    [
      'that deletes a range of another kind: no',
      write(range('r/s/0', 'r/s/9')),
      write(range('q/s/0', 'q/s/9')),
      false,
    ],
  ])('%s', (_, first, second, expected) => {
    expect(waits(first, second)).toBe(expected);
  });
});

test('they go in the order of the calls, those that do not touch each other at the same time', () => {
  const order = new KeyOrder();
  const begun: string[] = [];
  const enter = (name: string, transaction: Transaction): Locks => {
    const locks = locksOf(transaction);
    order.enter(locks, () => begun.push(name));
    return locks;
  };
  const first = enter('first', { ...compare('g/one'), writes: [put('a/1')] });
  const second = enter('second', { ...compare('g/one', 'a/1'), writes: [put('a/2')] });
  enter('third', { ...compare('g/one'), writes: [put('a/2')] });
  const fourth = enter('fourth', { ...compare('g/one'), writes: [put('a/3')] });
  const fifth = enter('fifth', write(put('g/one')));
  enter('sixth', compare('g/one'));
  expect(begun).toEqual(['first', 'fourth']);
  order.leave(first);
  expect(begun).toEqual(['first', 'fourth', 'second']);
  order.leave(fourth);
  order.leave(second);
  expect(begun.at(-1)).toBe('third');
  expect(begun).toHaveLength(4);
  order.leave(locksOf({ ...compare('g/one'), writes: [put('a/2')] }));
  expect(begun.at(-1)).toBe('fifth');
  order.leave(fifth);
  expect(begun.at(-1)).toBe('sixth');
});

/** Whether the outcome depends on the order of two; what the locks must find out. */
function collide(one: Transaction, other: Transaction): boolean {
  const reads = ({ compare: compared }: Transaction): string[] => compared.map(({ key }) => key);
  const has = (a: Write, key: string): boolean =>
    a.type === 'deleteRange' ? a.from <= key && key < a.to : a.key === key;
  const meet = (a: Write, b: Write): boolean => {
    if (b.type !== 'deleteRange') return has(a, b.key);
    if (a.type !== 'deleteRange') return has(b, a.key);
    return a.from < b.to && b.from < a.to && a.from < a.to && b.from < b.to;
  };
  return (
    one.writes.some((a) => other.writes.some((b) => meet(a, b)) || reads(other).some((key) => has(a, key))) ||
    other.writes.some((b) => reads(one).some((key) => has(b, key)))
  );
}

function randomTransaction(random: Random): Transaction {
  const draw = (most: number): number => Math.floor(random() * most);
  const key = (): string => Array.from({ length: 1 + draw(6) }, () => 'ab/'[draw(3)]).join('');
  return {
    compare: Array.from({ length: draw(3) }, () => ({ key: key(), revision: 0 })),
    writes: Array.from({ length: draw(3) }, () => (random() < 0.5 ? put(key()) : range(key(), key()))),
  };
}

test('none that depend on each other are under way at the same time, and all get their turn in the order of the calls', () => {
  const seed = Number(process.env.HAWSER_SEED ?? Math.floor(Math.random() * 2 ** 32));
  const random = seededRandom(seed);
  for (let round = 0; round < 300; ++round) {
    const order = new KeyOrder();
    const transactions = Array.from({ length: 20 }, () => randomTransaction(random));
    const begun: number[] = [];
    const underWay = new Set<number>();
    for (const [index, transaction] of transactions.entries()) {
      order.enter(locksOf(transaction), () => {
        begun.push(index);
        underWay.add(index);
      });
    }
    while (underWay.size > 0) {
      const all = Array.from(underWay);
      for (const a of all) {
        for (const b of all) {
          const [one, other] = [transactions[a], transactions[b]];
          if (a < b && one !== undefined && other !== undefined) {
            expect(collide(one, other), `seed ${seed}: ${JSON.stringify([one, other])}`).toBe(false);
          }
        }
      }
      const done = all[Math.floor(random() * all.length)] ?? 0;
      underWay.delete(done);
      order.leave(locksOf(transactions[done] ?? write()));
    }
    expect(begun, `seed ${seed}`).toHaveLength(transactions.length);
    for (const [position, later] of begun.entries()) {
      for (const earlier of begun.slice(position + 1)) {
        const [one, other] = [transactions[earlier], transactions[later]];
        if (earlier < later && one !== undefined && other !== undefined) {
          expect(collide(one, other), `seed ${seed}`).toBe(false);
        }
      }
    }
  }
});
