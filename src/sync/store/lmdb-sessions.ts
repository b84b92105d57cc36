// Sessions of a manager's store on LMDB, and the messages that are staged of them.

import { checkArray, checkInteger, checkOneOf, checkString } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import type { LmdbStore } from '../../base/lmdb-store.js';
import { limits } from '../wire/messages.js';
import { type Databases, decodeNumber, encodeNumber, garbageKey, rangeOf, stagingKey } from './lmdb-keys.js';
import type { LmdbNames } from './lmdb-names.js';
import type { StoredSession } from './store.js';

/** So much goes into one transaction, in rows and in bytes. */
const rowsAtATime = 2048;
const bytesAtATime = 2 ** 23;
/** So many messages are deleted with their session; more are garbage, deleted later. */
const deletedAtOnce = 64;
/** When sessions of so many bytes wait to be written, none is begun. */
const maxBegunBytes = 2 ** 25;
/** What one costs besides its indices. */
const sessionBytes = 256;

/** A session and how far its messages are written. */
export interface Staging {
  session: StoredSession;
  /** How many messages there are, those of `unwritten` included. */
  count: number;
  readonly unwritten: Map<number, Buffer>;
  /** Whether anything of it may be in the store. */
  isKept: boolean;
  /** Why messages were refused since `staged` last told. */
  refused: HawserError | undefined;
  /** Whether a commit was begun that has not ended: documents and checksum keys may differ. */
  interrupted: boolean;
  /** Nothing more is to be written of it. */
  gone: boolean;
}

/** What is yet to be written: the session, or one of its messages. Its bytes are with the session, so that a drop lets go of them. */
interface Row {
  readonly staging: Staging;
  /** Of which message; undefined for the session itself. */
  readonly n: number | undefined;
  readonly length: number;
}

/**
 * All sessions that have not ended. Rows are written in the order in which they came: what is missing after a crash is the newest. When the
 * store is full, what has no room is refused, so that other sessions get through; a disk that fails is tried again.
 */
export class LmdbSessions {
  readonly #store: LmdbStore;
  readonly #databases: Databases;
  readonly #names: LmdbNames;
  readonly #stagings = new Map<number, Staging>();
  /** What is yet to be written, and how many rows were before these. */
  #rows: Row[] = [];
  #written = 0;
  /** Of those sessions among them that were not dropped, and of what the others cost still. */
  #begunBytes = 0;
  /** Of messages that are yet to be written. */
  #unwrittenBytes = 0;
  #writing: Promise<void> | undefined;
  #writingAll = false;
  /** Why the last transaction failed: nothing more is taken until one succeeds. */
  #failure: HawserError | undefined;

  constructor(store: LmdbStore, databases: Databases, names: LmdbNames) {
    this.#store = store;
    this.#databases = databases;
    this.#names = names;
    for (const { key, value } of databases.sessions.getRange({})) {
      const session = decodeSession(decodeNumber(key), value);
      const staging = newStaging(session);
      staging.isKept = true;
      staging.count = databases.staging.getKeysCount(rangeOf(session.key));
      staging.interrupted = session.state === 'committing';
      this.#stagings.set(session.key, staging);
    }
  }

