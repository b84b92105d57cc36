import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import type { LongDocument, Source, SourceDocument } from '../../src/cli/push-source.js';
import { type Comparison, PushState, type Target } from '../../src/cli/push-state.js';
import { temporaryFolder } from './support.js';

const folder = temporaryFolder();
let states = 0;

function directory(): string {
  return join(folder, `${++states}`);
}

function source(documents: readonly (readonly [id: string, data: string])[]): Source {
  return {
    path: '/source',
    name: 'source',
    async *documents(): AsyncGenerator<SourceDocument | LongDocument> {
      for (const [id, data] of documents) {
        if (data.length > 61_440) yield { id, data: undefined, bytes: data.length, where: id };
        else yield { id, data: Buffer.from(data), where: id };
      }
    },
  };
}

/** What was named as too long. */
interface Compared {
  readonly found: Comparison | undefined;
  readonly tooLong: readonly string[];
}

async function compare(
  state: PushState,
  documents: readonly (readonly [id: string, data: string])[],
  signal: AbortSignal = new AbortController().signal,
  index = 'files',
  empty: (known: number) => void = () => undefined,
): Promise<Compared> {
  const tooLong: string[] = [];
  const found = await state.compare(source(documents), index, signal, {
    read: () => undefined,
    found: () => undefined,
    tooLong: ({ id }) => tooLong.push(id),
    empty,
  });
  return { found, tooLong };
}

/** What waits: operation, id and data of each. */
function waiting({ queue }: PushState): string[] {
  return queue
    .fetchPendingItems()
    .map(({ difference: { operation, id, data } }) => `${operation} ${id} ${Buffer.from(data)}`);
}

async function sent(state: PushState): Promise<void> {
  const snapshot = await state.queue.fetchAndMarkForSync();
  if (snapshot === undefined) return;
  await state.queue.markSent(snapshot);
  await state.queue.clearSyncedItems(snapshot);
}

test('what is new, different or gone is queued, once, also across runs', async () => {
  const path = directory();
  {
    await using state = await PushState.open(path);
    expect(
      (
        await compare(state, [
          ['a', '1'],
          ['b', '2'],
          ['c', '3'],
        ])
      ).found,
    ).toEqual({
      documents: 3,
      created: 3,
      modified: 0,
      deleted: 0,
      tooLong: 0,
    });
    expect(waiting(state)).toEqual(['CREATE a 1', 'CREATE b 2', 'CREATE c 3']);
    await sent(state);
  }
  await using state = await PushState.open(path);
  expect(
    (
      await compare(state, [
        ['a', '1'],
        ['b', '22'],
        ['d', '4'],
      ])
    ).found,
  ).toMatchObject({
    documents: 3,
    created: 1,
    modified: 1,
    deleted: 1,
  });
  expect(waiting(state)).toEqual(['MODIFY b 22', 'CREATE d 4', 'DELETE c ']);
  await sent(state);
  expect(
    (
      await compare(state, [
        ['a', '1'],
        ['b', '22'],
        ['d', '4'],
      ])
    ).found,
  ).toMatchObject({
    created: 0,
    modified: 0,
    deleted: 0,
  });
  expect(waiting(state)).toEqual([]);
});

test('of several documents with one id the last counts, whatever was known', async () => {
  await using state = await PushState.open(directory());
  await compare(state, [['a', '2']]);
  await sent(state);
  await compare(state, [
    ['a', '1'],
    ['a', '2'],
  ]);
  await sent(state);
  const { found } = await compare(state, [['a', '2']]);
  expect(found).toMatchObject({ documents: 1, modified: 0 });
  await compare(state, [
    ['b', '1'],
    ['b', '2'],
    ['a', '2'],
  ]);
  expect(waiting(state)).toEqual(['MODIFY b 2']);
});

test('a document that is too long is named; what was told of it stays', async () => {
  await using state = await PushState.open(directory());
  await compare(state, [
    ['a', '1'],
    ['b', 'x'.repeat(61_440)],
  ]);
  await sent(state);
  const { found, tooLong } = await compare(state, [
    ['a', 'x'.repeat(61_441)],
    ['b', 'x'.repeat(61_440)],
  ]);
  expect(tooLong).toEqual(['a']);
  expect(found).toMatchObject({ documents: 2, tooLong: 1, modified: 0, deleted: 0 });
  expect(waiting(state)).toEqual([]);
});

test('a source without any document is told of before anything changes, and how many were known', async () => {
  await using state = await PushState.open(directory());
  const heard: number[] = [];
  const refuse = (known: number): never => {
    heard.push(known);
    throw new Error('refused');
  };
  await expect(compare(state, [], undefined, 'files', refuse)).rejects.toThrow('refused');
  await compare(state, [
    ['a', '1'],
    ['b', 'x'.repeat(61_441)],
  ]);
  await sent(state);
  await expect(compare(state, [], undefined, 'files', refuse)).rejects.toThrow('refused');
  expect(waiting(state)).toEqual([]);
  // What is too long is there nevertheless.
  await compare(state, [['b', 'x'.repeat(61_441)]], undefined, 'files', refuse);
  expect(heard).toEqual([0, 1]);
  expect(waiting(state)).toEqual(['DELETE a ']);
});

test('indices are compared each with its own', async () => {
  await using state = await PushState.open(directory());
  await compare(state, [['a', '1']]);
  const { found } = await compare(state, [['b', '1']], undefined, 'file');
  expect(found).toMatchObject({ created: 1, deleted: 0 });
  expect(waiting(state)).toEqual(['CREATE a 1', 'CREATE b 1']);
});

