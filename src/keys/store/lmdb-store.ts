// A key store on the disk: an LMDB environment in which every record is sealed under a key that is derived from the master key. What a commit
// changes is one transaction.

import { checkInteger } from '../../base/check.js';
import type { Durability } from '../../base/durability.js';
import { HawserError } from '../../base/errors.js';
import { type LmdbStore, openLmdb } from '../../base/lmdb-store.js';
import type { SecretBytes } from '../../base/secret-bytes.js';
import type { Session } from '../protocol/session.js';
import { checkChange, isOver, KeyTable, unavailableError } from './key-table.js';
import { LentSecrets } from './lent-secrets.js';
import { beginIncarnation } from './lmdb-incarnation.js';
import { type Databases, databaseNames, databasesOf, metaNames } from './lmdb-names.js';
import { SealedRecords } from './lmdb-records.js';
import { copiesOf } from './memory-store.js';
import { formatError } from './record-reader.js';
import { newSalt, StoreSeal, saltBytes } from './seal.js';
import { type SealedChange, sealChange } from './sealed-change.js';
import type { KeyRecord, KeyStatus, KeyStore, PeerRecord, StoreChange } from './store.js';

/** Options of {@link openKeyStore}. */
export interface LmdbKeyStoreOptions {
  /** 32 bytes, of `masterKeyFrom`. They are not needed once the store is open, and may be wiped then. */
  readonly masterKey: SecretBytes;
  /** What the store may keep, in bytes of whole pages, 1 MiB or more; then it takes no new keys. 256 MiB by default. */
  readonly maxBytes?: number;
  /** `durable` by default. */
  readonly durability?: Durability;
}

const format = { name: 'hawser-keys', version: 1 } as const;

/** The material of these is kept open in the memory of secrets; that of others is opened when it is asked for. */
function isLive(status: KeyStatus): boolean {
  return status === 'assigned' || status === 'in_production' || status === 'rolled';
}

/**
 * Opens the key store in a directory, which is made when it is missing (mode 0700).
 *
 * @throws HawserError (rejects) ERR_HAWSER_MASTER_KEY when the store has another master key, or a record was altered or moved;
 * ERR_HAWSER_STORE_FORMAT when a record, which the message names, is damaged otherwise; ERR_HAWSER_ARGUMENT; and what a store of this package
 * rejects with on opening: ERR_HAWSER_PACKAGE_MISSING, ERR_HAWSER_STORE_LOCKED, ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE.
 */
export async function openKeyStore(path: string, options: LmdbKeyStoreOptions): Promise<LmdbKeyStore> {
  const maxBytes = checkInteger('maxBytes', options.maxBytes ?? 2 ** 28, 2 ** 20, Number.MAX_SAFE_INTEGER);
  const { durability = 'durable' } = options;
  const salt = newSalt();
  const store = await openLmdb(path, { maxBytes, databases: databaseNames, format, durability });
  let seal: StoreSeal | undefined;
  try {
    const databases = databasesOf(store);
    const found = databases.meta.get(metaNames.salt);
    if (found === undefined && databases.keys.getKeysCount({ limit: 1 }) > 0) {
      throw formatError(path, 'it has keys and no salt');
    }
    if (found !== undefined && found.length !== saltBytes) throw formatError(path, 'its salt is cut off');
    seal = new StoreSeal(options.masterKey, found ?? salt);
    const incarnation = await beginIncarnation(
      store,
      databases,
      seal,
      found === undefined ? salt : undefined,
    );
    return new LmdbKeyStore({ store, databases, seal, incarnation });
  } catch (error) {
    seal?.wipe();
    await store.close();
    throw error;
  }
}

interface Opened {
  readonly store: LmdbStore;
  readonly databases: Databases;
  readonly seal: StoreSeal;
  readonly incarnation: number;
}

/** Made by {@link openKeyStore}. */
export class LmdbKeyStore implements KeyStore {
  readonly incarnation: number;
  readonly #store: LmdbStore;
  readonly #databases: Databases;
  readonly #seal: StoreSeal;
  readonly #records: SealedRecords;
  readonly #table = new KeyTable(isLive);
  readonly #lent = new LentSecrets();
  #closing: Promise<void> | undefined;

