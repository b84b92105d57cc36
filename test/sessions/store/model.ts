// A plain model of a store of sessions, and transactions to try on both.

import { expect } from 'vitest';
import type { Random } from '../../../src/base/random.js';
import type {
  Compare,
  StoreEntry,
  Transaction,
  TransactionResult,
  Write,
} from '../../../src/sessions/store/store.js';

interface Row {
  readonly text: string;
  readonly revision: number;
}

export class StoreModel {
  readonly #rows = new Map<string, Row>();
  #last = 0;

  revisionOf(key: string): number {
    return this.#rows.get(key)?.revision ?? 0;
  }

  get keys(): readonly string[] {
    return Array.from(this.#rows.keys());
  }

  /** Does the same, and compares what came of it. @param what for the message. */
  expect(transaction: Transaction, result: TransactionResult, what: string): void {
    this.expectTogether([transaction], [result], what);
  }

  /**
   * Does the same as those that were begun in one turn, and compares what came of it. Their revisions are above all before, in any order among
   * themselves: those that touch different keys may be committed together.
   */
  expectTogether(
    transactions: readonly Transaction[],
    results: readonly TransactionResult[],
    what: string,
  ): void {
    const before = this.#last;
    for (const [index, transaction] of transactions.entries()) {
      const result = results[index];
      if (result === undefined) throw new Error('a result is missing');
      this.#expect(transaction, result, before, `${what} + ${index}`);
    }
  }

  #expect({ compare, writes }: Transaction, result: TransactionResult, before: number, what: string): void {
    const holds = compare.every(({ key, revision }) => this.revisionOf(key) === revision);
    expect(result.committed, what).toBe(holds);
    if (!result.committed) {
      const found = result.found.map((entry) => entry && rowOf(entry));
      expect(found, what).toEqual(compare.map(({ key }) => this.#rows.get(key)));
      return;
    }
    const doesChange = writes.some((write) => this.#changes(write));
    if (doesChange) expect(result.revision, what).toBeGreaterThan(before);
    else expect(result.revision, what).toBeGreaterThanOrEqual(before);
    this.#last = Math.max(this.#last, result.revision);
    for (const write of writes) this.#apply(write, result.revision);
  }

  /** @param entries all of the store, in the order of their keys. */
  expectAll(entries: readonly StoreEntry[]): void {
    const order = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b));
    const rows = this.keys.toSorted(order).map((key) => ({ key, ...this.#rows.get(key) }));
    expect(entries.map((entry) => ({ key: entry.key, ...rowOf(entry) }))).toEqual(rows);
  }

  #changes(write: Write): boolean {
    return write.type === 'put' || this.#deleted(write).length > 0;
  }

  #apply(write: Write, revision: number): void {
    if (write.type === 'put') this.#rows.set(write.key, { text: textOf(write.value), revision });
    else for (const key of this.#deleted(write)) this.#rows.delete(key);
  }

  #deleted(write: Exclude<Write, { readonly type: 'put' }>): string[] {
    if (write.type === 'delete') return this.#rows.has(write.key) ? [write.key] : [];
    const [from, to] = [Buffer.from(write.from), Buffer.from(write.to)];
    return this.keys.filter((key) => {
      const bytes = Buffer.from(key);
      return Buffer.compare(from, bytes) <= 0 && Buffer.compare(bytes, to) < 0;
    });
  }
}

function rowOf({ value, revision }: StoreEntry): Row {
  return { text: textOf(value), revision };
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value).toString();
}

const texts = ['a', 'b', 'c', 'é', '\uffff', '😀'];

function pick<T>(random: Random, from: readonly [T, ...T[]]): T {
  return from[Math.floor(random() * from.length)] ?? from[0];
}

function randomKey(random: Random): string {
  const letter = (): string => texts[Math.floor(random() * texts.length)] ?? '';
  return `${letter()}/${letter()}${random() < 0.5 ? letter() : ''}`;
}

/** Most comparisons hold at the time; those that are begun together may break each other's. */
export function randomTransaction(random: Random, model: StoreModel): Transaction {
  const many = (most: number): unknown[] => Array.from({ length: Math.floor(random() * (most + 1)) });
  const compare = many(4).map((): Compare => {
    const key = randomKey(random);
    return { key, revision: random() < 0.9 ? model.revisionOf(key) : Math.floor(random() * 50) };
  });
  const writes: Write[] = [];
  const put = new Set<string>();
  for (const _ of many(6)) {
    const key = randomKey(random);
    const type = pick(random, ['put', 'put', 'put', 'delete', 'deleteRange']);
    const to = randomKey(random);
    if (type === 'put' && !put.has(key)) {
      put.add(key);
      writes.push({ type, key, value: Buffer.from(`${random()}`) });
    }
    if (type === 'delete') writes.push({ type, key });
    if (type === 'deleteRange' && random() < 0.3) writes.push({ type, from: key, to });
  }
  const order = (key: string): Buffer => Buffer.from(key);
  const isPut = (write: Write): boolean =>
    write.type === 'delete'
      ? put.has(write.key)
      : write.type === 'deleteRange' &&
        Array.from(put, order).some(
          (key) => Buffer.compare(order(write.from), key) <= 0 && Buffer.compare(key, order(write.to)) < 0,
        );
  return { compare, writes: writes.filter((write) => !isPut(write)) };
}
