// Applying one session to a manager's store on LMDB.
//
// A small commit is one transaction. A long one is many, of documents first and then of checksum keys in their order. Its first marks the
// session `committing`: when the process ends in between, documents may be ahead of their checksum keys, and the commit, begun again,
// makes these anew. An index that is made anew, by FULL or Clean or because the agent had nothing there, gets a collection of its own,
// which takes the place of the old one in the last transaction: until then readers have the old one.
//
// Upserts that have no room are passed over, so that deletions get through that stand behind them.

import type { Allowance } from '../../base/allowance.js';
import { HawserError } from '../../base/errors.js';
import type { LmdbStore } from '../../base/lmdb-store.js';
import type { Turns } from '../../base/turns.js';
import { documentBytes, fullError, fullOfDocuments, mostModules, quotaError } from './agent-share.js';
import { ChangeBatch } from './change-batch.js';
import { ChecksumChanges } from './checksum-changes.js';
import { Growth, graver, type Shortage } from './growth.js';
import type { LmdbGarbage } from './lmdb-garbage.js';
import {
  committedKey,
  type Databases,
  type DocumentKeys,
  documentHeaderBytes,
  encodeCollection,
  encodeCommitted,
  type GarbageKind,
  garbageKey,
  hasSha1Of,
  indexKey,
  isEqual,
  isOutdated,
  numberBytes,
  rangeOf,
} from './lmdb-keys.js';
import type { LmdbNames } from './lmdb-names.js';
import { rowsOf } from './lmdb-rows.js';
import type { LmdbSessions, Staging } from './lmdb-sessions.js';
import { LmdbTargets, type Place, type Target } from './lmdb-targets.js';
import type { Change } from './store.js';

/** So much goes into one transaction: changes and bytes of documents, and checksum keys. A few milliseconds of work. */
const changesAtATime = 2048;
const bytesAtATime = 2 ** 20;
const checksumsAtATime = 4096;
/** In so many indices a commit can be one transaction. */
const indicesAtOnce = 128;

const leastCaution = 2;
const mostCaution = 16;

const nothing = Buffer.alloc(0);

/** What a commit works with. */
export interface CommitTools {
  readonly store: LmdbStore;
  readonly databases: Databases;
  readonly names: LmdbNames;
  readonly sessions: LmdbSessions;
  readonly garbage: LmdbGarbage;
  readonly turns: Turns;
  readonly keys: DocumentKeys;
  /** How many changes and checksum keys are in transactions that have not ended. */
  readonly writing: Allowance;
  /** What the documents of one agent may count for. */
  readonly maxBytesPerAgent: number;
  /** The SHA-1 of a document, in latin1. */
  readonly sha1: (document: Uint8Array) => string;
  /** Throws when the store is closing. */
  readonly throwIfClosed: () => void;
}

/** One run of one commit. */
export class LmdbCommit {
  readonly #tools: CommitTools;
  readonly #staging: Staging;
  readonly #agent: number;
  readonly #changes: Iterator<Change | undefined>;
  readonly #rejected: () => number;
  readonly #progress: ((applied: number) => void) | undefined;
  readonly #targets: LmdbTargets;
  /** The indices that it replaces, all of them or none. */
  readonly #replaced: ReadonlySet<string>;
  /** The collections that this commit has made and noted as garbage, for the case that it does not end. */
  readonly #noted = new Set<number>();
  readonly #checksums = new ChecksumChanges();
  /** One is written while the other is filled. */
  #written: ChangeBatch<Place> | undefined;
  #filled: ChangeBatch<Place> | undefined;
  #applied = 0;
  /** How many Upserts were of a lower version than what is there. */
  #outdated = 0;
  /** How many were of an index that the agent has no room for. */
  #refused = 0;
  #ended = false;
  /** What kept documents out. */
  #shortage: Shortage | undefined;
  /** How much more than is counted documents may take: pages are half empty at worst. It grows when a transaction had no room. */
  #caution = leastCaution;

  constructor(
    tools: CommitTools,
    staging: Staging,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress: ((applied: number) => void) | undefined,
  ) {
    this.#tools = tools;
    this.#staging = staging;
    this.#agent = tools.names.agentToKeep(staging.session.agent);
    this.#targets = new LmdbTargets(tools.names, this.#agent);
    this.#replaced = new Set(staging.session.mode === 'FULL' ? staging.session.indices : []);
    this.#changes = changes[Symbol.iterator]();
    this.#rejected = rejected;
    this.#progress = progress;
  }

