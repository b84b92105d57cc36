// The files of one peer's keys. Each change is one rename or unlink, so that a process that ends in the middle leaves what was before.

import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  readlink,
  rename,
  stat,
  symlink,
  unlink,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { deviceError } from './device-error.js';
import { fileNameOf, idOf } from './file-names.js';

const keysFolder = 'keys';
const currentName = 'current';
/** What is being written and has no name yet. */
const unfinishedPrefix = '.new-';
/** S_ISVTX: only its owner may rename or remove what is in a directory. */
const sticky = 0o1000;

/**
 * `keys/<key id>` for each live key, mode 0600, and `current`, a symbolic link to the one in use.
 */
export class KeyFiles {
  readonly #directory: string;
  readonly #keys: string;

  /** @param directory of this peer alone. */
  constructor(directory: string) {
    this.#directory = directory;
    this.#keys = join(directory, keysFolder);
  }

  /**
   * Makes the directories, 0700, and removes what a process that was ended had begun. Opening again is opening once.
   *
   * @throws HawserError (rejects) ERR_HAWSER_DEVICE when another user could put keys in the place of ours.
   */
  async open(): Promise<void> {
    await mkdir(this.#keys, { recursive: true, mode: 0o700 });
    checkParent(dirname(this.#directory), await stat(dirname(this.#directory)));
    for (const directory of [this.#directory, this.#keys]) {
      checkOwn(directory, await lstat(directory));
      for (const name of await readdir(directory)) {
        if (name.startsWith(unfinishedPrefix)) await erase(join(directory, name));
      }
    }
  }

  /** Writes the pieces one after the other as the file of that key. One that is there is replaced as a whole. */
  async put(keyId: string, pieces: readonly Uint8Array[]): Promise<void> {
    const unfinished = join(this.#keys, unfinishedName());
    const file = await open(unfinished, 'wx', 0o600);
    try {
      for (const piece of pieces) await writeAll(file, piece);
      await file.sync();
      await rename(unfinished, this.#path(keyId));
    } catch (error) {
      // A full disk is no reason to leave a part of a key behind with each attempt.
      await erase(unfinished).catch(() => unlinkIfThere(unfinished));
      throw error;
    } finally {
      await file.close();
    }
    await syncDirectory(this.#keys);
  }

  /** Makes `current` be that key, whose file is there; null: there is no `current` from now on. */
  async setCurrent(keyId: string | null): Promise<void> {
    const current = join(this.#directory, currentName);
    if (keyId === null) {
      await unlinkIfThere(current);
    } else {
      const unfinished = join(this.#directory, unfinishedName());
      await symlink(join(keysFolder, fileNameOf(keyId)), unfinished);
      await rename(unfinished, current);
    }
    await syncDirectory(this.#directory);
  }

  /** Which key `current` is, as `list` tells it; null when there is none. */
  async current(): Promise<string | null> {
    const name = await this.#currentName();
    return name === null ? null : idOf(name);
  }

  async isCurrent(keyId: string): Promise<boolean> {
    return (await this.#currentName()) === fileNameOf(keyId);
  }

  /** The ids of the keys that are there; those whose ids are too long for a file name are told by their hash. */
  async list(): Promise<string[]> {
    const names = await readdir(this.#keys);
    return names.filter((name) => !name.startsWith(unfinishedPrefix)).map(idOf);
  }

  async has(keyId: string): Promise<boolean> {
    try {
      return (await lstat(this.#path(keyId))).isFile();
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false;
      throw error;
    }
  }

  /** Overwrites the key's file and removes it. @returns false when it was not there. */
  async delete(keyId: string): Promise<boolean> {
    if (!(await erase(this.#path(keyId)))) return false;
    await syncDirectory(this.#keys);
    return true;
  }

  async #currentName(): Promise<string | null> {
    try {
      return basename(await readlink(join(this.#directory, currentName)));
    } catch (error) {
      if (isCode(error, 'ENOENT')) return null;
      throw error;
    }
  }

  #path(keyId: string): string {
    return join(this.#keys, fileNameOf(keyId));
  }
}

/** Whoever can write in a directory can have programs read another key than ours; a link leads where its maker wants it to. */
function checkOwn(path: string, facts: Stats): void {
  if (!facts.isDirectory()) throw deviceError('file', `${path} is no directory`);
  // Windows has neither owners nor modes that say anything.
  if (process.getuid === undefined) return;
  const isOurs = facts.uid === process.getuid() || facts.uid === 0;
  if (isOurs && (facts.mode & 0o022) === 0) return;
  throw deviceError('file', `other users can write in ${path}`);
}

/** Whoever can write in it can put another directory in the place of ours, but where it is sticky, as `/tmp` is. */
function checkParent(path: string, { mode }: Stats): void {
  if (process.getuid === undefined || (mode & 0o022) === 0 || (mode & sticky) !== 0) return;
  throw deviceError('file', `other users can write in ${path}`);
}

function unfinishedName(): string {
  return `${unfinishedPrefix}${randomBytes(8).toString('hex')}`;
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await file.write(bytes, at)).bytesWritten;
}

/** Overwrites a file in place with chance and removes it; a file system that copies on write keeps the old blocks all the same. */
async function erase(path: string): Promise<boolean> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_WRONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    // A symbolic link, which has nothing to overwrite.
    if (!isCode(error, 'ELOOP')) throw error;
    await unlinkIfThere(path);
    return true;
  }
  try {
    await writeAll(file, randomBytes((await file.stat()).size));
    await file.sync();
  } finally {
    await file.close();
  }
  await unlinkIfThere(path);
  return true;
}

async function unlinkIfThere(path: string): Promise<void> {
  try {
    await unlink(path);
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
}

/** What is in a directory is safe from a loss of power only once the directory is. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
