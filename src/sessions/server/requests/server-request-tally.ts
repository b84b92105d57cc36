// How many server requests a session has had, and how many of them are kept.

import { counterKey, idRange, idsEnd, prefixes } from '../../store/keys.js';
import { readKey } from '../../store/read-key.js';
import { decodeNumber } from '../../store/records.js';
import type { Range } from '../../store/store.js';
import type { RequestHost } from '../session.js';

export interface ServerRequestTally {
  /** The last id; 0 while there was none. */
  readonly last: number;
  /** Of the counter; 0 while there is none. */
  readonly revision: number;
  /** All up to this id were acknowledged. */
  readonly acknowledged: number;
}

/** The server requests of a session that are kept, from an id on. */
export function keptServerRequests(sessionId: string, from: number): Range {
  return idRange(prefixes.serverRequests, sessionId, from, idsEnd);
}

/** The session and the id that a key of a server request names. */
export function serverRequestOf(
  key: string,
): { readonly sessionId: string; readonly requestId: number } | undefined {
  const [, sessionId, digits] = /^q\/(.+)\/([0-9a-f]{14})$/s.exec(key) ?? [];
  if (sessionId === undefined || digits === undefined) return undefined;
  return { sessionId, requestId: Number.parseInt(digits, 16) };
}

/** Rejects as the store does, and with ERR_HAWSER_STORE_FORMAT. */
export async function readTally(host: RequestHost, sessionId: string): Promise<ServerRequestTally> {
  // In this order: what is added between the two must not pass for acknowledged.
  const counter = await readKey(host.store, counterKey(sessionId));
  const [first] = await host.store.read({ ...keptServerRequests(sessionId, 0), limit: 1 });
  const last = counter === undefined ? 0 : decodeNumber(counter.value);
  const firstId = first && serverRequestOf(first.key)?.requestId;
  return { last, revision: counter?.revision ?? 0, acknowledged: firstId === undefined ? last : firstId - 1 };
}
