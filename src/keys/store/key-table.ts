// What a key store knows, in memory: both stores answer from it.

import { argumentError } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import type { SecretBytes } from '../../base/secret-bytes.js';
import type { Session } from '../protocol/session.js';
import type { KeyRecord, KeyStatus, PeerRecord, StoreChange } from './store.js';

interface Entry {
  readonly record: KeyRecord;
  /** Undefined while it is on the disk alone, and once it may not be used any more. */
  readonly material: SecretBytes | undefined;
}

interface Peer {
  readonly keys: Map<string, Entry>;
  readonly sessions: Map<string, Session>;
  record: PeerRecord | undefined;
}

/** A key that is over never comes back: its material is gone. */
export function isOver(status: KeyStatus): boolean {
  return status === 'expired' || status === 'revoked';
}

/** Keys, sessions and peers, with the material of those keys that is kept open. */
export class KeyTable {
  readonly #peers = new Map<string, Peer>();
  readonly #keepsOpen: (status: KeyStatus) => boolean;
  #keyCount = 0;

  /** @param keepsOpen whether the material of a key in that state stays in memory. */
  constructor(keepsOpen: (status: KeyStatus) => boolean) {
    this.#keepsOpen = keepsOpen;
  }

  keys(peerSaeId: string): readonly KeyRecord[] {
    return Array.from(this.#peers.get(peerSaeId)?.keys.values() ?? [], ({ record }) => record);
  }

  key(peerSaeId: string, keyId: string): KeyRecord | undefined {
    return this.#peers.get(peerSaeId)?.keys.get(keyId)?.record;
  }

  /** The material itself, where it is kept open. */
  material(peerSaeId: string, keyId: string): SecretBytes | undefined {
    return this.#peers.get(peerSaeId)?.keys.get(keyId)?.material;
  }

  sessions(peerSaeId: string): readonly Session[] {
    return Array.from(this.#peers.get(peerSaeId)?.sessions.values() ?? []);
  }

  peer(peerSaeId: string): PeerRecord | undefined {
    return this.#peers.get(peerSaeId)?.record;
  }

  peers(): readonly string[] {
    return Array.from(this.#peers.keys());
  }

  /** How many keys there are, of all peers together. */
  get keyCount(): number {
    return this.#keyCount;
  }

  keepsOpen(status: KeyStatus): boolean {
    return this.#keepsOpen(status);
  }

  /**
   * Makes a change that was kept.
   *
   * @param materials of keys that are kept open from now on: the table's own, wiped by it.
   */
  apply(change: StoreChange, materials: ReadonlyMap<string, SecretBytes>): void {
    const peer = this.#peerOf(change.peerSaeId);
    for (const { record } of change.add ?? []) this.#put(peer, record, materials.get(record.keyId));
    for (const record of change.update ?? []) this.#put(peer, record, materials.get(record.keyId));
    for (const keyId of change.remove ?? []) {
      peer.keys.get(keyId)?.material?.wipe();
      if (peer.keys.delete(keyId)) --this.#keyCount;
    }
    if (change.session !== undefined) peer.sessions.set(change.session.sessionId, change.session);
    if (change.endSession !== undefined) peer.sessions.delete(change.endSession);
    peer.record = change.peer ?? peer.record;
    if (peer.keys.size === 0 && peer.sessions.size === 0 && peer.record === undefined) {
      this.#peers.delete(change.peerSaeId);
    }
  }

  /** Wipes all material; what else is known stays. */
  wipe(): void {
    for (const { keys } of this.#peers.values()) {
      for (const { material } of keys.values()) material?.wipe();
    }
  }

  #peerOf(peerSaeId: string): Peer {
    const known = this.#peers.get(peerSaeId);
    if (known !== undefined) return known;
    const peer: Peer = { keys: new Map(), sessions: new Map(), record: undefined };
    this.#peers.set(peerSaeId, peer);
    return peer;
  }

  #put(peer: Peer, record: KeyRecord, given: SecretBytes | undefined): void {
    const present = peer.keys.get(record.keyId)?.material;
    const candidate = given ?? present;
    if (candidate !== present) present?.wipe();
    const material = this.#keepsOpen(record.status) ? candidate : undefined;
    if (material === undefined) candidate?.wipe();
    if (!peer.keys.has(record.keyId)) ++this.#keyCount;
    peer.keys.set(record.keyId, { record, material });
  }
}

/**
 * That a change is of one peer and can be made.
 *
 * @param statusOf the state of a key of this peer, undefined when there is none.
 * @throws HawserError ERR_HAWSER_ARGUMENT when a record is of another peer, a key is added that is there, or its material has another length than
 * its record says; ERR_HAWSER_KEY_UNAVAILABLE when a key that changes is not there, or is over.
 */
export function checkChange(change: StoreChange, statusOf: (keyId: string) => KeyStatus | undefined): void {
  const added = new Map<string, KeyStatus>();
  for (const { record, material } of change.add ?? []) {
    checkPeer(change, record.peerSaeId);
    if (statusOf(record.keyId) !== undefined || added.has(record.keyId)) {
      throw argumentError('a new key', 'one of which there is none yet', JSON.stringify(record.keyId));
    }
    if (material.length * 8 !== record.sizeBits) {
      throw argumentError('the material of a key', `of ${record.sizeBits} bits`, `${material.length} bytes`);
    }
    added.set(record.keyId, record.status);
  }
  for (const record of change.update ?? []) {
    checkPeer(change, record.peerSaeId);
    const status = added.get(record.keyId) ?? statusOf(record.keyId);
    if (status !== undefined && (!isOver(status) || isOver(record.status))) continue;
    throw unavailableError(record.keyId, status);
  }
  if (change.peer !== undefined) checkPeer(change, change.peer.peerSaeId);
}

function checkPeer({ peerSaeId }: StoreChange, given: string): void {
  if (given === peerSaeId) return;
  throw argumentError('a record', `of ${JSON.stringify(peerSaeId)}, as its change is`, JSON.stringify(given));
}

/** The error of a key that is not there, or that is over. */
export function unavailableError(keyId: string, status: KeyStatus | undefined): HawserError {
  const reason = status === undefined ? 'there is no such key' : `it is ${status}`;
  return new HawserError('ERR_HAWSER_KEY_UNAVAILABLE', `key ${JSON.stringify(keyId)}: ${reason}`);
}
