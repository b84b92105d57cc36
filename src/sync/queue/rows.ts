// What becomes of a row of a queue when something happens to its document (docs/sync.md has the table), whatever the queue keeps it in.
//
// A row that waits is in the open part of a queue; the rows of a snapshot are in the sealed part, where nothing of them changes. So a
// document can have a row in each: what is being sent, and what came meanwhile.

import { randomBytes } from 'node:crypto';
import {
  argumentError,
  checkArray,
  checkBoolean,
  checkInteger,
  checkOptions,
  checkText,
  checkU64,
  describe,
  isText,
  textError,
} from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { type DataItem, limits } from '../wire/messages.js';
import {
  type Difference,
  type DifferenceOperation,
  differenceOperations,
  type QueueMark,
  type SnapshotLimits,
} from './queue.js';

/** What the table says of a row. */
export interface RowState {
  readonly operation: DifferenceOperation;
  /** The manager cannot have heard of the document: it was created since, and nothing of it was sent. */
  readonly isNew: boolean;
}

/**
 * What a difference makes of the row that waits.
 *
 * @param waiting the row of the same document in the open part, if there is one.
 * @param isSealed whether the document has a row in the sealed part.
 * @returns undefined when nothing is left to be told.
 */
export function merged(
  waiting: RowState | undefined,
  isSealed: boolean,
  operation: DifferenceOperation,
): RowState | undefined {
  if (waiting === undefined) return { operation, isNew: operation === 'CREATE' && !isSealed };
  if (operation === 'DELETE' && waiting.isNew) return undefined;
  return { operation, isNew: waiting.isNew };
}

/**
 * What is left of the rows of a document when the session that sent the first of them has failed.
 *
 * @param sealed its row in the sealed part; not new once Data of the snapshot may have been sent, for failing is not the same as not being
 * applied: a DELETE has to be told then.
 * @param later its row in the open part.
 * @returns undefined when nothing is left to be told.
 */
export function restored(sealed: RowState, later: RowState): RowState | undefined {
  return merged(sealed, false, later.operation);
}

/** The most differences of one call: they are kept together, in one go. */
export const maxDifferences = 100_000;
const maxDataBytes = 2 ** 24;

/** A difference with its defaults. */
export type FullDifference = Required<Difference>;

/** The item that a difference is sent as. Its data are those of the difference, not copied. */
export function itemOf({ operation, isContext, index, id, data, version }: FullDifference): DataItem {
  if (isContext) return { kind: 'context', index, id, data };
  return { kind: 'value', operation: operation === 'DELETE' ? 'Delete' : 'Upsert', index, id, version, data };
}

/**
 * Checks what somebody wants to submit. The data are those of the caller, not copied.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkDifferences(differences: unknown): FullDifference[] {
  return checkArray('differences', differences, 0, maxDifferences).map(checkDifference);
}

function checkDifference(value: unknown, place: number): FullDifference {
  // The names are put together only when something is wrong: every difference comes by here.
  const name = (part: string): string => `differences[${place}].${part}`;
  if (typeof value !== 'object' || value === null) {
    throw argumentError(`differences[${place}]`, 'an object', describe(value));
  }
  const { id, operation, index, data, version = 0n, isContext = false }: Unchecked = value;
  if (!isText(id, limits.idBytes)) throw textError(name('id'), id, limits.idBytes);
  if (!isText(index, limits.indexBytes)) throw textError(name('index'), index, limits.indexBytes);
  if (!isOperation(operation)) throw oneOfError(name('operation'), operation);
  const most = operation === 'DELETE' ? 0 : maxDataBytes;
  if (!(data instanceof Uint8Array) || data.length > most) {
    throw argumentError(name('data'), `a Uint8Array of 0 to ${most} bytes`, describe(data));
  }
  if (typeof isContext !== 'boolean' || (isContext && operation === 'DELETE')) {
    throw argumentError(name('isContext'), 'true or false, and false for DELETE', describe(isContext));
  }
  return {
    id,
    operation,
    index,
    data,
    version: version === 0n ? 0n : checkU64(name('version'), version),
    isContext,
  };
}

interface Unchecked {
  readonly id?: unknown;
  readonly operation?: unknown;
  readonly index?: unknown;
  readonly data?: unknown;
  readonly version?: unknown;
  readonly isContext?: unknown;
}

function isOperation(value: unknown): value is DifferenceOperation {
  return value === 'CREATE' || value === 'MODIFY' || value === 'DELETE';
}

function oneOfError(name: string, value: unknown): HawserError {
  const rule = `one of ${differenceOperations.map((each) => `'${each}'`).join(', ')}`;
  return argumentError(name, rule, describe(value));
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkIndex(index: unknown): string {
  return checkText('index', index, limits.indexBytes);
}

/** What `fetchPendingItems` takes. */
export function checkPendingOptions(value: unknown): {
  readonly limit: number;
  readonly onlyDataValues: boolean;
} {
  const options = checkOptions('options', value, ['limit', 'onlyDataValues']);
  return {
    limit: options.limit === undefined ? 1000 : checkInteger('options.limit', options.limit, 1, 100_000),
    onlyDataValues:
      options.onlyDataValues === undefined
        ? false
        : checkBoolean('options.onlyDataValues', options.onlyDataValues),
  };
}

