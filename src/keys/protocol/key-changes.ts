// What sessions do to keys. Only keys of the pair are ever seen here, so that no rotation touches those of another peer.

import type { KeyRecord } from '../store/store.js';
import type { Session } from './session.js';
import type { KeysView } from './steps.js';
import type { Context } from './transition.js';

/** The key in production; undefined for none. There is never more than one. */
export function productionKey(keys: KeysView): KeyRecord | undefined {
  return keys.keys().find((key) => key.status === 'in_production');
}

/** Whether a session may rotate to it at an instant. */
export function isUsable(key: KeyRecord | undefined, atMs: number): key is KeyRecord {
  if (key === undefined) return false;
  const isFree = key.status === 'available' || key.status === 'assigned';
  return isFree && (key.expiresAtMs === null || key.expiresAtMs > atMs);
}

/** The records of keys that a session takes for itself. */
export function assign(keyIds: readonly string[], sessionId: string, keys: KeysView): readonly KeyRecord[] {
  return recordsOf(keyIds, keys).map((key) => ({ ...key, status: 'assigned', sessionId }));
}

/** Those that the session assigned and does not rotate to may be used by the next. */
export function release(session: Session, keys: KeysView): readonly KeyRecord[] {
  return recordsOf(session.keyIds, keys)
    .filter((key) => key.status === 'assigned' && key.keyId !== session.newKeyId)
    .map((key) => ({ ...key, status: 'available' }));
}

/**
 * Steps 9 and 10 of the source document, as one: after a crash between them there would be two keys in production, or none.
 */
export function intoProduction(session: Session, { keys, nowMs }: Context): readonly KeyRecord[] {
  const rolled = keys
    .keys()
    .filter((key) => key.status === 'in_production' && key.keyId !== session.newKeyId)
    .map((key): KeyRecord => ({ ...key, status: 'rolled', rolledAtMs: nowMs }));
  const fresh = recordsOf(session.newKeyId === null ? [] : [session.newKeyId], keys);
  return [
    ...rolled,
    ...fresh.map((key): KeyRecord => ({ ...key, status: 'in_production', inProductionAtMs: nowMs })),
  ];
}

/** The old key is in production again; the new one never is. */
export function outOfProduction(session: Session, { keys }: Context): readonly KeyRecord[] {
  const old = recordsOf(session.oldKeyId === null ? [] : [session.oldKeyId], keys);
  return [
    ...old.map((key): KeyRecord => ({ ...key, status: 'in_production', rolledAtMs: null })),
    ...revoke(session.newKeyId === null ? [] : [session.newKeyId], keys),
  ];
}

export function revoke(keyIds: readonly string[], keys: KeysView): readonly KeyRecord[] {
  return recordsOf(keyIds, keys)
    .filter((key) => key.status !== 'revoked')
    .map((key) => ({ ...key, status: 'revoked' }));
}

/** A session names no more keys to be deleted: a device that deletes none must not make its record longer than a store takes. */
const mostDeleted = 128;

/**
 * What is to be deleted when both sides use the new key: the key that was rolled, and what earlier sessions had to leave, the newest first;
 * of very many the older are left to the sessions after it.
 */
export function rolledKeyIds(keys: KeysView): readonly string[] {
  const ageOf = (key: KeyRecord): number => key.rolledAtMs ?? key.receivedAtMs;
  return keys
    .keys()
    .filter((key) => key.status === 'rolled' || key.status === 'revoked')
    .sort((a, b) => ageOf(b) - ageOf(a))
    .slice(0, mostDeleted)
    .map((key) => key.keyId);
}

function recordsOf(keyIds: readonly string[], keys: KeysView): readonly KeyRecord[] {
  return keyIds.map((keyId) => keys.key(keyId)).filter((key) => key !== undefined);
}
