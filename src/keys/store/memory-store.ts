// A key store that forgets everything when it is closed, or when its process ends.

import { checkInteger, maxU32 } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { type SecretBytes, secretFrom } from '../../base/secret-bytes.js';
import type { Session } from '../protocol/session.js';
import { encodeKey, encodePeer } from './key-records.js';
import { checkChange, isOver, KeyTable, unavailableError } from './key-table.js';
import { LentSecrets } from './lent-secrets.js';
import { encodeSession } from './session-record.js';
import type { KeyRecord, KeyStore, PeerRecord, StoreChange } from './store.js';

/** Options of {@link MemoryKeyStore}. */
export interface MemoryKeyStoreOptions {
  /** How many keys it takes, of all peers together. 1,000,000 by default. */
  readonly maxKeys?: number;
  /**
   * What the sequences of messages begin with, 1 to 2^32 - 1. Peers that remember an earlier process take only what is greater: the Unix seconds
   * of now by default.
   */
  readonly incarnation?: number;
}

/** Keys and sessions in memory alone; the material of all keys is in the memory of secrets. */
export class MemoryKeyStore implements KeyStore {
  readonly incarnation: number;
  readonly #table = new KeyTable((status) => !isOver(status));
  readonly #lent = new LentSecrets();
  readonly #maxKeys: number;
  #closed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: MemoryKeyStoreOptions = {}) {
    this.#maxKeys = checkInteger('maxKeys', options.maxKeys ?? 1_000_000, 1, Number.MAX_SAFE_INTEGER);
    const seconds = Math.floor(Date.now() / 1000);
    this.incarnation = checkInteger('incarnation', options.incarnation ?? seconds, 1, maxU32);
  }

  keys(peerSaeId: string): readonly KeyRecord[] {
    return this.#table.keys(peerSaeId);
  }

  /** See {@link KeyStore}. */
  key(peerSaeId: string, keyId: string): KeyRecord | undefined {
    return this.#table.key(peerSaeId, keyId);
  }

  /** See {@link KeyStore}. */
  sessions(peerSaeId: string): readonly Session[] {
    return this.#table.sessions(peerSaeId);
  }

  /** See {@link KeyStore}. */
  peer(peerSaeId: string): PeerRecord | undefined {
    return this.#table.peer(peerSaeId);
  }

  peers(): readonly string[] {
    return this.#table.peers();
  }

  async withMaterial<T>(
    peerSaeId: string,
    keyId: string,
    use: (material: SecretBytes) => T | Promise<T>,
  ): Promise<T> {
    this.#checkOpen();
    const material = this.#table.material(peerSaeId, keyId);
    if (material === undefined) throw unavailableError(keyId, this.key(peerSaeId, keyId)?.status);
    return this.#lent.lendCopy(material, use);
  }

  async commit(change: StoreChange): Promise<void> {
    this.#checkOpen();
    checkChange(change, (keyId) => this.key(change.peerSaeId, keyId)?.status);
    checkEncodable(change);
    const addedCount = change.add?.length ?? 0;
    if (addedCount > 0 && this.#table.keyCount + addedCount > this.#maxKeys) {
      throw new HawserError('ERR_HAWSER_STORE_FULL', `the store may have ${this.#maxKeys} keys`);
    }
    this.#table.apply(change, copiesOf(change));
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#table.wipe();
    this.#lent.wipe();
  }

  #checkOpen(): void {
    if (this.#closed) throw new HawserError('ERR_HAWSER_CLOSED', 'the key store is closed');
  }
}

/** What a store on the disk would refuse, this one refuses too. */
function checkEncodable({ add, update, session, peer }: StoreChange): void {
  for (const { record } of add ?? []) encodeKey(record);
  for (const record of update ?? []) encodeKey(record);
  if (session !== undefined) encodeSession(session);
  if (peer !== undefined) encodePeer(peer);
}

/** Own copies of the material that is added, by the id of the key; when one cannot be made, none is left. */
export function copiesOf(change: StoreChange): Map<string, SecretBytes> {
  const copies = new Map<string, SecretBytes>();
  try {
    for (const { record, material } of change.add ?? []) copies.set(record.keyId, secretFrom(material.bytes));
    return copies;
  } catch (error) {
    for (const copy of copies.values()) copy.wipe();
    throw error;
  }
}
