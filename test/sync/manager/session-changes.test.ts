import { describe, expect, test } from 'vitest';
import { nextTurn } from '../../../src/base/next-turn.js';
import { seededRandom } from '../../../src/base/random.js';
import { isJsonObject, SessionChanges } from '../../../src/sync/manager/session-changes.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import type { Change, StoredSession } from '../../../src/sync/store/store.js';
import { encodeMessage } from '../../../src/sync/wire/codec.js';
import { limits } from '../../../src/sync/wire/messages.js';
import { itemOf, json } from './fake-agent.js';
import { ManagerWorld } from './manager-world.js';

const session = 5n;
const everything = { allowIndex: () => true, onContext: () => undefined };

/** A store whose messages are views of one memory that is something else in the next turn of the event loop. */
class HastyStore extends MemoryStore {
  readonly #memory = new Uint8Array(limits.messageBytes);
  reads = 0;

  override stagedMessage(stored: StoredSession, n: number): Uint8Array | undefined {
    const message = super.stagedMessage(stored, n);
    if (message === undefined) return undefined;
    ++this.reads;
    this.#memory.fill(0);
    this.#memory.set(message);
    setImmediate(() => this.#memory.fill(0xff));
    return this.#memory.subarray(0, message.length);
  }
}

function storeOf(
  size: number,
  messages: readonly (readonly number[])[],
): { store: HastyStore; stored: StoredSession } {
  const store = new HastyStore();
  const stored = store.begin({
    agent: 'agent',
    module: 'fim',
    mode: 'DELTA',
    size,
    indices: ['files'],
    session,
    nonce: 1n,
    generation: 1n,
  });
  for (const [n, seqs] of messages.entries()) {
    const values = seqs.map((seq) => itemOf(session, seq, { data: json({ seq, message: n }) }));
    store.stage(stored, encodeMessage({ type: 'DataBatch', values }));
  }
  return { store, stored };
}

/** What each change says, read as slowly as a store may. */
async function readSlowly(
  changes: Iterable<Change | undefined>,
): Promise<{ seq: number; message: number }[]> {
  const read: { seq: number; message: number }[] = [];
  for (const change of changes) {
    await nextTurn();
    if (change?.operation === 'Upsert') read.push(JSON.parse(Buffer.from(change.data).toString()));
  }
  return read;
}

describe('the changes of a session', () => {
  test('are those of its items in order, read again from the first by each iteration, over several turns', async () => {
    const { store, stored } = storeOf(6, [[0, 1], [1, 2, 3], [], [0, 4, 5]]);
    const changes = new SessionChanges(store, stored, everything);
    const expected = [0, 0, 1, 1, 3, 3].map((message, seq) => ({ seq, message }));
    expect(await readSlowly(changes)).toEqual(expected);
    expect(await readSlowly(changes)).toEqual(expected);
    expect(changes.incomplete).toBe(false);
  });

  test('are in order after `arrange`, however many messages their items lie apart in', async () => {
    for (let seed = 1; seed <= 10; ++seed) {
      const random = seededRandom(seed);
      const size = 301;
      const seqs = Array.from({ length: size }, (_, seq) => seq).sort(() => random() - 0.5);
      const messages = Array.from({ length: 60 }, (_, n) => seqs.slice(n * 5, n * 5 + 5));
      // Some come twice: the first counts.
      messages.push(seqs.slice(0, 50).concat(seqs.slice(300)));
      const { store, stored } = storeOf(size, messages);
      const changes = new SessionChanges(store, stored, everything);
      await changes.arrange();
      const expected = Array.from({ length: size }, (_, seq) => ({
        seq,
        message: messages.findIndex((each) => each.includes(seq)),
      }));
      expect(await readSlowly(changes), `seed ${seed}`).toEqual(expected);
    }
  });

  test('are read from each message once where items that were sent again lie between the others', async () => {
    const messages: number[][] = [];
    for (let n = 0; n < 100; ++n) messages.push([n * 4, n * 4 + 1, n * 4 + 3]);
    for (let n = 0; n < 10; ++n)
      messages.push(Array.from({ length: 10 }, (_, each) => (n * 10 + each) * 4 + 2));
    const { store, stored } = storeOf(400, messages);
    const changes = new SessionChanges(store, stored, everything);
    await changes.arrange();
    store.reads = 0;
    expect(await readSlowly(changes)).toHaveLength(400);
    expect(store.reads).toBe(110);
  });

  test('fail when an item is not there, and say so', async () => {
    for (const messages of [[[0, 1], [3]], [[0, 1, 2]], []]) {
      const { store, stored } = storeOf(4, messages);
      for (const arranged of [false, true]) {
        const changes = new SessionChanges(store, stored, everything);
        if (arranged) await changes.arrange();
        await expect(readSlowly(changes)).rejects.toMatchObject({ code: 'ERR_HAWSER_STORE' });
        expect(changes.incomplete).toBe(true);
      }
    }
  });

  test('give the turn back at each item that changes nothing', () => {
    const { store, stored } = storeOf(3, [[0, 1], [2]]);
    const contexts: string[] = [];
    const rejecting = new SessionChanges(store, stored, { ...everything, allowIndex: () => false });
    // The messages that are read, too.
    expect([...rejecting]).toEqual(new Array(5).fill(undefined));
    const { stored: other } = storeOf(0, []);
    const context = store.begin({ ...other, size: 2 });
    for (const seq of [0n, 1n]) {
      const data = json({ seq: Number(seq) });
      store.stage(
        context,
        encodeMessage({ type: 'DataContext', seq, session, id: `${seq}`, index: 'files', data }),
      );
    }
    const onContext = ({ id }: { readonly id: string }): number => contexts.push(id);
    const reading = new SessionChanges(store, context, { ...everything, onContext });
    const changes = reading[Symbol.iterator]();
    for (let n = 0; n < 2; ++n) expect(changes.next()).toEqual({ value: undefined, done: false });
    expect(contexts).toEqual(['0']);
    expect([...changes]).toEqual([undefined, undefined]);
    expect(contexts).toEqual(['0', '1']);
  });

  test('are read from each message once for many items, and the turn is given back after each, however they are interleaved', async () => {
    const count = 40;
    const size = 40 * 250;
    const of = (n: number): number[] => Array.from({ length: 250 }, (_, item) => item * count + n);
    const { store, stored } = storeOf(
      size,
      Array.from({ length: count }, (_, n) => of(n)),
    );
    const changes = new SessionChanges(store, stored, everything);
    await changes.arrange();
    store.reads = 0;
    let most = 0;
    let before = 0;
    let seq = 0;
    for (const change of changes) {
      most = Math.max(most, store.reads - before);
      before = store.reads;
      if (change?.operation !== 'Upsert') continue;
      expect(JSON.parse(Buffer.from(change.data).toString())).toEqual({ seq, message: seq % count });
      ++seq;
    }
    expect(seq).toBe(size);
    expect(most).toBe(1);
    expect(store.reads).toBe(count);
  });

  test('that came again cost nothing: neither is their message read for them, nor is there less room for others', async () => {
    const size = 256;
    const padding = 'x'.repeat(50_000);
    const store = new HastyStore();
    const stored = store.begin({ ...storeOf(0, []).stored, size });
    const stage = (seqs: readonly number[], text = ''): void => {
      const values = seqs.map((seq) => itemOf(session, seq, { data: json({ seq, padding: text }) }));
      store.stage(stored, encodeMessage({ type: 'DataBatch', values }));
    };
    for (let seq = size - 1; seq >= 0; --seq) stage([seq]);
    // As large ones they would make four windows of what is one.
    for (let seq = 0; seq < size; ++seq) stage([seq], padding);
    const changes = new SessionChanges(store, stored, everything);
    await changes.arrange();
    store.reads = 0;
    const first = changes[Symbol.iterator]();
    while (first.next().value === undefined);
    expect(store.reads).toBe(size);
    expect([...first].filter((change) => change !== undefined)).toHaveLength(size - 1);
    expect(store.reads).toBe(size);
  });

  test('that are large and came out of order are held some megabytes at a time', async () => {
    const size = 512;
    const padding = 'x'.repeat(50_000);
    const store = new HastyStore();
    const stored = store.begin({ ...storeOf(0, []).stored, size });
    for (let seq = size - 1; seq >= 0; --seq) {
      const values = [itemOf(session, seq, { data: json({ seq, padding }) })];
      store.stage(stored, encodeMessage({ type: 'DataBatch', values }));
    }
    const changes = new SessionChanges(store, stored, everything);
    await changes.arrange();
    store.reads = 0;
    let seq = 0;
    let ahead = 0;
    for (const change of changes) {
      if (change?.operation !== 'Upsert') continue;
      expect(JSON.parse(Buffer.from(change.data).toString()).seq).toBe(seq++);
      ahead = Math.max(ahead, store.reads - seq);
    }
    expect(seq).toBe(size);
    // 50,000 bytes each: 167 are in 8 MiB, which is two blocks.
    expect(ahead).toBe(127);
    expect(store.reads).toBe(size);
  });

  test('are of at most 1,024 indices, those of the session included: what is of further ones is rejected', () => {
    const store = new MemoryStore();
    const size = 2000;
    const stored = store.begin({ ...storeOf(0, []).stored, size, indices: ['own', 'files'] });
    for (let seq = 0; seq < size; ++seq) {
      const index = seq % 2 === 0 ? `index ${seq}` : seq % 4 === 1 ? 'own' : 'index 0';
      const values = [itemOf(session, seq, { index })];
      store.stage(stored, encodeMessage({ type: 'DataBatch', values }));
    }
    const asked = new Set<string>();
    const allowIndex = (index: string): boolean => asked.add(index) !== undefined && index !== 'index 2';
    const changes = new SessionChanges(store, stored, { ...everything, allowIndex });
    for (let run = 0; run < 2; ++run) {
      const indices = new Set([...changes].flatMap((change) => change?.index ?? []));
      // 1,000 even numbers without that of 2, and the own one.
      expect(indices.size).toBe(1000);
      expect(changes.rejected).toBe(1);
    }
    const more = store.begin({ ...stored, size: 1100, indices: ['own'] });
    for (let seq = 0; seq < 1100; ++seq) {
      const values = [itemOf(session, seq, { index: seq === 1099 ? 'own' : `index ${seq}` })];
      store.stage(more, encodeMessage({ type: 'DataBatch', values }));
    }
    const bounded = new SessionChanges(store, more, everything);
    for (let run = 0; run < 2; ++run) {
      const indices = [...bounded].flatMap((change) => change?.index ?? []);
      expect(indices).toEqual([...Array.from({ length: 1023 }, (_, seq) => `index ${seq}`), 'own']);
      expect(bounded.rejected).toBe(1100 - 1024);
    }
  });

  test('count what is rejected anew in each iteration', async () => {
    const { store, stored } = storeOf(3, [[0, 1, 2]]);
    const changes = new SessionChanges(store, stored, { ...everything, allowIndex: () => false });
    expect(await readSlowly(changes)).toEqual([]);
    expect(changes.rejected).toBe(3);
    expect(await readSlowly(changes)).toEqual([]);
    expect(changes.rejected).toBe(3);
  });
});

describe('a manager', () => {
  test('counts Upserts of a lower version with the rejected items, and what has no version takes the place of what has', async () => {
    const world = new ManagerWorld();
    const agent = world.agent();
    for (const [nonce, versions, rejected] of [
      [1n, [7n, 7n, 7n], 0n],
      [2n, [6n, 0n, 8n], 1n],
    ] as const) {
      const started = agent.begin({ size: 3n, nonce, generation: nonce });
      for (const [seq, version] of versions.entries())
        agent.values(started, seq, seq, { version, data: json({ version: `${version}` }) });
      agent.end(started);
      await world.applied();
      expect(agent.lastEndAck).toMatchObject({ status: 'Ok', rejected });
    }
    expect(world.documents()).toEqual(['7', '0', '8'].map((n, seq) => `files/id-${seq} {"version":"${n}"}`));
    expect(world.counts).toMatchObject({ itemsApplied: 5, itemsRejected: 1 });
  });

  test('keeps each index of a Start once', () => {
    const world = new ManagerWorld();
    const name = 'x'.repeat(40);
    world.agent().begin({ size: 1n, indices: [...new Array<string>(1000).fill(name), 'files'] });
    expect(world.store.sessions().map(({ indices }) => indices)).toEqual([[name, 'files']]);
  });
});

describe('a document', () => {
  test('is one JSON object in UTF-8', () => {
    for (const text of [
      '{}',
      ' {"a":[1,2,{"b":null}]}\r\n\t',
      '{"a":"\\ud83d\u{1f6a2}\u00e9"}',
      '{"__proto__":1}',
    ]) {
      expect(isJsonObject(Buffer.from(text)), text).toBe(true);
    }
    const bad = [
      '',
      ' ',
      '[]',
      '1',
      'null',
      '"a"',
      '{',
      '{"a":1,}',
      '{}{}',
      '{a:1}',
      "{'a':1}",
      '\ufeff{}',
      '{"a":01}',
    ];
    for (const text of [...bad, '\u00a0{}', '{"a":"\n"}'])
      expect(isJsonObject(Buffer.from(text)), text).toBe(false);
    // Half of a character; too long a form of "/"; a surrogate.
    for (const hex of ['c3', 'c0af', 'eda080', 'f8808080']) {
      expect(isJsonObject(Buffer.from(`7b2261223a22${hex}227d`, 'hex')), hex).toBe(false);
    }
    expect(isJsonObject(Buffer.from(`{"a":"${'x'.repeat(limits.dataBytes - 8)}"}`))).toBe(true);
    expect(isJsonObject(Buffer.from(`{"a":"${'x'.repeat(limits.dataBytes - 7)}"}`))).toBe(false);
    expect(isJsonObject(Buffer.from(`{"a":${'['.repeat(30_000)}${']'.repeat(30_000)}}`))).toBe(true);
  });
});
