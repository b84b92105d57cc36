// Where keys and sessions are kept: what a step of the protocol changes is kept as one, before any message speaks of it.

import type { SecretBytes } from '../../base/secret-bytes.js';
import type { Session } from '../protocol/session.js';

/** The states of a key (source document, steps 4, 9 and 10; ETSI has none). A deleted key is not there. */
export const keyStatuses = [
  'available',
  'assigned',
  'in_production',
  'rolled',
  'expired',
  'revoked',
] as const;

/** One of {@link keyStatuses}. */
export type KeyStatus = (typeof keyStatuses)[number];

/** What is known of a key. Times are Unix milliseconds. */
export interface KeyRecord {
  /** Its UUID. */
  readonly keyId: string;
  /** The SAE that has it too. Keys of one peer are never touched for another. */
  readonly peerSaeId: string;
  /** Where it stands. */
  readonly status: KeyStatus;
  /** How long it is, in bits. */
  readonly sizeBits: number;
  /** When the KME delivered it. */
  readonly receivedAtMs: number;
  /** From when on it is not to be rotated to; null for never. */
  readonly expiresAtMs: number | null;
  /** The session that it was assigned for last. */
  readonly sessionId: string | null;
  /** When it came into production; null before. */
  readonly inProductionAtMs: number | null;
  /** When another took its place; null before. */
  readonly rolledAtMs: number | null;
}

/** What is kept of a peer beside its keys and sessions. */
export interface PeerRecord {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** Of the last session of the pair; 0 before the first. */
  readonly epoch: number;
  /** The greatest sequence that was received and acted upon; nothing up to it is taken after a restart. */
  readonly receivedSequence: bigint;
  /** Of the last notification that was taken in the original's envelope, in Unix seconds. */
  readonly notifiedAt: number;
}

/** What one step changes, all of it or nothing. */
export interface StoreChange {
  /** The other SAE. */
  readonly peerSaeId: string;
  /** New keys. Their material is sealed at once; the caller keeps and wipes its own. */
  readonly add?: readonly { readonly record: KeyRecord; readonly material: SecretBytes }[];
  /** Keys whose record changes. */
  readonly update?: readonly KeyRecord[];
  /** Their material is wiped, on the disk as well as a file system lets us. */
  readonly remove?: readonly string[];
  /** One that begins or changes. */
  readonly session?: Session;
  /** A session that is forgotten. */
  readonly endSession?: string;
  /** What is kept of the peer from now on. */
  readonly peer?: PeerRecord;
}

/** Reads are of what is kept for good; they are answered from memory. */
export interface KeyStore {
  /** Keys of a peer, in no order. */
  keys(peerSaeId: string): readonly KeyRecord[];
  /** One key of a peer; undefined when it is not there. */
  key(peerSaeId: string, keyId: string): KeyRecord | undefined;
  /**
   * The material of a key, in locked memory, for as long as `use` runs.
   *
   * @throws HawserError ERR_HAWSER_KEY_UNAVAILABLE when there is no such key, or it is expired or revoked.
   */
  withMaterial<T>(
    peerSaeId: string,
    keyId: string,
    use: (material: SecretBytes) => T | Promise<T>,
  ): Promise<T>;
  /** The sessions of a peer that are kept. */
  sessions(peerSaeId: string): readonly Session[];
  /** What is kept of a peer; undefined for nothing. */
  peer(peerSaeId: string): PeerRecord | undefined;
  /** Every peer that something is kept of. */
  peers(): readonly string[];
  /** How often the store has been opened, this time included, from 1: the upper half of the sequences that are sent. */
  readonly incarnation: number;
  /**
   * Keeps a change. Changes of one peer are kept in the order of the calls.
   *
   * @throws HawserError (rejects) ERR_HAWSER_STORE_FULL, ERR_HAWSER_DISK_FULL, ERR_HAWSER_STORE: nothing of it was kept; ERR_HAWSER_CLOSED.
   */
  commit(change: StoreChange): Promise<void>;
  /** Wipes all material that is in memory. Closing twice is closing once. */
  close(): Promise<void>;
}
