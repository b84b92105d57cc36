// What the staged messages of a session do to the documents of its agent.

import { isUtf8 } from 'node:buffer';
import { HawserError } from '../../base/errors.js';
import { nextTurn } from '../../base/next-turn.js';
import type { Change, StoredSession, SyncStore } from '../store/store.js';
import { ItemReader } from '../wire/item-reader.js';
import { type DataItem, limits } from '../wire/messages.js';

/** What a session's items are judged by. */
export interface ItemRules {
  /** It must not throw. */
  readonly allowIndex: (index: string) => boolean;
  /** Told of each valid DataContext. It must not throw. */
  readonly onContext: (item: Extract<DataItem, { kind: 'context' }>) => void;
}

/** So many bytes of messages are read before the event loop runs. */
const bytesPerTurn = 1024 * 1024;
/**
 * Items that came out of order are read a window of sequence numbers at a time: however they lie in the messages, none of these is read more
 * than once for each window. So much may be in one, in bytes.
 */
const windowBytes = 2 ** 23;
/** What an item takes beside its texts and data. */
const itemBytes = 128;
/** Windows begin and end at multiples of this: many of the largest items would otherwise come together. */
const blockItems = 64;

/** An item as it is read, or a copy. */
type Item = Pick<ItemReader, 'kind' | 'index' | 'id' | 'operation' | 'version' | 'data'>;

/** Where the items of a session lie that came out of order. */
interface Arrangement {
  /** By message: the lowest and the greatest sequence number that came with it first, where any did. */
  readonly lowest: Float64Array;
  readonly greatest: Float64Array;
  /** By block: what copies of its items take at most. */
  readonly bytes: Float64Array;
  /** A bit for each number that has come: what came again counts nowhere. */
  readonly seen: Uint8Array;
}

/** A message of a session, read. */
class OpenMessage {
  readonly reader: ItemReader = new ItemReader();
  readonly #bytes: Uint8Array = new Uint8Array(limits.messageBytes);

  /** @returns its length; 0 when it is not there. */
  open(store: SyncStore, session: StoredSession, n: number): number {
    const message = store.stagedMessage(session, n);
    if (message === undefined || message.length > limits.messageBytes) return 0;
    // What the store returned is valid in this turn only; whoever applies the changes may take several.
    const copy = this.#bytes.subarray(0, message.length);
    copy.set(message);
    return this.reader.open(copy) ? message.length : 0;
  }
}

/**
 * The changes of a session whose Data are all staged, in the order of their sequence numbers. Of several items with one number the one that
 * came first counts. The indices of the session and those of its items are 1,024 at most: items of further ones are rejected. Each iteration
 * begins with the first change.
 */
export class SessionChanges implements Iterable<Change | undefined> {
  readonly #store: SyncStore;
  readonly #session: StoredSession;
  readonly #rules: ItemRules;
  #arrangement: Arrangement | undefined = undefined;
  #rejected = 0;
  #incomplete = false;
  /** Those of the session and of its items so far. */
  #indices = new Set<string>();
  /** The last index that was asked about, and the answer. */
  #index: string | undefined = undefined;
  #isAllowed = false;

  constructor(store: SyncStore, session: StoredSession, rules: ItemRules) {
    this.#store = store;
    this.#session = session;
    this.#rules = rules;
  }

  /** How many items were invalid, or of an index that is not allowed, or of one too many, in the present iteration. */
  get rejected(): number {
    return this.#rejected;
  }

  /** Whether an iteration has failed because staged messages are not there. */
  get incomplete(): boolean {
    return this.#incomplete;
  }

  /** Finds out where the items are: needed before an iteration when they came out of order. Takes several turns of the event loop. */
  async arrange(): Promise<void> {
    const { size } = this.#session;
    const count = this.#store.stagedCount(this.#session);
    const arrangement: Arrangement = {
      lowest: new Float64Array(count).fill(Number.POSITIVE_INFINITY),
      greatest: new Float64Array(count).fill(-1),
      bytes: new Float64Array(Math.ceil(size / blockItems)),
      seen: new Uint8Array(Math.ceil(size / 8)),
    };
    const message = new OpenMessage();
    for (let n = 0, bytes = 0; n < count; ++n) {
      const length = message.open(this.#store, this.#session, n);
      if (length === 0) break;
      this.#note(arrangement, n, message.reader);
      bytes += length;
      if (bytes < bytesPerTurn) continue;
      bytes = 0;
      await nextTurn();
    }
    this.#arrangement = arrangement;
  }

  #note({ lowest, greatest, bytes, seen }: Arrangement, n: number, reader: ItemReader): void {
    const { size, session } = this.#session;
    while (reader.next()) {
      const { seq } = reader;
      if (seq < 0 || seq >= size || reader.session !== session) continue;
      const byte = seen[seq >>> 3] ?? 0;
      const bit = 1 << (seq & 7);
      if ((byte & bit) !== 0) continue;
      seen[seq >>> 3] = byte | bit;
      lowest[n] = Math.min(lowest[n] ?? seq, seq);
      greatest[n] = Math.max(greatest[n] ?? seq, seq);
      const block = Math.floor(seq / blockItems);
      bytes[block] = (bytes[block] ?? 0) + bytesOf(reader);
    }
  }

