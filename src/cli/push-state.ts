// What `hawser sync push` keeps from one run to the next: the queue, who the agent is, and what it knows to be told or queued, as whom and to
// whom.

import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type LmdbDatabase, type LmdbStore, openLmdb } from '../base/lmdb-store.js';
import { type LmdbQueue, openQueue } from '../sync/queue/lmdb-queue.js';
import type { Difference } from '../sync/queue/queue.js';
import { documentSha1 } from '../sync/store/checksum.js';
import type { LongDocument, Source, SourceDocument } from './push-source.js';
import { randomClientId } from './tokens.js';

const maxBytes = 2 ** 36;
/** So many differences are kept at a time, or so many bytes of them. */
const batchItems = 5000;
const batchBytes = 2 ** 23;

/** Keys of the database `own`: the agent that was made, that all is to be forgotten, and of whom what was told (see `Target`). */
const agentKey = Buffer.from('agent');
const forgetKey = Buffer.from('forget');
const told = {
  agent: Buffer.from('told agent'),
  module: Buffer.from('told module'),
  protocolId: Buffer.from('told protocol id'),
  addresses: Buffer.from('told addresses'),
} as const;
/** Before an index: items of it may be in the queue; so many of it the manager did not apply. */
const queuedPrefix = 'queued ';
const rejectedPrefix = 'rejected ';

/** Whom a state tells, and as whom. */
export interface Target {
  /** The client id; undefined when a token has it, which only the manager can open. */
  readonly agent: bigint | undefined;
  readonly module: string;
  readonly protocolId: bigint;
  /** Of the manager, which may have several. */
  readonly addresses: readonly string[];
}

/** What a comparison found. */
export interface Comparison {
  readonly documents: number;
  readonly created: number;
  readonly modified: number;
  readonly deleted: number;
  /** Documents that are too long for any message: what was told of them stays as it is. */
  readonly tooLong: number;
}

/** Who follows a comparison. */
export interface ComparisonListener {
  /** So many documents were read. */
  readonly read: (documents: number) => void;
  /** Each document that is not too long. */
  readonly found: (document: SourceDocument) => void;
  readonly tooLong: (document: LongDocument) => void;
  /** There is no document any more, and so many were known. When it throws, nothing has changed. */
  readonly empty: (known: number) => void;
}

/** A document that the state knows of. */
interface Known {
  readonly id: string;
  readonly sha1: string;
}

export class PushState implements AsyncDisposable {
  readonly queue: LmdbQueue;
  readonly #directory: string;
  readonly #store: LmdbStore;
  readonly #known: LmdbDatabase;
  readonly #own: LmdbDatabase;

  private constructor(directory: string, queue: LmdbQueue, store: LmdbStore) {
    this.#directory = directory;
    this.queue = queue;
    this.#store = store;
    this.#known = store.database('known');
    this.#own = store.database('own');
  }

  /** @throws HawserError (rejects) as `openQueue` and `openLmdb`. */
  static async open(directory: string): Promise<PushState> {
    const store = await openLmdb(join(directory, 'known'), {
      maxBytes,
      databases: ['known', 'own'],
      format: { name: 'hawser sync push', version: 1 },
    });
    try {
      const queue = join(directory, 'queue');
      if (store.database('own').doesExist(forgetKey)) await forget(store, queue);
      return new PushState(directory, await openQueue(queue, { maxBytes }), store);
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  // ---- Who is told ------------------------------------------------------------------------------------------------

  /** Who the agent is when nobody says so: who it was before, at first random. */
  async agentId(): Promise<bigint> {
    const before = this.#text(told.agent);
    if (before) return BigInt(before);
    const kept = this.#own.get(agentKey);
    if (kept !== undefined) return Buffer.from(kept).readBigUInt64LE();
    const made = Buffer.alloc(8);
    made.writeBigUInt64LE(randomClientId());
    await this.#store.transaction(() => void this.#own.putSync(agentKey, made));
    return made.readBigUInt64LE();
  }

  /**
   * @returns in what that differs from whom this state has told, for people; undefined when it does not, or nobody was told anything. A
   * manager with an address in common is the same.
   */
  otherThan(target: Target): string | undefined {
    const addresses = this.#text(told.addresses)?.split(',');
    if (addresses === undefined) return undefined;
    const agent = this.#text(told.agent) ?? '';
    const module = this.#text(told.module) ?? '';
    const protocolId = this.#text(told.protocolId) ?? '';
    const parts: string[] = [];
    if (agent !== agentText(target)) parts.push(agent === '' ? 'with a token' : `as agent ${agent}`);
    if (module !== target.module) parts.push(`as module ${module}`);
    if (!target.addresses.some((address) => addresses.includes(address))) {
      parts.push(`to the manager at ${addresses.join(', ')}`);
    }
    if (protocolId !== String(target.protocolId)) parts.push(`with protocol id ${protocolId}`);
    return parts.length === 0 ? undefined : parts.join(', ');
  }

  /** From now on, what is kept is what this one was told. */
  async bind(target: Target): Promise<void> {
    await this.#store.transaction(() => {
      this.#own.putSync(told.agent, Buffer.from(agentText(target)));
      this.#own.putSync(told.module, Buffer.from(target.module));
      this.#own.putSync(told.protocolId, Buffer.from(String(target.protocolId)));
      this.#own.putSync(told.addresses, Buffer.from(target.addresses.join(',')));
    });
  }

