// The files of an LMDB environment before LMDB sees them: lmdb 3.5.6 ends the process when it cannot open one, whatever the reason.

import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  constants,
  existsSync,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { HawserError } from './errors.js';
import { type FileState, stateOfLmdbFile } from './lmdb-pages.js';

/** More than LMDB needs for its lock file. */
const lockBytes = 65_536;

/** Others may do with files in a directory of theirs what they like, and LMDB trusts what it finds. */
const writableByOthers = 0o022;
/** Another process may just be writing the first pages, or the current ones. */
const maxTries = 10;
const triesEveryMs = 20;

/**
 * Makes the directory of a store when it is missing (mode 0700), and makes sure that only this user can change what is in it. One of this
 * user's own that is empty is taken from others; any other that they can write is refused. Not looked at on Windows.
 *
 * @returns its real path.
 * @throws HawserError ERR_HAWSER_STORE, and the error of the file system.
 */
export function takeDirectory(path: string): string {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const link = lstatSync(path);
  const directory = realpathSync(path);
  const { uid, mode } = statSync(directory);
  if (process.geteuid === undefined) return directory;
  for (const owner of [link.uid, uid]) {
    if (isTrusted(owner)) continue;
    const message = `${path} belongs to another user (${owner}): a store needs a directory of the user who runs this`;
    throw new HawserError('ERR_HAWSER_STORE', message);
  }
  if ((mode & writableByOthers) === 0) return directory;
  if (uid !== process.geteuid() || readdirSync(directory).length > 0) {
    const message = `${path} can be written by other users: take that from them (chmod go-w), or give a directory within it`;
    throw new HawserError('ERR_HAWSER_STORE', message);
  }
  chmodSync(directory, mode & 0o7777 & ~writableByOthers);
  return directory;
}

/** Root can change everything anyway. */
function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}

/**
 * Makes sure that LMDB can open the environment of a directory: the files can be written, a new one has room on the disk, and one that is
 * there is LMDB's and has all its pages.
 *
 * @returns a promise that rejects with the error of the file system, with ERR_HAWSER_STORE_FORMAT when something else is there, or with
 * ERR_HAWSER_STORE when the file is cut off or another user's.
 */
export async function checkLmdbFiles(directory: string): Promise<void> {
  const path = join(directory, 'data.mdb');
  checkFile(path);
  checkFile(join(directory, 'lock.mdb'));
  makeLockFile(directory);
  // For writing: LMDB opens it so. A new one stays empty, by which LMDB knows that it is new.
  const file = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    for (let tries = 1; ; ++tries) {
      if (fstatSync(file).size === 0) return;
      const state = stateOfLmdbFile(file);
      if (state === 'complete') return;
      if (tries === maxTries) throw stateError(path, state);
      await sleep(triesEveryMs);
    }
  } finally {
    closeSync(file);
  }
}

/** What is no file may do anything when it is opened, and a link leads to files that are not the store's. */
function checkFile(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isFile()) throw stateError(path, 'foreign');
  if (process.geteuid === undefined || isTrusted(found.uid)) return;
  throw new HawserError('ERR_HAWSER_STORE', `${path} belongs to another user (${found.uid})`);
}

/**
 * LMDB maps its lock file: on a disk without room, a write to a page that the disk has not given ends the process. So it is made here, with all
 * its pages, and appears complete: another process may be about to open the store too.
 */
function makeLockFile(directory: string): void {
  const path = join(directory, 'lock.mdb');
  if (existsSync(path)) {
    closeSync(openSync(path, constants.O_RDWR | constants.O_NOFOLLOW));
    return;
  }
  const made = join(directory, `lock-${randomBytes(8).toString('hex')}.tmp`);
  try {
    const file = openSync(made, 'wx', 0o600);
    try {
      // Twice as much, so that the first pages of a new environment have room too.
      writeSync(file, Buffer.alloc(2 * lockBytes));
      fsyncSync(file);
      ftruncateSync(file, lockBytes);
    } finally {
      closeSync(file);
    }
    linkSync(made, path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    rmSync(made, { force: true });
  }
}

function stateError(path: string, state: Exclude<FileState, 'complete'>): HawserError {
  if (state === 'incomplete') return new HawserError('ERR_HAWSER_STORE', `${path} is cut off`);
  return new HawserError('ERR_HAWSER_STORE_FORMAT', `${path} is no store of this package`);
}
