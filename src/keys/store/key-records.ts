// Keys, without their material, and peers as records of a store.

import { messageLimits } from '../wire/messages.js';
import { encodeRecord, formatError, RecordReader, readRecord } from './record-reader.js';
import { type KeyRecord, keyStatuses, type PeerRecord } from './store.js';

/** Bits of the longest secret. */
const maxSizeBits = 8192;

/**
 * A key as bytes, which {@link decodeKey} reads.
 *
 * @throws HawserError ERR_HAWSER_STORE_FORMAT when a field is not as the type has it: what could not be read again is not written.
 */
export function encodeKey(record: KeyRecord): Uint8Array {
  const { peerSaeId, keyId } = record;
  const what = keyName(peerSaeId, keyId);
  readKey(what, new RecordReader(what, record), peerSaeId, keyId);
  return encodeRecord(what, record);
}

/**
 * @param keyId @param peerSaeId what it is kept under.
 * @throws HawserError ERR_HAWSER_STORE_FORMAT, naming the key.
 */
export function decodeKey(bytes: Uint8Array, peerSaeId: string, keyId: string): KeyRecord {
  const what = keyName(peerSaeId, keyId);
  return readKey(what, readRecord(what, bytes), peerSaeId, keyId);
}

/** As {@link encodeKey}, of a peer. */
export function encodePeer(record: PeerRecord): Uint8Array {
  const what = peerName(record.peerSaeId);
  const plain = { ...record, receivedSequence: String(record.receivedSequence) };
  readPeer(what, new RecordReader(what, plain), record.peerSaeId);
  return encodeRecord(what, plain);
}

/**
 * @param peerSaeId what it is kept under.
 * @throws HawserError ERR_HAWSER_STORE_FORMAT, naming the peer.
 */
export function decodePeer(bytes: Uint8Array, peerSaeId: string): PeerRecord {
  const what = peerName(peerSaeId);
  return readPeer(what, readRecord(what, bytes), peerSaeId);
}

function keyName(peerSaeId: string, keyId: string): string {
  return `the record of key ${JSON.stringify(keyId)} of ${JSON.stringify(peerSaeId)}`;
}

function peerName(peerSaeId: string): string {
  return `the record of peer ${JSON.stringify(peerSaeId)}`;
}

function readKey(what: string, reader: RecordReader, peerSaeId: string, keyId: string): KeyRecord {
  const record: KeyRecord = {
    keyId: reader.text('keyId', messageLimits.idBytes),
    peerSaeId: reader.text('peerSaeId', messageLimits.idBytes),
    status: reader.oneOf('status', keyStatuses),
    sizeBits: reader.integer('sizeBits', 1, maxSizeBits),
    receivedAtMs: reader.number('receivedAtMs'),
    expiresAtMs: reader.numberOrNull('expiresAtMs'),
    sessionId: reader.textOrNull('sessionId', messageLimits.idBytes),
    inProductionAtMs: reader.numberOrNull('inProductionAtMs'),
    rolledAtMs: reader.numberOrNull('rolledAtMs'),
  };
  reader.end();
  if (record.keyId === keyId && record.peerSaeId === peerSaeId) return record;
  throw formatError(what, 'it is that of another key');
}

function readPeer(what: string, reader: RecordReader, peerSaeId: string): PeerRecord {
  const record: PeerRecord = {
    peerSaeId: reader.text('peerSaeId', messageLimits.idBytes),
    epoch: reader.integer('epoch'),
    receivedSequence: reader.u64('receivedSequence'),
    notifiedAt: reader.integer('notifiedAt'),
  };
  reader.end();
  if (record.peerSaeId === peerSaeId) return record;
  throw formatError(what, 'it is that of another peer');
}
