// What the keys of `hawser top` do.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { keysOf, press, type TopChoice, type TopContext } from '../../src/cli/top-keys.js';
import { peerOrders } from '../../src/gateway/snapshot.js';

const begun: TopChoice = {
  order: 'rtt',
  search: '',
  searching: false,
  offset: 0,
  marked: 0,
  peer: undefined,
};
const context: TopContext = { shown: ['a', 'b', 'c'], total: 8, room: 3 };

function after(input: string, from: TopChoice = begun): TopChoice | undefined {
  return keysOf(input).reduce<TopChoice | undefined>(
    (choice, key) => choice && press(key, choice, context),
    from,
  );
}

test('keys come one by one or several at once, and what means nothing is passed over', () => {
  expect(keysOf('\x1b[A\x1bOB\x1b[5~\x1b[6~\r\x7f\x03x')).toEqual([
    'up',
    'down',
    'pageUp',
    'pageDown',
    'enter',
    'erase',
    'quit',
    'x',
  ]);
  expect(keysOf('\x1b[1;5C\x1b[200~\x00\t')).toEqual([]);
  expect(keysOf('\x1b')).toEqual(['escape']);
});

test('o goes through the orders and O back, and the list begins at its beginning', () => {
  expect(after('o', { ...begun, offset: 4, marked: 2 })).toEqual({ ...begun, order: peerOrders[1] });
  expect(after('o'.repeat(peerOrders.length))).toEqual(begun);
  expect(after('O')?.order).toBe(peerOrders.at(-1));
});

test('the mark moves within what is shown first, and then what is shown moves', () => {
  expect(after('\x1b[B\x1b[B')).toEqual({ ...begun, marked: 2 });
  expect(after('\x1b[B\x1b[B\x1b[B')).toEqual({ ...begun, offset: 1, marked: 2 });
  expect(after('\x1b[F')).toEqual({ ...begun, offset: 5, marked: 2 });
  expect(after('\x1b[F\x1b[B')).toEqual({ ...begun, offset: 5, marked: 2 });
  expect(after('\x1b[F\x1b[H')).toEqual(begun);
  expect(after('\x1b[A')).toEqual(begun);
});

test('a search is typed, erased, kept with Enter and dropped with Escape; no letter of it is a command', () => {
  expect(after('/1q')).toEqual({ ...begun, searching: true, search: '1q' });
  expect(after('/127\x7f\r')).toEqual({ ...begun, search: '12' });
  expect(after('/127\x1b')).toEqual(begun);
  expect(after('/127\r\x1b')).toEqual(begun);
  expect(after(`/${'1'.repeat(500)}`)?.search.length).toBe(64);
});

test('Enter shows the peer that is marked, q and Escape go back, q in the list ends, Ctrl-C always', () => {
  expect(after('\x1b[B\r')?.peer).toBe('b');
  expect(after('\x1b[B\rq')).toEqual({ ...begun, marked: 1 });
  expect(after('\r\x1b')).toEqual(begun);
  expect(after('q')).toBeUndefined();
  expect(after('/x\x03')).toBeUndefined();
  expect(after('\r\x03')).toBeUndefined();
});

test('whatever is typed, the mark is on what is shown', () => {
  const keys = fc.constantFrom(
    'up',
    'down',
    'pageUp',
    'pageDown',
    'home',
    'end',
    'j',
    'k',
    'o',
    'enter',
    'escape',
  );
  const contexts = fc.record({
    shown: fc.constant(['a']),
    total: fc.integer({ min: 0, max: 50 }),
    room: fc.integer({ min: 1, max: 60 }),
  });
  fc.assert(
    fc.property(fc.array(fc.tuple(keys, contexts), { maxLength: 40 }), (typed) => {
      let choice: TopChoice = begun;
      for (const [key, now] of typed) {
        choice = press(key, choice, now) ?? begun;
        expect(choice.offset).toBeGreaterThanOrEqual(0);
        expect(choice.marked).toBeGreaterThanOrEqual(0);
        expect(Number.isSafeInteger(choice.offset + choice.marked)).toBe(true);
      }
    }),
    { numRuns: 60 },
  );
});
