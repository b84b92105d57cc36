// Leases, as every store of sessions has them, and closing.

import { describe, expect, test } from 'vitest';
import type { StoreLease, Transaction } from '../../../src/sessions/store/store.js';
import { bytes, everything, linesOf, put, refusal, remove, type TestedStore } from './tested-store.js';
import { Watcher } from './watcher.js';

/** Part of `testSessionStore`. */
export function testLeases(tested: TestedStore): void {
  const { write, read, contentOf } = tested;

  describe('leases', () => {
    const lease = (gateway: string, text = ''): Promise<StoreLease> =>
      tested.store.lease(gateway, () => bytes(text));
    const gone = async (key: string): Promise<void> => {
      const watcher = new Watcher();
      using _ = tested.store.watch(key, watcher);
      await watcher.until(() => watcher.told.length > 0);
      if ((await read(key)) !== undefined) await watcher.has(key, false);
    };

    test('the key of the gateway is there, with what others are to know, and its fence holds', async () => {
      const held = await tested.store.lease('gate way', (epoch) => bytes(`I am ${epoch}`));
      expect(held.gateway).toBe('gate way');
      expect(held.epoch).toMatch(/^[A-Za-z0-9-]{1,64}$/);
      expect(await contentOf('g/')).toEqual([`g/gate way=I am ${held.epoch}`]);
      expect(held.fence).toEqual({ key: 'g/gate way', revision: (await read('g/gate way'))?.revision });
      expect(held.ended.aborted).toBe(false);
      expect(await tested.store.txn({ compare: [held.fence], writes: [put('a/1', '')] })).toMatchObject({
        committed: true,
      });
    });

    test('when it is released, all that is under it goes, is told as one, and its fence fails', async () => {
      const watcher = new Watcher();
      const held = await lease('one');
      const other = await lease('two');
      await write(put('e/1', 'mine', held), put('e/2', 'not mine', other), put('e/3', 'nobody'));
      using _ = tested.store.watch('e/', watcher);
      await watcher.until(() => watcher.told.length > 0);
      await held.release();
      expect(held.ended.aborted).toBe(true);
      await watcher.has('e/1', false);
      await gone('g/one');
      expect(linesOf(await tested.store.read(everything))).toEqual(['e/2=not mine', 'e/3=nobody', 'g/two=']);
      expect(watcher.lines).toEqual(['reset', ['e/1-']]);
      expect((await tested.store.txn({ compare: [held.fence], writes: [put('a/1', '')] })).committed).toBe(
        false,
      );
      expect(other.ended.aborted).toBe(false);
      await held.release();
    });

    test('another lease of the same gateway takes its place: the first one is ended, its fence fails', async () => {
      const first = await lease('one', 'first');
      await write(put('e/1', 'first', first));
      const second = await lease('one', 'second');
      expect(second.epoch).not.toBe(first.epoch);
      if (!first.ended.aborted) {
        await new Promise((resolve) => first.ended.addEventListener('abort', resolve, { once: true }));
      }
      await gone('e/1');
      expect(await contentOf('g/')).toEqual(['g/one=second']);
      expect(
        (await tested.store.txn({ compare: [first.fence], writes: [put('a/1', 'first')] })).committed,
      ).toBe(false);
      expect(
        (await tested.store.txn({ compare: [second.fence], writes: [put('a/1', 'second')] })).committed,
      ).toBe(true);
      await first.release();
      expect((await tested.store.txn({ compare: [second.fence], writes: [] })).committed).toBe(true);
      expect(second.ended.aborted).toBe(false);
    });

    test('no two leases of a gateway have the same epoch', async () => {
      const epochs = new Set<string>();
      for (let n = 0; n < 20; ++n) {
        const held = await lease('one');
        epochs.add(held.epoch);
        await held.release();
      }
      expect(epochs.size).toBe(20);
    });

    test('a key that was written again without the lease stays when that ends', async () => {
      const held = await lease('one');
      const other = await lease('two');
      await write(put('e/1', 'leased', held), put('e/2', 'leased', held), put('e/3', 'leased', held));
      await write(put('e/1', 'free'), put('e/2', 'other', other), remove('e/3'));
      await write(put('e/3', 'free'));
      await held.release();
      await gone('g/one');
      expect(await contentOf('e/')).toEqual(['e/1=free', 'e/2=other', 'e/3=free']);
      await other.release();
      await gone('e/2');
      expect(await contentOf('e/')).toEqual(['e/1=free', 'e/3=free']);
    });

    test('nothing is written under a lease that has ended', async () => {
      const held = await lease('one');
      await held.release();
      const transaction: Transaction = { compare: [], writes: [put('a/1', ''), put('e/1', '', held)] };
      expect(await refusal(() => tested.store.txn(transaction))).toBe('ERR_HAWSER_STORE');
      expect((await tested.store.txn({ ...transaction, compare: [held.fence] })).committed).toBe(false);
      expect(linesOf(await tested.store.read(everything))).toEqual([]);
    });

    test('it is valid while it holds, and not when it has ended', async () => {
      const held = await lease('one');
      expect(held.validUntilMs).toBeGreaterThan(0);
      await held.release();
      expect(held.validUntilMs).toBe(Number.NEGATIVE_INFINITY);
    });
  });

  describe('closing', () => {
    test('everything rejects afterwards, and closing twice is closing once', async () => {
      await tested.store.close();
      await tested.store.close();
      await tested.store[Symbol.asyncDispose]();
      const calls = [
        () => tested.store.read(everything),
        () => tested.store.txn({ compare: [], writes: [] }),
        () => tested.store.lease('one', () => bytes('')),
        () => tested.store.watch('a/', new Watcher()),
      ];
      for (const call of calls) expect(await refusal(call)).toBe('ERR_HAWSER_CLOSED');
    });

    test('leases end, watches are told nothing more', async () => {
      const held = await tested.store.lease('one', () => bytes(''));
      const watcher = new Watcher();
      tested.store.watch('g/', watcher);
      await watcher.until(() => watcher.told.length > 0);
      await tested.store.close();
      expect(held.ended.aborted).toBe(true);
      expect(held.validUntilMs).toBe(Number.NEGATIVE_INFINITY);
      await held.release();
      await new Promise((resolve) => setImmediate(resolve));
      expect(watcher.lines).toEqual(['reset']);
    });

    test('what was begun before is done', async () => {
      const written = write(put('a/1', 'x'));
      const closed = tested.store.close();
      const outcome = await refusal(() => written);
      await closed;
      expect(['none', 'ERR_HAWSER_CLOSED']).toContain(outcome);
    });
  });
}
