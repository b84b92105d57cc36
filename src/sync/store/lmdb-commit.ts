// Applying one session to a manager's store on LMDB.
//
// A small commit is one transaction. A long one is many, of documents first and then of checksum keys in their order. Its first marks the
// session `committing`: when the process ends in between, documents may be ahead of their checksum keys, and the commit, begun again,
// makes these anew. An index that is made anew, by FULL or Clean or because the agent had nothing there, gets a collection of its own,
// which takes the place of the old one in the last transaction: until then readers have the old one.

import type { Allowance } from '../../base/allowance.js';
import { HawserError } from '../../base/errors.js';
import type { LmdbStore } from '../../base/lmdb-store.js';
import type { Turns } from '../../base/turns.js';
import { ChangeBatch } from './change-batch.js';
import { ChecksumChanges } from './checksum-changes.js';
import type { LmdbGarbage } from './lmdb-garbage.js';
import {
  type Collection,
  committedKey,
  type Databases,
  type DocumentKeys,
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
import type { Change } from './store.js';

/** So much goes into one transaction: changes and bytes of documents, and checksum keys. A few milliseconds of work. */
const changesAtATime = 2048;
const bytesAtATime = 2 ** 20;
const checksumsAtATime = 4096;

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
  /** The SHA-1 of a document, in latin1. */
  readonly sha1: (document: Uint8Array) => string;
  /** Throws when the store is closing. */
  readonly throwIfClosed: () => void;
}

/** An index that the commit changes. */
interface Target {
  readonly index: string;
  /** What the dictionary says now. */
  readonly old: Collection | undefined;
  /** Where its documents go: the old one, or one that nobody else knows yet. */
  present: Place;
}

interface Place {
  readonly documents: number;
  checksums: number;
  readonly isNew: boolean;
  /** Of a new one: no id that is greater has come so far. Many agents send their documents in the order of their ids. */
  greatestId: string | undefined;
}

