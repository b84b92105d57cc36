// A change of a key store as it is written to the disk.

import { encodeKey, encodePeer } from './key-records.js';
import { isOver } from './key-table.js';
import { nameOf } from './lmdb-names.js';
import type { RecordKind, StoreSeal } from './seal.js';
import { encodeSession } from './session-record.js';
import type { KeyRecord, StoreChange } from './store.js';

interface SealedRecord {
  readonly name: Buffer;
  readonly record: Buffer;
}

/** A change as the transaction writes it. */
export interface SealedChange {
  readonly add: readonly (SealedRecord & { readonly material: Buffer })[];
  /** With whether the material goes. */
  readonly update: readonly (SealedRecord & { readonly isOver: boolean })[];
  readonly remove: readonly Buffer[];
  readonly session: SealedRecord | undefined;
  readonly endSession: Buffer | undefined;
  readonly peer: SealedRecord | undefined;
}

/**
 * Seals what is given; nothing of it is needed afterwards.
 *
 * @throws HawserError ERR_HAWSER_STORE_FORMAT, ERR_HAWSER_ARGUMENT when a record is not as its type has it.
 */
export function sealChange(seal: StoreSeal, change: StoreChange): SealedChange {
  const { peerSaeId, session, endSession, peer } = change;
  const sealed = (kind: RecordKind, name: Buffer, plaintext: Uint8Array): SealedRecord => {
    const { buffer, byteOffset, byteLength } = seal.seal(kind, name, plaintext);
    return { name, record: Buffer.from(buffer, byteOffset, byteLength) };
  };
  const sealedKey = (record: KeyRecord): SealedRecord =>
    sealed('key', nameOf(record.peerSaeId, record.keyId), encodeKey(record));
  return {
    add: (change.add ?? []).map(({ record, material }) => {
      const key = sealedKey(record);
      return { ...key, material: sealed('material', key.name, material.bytes).record };
    }),
    update: (change.update ?? []).map((record) => ({ ...sealedKey(record), isOver: isOver(record.status) })),
    remove: (change.remove ?? []).map((keyId) => nameOf(peerSaeId, keyId)),
    session: session && sealed('session', nameOf(peerSaeId, session.sessionId), encodeSession(session)),
    endSession: endSession === undefined ? undefined : nameOf(peerSaeId, endSession),
    peer: peer && sealed('peer', nameOf(peerSaeId), encodePeer(peer)),
  };
}
