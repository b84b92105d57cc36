// Watches, as every store of sessions has them.

import { describe, expect, test } from 'vitest';
import { prefixRange } from '../../../src/sessions/store/keys.js';
import { put, remove, type TestedStore } from './tested-store.js';
import { Watcher } from './watcher.js';

/** Part of `testSessionStore`. */
export function testWatches(tested: TestedStore): void {
  const { write, contentOf, watched } = tested;

  describe('watching', () => {
    test('the first that is told is to read, in a later turn', async () => {
      await write(put('a/0', 'before'));
      const watcher = new Watcher();
      using _ = tested.store.watch('a/', watcher);
      expect(watcher.told).toEqual([]);
      await write(put('a/1', 'meanwhile'));
      await watcher.until(() => watcher.told.length > 0);
      expect(watcher.told[0]).toBe('reset');
      await write(put('a/2', 'after'));
      await watcher.has('a/2', true);
      expect(watcher.lines.at(-1)).toEqual(['a/2=after']);
      expect(watcher.lines.filter((each) => each === 'reset')).toHaveLength(1);
    });

    test('changes come in the order of their revisions, those of one transaction together', async () => {
      using watcher = await watched('a/');
      const revisions = [
        await write(put('a/1', 'one'), put('a/2', 'two'), put('b/1', 'other')),
        await write(put('b/2', 'other')),
        await write(put('a/1', 'new'), remove('a/2')),
        await write({ type: 'deleteRange', ...prefixRange('a/') }),
        await write(put('a/3', 'last')),
      ];
      await watcher.has('a/3', true);
      expect(watcher.lines).toEqual([
        'reset',
        ['a/1=one', 'a/2=two'],
        ['a/1=new', 'a/2-'],
        ['a/1-'],
        ['a/3=last'],
      ]);
      const told = watcher.changes.map(({ revision }) => revision);
      expect(told).toEqual([
        revisions[0],
        revisions[0],
        revisions[2],
        revisions[2],
        revisions[3],
        revisions[4],
      ]);
      expect(watcher.changes[0]?.entry?.revision).toBe(revisions[0]);
    });

    test('many transactions of one turn are told one by one, each once', async () => {
      using watcher = await watched('a/');
      await Promise.all(Array.from({ length: 100 }, (_, n) => write(put(`a/${n}`, `${n}`))));
      await write(put('a/end', ''));
      await watcher.has('a/end', true);
      const keys = watcher.changes.map(({ key }) => key);
      expect(keys).toHaveLength(101);
      expect(new Set(keys).size).toBe(101);
      const revisions = watcher.changes.map(({ revision }) => revision);
      expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    });

    test('what was not committed, and what changed nothing, is not told', async () => {
      using watcher = await watched('a/');
      await tested.store.txn({ compare: [{ key: 'a/1', revision: 77 }], writes: [put('a/1', 'never')] });
      await write(remove('a/2'), { type: 'deleteRange', ...prefixRange('a/') });
      await write(put('a/end', ''));
      await watcher.has('a/end', true);
      expect(watcher.lines).toEqual(['reset', ['a/end=']]);
    });

    test('a prefix is one of bytes: neighbours are not told', async () => {
      using watcher = await watched('a/b');
      await write(
        put('a/', ''),
        put('a/a', ''),
        put('a/b', ''),
        put('a/bc', ''),
        put('a/c', ''),
        put('a', ''),
      );
      await watcher.has('a/b', true);
      expect(watcher.lines).toEqual(['reset', ['a/b=', 'a/bc=']]);
    });

    test('what a listener does with the bytes concerns nobody else', async () => {
      const spoiler = new Watcher();
      using _ = tested.store.watch('a/', {
        reset: () => spoiler.reset(),
        changed: (changes) => {
          for (const { entry } of changes) entry?.value.fill(0);
          spoiler.changed(changes);
        },
      });
      using watcher = await watched('a/');
      await spoiler.until(() => spoiler.told.length > 0);
      await write(put('a/1', 'text'));
      await spoiler.has('a/1', true);
      await watcher.has('a/1', true);
      expect(watcher.lines.at(-1)).toEqual(['a/1=text']);
      expect(await contentOf('a/')).toEqual(['a/1=text']);
    });

    test('nothing is told after dispose, others are told all the same', async () => {
      using other = await watched('a/');
      const disposed = await watched('a/');
      await write(put('a/1', ''));
      await disposed.has('a/1', true);
      const written = write(put('a/2', ''));
      disposed[Symbol.dispose]();
      disposed[Symbol.dispose]();
      await written;
      await other.has('a/2', true);
      expect(disposed.lines).toEqual(['reset', ['a/1=']]);
      const unheard = new Watcher();
      tested.store.watch('a/', unheard)[Symbol.dispose]();
      using later = await watched('a/');
      await write(put('a/3', ''));
      await later.has('a/3', true);
      expect(unheard.told).toEqual([]);
    });

    test('a listener can end its own watch and others, and write', async () => {
      using other = await watched('a/');
      const seen: string[] = [];
      const watches: Disposable[] = [];
      const watch = (): void => {
        const changed = (): void => {
          seen.push('changed');
          for (const each of watches) each[Symbol.dispose]();
          void write(put('a/2', ''));
        };
        watches.push(tested.store.watch('a/', { reset: () => undefined, changed }));
      };
      watch();
      watch();
      using later = await watched('a/');
      await write(put('a/1', ''));
      await other.has('a/2', true);
      await later.has('a/2', true);
      expect(seen).toEqual(['changed']);
    });
  });
}
