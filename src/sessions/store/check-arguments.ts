// The arguments of a store of sessions, checked before anything is done: what one store takes every other takes, too.

import {
  argumentError,
  checkArray,
  checkBytes,
  checkInteger,
  checkOneOf,
  checkOptions,
  checkText,
  describe,
} from '../../base/check.js';
import type { Compare, Range, StoreLease, Transaction, Write } from './store.js';

const maxKeyBytes = 1024;
/** Of the end of a range: what follows the longest key is a byte longer. */
const maxEndBytes = maxKeyBytes + 1;
const maxValueBytes = 12_582_912;
const maxGatewayBytes = 256;
const maxLimit = 1_000_000;
/** Comparisons of a transaction at most, and writes: as many as etcd takes unless it is told otherwise. */
const maxOperations = 128;

/** @returns it, with its limit. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkRange(range: Range): Required<Range> {
  checkOptions('range', range, ['from', 'to', 'limit']);
  return {
    from: checkText('range.from', range.from, maxKeyBytes),
    to: checkText('range.to', range.to, maxEndBytes),
    limit: checkInteger('range.limit', range.limit ?? maxLimit, 1, maxLimit),
  };
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkPrefix(prefix: string): string {
  return checkText('prefix', prefix, maxKeyBytes);
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkGateway(gateway: string): string {
  checkText('gateway', gateway, maxGatewayBytes);
  if (!gateway.includes('/')) return gateway;
  throw argumentError('gateway', 'a name without /', describe(gateway));
}

/** @returns a copy. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function copyValue(name: string, value: Uint8Array): Uint8Array {
  return new Uint8Array(checkBytes(name, value, 0, maxValueBytes));
}

/**
 * Checks a transaction. No key may be put twice, or put and deleted: etcd refuses that, for all writes of a transaction are one.
 *
 * @param isOwn whether a lease is one of this store.
 * @returns a copy, with copies of its values.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkTransaction(
  transaction: Transaction,
  isOwn: (lease: StoreLease) => boolean,
): Transaction {
  checkOptions('transaction', transaction, ['compare', 'writes']);
  checkArray('compare', transaction.compare, 0, maxOperations);
  checkArray('writes', transaction.writes, 0, maxOperations);
  const compare = transaction.compare.map((each, index) => checkCompare(each, `compare[${index}]`));
  const writes = transaction.writes.map((write, index) => checkWrite(write, `writes[${index}]`, isOwn));
  checkPuts(writes);
  return { compare, writes };
}

function checkCompare(compare: Compare, name: string): Compare {
  checkOptions(name, compare, ['key', 'revision']);
  return {
    key: checkText(`${name}.key`, compare.key, maxKeyBytes),
    revision: checkInteger(`${name}.revision`, compare.revision, 0, Number.MAX_SAFE_INTEGER),
  };
}

function checkWrite(write: Write, name: string, isOwn: (lease: StoreLease) => boolean): Write {
  checkOptions(name, write, ['type', 'key', 'value', 'lease', 'from', 'to']);
  checkOneOf(`${name}.type`, write.type, ['put', 'delete', 'deleteRange']);
  if (write.type === 'put') return checkPut(write, name, isOwn);
  if (write.type === 'delete')
    return { type: 'delete', key: checkText(`${name}.key`, write.key, maxKeyBytes) };
  const from = checkText(`${name}.from`, write.from, maxKeyBytes);
  return { type: 'deleteRange', from, to: checkText(`${name}.to`, write.to, maxEndBytes) };
}

type Put = Extract<Write, { readonly type: 'put' }>;

function checkPut(write: Put, name: string, isOwn: (lease: StoreLease) => boolean): Put {
  const key = checkText(`${name}.key`, write.key, maxKeyBytes);
  const value = copyValue(`${name}.value`, write.value);
  const { lease } = write;
  if (lease === undefined) return { type: 'put', key, value };
  if (isOwn(lease)) return { type: 'put', key, value, lease };
  throw argumentError(`${name}.lease`, 'a lease of this store', describe(lease));
}

function checkPuts(writes: readonly Write[]): void {
  if (writes.length < 2) return;
  const put = new Set<string>();
  for (const write of writes) {
    if (write.type !== 'put') continue;
    if (put.has(write.key)) throw argumentError('writes', 'of different keys', 'two puts of one key');
    put.add(write.key);
  }
  if (put.size === 0) return;
  for (const write of writes) {
    if (write.type === 'put') continue;
    const isDeleted = write.type === 'delete' ? put.has(write.key) : hasWithin(put, write);
    if (isDeleted) throw argumentError('writes', 'of different keys', 'a put and a deletion of one key');
  }
}

function hasWithin(keys: Iterable<string>, range: { readonly from: string; readonly to: string }): boolean {
  const from = byteOrder(range.from);
  const to = byteOrder(range.to);
  return Array.from(keys, byteOrder).some((order) => from <= order && order < to);
}

/** A string that compares, by its code units, as the bytes of `text` in UTF-8 do: for some characters its own do not. */
export function byteOrder(text: string): string {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text).toString('latin1');
}
