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
import { type Difference, type DifferenceOperation, differenceOperations, type QueueMark } from './queue.js';

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

/** The option of queues: the most items of a snapshot. By default fewer than what a manager takes from an agent by default. */
export function checkSnapshotItems(value: unknown = 1_000_000): number {
  return checkInteger('options.snapshotItems', value, 1, 2 ** 32);
}

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

/** The greatest generation that another may make a queue begin from: so many are left that they do not run out. */
const maxRaised = 2n ** 63n;

/** What `raiseGeneration` takes. */
export function checkGeneration(least: unknown): bigint {
  const checked = checkU64('least', least);
  if (checked <= maxRaised) return checked;
  throw argumentError('least', 'at most 2n ** 63n', describe(least));
}

/** The first generation of a new queue: above those of one of the same module that was lost, unless somebody set the clock back. */
export function firstGeneration(wallNowMs: number): bigint {
  return BigInt(Math.max(0, Math.floor(wallNowMs))) * 1000n;
}
