// An LMDB environment that one process owns: opening, one way to write, closing. LMDB is the optional package `lmdb`.
//
// Facts of lmdb 3.5.6 that decide how it is used here. A commit writes the changed pages, calls fdatasync, writes the page that makes them
// the current ones through a descriptor opened with O_DSYNC, and then only resolves. With its option `overlappingSync`, the default on
// Linux, a transaction is visible before fdatasync, also when that fails later, so that a rejected write would be read all the same: the
// option is off. What is written outside a transaction rejects with promises inside of errors, and never settles once the environment has
// failed: everything is written by `transaction`, one at a time. An error that is thrown in a transaction does not undo it unless it is
// a child of another: each is one. Its map grows without bounds: the greatest size is checked here.

import { closeSync, fsyncSync, openSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Database, RootDatabase } from 'lmdb';
import { systemClock, type Timer } from './clock.js';
import type { Durability } from './durability.js';
import { HawserError } from './errors.js';
import { Fifo } from './fifo.js';
import { checkRoom, storeError } from './lmdb-errors.js';
import { checkLmdbFiles, takeDirectory } from './lmdb-files.js';
import { decodeOwner, encodeOwner, isRunning, newOwner, type StoreOwner } from './store-owner.js';

type Root = RootDatabase<Buffer, Uint8Array>;

/** A named database of the environment: keys and values are bytes. */
export type LmdbDatabase = Database<Buffer, Uint8Array>;

export interface LmdbOptions {
  /** What all databases together may keep, in bytes of whole pages. The file can be larger by what one transaction replaces. */
  readonly maxBytes: number;
  readonly databases: readonly string[];
  /** What is in the databases: a store of another name or version is not opened. */
  readonly format: { readonly name: string; readonly version: number };
  /** `durable` by default. */
  readonly durability?: Durability;
}

/** How a transaction is written. */
export interface TransactionOptions {
  /** It may be written although the store is full: for what leads to room being made. False by default. */
  readonly beyondMaxBytes?: boolean;
}