test('more than one batch is kept, and a comparison that was stopped goes on with the next', async () => {
  await using state = await PushState.open(directory());
  const documents = Array.from({ length: 12_000 }, (_, n) => [`${n}`, `${n}`] as const);
  const stop = new AbortController();
  const stopped = state.compare(source(documents), 'files', stop.signal, {
    read: (read) => read === 7000 && stop.abort(),
    found: () => undefined,
    tooLong: () => undefined,
    empty: () => undefined,
  });
  expect(await stopped).toBeUndefined();
  expect(state.queue.counts.pending).toBe(5000);
  expect((await compare(state, documents)).found).toMatchObject({ documents: 12_000, created: 7000 });
  expect(state.queue.counts.pending).toBe(12_000);
  expect((await compare(state, [])).found).toMatchObject({ deleted: 12_000 });
  expect(state.queue.counts.pending).toBe(0);
});

test.each<[what: string, before: string, next: string, expected: string[]]>([
  ['created, and gone since', '', '', ['DELETE a ']],
  ['modified, and as before since', '{"n":1}', '{"n":1}', ['MODIFY a {"n":1}']],
  ['gone, and there again since', '{"n":1}', '{"n":1}', ['MODIFY a {"n":1}']],
])(
  'what was %s a run that was cut off while it queued that is told as it is now',
  async (what, before, next, expected) => {
    const path = directory();
    const of = (data: string): [string, string][] => (data === '' ? [] : [['a', data]]);
    const first = await PushState.open(path);
    await compare(first, of(before));
    await sent(first);
    // The queue takes the changes; nothing is written after that.
    const submit = first.queue.submit.bind(first.queue);
    vi.spyOn(first.queue, 'submit').mockImplementation(async (differences) => {
      await submit(differences);
      throw new Error('cut off');
    });
    const changed = what.startsWith('gone') ? '' : '{"n":2}';
    await expect(compare(first, of(changed))).rejects.toThrow('cut off');
    await first.close();
    const second = await PushState.open(path);
    // The session of what was queued may have begun.
    const snapshot = await second.queue.fetchAndMarkForSync();
    if (snapshot !== undefined) await second.queue.markSent(snapshot);
    await compare(second, of(next));
    if (snapshot !== undefined) await second.queue.resetSyncingItems(snapshot);
    expect(waiting(second)).toEqual(expected);
    await sent(second);
    await compare(second, of(next));
    expect(waiting(second)).toEqual([]);
    await second.close();
  },
);

test('the agent is somebody at random, and stays that', async () => {
  const path = directory();
  const open = async (): Promise<bigint> => {
    await using state = await PushState.open(path);
    return state.agentId();
  };
  const first = await open();
  expect(await open()).toBe(first);
  await using other = await PushState.open(directory());
  expect(await other.agentId()).not.toBe(first);
});

// ---- Who is told ---------------------------------------------------------------------------------------------------

const target: Target = { agent: 1n, module: 'push', protocolId: 1n, addresses: ['a:1', 'b:1'] };

test('a state that has told somebody is of that agent, module and manager', async () => {
  const path = directory();
  {
    await using state = await PushState.open(path);
    expect(state.otherThan(target)).toBeUndefined();
    await state.bind(target);
  }
  await using state = await PushState.open(path);
  expect(state.otherThan(target)).toBeUndefined();
  expect(state.otherThan({ ...target, addresses: ['c:1', 'b:1'] })).toBeUndefined();
  expect(await state.agentId()).toBe(1n);
  expect(state.otherThan({ ...target, agent: 2n })).toBe('as agent 1');
  expect(state.otherThan({ ...target, agent: undefined })).toBe('as agent 1');
  expect(state.otherThan({ ...target, module: 'x', protocolId: 2n })).toBe(
    'as module push, with protocol id 1',
  );
  expect(state.otherThan({ ...target, addresses: ['c:1'] })).toBe('to the manager at a:1, b:1');
  await state.bind({ ...target, agent: undefined });
  expect(state.otherThan(target)).toBe('with a token');
});

test('a state that begins anew has told nobody anything, and nothing waits in it', async () => {
  const old = await PushState.open(directory());
  const agent = await old.agentId();
  await compare(old, [['a', '1']]);
  await old.bind(target);
  await old.addRejected(1);
  await using state = await old.anew();
  expect(waiting(state)).toEqual([]);
  expect(state.otherThan({ ...target, agent: 2n })).toBeUndefined();
  expect(state.rejectedOf('files')).toBe(0);
  expect(await state.agentId()).toBe(agent);
  expect((await compare(state, [['a', '1']])).found).toMatchObject({ created: 1 });
});

test('what was not applied counts for each index that was queued, until the manager has all of it', async () => {
  const path = directory();
  {
    await using state = await PushState.open(path);
    await compare(state, [['a', '1']]);
    await sent(state);
    await state.emptied();
    await compare(state, [['a', '1']], undefined, 'others');
    await state.addRejected(2);
    await state.addRejected(1);
  }
  await using state = await PushState.open(path);
  expect([state.rejectedOf('files'), state.rejectedOf('others')]).toEqual([0, 3]);
  await state.setRejected('others', 0);
  expect(state.rejectedOf('others')).toBe(0);
});