  /** Closes this state. @returns one that has told nobody anything, and in which nothing waits. */
  async anew(): Promise<PushState> {
    await this.#store.transaction(() => void this.#own.putSync(forgetKey, Buffer.alloc(1)));
    await this.close();
    return PushState.open(this.#directory);
  }

  #text(key: Buffer): string | undefined {
    const value = this.#own.get(key);
    return value === undefined ? undefined : Buffer.from(value).toString();
  }

  // ---- What was not applied ---------------------------------------------------------------------------------------

  /** How many items of an index the manager did not apply since it last had all of it. */
  rejectedOf(index: string): number {
    return Number(this.#text(Buffer.from(rejectedPrefix + index)) ?? 0);
  }

  /** Of what was queued, the manager did not apply so many. Which is not said: they count for each index that was queued. */
  async addRejected(items: number): Promise<void> {
    if (items === 0) return;
    await this.#store.transaction(() => {
      for (const index of this.#queuedIndices()) this.#putRejected(index, this.rejectedOf(index) + items);
    });
  }

  /** The manager has all of an index, but for so many items. */
  async setRejected(index: string, items: number): Promise<void> {
    if (items !== this.rejectedOf(index))
      await this.#store.transaction(() => this.#putRejected(index, items));
  }

  #putRejected(index: string, items: number): void {
    const key = Buffer.from(rejectedPrefix + index);
    if (items === 0) this.#own.removeSync(key);
    else this.#own.putSync(key, Buffer.from(String(items)));
  }

  /** Nothing is in the queue any more. */
  async emptied(): Promise<void> {
    const indices = this.#queuedIndices();
    if (indices.length === 0) return;
    await this.#store.transaction(() => {
      for (const index of indices) this.#own.removeSync(Buffer.from(queuedPrefix + index));
    });
  }

  #queuedIndices(): string[] {
    const start = Buffer.from(queuedPrefix);
    const end = Buffer.concat([start, Buffer.of(0xff)]);
    const keys = this.#own.getKeys({ start, end });
    return Array.from(keys, (key) => Buffer.from(key).toString().slice(queuedPrefix.length));
  }

  // ---- What is to be told ------------------------------------------------------------------------------------------

  /**
   * Queues what of the source is new, different or gone since the last comparison that was kept.
   *
   * @returns undefined when the signal ended it; what was queued by then stays queued.
   */
  async compare(
    source: Source,
    index: string,
    signal: AbortSignal,
    listener: ComparisonListener,
  ): Promise<Comparison | undefined> {
    const counts = { documents: 0, created: 0, modified: 0, deleted: 0, tooLong: 0 };
    const seen = new Set<string>();
    const batch = new Batch();
    const keepAll = (): Promise<void> => this.#keep(index, batch.take());
    for await (const document of source.documents()) {
      if (signal.aborted) return undefined;
      const { id, data } = document;
      seen.add(id);
      listener.read(seen.size);
      if (data === undefined) {
        ++counts.tooLong;
        listener.tooLong(document);
        continue;
      }
      listener.found(document);
      const sha1 = documentSha1(data);
      // Of several with one id the last counts.
      const before = batch.sha1Of(id) ?? this.#knownSha1(index, id);
      if (sha1 === before) continue;
      if (before === undefined) ++counts.created;
      else ++counts.modified;
      batch.add({ id, index, operation: before === undefined ? 'CREATE' : 'MODIFY', data }, sha1);
      if (batch.isFull) await keepAll();
    }
    await keepAll();
    const gone = Array.from(this.#allKnown(index), ({ id }) => id).filter((id) => !seen.has(id));
    if (seen.size === 0) listener.empty(gone.length);
    for (const id of gone) {
      batch.add({ id, index, operation: 'DELETE', data: new Uint8Array(0) }, undefined);
      if (batch.isFull) await keepAll();
    }
    await keepAll();
    return { ...counts, documents: seen.size, deleted: gone.length };
  }

  /**
   * What is known is unsure while the queue takes the changes: whoever is killed in between compares all of them anew, with what there is by
   * then.
   */
  async #keep(index: string, changes: readonly BatchedChange[]): Promise<void> {
    if (changes.length === 0) return;
    await this.#store.transaction(() => {
      this.#own.putSync(Buffer.from(queuedPrefix + index), Buffer.alloc(1));
      for (const { difference } of changes) {
        this.#known.putSync(knownKey(index, difference.id), knownValue(difference.id, unsureSha1));
      }
    });
    await this.queue.submit(changes.map(({ difference }) => difference));
    await this.#store.transaction(() => {
      for (const { difference, sha1 } of changes) {
        const key = knownKey(index, difference.id);
        if (sha1 === undefined) this.#known.removeSync(key);
        else this.#known.putSync(key, knownValue(difference.id, sha1));
      }
    });
  }

  #knownSha1(index: string, id: string): string | undefined {
    const value = this.#known.get(knownKey(index, id));
    return value === undefined ? undefined : decodeKnown(value).sha1;
  }

  *#allKnown(index: string): Generator<Known> {
    const start = indexPrefix(index);
    const end = Buffer.concat([start, Buffer.alloc(idHashBytes + 1, 0xff)]);
    for (const { value } of this.#known.getRange({ start, end })) yield decodeKnown(value);
  }

  async close(): Promise<void> {
    await this.queue.close();
    await this.#store.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function agentText({ agent }: Target): string {
  return agent === undefined ? '' : String(agent);
}