interface Job {
  readonly run: () => void;
  readonly beyondMaxBytes: boolean;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** The database of this file: format and owner. */
const ownName = 'hawser';
const formatKey = Buffer.from('format');
const ownerKey = Buffer.from('owner');

/** So soon after a commit of a relaxed store the next one follows, which makes the first one durable. */
const relaxedMs = 1000;

/** So long one commit may keep the event loop; what waits then is for the next one. */
const maxTurnMs = 20;

/** The stores that this thread has open, by path: LMDB itself would hand out the same environment twice. */
const openPaths = new Set<string>();

/**
 * Opens the store in a directory, which is made when it is missing (mode 0700). A file that was damaged in its midst is not told from a good
 * one, and may end the process when it is read.
 *
 * @param path the directory; LMDB's `data.mdb` and `lock.mdb` are in it.
 * @returns a promise of the store; this process owns it until `close`, or until it ends.
 * @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING without the package lmdb, ERR_HAWSER_STORE_LOCKED when a process that runs has it
 * open, ERR_HAWSER_STORE_FORMAT when something else is there, ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE, also when other users can write the
 * directory or its files, or when a file is cut off.
 */
export async function openLmdb(path: string, options: LmdbOptions): Promise<LmdbStore> {
  const { open } = await loadLmdb();
  let directory = resolve(path);
  try {
    directory = takeDirectory(directory);
  } catch (error) {
    throw storeError(error, directory);
  }
  if (openPaths.has(directory)) throw lockedError(directory, process.pid);
  openPaths.add(directory);
  try {
    checkRoom(directory);
    await checkLmdbFiles(directory);
    return openOnce(open, directory, options);
  } catch (error) {
    openPaths.delete(directory);
    throw storeError(error, directory);
  }
}

type LmdbModule = typeof import('lmdb');

async function loadLmdb(): Promise<LmdbModule> {
  try {
    return await import('lmdb');
  } catch (cause) {
    const message = 'stores on the disk need the package lmdb: npm install lmdb';
    throw new HawserError('ERR_HAWSER_PACKAGE_MISSING', message, { cause });
  }
}

function openOnce(open: LmdbModule['open'], directory: string, options: LmdbOptions): LmdbStore {
  const environment = {
    path: directory,
    noSubdir: false,
    permissionsMode: 0o600,
    maxDbs: options.databases.length + 1,
    // Address space only; what is beyond is mapped anew when it is needed.
    mapSize: 2 ** 24 + Math.ceil(options.maxBytes * 1.25),
    overlappingSync: false,
    // With it, a commit that fails rejects one promise more, which nobody has.
    eventTurnBatching: false,
    noMetaSync: options.durability === 'relaxed',
    ...binary,
  };
  const root: Root = open(environment);
  try {
    const owner = newOwner(join(directory, 'data.mdb'));
    // LMDB gives one process at a time a transaction that writes, and takes it from one that dies: of two that open, one is the owner.
    const { own, databases } = root.transactionSync(() => {
      const own = checkFormat(root, directory, options);
      takeOwnership(own, directory, owner);
      const databases = new Map(options.databases.map((name) => [name, root.openDB({ name, ...binary })]));
      return { own, databases };
    });
    syncDirectory(directory);
    syncDirectory(dirname(directory));
    return new LmdbStore({ path: directory, root, own, databases, owner, options });
  } catch (error) {
    void root.close();
    throw error;
  }
}

const binary = { encoding: 'binary', keyEncoding: 'binary', cache: false } as const;

/** @returns the own database with this format in it, made where the environment is empty. */
function checkFormat(root: Root, path: string, { format }: LmdbOptions): LmdbDatabase {
  const wanted = `${format.name} ${format.version}`;
  if (root.getKeysCount({ limit: 1 }) === 0) {
    const made = root.openDB({ name: ownName, ...binary });
    made.putSync(formatKey, Buffer.from(wanted));
    return made;
  }
  const existing = { ...binary, create: false };
  const own: LmdbDatabase | undefined = root.openDB(ownName, existing);
  const found = own?.get(formatKey)?.toString();
  if (own !== undefined && found === wanted) return own;
  const message = `${path} holds ${found ?? 'something else'}, not ${wanted}`;
  throw new HawserError('ERR_HAWSER_STORE_FORMAT', message);
}

function takeOwnership(own: LmdbDatabase, path: string, owner: StoreOwner): void {
  const mark = own.get(ownerKey);
  const present = mark === undefined ? undefined : decodeOwner(mark);
  const isOwned = present !== undefined && present.file === owner.file && isRunning(present);
  if (isOwned) throw lockedError(path, present.pid);
  own.putSync(ownerKey, encodeOwner(owner));
}

function lockedError(path: string, pid: number): HawserError {
  const who = pid === process.pid ? 'this process' : `process ${pid}`;
  return new HawserError('ERR_HAWSER_STORE_LOCKED', `${path} is open in ${who} already`);
}

/** So that new files are found again after a loss of power. */
function syncDirectory(path: string): void {
  // Windows has no such thing.
  if (process.platform === 'win32') return;
  const file = openSync(path, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

interface Opened {
  readonly path: string;
  readonly root: Root;
  readonly own: LmdbDatabase;
  readonly databases: ReadonlyMap<string, LmdbDatabase>;
  readonly owner: StoreOwner;
  readonly options: LmdbOptions;
}

/** An open environment. Made by {@link openLmdb}. */
export class LmdbStore {
  /** Its directory. */
  readonly path: string;
  readonly #opened: Opened;
  readonly #ownerMark: Buffer;
  #usedBytes: number;
  /** In a transaction that may not have been committed. */
  #measuredBytes: number;
  readonly #waiting = new Fifo<Job>();
  #writing: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Of a relaxed store, between a commit and what makes it durable. */
  #following: Timer | undefined;
  /** Why nothing can be written any more. */
  #failure: HawserError | undefined;

  constructor(opened: Opened) {
    this.path = opened.path;
    this.#opened = opened;
    this.#ownerMark = encodeOwner(opened.owner);
    this.#usedBytes = this.#measure();
    this.#measuredBytes = this.#usedBytes;
  }

  /** One of the databases of the options: to be read at any time, to be written in a `transaction` only. */
  database(name: string): LmdbDatabase {
    const found = this.#opened.databases.get(name);
    if (found === undefined) throw new HawserError('ERR_HAWSER_STORE', `there is no database ${name}`);
    return found;
  }

  /** What the databases keep, in bytes of whole pages, and how much that may be. */
  get usage(): { readonly bytes: number; readonly maxBytes: number } {
    return { bytes: this.#usedBytes, maxBytes: this.#opened.options.maxBytes };
  }

  /**
   * Writes. Those who wait at the same time share one commit.
   *
   * @param run reads and writes by the synchronous methods of the databases (`get`, `putSync`, `removeSync`, `clearSync`, ranges), and what it
   * reads contains what it and others before it have written. When it throws, nothing of it is kept. It may be called a second time after the
   * first was undone, so it changes nothing else.
   * @returns a promise of what `run` returned, which resolves once it is kept for good, as the durability of the store is.
   * @throws HawserError (rejects) what `run` threw, as the cause of ERR_HAWSER_STORE unless it was a HawserError; ERR_HAWSER_STORE_FULL, ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE: nothing of it was kept;
   * ERR_HAWSER_STORE_LOCKED when another process has become the owner; ERR_HAWSER_CLOSED.
   */
  transaction<T>(run: () => T, options: TransactionOptions = {}): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(this.#closedError());
    return new Promise<T>((resolve, reject) => {
      let result: T;
      this.#waiting.push({
        run: () => {
          result = run();
        },
        beyondMaxBytes: options.beyondMaxBytes ?? false,
        resolve: () => resolve(result),
        reject,
      });
      this.#writing ??= this.#writeAll();
    });
  }

  /** Waits for what is being written, and lets go of the store. Closing twice is closing once. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  #closedError(): HawserError {
    return new HawserError('ERR_HAWSER_CLOSED', `${this.path} is closed`);
  }

  async #close(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    this.#following?.clear();
    try {
      if (this.#failure === undefined) {
        // When it fails, the mark stays: who opens the store next sees that this process has ended, or is refused until then.
        await this.#commit([() => void this.#opened.own.removeSync(ownerKey)]);
      }
      await this.#opened.root.close();
    } finally {
      openPaths.delete(this.path);
    }
  }

  // ---- Writing -----------------------------------------------------------------------------------------------------

  async #writeAll(): Promise<void> {
    // Those who call in the same turn share the first commit too.
    await Promise.resolve();
    while (this.#waiting.size > 0) await this.#writeWaiting();
    this.#writing = undefined;
    if (this.#opened.options.durability === 'relaxed') this.#followLater();
  }

  #followLater(): void {
    this.#following?.clear();
    this.#following = systemClock.setTimeout(() => {
      if (this.#closing !== undefined || this.#writing !== undefined) return;
      // Any commit will do. When it fails, the next one finds out.
      this.#writing = this.#commit([() => void this.#opened.own.putSync(ownerKey, this.#ownerMark)]).then(
        () => {
          this.#writing = this.#waiting.size > 0 ? this.#writeAll() : undefined;
        },
      );
    }, relaxedMs);
  }

  /** One commit for all that wait; when one of them fails, each is tried again on its own, and one commit serves those that do not. */
  async #writeWaiting(): Promise<void> {
    const jobs: Job[] = [];
    // What came while LMDB waited for its turn belongs to this commit.
    const [outcome] = await this.#commit([() => this.#run(this.#take(jobs))]);
    if (jobs.length === 0) {
      for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) jobs.push(job);
    }
    const outcomes =
      outcome === undefined || jobs.length === 1 || this.#failure !== undefined
        ? jobs.map(() => outcome)
        : await this.#commit(jobs.map((job) => () => this.#run([job])));
    for (const [index, job] of jobs.entries()) {
      const error = outcomes[index];
      if (error === undefined) job.resolve();
      else job.reject(error);
    }
  }

