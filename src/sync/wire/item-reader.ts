// Reads the items of Data messages without making anything of those parts that are not asked for: what a manager does millions of times.

import { type DataItem, limits, type Operation, operations } from './messages.js';
import { type Field, tables } from './schema.js';
import { verifyMessage, viewOf } from './verifier.js';

const noMessage: Buffer = Buffer.alloc(0);
const noView: DataView = new DataView(new ArrayBuffer(0));
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
/** 2^53 as the upper half of a u64: from there on numbers are not exact. */
const firstInexactUpper = 0x20_0000;

/** Which fields an item of a kind has. */
interface Layout {
  readonly kind: DataItem['kind'];
  readonly id?: Field;
  readonly index: Field;
  readonly operation?: Field;
  readonly version?: Field;
  readonly data?: Field;
}
const value: Layout = { kind: 'value', ...tables.DataValue };
const context: Layout = { kind: 'context', ...tables.DataContext };
const clean: Layout = { kind: 'clean', ...tables.DataClean };

/**
 * A cursor over the items of one message after the other. Each getter is about the item at which it stands, and reads it then: ask once.
 * An item that is not as it should be does not spoil those beside it: an id or index that is missing, longer than `limits`, or no UTF-8
 * is ''.
 */
export class ItemReader {
  #bytes: Buffer = noMessage;
  #view: DataView = noView;
  #layout = value;
  /** Of a DataBatch, where the list of its items begins; of other messages 0, and `#table` is the one item. */
  #list = 0;
  #count = 0;
  #next = 0;
  #table = 0;
  /** The vtable of this item, and where its fields are by that: 0 for an absent one. Most items of a message share one. */
  #vtable = -1;
  #seqOffset = 0;
  #sessionOffset = 0;
  #indexOffset = 0;
  #idOffset = 0;
  #operationOffset = 0;
  #versionOffset = 0;
  #dataOffset = 0;
  /** The last session: the next item's is the same one. */
  #session = 0n;
  #sessionLower = 0;
  #sessionUpper = 0;
  /** The last index, as bytes and as text. */
  readonly #indexBytes: Uint8Array = new Uint8Array(limits.indexBytes);
  #indexLength = 0;
  #index = '';

  /**
   * Verifies a message and stands before its first item. The bytes have to stay as they are while the cursor is over them.
   *
   * @returns false when it is no Data: not DataValue, DataBatch, DataContext or DataClean, or one without content; there are no items then.
   * @throws SyncFormatError ERR_HAWSER_PROTOCOL, as `decodeMessage` does, but not for what it says of single items.
   */
  open(message: Uint8Array): boolean {
    this.#count = 0;
    this.#next = 0;
    this.#vtable = -1;
    const view = viewOf(message);
    const { type, content } = verifyMessage(message, view);
    if (content === 0) return false;
    this.#view = view;
    this.#bytes = Buffer.from(message.buffer, message.byteOffset, message.byteLength);
    switch (type) {
      case 'DataBatch':
        this.#openBatch(content);
        return true;
      case 'DataValue':
        return this.#openOne(value, content);
      case 'DataContext':
        return this.#openOne(context, content);
      case 'DataClean':
        return this.#openOne(clean, content);
      default:
        return false;
    }
  }

  /** How many items the message has. */
  get count(): number {
    return this.#count;
  }

