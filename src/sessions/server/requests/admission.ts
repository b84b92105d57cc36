// Whether a request or a query is taken at all.

import type { QueryErrorReason } from './answers.js';
import type { Parts } from './parts.js';

/**
 * @param inFlight how many requests and queries of the session are under way, or wait.
 * @param handler what it is for; undefined: there is none.
 * @returns why it is refused; undefined: it is taken.
 */
export function refusalOf(
  { host }: Parts,
  payload: Uint8Array,
  inFlight: number,
  handler: object | undefined,
): QueryErrorReason | undefined {
  const { maxRequestBytes, maxRequestsInFlight } = host.settings;
  if (host.fences() === undefined) return 'StoreUnavailable';
  if (payload.length > maxRequestBytes) return 'PayloadTooLong';
  if (inFlight >= maxRequestsInFlight) return 'TooManyRequests';
  return handler === undefined ? 'HandlerFailed' : undefined;
}
