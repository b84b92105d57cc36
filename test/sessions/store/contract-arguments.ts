// Wrong arguments, which every store of sessions refuses.

import { describe, expect, test } from 'vitest';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import type { Compare, Write } from '../../../src/sessions/store/store.js';
import { bytes, everything, linesOf, put, refusal, remove, type TestedStore } from './tested-store.js';
import { Watcher } from './watcher.js';

/** Part of `testSessionStore`. */
export function testArguments(tested: TestedStore): void {
  const { write } = tested;

  describe('wrong arguments', () => {
    const odd = (value: unknown): never => value as never;

    /** The end of a range may be a byte longer than a key. */
    const longer = (key: unknown): unknown => (typeof key === 'string' && key !== '' ? `${key}x` : key);

    test('keys that are no text of 1 to 1,024 bytes are refused', async () => {
      for (const key of ['', '\ud800', `a/${'x'.repeat(1023)}`, 7, undefined]) {
        const writes: readonly Write[][] = [
          [put(odd(key), '')],
          [remove(odd(key))],
          [odd({ type: 'deleteRange', from: key, to: 'b' })],
          [odd({ type: 'deleteRange', from: 'b', to: longer(key) })],
        ];
        for (const each of writes) {
          expect(await refusal(() => tested.store.txn({ compare: [], writes: each }))).toBe(
            'ERR_HAWSER_ARGUMENT',
          );
        }
        expect(
          await refusal(() => tested.store.txn({ compare: [{ key: odd(key), revision: 0 }], writes: [] })),
        ).toBe('ERR_HAWSER_ARGUMENT');
        expect(await refusal(() => tested.store.read({ from: odd(key), to: 'b' }))).toBe(
          'ERR_HAWSER_ARGUMENT',
        );
        expect(await refusal(() => tested.store.read({ from: 'a', to: odd(longer(key)) }))).toBe(
          'ERR_HAWSER_ARGUMENT',
        );
        expect(await refusal(() => tested.store.watch(odd(key), new Watcher()))).toBe('ERR_HAWSER_ARGUMENT');
      }
    });

    test('revisions, limits, values and writes out of range are refused', async () => {
      for (const revision of [-1, 0.5, 2 ** 53, Number.NaN, '1', undefined]) {
        const compare = [{ key: 'a', revision: odd(revision) }];
        expect(await refusal(() => tested.store.txn({ compare, writes: [] }))).toBe('ERR_HAWSER_ARGUMENT');
      }
      for (const limit of [0, -1, 1.5, 1_000_001, '1']) {
        expect(await refusal(() => tested.store.read({ ...everything, limit: odd(limit) }))).toBe(
          'ERR_HAWSER_ARGUMENT',
        );
      }
      const wrong = [
        undefined,
        null,
        'put',
        {},
        { type: 'patch', key: 'a' },
        { type: 'put', key: 'a', value: 'text' },
        { type: 'put', key: 'a', value: new Uint8Array(12_582_913) },
        { type: 'put', key: 'a', value: bytes(''), lease: {} },
        { type: 'put', key: 'a', value: bytes(''), ttl: 3 },
      ];
      for (const each of wrong) {
        expect(await refusal(() => tested.store.txn({ compare: [], writes: [odd(each)] }))).toBe(
          'ERR_HAWSER_ARGUMENT',
        );
      }
      for (const each of [
        undefined,
        null,
        [],
        'x',
        { compare: [] },
        { writes: [] },
        { compare: {}, writes: [] },
      ]) {
        expect(await refusal(() => tested.store.txn(odd(each)))).toBe('ERR_HAWSER_ARGUMENT');
      }
      expect(await refusal(() => tested.store.read(odd(undefined)))).toBe('ERR_HAWSER_ARGUMENT');
      expect(linesOf(await tested.store.read(everything))).toEqual([]);
    });

    test('a transaction has at most 128 comparisons and 128 writes', async () => {
      const compares = (count: number): Compare[] =>
        Array.from({ length: count }, (_, n) => ({ key: `a/${n}`, revision: 0 }));
      const writes = (count: number): Write[] => Array.from({ length: count }, (_, n) => put(`a/${n}`, ''));
      expect((await tested.store.txn({ compare: compares(128), writes: writes(128) })).committed).toBe(true);
      expect(await refusal(() => tested.store.txn({ compare: compares(129), writes: [] }))).toBe(
        'ERR_HAWSER_ARGUMENT',
      );
      expect(await refusal(() => tested.store.txn({ compare: [], writes: writes(129) }))).toBe(
        'ERR_HAWSER_ARGUMENT',
      );
    });

    test('a transaction that puts a key twice, or puts and deletes it, is refused', async () => {
      const pairs: Write[][] = [
        [put('a/1', 'x'), put('a/1', 'y')],
        [put('a/1', 'x'), remove('a/1')],
        [{ type: 'deleteRange', from: 'a/1', to: 'a/2' }, put('a/1', 'x')],
        [put('a/é', 'x'), { type: 'deleteRange', ...prefixRange('a/') }],
      ];
      for (const writes of pairs) {
        expect(await refusal(() => tested.store.txn({ compare: [], writes }))).toBe('ERR_HAWSER_ARGUMENT');
      }
      await write(put('a/2', 'x'), { type: 'deleteRange', from: 'a/1', to: 'a/2' });
      expect(linesOf(await tested.store.read(everything))).toEqual(['a/2=x']);
    });

    test('gateways that are no name of 1 to 256 bytes without / are refused', async () => {
      for (const gateway of ['', 'a/b', '/', '\udfff', 'ü'.repeat(129), 7, undefined]) {
        expect(await refusal(() => tested.store.lease(odd(gateway), () => bytes('')))).toBe(
          'ERR_HAWSER_ARGUMENT',
        );
      }
      expect(await refusal(() => tested.store.lease('one', odd(bytes(''))))).toBe('ERR_HAWSER_ARGUMENT');
      expect(await refusal(() => tested.store.lease('one', () => odd('text')))).toBe('ERR_HAWSER_ARGUMENT');
      expect(linesOf(await tested.store.read(everything))).toEqual([]);
      expect((await tested.store.lease('ü'.repeat(128), () => bytes(''))).ended.aborted).toBe(false);
    });
  });
}
