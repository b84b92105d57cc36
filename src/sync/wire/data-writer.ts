// Writes the items of a session into messages, several each, without making anything per item: what an agent does millions of times.
//
// A message is written from its end to its beginning, as FlatBuffers' builders do it, since offsets lead forward. Positions are distances
// from the end of the room, which stay what they are when the room grows. All tables are at multiples of 8 and have one layout:
//
//   0 vtable | 4 id | 8 index | 12 data | 16 seq | 24 session | 32 version, unless it is 0 | operation, unless it is Upsert

import { encodeMessage } from './codec.js';
import { type DataItem, operations } from './messages.js';
import { envelope, type Field, messageTypes, tables } from './schema.js';

type ItemWithData = Exclude<DataItem, { readonly kind: 'clean' }>;

const idAt = 4;
const indexAt = 8;
const dataAt = 12;
const seqAt = 16;
const sessionAt = 24;
const plainTableBytes = 32;

/** The layouts: a sum of the first two, or the last. */
const withVersion = 1;
const ofDelete = 2;
const ofContext = 4;
const layouts = 5;
/** A vtable takes 18 bytes, or less; what follows it is at a multiple of 4. */
const vtableBytes = 20;

// What stands in front of a single item, and of the list of a batch, in bytes from the beginning of the message:
//
//   0 root | 4 vtable of Message | 12 Message | 24 the item, or vtable of DataBatch | 32 DataBatch | 40 list
const messageVtableAt = 4;
const messageAt = 12;
const contentAt = messageAt + 4;
const typeAt = messageAt + 8;
const envelopeBytes = 24;
const batchVtableAt = 24;
const batchAt = 32;
const valuesAt = batchAt + 4;
const batchHeadBytes = 40;

const firstRoomBytes = 2048;
const encoder = new TextEncoder();

function align4(length: number): number {
  return (length + 3) & ~3;
}

function align8(length: number): number {
  return (length + 7) & ~7;
}

function utf8Length(text: string): number {
  for (let n = 0; n < text.length; ++n) if (text.charCodeAt(n) >= 0x80) return Buffer.byteLength(text);
  return text.length;
}

function layoutOf(item: ItemWithData): number {
  if (item.kind === 'context') return ofContext;
  return (item.version === 0n ? 0 : withVersion) + (item.operation === 'Delete' ? ofDelete : 0);
}

function operationAt(layout: number): number {
  return plainTableBytes + ((layout & withVersion) === 0 ? 0 : 8);
}

/** The operation is written as a word, so that no byte behind it is left as it was. */
function tableBytes(layout: number): number {
  return operationAt(layout) + ((layout & ofDelete) === 0 ? 0 : 4);
}

/**
 * Packs the items of one session. An item is put beside the others, as DataValue of a DataBatch, until `add` says that it does not fit;
 * then the message is taken by `finish`, and the item is added to the next. Contexts and cleans are messages of their own.
 */
export class DataWriter {
  readonly #session: bigint;
  readonly #sessionLower: number;
  readonly #sessionUpper: number;
  readonly #maxBytes: number;
  readonly #maxSingleBytes: number;
  #bytes: Uint8Array = new Uint8Array(firstRoomBytes);
  #view: DataView = new DataView(this.#bytes.buffer);
  /** How much of the end of the room is written. A multiple of 8. */
  #used = 0;
  #count = 0;
  /** What the one item is, when it cannot be one of several. */
  #isContext = false;
  #clean: Uint8Array | undefined;
  /** Where the tables are. */
  readonly #tables: number[] = [];
  /** Where the indices are that are written already; the last one apart, as most follow their like. */
  readonly #indices: Map<string, number> = new Map();
  #lastIndex = '';
  #lastIndexAt = 0;
  /** Where the vtables are, by layout; 0 for those that are not written yet. */
  readonly #vtables: Uint32Array = new Uint32Array(layouts);

  /**
   * @param session u64.
   * @param maxBytes how long a message with several items may be.
   * @param maxSingleBytes and one with a single item; `maxBytes` by default.
   */
  constructor(session: bigint, maxBytes: number, maxSingleBytes: number = maxBytes) {
    this.#session = session;
    this.#sessionLower = Number(session & 0xffff_ffffn);
    this.#sessionUpper = Number(session >> 32n);
    this.#maxBytes = maxBytes;
    this.#maxSingleBytes = maxSingleBytes;
  }

  /** How many items wait for `finish`. */
  get count(): number {
    return this.#count;
  }

