// What LMDB and the file system say when they fail, as the errors of this package.

import { statfsSync } from 'node:fs';
import { constants } from 'node:os';
import { HawserError } from './errors.js';

/** LMDB's own numbers (lmdb.h); those of the operating system are positive. */
const lmdbCodes = { invalid: -30793, versionMismatch: -30794, corrupted: -30796, mapFull: -30792 } as const;

/**
 * So little room on a disk is none. LMDB 3.5.6 writes beyond a buffer when a write fails, and may end the process by it: it is not to be the
 * one who finds the disk full. All but the transactions of the longest documents add less to a file.
 */
const noRoomBytes = 2 ** 25;

/**
 * The error of this package for one of LMDB or of the file system; a HawserError stays what it is.
 *
 * @param path of the store, for the message and to look at the room on its disk.
 */
export function storeError(error: unknown, path: string): HawserError {
  if (error instanceof HawserError) return error;
  const code = numberOf(error);
  const options = { cause: error };
  switch (code) {
    case lmdbCodes.invalid:
    case lmdbCodes.versionMismatch:
      return new HawserError('ERR_HAWSER_STORE_FORMAT', `${path} holds no store of this package`, options);
    case lmdbCodes.mapFull:
      return new HawserError('ERR_HAWSER_STORE_FULL', `${path} has reached its greatest size`, options);
    case constants.errno.ENOSPC:
    case constants.errno.EDQUOT:
      return diskFullError(path, error);
    case constants.errno.EIO:
      // LMDB says EIO of a write that was cut short, which is what a disk does that has some room, but not enough.
      if (roomBytes(path) < noRoomBytes) return diskFullError(path, error);
  }
  const detail = error instanceof Error ? error.message : String(error);
  return new HawserError('ERR_HAWSER_STORE', `${path} could not be read or written: ${detail}`, options);
}

/**
 * To be asked before LMDB writes.
 *
 * @throws HawserError ERR_HAWSER_DISK_FULL when there is too little room for what LMDB may write.
 */
export function checkRoom(path: string): void {
  if (roomBytes(path) < noRoomBytes) throw diskFullError(path);
}

function diskFullError(path: string, cause?: unknown): HawserError {
  const message = `the disk of ${path} has no room left: less than ${noRoomBytes / 2 ** 20} MiB`;
  return new HawserError('ERR_HAWSER_DISK_FULL', message, cause === undefined ? undefined : { cause });
}

/** The number that LMDB or the operating system gave an error. */
function numberOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('errno' in error && typeof error.errno === 'number') return Math.abs(error.errno);
  return 'code' in error && typeof error.code === 'number' ? error.code : undefined;
}

function roomBytes(path: string): number {
  try {
    const disk = statfsSync(path);
    return disk.bavail * disk.bsize;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