  /** Goes to the next item. @returns false when there is none. */
  next(): boolean {
    return this.moveTo(this.#next);
  }

  /** Goes to the nth item, from 0; `next` goes on from there. @returns false when there is none; then it stands where it did. */
  moveTo(n: number): boolean {
    if (!(n >= 0 && n < this.#count)) return false;
    this.#next = n + 1;
    if (this.#list !== 0) this.#table = this.#target(this.#list + 4 * n);
    const vtable = this.#table - this.#view.getInt32(this.#table, true);
    if (vtable !== this.#vtable) this.#readVtable(vtable);
    return true;
  }

  get kind(): DataItem['kind'] {
    return this.#layout.kind;
  }

  /** -1 for 2^53 and more: no session has so many items. */
  get seq(): number {
    const offset = this.#seqOffset;
    if (offset === 0) return 0;
    const upper = this.#view.getUint32(this.#table + offset + 4, true);
    if (upper >= firstInexactUpper) return -1;
    return upper * 0x1_0000_0000 + this.#view.getUint32(this.#table + offset, true);
  }

  get session(): bigint {
    const offset = this.#sessionOffset;
    const lower = offset === 0 ? 0 : this.#view.getUint32(this.#table + offset, true);
    const upper = offset === 0 ? 0 : this.#view.getUint32(this.#table + offset + 4, true);
    if (lower !== this.#sessionLower || upper !== this.#sessionUpper) {
      this.#sessionLower = lower;
      this.#sessionUpper = upper;
      this.#session = (BigInt(upper) << 32n) | BigInt(lower);
    }
    return this.#session;
  }

  /** Undefined when it is unknown, and where `kind` has none. */
  get operation(): Operation | undefined {
    if (this.#layout.operation === undefined) return undefined;
    const offset = this.#operationOffset;
    return operations[offset === 0 ? 0 : this.#view.getInt8(this.#table + offset)];
  }

  get index(): string {
    const offset = this.#indexOffset;
    if (offset === 0) return '';
    const at = this.#target(this.#table + offset);
    const length = this.#view.getUint32(at, true);
    if (length > limits.indexBytes) return '';
    if (this.#isLastIndex(at + 4, length)) return this.#index;
    this.#indexBytes.set(this.#bytes.subarray(at + 4, at + 4 + length));
    this.#indexLength = length;
    this.#index = this.#text(at + 4, length);
    return this.#index;
  }

  /** '' also where `kind` has none. */
  get id(): string {
    const offset = this.#idOffset;
    if (offset === 0) return '';
    const at = this.#target(this.#table + offset);
    const length = this.#view.getUint32(at, true);
    return length > limits.idBytes ? '' : this.#text(at + 4, length);
  }

  /** 0 also where `kind` has none. */
  get version(): bigint {
    const offset = this.#versionOffset;
    return offset === 0 ? 0n : this.#view.getBigUint64(this.#table + offset, true);
  }

  /** A view of the message. Undefined when it is missing, and where `kind` has none. */
  get data(): Uint8Array | undefined {
    const offset = this.#dataOffset;
    if (offset === 0) return undefined;
    const at = this.#target(this.#table + offset);
    const start = this.#bytes.byteOffset + at + 4;
    return new Uint8Array(this.#bytes.buffer, start, this.#view.getUint32(at, true));
  }

  #openBatch(content: number): void {
    const field = this.#offsetOf(content - this.#view.getInt32(content, true), tables.DataBatch.values);
    const list = field === 0 ? 0 : this.#target(content + field);
    this.#layout = value;
    this.#list = list + 4;
    this.#count = list === 0 ? 0 : this.#view.getUint32(list, true);
  }

  #openOne(layout: Layout, content: number): boolean {
    this.#layout = layout;
    this.#list = 0;
    this.#table = content;
    this.#count = 1;
    return true;
  }

  #readVtable(vtable: number): void {
    const { id, index, operation, version, data } = this.#layout;
    this.#vtable = vtable;
    this.#seqOffset = this.#offsetOf(vtable, tables.DataValue.seq);
    this.#sessionOffset = this.#offsetOf(vtable, tables.DataValue.session);
    this.#indexOffset = this.#offsetOf(vtable, index);
    this.#idOffset = this.#offsetOf(vtable, id);
    this.#operationOffset = this.#offsetOf(vtable, operation);
    this.#versionOffset = this.#offsetOf(vtable, version);
    this.#dataOffset = this.#offsetOf(vtable, data);
  }

  #offsetOf(vtable: number, field: Field | undefined): number {
    if (field === undefined) return 0;
    const slot = 4 + 2 * field.id;
    return slot < this.#view.getUint16(vtable, true) ? this.#view.getUint16(vtable + slot, true) : 0;
  }

  #target(at: number): number {
    return at + this.#view.getUint32(at, true);
  }

  #isLastIndex(at: number, length: number): boolean {
    if (length !== this.#indexLength) return false;
    for (let n = 0; n < length; ++n) if (this.#bytes[at + n] !== this.#indexBytes[n]) return false;
    return true;
  }

  #text(at: number, length: number): string {
    const end = at + length;
    for (let byte = at; byte < end; ++byte) {
      if ((this.#bytes[byte] ?? 0) >= 0x80) return strictText(this.#bytes.subarray(at, end));
    }
    return this.#bytes.toString('latin1', at, end);
  }
}

function strictText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    return '';
  }
}