/** What was interrupted in its midst is done again by the next one who opens the state: the mark goes with the rest. */
async function forget(store: LmdbStore, queue: string): Promise<void> {
  await rm(queue, { recursive: true, force: true });
  const own = store.database('own');
  await store.transaction(() => {
    const agent = own.get(agentKey);
    store.database('known').clearSync();
    own.clearSync();
    if (agent !== undefined) own.putSync(agentKey, agent);
  });
}

const idHashBytes = 32;

/** Of ids of any length, and no index can be taken for the beginning of another. */
function knownKey(index: string, id: string): Buffer {
  return Buffer.concat([indexPrefix(index), createHash('sha256').update(id).digest()]);
}

function indexPrefix(index: string): Buffer {
  return createHash('sha256').update(index).digest();
}

const sha1Digits = 40;
/** That of no document: what was told or queued last is not known. */
const unsureSha1 = '-'.repeat(sha1Digits);

function knownValue(id: string, sha1: string): Buffer {
  return Buffer.from(sha1 + id);
}

function decodeKnown(value: Uint8Array): Known {
  const text = Buffer.from(value).toString('utf8');
  return { sha1: text.slice(0, sha1Digits), id: text.slice(sha1Digits) };
}

/** A change that is about to be kept. */
interface BatchedChange {
  readonly difference: Difference;
  /** Of the document; undefined of one that is gone. */
  readonly sha1: string | undefined;
}

/** Changes that are kept together, one for each id. */
class Batch {
  #changes = new Map<string, BatchedChange>();
  #bytes = 0;

  get isFull(): boolean {
    return this.#changes.size >= batchItems || this.#bytes >= batchBytes;
  }

  sha1Of(id: string): string | undefined {
    return this.#changes.get(id)?.sha1;
  }

  add(difference: Difference, sha1: string | undefined): void {
    this.#changes.set(difference.id, { difference, sha1 });
    this.#bytes += difference.data.length;
  }

  /** All of them; the batch is empty then. */
  take(): BatchedChange[] {
    const changes = [...this.#changes.values()];
    this.#changes = new Map();
    this.#bytes = 0;
    return changes;
  }
}
