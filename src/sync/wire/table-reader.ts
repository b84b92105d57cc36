// Reads the fields of one table of a verified message. An absent field is 0, empty, or an empty list. Not by ByteBuffer of the FlatBuffers
// runtime: that takes what vtables say for signed, so that beyond 32 KiB it reads elsewhere than the verifier looked.

import type { Field } from './schema.js';
import { SyncFormatError } from './verifier.js';

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const noBytes: Uint8Array = new Uint8Array(0);

export class TableReader {
  readonly #view: DataView;
  readonly #table: number;

  /**
   * @param view of a verified message.
   * @param table the position of one of its tables.
   */
  constructor(view: DataView, table: number) {
    this.#view = view;
    this.#table = table;
  }

  has(field: Field): boolean {
    return this.#at(field.id) !== 0;
  }

  /** Whether any field is there whose id is greater. */
  hasFieldsBeyond(field: Field): boolean {
    for (let id = field.id + 1; id < this.#fields(); ++id) if (this.#at(id) !== 0) return true;
    return false;
  }

  /** -128 to 127. */
  byte(field: Field): number {
    const at = this.#at(field.id);
    return at === 0 ? 0 : this.#view.getInt8(at);
  }

  u32(field: Field): number {
    const at = this.#at(field.id);
    return at === 0 ? 0 : this.#view.getUint32(at, true);
  }

  u64(field: Field): bigint {
    const at = this.#at(field.id);
    return at === 0 ? 0n : this.#view.getBigUint64(at, true);
  }

  /** A view. */
  bytes(field: Field): Uint8Array {
    const at = this.#at(field.id);
    return at === 0 ? noBytes : this.#vector(this.#target(at));
  }

  /** @throws SyncFormatError when it is no UTF-8, or longer. */
  text(field: Field, maxBytes: number): string {
    const at = this.#at(field.id);
    return at === 0 ? '' : this.#text(this.#target(at), maxBytes);
  }

  /**
   * Each text of a list once, in the order in which they come first.
   *
   * @throws SyncFormatError when there are more than `maxCount`, or one is no UTF-8, or longer than `maxBytes`.
   */
  distinctTexts(field: Field, maxCount: number, maxBytes: number): string[] {
    const texts = new Set<string>();
    // Texts can lie on top of each other: they are not to be many times what the message is.
    let room = this.#view.byteLength;
    for (const at of this.#elements(field, maxCount)) {
      const text = this.#text(at, maxBytes);
      if (texts.has(text)) continue;
      texts.add(text);
      room -= this.#view.getUint32(at, true);
      if (room < 0) throw new SyncFormatError('a list of texts that overlap');
    }
    return Array.from(texts);
  }

  /** @throws SyncFormatError when there are more than `maxCount`. */
  tables(field: Field, maxCount: number): TableReader[] {
    return this.#elements(field, maxCount).map((at) => new TableReader(this.#view, at));
  }

  get #vtable(): number {
    return this.#table - this.#view.getInt32(this.#table, true);
  }

  #fields(): number {
    return this.#view.getUint16(this.#vtable, true) / 2 - 2;
  }

  #at(id: number): number {
    if (id >= this.#fields()) return 0;
    const offset = this.#view.getUint16(this.#vtable + 4 + 2 * id, true);
    return offset === 0 ? 0 : this.#table + offset;
  }

  #target(at: number): number {
    return at + this.#view.getUint32(at, true);
  }

  #vector(at: number): Uint8Array {
    const { buffer, byteOffset } = this.#view;
    return new Uint8Array(buffer, byteOffset + at + 4, this.#view.getUint32(at, true));
  }

  #text(at: number, maxBytes: number): string {
    const bytes = this.#vector(at);
    // Before it is decoded: a list can name the same long text many times.
    if (bytes.length > maxBytes) {
      throw new SyncFormatError(`a text of ${bytes.length} bytes; at most ${maxBytes} are allowed`);
    }
    try {
      return utf8.decode(bytes);
    } catch {
      throw new SyncFormatError('a text that is no UTF-8');
    }
  }

  #elements(field: Field, maxCount: number): number[] {
    const at = this.#at(field.id);
    if (at === 0) return [];
    const start = this.#target(at);
    const count = this.#view.getUint32(start, true);
    if (count > maxCount) throw new SyncFormatError(`a list of ${count}; at most ${maxCount} are allowed`);
    return Array.from({ length: count }, (_, n) => this.#target(start + 4 + 4 * n));
  }
}
