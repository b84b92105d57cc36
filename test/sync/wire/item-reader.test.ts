import fc from 'fast-check';
import { Builder, type Offset } from 'flatbuffers';
import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { encodeMessage, SyncFormatError } from '../../../src/sync/wire/codec.js';
import { DataWriter } from '../../../src/sync/wire/data-writer.js';
import { ItemReader } from '../../../src/sync/wire/item-reader.js';
import { type DataItem, limits } from '../../../src/sync/wire/messages.js';
import { utf8 } from '../../reference/bytes.js';
import { damaged, damagedAtRandom, items, messages } from './arbitrary-messages.js';
import { vectors } from './vectors.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const session = 2n ** 64n - 2n;

interface ReadItem {
  readonly kind: DataItem['kind'];
  readonly seq: number;
  readonly session: bigint;
  readonly operation: string | undefined;
  readonly index: string;
  readonly id: string;
  readonly version: bigint;
  readonly data: Uint8Array | undefined;
}

function present({ kind, seq, session, operation, index, id, version, data }: ItemReader): ReadItem {
  return { kind, seq, session, operation, index, id, version, data };
}

function readAll(reader: ItemReader, bytes: Uint8Array): ReadItem[] | undefined {
  if (!reader.open(bytes)) return undefined;
  const found: ReadItem[] = [];
  while (reader.next()) found.push(present(reader));
  return found;
}

/** What is to be read of an item. */
function expected(seq: number, item: DataItem): ReadItem {
  const nothing = { operation: undefined, id: '', version: 0n, data: undefined };
  return { ...nothing, seq, session, ...item };
}

function batchOf(list: readonly DataItem[]): Uint8Array[] {
  const writer = new DataWriter(session, limits.messageBytes);
  const written: Uint8Array[] = [];
  list.forEach((item, seq) => {
    if (writer.add(seq, item)) return;
    written.push(writer.finish().slice());
    writer.add(seq, item);
  });
  written.push(writer.finish().slice());
  return written;
}

/** A batch whose items are written by hand, the last one first. */
function batchBy(...writes: readonly ((builder: Builder) => Offset)[]): Uint8Array {
  const builder = new Builder();
  const offsets = writes.map((write) => write(builder));
  builder.startVector(4, offsets.length, 4);
  for (const offset of offsets.toReversed()) builder.addOffset(offset);
  const values = builder.endVector();
  builder.startObject(1);
  builder.addFieldOffset(0, values, 0);
  const content = builder.endObject();
  builder.startObject(2);
  builder.addFieldOffset(1, content, 0);
  builder.addFieldInt8(0, 10, 0);
  builder.finish(builder.endObject());
  return builder.asUint8Array();
}

function itemBy(
  fields: { readonly id?: Uint8Array; readonly index?: Uint8Array; readonly operation?: number },
  seq: bigint = 1n,
): (builder: Builder) => Offset {
  return (builder) => {
    const id = fields.id === undefined ? 0 : builder.createString(fields.id);
    const index = fields.index === undefined ? 0 : builder.createString(fields.index);
    builder.startObject(7);
    builder.addFieldInt64(0, seq, 0n);
    builder.addFieldOffset(3, id, 0);
    builder.addFieldOffset(4, index, 0);
    builder.addFieldInt8(2, fields.operation ?? 0, 0);
    return builder.endObject();
  };
}

describe('the items of Data messages', () => {
  test('are those that were written', () => {
    const reader = new ItemReader();
    const property = fc.property(fc.array(items, { maxLength: 40 }), (list) => {
      const read = batchOf(list).flatMap((bytes) => readAll(reader, bytes));
      expect(read).toStrictEqual(list.map((item, seq) => expected(seq, item)));
    });
    fc.assert(property, { numRuns: deep ? 20_000 : 500 });
  });

  test('are what decodeMessage reads, in the order and with the vtables of another builder', () => {
    const reader = new ItemReader();
    const property = fc.property(messages, (message) => {
      const read = readAll(reader, encodeMessage(message));
      if (message.type === 'DataBatch') {
        expect(read?.map(({ kind, ...fields }) => fields)).toStrictEqual(
          message.values.map(({ seq, ...fields }) => ({
            seq: seq < 2n ** 53n ? Number(seq) : -1,
            ...fields,
          })),
        );
      } else if (message.type === 'DataContext' || message.type === 'DataClean') {
        expect(read).toMatchObject([{ session: message.session, index: message.index }]);
      } else {
        expect(read === undefined).toBe(message.type !== 'DataValue');
      }
    });
    fc.assert(property, { numRuns: deep ? 50_000 : 1000 });
  });

  test('can be gone to in any order', () => {
    const list: DataItem[] = Array.from({ length: 20 }, (_, n) => ({
      kind: 'value',
      operation: n % 2 === 0 ? 'Upsert' : 'Delete',
      index: `index${n % 3}`,
      id: `id${n}`,
      version: BigInt(n % 4),
      data: utf8(`{"n":${n}}`),
    }));
    const reader = new ItemReader();
    const [bytes = new Uint8Array(0)] = batchOf(list);
    reader.open(bytes);
    expect(reader.count).toBe(20);
    for (const n of [19, 0, 7, 7, 3, 12]) {
      expect(reader.moveTo(n)).toBe(true);
      expect(present(reader)).toStrictEqual(expected(n, list[n] as DataItem));
    }
    expect(reader.next() && reader.seq).toBe(13);
    for (const n of [20, -1, Number.NaN]) expect(reader.moveTo(n)).toBe(false);
    expect(reader.seq).toBe(13);
  });

  test('are those of the vectors of the original', () => {
    const reader = new ItemReader();
    const bytes = (name: string): Uint8Array =>
      vectors.find((vector) => vector.name === name)?.bytes ?? new Uint8Array(0);
    expect(
      readAll(reader, bytes('databatch_3'))?.map(({ seq, operation, id }) => [seq, operation, id]),
    ).toEqual([
      [0, 'Upsert', 'pkg-1'],
      [1, 'Delete', 'pkg-2'],
      [2, 'Upsert', 'pkg-3'],
    ]);
    expect(readAll(reader, bytes('datavalue_upsert_seq0'))).toMatchObject([
      { kind: 'value', seq: 0, session: 6174245071003344561n, id: 'pkg-1', version: 3n },
    ]);
    expect(readAll(reader, bytes('dataclean'))).toMatchObject([
      { kind: 'clean', index: 'wazuh-states-inventory-packages', id: '', data: undefined },
    ]);
    expect(readAll(reader, bytes('end'))).toBeUndefined();
    expect(readAll(reader, bytes('union_none'))).toBeUndefined();
  });
});

