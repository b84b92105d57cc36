// What every store of a manager must do, as tests: to be run on each of them.

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { checksumOf, documentSha1 } from '../../../src/sync/store/checksum.js';
import type { Change, StoredDocument, StoredSession, SyncStore } from '../../../src/sync/store/store.js';

/** A store under test. */
export interface StoreUnderTest {
  /** An empty one. @param maxBytesPerAgent a gibibyte when it is not given, and all of it has four. @param maxBytes less than that. */
  readonly open: (maxBytesPerAgent?: number, maxBytes?: number) => Promise<SyncStore>;
  /** What a new process would find: of a store that is on a disk, closed and opened again as it was. */
  readonly reopen: (store: SyncStore) => Promise<SyncStore>;
  /** Called after each test, when the store is closed. */
  readonly cleanUp?: () => Promise<void>;
}

type NewSession = Omit<StoredSession, 'key' | 'state'>;

const plain: NewSession = {
  agent: 'agent',
  module: 'fim',
  mode: 'DELTA',
  size: 3,
  indices: ['files'],
  session: 2n ** 64n - 2n,
  nonce: 2n ** 63n,
  generation: 2n ** 63n + 1n,
};

function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}

function upsert(id: string, text = `{"id":${JSON.stringify(id)}}`, index = 'files', version = 0n): Change {
  return { operation: 'Upsert', index, id, version, data: bytes(text) };
}

function remove(id: string, index = 'files'): Change {
  return { operation: 'Delete', index, id };
}

function namesOf(documents: Iterable<StoredDocument>): string[] {
  return Array.from(documents, ({ index, id }) => `${index}/${id}`);
}

function textOf(document: StoredDocument | undefined): string | undefined {
  return document && Buffer.from(document.data).toString();
}

async function refusal(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (error instanceof HawserError) return error.code;
    throw error;
  }
  return 'none';
}

