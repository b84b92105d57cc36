// What a module tells the manager by a FULL sync out of memory (source document, "In-Memory Recovery Mode").

import { HawserError } from '../../base/errors.js';
import type { Difference } from '../queue/queue.js';
import { checkDifferences, itemOf } from '../queue/rows.js';
import { type DataItem, limits } from '../wire/messages.js';

/** What a difference may have besides id, operation, index and data. */
export type DifferenceOptions = Pick<Difference, 'version' | 'isContext'>;

/**
 * The items that tell differences, with copies of their data.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT; ERR_HAWSER_MESSAGE_TOO_LONG for data of more than 61,440 bytes.
 */
export function itemsOf(differences: readonly Difference[]): DataItem[] {
  return checkDifferences(differences).map((difference) => {
    const { data } = difference;
    if (data.length > limits.dataBytes) {
      const message = `the data of a difference are ${data.length} bytes; a message has room for ${limits.dataBytes}`;
      throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', message);
    }
    return itemOf({ ...difference, data: new Uint8Array(data) });
  });
}

/** The items of one session, which nothing changes any more. */
export interface MemorySnapshot {
  readonly size: number;
  /** The indices of its values, sorted. */
  readonly indices: readonly string[];
  items(fromSeq?: number): IterableIterator<DataItem>;
}

interface Held {
  readonly values: DataItem[];
  readonly contexts: DataItem[];
}

/** The items in memory: values before contexts, each in the order in which they came. */
export class AgentMemory {
  #held: Held = { values: [], contexts: [] };
  /** Where the items of each snapshot were taken from, and how many. */
  readonly #taken = new WeakMap<MemorySnapshot, { held: Held; values: number; contexts: number }>();

  get size(): number {
    return this.#held.values.length + this.#held.contexts.length;
  }

  add(item: DataItem): void {
    (item.kind === 'context' ? this.#held.contexts : this.#held.values).push(item);
  }

  clear(): void {
    // A snapshot goes on reading what it began with.
    this.#held = { values: [], contexts: [] };
  }

  /** Everything that is there now. */
  snapshot(): MemorySnapshot {
    const held = this.#held;
    const values = held.values.length;
    const size = values + held.contexts.length;
    const snapshot: MemorySnapshot = {
      size,
      indices: indicesOf(held.values),
      items: (fromSeq = 0) => heldItems(held, values, size, fromSeq),
    };
    this.#taken.set(snapshot, { held, values, contexts: held.contexts.length });
    return snapshot;
  }

  /** Removes what a snapshot has; what was added since then stays. */
  remove(snapshot: MemorySnapshot): void {
    const taken = this.#taken.get(snapshot);
    if (taken === undefined || taken.held !== this.#held) return;
    this.#held = {
      values: taken.held.values.slice(taken.values),
      contexts: taken.held.contexts.slice(taken.contexts),
    };
  }
}

function indicesOf(items: readonly DataItem[]): string[] {
  const indices = new Set<string>();
  for (const { index } of items) indices.add(index);
  return [...indices].sort();
}

function* heldItems(held: Held, values: number, size: number, fromSeq: number): Generator<DataItem, void> {
  for (let seq = fromSeq; seq < size; ++seq) {
    const item = seq < values ? held.values[seq] : held.contexts[seq - values];
    if (item !== undefined) yield item;
  }
}