  all(): StoredSession[] {
    return Array.from(this.#stagings.values())
      .filter(({ gone }) => !gone)
      .map(({ session }) => session);
  }

  /** A session that is not being dropped. */
  get(key: number): Staging | undefined {
    const staging = this.#stagings.get(key);
    return staging?.gone === true ? undefined : staging;
  }

  get unwrittenBytes(): number {
    return this.#unwrittenBytes;
  }

  begin(given: Omit<StoredSession, 'key' | 'state'>): StoredSession {
    if (this.#begunBytes >= maxBegunBytes) {
      // What failed is tried again: nobody may be left who waits for it.
      void this.#writeAll();
      throw this.#failure ?? new HawserError('ERR_HAWSER_STORE', 'too many sessions wait to be written');
    }
    const session: StoredSession = { ...given, key: this.#names.newNumber(), state: 'receiving' };
    const staging = newStaging(session);
    this.#stagings.set(session.key, staging);
    this.#begunBytes += lengthOf(session);
    this.#append({ staging, n: undefined, length: lengthOf(session) });
    return session;
  }

  stage(key: number, message: Uint8Array): void {
    const staging = this.get(key);
    if (staging === undefined || staging.refused !== undefined) return;
    if (this.#failure !== undefined) {
      staging.refused = this.#failure;
      return;
    }
    const bytes = Buffer.from(message);
    const n = staging.count++;
    staging.unwritten.set(n, bytes);
    this.#unwrittenBytes += bytes.length;
    this.#append({ staging, n, length: bytes.length });
  }

  /** Resolves once all that has come so far, of any session, is kept. Tries again what has failed. */
  async staged(key: number): Promise<void> {
    const end = this.#written + this.#rows.length;
    while (this.#written < end) await this.#write();
    const staging = this.get(key);
    const refused = staging?.refused;
    if (staging === undefined || refused === undefined) return;
    staging.refused = undefined;
    throw refused;
  }

  /** @returns a copy. */
  message(key: number, n: number): Buffer | undefined {
    const staging = this.get(key);
    if (staging === undefined || n >= staging.count) return undefined;
    return staging.unwritten.get(n) ?? this.#databases.staging.get(stagingKey(key, n));
  }

  /** Within a transaction: from now on the session is to be applied, whatever happens. */
  keepCommitting({ session }: Staging): void {
    this.#databases.sessions.putSync(
      encodeNumber(session.key),
      encodeSession({ ...session, state: 'committing' }),
    );
  }

  /** Within a transaction: deletes the session and what was staged of it, which can be much and then is garbage. */
  delete({ session, count }: Staging): void {
    this.#databases.sessions.removeSync(encodeNumber(session.key));
    if (count > deletedAtOnce) {
      this.#databases.garbage.putSync(garbageKey('staging', session.key), Buffer.alloc(0));
      return;
    }
    for (let n = 0; n < count; ++n) this.#databases.staging.removeSync(stagingKey(session.key, n));
  }

  /** Nothing more is written of a session, and nobody finds it. @returns what is to be dropped; undefined when it is gone already. */
  letGo(key: number): Staging | undefined {
    const staging = this.#stagings.get(key);
    if (staging === undefined) return undefined;
    staging.gone = true;
    this.#forgetUnwritten(staging);
    return staging;
  }

  /** As `letGo`, of all sessions of an agent. */
  letGoOf(agent: string): Staging[] {
    const found = Array.from(this.#stagings.values()).filter(({ session }) => session.agent === agent);
    for (const { session } of found) this.letGo(session.key);
    return found;
  }

  /** Whether it was not dropped yet. */
  has({ session }: Staging): boolean {
    return this.#stagings.has(session.key);
  }

  /** Deletes what was let go; when that fails it can be repeated. */
  async drop(staging: Staging): Promise<void> {
    if (staging.isKept) {
      await this.#store.transaction(() => this.delete(staging), { beyondMaxBytes: true });
    } else this.#shorten(staging);
    this.forget(staging);
  }

  #forgetUnwritten({ unwritten }: Staging): void {
    for (const { length } of unwritten.values()) this.#unwrittenBytes -= length;
    unwritten.clear();
  }

  /** Who begins and drops sessions faster than the disk writes makes nothing grow but the number of rows. */
  #shorten(staging: Staging): void {
    this.#begunBytes -= lengthOf(staging.session);
    staging.session = { ...staging.session, indices: [] };
    this.#begunBytes += lengthOf(staging.session);
  }

  /** After the transaction that deleted it. */
  forget(staging: Staging): void {
    staging.gone = true;
    this.#stagings.delete(staging.session.key);
  }

  /** Waits for what is being written, and tries once to write the rest. */
  async close(): Promise<void> {
    try {
      while (this.#rows.length > 0) await this.#write();
    } catch {
      // Whoever waits for it in `staged` was told.
    }
  }

  #append(row: Row): void {
    this.#rows.push(row);
    if (this.#failure === undefined) void this.#writeAll();
  }

  async #writeAll(): Promise<void> {
    if (this.#writingAll) return;
    this.#writingAll = true;
    try {
      while (this.#rows.length > 0) await this.#write();
    } catch {
      // It is in #failure, and `staged` tells.
    }
    this.#writingAll = false;
  }

  #write(): Promise<void> {
    this.#writing ??= this.#writeSome().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #writeSome(): Promise<void> {
    // What else comes in this turn goes with it.
    await Promise.resolve();
    const rows = this.#take();
    // Sessions themselves are short, and lead to room.
    const beyondMaxBytes = rows.every((row) => messageOf(row) === undefined);
    try {
      await this.#store.transaction(() => this.#put(rows), { beyondMaxBytes });
    } catch (error) {
      if (this.#refuseLongest(rows, error)) return;
      this.#failure =
        error instanceof HawserError ? error : new HawserError('ERR_HAWSER_STORE', String(error));
      throw error;
    }
    this.#failure = undefined;
    this.#rows = this.#rows.slice(rows.length);
    this.#written += rows.length;
    for (const { staging, n } of rows) {
      if (n === undefined) this.#begunBytes -= lengthOf(staging.session);
      else this.#unwrittenBytes -= takeFrom(staging.unwritten, n);
    }
  }

  /** When the store is full, what the session that has most in these rows has unwritten is not written. @returns whether that changes anything. */
  #refuseLongest(rows: readonly Row[], error: unknown): boolean {
    if (!(error instanceof HawserError) || error.code !== 'ERR_HAWSER_STORE_FULL') return false;
    const lengths = new Map<Staging, number>();
    for (const row of rows) {
      const length = messageOf(row)?.length ?? 0;
      if (length > 0) lengths.set(row.staging, (lengths.get(row.staging) ?? 0) + length);
    }
    const [longest] = Array.from(lengths).sort((a, b) => b[1] - a[1])[0] ?? [];
    if (longest === undefined) return false;
    // They are the last that it has. Their rows stay, and find nothing to write.
    longest.count -= longest.unwritten.size;
    longest.refused = error;
    this.#forgetUnwritten(longest);
    return true;
  }

  #take(): Row[] {
    let bytes = 0;
    let count = 0;
    for (const { staging, length } of this.#rows) {
      if (count === rowsAtATime || bytes >= bytesAtATime) break;
      if (!staging.gone) bytes += length;
      ++count;
    }
    return this.#rows.slice(0, count);
  }

  #put(rows: readonly Row[]): void {
    const { sessions, staging: messages } = this.#databases;
    for (const { staging, n } of rows) {
      if (staging.gone) continue;
      staging.isKept = true;
      const { key } = staging.session;
      if (n === undefined) {
        sessions.putSync(encodeNumber(key), encodeSession(staging.session));
        this.#names.keepNumbers();
        continue;
      }
      const bytes = staging.unwritten.get(n);
      if (bytes !== undefined) messages.putSync(stagingKey(key, n), bytes);
    }
  }
}