  /** Undefined for each item that changes nothing, and for messages that are read. @throws HawserError ERR_HAWSER_STORE when an item is not there. */
  *[Symbol.iterator](): IterableIterator<Change | undefined> {
    this.#rejected = 0;
    this.#indices = new Set(this.#session.indices);
    this.#index = undefined;
    const items = this.#arrangement === undefined ? this.#inOrder() : this.#arranged(this.#arrangement);
    let seq = 0;
    for (const item of items) {
      if (item === undefined) {
        yield undefined;
        continue;
      }
      ++seq;
      yield this.#changeOf(item);
    }
    if (seq === this.#session.size) return;
    this.#incomplete = true;
    throw missingError();
  }

  *#inOrder(): Generator<Item | undefined, void> {
    const { size, session } = this.#session;
    const count = this.#store.stagedCount(this.#session);
    const message = new OpenMessage();
    const { reader } = message;
    let seq = 0;
    for (let n = 0; n < count; ++n) {
      if (message.open(this.#store, this.#session, n) === 0) return;
      yield undefined;
      while (reader.next()) {
        if (reader.seq !== seq || seq === size || reader.session !== session) continue;
        ++seq;
        yield reader;
      }
    }
  }

  *#arranged(arrangement: Arrangement): Generator<Item | undefined, void> {
    const { size } = this.#session;
    for (let begin = 0; begin < size; ) {
      const end = windowEnd(arrangement, begin, size);
      const items = new Array<Item | undefined>(end - begin).fill(undefined);
      yield* this.#fill(items, begin, arrangement);
      for (const item of items) {
        if (item === undefined) return;
        yield item;
      }
      begin = end;
    }
  }

  /** Copies the items from `begin` on to where they belong: of several with one number the first. */
  *#fill(
    items: (Item | undefined)[],
    begin: number,
    { lowest, greatest }: Arrangement,
  ): Generator<undefined, void> {
    const { session } = this.#session;
    const message = new OpenMessage();
    const { reader } = message;
    const end = begin + items.length;
    for (const [n, first] of lowest.entries()) {
      if (first >= end || (greatest[n] ?? -1) < begin) continue;
      if (message.open(this.#store, this.#session, n) === 0) return;
      while (reader.next()) {
        const at = reader.seq - begin;
        if (at < 0 || at >= items.length || items[at] !== undefined || reader.session !== session) continue;
        items[at] = copyOf(reader);
      }
      yield undefined;
    }
  }

  #changeOf(item: Item): Change | undefined {
    const { kind, index } = item;
    const id = kind === 'clean' ? '' : item.id;
    if (index === '' || (id === '' && kind !== 'clean') || !this.#allows(index)) return this.#reject();
    if (kind === 'clean') return { operation: 'Clean', index };
    if (kind === 'value' && item.operation === 'Delete') return { operation: 'Delete', index, id };
    const { data } = item;
    if (data === undefined || !isJsonObject(data)) return this.#reject();
    if (kind === 'value') return { operation: 'Upsert', index, id, version: item.version, data };
    this.#rules.onContext({ kind, index, id, data });
    return undefined;
  }

  #allows(index: string): boolean {
    if (index !== this.#index) {
      this.#index = index;
      this.#isAllowed = this.#rules.allowIndex(index) && this.#isOfFew(index);
    }
    return this.#isAllowed;
  }

  /** Each index is work of its own for a store. */
  #isOfFew(index: string): boolean {
    if (this.#indices.has(index)) return true;
    if (this.#indices.size >= limits.indices) return false;
    this.#indices.add(index);
    return true;
  }

  #reject(): undefined {
    ++this.#rejected;
  }
}

/** What a copy of an item takes, at most. */
function bytesOf(reader: ItemReader): number {
  return itemBytes + reader.index.length + reader.id.length + (reader.data?.length ?? 0);
}

function copyOf(reader: ItemReader): Item {
  const { kind, index, id, operation, version, data } = reader;
  return { kind, index, id, operation, version, data: data && Buffer.from(data) };
}

/** @returns where the window ends that begins there: after at least one block. */
function windowEnd({ bytes }: Arrangement, begin: number, size: number): number {
  let block = begin / blockItems;
  for (let sum = 0; block < bytes.length; ++block) {
    sum += bytes[block] ?? 0;
    if (sum > windowBytes && block * blockItems > begin) break;
  }
  return Math.min(block * blockItems, size);
}

/** Whether they are one JSON object in UTF-8, of the length that one item may have. */
export function isJsonObject(data: Uint8Array): boolean {
  if (data.length > limits.dataBytes || !isUtf8(data)) return false;
  // One character for each byte: outside of strings JSON is ASCII, and inside of them every byte from 0x80 on is as good as another.
  const text = Buffer.from(data.buffer, data.byteOffset, data.length).toString('latin1');
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}

function missingError(): HawserError {
  return new HawserError('ERR_HAWSER_STORE', 'staged messages of the session are missing');
}
