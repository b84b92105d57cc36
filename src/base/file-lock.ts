// A lock among the processes of a machine, as a file: who holds it stands in it, so that the lock of a process that was killed holds up nobody.

import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { HawserError } from './errors.js';
import {
  canBeAskedAfter,
  decodeOwner,
  encodeOwner,
  isRunning,
  newOwner,
  type StoreOwner,
} from './store-owner.js';
import { systemCode } from './system-error.js';

const retryMs = 5;
/** How long a lock counts whose holder cannot be asked after: one in another container, or who stands in no file that can be read. */
const unknownHolderMs = 10_000;

/** An owner has some 200 bytes. */
const maxBytes = 4096;

/** Who holds a lock. */
interface Holder {
  /** Tells two holdings apart. */
  readonly id: string;
  readonly isGone: boolean;
}

/**
 * Does something that only one process may do at a time, and that takes no longer than moments.
 *
 * Nobody but its holder removes a lock. That of a process that has ended is removed by who holds the lock of that: a second file, which is
 * named after what it may remove, so that nobody who was slow can take a newer lock away.
 *
 * @param path of the file, which is there as long as the lock is held.
 * @param timeoutMs how long to wait for others.
 * @returns what `work` returned.
 * @throws HawserError ERR_HAWSER_TIMED_OUT when another process holds the lock for all that time; ERR_HAWSER_PERMISSION when the file is of
 *   another kind; what `work` threw; errors of the system when the file cannot be written (rejects).
 */
export async function withFileLock<T>(
  path: string,
  timeoutMs: number,
  work: () => Promise<T>,
  giveUpAt: number = performance.now() + timeoutMs,
): Promise<T> {
  const own = newOwner(dirname(path));
  while (!take(path, own)) {
    const holder = holderOf(path);
    if (holder === undefined) continue;
    if (performance.now() >= giveUpAt) {
      throw new HawserError('ERR_HAWSER_TIMED_OUT', `another process holds ${path}`);
    }
    if (holder.isGone) {
      const remove = async (): Promise<void> => {
        if (holderOf(path)?.id === holder.id) rmSync(path, { force: true });
      };
      await withFileLock(`${path}.${holder.id}`, timeoutMs, remove, giveUpAt);
    } else {
      await pause(retryMs);
    }
  }
  try {
    return await work();
  } finally {
    rmSync(path, { force: true });
  }
}

/** The file comes to be with all that is in it, or not at all. */
function take(path: string, own: StoreOwner): boolean {
  const made = `${path}.${own.opening}.new`;
  try {
    writeFileSync(made, encodeOwner(own), { flag: 'wx', mode: 0o600 });
    linkSync(made, path);
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  } finally {
    rmSync(made, { force: true });
  }
}

/** @returns undefined when nobody holds it any more. */
function holderOf(path: string): Holder | undefined {
  const file = openLock(path);
  if (file === undefined) return undefined;
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw notALock(path);
    const owner = stat.size > maxBytes ? undefined : decodeOwner(readFileSync(file));
    const isOld = Date.now() - stat.mtimeMs > unknownHolderMs;
    // A file without an owner is none of ours, or what a loss of power has left.
    if (owner === undefined || !/^[0-9a-f]{16}$/.test(owner.opening)) {
      return { id: `${stat.ino}`, isGone: isOld };
    }
    return { id: owner.opening, isGone: !isRunning(owner) && (canBeAskedAfter(owner) || isOld) };
  } finally {
    closeSync(file);
  }
}

/**
 * In a directory for everybody it may be a link that leads nowhere, which would be tried for ever, or a pipe that nobody writes to: neither is
 * followed or waited for.
 */
function openLock(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return undefined;
    throw code === 'ELOOP' ? notALock(path) : error;
  }
}

function notALock(path: string): HawserError {
  return new HawserError('ERR_HAWSER_PERMISSION', `${path}, a lock, is something else`);
}