/** What is to be written of a row; undefined for the session itself, and for what need not be any more. */
function messageOf({ staging, n }: Row): Buffer | undefined {
  return n === undefined ? undefined : staging.unwritten.get(n);
}

/** Takes a message out. @returns its length; 0 for one that is not there. */
function takeFrom(unwritten: Map<number, Buffer>, n: number): number {
  const length = unwritten.get(n)?.length ?? 0;
  unwritten.delete(n);
  return length;
}

function newStaging(session: StoredSession): Staging {
  return {
    session,
    count: 0,
    unwritten: new Map(),
    isKept: false,
    refused: undefined,
    interrupted: false,
    gone: false,
  };
}

// ---- The session as a row: JSON, whose numbers of 64 bits are strings ---------------------------------------------------

/** More or less that of its row. */
function lengthOf({ indices }: StoredSession): number {
  return indices.reduce((length, index) => length + index.length, sessionBytes);
}

function encodeSession({ session, nonce, generation, key: _, ...rest }: StoredSession): Buffer {
  const numbers = { session: `${session}`, nonce: `${nonce}`, generation: `${generation}` };
  return Buffer.from(JSON.stringify({ ...rest, ...numbers }));
}

function decodeSession(key: number, row: Uint8Array): StoredSession {
  try {
    const fields: Readonly<Record<string, unknown>> = JSON.parse(Buffer.from(row).toString());
    const indices = checkArray('indices', fields.indices, 0, limits.indices);
    return {
      key,
      agent: checkString('agent', fields.agent),
      module: checkString('module', fields.module),
      mode: checkOneOf('mode', fields.mode, ['FULL', 'DELTA']),
      size: checkInteger('size', fields.size, 1, limits.items),
      indices: indices.map((index) => checkString('index', index)),
      session: BigInt(checkString('session', fields.session, 1, 20)),
      nonce: BigInt(checkString('nonce', fields.nonce, 1, 20)),
      generation: BigInt(checkString('generation', fields.generation, 1, 20)),
      state: checkOneOf('state', fields.state, ['receiving', 'committing']),
    };
  } catch (cause) {
    throw new HawserError('ERR_HAWSER_STORE_FORMAT', `the store's session ${key} cannot be read`, { cause });
  }
}
