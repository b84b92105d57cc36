// What every store of sessions does that several gateways have open, or that is opened again.

import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import type { SessionStore } from '../../../src/sessions/store/store.js';
import { randomTransaction, StoreModel } from './model.js';
import { bytes, everything, linesOf, put, refusal, type TestedStore } from './tested-store.js';
import { Watcher } from './watcher.js';

type OpenFrom = (store: SessionStore) => Promise<SessionStore>;

/** Part of `testSessionStore`. @param openAnother as of `StoreUnderTest`. */
export function testSharing(tested: TestedStore, openAnother: OpenFrom): void {
  const { write, read, contentOf } = tested;

  describe('several gateways', () => {
    const another = async (): Promise<SessionStore> => {
      const opened = await openAnother(tested.store);
      tested.others.push(opened);
      return opened;
    };

    test('both are shared, and each reads what the other has committed', async () => {
      const other = await another();
      expect([tested.store.shared, other.shared]).toEqual([true, true]);
      await write(put('a/1', 'x'));
      expect(linesOf(await other.read(prefixRange('a/')))).toEqual(['a/1=x']);
      await other.txn({ compare: [], writes: [put('a/1', 'y')] });
      expect(await contentOf('a/')).toEqual(['a/1=y']);
    });

    test('each is told what the other has committed, in the order of all', async () => {
      const other = await another();
      const watcher = new Watcher();
      using _ = other.watch('a/', watcher);
      await watcher.until(() => watcher.told.length > 0);
      for (let n = 0; n < 20; ++n) {
        await (n % 2 === 0 ? tested.store : other).txn({ compare: [], writes: [put('a/1', `${n}`)] });
      }
      await watcher.until(() => watcher.changes.length === 20);
      expect(watcher.lines.slice(1)).toEqual(Array.from({ length: 20 }, (_, n) => [`a/1=${n}`]));
    });

    test('of two that claim the same at the same time one does', async () => {
      const other = await another();
      for (let n = 0; n < 20; ++n) {
        const compare = [{ key: `a/${n}`, revision: 0 }];
        const results = await Promise.all([
          tested.store.txn({ compare, writes: [put(`a/${n}`, 'one')] }),
          other.txn({ compare, writes: [put(`a/${n}`, 'two')] }),
        ]);
        expect(results.filter(({ committed }) => committed)).toHaveLength(1);
        const loser = results.find(({ committed }) => !committed);
        const entry = await read(`a/${n}`);
        expect(loser).toMatchObject({ found: [{ revision: entry?.revision }] });
      }
    });

    test('the lease of one is taken by the other: the first hears of it', async () => {
      const other = await another();
      const first = await tested.store.lease('one', () => bytes('first'));
      const ended = new Promise((resolve) => first.ended.addEventListener('abort', resolve, { once: true }));
      const second = await other.lease('one', () => bytes('second'));
      expect(second.epoch).not.toBe(first.epoch);
      await ended;
      expect((await tested.store.txn({ compare: [first.fence], writes: [] })).committed).toBe(false);
      expect((await tested.store.txn({ compare: [second.fence], writes: [] })).committed).toBe(true);
    });

    test('when one is closed its leases are over for the other, and that goes on', async () => {
      const other = await another();
      await other.lease('one', () => bytes(''));
      const watcher = new Watcher();
      using _ = tested.store.watch('g/', watcher);
      await watcher.until(() => watcher.told.length > 0);
      await other.close();
      await watcher.has('g/one', false);
      await write(put('a/1', ''));
      expect(await contentOf('a/')).toEqual(['a/1=']);
    });

    test('the lease of one is none of the other', async () => {
      const other = await another();
      const held = await other.lease('one', () => bytes(''));
      const transaction = { compare: [], writes: [put('e/1', '', held)] };
      expect(await refusal(() => tested.store.txn(transaction))).toBe('ERR_HAWSER_ARGUMENT');
    });
  });
}

/** Part of `testSessionStore`. @param reopen as of `StoreUnderTest`. */
export function testReopening(tested: TestedStore, reopen: OpenFrom): void {
  const { write, contentOf } = tested;

  describe('a store that outlives its process', () => {
    const again = async (): Promise<void> => {
      tested.store = await reopen(tested.store);
    };

    test('case 28: it is the same when it is opened again, with its revisions', async () => {
      const random = seededRandom(28);
      const model = new StoreModel();
      for (let n = 0; n < 200; ++n) {
        const transaction = randomTransaction(random, model);
        model.expect(transaction, await tested.store.txn(transaction), `transaction ${n}`);
      }
      const before = await tested.store.read(everything);
      await again();
      const after = await tested.store.read(everything);
      expect(after).toEqual(before);
      model.expectAll(after);
      const last = await write(put('z/1', ''));
      expect(last).toBeGreaterThan(Math.max(...before.map(({ revision }) => revision)));
    });

    test('leases are over, and no epoch comes again', async () => {
      const epochs = new Set<string>();
      for (let n = 0; n < 4; ++n) {
        expect(await tested.store.read(prefixRange('g/'))).toEqual([]);
        expect(await contentOf('e/')).toEqual([]);
        const held = await tested.store.lease('one', () => bytes(''));
        epochs.add(held.epoch);
        await write(put('e/1', '', held), put('a/1', ''));
        await again();
        expect((await tested.store.txn({ compare: [held.fence], writes: [] })).committed).toBe(false);
      }
      expect(epochs.size).toBe(4);
      expect(await contentOf('a/')).toEqual(['a/1=']);
    });
  });
}
