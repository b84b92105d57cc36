// Rows of a persistent queue as bytes.
//
//   row  flags:1 version:8 keyLength:2 key data      (operation in two bits of the flags, then isNew and isContext)
//   key  indexLength:2 index id                      (so that the keys of an index are together)
//   place of a key  flags:1 row:6 mark:6             (flags as those of the row)
//
// Numbers are big-endian.

import type { DataItem } from '../wire/messages.js';
import { type Difference, differenceOperations } from './queue.js';
import { type FullDifference, itemOverheadBytes, type RowState } from './rows.js';

const newFlag = 0x04;
const contextFlag = 0x08;
const operationMask = 0x03;
const operationCodes = { CREATE: 0, MODIFY: 1, DELETE: 2 } as const;
const at = { version: 1, keyLength: 9, key: 11 } as const;

/** A difference, encoded. */
export interface EncodedRow {
  /** The row; its flags are those of the difference, and not new. */
  readonly row: Buffer;
  /** A view of it. */
  readonly key: Buffer;
  readonly difference: FullDifference;
}

/** Where a row is: of which kind, and its number. */
export interface Place extends RowState {
  readonly isContext: boolean;
  readonly row: number;
  /** The last mark before its document was last submitted. */
  readonly mark: number;
}

/** Copies the differences; all rows are parts of one buffer. */
export function encodeRows(differences: readonly FullDifference[]): EncodedRow[] {
  const lengthOf = (text: string): number => Buffer.byteLength(text);
  let total = 0;
  for (const { index, id, data } of differences) {
    total += at.key + 2 + lengthOf(index) + lengthOf(id) + data.length;
  }
  const buffer = Buffer.allocUnsafeSlow(total);
  let start = 0;
  return differences.map((difference) => {
    const keyStart = start + at.key;
    const indexLength = buffer.write(difference.index, keyStart + 2);
    const idLength = buffer.write(difference.id, keyStart + 2 + indexLength);
    const keyEnd = keyStart + 2 + indexLength + idLength;
    buffer[start] = flagsOf({ ...difference, isNew: false });
    buffer.writeBigUInt64BE(difference.version, start + at.version);
    buffer.writeUInt16BE(keyEnd - keyStart, start + at.keyLength);
    buffer.writeUInt16BE(indexLength, keyStart);
    buffer.set(difference.data, keyEnd);
    const end = keyEnd + difference.data.length;
    const encoded = {
      row: buffer.subarray(start, end),
      key: buffer.subarray(keyStart, keyEnd),
      difference,
    };
    start = end;
    return encoded;
  });
}

function flagsOf({ operation, isNew, isContext }: RowState & { readonly isContext: boolean }): number {
  return operationCodes[operation] | (isNew ? newFlag : 0) | (isContext ? contextFlag : 0);
}

/** Makes a row say what has become of it. */
export function setState(row: Buffer, place: RowState & { readonly isContext: boolean }): void {
  row[0] = flagsOf(place);
}

export function encodePlace(place: Place): Buffer {
  const bytes = Buffer.allocUnsafe(13);
  bytes[0] = flagsOf(place);
  bytes.writeUIntBE(place.row, 1, 6);
  bytes.writeUIntBE(place.mark, 7, 6);
  return bytes;
}

export function decodePlace(bytes: Buffer): Place {
  const flags = bytes[0] ?? 0;
  return {
    ...stateOf(flags),
    isContext: (flags & contextFlag) !== 0,
    row: bytes.readUIntBE(1, 6),
    mark: bytes.readUIntBE(7, 6),
  };
}

function stateOf(flags: number): RowState {
  return {
    operation: differenceOperations[flags & operationMask] ?? 'MODIFY',
    isNew: (flags & newFlag) !== 0,
  };
}

/** The key by which a database has the row of that number. */
export function rowKey(row: number): Buffer {
  const bytes = Buffer.allocUnsafe(6);
  bytes.writeUIntBE(row, 0, 6);
  return bytes;
}

export function rowOfKey(key: Uint8Array): number {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).readUIntBE(0, 6);
}

/** What all keys of an index begin with. */
export function indexPrefix(index: string): Buffer {
  const text = Buffer.from(index);
  const prefix = Buffer.allocUnsafe(2 + text.length);
  prefix.writeUInt16BE(text.length);
  prefix.set(text, 2);
  return prefix;
}

/** The names of indices, one after the other, each as `indexPrefix` has it. */
export function encodeNames(names: readonly string[]): Buffer {
  return Buffer.concat(names.map(indexPrefix));
}

export function decodeNames(bytes: Buffer): string[] {
  const names: string[] = [];
  for (let end = 0; end < bytes.length; ) {
    const start = end + 2;
    end = start + bytes.readUInt16BE(end);
    names.push(bytes.toString('utf8', start, end));
  }
  return names;
}

/** The index of a row. */
export function indexOfRow(row: Buffer): string {
  return row.toString('utf8', at.key + 2, at.key + 2 + row.readUInt16BE(at.key));
}

/** What the item of a row takes in a message, at most. */
export function itemBytesOf(row: Buffer): number {
  return row.length - at.key - 2 + itemOverheadBytes;
}

/** The key of a row: a view. */
export function keyOfRow(row: Buffer): Buffer {
  return row.subarray(at.key, at.key + row.readUInt16BE(at.keyLength));
}

interface Parts {
  readonly index: string;
  readonly id: string;
  readonly version: bigint;
  readonly data: Buffer;
}

function partsOf(row: Buffer): Parts {
  const keyEnd = at.key + row.readUInt16BE(at.keyLength);
  const indexEnd = at.key + 2 + row.readUInt16BE(at.key);
  return {
    index: row.toString('utf8', at.key + 2, indexEnd),
    id: row.toString('utf8', indexEnd, keyEnd),
    version: row.readBigUInt64BE(at.version),
    data: row.subarray(keyEnd),
  };
}

/** The item that a row is sent as. Its data are a view of the row. */
export function decodeItem(row: Buffer): DataItem {
  const flags = row[0] ?? 0;
  const { index, id, version, data } = partsOf(row);
  if ((flags & contextFlag) !== 0) return { kind: 'context', index, id, data };
  const operation = stateOf(flags).operation === 'DELETE' ? 'Delete' : 'Upsert';
  return { kind: 'value', operation, index, id, version, data };
}

export function decodeDifference(row: Buffer): Difference {
  const flags = row[0] ?? 0;
  return { ...partsOf(row), operation: stateOf(flags).operation, isContext: (flags & contextFlag) !== 0 };
}
