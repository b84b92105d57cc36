// What a store of sessions says of them: for the commands that look into one, from outside of any gateway.

import { HawserError } from '../base/errors.js';
import { ownerKey, prefixes, prefixRange, removalOf } from '../sessions/store/keys.js';
import { readKey } from '../sessions/store/read-key.js';
import {
  decodeGateway,
  decodeOwner,
  type GatewayRecord,
  type OwnerRecord,
} from '../sessions/store/records.js';
import type { Range, SessionStore, StoreEntry } from '../sessions/store/store.js';
import { CommandError } from './errors.js';

/** A session as its owner record has it. */
export interface KeptSession {
  readonly sessionId: string;
  /** undefined for a record that cannot be read. */
  readonly owner: OwnerRecord | undefined;
  readonly revision: number;
}

/** The gateways that hold a lease, by name. */
export type Gateways = ReadonlyMap<string, GatewayRecord>;

/** More than there are gateways of one store. */
const maxGateways = 10_000;
const sessionsPerPage = 1000;
const expireAttempts = 5;

/** A range, so many entries at a time: a store may hold more than memory does. Pages are read one after another, not all at one time. */
export async function* pagesOf(
  store: SessionStore,
  range: Range,
  entriesPerPage: number,
): AsyncGenerator<readonly StoreEntry[]> {
  for (let { from } = range; ; ) {
    const page = await store.read({ from, to: range.to, limit: entriesPerPage });
    if (page.length > 0) yield page;
    const last = page.at(-1);
    if (last === undefined || page.length < entriesPerPage) return;
    // No key lies between.
    from = `${last.key}\0`;
  }
}

/** All sessions, by id, a page at a time. */
export async function* sessionPages(store: SessionStore): AsyncGenerator<readonly KeptSession[]> {
  for await (const page of pagesOf(store, prefixRange(prefixes.owners), sessionsPerPage)) {
    yield page.map(keptSession);
  }
}

/** @throws CommandError (rejects) when there is none; HawserError as the methods of the store. */
export async function findSession(store: SessionStore, sessionId: string): Promise<KeptSession> {
  const entry = await readKey(store, ownerKey(sessionId));
  if (entry !== undefined) return keptSession(entry);
  throw new CommandError(`there is no session ${sessionId} in the store; "hawser sessions ls" lists them`);
}

/**
 * Removes a session and everything of it, in a transaction that compares the owner which was read.
 *
 * @returns a promise of what was removed.
 * @throws CommandError (rejects) when there is none, or it went to another gateway each time; HawserError as the methods of the store.
 */
export async function expireSession(store: SessionStore, sessionId: string): Promise<KeptSession> {
  for (let attempt = 1; attempt <= expireAttempts; ++attempt) {
    const session = await findSession(store, sessionId);
    const compare = [{ key: ownerKey(sessionId), revision: session.revision }];
    const { committed } = await store.txn({ compare, writes: removalOf(sessionId) });
    if (committed) return session;
  }
  throw new CommandError(`session ${sessionId} goes from gateway to gateway: try again`);
}

export async function readGateways(store: SessionStore): Promise<Gateways> {
  const gateways = new Map<string, GatewayRecord>();
  for (const { key, value } of await store.read({ ...prefixRange(prefixes.gateways), limit: maxGateways })) {
    const record = readable(() => decodeGateway(value));
    if (record !== undefined) gateways.set(key.slice(prefixes.gateways.length), record);
  }
  return gateways;
}

/** Whether the gateway that has the session holds the lease under which it took it. */
export function isOwned({ gateway, epoch }: OwnerRecord, gateways: Gateways): boolean {
  return gateways.get(gateway)?.epoch === epoch;
}

/** What the decoder of a record returns; undefined for one that cannot be read. */
export function readable<T>(decode: () => T): T | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_STORE_FORMAT') return undefined;
    throw error;
  }
}

/** Unix milliseconds as `2026-01-31T12:00:00.000Z`; as the number that they are where no date is so far away. */
export function timeText(unixMs: number): string {
  const date = new Date(unixMs);
  return Number.isNaN(date.getTime()) ? String(unixMs) : date.toISOString();
}

function keptSession({ key, value, revision }: StoreEntry): KeptSession {
  const owner = readable(() => decodeOwner(value));
  return { sessionId: key.slice(prefixes.owners.length), owner, revision };
}
