// Transactions and reading, as every store of sessions does them.

import { describe, expect, test } from 'vitest';
import { idRange, prefixes, prefixRange, responseKey } from '../../../src/sessions/store/keys.js';
import type { Compare, TransactionResult, Write } from '../../../src/sessions/store/store.js';
import { bytes, everything, linesOf, put, remove, type TestedStore } from './tested-store.js';

/** Part of `testSessionStore`. */
export function testTransactions(tested: TestedStore): void {
  const { write, read, contentOf } = tested;

  describe('transactions', () => {
    const attempt = (compare: readonly Compare[], writes: readonly Write[]): Promise<TransactionResult> =>
      tested.store.txn({ compare, writes });

    test('what is written is read, at the revision of its transaction', async () => {
      const revision = await write(put('a/1', 'one'), put('a/2', ''));
      expect(await tested.store.read(prefixRange('a/'))).toMatchObject([
        { key: 'a/1', revision },
        { key: 'a/2', revision },
      ]);
      expect(await contentOf('a/')).toEqual(['a/1=one', 'a/2=']);
    });

    test('revisions grow from one transaction to the next', async () => {
      const revisions: number[] = [];
      for (const text of ['1', '2', '3']) revisions.push(await write(put('a/1', text)));
      revisions.push(await write(put('b/1', 'x')), await write(remove('b/1')));
      expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b));
      expect(revisions[0]).toBeGreaterThanOrEqual(1);
      expect((await read('a/1'))?.revision).toBe(revisions[2]);
    });

    test('revision 0 holds while there is nothing under the key', async () => {
      expect(await attempt([{ key: 'a/1', revision: 0 }], [put('a/1', 'first')])).toMatchObject({
        committed: true,
      });
      expect(await attempt([{ key: 'a/1', revision: 0 }], [put('a/1', 'second')])).toMatchObject({
        committed: false,
      });
      expect(await contentOf('a/')).toEqual(['a/1=first']);
      await write(remove('a/1'));
      expect(await attempt([{ key: 'a/1', revision: 0 }], [put('a/1', 'third')])).toMatchObject({
        committed: true,
      });
    });

    test('a revision holds until the key is written again, with the same value too', async () => {
      const first = await write(put('a/1', 'x'));
      await write(put('a/2', 'y'));
      const second = await attempt([{ key: 'a/1', revision: first }], [put('a/1', 'x')]);
      expect(second).toMatchObject({ committed: true });
      expect(await attempt([{ key: 'a/1', revision: first }], [remove('a/1')])).toMatchObject({
        committed: false,
      });
      await write(remove('a/1'));
      const revision = second.committed ? second.revision : 0;
      expect(await attempt([{ key: 'a/1', revision }], [put('a/1', 'z')])).toMatchObject({
        committed: false,
      });
    });

    test('nothing of a transaction is written when one comparison of many fails', async () => {
      const revision = await write(put('a/1', 'x'), put('a/2', 'y'), put('b/1', 'z'));
      const compare = [
        { key: 'a/1', revision },
        { key: 'a/2', revision },
        { key: 'b/1', revision: revision + 1 },
        { key: 'b/2', revision: 0 },
      ];
      const writes: Write[] = [
        put('a/1', 'changed'),
        remove('a/2'),
        { type: 'deleteRange', ...prefixRange('b/') },
      ];
      expect((await attempt(compare, writes)).committed).toBe(false);
      expect(linesOf(await tested.store.read(everything))).toEqual(['a/1=x', 'a/2=y', 'b/1=z']);
      expect((await read('a/1'))?.revision).toBe(revision);
    });

    test('one that fails tells what is under the keys that it compared, in their order', async () => {
      const first = await write(put('a/1', 'x'));
      const second = await write(put('a/2', 'y'));
      const result = await attempt(
        [
          { key: 'a/2', revision: second },
          { key: 'a/3', revision: 0 },
          { key: 'a/1', revision: 0 },
        ],
        [put('a/1', 'changed')],
      );
      if (result.committed) throw new Error('it was committed');
      expect(result.found.map((entry) => entry && linesOf([entry])[0])).toEqual([
        'a/2=y',
        undefined,
        'a/1=x',
      ]);
      expect(result.found.map((entry) => entry?.revision)).toEqual([second, undefined, first]);
    });

    test('comparisons see what was there before the writes of the transaction', async () => {
      const compare = [{ key: 'a/1', revision: 0 }];
      expect((await attempt(compare, [put('a/1', 'x'), put('a/2', 'y')])).committed).toBe(true);
    });

    test('one without writes only compares, and changes no revision', async () => {
      const revision = await write(put('a/1', 'x'));
      expect(await attempt([{ key: 'a/1', revision }], [])).toEqual({ committed: true, revision });
      expect(await attempt([], [remove('a/2')])).toEqual({ committed: true, revision });
      expect((await attempt([{ key: 'a/1', revision: 0 }], [])).committed).toBe(false);
      expect((await read('a/1'))?.revision).toBe(revision);
    });

    test('a range is deleted from its first key to before its end', async () => {
      await write(...['a/1', 'a/2', 'a/3', 'a/4', 'a0', 'a'].map((key) => put(key, 'x')));
      await write({ type: 'deleteRange', from: 'a/2', to: 'a/4' });
      expect(await contentOf('a')).toEqual(['a=x', 'a/1=x', 'a/4=x', 'a0=x']);
      await write(
        { type: 'deleteRange', from: 'a/4', to: 'a/4' },
        { type: 'deleteRange', from: 'a0', to: 'a' },
      );
      expect(await contentOf('a')).toEqual(['a=x', 'a/1=x', 'a/4=x', 'a0=x']);
      await write({ type: 'deleteRange', ...prefixRange('a/') });
      expect(await contentOf('a')).toEqual(['a=x', 'a0=x']);
    });

    test('one may delete what it deletes already, and what is not there', async () => {
      await write(put('a/1', 'x'));
      await write(remove('a/1'), remove('a/1'), remove('a/2'), {
        type: 'deleteRange',
        ...prefixRange('a/'),
      });
      expect(await contentOf('a/')).toEqual([]);
    });

    test('those that are begun in one turn are compared in their order', async () => {
      const attempts = Array.from({ length: 20 }, (_, n) =>
        attempt([{ key: 'a/1', revision: 0 }], [put('a/1', `${n}`), put(`b/${n}`, '')]),
      );
      const results = await Promise.all(attempts);
      expect(results.map(({ committed }) => committed)).toEqual(results.map((_, n) => n === 0));
      expect(await contentOf('a/')).toEqual(['a/1=0']);
      expect(await contentOf('b/')).toEqual(['b/0=']);
    });

    test('those that are begun in one turn and write different keys are all committed', async () => {
      const attempts = Array.from({ length: 300 }, (_, n) =>
        attempt([{ key: `a/${n}`, revision: 0 }], [put(`a/${n}`, `${n}`)]),
      );
      const results = await Promise.all(attempts);
      expect(results.every(({ committed }) => committed)).toBe(true);
      expect(await tested.store.read(prefixRange('a/'))).toHaveLength(300);
    });

    test('values are those of the call, whatever is done with the bytes afterwards', async () => {
      const value = bytes('before');
      const written = write({ type: 'put', key: 'a/1', value });
      value.fill(0);
      await written;
      expect(await contentOf('a/')).toEqual(['a/1=before']);
      (await read('a/1'))?.value.fill(0);
      expect(await contentOf('a/')).toEqual(['a/1=before']);
    });

    test('long values and keys are kept', async () => {
      const value = Buffer.alloc(1_000_000, 'long');
      const key = `a/${'ü'.repeat(511)}`;
      expect(Buffer.byteLength(key)).toBe(1024);
      await write({ type: 'put', key, value });
      expect(value.equals((await read(key))?.value ?? new Uint8Array())).toBe(true);
    });
  });

  describe('reading', () => {
    test('keys are in the order of their bytes', async () => {
      const keys = [
        'k/\0',
        'k/\n',
        'k/!',
        'k/10',
        'k/2',
        'k/Z',
        'k/a',
        'k/a/b',
        'k/é',
        'k/\ue000',
        'k/\uffff',
        'k/😀',
      ];
      await write(...keys.toReversed().map((key) => put(key, '')));
      expect((await tested.store.read(prefixRange('k/'))).map(({ key }) => key)).toEqual(keys);
      expect((await tested.store.read({ from: 'k/\ue000', to: 'k/😀' })).map(({ key }) => key)).toEqual([
        'k/\ue000',
        'k/\uffff',
      ]);
      await write({ type: 'deleteRange', from: 'k/\uffff', to: 'k/\u{10ffff}' });
      expect((await tested.store.read(prefixRange('k/'))).map(({ key }) => key)).toEqual(keys.slice(0, -2));
    });

    test('case 28: ranges of request ids are numeric', async () => {
      const session = '00000000-0000-4000-8000-000000000000';
      const ids = [0, 2, 9, 10, 16, 255, 256, 2 ** 31, 2 ** 53 - 1];
      await write(...ids.toReversed().map((id) => put(responseKey(session, id), `${id}`)));
      const idsIn = async (from: number, to: number): Promise<number[]> =>
        (await tested.store.read(idRange(prefixes.responses, session, from, to))).map(({ value }) =>
          Number(Buffer.from(value).toString()),
        );
      expect(await idsIn(0, 2 ** 53)).toEqual(ids);
      expect(await idsIn(2, 10)).toEqual([2, 9]);
      await write({ type: 'deleteRange', ...idRange(prefixes.responses, session, 0, 16) });
      expect(await idsIn(0, 2 ** 53)).toEqual(ids.slice(4));
    });

    test('a range has its first key, and not its end', async () => {
      await write(...['a', 'b', 'c', 'd'].map((key) => put(key, '')));
      expect((await tested.store.read({ from: 'b', to: 'd' })).map(({ key }) => key)).toEqual(['b', 'c']);
      expect(await tested.store.read({ from: 'c', to: 'b' })).toEqual([]);
      expect(await tested.store.read({ from: 'b', to: 'b' })).toEqual([]);
    });

    test('a limit takes the first ones', async () => {
      for (let n = 0; n < 1500; n += 100) {
        await write(...Array.from({ length: 100 }, (_, k) => put(`a/${1000 + n + k}`, '')));
      }
      const all = await tested.store.read(prefixRange('a/'));
      expect(all).toHaveLength(1500);
      for (const limit of [1, 2, 777, 1499, 1500, 1501]) {
        const part = await tested.store.read({ ...prefixRange('a/'), limit });
        expect(part.map(({ key }) => key)).toEqual(all.slice(0, limit).map(({ key }) => key));
      }
    });

    test('what was committed before the call is read', async () => {
      for (let n = 0; n < 50; ++n) {
        await write(put('a/1', `${n}`));
        expect(await contentOf('a/')).toEqual([`a/1=${n}`]);
      }
    });
  });
}
