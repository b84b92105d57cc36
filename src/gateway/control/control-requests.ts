// What can be asked of a gateway over its control socket, read from what came.

import { checkInteger, checkOneOf, checkOptions, checkString } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { type PeersQuery, peerOrders } from '../snapshot.js';

/** A request, as it goes over the socket in JSON. */
export type GatewayRequest =
  | { readonly command: 'snapshot' }
  | { readonly command: 'peers'; readonly query?: PeersQuery }
  | { readonly command: 'peer'; readonly id: string }
  | { readonly command: 'sessions'; readonly query?: Pick<PeersQuery, 'search' | 'limit' | 'offset'> }
  | { readonly command: 'reload' }
  | { readonly command: 'drain' }
  /** `options` are those of a capture; the gateway checks them. The answer is a stream. */
  | { readonly command: 'capture'; readonly options: Readonly<Record<string, unknown>> };

const maxTextLength = 256;
const peersQueryNames = ['listener', 'search', 'order', 'limit', 'offset'] as const;
const sessionsQueryNames = ['search', 'limit', 'offset'] as const;

/**
 * @param given any object: hostile ones are expected.
 * @throws HawserError ERR_HAWSER_ARGUMENT; ERR_HAWSER_PROTOCOL for a command that this version does not have.
 */
export function readGatewayRequest(given: Readonly<Record<string, unknown>>): GatewayRequest {
  const { command, query, id, options } = given;
  switch (command) {
    case 'snapshot':
    case 'reload':
    case 'drain':
      return { command };
    case 'peers':
      return { command, query: readQuery(query, peersQueryNames) };
    case 'sessions':
      return { command, query: readQuery(query, sessionsQueryNames) };
    case 'peer':
      return { command, id: checkString('id', id, 1, maxTextLength) };
    case 'capture':
      return { command, options: isObject(options) ? { ...options } : {} };
    default:
      throw new HawserError(
        'ERR_HAWSER_PROTOCOL',
        'the gateway does not know of this request: it may be of another version',
      );
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readQuery(query: unknown, names: readonly string[]): PeersQuery {
  const { listener, search, order, limit, offset } = checkOptions('query', query ?? {}, names);
  return {
    ...(listener !== undefined && { listener: checkString('query.listener', listener, 0, maxTextLength) }),
    ...(search !== undefined && { search: checkString('query.search', search, 0, maxTextLength) }),
    ...(order !== undefined && { order: checkOneOf('query.order', order, peerOrders) }),
    ...(limit !== undefined && { limit: checkInteger('query.limit', limit, 1, 1000) }),
    ...(offset !== undefined && { offset: checkInteger('query.offset', offset, 0, Number.MAX_SAFE_INTEGER) }),
  };
}