/** Runs the tests. @param name of the store. */
export function testStore(name: string, { open, reopen, cleanUp }: StoreUnderTest): void {
  describe(`${name} keeps the contract of stores:`, () => {
    let store: SyncStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(async () => {
      await store.close();
      await cleanUp?.();
    });

    const apply = async (changes: readonly Change[], given: Partial<NewSession> = {}): Promise<void> => {
      await store.commit(store.begin({ ...plain, ...given }), changes, () => 0);
    };

    describe('staging', () => {
      test('keys grow and are never used again', async () => {
        const first = store.begin(plain);
        const second = store.begin({ ...plain, module: 'sca' });
        expect(second.key).toBeGreaterThan(first.key);
        await store.staged(second);
        await store.drop(second);
        await store.drop(first);
        store = await reopen(store);
        expect(store.begin(plain).key).toBeGreaterThan(second.key);
      });

      test('a session is returned and found again with all that it was begun with', async () => {
        const session = store.begin({ ...plain, indices: ['files', 'ключи', ''], module: '' });
        expect(session).toEqual({
          ...plain,
          indices: ['files', 'ключи', ''],
          module: '',
          key: session.key,
          state: 'receiving',
        });
        await store.staged(session);
        store = await reopen(store);
        expect(store.sessions()).toEqual([session]);
      });

      test('messages are found again in their order, with their bytes', async () => {
        const session = store.begin(plain);
        const message = bytes('first');
        store.stage(session, message);
        message.fill(0);
        for (let n = 1; n < 300; ++n) store.stage(session, bytes(`message ${n}`));
        await store.staged(session);
        const check = (): void => {
          expect(store.stagedCount(session)).toBe(300);
          expect(Buffer.from(store.stagedMessage(session, 0) ?? []).toString()).toBe('first');
          expect(Buffer.from(store.stagedMessage(session, 299) ?? []).toString()).toBe('message 299');
          expect(store.stagedMessage(session, 300)).toBeUndefined();
        };
        check();
        store = await reopen(store);
        check();
        store.stage(session, bytes('one more'));
        await store.staged(session);
        expect(store.stagedCount(session)).toBe(301);
      });

      test('what is staged can be read at once', () => {
        const session = store.begin(plain);
        store.stage(session, bytes('a'));
        store.stage(session, bytes('b'));
        expect(store.stagedCount(session)).toBe(2);
        expect(Buffer.from(store.stagedMessage(session, 1) ?? []).toString()).toBe('b');
      });

      test('the messages of sessions are apart', async () => {
        const sessions = ['a', 'b', 'c'].map((module) => store.begin({ ...plain, module }));
        for (const session of sessions) {
          store.stage(session, bytes(`1 of ${session.module}`));
          store.stage(session, bytes(`2 of ${session.module}`));
        }
        const [first, second, third] = sessions;
        if (first === undefined || second === undefined || third === undefined)
          throw new Error('unreachable');
        await store.staged(third);
        await store.drop(second);
        expect(sessions.map((session) => store.stagedCount(session))).toEqual([2, 0, 2]);
        expect(store.stagedMessage(second, 0)).toBeUndefined();
        expect(Buffer.from(store.stagedMessage(third, 1) ?? []).toString()).toBe('2 of c');
        store = await reopen(store);
        expect(store.sessions().map(({ module }) => module)).toEqual(['a', 'c']);
      });

      test('dropping what is gone is harmless', async () => {
        const session = store.begin(plain);
        await store.drop(session);
        await store.drop(session);
        expect(store.sessions()).toEqual([]);
      });
    });

    describe('applying', () => {
      test('changes are carried out in their order', async () => {
        await apply([upsert('a', '{"n":1}'), upsert('b'), upsert('a', '{"n":2}'), remove('b'), remove('c')]);
        expect(namesOf(store.documents('agent'))).toEqual(['files/a']);
        expect(store.document('agent', 'files', 'a')).toMatchObject({ index: 'files', id: 'a', version: 0n });
        expect(textOf(store.document('agent', 'files', 'a'))).toBe('{"n":2}');
        expect(store.document('agent', 'files', 'b')).toBeUndefined();
      });

      test('what was applied is found again, and its session is the last one applied', async () => {
        const session = store.begin(plain);
        store.stage(session, bytes('message'));
        await store.commit(session, [upsert('a')], () => 2);
        const check = (): void => {
          expect(namesOf(store.documents('agent'))).toEqual(['files/a']);
          const { nonce, generation, mode, size } = plain;
          expect(store.committed('agent', 'fim')).toEqual({ nonce, generation, mode, size, rejected: 2 });
          expect(store.committed('agent', 'sca')).toBeUndefined();
          expect(store.committed('other', 'fim')).toBeUndefined();
          expect(store.sessions()).toEqual([]);
          expect(store.stagedCount(session)).toBe(0);
        };
        check();
        store = await reopen(store);
        check();
      });

      test('rejected is asked when the changes have ended', async () => {
        let rejected = 0;
        function* changes(): Generator<Change> {
          yield upsert('a');
          ++rejected;
          yield upsert('b');
          ++rejected;
        }
        await store.commit(store.begin(plain), changes(), () => rejected);
        expect(store.committed('agent', 'fim')?.rejected).toBe(2);
      });

      test('data of a change are valid until the next one is asked for', async () => {
        const data = new Uint8Array(9);
        function* changes(): Generator<Change> {
          for (let n = 0; n < 3000; ++n) {
            data.set(bytes(`{"n":${String(n).padStart(4)}}`.slice(0, 9)));
            yield { operation: 'Upsert', index: 'files', id: `${n}`, version: 0n, data };
            data.fill(0x78);
          }
        }
        await store.commit(store.begin(plain), changes(), () => 0);
        for (const n of [0, 1, 999, 1000, 2047, 2999]) {
          const expected = `{"n":${String(n).padStart(4)}}`.slice(0, 9);
          expect(textOf(store.document('agent', 'files', `${n}`))).toBe(expected);
        }
      });

      test('Clean deletes everything of its index, and nothing else', async () => {
        await apply([upsert('a'), upsert('b'), upsert('a', '{}', 'file'), upsert('a', '{}', 'files2')]);
        await apply([upsert('a', '{}', 'other')], { agent: 'other' });
        await apply([upsert('a', '{}', 'files')], { agent: 'other' });
        await apply([{ operation: 'Clean', index: 'files' }, upsert('c')]);
        expect(namesOf(store.documents('agent'))).toEqual(['file/a', 'files/c', 'files2/a']);
        expect(namesOf(store.documents('other'))).toEqual(['files/a', 'other/a']);
      });

      test('FULL deletes what the agent has of the indices of the session first', async () => {
        await apply([upsert('a'), upsert('b', '{}', 'keys'), upsert('c', '{}', 'ports')]);
        await apply([upsert('d')], { mode: 'FULL', indices: ['files', 'keys', 'none'] });
        expect(namesOf(store.documents('agent'))).toEqual(['files/d', 'ports/c']);
      });

      test('an Upsert of a lower version changes nothing', async () => {
        await apply([upsert('a', '{"n":5}', 'files', 5n), upsert('b', '{"n":0}')]);
        await apply([upsert('a', '{"n":4}', 'files', 4n), upsert('b', '{"n":1}', 'files', 1n)]);
        expect(textOf(store.document('agent', 'files', 'a'))).toBe('{"n":5}');
        expect(store.document('agent', 'files', 'b')?.version).toBe(1n);
        await apply([upsert('a', '{"n":55}', 'files', 5n)]);
        expect(textOf(store.document('agent', 'files', 'a'))).toBe('{"n":55}');
        await apply([upsert('a', '{"n":6}', 'files', 2n ** 64n - 1n)]);
        expect(store.document('agent', 'files', 'a')?.version).toBe(2n ** 64n - 1n);
        await apply([remove('a'), upsert('a', '{"n":7}', 'files', 1n)]);
        expect(textOf(store.document('agent', 'files', 'a'))).toBe('{"n":7}');
      });

      test('an Upsert without version takes the place of a document that has one', async () => {
        await apply([upsert('a', '{"n":1}', 'files', 7n), upsert('b', '{"n":1}', 'files', 2n ** 64n - 1n)]);
        await apply([upsert('a', '{"n":2}'), upsert('b', '{"n":2}'), upsert('b', '{"n":3}', 'files', 1n)]);
        expect(textOf(store.document('agent', 'files', 'a'))).toBe('{"n":2}');
        expect(store.document('agent', 'files', 'a')?.version).toBe(0n);
        expect(textOf(store.document('agent', 'files', 'b'))).toBe('{"n":3}');
        expect(store.committed('agent', 'fim')?.rejected).toBe(0);
      });

      test('Upserts of a lower version are counted with what was rejected', async () => {
        const text = '{}';
        await apply([upsert('a', text, 'files', 7n), upsert('b', text, 'files', 7n)]);
        const changes = [6n, 0n, 3n, 2n, 3n].map((version) => upsert('a', text, 'files', version));
        await store.commit(store.begin(plain), [...changes, upsert('b', text, 'files', 7n)], () => 10);
        expect(store.committed('agent', 'fim')?.rejected).toBe(12);
      });

      test('what changes nothing is no change, and lets the event loop run too', async () => {
        let turns = 0;
        let done = false;
        const count = (): void => {
          ++turns;
          if (!done) setImmediate(count);
        };
        setImmediate(count);
        const busy = (ms: number): undefined => {
          for (const end = performance.now() + ms; performance.now() < end; );
        };
        function* changes(): Generator<Change | undefined> {
          yield upsert('a');
          const before = turns;
          for (let n = 0; n < 200; ++n) yield busy(1);
          // Not those in which the store waits for the disk.
          turns -= before;
          done = true;
          yield upsert('b');
        }
        let applied = 0;
        await store.commit(
          store.begin(plain),
          changes(),
          () => 0,
          (now) => {
            applied = now;
          },
        );
        expect(turns).toBeGreaterThan(15);
        expect(applied).toBeLessThanOrEqual(2);
        expect(namesOf(store.documents('agent'))).toEqual(['files/a', 'files/b']);
      });

      test('Clean and changes may alternate', async () => {
        const cleanFiles: Change = { operation: 'Clean', index: 'files' };
        await apply([upsert('a'), upsert('x', '{}', 'keys')]);
        await apply([cleanFiles, cleanFiles, upsert('b'), cleanFiles, upsert('c'), remove('c'), cleanFiles]);
        expect(namesOf(store.documents('agent'))).toEqual(['keys/x']);
        await apply([cleanFiles, remove('a'), cleanFiles, upsert('d'), upsert('c'), upsert('d', '{"n":1}')]);
        expect(namesOf(store.documents('agent'))).toEqual(['files/c', 'files/d', 'keys/x']);
        const texts = ['{"id":"c"}', '{"n":1}'];
        const sums = checksumOf(texts.map((text) => documentSha1(bytes(text))));
        expect(await store.checksum('agent', 'files')).toBe(sums);
      });

      test('when the changes fail the session stays, and can be applied again from its first change', async () => {
        const session = store.begin(plain);
        store.stage(session, bytes('message'));
        const failure = new Error('the changes failed');
        function* changes(): Generator<Change> {
          yield upsert('a');
          throw failure;
        }
        await expect(store.commit(session, changes(), () => 0)).rejects.toBe(failure);
        expect(store.committed('agent', 'fim')).toBeUndefined();
        store = await reopen(store);
        expect(store.sessions()).toMatchObject([{ key: session.key }]);
        expect(store.stagedCount(session)).toBe(1);
        const [again] = store.sessions();
        if (again === undefined) throw new Error('unreachable');
        await store.commit(again, [upsert('a'), upsert('b')], () => 0);
        expect(namesOf(store.documents('agent'))).toEqual(['files/a', 'files/b']);
        expect(store.sessions()).toEqual([]);
      });

      test('a long commit lets the event loop run', async () => {
        let turns = 0;
        let done = false;
        const count = (): void => {
          ++turns;
          if (!done) setImmediate(count);
        };
        setImmediate(count);
        function* changes(): Generator<Change> {
          for (let n = 0; n < 20_000; ++n) yield upsert(`${n}`, '{}');
        }
        let applied = 0;
        await store.commit(
          store.begin({ ...plain, size: 20_000 }),
          changes(),
          () => 0,
          (now) => {
            expect(now).toBeGreaterThanOrEqual(applied);
            applied = now;
          },
        );
        done = true;
        expect(turns).toBeGreaterThan(3);
        expect(applied).toBeGreaterThan(0);
        expect(applied).toBeLessThanOrEqual(20_000);
      });

      test('commits of several sessions at once do not mix', async () => {
        const sessions = Array.from({ length: 20 }, (_, n) => store.begin({ ...plain, agent: `agent-${n}` }));
        await Promise.all(
          sessions.map((session, n) =>
            store.commit(
              session,
              Array.from({ length: 50 }, (_, each) => upsert(`${each}`, `{"n":${n}}`)),
              () => n,
            ),
          ),
        );
        for (const [n, { agent }] of sessions.entries()) {
          const documents = [...store.documents(agent)];
          expect(documents).toHaveLength(50);
          expect(textOf(documents[0])).toBe(`{"n":${n}}`);
          expect(store.committed(agent, 'fim')?.rejected).toBe(n);
        }
      });
    });

    describe('what an agent may keep', () => {
      const share = 15_000;
      /** A tenth of the share. */
      const tenth = (id: string, letter = 'x', index = 'files'): Change =>
        upsert(id, letter.repeat(1000 - 80 - 2 * id.length), index);
      const tenths = (count: number, first = 0): Change[] =>
        Array.from({ length: count }, (_, n) => tenth(`${first + n}`));
      const quota = expect.objectContaining({ code: 'ERR_HAWSER_STORE_QUOTA' });
      beforeEach(async () => {
        await store.close();
        await cleanUp?.();
        store = await open(share);
      });

      test('is told: documents, and what they count for', async () => {
        expect(store.usageOf('agent')).toEqual({ count: 0, bytes: 0, maxBytes: share });
        await apply([upsert('é', '12345'), upsert('b', 'x'.repeat(1983), 'keys')]);
        const counted = Math.ceil(1.5 * 5) + 3 * 2 + 120 + Math.ceil(1.5 * 1983) + 3 + 120;
        expect(store.usageOf('agent')).toEqual({ count: 2, bytes: counted, maxBytes: share });
        await apply([upsert('b', 'x'.repeat(1984), 'keys'), remove('é')]);
        store = await reopen(store);
        expect(store.usageOf('agent')).toEqual({ count: 1, bytes: 4096 + 3 + 120, maxBytes: share });
        await apply([upsert('b', 'x'.repeat(4097), 'keys')], { mode: 'FULL', indices: ['keys'] });
        expect(store.usageOf('agent').bytes).toBe(8192 + 3 + 120);
        await apply([{ operation: 'Clean', index: 'keys' }]);
        expect(store.usageOf('agent')).toEqual({ count: 0, bytes: 0, maxBytes: share });
      });

      test('is bounded for all sessions that are applied at once, together', async () => {
        // Before the first of them has brought anything, all have begun.
        const nothing = Array.from({ length: 2000 }, () => remove('x'));
        const changes = (module: string): Change[] =>
          nothing.concat(Array.from({ length: 200 }, (_, n) => upsert(`${module} ${n}`, '{}')));
        const ends = ['a', 'b', 'c'].map((module) =>
          refusal(() => store.commit(store.begin({ ...plain, module }), changes(module), () => 0)),
        );
        expect(await Promise.all(ends)).toEqual(Array.from({ length: 3 }, () => 'ERR_HAWSER_STORE_QUOTA'));
        const { bytes: kept, maxBytes } = store.usageOf('agent');
        expect(kept).toBeLessThanOrEqual(maxBytes);
        expect(kept).toBeGreaterThan(maxBytes - 200);
      });

      test('is bounded: what exceeds it ends the session, whose deletions and first documents are applied', async () => {
        await apply(tenths(9));
        const session = store.begin({ ...plain, nonce: 7n });
        store.stage(session, bytes('message'));
        const changes = [tenth('a'), tenth('b'), tenth('0', 'y'), remove('1'), tenth('c'), tenth('d')];
        await expect(store.commit(session, changes, () => 0)).rejects.toEqual(quota);
        const check = (): void => {
          expect(namesOf(store.documents('agent')).join()).toMatch(/^(files\/[0a2-8],?)*files\/c$/);
          expect(textOf(store.document('agent', 'files', '0'))?.[0]).toBe('y');
          expect(store.usageOf('agent')).toEqual({ count: 10, bytes: share, maxBytes: share });
          expect(store.committed('agent', 'fim')?.nonce).toBe(plain.nonce);
          expect(store.sessions()).toEqual([]);
          expect(store.stagedCount(session)).toBe(0);
        };
        check();
        store = await reopen(store);
        check();
        await store.drop(session);
        await apply(tenths(10), { agent: 'other' });
        await apply([remove('a'), tenth('e')]);
        expect(store.document('agent', 'files', 'e')).toBeDefined();
      });

      test('is bounded in sessions of any length', async () => {
        const small = Array.from({ length: 5000 }, (_, n) => upsert(`${n % 200}/${n}`, '{}'));
        const session = store.begin(plain);
        await expect(store.commit(session, [...small, remove('0/0')], () => 0)).rejects.toEqual(quota);
        const { count, bytes: used } = store.usageOf('agent');
        expect(count).toBe([...store.documents('agent')].length);
        expect(used).toBeLessThanOrEqual(share);
        expect(used).toBeGreaterThan(share - 400);
        expect(store.document('agent', 'files', '0/0')).toBeUndefined();
        await apply([{ operation: 'Clean', index: 'files' }, ...tenths(10)]);
      });

      test('is not exceeded by what is gone when the session ends', async () => {
        const cleanFiles: Change = { operation: 'Clean', index: 'files' };
        await apply([...tenths(15), cleanFiles, ...tenths(10)]);
        expect(store.usageOf('agent').bytes).toBe(share);
      });

      test('counts for a FULL without what that replaces, and one that exceeds it replaces nothing', async () => {
        await apply([...tenths(5), tenth('k', 'k', 'keys')]);
        const before = namesOf(store.documents('agent'));
        const full = { ...plain, mode: 'FULL', indices: ['files', 'ports'] } as const;
        const ports = tenth('p', 'p', 'ports');
        for (const changes of [[...tenths(9, 100), ports], [ports, ...tenths(9, 100)], tenths(5000, 100)]) {
          await expect(store.commit(store.begin(full), changes, () => 0)).rejects.toEqual(quota);
          expect(namesOf(store.documents('agent'))).toEqual(before);
          expect(store.usageOf('agent').bytes).toBe(0.6 * share);
        }
        // What is not replaced has room beside what is there.
        const keys = Array.from({ length: 9 }, (_, n) => tenth(`m${n}`, 'm', 'keys')).concat(tenths(1, 100));
        await expect(store.commit(store.begin(full), keys, () => 0)).rejects.toEqual(quota);
        expect(store.usageOf('agent').bytes).toBeLessThanOrEqual(share);
        expect(namesOf(store.documents('agent', 'files'))).toEqual(before.slice(0, 5));
        await apply([{ operation: 'Clean', index: 'keys' }, tenth('k', 'k', 'keys')]);
        await apply([...tenths(8, 100), ports], full);
        expect(store.usageOf('agent')).toMatchObject({ count: 10, bytes: share });
      });

      test('is 1,024 indices: items of more are counted as rejected', async () => {
        await store.close();
        await cleanUp?.();
        store = await open();
        const of = (first: number, count: number): Change[] =>
          Array.from({ length: count }, (_, n) => upsert('a', '{}', `index ${first + n}`));
        await apply(of(0, 1000));
        await apply([...of(0, 1), ...of(1000, 30), ...of(1029, 1)]);
        expect(store.committed('agent', 'fim')?.rejected).toBe(7);
        expect(store.usageOf('agent').count).toBe(1024);
        const cleanFirst: Change = { operation: 'Clean', index: 'index 0' };
        await apply([cleanFirst, ...of(1024, 2)], { agent: 'agent' });
        expect(store.committed('agent', 'fim')?.rejected).toBe(1);
        expect(store.document('agent', 'index 1024', 'a')).toBeDefined();
      });
    });

    describe('a store that is nearly full', () => {
      const maxBytes = 2 ** 20;
      const full = expect.objectContaining({ code: 'ERR_HAWSER_STORE_FULL' });
      const thousand = (id: string): Change => upsert(id, 'x'.repeat(1000));
      beforeEach(async () => {
        await store.close();
        await cleanUp?.();
        store = await open(maxBytes, maxBytes);
        const changes = Array.from({ length: 2000 }, (_, n) => thousand(`${n}`));
        const session = store.begin(plain);
        await expect(store.commit(session, changes, () => 0)).rejects.toEqual(full);
        await store.drop(session);
        // To the last document that has room.
        for (let n = 2000; ; ++n) {
          const one = store.begin(plain);
          const isRefused = await store.commit(one, [thousand(`${n}`)], () => 0).catch(() => true);
          if (isRefused !== true) continue;
          await store.drop(one);
          return;
        }
      });

      test('has kept room for sessions that delete', async () => {
        expect(store.usage.bytes).toBeLessThan(maxBytes * 0.96);
        expect(store.usage.bytes).toBeGreaterThan(maxBytes * 0.93);
        const before = store.usageOf('agent').count;
        expect(before).toBeGreaterThan(400);
        const session = store.begin({ ...plain, agent: 'other' });
        for (let n = 0; n < 4; ++n) store.stage(session, bytes('m'.repeat(6000)));
        await store.staged(session);
        await store.drop(session);
        await apply([remove('0'), remove('1')]);
        expect(store.usageOf('agent').count).toBe(before - 2);
        await apply([{ operation: 'Clean', index: 'files' }]);
        expect(store.usageOf('agent').count).toBe(0);
      });

      test('that other sessions have filled applies one that deletes', async () => {
        const deletes = store.begin({ ...plain, nonce: 7n });
        await store.staged(deletes);
        const other = store.begin({ ...plain, agent: 'other' });
        for (const length of [10_000, 1000, 100]) {
          for (let isFull = false; !isFull; ) {
            store.stage(other, bytes('m'.repeat(length)));
            isFull = await store.staged(other).then(
              () => false,
              () => true,
            );
          }
        }
        await store.commit(deletes, [remove('0'), { operation: 'Clean', index: 'files' }], () => 0);
        expect(store.usageOf('agent').count).toBe(0);
        expect(store.committed('agent', 'fim')?.nonce).toBe(7n);
      });

      test('applies the deletions of a session whose documents have no room, and all of it when there is some', async () => {
        const session = store.begin({ ...plain, nonce: 7n });
        const changes = [thousand('new 0'), remove('0'), thousand('new 1')].concat(
          Array.from({ length: 50 }, (_, n) => thousand(`new ${2 + n}`)),
        );
        await expect(store.commit(session, changes, () => 0)).rejects.toEqual(full);
        expect(store.document('agent', 'files', '0')).toBeUndefined();
        store = await reopen(store);
        expect(store.sessions()).toMatchObject([{ key: session.key }]);
        expect(store.committed('agent', 'fim')?.nonce).not.toBe(7n);
        await apply(Array.from({ length: 200 }, (_, n) => remove(`${n}`)));
        await store.commit(session, changes, () => 0);
        expect(store.committed('agent', 'fim')?.nonce).toBe(7n);
        expect(store.document('agent', 'files', 'new 51')).toBeDefined();
      });
    });

    describe('an agent that is removed', () => {
      test('has nothing any more, and others have everything', async () => {
        for (const agent of ['agent', 'agent2']) {
          await apply([upsert('a'), upsert('b'), upsert('c', '{}', 'keys')], { agent });
          await apply([], { agent, module: 'sca' });
          await store.setAgent(agent, 'metadata', bytes('metadata'));
          await store.setAgent(agent, 'groups', bytes('groups'));
          store.stage(store.begin({ ...plain, agent }), bytes('message'));
        }
        expect(await store.removeAgent('agent')).toBe(3);
        const check = async (): Promise<void> => {
          expect([...store.agents()]).toEqual(['agent2']);
          expect([...store.documents('agent')]).toEqual([]);
          expect(store.usageOf('agent')).toMatchObject({ count: 0, bytes: 0 });
          expect(await store.checksum('agent', 'files')).toBeUndefined();
          expect(store.committed('agent', 'fim')).toBeUndefined();
          expect(store.agent('agent', 'metadata')).toBeUndefined();
          expect(store.agent('agent', 'groups')).toBeUndefined();
          expect(store.sessions().map(({ agent }) => agent)).toEqual(['agent2']);
          expect(namesOf(store.documents('agent2'))).toEqual(['files/a', 'files/b', 'keys/c']);
          expect(store.committed('agent2', 'sca')).toBeDefined();
          expect(Buffer.from(store.agent('agent2', 'groups') ?? []).toString()).toBe('groups');
        };
        await check();
        store = await reopen(store);
        await check();
        expect(await store.removeAgent('agent')).toBe(0);
      });

      test('can come again', async () => {
        await apply([upsert('a'), upsert('b', '{}', 'keys')]);
        await store.removeAgent('agent');
        await apply([upsert('c')]);
        store = await reopen(store);
        expect(namesOf(store.documents('agent'))).toEqual(['files/c']);
        expect([...store.agents()]).toEqual(['agent']);
      });

      test('is removed after what is being applied of it', async () => {
        const changes = Array.from({ length: 20_000 }, (_, n) => upsert(`${n}`, '{}'));
        const applied = store.commit(store.begin(plain), changes, () => 0);
        const removed = store.removeAgent('agent');
        await applied;
        expect(await removed).toBe(20_000);
        expect([...store.documents('agent')]).toEqual([]);
      });
    });

    describe('reading', () => {
      test('names that begin alike, hold NUL or are not ASCII are told apart', async () => {
        const names = [
          'a',
          'ab',
          'a\0',
          'a\0b',
          'a/b',
          'é',
          'e\u0301',
          '\u{1f6a2}',
          '\uffff',
          'x'.repeat(256),
        ];
        for (const agent of names) {
          const changes = names.flatMap((index) =>
            names.map((id) => upsert(id, JSON.stringify({ agent, index, id }), index)),
          );
          await apply(changes, { agent });
        }
        for (const agent of names) {
          expect([...store.documents(agent)]).toHaveLength(names.length ** 2);
          for (const index of names) {
            expect([...store.documents(agent, index)]).toHaveLength(names.length);
            for (const id of names) {
              expect(textOf(store.document(agent, index, id))).toBe(JSON.stringify({ agent, index, id }));
            }
          }
        }
        expect(store.document('a', 'a', 'a\0\0')).toBeUndefined();
        expect([...store.documents('a\0a')]).toEqual([]);
      });

      test('the longest names and the longest document are kept', async () => {
        const id = 'i'.repeat(1024);
        const other = `${'i'.repeat(1023)}j`;
        const index = 'ж'.repeat(128);
        const data = `{"d":"${'d'.repeat(61_000)}"}`;
        await apply([upsert(id, data, index), upsert(other, '{}', index)], { agent: 'g'.repeat(256) });
        expect(textOf(store.document('g'.repeat(256), index, id))).toBe(data);
        expect(textOf(store.document('g'.repeat(256), index, other))).toBe('{}');
        expect(store.document('g'.repeat(256), index, 'i'.repeat(1023))).toBeUndefined();
      });

      test('documents come by index and id, in the order of their bytes', async () => {
        const ids = ['b', 'a', 'Z', 'é', '\uffff', '\u{10000}', '10', '9'];
        await apply(ids.map((id) => upsert(id, '{}', 'x')).concat(upsert('z', '{}', 'w')));
        expect(namesOf(store.documents('agent'))).toEqual(
          ['w/z'].concat(['10', '9', 'Z', 'a', 'b', 'é', '\uffff', '\u{10000}'].map((id) => `x/${id}`)),
        );
      });

      test('a checksum is that of the documents of its index', async () => {
        const texts = ['{"n":1}', '{"n":2}', '{"n":3}', '{"n":1}'];
        await apply(texts.map((text, n) => upsert(`${n}`, text)).concat(upsert('x', '{}', 'files2')));
        await apply([upsert('y', '{"other":1}')], { agent: 'other' });
        const sums = (some: readonly string[]): string =>
          checksumOf(some.map((text) => documentSha1(bytes(text))));
        expect(await store.checksum('agent', 'files')).toBe(sums(texts));
        await apply([remove('0'), upsert('1', '{"n":9}')]);
        expect(await store.checksum('agent', 'files')).toBe(sums(['{"n":9}', '{"n":3}', '{"n":1}']));
        store = await reopen(store);
        expect(await store.checksum('agent', 'files')).toBe(sums(['{"n":9}', '{"n":3}', '{"n":1}']));
        expect(await store.checksum('agent', 'file')).toBeUndefined();
        await apply([{ operation: 'Clean', index: 'files' }]);
        expect(await store.checksum('agent', 'files')).toBeUndefined();
        expect(await store.checksum('nobody', 'files')).toBeUndefined();
      });

      test('what was said of an agent is replaced kind by kind, and found again', async () => {
        await store.setAgent('agent', 'metadata', bytes('one'));
        await store.setAgent('agent', 'metadata', bytes('two'));
        await store.setAgent('agent', 'groups', bytes('three'));
        store = await reopen(store);
        expect(Buffer.from(store.agent('agent', 'metadata') ?? []).toString()).toBe('two');
        expect(Buffer.from(store.agent('agent', 'groups') ?? []).toString()).toBe('three');
        expect(store.agent('other', 'groups')).toBeUndefined();
      });

      test('the agents are those of whom something is kept, in the order of the bytes of their names', async () => {
        for (const agent of ['b', '\u{10000}', 'a', '\uffff', 'a\0']) await apply([upsert('x')], { agent });
        await store.setAgent('c', 'groups', bytes('g'));
        await apply([upsert('y')], { agent: 'a', module: 'sca' });
        store = await reopen(store);
        expect([...store.agents()]).toEqual(['a', 'a\0', 'b', 'c', '\uffff', '\u{10000}']);
      });

      test('its size is told', async () => {
        await apply([upsert('a')]);
        const { bytes: used, maxBytes } = store.usage;
        expect(used).toBeGreaterThan(0);
        expect(maxBytes).toBeGreaterThanOrEqual(used);
      });
    });

    test('after close everything is refused, and closing again is harmless', async () => {
      const session = store.begin(plain);
      await store.staged(session);
      await store.close();
      await store.close();
      const calls: (() => unknown)[] = [
        () => store.begin(plain),
        () => store.stage(session, bytes('a')),
        () => store.staged(session),
        () => store.stagedMessage(session, 0),
        () => store.drop(session),
        () => store.commit(session, [], () => 0),
        () => store.committed('agent', 'fim'),
        () => store.document('agent', 'files', 'a'),
        () => [...store.documents('agent')],
        () => [...store.agents()],
        () => store.checksum('agent', 'files'),
        () => store.setAgent('agent', 'groups', bytes('a')),
        () => store.agent('agent', 'groups'),
        () => store.removeAgent('agent'),
        () => store.usageOf('agent'),
      ];
      for (const call of calls) expect(await refusal(call)).toBe('ERR_HAWSER_CLOSED');
    });
  });
}