  /** @returns a promise that rejects as `SyncStore.commit` says. */
  async run(): Promise<void> {
    if (this.#isOneModuleMore()) {
      await this.#transaction(1, () => this.#tools.sessions.delete(this.#staging));
      this.#tools.sessions.forget(this.#staging);
      throw quotaError(`${mostModules} modules`);
    }
    await this.#released(async () => {
      for (const index of this.#replaced) this.#targets.clean(index);
      const first = await this.#take();
      const isSmall = this.#ended && this.#targets.size <= indicesAtOnce;
      if (isSmall && !this.#staging.interrupted) await this.#writeAtOnce(first);
      else await this.#writeInParts(first);
    });
    const { maxBytesPerAgent, store, sessions } = this.#tools;
    if (this.#shortage === 'store') throw fullError(store.usage.maxBytes);
    sessions.forget(this.#staging);
    if (this.#shortage === 'agent') throw quotaError(`${maxBytesPerAgent} bytes`);
  }

  /** Forgets the session, whose commit was interrupted, and makes the indices whole that it has left with other checksum keys. */
  async abandon(): Promise<void> {
    await this.#released(async () => {
      this.#targets.takeAll();
      for (const target of this.#targets) await this.#makeChecksumsAnew(target);
      await this.#transaction(this.#targets.size, () => {
        this.#publish(this.#growth());
        this.#tools.sessions.delete(this.#staging);
      });
    });
    this.#tools.sessions.forget(this.#staging);
  }

