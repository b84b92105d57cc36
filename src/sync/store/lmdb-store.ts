// A manager's store on the disk, on LMDB (the optional package `lmdb`).

import { createHash, hash } from 'node:crypto';
import { Allowance } from '../../base/allowance.js';
import { checkFunction, checkInteger, checkOptions, checkString } from '../../base/check.js';
import { systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { type LmdbStore, openLmdb } from '../../base/lmdb-store.js';
import { Turns } from '../../base/turns.js';
import { type AgentUsage, checkShare, sumOf } from './agent-share.js';
import { AgentTurns, settled } from './agent-turns.js';
import { type CommitTools, LmdbCommit, noSuchSession } from './lmdb-commit.js';
import { LmdbGarbage } from './lmdb-garbage.js';
import {
  committedKey,
  type Databases,
  DocumentKeys,
  databaseNames,
  databasesOf,
  decodeCommitted,
  decodeDocument,
  garbageKey,
  numberBytes,
  rangeOf,
  saidKey,
  sha1Bytes,
} from './lmdb-keys.js';
import { LmdbNames } from './lmdb-names.js';
import { findProblems } from './lmdb-problems.js';
import { LmdbSessions, type Staging } from './lmdb-sessions.js';
import type { Change, CommittedSession, StoredDocument, StoredSession, SyncStore } from './store.js';

/** Options of {@link openStore}. */
export interface StoreOptions {
  /**
   * The greatest size, in bytes: 1,048,576 to 2^46; 68,719,476,736 (64 GiB) by default. What a session brings is kept twice while it is
   * applied, and what FULL replaces until it has: three times the documents are enough. A full store can be opened again with more.
   */
  readonly maxBytes?: number;
  /**
   * What the documents of one agent may count for: 1 to `maxBytes`; a quarter of it by default. A document counts for what it takes on the
   * disk: its data and half as much (from 1,984 bytes on: whole pages of 4,096), three times the bytes of its id, and 120.
   */
  readonly maxBytesPerAgent?: number;
  /**
   * Where documents carry a SHA-1 of their own (those of Wazuh do) that agents make their checksums of: finds it.
   *
   * @param document valid during the call.
   * @returns 40 hexadecimal digits; undefined for a document that has none: then it is that of its bytes, as it is without this option.
   */
  readonly sha1Of?: (document: Uint8Array) => string | undefined;
}

/** One who works long gives way to the event loop after so many milliseconds. */
const sliceMs = 5;
/** So many changes of all commits go into one transaction: some milliseconds of work. */
const changesWriting = 4096;
/** So many keys are put through the hash at a time. */
const keysPerHash = 512;

const nothing = Buffer.alloc(0);

/**
 * Opens a manager's store, which is made when it is missing.
 *
 * @param path the directory, made with mode 0700.
 * @returns a promise of the store; this process owns it until `close`, or until it ends.
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT; ERR_HAWSER_PACKAGE_MISSING without the package lmdb; ERR_HAWSER_STORE_LOCKED when it is
 * open already; ERR_HAWSER_STORE_FORMAT when something else is there; ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE.
 */
export async function openStore(path: string, options: StoreOptions = {}): Promise<LmdbSyncStore> {
  checkString('path', path, 1);
  checkOptions('options', options, ['maxBytes', 'maxBytesPerAgent', 'sha1Of']);
  const maxBytes = checkInteger('maxBytes', options.maxBytes ?? 2 ** 36, 2 ** 20, 2 ** 46);
  const maxBytesPerAgent = checkShare(options.maxBytesPerAgent, maxBytes);
  const { sha1Of } = options;
  if (sha1Of !== undefined) checkFunction('sha1Of', sha1Of);
  const format = { name: 'hawser-sync-store', version: 1 };
  const store = await openLmdb(path, { maxBytes, databases: databaseNames, format });
  try {
    return new StoreOnDisk(store, maxBytesPerAgent, sha1Of);
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** A {@link SyncStore} on the disk. Made by {@link openStore}. */
export interface LmdbSyncStore extends SyncStore {
  /**
   * Compares everything in the store with everything else: for whoever doubts the disk. Reads all of it, between other work; nothing
   * changes. What is written meanwhile may be told as a problem, and so may indices of a session whose commit was interrupted: `sessions`
   * has it as `committing`, and to commit it makes them whole.
   *
   * @returns a promise of what does not agree, in words, at most 100; none is as it should be.
   */
  check(): Promise<string[]>;
}

/** Not exported: who compiles against this package need not have lmdb. */
class StoreOnDisk implements LmdbSyncStore {
  readonly #store: LmdbStore;
  readonly #maxBytesPerAgent: number;
  readonly #databases: Databases;
  readonly #names: LmdbNames;
  readonly #sessions: LmdbSessions;
  readonly #garbage: LmdbGarbage;
  readonly #turns: Turns;
  readonly #writing = new Allowance(changesWriting);
  readonly #sha1: (document: Uint8Array) => string;
  readonly #keys = new DocumentKeys();
  readonly #commits = new AgentTurns();
  readonly #checks = new AgentTurns();
  /** Commits by the key of their session. */
  readonly #applying = new Map<number, Promise<void>>();
  /** Sessions that were dropped and could not be deleted. */
  readonly #undropped = new Set<Staging>();
  #closing: Promise<void> | undefined;

  constructor(store: LmdbStore, maxBytesPerAgent: number, sha1Of: StoreOptions['sha1Of']) {
    this.#store = store;
    this.#maxBytesPerAgent = maxBytesPerAgent;
    this.#databases = databasesOf(store);
    this.#turns = new Turns(systemClock, sliceMs);
    this.#names = new LmdbNames(this.#databases);
    this.#sessions = new LmdbSessions(store, this.#databases, this.#names);
    this.#garbage = new LmdbGarbage(store, this.#databases, this.#turns);
    this.#sha1 = sha1Of === undefined ? sha1OfBytes : sha1Finder(sha1Of);
    this.#garbage.collect();
  }

  sessions(): readonly StoredSession[] {
    this.#throwIfClosed();
    return this.#sessions.all();
  }

  committed(agent: string, module: string): CommittedSession | undefined {
    this.#throwIfClosed();
    const number = this.#names.agent(agent);
    if (number === undefined) return undefined;
    const row = this.#databases.committed.get(committedKey(number, module));
    return row === undefined ? undefined : decodeCommitted(row);
  }

  // ---- Staging -----------------------------------------------------------------------------------------------------

  begin(session: Omit<StoredSession, 'key' | 'state'>): StoredSession {
    this.#throwIfClosed();
    return this.#sessions.begin(session);
  }

  stage({ key }: StoredSession, message: Uint8Array): void {
    this.#throwIfClosed();
    this.#sessions.stage(key, message);
  }

  async staged({ key }: StoredSession): Promise<void> {
    this.#throwIfClosed();
    await this.#sessions.staged(key);
    this.#dropAgain();
  }

  get unwrittenBytes(): number {
    return this.#sessions.unwrittenBytes;
  }

  stagedCount({ key }: StoredSession): number {
    this.#throwIfClosed();
    return this.#sessions.get(key)?.count ?? 0;
  }

  stagedMessage({ key }: StoredSession, n: number): Uint8Array | undefined {
    this.#throwIfClosed();
    return this.#sessions.message(key, n);
  }

  async drop({ key }: StoredSession): Promise<void> {
    this.#throwIfClosed();
    await this.#applying.get(key);
    this.#throwIfClosed();
    const staging = this.#sessions.letGo(key);
    if (staging !== undefined) await this.#drop(staging);
  }

  async #drop(staging: Staging): Promise<void> {
    this.#undropped.delete(staging);
    try {
      if (staging.interrupted) await this.#abandon(staging);
      else await this.#sessions.drop(staging);
    } catch (error) {
      this.#undropped.add(staging);
      throw error;
    }
    this.#garbage.collect();
    this.#dropAgain();
  }

  #abandon(staging: Staging): Promise<void> {
    return this.#commits.run(staging.session.agent, async () => {
      this.#throwIfClosed();
      if (!this.#sessions.has(staging)) return;
      await new LmdbCommit(this.#tools(), staging, [], () => 0, undefined).abandon();
    });
  }

  /** The store has just been written: what could not be deleted may be, which would be there again when the store is opened. */
  #dropAgain(): void {
    for (const staging of Array.from(this.#undropped)) this.#drop(staging).catch(() => undefined);
  }

  // ---- Applying ----------------------------------------------------------------------------------------------------

  async commit(
    session: StoredSession,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress?: (applied: number) => void,
  ): Promise<void> {
    this.#throwIfClosed();
    const applied = this.#commits.run(session.agent, async () => {
      this.#throwIfClosed();
      const staging = this.#sessions.get(session.key);
      if (staging === undefined) throw noSuchSession(session.key);
      await this.#sessions.staged(session.key);
      await new LmdbCommit(this.#tools(), staging, changes, rejected, progress).run();
    });
    this.#applying.set(session.key, settled(applied));
    try {
      await applied;
    } finally {
      this.#applying.delete(session.key);
    }
    this.#dropAgain();
  }

  #tools(): CommitTools {
    return {
      store: this.#store,
      databases: this.#databases,
      names: this.#names,
      sessions: this.#sessions,
      garbage: this.#garbage,
      turns: this.#turns,
      keys: this.#keys,
      writing: this.#writing,
      maxBytesPerAgent: this.#maxBytesPerAgent,
      sha1: this.#sha1,
      throwIfClosed: () => this.#throwIfClosed(),
    };
  }

  async setAgent(agent: string, kind: 'metadata' | 'groups', value: Uint8Array): Promise<void> {
    this.#throwIfClosed();
    const number = this.#names.agentToKeep(agent);
    const copy = Buffer.from(value);
    await this.#store.transaction(() => {
      this.#names.keepAgent(agent, number);
      this.#databases.agents.putSync(saidKey(number, kind), copy);
    });
  }

  agent(agent: string, kind: 'metadata' | 'groups'): Uint8Array | undefined {
    this.#throwIfClosed();
    const number = this.#names.agent(agent);
    return number === undefined ? undefined : this.#databases.agents.get(saidKey(number, kind));
  }

  async removeAgent(agent: string): Promise<number> {
    this.#throwIfClosed();
    let count = 0;
    await this.#commits.run(agent, async () => {
      ({ count } = this.usageOf(agent));
      const number = this.#names.agent(agent);
      const stagings = this.#sessions.letGoOf(agent);
      for (const staging of stagings) this.#undropped.add(staging);
      await this.#store.transaction(
        () => {
          for (const staging of stagings) this.#sessions.delete(staging);
          if (number !== undefined) this.#delete(agent, number);
        },
        { beyondMaxBytes: true },
      );
      for (const staging of stagings) this.#undropped.delete(staging);
      for (const staging of stagings) this.#sessions.forget(staging);
    });
    this.#garbage.collect();
    return count;
  }

  /** Within a transaction: everything of an agent but its sessions. What is much becomes garbage. */
  #delete(agent: string, number: number): void {
    const { committed, agents, garbage } = this.#databases;
    for (const { documents, checksums } of this.#names.remove(agent, number)) {
      garbage.putSync(garbageKey('documents', documents), nothing);
      garbage.putSync(garbageKey('checksums', checksums), nothing);
    }
    for (const database of [committed, agents]) {
      for (const key of Array.from(database.getKeys(rangeOf(number)))) database.removeSync(key);
    }
  }

  usageOf(agent: string): AgentUsage {
    this.#throwIfClosed();
    const number = this.#names.agent(agent);
    const collections = number === undefined ? [] : Array.from(this.#names.collections(number));
    return { ...sumOf(collections), maxBytes: this.#maxBytesPerAgent };
  }

  // ---- Reading -----------------------------------------------------------------------------------------------------

  /**
   * While a session of the agent is applied, it can be that of neither before nor after.
   */
  async checksum(agent: string, index: string): Promise<string | undefined> {
    this.#throwIfClosed();
    return this.#checks.run(agent, () => this.#checksum(agent, index));
  }

  async #checksum(agent: string, index: string): Promise<string | undefined> {
    this.#throwIfClosed();
    const number = this.#names.agent(agent);
    const collection = number === undefined ? undefined : this.#names.collection(number, index);
    if (collection === undefined) return undefined;
    const database = this.#databases.checksums;
    const sha1 = createHash('sha1');
    // All that is read is of one state of the store.
    const transaction = database.useReadTransaction();
    try {
      let count = 0;
      const part = Buffer.allocUnsafe(keysPerHash * sha1Bytes);
      for (const key of database.getKeys({ ...rangeOf(collection.checksums), transaction })) {
        const at = (count % keysPerHash) * sha1Bytes;
        // For so few bytes faster than a view and a call.
        for (let byte = 0; byte < sha1Bytes; ++byte) part[at + byte] = key[numberBytes + byte] ?? 0;
        if (++count % keysPerHash !== 0) continue;
        sha1.update(part.toString('hex'));
        if (!this.#turns.over) continue;
        await this.#turns.next();
        this.#throwIfClosed();
      }
      if (count === 0) return undefined;
      return sha1.update(part.toString('hex', 0, (count % keysPerHash) * sha1Bytes)).digest('hex');
    } finally {
      transaction.done();
    }
  }

  agents(): IterableIterator<string> {
    this.#throwIfClosed();
    return this.#names.agents();
  }

  document(agent: string, index: string, id: string): StoredDocument | undefined {
    this.#throwIfClosed();
    const number = this.#names.agent(agent);
    const collection = number === undefined ? undefined : this.#names.collection(number, index);
    if (collection === undefined) return undefined;
    const row = this.#databases.documents.get(this.#keys.document(collection.documents, id));
    return row === undefined ? undefined : decodeDocument(index, id, row);
  }

  *documents(agent: string, index?: string): IterableIterator<StoredDocument> {
    this.#throwIfClosed();
    const number = this.#names.agent(agent);
    if (number === undefined) return;
    for (const collection of this.#names.collections(number)) {
      if (index !== undefined && collection.index !== index) continue;
      for (const { key, value } of this.#databases.documents.getRange(rangeOf(collection.documents))) {
        yield decodeDocument(collection.index, Buffer.from(key).toString('utf8', numberBytes), value);
      }
    }
  }

  get usage(): { readonly bytes: number; readonly maxBytes: number } {
    return this.#store.usage;
  }

  async check(): Promise<string[]> {
    this.#throwIfClosed();
    return findProblems(this.#databases, this.#sha1, this.#turns);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** What is being applied stops where it is, and rejects with ERR_HAWSER_CLOSED: it is begun again when the store is opened. */
  async #close(): Promise<void> {
    await Promise.all([this.#commits.over(), this.#checks.over(), this.#garbage.close()]);
    await this.#sessions.close();
    await this.#store.close();
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new HawserError('ERR_HAWSER_CLOSED', 'the store is closed');
  }
}

/** In latin1. */
function sha1OfBytes(document: Uint8Array): string {
  return hash('sha1', document, 'binary');
}

function sha1Finder(sha1Of: NonNullable<StoreOptions['sha1Of']>): (document: Uint8Array) => string {
  return (document) => {
    const found = sha1Of(document);
    const isSha1 = typeof found === 'string' && /^[\da-f]{40}$/i.test(found);
    return isSha1 ? Buffer.from(found, 'hex').toString('latin1') : sha1OfBytes(document);
  };
}
