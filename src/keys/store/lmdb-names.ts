// The databases of a key store on LMDB, and what its records are kept under: the peer, its length first, and what of the peer it is.

import type { LmdbDatabase, LmdbStore } from '../../base/lmdb-store.js';
import { formatError } from './record-reader.js';

/** The databases of the environment. */
export const databaseNames = ['meta', 'keys', 'material', 'sessions', 'peers'] as const;

export type Databases = Readonly<Record<(typeof databaseNames)[number], LmdbDatabase>>;

export function databasesOf(store: LmdbStore): Databases {
  return {
    meta: store.database('meta'),
    keys: store.database('keys'),
    material: store.database('material'),
    sessions: store.database('sessions'),
    peers: store.database('peers'),
  };
}

/** The records of `meta`. */
export const metaNames: Readonly<Record<'salt' | 'check' | 'incarnation', Buffer>> = {
  salt: Buffer.from('salt'),
  check: Buffer.from('check'),
  incarnation: Buffer.from('incarnation'),
};

/** @param id of a key or a session; empty for the peer itself. */
export function nameOf(peerSaeId: string, id = ''): Buffer {
  const peer = Buffer.from(peerSaeId);
  const name = Buffer.allocUnsafe(2 + peer.length + Buffer.byteLength(id));
  name.writeUInt16BE(peer.length);
  name.set(peer, 2);
  name.write(id, 2 + peer.length);
  return name;
}

/** @throws HawserError ERR_HAWSER_STORE_FORMAT when `nameOf` did not make it. */
export function partsOfName(name: Uint8Array): { readonly peerSaeId: string; readonly id: string } {
  const bytes = Buffer.from(name);
  const idStart = 2 + (bytes.length < 2 ? 0 : bytes.readUInt16BE());
  const peerSaeId = bytes.toString('utf8', 2, idStart);
  const id = bytes.toString('utf8', Math.min(idStart, bytes.length));
  if (nameOf(peerSaeId, id).equals(bytes)) return { peerSaeId, id };
  throw formatError('the name of a record', `it is ${bytes.toString('hex').slice(0, 64)}`);
}