  async #released(run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } finally {
      this.#changes.return?.();
      for (const number of this.#noted) this.#tools.garbage.release(number);
      this.#tools.garbage.collect();
    }
  }

  #isOneModuleMore(): boolean {
    const { committed } = this.#tools.databases;
    if (this.#staging.interrupted) return false;
    if (committed.get(committedKey(this.#agent, this.#staging.session.module)) !== undefined) return false;
    return committed.getKeysCount({ ...rangeOf(this.#agent), limit: mostModules }) >= mostModules;
  }

  // ---- Taking changes ----------------------------------------------------------------------------------------------

  /** As many changes as go into one transaction. Other work runs in between. */
  async #take(): Promise<ChangeBatch<Place>> {
    const { turns, throwIfClosed } = this.#tools;
    const batch = this.#written ?? new ChangeBatch<Place>();
    this.#written = this.#filled;
    this.#filled = batch;
    batch.clear();
    await turns.next();
    throwIfClosed();
    // Not by the length of the batch: a Clean adds nothing to it.
    const end = this.#applied + changesAtATime;
    while (this.#applied < end && batch.bytes < bytesAtATime) {
      const { value: change, done } = this.#changes.next();
      if (done === true) {
        this.#ended = true;
        break;
      }
      if (change !== undefined) {
        this.#add(batch, change);
        ++this.#applied;
      }
      if (!turns.over) continue;
      await turns.next();
      throwIfClosed();
    }
    this.#progress?.(this.#applied);
    return batch;
  }

  #add(batch: ChangeBatch<Place>, change: Change): void {
    const { index } = change;
    if (change.operation === 'Clean') {
      this.#targets.clean(index);
      return;
    }
    const isUpsert = change.operation === 'Upsert';
    const place = isUpsert ? this.#targets.toWrite(index) : this.#targets.toDelete(index);
    if (place === undefined) {
      if (isUpsert) ++this.#refused;
      return;
    }
    const { id } = change;
    const isFirst = place.isNew && (place.greatestId === undefined || id > place.greatestId);
    if (!isUpsert) {
      if (!isFirst) batch.delete(place, id);
      return;
    }
    if (isFirst) place.greatestId = id;
    const { version, data } = change;
    batch.upsert(place, id, version, this.#tools.sha1(data), data, isFirst);
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  /**
   * What it writes beside documents leads to an end, and so to room.
   *
   * @param amount how much it writes, so that several commits together do not keep the event loop for long.
   */
  #transaction(amount: number, run: () => void, beyondMaxBytes = true): Promise<void> {
    const { writing, store } = this.#tools;
    return writing.spend(amount, () => store.transaction(run, { beyondMaxBytes }));
  }

  /** With documents. When they have no room it is done again with fewer, and at last with none. */
  async #writeDocuments(amount: number, run: () => Growth<Place>): Promise<void> {
    let growth = this.#growth();
    const write = (): void => {
      growth = run();
    };
    for (let isWritten = false; !isWritten; ) {
      try {
        await this.#transaction(amount, write, this.#storeRoom <= 0);
        isWritten = true;
      } catch (error) {
        const isFull = error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_FULL';
        if (!isFull || this.#storeRoom <= 0) throw error;
        this.#caution = this.#caution < mostCaution ? this.#caution * 2 : Number.POSITIVE_INFINITY;
      }
    }
    for (const place of growth.places) Object.assign(place, extentOf(place, growth));
    for (const [place, shortage] of growth.refused) place.shortage = graver(place.shortage, shortage);
    this.#outdated += growth.outdated;
  }

  get #storeRoom(): number {
    const { bytes, maxBytes } = this.#tools.store.usage;
    return Math.floor((fullOfDocuments(maxBytes) - bytes) / this.#caution);
  }

  #growth(): Growth<Place> {
    return new Growth(this.#tools.maxBytesPerAgent - this.#targets.bytes, this.#storeRoom);
  }

  async #writeAtOnce(batch: ChangeBatch<Place>): Promise<void> {
    const made = this.#targets.takeMade();
    await this.#writeDocuments(batch.length + made.length, () => {
      this.#checksums.rewind(0);
      const growth = this.#write(batch);
      this.#checksums.write(this.#tools.databases.checksums, 0, this.#checksums.length);
      this.#publish(growth, made);
      this.#endSession(growth);
      return growth;
    });
  }

  async #writeInParts(first: ChangeBatch<Place>): Promise<void> {
    const anew = this.#staging.interrupted;
    this.#staging.interrupted = true;
    let writing = this.#writePart(first);
    while (!this.#ended) {
      // While one part is written, the next is taken.
      const batch = await both(this.#take(), writing);
      if (this.#checksums.full) await this.#writeChecksums();
      writing = this.#writePart(batch);
    }
    await writing;
    await this.#writeChecksums();
    if (anew) for (const target of this.#targets) await this.#makeChecksumsAnew(target);
    const made = this.#targets.takeMade();
    await this.#transaction(this.#targets.size, () => {
      const growth = this.#growth();
      this.#publish(growth, made);
      this.#endSession(growth);
    });
  }

  async #writePart(batch: ChangeBatch<Place>): Promise<void> {
    const { sessions } = this.#tools;
    const before = this.#checksums.length;
    const made = this.#targets.takeMade();
    for (const number of made) this.#hold(number);
    await this.#writeDocuments(batch.length + made.length, () => {
      this.#checksums.rewind(before);
      sessions.keepCommitting(this.#staging);
      this.#noteAsGarbage(made);
      const growth = this.#write(batch);
      this.#keepExtents(growth);
      return growth;
    });
  }

  /** Within a transaction: the dictionary says what is in the indices that were changed where they are. */
  #keepExtents(growth: Growth<Place>): void {
    for (const place of growth.places) {
      if (!place.isNew) this.#putCollection({ ...place, ...extentOf(place, growth) });
    }
  }

  #putCollection(place: Place): void {
    this.#tools.databases.names.putSync(indexKey(this.#agent, place.index), encodeCollection(place));
  }

  /** From now on safe from being deleted. */
  #hold(number: number): void {
    this.#noted.add(number);
    this.#tools.garbage.hold(number);
  }

  #noteAsGarbage(numbers: readonly number[]): void {
    for (const number of numbers) {
      this.#discard('documents', number);
      this.#discard('checksums', number);
    }
    if (numbers.length > 0) this.#tools.names.keepNumbers();
  }

  #discard(kind: GarbageKind, number: number): void {
    this.#tools.databases.garbage.putSync(garbageKey(kind, number), nothing);
  }

  #write(batch: ChangeBatch<Place>): Growth<Place> {
    const { documents } = this.#tools.databases;
    const growth = this.#growth();
    // When a FULL replaces nothing in the end, all other indices are to have room beside what is there.
    const replacedBytes = this.#targets.replacedBytes(this.#replaced);
    batch.forEach((place, id, row, isFirst) => {
      if (place.isCleaned) return;
      const reserved = this.#replaced.has(place.index) ? 0 : replacedBytes;
      const key = this.#tools.keys.document(place.documents, id);
      const idBytes = key.length - numberBytes;
      // Valid until the next get.
      const there = isFirst ? undefined : documents.getBinaryFast(key);
      const bytesThere = there === undefined ? 0 : bytesOf(there, idBytes);
      if (row === undefined) {
        if (there === undefined) return;
        growth.add(place, -1, -bytesThere, reserved);
        documents.removeSync(key);
        this.#remember(place, id, there, false);
        return;
      }
      if (there === undefined) {
        if (!growth.add(place, 1, bytesOf(row, idBytes), reserved)) return;
        documents.putSync(key, row);
        this.#remember(place, id, row, true);
        return;
      }
      if (isEqual(row, there)) return;
      if (isOutdated(row, there)) {
        ++growth.outdated;
        return;
      }
      if (!growth.add(place, 0, bytesOf(row, idBytes) - bytesThere, reserved)) return;
      const isSame = hasSha1Of(row, there);
      documents.putSync(key, row);
      if (isSame) return;
      this.#remember(place, id, there, false);
      this.#remember(place, id, row, true);
    });
    return growth;
  }

  #remember({ checksums }: Place, id: string, document: Buffer, added: boolean): void {
    this.#checksums.push(this.#tools.keys.checksum(checksums, document, id), added);
  }

  async #writeChecksums(): Promise<void> {
    const { databases, turns, throwIfClosed } = this.#tools;
    for (let begin = 0; begin < this.#checksums.length; begin += checksumsAtATime) {
      await turns.next();
      throwIfClosed();
      const end = begin + checksumsAtATime;
      await this.#transaction(end - begin, () => this.#checksums.write(databases.checksums, begin, end));
    }
    this.#checksums.clear();
  }

  /** Reads all documents of an index that an interrupted commit has changed. */
  async #makeChecksumsAnew({ present }: Target): Promise<void> {
    if (present.isNew) return;
    const { databases, names, turns, throwIfClosed } = this.#tools;
    const number = names.newNumber();
    this.#hold(number);
    await this.#transaction(1, () => {
      this.#discard('checksums', number);
      names.keepNumbers();
    });
    for await (const rows of rowsOf(databases.documents, present.documents, turns)) {
      throwIfClosed();
      for (const { key, value } of rows) {
        const id = key.toString('utf8', numberBytes);
        this.#checksums.push(this.#tools.keys.checksum(number, value, id), true);
      }
      if (this.#checksums.full) await this.#writeChecksums();
    }
    await this.#writeChecksums();
    present.checksums = number;
  }

  // ---- The end -----------------------------------------------------------------------------------------------------

  /** Within a transaction: the indices are what they have become. @param made the collections that are not noted as garbage. */
  #publish(growth: Growth<Place>, made: readonly number[] = []): void {
    const { names } = this.#tools;
    const { session } = this.#staging;
    names.keepAgent(session.agent, this.#agent);
    names.keepNumbers();
    const isAllThere = this.#targets.shortage(growth) === undefined;
    // What was to take the place of an index and is not all there does not.
    const published = Array.from(this.#targets).filter(
      ({ index }) => isAllThere || !this.#replaced.has(index),
    );
    // What was cleaned away again.
    const kept = new Set(published.map(({ present }) => present.documents));
    this.#noteAsGarbage(made.filter((number) => !kept.has(number)));
    for (const target of published) this.#publishTarget(target, growth);
  }

  #publishTarget({ index, old, present }: Target, growth: Growth<Place>): void {
    const { names, garbage } = this.#tools.databases;
    const { documents: number, checksums } = present;
    const extent = extentOf(present, growth);
    if (extent.count === 0) {
      // Nothing is left of the index; a note, which finds nothing to delete, goes when it is collected.
      names.removeSync(indexKey(this.#agent, index));
    } else {
      this.#putCollection({ ...present, ...extent });
      if (this.#noted.has(number)) garbage.removeSync(garbageKey('documents', number));
      if (this.#noted.has(checksums)) garbage.removeSync(garbageKey('checksums', checksums));
    }
    if (old === undefined) return;
    if (old.documents !== number) this.#discard('documents', old.documents);
    if (old.checksums !== checksums) this.#discard('checksums', old.checksums);
  }

  /** Within a transaction: the session is the last one applied, unless it was refused, and nothing is left of it, unless it is to be repeated. */
  #endSession(growth: Growth<Place>): void {
    const { databases, sessions } = this.#tools;
    const { module, nonce, generation, mode, size } = this.#staging.session;
    this.#shortage = this.#targets.shortage(growth);
    if (this.#shortage === 'store') return;
    if (this.#shortage === undefined) {
      const rejected = this.#rejected() + this.#outdated + growth.outdated + this.#refused;
      databases.committed.putSync(
        committedKey(this.#agent, module),
        encodeCommitted({ nonce, generation, mode, size, rejected }),
      );
    }
    sessions.delete(this.#staging);
  }
}

/** What there is in a place with what a transaction adds. */
function extentOf(place: Place, growth: Growth<Place>): { count: number; bytes: number } {
  const { count, bytes } = growth.of(place);
  return { count: place.count + count, bytes: place.bytes + bytes };
}

/** What a row of a document counts for. */
function bytesOf(row: Buffer, idBytes: number): number {
  return documentBytes(row.length - documentHeaderBytes, idBytes);
}

/** The result of the first, once both have ended well; it never leaves one of them alone. */
async function both<T>(first: Promise<T>, second: Promise<void>): Promise<T> {
  const [result, other] = await Promise.allSettled([first, second]);
  if (other.status === 'rejected') throw other.reason;
  if (result.status === 'rejected') throw result.reason;
  return result.value;
}

/** What is thrown for a session that the store does not have. */
export function noSuchSession(key: number): HawserError {
  return new HawserError('ERR_HAWSER_STORE', `the store has no session ${key}`);
}
