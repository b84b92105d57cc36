// Checks a message's bounds before anything of it is read: the FlatBuffers runtime of npm reads whatever the offsets say. The verdict is
// that of the verifier of FlatBuffers' C++ runtime for schema g2 with our fields. On top of it come the greatest length, and that parts
// which lie over each other do not make more of a message than there is.

import { HawserError } from '../../base/errors.js';
import { limits } from './messages.js';
import { envelope, type Field, type FieldKind, type MessageType, messageTypes, tables } from './schema.js';

/** Bytes of the other side that are no message of this protocol. Its code is ERR_HAWSER_PROTOCOL. */
export class SyncFormatError extends HawserError {
  constructor(message: string) {
    super('ERR_HAWSER_PROTOCOL', message);
    this.name = 'SyncFormatError';
  }
}

/** Of each table, what its fields are, by id. */
const kinds: ReadonlyMap<string, readonly FieldKind[]> = new Map(
  Object.entries(tables).map(([name, fields]) => [name, kindsOf(fields)]),
);

function kindsOf(fields: Readonly<Record<string, Field>>): FieldKind[] {
  const result: FieldKind[] = [];
  for (const { id, kind } of Object.values(fields)) result[id] = kind;
  return result;
}

/** An offset, and a table and a vtable without fields. */
const leastBytes = 12;

/** What texts may come to together, as a multiple of the length: an index may be shared by all items of a message. */
const maxTextMultiple = 16;

/** A DataView over bytes, wherever they lie in their memory. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Where the content of a verified message is, and of which type. */
export interface Envelope {
  /** The union's number, 0 to 255. */
  readonly number: number;
  /** Undefined when this schema has no such number. */
  readonly type: MessageType | undefined;
  /** Position of its table; 0 when it is absent. What it holds was checked only if `type` is known. */
  readonly content: number;
}

/**
 * Checks that every table, string and vector of a message lies inside it, is aligned and (strings) ends with a zero. Bytes behind the
 * message are accepted, and so is a type that this schema does not have. What strings and numbers say is not looked at. Takes time linear
 * in the length, whatever the bytes are, as tables are three deep at most and each list is gone through once; and so does whoever reads
 * it: all `data` together are no longer than the message, and all texts no longer than 16 times that.
 *
 * @param bytes at most 65,536.
 * @throws SyncFormatError ERR_HAWSER_PROTOCOL.
 */
export function verifyMessage(bytes: Uint8Array, view: DataView = viewOf(bytes)): Envelope {
  if (bytes.length > limits.messageBytes) {
    throw new SyncFormatError(
      `a message of ${bytes.length} bytes; at most ${limits.messageBytes} are allowed`,
    );
  }
  const verifier = new Verifier(view);
  const found = verifier.message();
  if (found === undefined) {
    throw new SyncFormatError('the bytes are no message: an offset or a length leads out of it');
  }
  if (verifier.isRepeating) {
    throw new SyncFormatError('the bytes are no message: its parts lie over each other');
  }
  return found;
}

class Verifier {
  readonly #view: DataView;
  readonly #size: number;
  /** Bytes of the strings and of the byte vectors seen. */
  #textBytes = 0;
  #dataBytes = 0;

  constructor(view: DataView) {
    this.#view = view;
    this.#size = view.byteLength;
  }

