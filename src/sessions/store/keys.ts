// What is kept in a store of sessions, and under which keys. Ids of requests are written in 14 hexadecimal digits, so that they lie in the
// order of their numbers.

import type { Range, Write } from './store.js';

/** Key prefixes, one for each kind of entry. */
export const prefixes = {
  /** Gateways that hold a lease: `GatewayRecord`. */
  gateways: 'g/',
  /** Elections: who leads, by the name of the election. Under the lease of its gateway. */
  elections: 'e/',
  /** Who owns a session: `OwnerRecord`. Written when the session is created or claimed, deleted when it ends; never by heartbeats or requests. */
  owners: 'o/',
  /** The highest lowestPendingRequestId that a session's requests have named; of an at-most-once session the id of the request committed last. */
  progress: 'p/',
  /** The last id of a session's server requests. */
  counters: 'n/',
  /** Outcomes of requests, by session and id. */
  responses: 'r/',
  /** Server requests that are not acknowledged, by session and id. */
  serverRequests: 'q/',
  /** What handlers write. */
  application: 'a/',
} as const;

/** Where the lease of a gateway is seen. */
export function gatewayKey(gateway: string): string {
  return prefixes.gateways + gateway;
}

/** Who leads. */
export function electionKey(name: string): string {
  return prefixes.elections + name;
}

export function ownerKey(sessionId: string): string {
  return prefixes.owners + sessionId;
}

export function progressKey(sessionId: string): string {
  return prefixes.progress + sessionId;
}

export function counterKey(sessionId: string): string {
  return prefixes.counters + sessionId;
}

export function responseKey(sessionId: string, requestId: number): string {
  return `${prefixes.responses}${sessionId}/${digits(requestId)}`;
}

export function serverRequestKey(sessionId: string, requestId: number): string {
  return `${prefixes.serverRequests}${sessionId}/${digits(requestId)}`;
}

/** Outcomes, or server requests, of a session whose ids are at least `from` and less than `to`. */
export function idRange(
  prefix: typeof prefixes.responses | typeof prefixes.serverRequests,
  sessionId: string,
  from: number,
  to: number,
): Range {
  return { from: `${prefix}${sessionId}/${digits(from)}`, to: `${prefix}${sessionId}/${digits(to)}` };
}

/** Above every id. */
export const idsEnd: number = 2 ** 53;

/** That key alone: nothing lies between it and itself with a zero byte behind. */
export function keyRange(key: string): Range {
  return { from: key, to: `${key}\0`, limit: 1 };
}

/** Every key that begins with `prefix`, which ends in an ASCII character. */
export function prefixRange(prefix: string): Range {
  const last = prefix.length - 1;
  return { from: prefix, to: prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1) };
}

const idDigits = 14;

function digits(requestId: number): string {
  return requestId.toString(16).padStart(idDigits, '0');
}

/** The writes after which nothing is kept of a session. */
export function removalOf(sessionId: string): readonly Write[] {
  const keys = [ownerKey(sessionId), progressKey(sessionId), counterKey(sessionId)];
  const lists = [prefixes.responses, prefixes.serverRequests] as const;
  return [
    ...keys.map((key) => ({ type: 'delete', key }) as const),
    ...lists.map((prefix) => ({ type: 'deleteRange', ...idRange(prefix, sessionId, 0, idsEnd) }) as const),
  ];
}