  /** Takes from those who wait until it has been the turn of this store for long enough. */
  *#take(taken: Job[]): Generator<Job, void> {
    const endMs = systemClock.now() + maxTurnMs;
    for (let job = this.#waiting.shift(); job !== undefined; job = this.#waiting.shift()) {
      taken.push(job);
      yield job;
      if (systemClock.now() >= endMs) return;
    }
  }

  #run(jobs: Iterable<Job>): void {
    const { own, options } = this.#opened;
    const mark = own.get(ownerKey);
    if (mark === undefined || !this.#ownerMark.equals(mark)) {
      const pid = (mark === undefined ? undefined : decodeOwner(mark))?.pid;
      throw lockedError(this.path, pid ?? 0);
    }
    let mayExceed = true;
    for (const job of jobs) {
      job.run();
      mayExceed &&= job.beyondMaxBytes;
    }
    const usedBytes = this.#measure();
    this.#measuredBytes = usedBytes;
    if (usedBytes > options.maxBytes && usedBytes > this.#usedBytes && !mayExceed) {
      const message = `${this.path} would keep ${usedBytes} bytes of at most ${options.maxBytes}`;
      throw new HawserError('ERR_HAWSER_STORE_FULL', message);
    }
  }

  /**
   * Writes all that the functions write in one commit. One that throws is undone, the others are not concerned.
   *
   * @returns for each its error, or undefined when it is kept.
   */
  async #commit(runs: readonly (() => void)[]): Promise<(HawserError | undefined)[]> {
    if (this.#failure !== undefined) return runs.map(() => this.#failure);
    const { root } = this.#opened;
    try {
      checkRoom(this.path);
    } catch (error) {
      const full = storeError(error, this.path);
      return runs.map(() => full);
    }
    const settled = await Promise.allSettled(runs.map((run) => root.childTransaction(run)));
    const errors: (HawserError | undefined)[] = [];
    for (const each of settled) {
      errors.push(each.status === 'fulfilled' ? undefined : await this.#errorOf(each.reason));
    }
    // The last one has measured what the others had written too.
    if (errors.at(-1) === undefined) this.#usedBytes = this.#measuredBytes;
    else if (this.#failure === undefined) this.#usedBytes = this.#measure();
    return errors;
  }

  async #errorOf(reason: unknown): Promise<HawserError> {
    if (!(reason instanceof Error) || !('commitError' in reason)) return storeError(reason, this.path);
    // The commit failed, which LMDB undoes. What is behind it is in a promise that rejects.
    const cause: unknown = await Promise.resolve(reason.commitError).catch((error: unknown) => error);
    this.#checkEnvironment();
    return this.#failure ?? storeError(cause, this.path);
  }

  /** When the write of the page that makes a commit the current one fails, LMDB refuses everything from then on, reading too. */
  #checkEnvironment(): void {
    const { root, own } = this.#opened;
    try {
      root.resetReadTxn();
      own.get(formatKey);
    } catch (cause) {
      const message = `${this.path} could not be written and must be opened again`;
      this.#failure = new HawserError('ERR_HAWSER_STORE', message, { cause });
    }
  }

  /** The bytes of the pages of all databases. Within a transaction it counts what that has written. */
  #measure(): number {
    let bytes = 0;
    for (const database of this.#opened.databases.values()) bytes += bytesOf(database.getStats());
    return bytes;
  }
}

/** The bytes of the pages of a database, by its statistics. */
export function bytesOf(stats: object): number {
  const count = (name: string): number => {
    const value: unknown = Reflect.get(stats, name);
    return typeof value === 'number' ? value : 0;
  };
  const pages = count('treeBranchPageCount') + count('treeLeafPageCount') + count('overflowPages');
  return pages * count('pageSize');
}