  message(): Envelope | undefined {
    if (this.#size < leastBytes || !this.#isOffset(0)) return undefined;
    const root = this.#view.getUint32(0, true);
    const fields = this.#fields(root);
    if (fields < 0) return undefined;
    const type = this.#field(root, envelope.type, fields);
    const content = this.#field(root, envelope.content, fields);
    if (type !== 0 && !this.#inside(type, 1)) return undefined;
    if (content !== 0 && !this.#isOffset(content)) return undefined;
    const number = type === 0 ? 0 : this.#view.getUint8(type);
    const name = messageTypes[number - 1];
    const table = content === 0 ? 0 : content + this.#view.getUint32(content, true);
    if (name !== undefined && table !== 0 && !this.#table(table, kinds.get(name) ?? [])) return undefined;
    return { number, type: name, content: table };
  }

  /** Whether a message has more in it than it is long, beyond what may be shared. */
  get isRepeating(): boolean {
    return this.#textBytes > maxTextMultiple * this.#size || this.#dataBytes > this.#size;
  }

  /** Strictly less than the whole, as in C++: no part of a message is all of it. */
  #inside(at: number, length: number): boolean {
    return at >= 0 && length < this.#size && at <= this.#size - length;
  }

  #isScalar(at: number, bytes: number): boolean {
    return at % bytes === 0 && this.#inside(at, bytes);
  }

  /** Whether there is an offset, which leads forward to at least one byte. */
  #isOffset(at: number): boolean {
    if (!this.#isScalar(at, 4)) return false;
    const offset = this.#view.getUint32(at, true);
    return offset !== 0 && offset < 0x8000_0000 && this.#inside(at + offset, 1);
  }

  /** How many fields the vtable of a table has, ours or not; -1 when there is no table. */
  #fields(table: number): number {
    if (!this.#isScalar(table, 4)) return -1;
    const vtable = table - this.#view.getInt32(table, true);
    if (!this.#isScalar(vtable, 2)) return -1;
    const size = this.#view.getUint16(vtable, true);
    return size % 2 === 0 && this.#inside(vtable, size) ? Math.max(0, size / 2 - 2) : -1;
  }

  /** Where a field of a table is; 0 when it is absent. */
  #field(table: number, id: number, fields: number): number {
    if (id >= fields) return 0;
    const vtable = table - this.#view.getInt32(table, true);
    const offset = this.#view.getUint16(vtable + 4 + 2 * id, true);
    return offset === 0 ? 0 : table + offset;
  }

  #table(table: number, fieldKinds: readonly FieldKind[]): boolean {
    const fields = this.#fields(table);
    if (fields < 0) return false;
    for (let id = 0; id < fieldKinds.length; ++id) {
      const at = this.#field(table, id, fields);
      const kind = fieldKinds[id];
      if (at !== 0 && kind !== undefined && !this.#value(at, kind)) return false;
    }
    return true;
  }

  #value(at: number, kind: FieldKind): boolean {
    switch (kind) {
      case 'byte':
        return this.#inside(at, 1);
      case 'u32':
        return this.#isScalar(at, 4);
      case 'u64':
        return this.#isScalar(at, 8);
      case 'string':
        return this.#isOffset(at) && this.#isString(this.#target(at));
      case 'bytes':
        return this.#isOffset(at) && this.#isData(this.#target(at));
      default:
        return this.#isOffset(at) && this.#isVector(this.#target(at), kind);
    }
  }

  #target(at: number): number {
    return at + this.#view.getUint32(at, true);
  }

  /** Where a vector ends; -1 when it is none. */
  #vectorEnd(at: number, elementBytes: number): number {
    if (!this.#isScalar(at, 4)) return -1;
    const bytes = 4 + this.#view.getUint32(at, true) * elementBytes;
    return this.#inside(at, bytes) ? at + bytes : -1;
  }

  #isData(at: number): boolean {
    const end = this.#vectorEnd(at, 1);
    this.#dataBytes += end - at - 4;
    return end >= 0;
  }

  #isString(at: number): boolean {
    const end = this.#vectorEnd(at, 1);
    this.#textBytes += end - at - 4;
    return end >= 0 && this.#inside(end, 1) && this.#view.getUint8(end) === 0;
  }

  #isVector(at: number, kind: 'strings' | 'DataValue' | 'Pair'): boolean {
    const end = this.#vectorEnd(at, 4);
    if (end < 0) return false;
    const fieldKinds = kind === 'strings' ? undefined : (kinds.get(kind) ?? []);
    for (let element = at + 4; element < end; element += 4) {
      const target = this.#target(element);
      const isThere = fieldKinds === undefined ? this.#isString(target) : this.#table(target, fieldKinds);
      if (!isThere) return false;
    }
    return true;
  }
}
