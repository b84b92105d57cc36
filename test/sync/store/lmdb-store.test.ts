import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { LmdbStore, openLmdb } from '../../../src/base/lmdb-store.js';
import { checksumOf, documentSha1 } from '../../../src/sync/store/checksum.js';
import { committedKey, databaseNames, databasesOf, decodeNumber } from '../../../src/sync/store/lmdb-keys.js';
import { type LmdbSyncStore, openStore, type StoreOptions } from '../../../src/sync/store/lmdb-store.js';
import type { Change, StoredSession } from '../../../src/sync/store/store.js';
import { Dice } from '../../interaction/simulated-home.js';
import { testStore } from './contract.js';
import {
  begin,
  clean,
  commit,
  deletion,
  drawnAgents,
  drawnIndices,
  drawSession,
  expectEqual,
  made,
  plain,
  StoreModel,
  upsert,
} from './model.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';

let directory: string;
let stores: LmdbSyncStore[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'hawser-sync-store-'));
  stores = [];
});

afterEach(async () => {
  vi.restoreAllMocks();
  for (const store of stores) await store.close();
  rmSync(directory, { recursive: true, force: true });
});

async function open(options: StoreOptions = {}): Promise<LmdbSyncStore> {
  const store = await openStore(join(directory, 'store'), options);
  stores.push(store);
  return store;
}

