// What the tests of queues share: both kinds of them, and short ways to say what is submitted and what comes out.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openQueue, type QueueOptions } from '../../../src/sync/queue/lmdb-queue.js';
import { MemoryQueue } from '../../../src/sync/queue/memory-queue.js';
import type {
  Difference,
  DifferenceOperation,
  Snapshot,
  SnapshotLimits,
  SyncQueue,
} from '../../../src/sync/queue/queue.js';
import type { DataItem } from '../../../src/sync/wire/messages.js';

/** One that tests open, and perhaps close and open again. */
export interface QueueKind {
  readonly name: 'MemoryQueue' | 'LmdbQueue';
  open(path: string, options?: Pick<QueueOptions, 'snapshotItems' | 'snapshotBytes'>): Promise<SyncQueue>;
}

export const queueKinds: readonly QueueKind[] = [
  { name: 'MemoryQueue', open: async (_, options) => new MemoryQueue(options) },
  { name: 'LmdbQueue', open: (path, options) => openQueue(path, options) },
];

/** Runs with a folder that is removed afterwards. */
export async function withFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-queue-'));
  try {
    return await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const operations: Readonly<Record<string, DifferenceOperation>> = { C: 'CREATE', M: 'MODIFY', D: 'DELETE' };

let serial = 0;

/** A difference of its first letter, C, M or D; its data are never those of another. */
export function difference(letter: string, id = 'a', more: Partial<Difference> = {}): Difference {
  const operation = operations[letter] ?? 'CREATE';
  const data = Buffer.from(operation === 'DELETE' ? '' : `{"n":${++serial}}`);
  return { id, operation, index: 'index', data, ...more };
}

/** Submits a text like "C M D", one difference after the other. */
export async function submitAll(queue: SyncQueue, text: string, id = 'a'): Promise<Difference[]> {
  const differences = text
    .split(' ')
    .filter(Boolean)
    .map((letter) => difference(letter, id));
  for (const each of differences) await queue.submit([each]);
  return differences;
}

export async function seal(queue: SyncQueue, limits?: SnapshotLimits): Promise<Snapshot> {
  const snapshot = await queue.fetchAndMarkForSync(limits);
  if (snapshot === undefined) throw new Error('nothing is pending');
  return snapshot;
}

/** The ids of all that is sent until nothing is left. */
export async function drained(queue: SyncQueue): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const snapshot = await queue.fetchAndMarkForSync();
    if (snapshot === undefined) return ids;
    ids.push(...[...snapshot.items()].map((item) => ('id' in item ? item.id : '')));
    await queue.clearSyncedItems(snapshot);
  }
}

/** The items as they can be compared when they are no views any more. */
export function itemsOf(snapshot: Snapshot, fromSeq?: number): string[] {
  return [...snapshot.items(fromSeq)].map(textOf);
}

export function textOf(item: DataItem): string {
  if (item.kind === 'clean') return `clean ${item.index}`;
  const what = item.kind === 'context' ? 'context' : `${item.operation} ${item.version}`;
  return `${what} ${item.index}/${item.id} ${Buffer.from(item.data).toString()}`;
}

/** What would be sent next, without data: nothing changes. */
export function waiting(queue: SyncQueue): string[] {
  return queue
    .fetchPendingItems({ limit: 100_000 })
    .map(({ difference: { operation, index, id }, status }) => `${status} ${operation} ${index}/${id}`);
}

/** What `waiting` gives, with what is parked by its names: its order means nothing. */
export function inModelOrder(rows: readonly string[]): string[] {
  const isParked = (row: string): boolean => row.startsWith('parked');
  const key = (row: string): string => row.split(' ').slice(2).join(' ');
  const parked = rows.filter(isParked).sort((a, b) => (key(a) < key(b) ? -1 : 1));
  return [...rows.filter((row) => !isParked(row)), ...parked];
}
