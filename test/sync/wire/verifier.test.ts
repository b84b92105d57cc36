import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { decodeMessage, encodeMessage, SyncFormatError } from '../../../src/sync/wire/codec.js';
import { ItemReader } from '../../../src/sync/wire/item-reader.js';
import { limits } from '../../../src/sync/wire/messages.js';
import { verifyMessage } from '../../../src/sync/wire/verifier.js';
import { damaged, damagedAtRandom, messages } from './arbitrary-messages.js';
import { FlatcOracle } from './flatc-oracle.js';
import { vectors } from './vectors.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';

function isMessage(bytes: Uint8Array): boolean {
  try {
    verifyMessage(bytes);
    return true;
  } catch (error) {
    if (error instanceof SyncFormatError) return false;
    throw error;
  }
}

function isRepeating(bytes: Uint8Array): boolean {
  try {
    verifyMessage(bytes);
    return false;
  } catch (error) {
    return error instanceof SyncFormatError && error.message.endsWith('its parts lie over each other');
  }
}

const batchType = 10;
const contentTable = 32;
const list = 40;

/**
 * A DataBatch whose list says that it has `count` items, in so many bytes, all zero behind it. Its tables are where data-writer.ts puts
 * them: the content at 32, the list at 40, its elements from 44 on.
 */
function batch(bytes: number, count: number): { readonly bytes: Uint8Array; readonly view: DataView } {
  const message = new Uint8Array(bytes);
  const view = new DataView(message.buffer);
  view.setUint32(0, 12, true);
  for (const [at, value] of [
    [4, 8],
    [6, 9],
    [8, 8],
    [10, 4],
    [24, 6],
    [26, 8],
    [28, 4],
  ] as const) {
    view.setUint16(at, value, true);
  }
  view.setUint32(12, 8, true);
  view.setUint32(16, contentTable - 16, true);
  view.setUint8(20, batchType);
  view.setUint32(contentTable, 8, true);
  view.setUint32(contentTable + 4, list - contentTable - 4, true);
  view.setUint32(list, count, true);
  return { bytes: message, view };
}

/** A batch all of whose items are one, a table at `table` with the one field that is at `offset` of it. */
function repeated(bytes: number, count: number, id: number): ReturnType<typeof batch> & { table: number } {
  const made = batch(bytes, count);
  const vtable = list + 4 + 4 * count;
  const table = vtable + 20 + ((4 - (vtable % 4)) % 4);
  made.view.setUint16(vtable, 18, true);
  made.view.setUint16(vtable + 2, 8, true);
  made.view.setUint16(vtable + 4 + 2 * id, 4, true);
  made.view.setInt32(table, table - vtable, true);
  for (let n = 0; n < count; ++n) made.view.setUint32(list + 4 + 4 * n, table - (list + 4 + 4 * n), true);
  return { ...made, table };
}