describe('an item that is not as it should be', () => {
  test('case 95: without id, index and data is read as having none', () => {
    const [read] = readAll(new ItemReader(), batchBy(itemBy({}))) ?? [];
    expect(read).toStrictEqual({
      kind: 'value',
      seq: 1,
      session: 0n,
      operation: 'Upsert',
      index: '',
      id: '',
      version: 0n,
      data: undefined,
    });
  });

  test('does not spoil those beside it', () => {
    const good = { id: utf8('good'), index: utf8('files') };
    const bytes = batchBy(
      itemBy(good),
      itemBy({ ...good, id: Uint8Array.of(0x61, 0xff) }),
      itemBy({ ...good, index: Uint8Array.of(0xff) }),
      itemBy({ ...good, index: Uint8Array.of(0xff) }),
      itemBy({ ...good, id: new Uint8Array(limits.idBytes + 1).fill(0x61) }),
      itemBy({ ...good, index: new Uint8Array(limits.indexBytes + 1).fill(0x61) }),
      itemBy({ ...good, operation: 2 }),
      itemBy({ ...good, operation: -1 }),
      itemBy({ id: utf8('ünïcöde'), index: utf8('répertoire') }),
      itemBy({ id: utf8('\ufeffgood'), index: utf8('\ufefffiles') }),
      itemBy(good),
    );
    const read = readAll(new ItemReader(), bytes);
    expect(read?.map(({ id, index, operation }) => [id, index, operation])).toStrictEqual([
      ['good', 'files', 'Upsert'],
      ['', 'files', 'Upsert'],
      ['good', '', 'Upsert'],
      ['good', '', 'Upsert'],
      ['', 'files', 'Upsert'],
      ['good', '', 'Upsert'],
      ['good', 'files', undefined],
      ['good', 'files', undefined],
      ['ünïcöde', 'répertoire', 'Upsert'],
      ['\ufeffgood', '\ufefffiles', 'Upsert'],
      ['good', 'files', 'Upsert'],
    ]);
  });

  test('has -1 for a sequence number that is not exact', () => {
    const seqs = [0n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n];
    const read = readAll(new ItemReader(), batchBy(...seqs.map((seq) => itemBy({}, seq))));
    expect(read?.map(({ seq }) => seq)).toStrictEqual([0, 2 ** 32, 2 ** 53 - 1, -1, -1, -1]);
  });
});

describe('damaged bytes', () => {
  const room = new Uint8Array(limits.messageBytes + 16).fill(0x01);

  /** Nothing but SyncFormatError, no item of a message before it, and no data beyond its bytes. */
  function expectHarmless(reader: ItemReader, bytes: Uint8Array): void {
    room.fill(0x01, 8, 8 + bytes.length + 600);
    room.set(bytes, 8);
    const message = room.subarray(8, 8 + bytes.length);
    try {
      const read = readAll(reader, message);
      if (read === undefined) expect(reader.next()).toBe(false);
      for (const { data } of read ?? []) {
        if (data === undefined) continue;
        const end = data.byteOffset + data.length;
        if (data.byteOffset < 8 || end > 8 + bytes.length) throw new Error('data beyond the message');
      }
    } catch (error) {
      if (!(error instanceof SyncFormatError)) throw error;
      expect(reader.next()).toBe(false);
      expect(reader.count).toBe(0);
    }
  }

  const list = fc.sample(items, { numRuns: 12, seed: 3 });
  const whole = [
    ...vectors.filter(({ name }) => name.startsWith('data')).map(({ bytes }) => bytes),
    ...batchOf(list),
  ];

  test('with each bit turned over, and cut at each byte, are refused or read', () => {
    const reader = new ItemReader();
    for (const bytes of whole) for (const each of damaged(bytes)) expectHarmless(reader, each);
  });

  test('with changes to offsets, lengths and vtables are refused or read', () => {
    const seed = Number(process.env.HAWSER_SEED ?? (deep ? Math.floor(Math.random() * 2 ** 32) : 1));
    const random = seededRandom(seed);
    const reader = new ItemReader();
    for (let n = 0; n < (deep ? 500_000 : 20_000); ++n) {
      const bytes = whole[Math.floor(random() * whole.length)] ?? new Uint8Array(0);
      try {
        expectHarmless(reader, damagedAtRandom(bytes, random));
      } catch (error) {
        throw new Error(`HAWSER_SEED=${seed}, change ${n}: ${error}`, { cause: error });
      }
    }
  });
});