/** What `clearItemsByIndex` takes. */
export function checkMark(value: unknown): QueueMark {
  const { number } = checkOptions('before', value, ['number']);
  return { number: checkInteger('before.number', number, 1, Number.MAX_SAFE_INTEGER) };
}

/** What bounds a snapshot. */
export type FullLimits = Required<SnapshotLimits>;

/** The options of queues that bound their snapshots. By default less than what a manager takes from an agent by default. */
export function checkSnapshotOptions(options: {
  readonly snapshotItems?: unknown;
  readonly snapshotBytes?: unknown;
}): FullLimits {
  const { snapshotItems = 1_000_000, snapshotBytes = 2 ** 29 } = options;
  return {
    items: checkInteger('options.snapshotItems', snapshotItems, 1, maxSnapshotItems),
    bytes: checkInteger('options.snapshotBytes', snapshotBytes, 1, maxSnapshotBytes),
  };
}

/** What `fetchAndMarkForSync` takes: what is lower, of each. */
export function lowerLimits(limits: FullLimits, value: unknown): FullLimits {
  const { items = maxSnapshotItems, bytes = maxSnapshotBytes } = checkOptions('limits', value, [
    'items',
    'bytes',
  ]);
  return {
    items: Math.min(limits.items, checkInteger('limits.items', items, 1, maxSnapshotItems)),
    bytes: Math.min(limits.bytes, checkInteger('limits.bytes', bytes, 1, maxSnapshotBytes)),
  };
}

const maxSnapshotItems = 2 ** 32;
const maxSnapshotBytes = 2 ** 40;

/** What an item takes in a message besides its data, id and index, at most; a context has a message of its own. */
export const itemOverheadBytes = 128;

/** The snapshot is not that of the queue any more. */
export function endedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the snapshot has ended');
}

/** The names of all indices that wait, in bytes of UTF-8: with what else is in a Start they fit into one message. */
const maxIndexNameBytes = 32_768;

/** Whether one Start can name them. */
export function canBeNamed(indices: ReadonlySet<string>): boolean {
  if (indices.size > limits.indices) return false;
  let bytes = 0;
  for (const name of indices) bytes += Buffer.byteLength(name);
  return bytes <= maxIndexNameBytes;
}

export function tooManyIndicesError(): HawserError {
  const rule = `of at most ${limits.indices} indices that wait at a time, with names of ${maxIndexNameBytes} bytes of UTF-8 in all`;
  return argumentError('differences', rule, 'more');
}

/** Random, and never 0, which stands for none. */
export function newNonce(): bigint {
  for (;;) {
    const nonce = randomBytes(8).readBigUInt64BE();
    if (nonce !== 0n) return nonce;
  }
}

/** What `raiseGeneration` takes. */
export function checkGeneration(least: unknown, wallNowMs: number): bigint {
  const checked = checkU64('least', least);
  const most = greatestGeneration(wallNowMs);
  if (checked <= most) return checked;
  throw argumentError('least', `at most ${most}, ten years ahead in microseconds`, describe(least));
}

/** The first generation of a new queue: above those of one of the same module that was lost, unless somebody set the clock back. */
export function firstGeneration(wallNowMs: number): bigint {
  return BigInt(Math.max(0, Math.floor(wallNowMs))) * 1000n;
}

const tenYearsMs = 10 * 365.25 * 24 * 3_600_000;

/**
 * The greatest generation that another may make an agent begin from. Those that agents make themselves are of the time of day; a manager
 * that names one far ahead of it would have each later manager, and a queue made anew, begin from there, until generations run out.
 */
export function greatestGeneration(wallNowMs: number): bigint {
  return firstGeneration(wallNowMs + tenYearsMs);
}