/** One run of one commit. */
export class LmdbCommit {
  readonly #tools: CommitTools;
  readonly #staging: Staging;
  readonly #agent: number;
  readonly #changes: Iterator<Change | undefined>;
  readonly #rejected: () => number;
  readonly #progress: ((applied: number) => void) | undefined;
  readonly #targets = new Map<string, Target>();
  /** The collections that this commit has made, until they are noted as garbage, for the case that it does not end; and those that are. */
  readonly #made: number[] = [];
  readonly #noted = new Set<number>();
  readonly #checksums = new ChecksumChanges();
  /** One is written while the other is filled. */
  #written: ChangeBatch<Place> | undefined;
  #filled: ChangeBatch<Place> | undefined;
  #applied = 0;
  /** How many Upserts were of a lower version than what is there. */
  #outdated = 0;
  #ended = false;

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
    this.#changes = changes[Symbol.iterator]();
    this.#rejected = rejected;
    this.#progress = progress;
  }

  async run(): Promise<void> {
    const { session } = this.#staging;
    try {
      if (session.mode === 'FULL') for (const index of session.indices) this.#clean(index);
      const first = await this.#take();
      if (this.#ended && !this.#staging.interrupted) await this.#writeAtOnce(first);
      else await this.#writeInParts(first);
    } finally {
      this.#changes.return?.();
      for (const number of this.#noted) this.#tools.garbage.release(number);
      this.#tools.garbage.collect();
    }
    this.#tools.sessions.forget(this.#staging);
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
    if (change.operation === 'Clean') {
      this.#clean(change.index);
      return;
    }
    const place = this.#target(change.index).present;
    const { id } = change;
    const isFirst = place.isNew && (place.greatestId === undefined || id > place.greatestId);
    if (change.operation === 'Delete') {
      if (!isFirst) batch.delete(place, id);
      return;
    }
    if (isFirst) place.greatestId = id;
    const { version, data } = change;
    batch.upsert(place, id, version, this.#tools.sha1(data), data, isFirst);
  }

  #target(index: string): Target {
    let target = this.#targets.get(index);
    if (target === undefined) {
      const old = this.#tools.names.collection(this.#agent, index);
      target = {
        index,
        old,
        present: old === undefined ? this.#newCollection() : { ...old, isNew: false, greatestId: undefined },
      };
      this.#targets.set(index, target);
    }
    return target;
  }

  /** From here on the index is another, without documents. */
  #clean(index: string): void {
    const present = this.#targets.get(index)?.present;
    if (present?.isNew === true && present.greatestId === undefined) return;
    const old = this.#tools.names.collection(this.#agent, index);
    this.#targets.set(index, { index, old, present: this.#newCollection() });
  }

  #newCollection(): Place {
    const number = this.#tools.names.newNumber();
    this.#made.push(number);
    return { documents: number, checksums: number, isNew: true, greatestId: undefined };
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  /** @param amount how much it writes, so that several commits together do not keep the event loop for long. */
  #transaction(amount: number, run: () => void): Promise<void> {
    return this.#tools.writing.spend(amount, () => this.#tools.store.transaction(run));
  }

  async #writeAtOnce(batch: ChangeBatch<Place>): Promise<void> {
    await this.#transaction(batch.length + this.#made.length, () => {
      this.#checksums.rewind(0);
      this.#outdated = this.#write(batch);
      this.#checksums.write(this.#tools.databases.checksums, 0, this.#checksums.length);
      this.#end();
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
    if (anew) for (const target of this.#targets.values()) await this.#makeChecksumsAnew(target);
    await this.#transaction(this.#targets.size, () => this.#end());
  }

  async #writePart(batch: ChangeBatch<Place>): Promise<void> {
    const { sessions } = this.#tools;
    const before = this.#checksums.length;
    const outdatedBefore = this.#outdated;
    const made = this.#holdNew();
    await this.#transaction(batch.length + made.length, () => {
      this.#checksums.rewind(before);
      sessions.keepCommitting(this.#staging);
      this.#noteAsGarbage(made);
      this.#outdated = outdatedBefore + this.#write(batch);
    });
  }

  /** @returns the collections that are not noted yet, from now on safe from being deleted. */
  #holdNew(): number[] {
    const made = this.#made.splice(0);
    for (const number of made) this.#hold(number);
    return made;
  }

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

  /** @returns how many were outdated. */
  #write(batch: ChangeBatch<Place>): number {
    const { documents } = this.#tools.databases;
    let outdated = 0;
    batch.forEach((place, id, row, isFirst) => {
      const key = this.#tools.keys.document(place.documents, id);
      // Valid until the next get.
      const there = isFirst ? undefined : documents.getBinaryFast(key);
      if (row === undefined) {
        if (there === undefined) return;
        documents.removeSync(key);
        this.#remember(place, id, there, false);
        return;
      }
      if (there !== undefined) {
        if (isEqual(row, there)) return;
        if (isOutdated(row, there)) {
          ++outdated;
          return;
        }
        const isSame = hasSha1Of(row, there);
        documents.putSync(key, row);
        if (isSame) return;
        this.#remember(place, id, there, false);
      } else {
        documents.putSync(key, row);
      }
      this.#remember(place, id, row, true);
    });
    return outdated;
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

  /** Within a transaction: the indices are what they have become, the session is the last one applied, and nothing is left of it. */
  #end(): void {
    const { databases, names, sessions } = this.#tools;
    const { session } = this.#staging;
    names.keepAgent(session.agent, this.#agent);
    names.keepNumbers();
    // What was cleaned away again.
    const kept = new Set(Array.from(this.#targets.values(), ({ present }) => present.documents));
    this.#noteAsGarbage(this.#made.filter((number) => !kept.has(number)));
    for (const target of this.#targets.values()) this.#endTarget(target);
    const { nonce, generation } = session;
    const rejected = this.#rejected() + this.#outdated;
    databases.committed.putSync(
      committedKey(this.#agent, session.module),
      encodeCommitted({ nonce, generation, rejected }),
    );
    sessions.delete(this.#staging);
  }

  #endTarget({ index, old, present }: Target): void {
    const { names, garbage, documents } = this.#tools.databases;
    const { documents: number, checksums } = present;
    if (documents.getKeysCount({ ...rangeOf(number), limit: 1 }) === 0) {
      // Nothing is left of the index; a note, which finds nothing to delete, goes when it is collected.
      names.removeSync(indexKey(this.#agent, index));
    } else {
      names.putSync(indexKey(this.#agent, index), encodeCollection(present));
      if (this.#noted.has(number)) garbage.removeSync(garbageKey('documents', number));
      if (this.#noted.has(checksums)) garbage.removeSync(garbageKey('checksums', checksums));
    }
    if (old === undefined) return;
    if (old.documents !== number) this.#discard('documents', old.documents);
    if (old.checksums !== checksums) this.#discard('checksums', old.checksums);
  }
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
