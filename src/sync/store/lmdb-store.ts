// A manager's store on the disk, on LMDB (the optional package `lmdb`).

import { createHash, hash } from 'node:crypto';
import { Allowance } from '../../base/allowance.js';
import { checkFunction, checkInteger, checkOptions, checkString } from '../../base/check.js';
import { systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import { type LmdbStore, openLmdb } from '../../base/lmdb-store.js';
import { Turns } from '../../base/turns.js';
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
  numberBytes,
  rangeOf,
  saidKey,
  sha1Bytes,
} from './lmdb-keys.js';
import { LmdbNames } from './lmdb-names.js';
import { findProblems } from './lmdb-problems.js';
import { LmdbSessions } from './lmdb-sessions.js';
import type { Change, CommittedSession, StoredDocument, StoredSession, SyncStore } from './store.js';

/** Options of {@link openStore}. */
export interface StoreOptions {
  /**
   * The greatest size, in bytes: 1,048,576 to 2^46; 68,719,476,736 (64 GiB) by default. What a session brings is kept twice while it is
   * applied, and what FULL replaces until it has: three times the documents are enough. A full store can be opened again with more.
   */
  readonly maxBytes?: number;
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
  checkOptions('options', options, ['maxBytes', 'sha1Of']);
  const maxBytes = checkInteger('maxBytes', options.maxBytes ?? 2 ** 36, 2 ** 20, 2 ** 46);
  const { sha1Of } = options;
  if (sha1Of !== undefined) checkFunction('sha1Of', sha1Of);
  const format = { name: 'hawser-sync-store', version: 1 };
  const store = await openLmdb(path, { maxBytes, databases: databaseNames, format });
  try {
    return new LmdbSyncStore(store, sha1Of);
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** A {@link SyncStore} on the disk. Made by {@link openStore}. */
export class LmdbSyncStore implements SyncStore {
  readonly #store: LmdbStore;
  readonly #databases: Databases;
  readonly #names: LmdbNames;
  readonly #sessions: LmdbSessions;
  readonly #garbage: LmdbGarbage;
  readonly #turns: Turns;
  readonly #writing = new Allowance(changesWriting);
  readonly #sha1: (document: Uint8Array) => string;
  readonly #keys = new DocumentKeys();
  /** The last commit of each agent that has one: those of one agent are applied one after the other. */
  readonly #commits = new Map<string, Promise<void>>();
  /** Commits by the key of their session. */
  readonly #applying = new Map<number, Promise<void>>();
  #closing: Promise<void> | undefined;

  constructor(store: LmdbStore, sha1Of: StoreOptions['sha1Of']) {
    this.#store = store;
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
    await this.#sessions.drop(key);
    this.#garbage.collect();
  }

  // ---- Applying ----------------------------------------------------------------------------------------------------

  async commit(
    session: StoredSession,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress?: (applied: number) => void,
  ): Promise<void> {
    this.#throwIfClosed();
    const applied = this.#inTurn(session.agent, async () => {
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

  /** Runs one after the other what concerns the same agent. */
  async #inTurn(agent: string, run: () => Promise<void>): Promise<void> {
    const before = this.#commits.get(agent);
    const result = before === undefined ? run() : before.then(run);
    const ended = settled(result);
    this.#commits.set(agent, ended);
    try {
      await result;
    } finally {
      if (this.#commits.get(agent) === ended) this.#commits.delete(agent);
    }
  }

  // ---- Reading -----------------------------------------------------------------------------------------------------

  /**
   * While a session of the agent is applied, it can be that of neither before nor after.
   */
  async checksum(agent: string, index: string): Promise<string | undefined> {
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

  /**
   * Compares everything in the store with everything else: for whoever doubts the disk. Reads all of it, between other work; nothing
   * changes. What is written meanwhile may be told as a problem, and so may indices of a session whose commit was interrupted: `sessions`
   * has it as `committing`, and to commit it makes them whole.
   *
   * @returns a promise of what does not agree, in words, at most 100; none is as it should be.
   */
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
    await Promise.all([...this.#commits.values(), this.#garbage.close()]);
    await this.#sessions.close();
    await this.#store.close();
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new HawserError('ERR_HAWSER_CLOSED', 'the store is closed');
  }
}

/** For those who wait only until it is over: how it ended is told to whom it belongs. */
function settled(result: Promise<void>): Promise<void> {
  return result.catch(() => undefined);
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
