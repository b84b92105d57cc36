import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeMessage } from '../../../src/sync/wire/codec.js';
import { DataWriter } from '../../../src/sync/wire/data-writer.js';
import { type DataItem, limits } from '../../../src/sync/wire/messages.js';
import { utf8 } from '../../reference/bytes.js';
import { items } from './arbitrary-messages.js';

const numRuns = process.env.HAWSER_TEST_DEEP === '1' ? 5000 : 500;
const session = 2n ** 63n + 5n;

function value(id: string, data: string | number = '{}', index = 'files'): DataItem & { kind: 'value' } {
  const bytes = typeof data === 'string' ? utf8(data) : new Uint8Array(data).fill(0x20);
  return { kind: 'value', operation: 'Upsert', index, id, version: 0n, data: bytes };
}

/** What an item is on the wire. */
function onWire(seq: number, item: DataItem): unknown {
  const { kind, ...fields } = item;
  const type = { value: 'DataValue', context: 'DataContext', clean: 'DataClean' }[kind];
  return { type, seq: BigInt(seq), session, ...fields };
}

function unpacked(bytes: Uint8Array): unknown[] {
  const message = decodeMessage(bytes);
  return message.type === 'DataBatch'
    ? message.values.map((each) => ({ type: 'DataValue', ...each }))
    : [message];
}

/** Packs them as an agent does. @returns copies of the messages. */
function pack(writer: DataWriter, list: readonly DataItem[], firstSeq = 0): Uint8Array[] {
  const messages: Uint8Array[] = [];
  list.forEach((item, n) => {
    if (writer.add(firstSeq + n, item)) return;
    messages.push(writer.finish().slice());
    expect(writer.add(firstSeq + n, item)).toBe(true);
  });
  if (writer.count > 0) messages.push(writer.finish().slice());
  return messages;
}

describe('the items of a session', () => {
  test('arrive as they are, in order, in messages no longer than they may be', () => {
    const property = fc.property(
      fc.array(items, { maxLength: 60 }),
      fc.integer({ min: 64, max: 4000 }),
      fc.constantFrom(0, 1, 2 ** 32 - 3, 2 ** 53 - 100),
      (list, maxBytes, firstSeq) => {
        const messages = pack(new DataWriter(session, maxBytes, 4096), list, firstSeq);
        expect(messages.flatMap(unpacked)).toStrictEqual(list.map((item, n) => onWire(firstSeq + n, item)));
        for (const bytes of messages) {
          expect(bytes.length % 8).toBe(0);
          if (unpacked(bytes).length > 1) expect(bytes.length).toBeLessThanOrEqual(maxBytes);
        }
      },
    );
    fc.assert(property, { numRuns });
  });

  test('case 54: three small ones are one DataBatch, and no DataValue', () => {
    const messages = pack(
      new DataWriter(session, limits.messageBytes),
      ['a', 'b', 'c'].map((id) => value(id)),
    );
    expect(messages.map(decodeMessage)).toMatchObject([
      { type: 'DataBatch', values: [{ id: 'a' }, { id: 'b' }, { id: 'c' }] },
    ]);
  });

  test('a single one is a DataValue', () => {
    const writer = new DataWriter(session, 1000);
    writer.add(7, value('a'));
    expect(decodeMessage(writer.finish())).toMatchObject({ type: 'DataValue', seq: 7n, session, id: 'a' });
  });

  test('contexts and cleans are messages of their own, and wait for what was added before them', () => {
    const writer = new DataWriter(session, 1000);
    const context: DataItem = { kind: 'context', index: 'files', id: 'c', data: utf8('{}') };
    const clean: DataItem = { kind: 'clean', index: 'files' };
    expect(writer.add(0, value('a'))).toBe(true);
    expect(writer.add(1, context)).toBe(false);
    expect(writer.add(1, clean)).toBe(false);
    writer.finish();
    expect(writer.add(1, context)).toBe(true);
    for (const item of [value('b'), context, clean]) expect(writer.add(2, item)).toBe(false);
    expect(unpacked(writer.finish())).toStrictEqual([onWire(1, context)]);
    expect(writer.add(2, clean)).toBe(true);
    for (const item of [value('b'), context, clean]) expect(writer.add(3, item)).toBe(false);
    expect(unpacked(writer.finish())).toStrictEqual([onWire(2, clean)]);
    expect(writer.count).toBe(0);
  });

  test('seen again give the same bytes, whatever was written before: what is sent twice is the same', () => {
    const property = fc.property(fc.array(items, { maxLength: 20 }), fc.array(items), (list, before) => {
      const used = new DataWriter(session, 4096);
      pack(used, before);
      expect(pack(used, list)).toStrictEqual(pack(new DataWriter(session, 4096), list));
    });
    fc.assert(property, { numRuns });
  });
});