  constructor({ store, databases, seal, incarnation }: Opened) {
    this.incarnation = incarnation;
    this.#store = store;
    this.#databases = databases;
    this.#seal = seal;
    this.#records = new SealedRecords(databases, seal);
    try {
      this.#records.load(this.#table, isLive);
    } catch (error) {
      this.#table.wipe();
      throw error;
    }
  }

  /** What the store keeps, in bytes of whole pages, and how much that may be. */
  get usage(): { readonly bytes: number; readonly maxBytes: number } {
    return this.#store.usage;
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

  /** Beyond the contract: ERR_HAWSER_MASTER_KEY when the sealed material was altered. */
  async withMaterial<T>(
    peerSaeId: string,
    keyId: string,
    use: (material: SecretBytes) => T | Promise<T>,
  ): Promise<T> {
    if (this.#closing !== undefined) throw this.#closedError();
    const status = this.key(peerSaeId, keyId)?.status;
    if (status === undefined || isOver(status)) throw unavailableError(keyId, status);
    const open = this.#table.material(peerSaeId, keyId);
    if (open !== undefined) return this.#lent.lendCopy(open, use);
    return this.#lent.lend(this.#records.openMaterial(peerSaeId, keyId), use);
  }

  async commit(change: StoreChange): Promise<void> {
    if (this.#closing !== undefined) throw this.#closedError();
    // Before anything is awaited: the caller may wipe what it gave.
    const sealed = sealChange(this.#seal, change);
    const copies = copiesOf(change);
    // Of keys that are to be kept open from now on, and were not: of the last try.
    const opened = new Map<string, SecretBytes>();
    try {
      await this.#store.transaction(
        () => {
          wipeAll(opened);
          this.#write(change, sealed, copies, opened);
        },
        // What ends a session or deletes a key goes through in a full store.
        { beyondMaxBytes: sealed.add.length === 0 },
      );
    } catch (error) {
      wipeAll(copies);
      wipeAll(opened);
      throw error;
    }
    this.#table.apply(change, new Map([...copies, ...opened]));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#store.close();
    } finally {
      this.#table.wipe();
      this.#lent.wipe();
      this.#seal.wipe();
    }
  }

  #closedError(): HawserError {
    return new HawserError('ERR_HAWSER_CLOSED', `${this.#store.path} is closed`);
  }

  /** Within a transaction: what it reads contains what commits before it have written. */
  #write(
    change: StoreChange,
    sealed: SealedChange,
    copies: ReadonlyMap<string, SecretBytes>,
    opened: Map<string, SecretBytes>,
  ): void {
    const { peerSaeId } = change;
    const { keys, material, sessions, peers } = this.#databases;
    checkChange(change, (keyId) => this.#records.key(peerSaeId, keyId)?.status);
    for (const each of sealed.add) {
      keys.putSync(each.name, each.record);
      material.putSync(each.name, each.material);
    }
    for (const each of sealed.update) {
      keys.putSync(each.name, each.record);
      if (each.isOver) material.removeSync(each.name);
    }
    for (const { keyId, status } of change.update ?? []) {
      if (!isLive(status) || copies.has(keyId) || this.#table.material(peerSaeId, keyId) !== undefined)
        continue;
      opened.set(keyId, this.#records.openMaterial(peerSaeId, keyId));
    }
    for (const name of sealed.remove) {
      keys.removeSync(name);
      material.removeSync(name);
    }
    if (sealed.session !== undefined) sessions.putSync(sealed.session.name, sealed.session.record);
    if (sealed.endSession !== undefined) sessions.removeSync(sealed.endSession);
    if (sealed.peer !== undefined) peers.putSync(sealed.peer.name, sealed.peer.record);
  }
}

function wipeAll(secrets: Map<string, SecretBytes>): void {
  for (const secret of secrets.values()) secret.wipe();
  secrets.clear();
}