describe('hostile bytes', () => {
  test('the hand-made batch is a message when it is left alone', () => {
    expect(isMessage(batch(64, 0).bytes)).toBe(true);
    expect(decodeMessage(batch(64, 0).bytes)).toStrictEqual({ type: 'DataBatch', values: [] });
    // Its data lead nowhere yet.
    expect(isMessage(repeated(1024, 10, 6).bytes)).toBe(false);
  });

  test('a message of more than 65,536 bytes is refused, one of so many is not', () => {
    expect(isMessage(batch(limits.messageBytes, 0).bytes)).toBe(true);
    expect(isMessage(batch(limits.messageBytes + 1, 0).bytes)).toBe(false);
    const { bytes } = batch(64, 0);
    const padded = new Uint8Array(limits.messageBytes + 8);
    padded.set(bytes);
    expect(isMessage(padded)).toBe(false);
  });

  test('lengths that lead beyond the message are refused, however great', () => {
    for (const count of [6, 1000, 0x3fff_ffff, 0x4000_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff]) {
      expect(isMessage(batch(64, count).bytes)).toBe(false);
    }
    const { bytes, view, table } = repeated(1024, 10, 6);
    const data = table + 8;
    view.setUint32(table + 4, data - table - 4, true);
    for (const [length, fits] of [
      [0, true],
      [50, true],
      [1024 - data - 4, false],
      [0x7fff_ffff, false],
      [0xffff_ffff, false],
    ] as const) {
      view.setUint32(data, length, true);
      expect(isMessage(bytes), String(length)).toBe(fits);
    }
  });

  test('lists that lead back are refused', () => {
    const { bytes, view } = batch(64, 1);
    // To the list, to the batch that it is in, to the very beginning, and a little further back.
    for (const offset of [-4, contentTable - (list + 4), -(list + 4), -(list + 8)]) {
      view.setInt32(list + 4, offset, true);
      expect(isMessage(bytes), String(offset)).toBe(false);
    }
  });

  test('65,536 bytes of the smallest tables are gone through once', () => {
    // Every second word is an element, and all lead to one empty table at the end.
    const count = (limits.messageBytes - 80) / 4;
    const { bytes, view } = batch(limits.messageBytes, count);
    const vtable = limits.messageBytes - 16;
    const table = vtable + 8;
    view.setUint16(vtable, 4, true);
    view.setUint16(vtable + 2, 4, true);
    view.setInt32(table, 8, true);
    for (let n = 0; n < count; ++n) view.setUint32(list + 4 + 4 * n, table - (list + 4 + 4 * n), true);
    expect(isMessage(bytes)).toBe(true);
    const reader = new ItemReader();
    expect(reader.open(bytes)).toBe(true);
    let items = 0;
    while (reader.next()) items += reader.seq === 0 && reader.id === '' && reader.data === undefined ? 1 : 0;
    expect(items).toBe(count);
  });

  test('items that share their data make no more of a message than it is', () => {
    const { bytes, view, table } = repeated(4096, 100, 6);
    view.setUint32(table + 4, 4, true);
    view.setUint32(table + 8, 40, true);
    expect(isMessage(bytes)).toBe(true);
    view.setUint32(table + 8, 41, true);
    expect(isMessage(bytes)).toBe(false);
  });

  test('items that share their id do so within reason', () => {
    const { bytes, view, table } = repeated(4096, 100, 3);
    view.setUint32(table + 4, 4, true);
    view.setUint32(table + 8, (4096 * 16) / 100, true);
    expect(isMessage(bytes)).toBe(true);
    view.setUint32(table + 8, (4096 * 16) / 100 + 1, true);
    expect(isMessage(bytes)).toBe(false);
  });

  test('fields further than 32 KiB from their table are read where they were checked', () => {
    const { bytes, view } = batch(limits.messageBytes, 1);
    const vtable = 48;
    const table = 72;
    view.setUint32(list + 4, table - list - 4, true);
    view.setUint16(vtable, 18, true);
    view.setUint16(vtable + 4, 40_000, true);
    view.setInt32(table, table - vtable, true);
    view.setBigUint64(table + 40_000, 77n, true);
    expect(decodeMessage(bytes)).toMatchObject({ values: [{ seq: 77n }] });
    const reader = new ItemReader();
    expect(reader.open(bytes) && reader.next() && reader.seq).toBe(77);
  });

  test('a vtable of more than 32 KiB has its fields', () => {
    const { bytes, view } = batch(limits.messageBytes, 1);
    const vtable = 48;
    const table = 40_048;
    view.setUint32(list + 4, table - list - 4, true);
    view.setUint16(vtable, 40_000, true);
    view.setUint16(vtable + 4, 8, true);
    view.setInt32(table, table - vtable, true);
    view.setBigUint64(table + 8, 78n, true);
    expect(decodeMessage(bytes)).toMatchObject({ values: [{ seq: 78n }] });
  });
});

describe("the verdict is that of FlatBuffers' own verifier", () => {
  const whole = [
    ...vectors.map(({ bytes }) => bytes),
    ...fc.sample(messages, { numRuns: deep ? 100 : 10, seed: 11 }).map(encodeMessage),
  ];

  const oracle = new FlatcOracle();
  afterAll(() => {
    oracle[Symbol.dispose]();
  });

  function expectSameVerdicts(cases: readonly Uint8Array[], hint: string): void {
    const verdicts = oracle.verify(cases);
    expect(verdicts).toHaveLength(cases.length);
    cases.forEach((bytes, n) => {
      // What lies over each other is refused here alone.
      if (isMessage(bytes) === verdicts[n] || (verdicts[n] === true && isRepeating(bytes))) return;
      throw new Error(`${hint}: expected ${verdicts[n]} of ${Buffer.from(bytes).toString('hex')}`);
    });
  }

  test('of the shortest messages', () => {
    // The root leads to a table that is its own vtable, of no bytes.
    const shortest = Array.from({ length: 17 }, (_, length) => {
      const bytes = new Uint8Array(length);
      bytes.fill(4, 0, 1);
      return bytes;
    });
    expectSameVerdicts(shortest, 'shortest');
    expect(shortest.map(isMessage).indexOf(true)).toBe(12);
  });

  test('with each bit turned over, and cut at each byte', () => {
    expectSameVerdicts([...whole, ...whole.flatMap((bytes) => [...damaged(bytes)])], 'damaged');
  });

  test('with changes to offsets, lengths and vtables', () => {
    const seed = Number(process.env.HAWSER_SEED ?? (deep ? Math.floor(Math.random() * 2 ** 32) : 1));
    const random = seededRandom(seed);
    for (let round = 0; round < (deep ? 50 : 2); ++round) {
      const cases = Array.from({ length: 10_000 }, () =>
        damagedAtRandom(whole[Math.floor(random() * whole.length)] ?? new Uint8Array(0), random),
      );
      expectSameVerdicts(cases, `HAWSER_SEED=${seed}`);
    }
  });
});