describe('room', () => {
  test('is used to the last byte, and never beyond', () => {
    for (let length = 0; length <= 64; ++length) {
      const pair = [value('first', 10), value('second', length)] as const;
      const roomy = new DataWriter(session, 4096);
      pack(roomy, []);
      pair.forEach((item, seq) => {
        expect(roomy.add(seq, item)).toBe(true);
      });
      const needed = roomy.finish().length;
      const exact = new DataWriter(session, needed);
      pair.forEach((item, seq) => {
        expect(exact.add(seq, item)).toBe(true);
      });
      expect(exact.finish()).toHaveLength(needed);
      const short = new DataWriter(session, needed - 1);
      expect(short.add(0, pair[0])).toBe(true);
      expect(short.add(1, pair[1])).toBe(false);
      expect(short.count).toBe(1);
      expect(unpacked(short.finish())).toStrictEqual([onWire(0, pair[0])]);
    }
  });

  test('is used to the last byte by a single item too', () => {
    for (let length = 0; length <= 16; ++length) {
      const roomy = new DataWriter(session, 4096);
      roomy.add(0, value('a', length));
      const needed = roomy.finish().length;
      const exact = new DataWriter(session, 64, needed);
      expect(exact.add(0, value('a', length))).toBe(true);
      expect(exact.finish()).toHaveLength(needed);
      const short = new DataWriter(session, 4096, needed - 1);
      expect(short.add(0, value('a', length))).toBe(false);
      expect(short.count).toBe(0);
    }
  });

  test('is that of a single item for what does not fit beside others', () => {
    const writer = new DataWriter(session, 500, 2000);
    expect(writer.add(0, value('a', 100))).toBe(true);
    expect(writer.add(1, value('b', 1500))).toBe(false);
    writer.finish();
    expect(writer.add(1, value('b', 1500))).toBe(true);
    expect(writer.add(2, value('c', 0))).toBe(false);
    expect(unpacked(writer.finish())).toStrictEqual([onWire(1, value('b', 1500))]);
  });

  test('lacks altogether for an item that no message can have: refused with a count of 0', () => {
    const writer = new DataWriter(session, 500);
    for (const item of [
      value('a', 500),
      { kind: 'context', index: 'files', id: 'a', data: new Uint8Array(500) },
      { kind: 'clean', index: 'x'.repeat(limits.indexBytes) },
    ] as const) {
      expect(new DataWriter(session, 200).add(0, item)).toBe(false);
      expect(writer.count).toBe(0);
    }
    expect(writer.add(0, value('b'))).toBe(true);
    expect(unpacked(writer.finish())).toStrictEqual([onWire(0, value('b'))]);
  });

  test('suffices for the longest item that there may be', () => {
    const longest = value(
      'ü'.repeat(limits.idBytes / 2),
      limits.dataBytes,
      'ß'.repeat(limits.indexBytes / 2),
    );
    const item: DataItem = { ...longest, operation: 'Delete', version: 2n ** 64n - 1n };
    const writer = new DataWriter(session, 61_440, limits.messageBytes);
    expect(writer.add(2 ** 32 - 1, item)).toBe(true);
    expect(unpacked(writer.finish())).toStrictEqual([onWire(2 ** 32 - 1, item)]);
  });

  test('is taken by an index once for all items of a message', () => {
    const sizes = ['files', 'f'.repeat(200)].map((index) => {
      const list = Array.from({ length: 50 }, (_, n) => value(`id${n}`, 20, index));
      const [bytes = new Uint8Array(0)] = pack(new DataWriter(session, limits.messageBytes), list);
      expect(unpacked(bytes)).toStrictEqual(list.map((item, seq) => onWire(seq, item)));
      return bytes.length;
    });
    expect((sizes[1] ?? 0) - (sizes[0] ?? 0)).toBeLessThan(208);
    const mixed = Array.from({ length: 50 }, (_, n) => value(`id${n}`, 20, 'f'.repeat(100 + (n % 3))));
    const [bytes = new Uint8Array(0)] = pack(new DataWriter(session, limits.messageBytes), mixed);
    expect(unpacked(bytes)).toStrictEqual(mixed.map((item, seq) => onWire(seq, item)));
    expect(bytes.length).toBeLessThan(3 * 112 + 50 * 80 + 100);
  });

  test('62 bytes are what an item takes on top of its data, beside others of its index and with an id of 15', () => {
    const list = Array.from({ length: 200 }, (_, n) => value(`package-${1_000_000 + n}`, 200));
    const [bytes = new Uint8Array(0)] = pack(new DataWriter(session, 61_440), list);
    expect(bytes.length / 200 - 200).toBeLessThan(62);
  });

  test('of a fresh writer is 4 KiB at most, so that 10,000 agents can be in one process', () => {
    const writer = new DataWriter(session, limits.messageBytes);
    writer.add(0, value('a'));
    expect(writer.finish().buffer.byteLength).toBeLessThanOrEqual(4096);
  });
});

test('a writer without items gives a message without items', () => {
  expect(decodeMessage(new DataWriter(session, 100).finish())).toStrictEqual({
    type: 'DataBatch',
    values: [],
  });
});
