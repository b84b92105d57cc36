// What is sealed in the databases of a key store, opened and checked.

import type { SecretBytes } from '../../base/secret-bytes.js';
import { decodeKey, decodePeer } from './key-records.js';
import { isOver, type KeyTable } from './key-table.js';
import { type Databases, nameOf, partsOfName } from './lmdb-names.js';
import { formatError } from './record-reader.js';
import type { StoreSeal } from './seal.js';
import { decodeSession } from './session-record.js';
import type { KeyRecord, KeyStatus } from './store.js';

/**
 * Reads them. Within a transaction it sees what the transaction has written. All of it throws ERR_HAWSER_MASTER_KEY for what was sealed under
 * another key, altered or moved, and ERR_HAWSER_STORE_FORMAT for what is damaged otherwise; the message names the record.
 */
export class SealedRecords {
  readonly #databases: Databases;
  readonly #seal: StoreSeal;

  /** @param seal the store's; it stays the caller's to wipe. */
  constructor(databases: Databases, seal: StoreSeal) {
    this.#databases = databases;
    this.#seal = seal;
  }

  /** All records, into a table; with the material of keys in the states that `isLive` says. */
  load(table: KeyTable, isLive: (status: KeyStatus) => boolean): void {
    const { keys, sessions, peers } = this.#databases;
    for (const { key: name, value } of keys.getRange({})) {
      const record = this.#openKey(name, value);
      const live = new Map<string, SecretBytes>();
      if (isLive(record.status)) live.set(record.keyId, this.#openMaterial(name, record.keyId));
      else if (!isOver(record.status)) this.#sealedMaterial(name, record.keyId);
      table.apply({ peerSaeId: record.peerSaeId, update: [record] }, live);
    }
    for (const { key: name, value } of sessions.getRange({})) {
      const { peerSaeId, id } = partsOfName(name);
      const what = `the record of session ${JSON.stringify(id)}`;
      const session = decodeSession(this.#seal.open('session', name, value, what), id);
      table.apply({ peerSaeId, session }, new Map());
    }
    for (const { key: name, value } of peers.getRange({})) {
      const { peerSaeId } = partsOfName(name);
      const what = `the record of peer ${JSON.stringify(peerSaeId)}`;
      const peer = decodePeer(this.#seal.open('peer', name, value, what), peerSaeId);
      table.apply({ peerSaeId, peer }, new Map());
    }
  }

  key(peerSaeId: string, keyId: string): KeyRecord | undefined {
    const name = nameOf(peerSaeId, keyId);
    const sealed = this.#databases.keys.get(name);
    return sealed === undefined ? undefined : this.#openKey(name, sealed);
  }

  /** The caller's to wipe. */
  openMaterial(peerSaeId: string, keyId: string): SecretBytes {
    return this.#openMaterial(nameOf(peerSaeId, keyId), keyId);
  }

  #openKey(name: Uint8Array, sealed: Uint8Array): KeyRecord {
    const { peerSaeId, id } = partsOfName(name);
    const what = `the record of key ${JSON.stringify(id)} of ${JSON.stringify(peerSaeId)}`;
    return decodeKey(this.#seal.open('key', name, sealed, what), peerSaeId, id);
  }

  #openMaterial(name: Uint8Array, keyId: string): SecretBytes {
    const what = `the material of key ${JSON.stringify(keyId)}`;
    return this.#seal.openSecret(name, this.#sealedMaterial(name, keyId), what);
  }

  #sealedMaterial(name: Uint8Array, keyId: string): Uint8Array {
    const sealed = this.#databases.material.get(Buffer.from(name));
    if (sealed !== undefined) return sealed;
    throw formatError(`key ${JSON.stringify(keyId)}`, 'it has no material');
  }
}
