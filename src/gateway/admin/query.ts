// What a query asks for. The gateway checks the values; here is only what is particular to a query: that all is text, and may come twice.

import { checkOneOf } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { type PeersQuery, peerOrders } from '../snapshot.js';
import { RequestError } from './answer.js';

const maxSearchLength = 256;

/** @throws RequestError 400. */
export function peersQuery(search: URLSearchParams): PeersQuery {
  const { order, listener, ...rest } = read(search, ['listener', 'search', 'order', 'limit', 'offset']);
  return {
    ...range(rest),
    ...(listener !== undefined && { listener }),
    ...(order !== undefined && { order: checked(() => checkOneOf('order', order, peerOrders)) }),
  };
}

/** @throws RequestError 400. */
export function sessionsQuery(search: URLSearchParams): Pick<PeersQuery, 'search' | 'limit' | 'offset'> {
  return range(read(search, ['search', 'limit', 'offset']));
}

/** @throws RequestError 400. */
export function noQuery(search: URLSearchParams): void {
  read(search, []);
}

/** Runs what checks a query. @throws RequestError 400 in the place of ERR_HAWSER_ARGUMENT. */
export function checked<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_ARGUMENT') {
      throw new RequestError(400, error.message);
    }
    throw error;
  }
}

function read<Name extends string>(
  search: URLSearchParams,
  known: readonly Name[],
): Partial<Record<Name, string>> {
  const values: Partial<Record<Name, string>> = {};
  for (const [key, value] of search) {
    const name = known.find((each) => each === key);
    if (name === undefined) {
      const list = known.length === 0 ? 'there are none' : `there are ${known.join(', ')}`;
      throw new RequestError(400, `unknown parameter ${JSON.stringify(key.slice(0, 64))}: ${list}`);
    }
    if (values[name] !== undefined) throw new RequestError(400, `${name} is given twice`);
    if (value.length > maxSearchLength) throw new RequestError(400, `${name} is too long`);
    values[name] = value;
  }
  return values;
}

function range({
  search,
  limit,
  offset,
}: Partial<Record<'search' | 'limit' | 'offset', string>>): Pick<PeersQuery, 'search' | 'limit' | 'offset'> {
  return {
    ...(search !== undefined && search !== '' && { search }),
    ...(limit !== undefined && { limit: wholeNumber('limit', limit) }),
    ...(offset !== undefined && { offset: wholeNumber('offset', offset) }),
  };
}

function wholeNumber(name: string, value: string): number {
  if (/^\d{1,9}$/.test(value)) return Number(value);
  throw new RequestError(400, `${name} must be a whole number; got ${JSON.stringify(value.slice(0, 64))}`);
}