/** All that is staged of a session. */
function messageTexts(store: LmdbSyncStore, session: StoredSession): string[] {
  return Array.from({ length: store.stagedCount(session) }, (_, n) => `${store.stagedMessage(session, n)}`);
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

/** Waits until garbage is gone. */
async function collected(store: LmdbSyncStore, bytes: number): Promise<void> {
  while (store.usage.bytes > bytes) await turn();
}

/** More than go into one transaction. */
const many = 6000;
const manyUpserts = (data: string, count = many): Change[] =>
  Array.from({ length: count }, (_, n) => upsert('i', `id ${n}`, `${data} ${n}`));

/** They come as they are asked for; after some of them, something else happens. */
function* interrupted(changes: readonly Change[], after: number, happens: () => void): Iterable<Change> {
  yield* changes.slice(0, after);
  happens();
  yield* changes.slice(after);
}

const stop = (): never => {
  throw new RangeError('stopped');
};

describe('documents of a store', () => {
  it('are there after the commit, and after opening again', async () => {
    const store = await open();
    const session = made({
      changes: [upsert('i', 'b', '{"b":1}', 7n), upsert('i', 'a', '{}'), upsert('h', 'c', '')],
    });
    await commit(store, session, 5n);
    await store.close();
    const again = await open();
    const expected = [
      { index: 'h', id: 'c', version: '0', data: '' },
      { index: 'i', id: 'a', version: '0', data: '{}' },
      { index: 'i', id: 'b', version: '7', data: '{"b":1}' },
    ];
    expect(plain(again.documents('agent'))).toEqual(expected);
    expect(plain(again.documents('agent', 'i'))).toEqual(expected.slice(1));
    expect(again.document('agent', 'i', 'b')?.version).toBe(7n);
    expect(again.document('agent', 'i', 'c')).toBeUndefined();
    expect(again.committed('agent', 'module')).toMatchObject({ nonce: 5n, generation: 5n, rejected: 0 });
    expect(again.committed('agent', 'modul')).toBeUndefined();
    expect(again.committed('other', 'module')).toBeUndefined();
    expect(again.sessions()).toEqual([]);
    expect(await again.check()).toEqual([]);
  });

  it('have the checksum that an agent computes of them', async () => {
    const store = await open();
    const texts = ['one', 'two', '', 'two'];
    await commit(store, made({ changes: texts.map((text, n) => upsert('i', `${n}`, text)) }));
    expect(await store.checksum('agent', 'i')).toBe(
      checksumOf(texts.map((text) => documentSha1(Buffer.from(text)))),
    );
    expect(await store.checksum('agent', 'other')).toBeUndefined();
    expect(await store.checksum('other', 'i')).toBeUndefined();
  });

  it.each([511, 512, 513, 1024, 4095, 4096, 4097])(
    'have that checksum where there are %i of them',
    async (count) => {
      const store = await open();
      const changes = manyUpserts('data', count);
      await commit(store, made({ changes }));
      const sha1s = Array.from(store.documents('agent', 'i'), ({ data }) => documentSha1(data));
      expect(sha1s.length).toBe(count);
      expect(await store.checksum('agent', 'i')).toBe(checksumOf(sha1s));
    },
  );

  it('are read for the checksums of one agent one after the other, so that another one waits for one of them', async () => {
    const store = await open();
    const changes = manyUpserts('x', 30_000);
    for (const agent of ['greedy', 'other']) await commit(store, made({ agent, changes }));
    const order: string[] = [];
    const check = async (agent: string): Promise<void> => {
      await store.checksum(agent, 'i');
      order.push(agent);
    };
    await Promise.all([...Array.from({ length: 8 }, () => check('greedy')), check('other')]);
    expect(order.indexOf('other')).toBeLessThan(4);
  });

  it('are those of one agent, index and id, however these begin or end', async () => {
    const store = await open();
    const model = new StoreModel();
    const names = ['a', 'ab', 'a\0', 'a\0b', '\0', 'é', '\u{1F600}', 'e\u0301', '\u00ff', 'a'.repeat(256)];
    const ids = [...names, 'a'.repeat(1024), `${'a'.repeat(1023)}b`, '\u{1F600}'.repeat(256)];
    for (const agent of names) {
      const changes = names.flatMap((index) => ids.map((id) => upsert(index, id, `${agent}|${index}|${id}`)));
      const session = made({ agent, changes });
      model.apply(session);
      await commit(store, session);
    }
    const cleaned = made({
      agent: 'a',
      changes: [clean('a'), deletion('ab', 'a'), upsert('a\0', 'a', 'other')],
    });
    model.apply(cleaned);
    await commit(store, cleaned);
    await expectEqual(store, model, names, names);
    expect(await store.check()).toEqual([]);
  });

  it('cannot have an id that no key has room for', async () => {
    const store = await open();
    const session = made({ changes: [upsert('i', 'fits', ''), upsert('i', 'é'.repeat(513), '')] });
    await expect(commit(store, session)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(plain(store.documents('agent'))).toEqual([]);
  });

  it('are replaced by FULL in its indices and nowhere else, and not before all of it is there', async () => {
    const store = await open();
    await commit(store, made({ changes: [...manyUpserts('old'), upsert('h', 'x', 'h')] }));
    const before = await store.checksum('agent', 'i');
    const seen: (string | undefined)[] = [];
    const session = begin(store, made({ mode: 'FULL', indices: ['i', 'j'] }));
    await store.commit(
      session,
      manyUpserts('new', many - 1),
      () => 0,
      () => {
        seen.push(Buffer.from(store.document('agent', 'i', 'id 0')?.data ?? []).toString());
        void store.checksum('agent', 'i').then((checksum) => seen.push(checksum));
      },
    );
    expect(new Set(seen)).toEqual(new Set(['old 0', before]));
    expect(Array.from(store.documents('agent', 'i')).length).toBe(many - 1);
    expect(Array.from(store.documents('agent', 'h')).length).toBe(1);
    await commit(store, made({ mode: 'FULL', indices: ['i'] }));
    expect(plain(store.documents('agent'))).toEqual([{ index: 'h', id: 'x', version: '0', data: 'h' }]);
    expect(await store.checksum('agent', 'i')).toBeUndefined();
    expect(await store.check()).toEqual([]);
  });

  it('are all gone after Clean, but for those that come behind it', async () => {
    const store = await open();
    await commit(store, made({ changes: [upsert('i', 'old', '1'), upsert('h', 'stays', '2')] }));
    const changes = [
      upsert('i', 'before', '3'),
      clean('i'),
      upsert('i', 'between', '4'),
      clean('i'),
      upsert('i', 'x', '5'),
    ];
    await commit(store, made({ changes }));
    expect(Array.from(store.documents('agent'), ({ id }) => id)).toEqual(['stays', 'x']);
    await commit(store, made({ changes: [clean('i'), clean('unknown')] }));
    expect(Array.from(store.documents('agent'), ({ id }) => id)).toEqual(['stays']);
    expect(await store.check()).toEqual([]);
  });

  it('leave no room taken when they are replaced, also if the store is closed meanwhile', async () => {
    const store = await open();
    await commit(store, made({ changes: [upsert('h', 'x', '')] }));
    const empty = store.usage.bytes;
    await commit(store, made({ mode: 'FULL', indices: ['i'], changes: manyUpserts('x'.repeat(100)) }));
    const filled = store.usage.bytes;
    await commit(store, made({ mode: 'FULL', indices: ['i'] }));
    await store.close();
    expect(store.usage.bytes).toBeGreaterThan(empty + (filled - empty) / 2);
    const again = await open();
    await collected(again, empty);
    expect(await again.check()).toEqual([]);
  });

  it.each(Array.from({ length: deep ? 200 : 12 }, (_, seed) => seed))(
    'are those of a naive model after random sessions, of which some are interrupted (seed %i)',
    async (seed) => {
      const dice = new Dice(seed);
      const model = new StoreModel();
      let store = await open();
      const most = dice.pick([10, 100, many]);
      for (let n = 1n; n <= 12n; ++n) {
        const drawn = drawSession(dice, most);
        model.apply(drawn);
        let session = begin(store, drawn, n);
        while (dice.chance(0.3)) {
          const broken = interrupted(drawn.changes, dice.between(0, drawn.changes.length), stop);
          await expect(store.commit(session, broken, () => 0)).rejects.toThrow('stopped');
          if (dice.chance(0.5)) continue;
          await store.close();
          store = await open();
          session = store.sessions()[0] ?? session;
        }
        await store.commit(session, drawn.changes, () => 0);
        if (dice.chance(0.3)) {
          await store.close();
          store = await open();
        }
        await expectEqual(store, model, drawnAgents, drawnIndices);
      }
      expect(await store.check()).toEqual([]);
    },
  );
});

describe('a commit', () => {
  it('that was interrupted is to be begun again, and then documents and checksums are the same as without', async () => {
    let store = await open();
    const model = new StoreModel();
    const first = made({ changes: manyUpserts('old') });
    // All documents change, many of them twice; some return to what they were.
    const changes = [...manyUpserts('new'), ...manyUpserts('newer', 5000), ...manyUpserts('old', 1000)];
    const second = made({ changes });
    model.apply(first);
    model.apply(second);
    await commit(store, first, 1n);
    const session = begin(store, second, 2n);
    for (const after of [4100, 9000, changes.length]) {
      const broken = store.commit(session, interrupted(changes, after, stop), () => 0);
      await expect(broken).rejects.toThrow('stopped');
      await store.close();
      store = await open();
      expect(store.sessions().map(({ key, state }) => ({ key, state }))).toEqual([
        { key: session.key, state: 'committing' },
      ]);
      expect(store.committed('agent', 'module')?.nonce).toBe(1n);
    }
    await store.commit(session, changes, () => 3);
    await expectEqual(store, model, ['agent'], ['i']);
    expect(await store.check()).toEqual([]);
    expect(store.committed('agent', 'module')).toMatchObject({ nonce: 2n, generation: 2n, rejected: 3 });
    expect(store.sessions()).toEqual([]);
  });

  it('that makes an index is not disturbed by what is deleted meanwhile', async () => {
    const store = await open();
    const drops: Promise<void>[] = [];
    const collect = (): void => {
      drops.push(store.drop(begin(store, made({ agent: 'other' }))));
    };
    await store.commit(begin(store, made({})), manyUpserts('x', 30_000), () => 0, collect);
    await Promise.all(drops);
    expect(drops.length).toBeGreaterThan(3);
    expect(store.document('agent', 'i', 'id 0')).toBeDefined();
    expect(await store.check()).toEqual([]);
  });

  it('that is small and was interrupted has changed nothing, and the session is as before', async () => {
    let store = await open();
    const session = begin(store, made({}));
    const broken = store.commit(session, interrupted([upsert('i', 'x', '')], 1, stop), () => 0);
    await expect(broken).rejects.toThrow('stopped');
    await store.close();
    store = await open();
    expect(store.sessions()).toEqual([{ ...session, state: 'receiving' }]);
    expect(plain(store.documents('agent'))).toEqual([]);
  });

  it('gives the event loop its turns, and tells how far it is', async () => {
    const store = await open();
    let turns = 0;
    let running = true;
    const count = (): void => {
      ++turns;
      if (running) setImmediate(count);
    };
    count();
    const told: number[] = [];
    await store.commit(
      begin(store, made({})),
      manyUpserts('x', 20_000),
      () => 0,
      (applied) => told.push(applied),
    );
    running = false;
    expect(turns).toBeGreaterThan(5);
    expect(told).toEqual(told.toSorted((a, b) => a - b));
    expect(told.length).toBeGreaterThan(3);
    expect(told.at(-1)).toBe(20_000);
  });

  it('brings all checksum keys to the index, however many there are', async () => {
    const store = await open();
    const model = new StoreModel();
    // So long that they are written in two parts.
    const end = 'x'.repeat(1018);
    const changes = Array.from({ length: 34_000 }, (_, n) =>
      upsert('i', `${n}`.padStart(6, '0') + end, `${n}`),
    );
    const session = made({
      changes: [
        ...changes,
        ...changes.slice(0, 100).map((_, n) => deletion('i', `${n}`.padStart(6, '0') + end)),
      ],
    });
    model.apply(session);
    await commit(store, session);
    expect(await store.checksum('agent', 'i')).toBe(model.checksum('agent', 'i'));
    expect(await store.check()).toEqual([]);
  });

  it('counts what is of a lower version, also in many parts', async () => {
    const store = await open();
    const of = (version: bigint): Change[] =>
      Array.from({ length: many }, (_, n) => upsert('i', `id ${n}`, 'x', version));
    await commit(store, made({ changes: of(5n) }));
    await store.commit(begin(store, made({})), [...of(5n), ...of(4n), ...of(0n)], () => 1);
    expect(store.committed('agent', 'module')?.rejected).toBe(many + 1);
    expect(store.document('agent', 'i', 'id 0')?.version).toBe(0n);
  });

  it('of many Cleans makes one collection, and is done in parts', async () => {
    const store = await open();
    await commit(store, made({ changes: manyUpserts('x') }));
    await collected(store, store.usage.bytes);
    const { bytes } = store.usage;
    const told: number[] = [];
    const cleans = Array.from({ length: 20_000 }, () => clean('i'));
    await store.commit(
      begin(store, made({})),
      [...cleans, upsert('i', 'a', '')],
      () => 0,
      (applied) => {
        told.push(applied);
      },
    );
    // It was taken in parts, and left no notes behind: one collection is garbage, the old one.
    expect(told.length).toBeGreaterThan(5);
    expect(store.usage.bytes).toBeLessThan(bytes + 2 ** 17);
    expect(plain(store.documents('agent')).length).toBe(1);
    expect(await store.check()).toEqual([]);
  });

  it.each([
    [100, 'one transaction', 1],
    [1000, 'several', 3],
  ])('in %i indices is done in %s', async (count, _, transactions) => {
    const store = await open();
    const model = new StoreModel();
    const indices = Array.from({ length: count }, (_, n) => `index ${n}`);
    for (const [n, mode] of (['DELTA', 'FULL', 'DELTA'] as const).entries()) {
      const changes = indices.map((index) => (n < 2 ? upsert(index, `${n}`, '') : clean(index)));
      const session = made({ mode, indices, changes });
      model.apply(session);
      const begun = begin(store, session);
      await store.staged(begun);
      const written = vi.spyOn(LmdbStore.prototype, 'transaction');
      await store.commit(begun, changes, () => 0);
      // Later there is garbage to be deleted, too.
      if (n === 0) expect(written.mock.calls.length).toBe(transactions);
      written.mockRestore();
      await expectEqual(store, model, ['agent'], indices.slice(0, 10));
    }
    expect(await store.check()).toEqual([]);
  });

  it('asks how many items were rejected when all changes were taken', async () => {
    const store = await open();
    let rejected = 0;
    const changes = interrupted(manyUpserts('x'), many, () => {
      rejected = 7;
    });
    await store.commit(begin(store, made({})), changes, () => rejected);
    expect(store.committed('agent', 'module')?.rejected).toBe(7);
  });

  it('of an agent begins when the one before it has ended; one of another agent does not wait', async () => {
    const store = await open();
    const order: string[] = [];
    const run = (agent: string, module: string, count: number) => {
      const changes = interrupted(manyUpserts(module, count), 0, () => order.push(`${module} begins`));
      const session = begin(store, made({ agent, module }));
      return store.commit(session, changes, () => 0).then(() => order.push(`${module} ends`));
    };
    await Promise.all([run('x', 'x1', 20_000), run('x', 'x2', 1), run('y', 'y1', 1)]);
    expect(order.filter((each) => each.startsWith('x'))).toEqual([
      'x1 begins',
      'x1 ends',
      'x2 begins',
      'x2 ends',
    ]);
    expect(order.indexOf('y1 ends')).toBeLessThan(order.indexOf('x1 ends'));
    expect(Buffer.from(store.document('x', 'i', 'id 0')?.data ?? []).toString()).toBe('x2 0');
  });

  it('that is refused undoes none of those that are written with it', async () => {
    const store = await open();
    const agents = ['a', 'b', 'c', 'd', 'e', 'f'];
    const outcomes = await Promise.allSettled(
      agents.map((agent, n) => {
        const last = n % 2 === 0 ? 'fits' : 'x'.repeat(1025);
        return commit(store, made({ agent, changes: [...manyUpserts(agent, 100), upsert('i', last, '')] }));
      }),
    );
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual([
      true,
      false,
      true,
      false,
      true,
      false,
    ]);
    for (const [n, agent] of agents.entries()) {
      expect(Array.from(store.documents(agent)).length).toBe(n % 2 === 0 ? 101 : 0);
    }
    expect(await store.check()).toEqual([]);
  });

  it('is not disturbed by a drop of its session, which finds nothing afterwards', async () => {
    const store = await open();
    const session = begin(store, made({}));
    const other = begin(store, made({ module: 'other' }));
    const order: string[] = [];
    await Promise.all([
      store.commit(session, manyUpserts('x', 20_000), () => 0).then(() => order.push('applied')),
      store.drop(session).then(() => order.push('dropped')),
      store.drop(other).then(() => order.push('other dropped')),
    ]);
    expect(order).toEqual(['other dropped', 'applied', 'dropped']);
    expect(store.committed('agent', 'module')).toBeDefined();
    expect(Array.from(store.documents('agent')).length).toBe(20_000);
  });

  it('of a session that is gone is refused', async () => {
    const store = await open();
    const session = begin(store, made({}));
    await store.commit(session, [], () => 0);
    await expect(store.commit(session, [upsert('i', 'x', '')], () => 0)).rejects.toMatchObject({
      code: 'ERR_HAWSER_STORE',
    });
    expect(plain(store.documents('agent'))).toEqual([]);
  });

  it('stops when the store is closed, and goes on when it is open again', async () => {
    let store = await open();
    const changes = manyUpserts('x', 20_000);
    const session = begin(store, made({ changes }));
    let closing: Promise<void> | undefined;
    const stopping = interrupted(changes, 10_000, () => {
      closing = store.close();
    });
    await expect(store.commit(session, stopping, () => 0)).rejects.toMatchObject({
      code: 'ERR_HAWSER_CLOSED',
    });
    await closing;
    store = await open();
    expect(store.sessions()[0]?.state).toBe('committing');
    await store.commit(session, changes, () => 0);
    expect(Array.from(store.documents('agent')).length).toBe(20_000);
    expect(await store.check()).toEqual([]);
  });

  it('waits for what was staged before it, which is gone afterwards', async () => {
    const store = await open();
    await commit(store, made({ changes: [upsert('i', 'x', '')] }));
    const session = begin(store, made({}));
    for (let n = 0; n < 3000; ++n) store.stage(session, Buffer.alloc(100, n));
    await store.commit(session, [], () => 0);
    expect(store.stagedCount(session)).toBe(0);
    expect(store.stagedMessage(session, 0)).toBeUndefined();
    await collected(store, 2 ** 17);
    expect(await store.check()).toEqual([]);
  });
});

describe('sessions of a store', () => {
  const messages = (session: StoredSession, store: LmdbSyncStore): (string | undefined)[] =>
    Array.from({ length: store.stagedCount(session) + 1 }, (_, n) => {
      const message = store.stagedMessage(session, n);
      return message === undefined ? undefined : Buffer.from(message).toString();
    });

  it('are there with their messages after opening again, in the order of their keys', async () => {
    let store = await open();
    const wire = { agent: 'é', module: 'm', mode: 'FULL', size: 2 ** 32, indices: ['a', 'b\0'] } as const;
    const numbers = { session: 2n ** 64n - 2n, nonce: 2n ** 64n - 1n, generation: 3n };
    const first = store.begin({ ...wire, ...numbers });
    const second = begin(store, made({}));
    const message = Buffer.from('message 0');
    store.stage(first, message);
    message.fill(0);
    store.stage(second, Buffer.from('of the second'));
    store.stage(first, Buffer.from(''));
    expect(messages(first, store)).toEqual(['message 0', '', undefined]);
    await store.staged(first);
    expect(messages(first, store)).toEqual(['message 0', '', undefined]);
    await store.close();
    store = await open();
    expect(store.sessions()).toEqual([first, second]);
    expect(first).toEqual({ ...wire, ...numbers, key: first.key, state: 'receiving' });
    expect(messages(first, store)).toEqual(['message 0', '', undefined]);
    expect(messages(second, store)).toEqual(['of the second', undefined]);
    store.stage(first, Buffer.from('more'));
    expect(messages(first, store)).toEqual(['message 0', '', 'more', undefined]);
  });

  it('have keys that grow and are never used again', async () => {
    let store = await open();
    const keys: number[] = [];
    for (let n = 0; n < 4; ++n) {
      const session = begin(store, made({}));
      await store.staged(session);
      keys.push(session.key);
      await (n % 2 === 0 ? store.drop(session) : store.commit(session, [], () => 0));
      await store.close();
      store = await open();
      expect(store.sessions()).toEqual([]);
    }
    expect(keys).toEqual(Array.from(new Set(keys)).toSorted((a, b) => a - b));
  });

  it('take no memory for their rows before these are written, and none when they are dropped before', async () => {
    const store = await open();
    // A session with these has half a megabyte as JSON.
    const indices = Array.from({ length: 1024 }, (_, n) => '\x01'.repeat(80) + n);
    const before = process.memoryUsage().arrayBuffers;
    const sessions = Array.from({ length: 200 }, () => begin(store, made({ indices })));
    const drops = sessions.map((session) => store.drop(session));
    const kept = begin(store, made({ indices }));
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
    await Promise.all(drops);
    await store.staged(kept);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 24);
    expect(store.sessions()).toEqual([kept]);
    await store.close();
    expect((await open()).sessions()).toEqual([kept]);
  });

  it('are forgotten by drop, with what is being written of them, and dropped twice is dropped once', async () => {
    const store = await open();
    const kept = begin(store, made({}));
    await store.staged(kept);
    const empty = store.usage.bytes;
    for (const wait of [true, false]) {
      const session = begin(store, made({}));
      for (let n = 0; n < 5000; ++n) store.stage(session, Buffer.alloc(10));
      if (wait) await store.staged(session);
      await store.drop(session);
      await store.drop(session);
      expect(store.stagedCount(session)).toBe(0);
      store.stage(session, Buffer.from('late'));
      await store.staged(session);
      expect(store.stagedCount(session)).toBe(0);
      expect(store.sessions()).toEqual([kept]);
      expect(await store.check()).toEqual([]);
      await collected(store, empty);
    }
    expect(await store.check()).toEqual([]);
  });
});

describe('a store that is full', () => {
  const small = { maxBytes: 2 ** 20, maxBytesPerAgent: 2 ** 20 };
  const large = { maxBytes: 2 ** 26 };

  it('says so of staged messages, keeps those before, and takes them again when room was made', async () => {
    let store = await open(small);
    const other = begin(store, made({}));
    for (let n = 0; n < 5; ++n) store.stage(other, Buffer.alloc(60_000));
    await store.staged(other);
    const session = begin(store, made({ agent: 'b' }));
    store.stage(session, Buffer.from('kept'));
    await store.staged(session);
    for (let n = 0; n < 20; ++n) store.stage(session, Buffer.alloc(60_000, n));
    await turn();
    await expect(store.staged(session)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_FULL' });
    await store.staged(session);
    expect(store.stagedCount(session)).toBe(1);
    await store.close();
    store = await open(large);
    expect(store.stagedCount(session)).toBe(1);
    expect(Buffer.from(store.stagedMessage(session, 0) ?? []).toString()).toBe('kept');
    await store.drop(other);
    store.stage(session, Buffer.from('again'));
    await store.staged(session);
    expect(store.stagedCount(session)).toBe(2);
  });

  it('takes nothing behind a message that it refused until that was told', async () => {
    const store = await open(small);
    const session = begin(store, made({}));
    for (let n = 0; n < 20; ++n) store.stage(session, Buffer.alloc(60_000, n));
    while (store.unwrittenBytes > 0) await turn();
    store.stage(session, Buffer.from('behind'));
    expect(store.stagedCount(session)).toBe(0);
    await expect(store.staged(session)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_FULL' });
    for (let n = 0; n < 5; ++n) store.stage(session, Buffer.alloc(60_000, n));
    await store.staged(session);
    expect(messageTexts(store, session)).toEqual([0, 1, 2, 3, 4].map((n) => `${Buffer.alloc(60_000, n)}`));
    expect(await store.check()).toEqual([]);
  });

  it('takes sessions all the same, by which agents may delete', async () => {
    const store = await open(small);
    const session = begin(store, made({}));
    for (let n = 0; n < 300; ++n) {
      store.stage(session, Buffer.alloc(4000));
      await store.staged(session).catch(() => undefined);
    }
    expect(store.usage.bytes).toBeGreaterThan(2 ** 20 - 2 ** 13);
    const indices = Array.from({ length: 100 }, (_, n) => `${n}`.repeat(100));
    const more = Array.from({ length: 10 }, (_, n) => begin(store, made({ agent: `${n}`, indices })));
    for (const each of more) await store.staged(each);
    await store.close();
    expect((await open(small)).sessions().length).toBe(11);
  });

  it('refuses the session that brings most, and takes the others', async () => {
    const store = await open(small);
    const sessions = [10, 40, 1].map((count, n) => {
      const session = begin(store, made({ agent: `${n}` }));
      for (let each = 0; each < count; ++each) store.stage(session, Buffer.alloc(30_000, each));
      return session;
    });
    const late = begin(store, made({ agent: 'late' }));
    store.stage(late, Buffer.from('late'));
    const outcomes = await Promise.allSettled(sessions.map((session) => store.staged(session)));
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    await store.staged(late);
    expect([...sessions, late].map((session) => store.stagedCount(session))).toEqual([10, 0, 1, 1]);
    await store.close();
    const again = await open(small);
    expect(again.sessions().map((session) => again.stagedCount(session))).toEqual([10, 0, 1, 1]);
    expect(await again.check()).toEqual([]);
  });

  it('loses nothing of a commit that has no room, which succeeds when the store is opened with more', async () => {
    let store = await open(small);
    await commit(store, made({ changes: manyUpserts('old', 100) }), 1n);
    const changes = manyUpserts('x'.repeat(200), 20_000);
    const session = begin(store, made({}), 2n);
    for (let n = 0; n < 2; ++n) {
      await expect(store.commit(session, changes, () => 0)).rejects.toMatchObject({
        code: 'ERR_HAWSER_STORE_FULL',
      });
    }
    expect(store.committed('agent', 'module')?.nonce).toBe(1n);
    await store.close();
    store = await open(large);
    expect(store.sessions().length).toBe(1);
    await store.commit(session, changes, () => 0);
    expect(Array.from(store.documents('agent')).length).toBe(20_000);
    expect(store.committed('agent', 'module')?.nonce).toBe(2n);
    expect(await store.check()).toEqual([]);
  });
});

/** Opens the databases of a store that is closed. */
async function openRaw(): Promise<LmdbStore> {
  const format = { name: 'hawser-sync-store', version: 1 };
  return openLmdb(join(directory, 'store'), { maxBytes: 2 ** 30, databases: databaseNames, format });
}

describe('what an agent may keep', () => {
  it('is the last session of 1,024 modules: one of another is refused', async () => {
    let store = await open();
    await commit(store, made({ module: 'first' }));
    await store.close();
    const raw = await openRaw();
    const { committed } = databasesOf(raw);
    await raw.transaction(() => {
      const [{ key, value } = { key: Buffer.alloc(0), value: Buffer.alloc(0) }] = committed.getRange({});
      for (let n = 1; n < 1023; ++n) {
        committed.putSync(committedKey(decodeNumber(key), `${n}`), value);
      }
    });
    await raw.close();
    store = await open();
    await commit(store, made({ module: 'last' }));
    const session = begin(store, made({ module: 'one more' }));
    store.stage(session, Buffer.from('message'));
    const refused = store.commit(session, [upsert('i', 'x', '')], () => 0);
    await expect(refused).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_QUOTA' });
    expect(store.committed('agent', 'one more')).toBeUndefined();
    expect(store.sessions()).toEqual([]);
    expect(plain(store.documents('agent'))).toEqual([]);
    await commit(store, made({ module: 'last', changes: [upsert('i', 'x', '')] }));
    await commit(store, made({ agent: 'other', module: 'one more' }));
    expect(await store.check()).toEqual([]);
  });

  it('stays exact through commits that are interrupted, and what they leave is no garbage for ever', async () => {
    let store = await open({ maxBytesPerAgent: 2 ** 20 });
    await commit(store, made({ changes: manyUpserts('old', 3000) }));
    const { bytes } = store.usageOf('agent');
    const changes = manyUpserts('x'.repeat(300));
    const session = begin(store, made({}), 2n);
    for (const after of [4100, many]) {
      const broken = store.commit(session, interrupted(changes, after, stop), () => 0);
      await expect(broken).rejects.toThrow('stopped');
      expect(store.usageOf('agent').bytes).toBeGreaterThan(bytes);
      await store.close();
      store = await open({ maxBytesPerAgent: 2 ** 20 });
    }
    const [again = session] = store.sessions();
    await expect(store.commit(again, changes, () => 0)).rejects.toMatchObject({
      code: 'ERR_HAWSER_STORE_QUOTA',
    });
    expect(store.usageOf('agent').bytes).toBeLessThanOrEqual(2 ** 20);
    expect(store.usageOf('agent').bytes).toBeGreaterThan(2 ** 20 - 1000);
    expect(store.committed('agent', 'module')?.nonce).toBe(1n);
    expect(store.sessions()).toEqual([]);
    expect(await store.check()).toEqual([]);
    const full = begin(store, made({ mode: 'FULL', indices: ['i'] }), 3n);
    await expect(store.commit(full, changes, () => 0)).rejects.toMatchObject({
      code: 'ERR_HAWSER_STORE_QUOTA',
    });
    const before = store.usage.bytes;
    await store.removeAgent('agent');
    await collected(store, before / 10);
    expect(await store.check()).toEqual([]);
  });

  it.each(Array.from({ length: deep ? 200 : 12 }, (_, seed) => seed))(
    'is not exceeded by random sessions, of which some are interrupted or dropped (seed %i)',
    async (seed) => {
      const dice = new Dice(seed);
      const maxBytesPerAgent = dice.pick([3000, 100_000, 1_000_000]);
      let store = await open({ maxBytesPerAgent });
      const most = dice.pick([10, 100, many]);
      let refused = 0;
      for (let n = 1n; n <= 12n; ++n) {
        const drawn = drawSession(dice, most);
        const { agent, module } = drawn;
        const before = store.committed(agent, module);
        let session = begin(store, drawn, n);
        while (dice.chance(0.3)) {
          const broken = interrupted(drawn.changes, dice.between(0, drawn.changes.length), stop);
          await expect(store.commit(session, broken, () => 0)).rejects.toThrow('stopped');
          if (dice.chance(0.5)) continue;
          await store.close();
          store = await open({ maxBytesPerAgent });
          session = store.sessions()[0] ?? session;
        }
        if (dice.chance(0.2)) {
          await store.drop(session);
        } else {
          const end = await store.commit(session, drawn.changes, () => 0).catch((error: unknown) => error);
          if (end === undefined) expect(store.committed(agent, module)?.nonce).toBe(n);
          else {
            ++refused;
            expect(end).toMatchObject({ code: 'ERR_HAWSER_STORE_QUOTA' });
            expect(store.committed(agent, module)).toEqual(before);
          }
        }
        expect(store.sessions()).toEqual([]);
        expect(store.usageOf(agent).bytes).toBeLessThanOrEqual(maxBytesPerAgent);
        expect(await store.check()).toEqual([]);
      }
      if (most === many && maxBytesPerAgent < 1_000_000) expect(refused).toBeGreaterThan(0);
    },
  );

  it('checks its option', async () => {
    const given = { maxBytes: 2 ** 20, maxBytesPerAgent: 2 ** 20 + 1 };
    await expect(open(given)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    expect((await open({ maxBytes: 2 ** 20 })).usageOf('agent').maxBytes).toBe(2 ** 18);
  });
});

describe('a session that is dropped', () => {
  it.each(['staged', 'interrupted'])(
    'and cannot be deleted is deleted with what is written next, and not there again (%s)',
    async (how) => {
      const store = await open();
      await commit(store, made({ changes: manyUpserts('old') }), 1n);
      const session = begin(store, made({}), 2n);
      store.stage(session, Buffer.from('message'));
      await store.staged(session);
      if (how === 'interrupted') {
        const broken = store.commit(session, interrupted(manyUpserts('new'), many, stop), () => 0);
        await expect(broken).rejects.toThrow('stopped');
      }
      const failure = new HawserError('ERR_HAWSER_DISK_FULL', 'no room');
      const transaction = vi.spyOn(LmdbStore.prototype, 'transaction').mockRejectedValue(failure);
      for (let n = 0; n < 2; ++n) await expect(store.drop(session)).rejects.toBe(failure);
      await expect(store.setAgent('agent', 'groups', Buffer.alloc(1))).rejects.toBe(failure);
      transaction.mockRestore();
      expect(store.sessions()).toEqual([]);
      const next = begin(store, made({ module: 'next' }), 3n);
      await store.staged(next);
      await commit(store, made({ module: 'other' }), 4n);
      await store.close();
      const again = await open();
      expect(again.sessions()).toEqual([next]);
      expect(await again.check()).toEqual([]);
      expect(again.committed('agent', 'module')?.nonce).toBe(1n);
    },
  );

  it('after its commit was interrupted leaves documents and checksums that agree', async () => {
    const store = await open();
    await commit(store, made({ changes: manyUpserts('old') }), 1n);
    for (const after of [4100, many]) {
      const session = begin(store, made({}), 2n);
      const broken = store.commit(session, interrupted(manyUpserts(`new ${after}`), after, stop), () => 0);
      await expect(broken).rejects.toThrow('stopped');
      expect((await store.check()).length).toBeGreaterThan(0);
      await Promise.all([store.drop(session), store.drop(session)]);
      expect(store.sessions()).toEqual([]);
      expect(await store.check()).toEqual([]);
      expect(store.committed('agent', 'module')?.nonce).toBe(1n);
    }
  });
});

describe('checking a store', () => {
  it('tells what does not agree', async () => {
    const store = await open();
    await commit(store, made({ changes: ['1', '2', '3'].map((id) => upsert('i', id, id)) }));
    const session = begin(store, made({}));
    for (let n = 0; n < 3; ++n) store.stage(session, Buffer.from('x'));
    await store.close();

    const raw = await openRaw();
    const { documents, checksums, staging } = databasesOf(raw);
    await raw.transaction(() => {
      const [first, second] = Array.from(documents.getKeys({}));
      const [, key] = Array.from(staging.getKeys({}));
      if (first === undefined || second === undefined || key === undefined)
        throw new Error('nothing is there');
      documents.putSync(
        first,
        Buffer.concat([documents.get(first)?.subarray(0, 28) ?? first, Buffer.from('9')]),
      );
      documents.removeSync(second);
      const [sha1] = Array.from(checksums.getKeys({}));
      if (sha1 !== undefined) checksums.removeSync(sha1);
      staging.removeSync(key);
      for (const database of [documents, checksums, staging])
        database.putSync(Buffer.alloc(11, 1), Buffer.from(''));
    });
    await raw.close();

    const problems = await (await open()).check();
    for (const pattern of [
      /index "i" of agent \d+: the SHA-1 of document "1" is another/,
      /index "i" of agent \d+: 2 checksum keys of 2 documents|document "\d" has no checksum key/,
      /index "i" of agent \d+: 3 documents of \d+ bytes were counted, there are 2 of \d+/,
      /documents of number \d+, which no index has/,
      /checksums of number \d+, which no index has/,
      /messages of number \d+, which no session has/,
      /session \d+ lacks its message 1/,
    ]) {
      expect(problems.filter((problem) => pattern.test(problem)).length).toBeGreaterThanOrEqual(1);
    }
  });
});

describe('opening a store', () => {
  it('refuses wrong options, a store that is open, and nothing works once it is closed', async () => {
    await expect(open({ maxBytes: 1000 })).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    const misspelt: object = { maxbytes: 2 ** 20 };
    await expect(open(misspelt)).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    await expect(openStore('')).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
    const store = await open();
    await expect(open()).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE_LOCKED' });
    await store.close();
    for (const call of [() => store.sessions(), () => store.check()]) {
      await expect((async () => call())()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    }
    await open();
  });

  it('finds the SHA-1 that documents carry, where it is told how', async () => {
    const sha1 = 'AB'.repeat(20);
    const store = await open({
      sha1Of: (document) => /[\dA-F]{40}/.exec(Buffer.from(document).toString())?.[0],
    });
    await commit(
      store,
      made({ changes: [upsert('i', 'x', `carries ${sha1}`), upsert('i', 'y', 'carries none')] }),
    );
    const expected = checksumOf([sha1.toLowerCase(), documentSha1(Buffer.from('carries none'))]);
    expect(await store.checksum('agent', 'i')).toBe(expected);
    // What it carries may be the same of documents that are not.
    await commit(store, made({ changes: [upsert('i', 'x', `still carries ${sha1}`)] }));
    expect(Buffer.from(store.document('agent', 'i', 'x')?.data ?? []).toString()).toBe(
      `still carries ${sha1}`,
    );
    expect(await store.checksum('agent', 'i')).toBe(expected);
    expect(await store.check()).toEqual([]);
  });
});

const folders: string[] = [];
let options: StoreOptions = {};

testStore('an LMDB store', {
  open: async (maxBytesPerAgent = 2 ** 30, maxBytes = 2 ** 32) => {
    const folder = mkdtempSync(join(tmpdir(), 'hawser-sync-store-'));
    folders.push(folder);
    options = { maxBytesPerAgent, maxBytes };
    return openStore(folder, options);
  },
  reopen: async (store) => {
    await store.close();
    return openStore(folders.at(-1) ?? '', options);
  },
  cleanUp: async () => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
  },
});