  /**
   * Adds an item; its bytes are copied.
   *
   * @param seq 0 to 2^53 - 1.
   * @param item within `limits`.
   * @returns false when it was not added: with a count of 0 it is too long for any message of this writer, otherwise for this one.
   */
  add(seq: number, item: DataItem): boolean {
    if (item.kind === 'value') return !this.#isContext && this.#clean === undefined && this.#add(seq, item);
    if (this.#count > 0) return false;
    if (item.kind === 'context') return this.#add(seq, item);
    const { index } = item;
    const message = encodeMessage({ type: 'DataClean', seq: BigInt(seq), session: this.#session, index });
    if (message.length > this.#maxSingleBytes) return false;
    this.#clean = message;
    this.#count = 1;
    return true;
  }

  /**
   * The message with what was added: a DataBatch of several values (or of none), a DataValue, DataContext or DataClean of one. Then the
   * writer is empty.
   *
   * @returns a view that is valid until the next `add`.
   */
  finish(): Uint8Array {
    const message = this.#clean ?? (this.#count === 1 ? this.#finishSingle() : this.#finishBatch());
    this.#clean = undefined;
    this.#isContext = false;
    this.#used = 0;
    this.#count = 0;
    this.#tables.length = 0;
    this.#indices.clear();
    this.#lastIndexAt = 0;
    this.#vtables.fill(0);
    return message;
  }

  // First where everything goes, so that nothing is written of an item that does not fit.
  #add(seq: number, item: ItemWithData): boolean {
    const { index, id, data } = item;
    const layout = layoutOf(item);
    const idLength = utf8Length(id);
    const dataStart = align4(this.#used + data.length) + 4;
    const idStart = align4(dataStart + idLength + 1) + 4;
    const knownIndex = this.#indexStart(index);
    const indexLength = knownIndex === 0 ? utf8Length(index) : 0;
    const indexStart = knownIndex === 0 ? align4(idStart + indexLength + 1) + 4 : knownIndex;
    const stringsStart = knownIndex === 0 ? indexStart : idStart;
    const knownVtable = this.#vtables[layout] ?? 0;
    const vtable = knownVtable === 0 ? stringsStart + vtableBytes : knownVtable;
    const tableEnd = knownVtable === 0 ? vtable : stringsStart;
    const table = align8(tableEnd + tableBytes(layout));
    if (!this.#fits(table)) return false;

    this.#writeBytes(dataStart, data);
    this.#writeText(idStart, id, idLength);
    if (knownIndex === 0) {
      this.#writeText(indexStart, index, indexLength);
      this.#indices.set(index, indexStart);
    }
    this.#lastIndex = index;
    this.#lastIndexAt = indexStart;
    if (knownVtable === 0) this.#writeVtable(layout, vtable);
    // The gap behind the table, if there is one.
    this.#view.setUint32(this.#bytes.length - tableEnd - 4, 0, true);
    this.#writeTable(table, vtable, idStart, indexStart, dataStart, seq);
    if (item.kind === 'value') this.#writeRest(table, layout, item.version);

    this.#tables.push(table);
    this.#used = table;
    this.#count += 1;
    this.#isContext = item.kind === 'context';
    return true;
  }

  #indexStart(index: string): number {
    if (this.#lastIndexAt !== 0 && this.#lastIndex === index) return this.#lastIndexAt;
    return this.#indices.get(index) ?? 0;
  }

  /** Whether there may be one more table, there; makes room for it and for what goes in front. */
  #fits(table: number): boolean {
    const single = table + envelopeBytes;
    const batch = align8(table + 4 + 4 * (this.#count + 1)) + batchHeadBytes;
    if (this.#count === 0 ? single > this.#maxSingleBytes : batch > this.#maxBytes) return false;
    if (batch > this.#bytes.length) this.#grow(batch);
    return true;
  }

  #grow(least: number): void {
    const bytes = new Uint8Array(align8(Math.max(least, 2 * this.#bytes.length)));
    bytes.set(this.#bytes, bytes.length - this.#bytes.length);
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  #writeBytes(start: number, data: Uint8Array): void {
    const at = this.#bytes.length - start;
    // The padding first: the last bytes may be in the same word.
    this.#view.setUint32(at + align4(data.length), 0, true);
    this.#view.setUint32(at, data.length, true);
    this.#bytes.set(data, at + 4);
  }

  #writeText(start: number, text: string, length: number): void {
    const at = this.#bytes.length - start;
    // The zero behind it and the padding.
    this.#view.setUint32(at + 4 + (length & ~3), 0, true);
    this.#view.setUint32(at, length, true);
    if (length !== text.length) {
      encoder.encodeInto(text, this.#bytes.subarray(at + 4, at + 4 + length));
      return;
    }
    for (let n = 0; n < length; ++n) this.#bytes[at + 4 + n] = text.charCodeAt(n);
  }

  #writeVtable(layout: number, start: number): void {
    const fields = layout === ofContext ? tables.DataContext : tables.DataValue;
    const at = this.#bytes.length - start;
    this.#bytes.fill(0, at, at + vtableBytes);
    this.#vtables[layout] = start;
    const slot = (field: Field, offset: number): void => {
      this.#view.setUint16(at + 4 + 2 * field.id, offset, true);
    };
    this.#view.setUint16(at, 4 + 2 * Object.keys(fields).length, true);
    this.#view.setUint16(at + 2, tableBytes(layout), true);
    slot(fields.id, idAt);
    slot(fields.index, indexAt);
    slot(fields.data, dataAt);
    slot(fields.seq, seqAt);
    slot(fields.session, sessionAt);
    if ((layout & withVersion) !== 0) slot(tables.DataValue.version, plainTableBytes);
    if ((layout & ofDelete) !== 0) slot(tables.DataValue.operation, operationAt(layout));
  }

  #writeTable(
    table: number,
    vtable: number,
    idStart: number,
    indexStart: number,
    dataStart: number,
    seq: number,
  ): void {
    const view = this.#view;
    const at = this.#bytes.length - table;
    view.setInt32(at, vtable - table, true);
    view.setUint32(at + idAt, table - idAt - idStart, true);
    view.setUint32(at + indexAt, table - indexAt - indexStart, true);
    view.setUint32(at + dataAt, table - dataAt - dataStart, true);
    view.setUint32(at + seqAt, seq % 0x1_0000_0000, true);
    view.setUint32(at + seqAt + 4, seq / 0x1_0000_0000, true);
    view.setUint32(at + sessionAt, this.#sessionLower, true);
    view.setUint32(at + sessionAt + 4, this.#sessionUpper, true);
  }

  #writeRest(table: number, layout: number, version: bigint): void {
    const at = this.#bytes.length - table;
    if ((layout & withVersion) !== 0) this.#view.setBigUint64(at + plainTableBytes, version, true);
    if ((layout & ofDelete) !== 0) {
      this.#view.setUint32(at + operationAt(layout), operations.indexOf('Delete'), true);
    }
  }

  #finishSingle(): Uint8Array {
    const start = this.#used + envelopeBytes;
    this.#writeEnvelope(start, this.#isContext ? 'DataContext' : 'DataValue', start - contentAt - this.#used);
    return this.#bytes.subarray(this.#bytes.length - start);
  }

  #finishBatch(): Uint8Array {
    const view = this.#view;
    const end = this.#bytes.length;
    const list = this.#used + 4 + 4 * this.#count;
    const start = align8(list) + batchHeadBytes;
    view.setUint32(end - list, this.#count, true);
    let element = list - 4;
    for (const table of this.#tables) {
      view.setUint32(end - element, element - table, true);
      element -= 4;
    }
    const at = end - start;
    // Between the head and the list.
    if (align8(list) !== list) view.setUint32(at + batchHeadBytes, 0, true);
    this.#writeEnvelope(start, 'DataBatch', batchAt - contentAt);
    view.setUint16(at + batchVtableAt, 6, true);
    view.setUint16(at + batchVtableAt + 2, 8, true);
    // The one field, and padding.
    view.setUint32(at + batchVtableAt + 4, valuesAt - batchAt, true);
    view.setInt32(at + batchAt, batchAt - batchVtableAt, true);
    view.setUint32(at + valuesAt, start - valuesAt - list, true);
    return this.#bytes.subarray(at);
  }

  #writeEnvelope(start: number, type: 'DataValue' | 'DataBatch' | 'DataContext', content: number): void {
    const view = this.#view;
    const at = this.#bytes.length - start;
    view.setUint32(at, messageAt, true);
    view.setUint16(at + messageVtableAt, 8, true);
    view.setUint16(at + messageVtableAt + 2, 9, true);
    view.setUint16(at + messageVtableAt + 4 + 2 * envelope.type, typeAt - messageAt, true);
    view.setUint16(at + messageVtableAt + 4 + 2 * envelope.content, contentAt - messageAt, true);
    view.setInt32(at + messageAt, messageAt - messageVtableAt, true);
    view.setUint32(at + contentAt, content, true);
    view.setUint32(at + typeAt, messageTypes.indexOf(type) + 1, true);
  }
}
